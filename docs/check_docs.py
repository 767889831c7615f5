#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""
check_docs.py SOURCE_ROOT BUILD_DOCS FSOCK - hold the documents against the code.

Every option, counter and reason has its entry, every sub-command and each of its flags is described,
mandoc has nothing to complain of, the example file parses, relative links lead somewhere, docs/status.md
names files that exist, the figures in README.md are those of their source, docs/tcp-conformance.md claims
what tests bear out. Prints TAP.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
root, built, fsock = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
sys.path.insert(0, str(root / "docs"))
import fill_conformance  # noqa: E402
import fill_readme  # noqa: E402
import gen_options  # noqa: E402

COMMANDS = tuple(gen_options.COMMANDS)


def entries(page):
    return set(re.findall(r"^\.It Cm (\w+)$", (built / page).read_text(), re.M))


def names(which):
    return {row[1] for row in gen_options.table(root, which)}


def rendered(page):
    """The page as a reader sees it, on one line."""
    text = subprocess.run(["mandoc", "-T", "ascii", built / page], capture_output=True, text=True,
                          check=True).stdout
    return re.sub(r"\s+", " ", re.sub(".\b", "", text))


def missing(what, where):
    return sorted(f"{name} is not described" for name in what - where)


def tables_are_documented():
    return (missing(names("options"), entries("fsock.conf.5")) +
            missing(names("counters") | names("reasons"), entries("fsock.1")))


def every_table_line_was_read():
    """A line the generator's pattern does not match would vanish from the pages."""
    bad = []
    for which, (path, kind) in gen_options.TABLES.items():
        lines = [line for line in (root / path).read_text().splitlines() if re.match(kind + r"\s*\(", line)]
        if len(lines) != len(names(which)):
            bad.append(f"{path}: {len(lines)} lines, {len(names(which))} names read")
    return bad


def commands_are_documented():
    page, overview, bad = rendered("fsock.1"), "", []
    overview = subprocess.run([fsock, "--help"], capture_output=True, text=True, check=True).stdout
    listed = tuple(re.findall(r"^  fsock (\w+) ", overview, re.M))
    if listed != COMMANDS:
        bad.append(f"fsock --help lists {listed}")
    for name in listed:
        if f" fsock {name} " not in page:
            bad.append(f"fsock {name} is not in fsock.1")
        if name == "help":
            continue
        text = subprocess.run([fsock, "help", name], capture_output=True, text=True, check=True).stdout
        for flag in set(re.findall(r"--[a-z]+", text)):
            if flag not in page:
                bad.append(f"fsock {name} {flag} is not in fsock.1")
    return bad


def calls_are_documented():
    """fsock(3) names and shows every call of the header as it is declared there."""
    header = re.sub(r"/\*.*?\*/", "", (root / "include/fsock/api.h").read_text(), flags=re.S)
    page, bad = (built / "fsock.3").read_text(), []
    for result, name, args in re.findall(r"^(\w+) (fsock_\w+)\(([^)]*)\);", header, re.M):
        args = [" ".join(arg.split()) for arg in args.split(",")]
        shown = "void" if args == ["void"] else " ".join(f'"{arg}"' for arg in args)
        if f".Ft {result}\n.Fn {name} {shown}\n" not in page or not re.search(rf"^\.Nm {name}\b", page, re.M):
            bad.append(f"{name} is not in fsock.3 as it is declared")
    for option in re.findall(r"^\t(FSOCK_(?:RX_TIMEOUT|RINGBUF_SIZE|HOLD_MAX|REASON|RECV_INPLACE))\b",
                             (root / "include/fsock/types.h").read_text(), re.M):
        if f"Dv {option}" not in page:
            bad.append(f"{option} is not in fsock.3")
    return bad


def mandoc_is_content():
    bad = []
    for page in ("fsock.1", "fsock.3", "fsock.conf.5"):
        done = subprocess.run(["mandoc", "-T", "lint", "-W", "style", built / page], capture_output=True,
                              text=True, check=False)
        bad += [line for line in done.stdout.splitlines()
                # Not installed pages of other packages, and a system name that is not ours to give.
                if not re.search("referenced manual not found|operating system|outdated mandoc.db", line)]
    return bad


def example_parses():
    """All lines as they are, and once more with every setting switched on."""
    text = (built / "fsock.conf").read_text()
    live = re.sub(r"^#(\w+ =)", r"\1", text, flags=re.M)
    if live.count("\n") != text.count("\n") or live == text:
        return ["no setting in fsock.conf"]
    file = built / "check-fsock.conf"
    file.write_text(live)
    env = {k: v for k, v in os.environ.items() if not k.startswith("FSOCK_")}
    done = subprocess.run([fsock, "doctor"], capture_output=True, text=True, check=False,
                          env={**env, "FSOCK_CONFIG": str(file)})
    file.unlink()
    return [line for line in done.stdout.splitlines() if f"{file}:" in line]


def links_lead_somewhere():
    bad = []
    for page in [root / "README.md", root / "CONTRIBUTING.md", *(root / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in link and not (page.parent / link).exists():
                bad.append(f"{page.relative_to(root)}: {link} does not exist")
    return bad


def status_names_what_exists():
    """Columns `code` and `test` of status.md: every `path` or pattern in them finds a file."""
    bad = []
    for line in (root / "docs/status.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        for path in re.findall(r"`([^`]+)`", " ".join(cells[2:4])) if len(cells) == 7 else ():
            if not any(any(folder.glob(path + end)) for folder in (root, root / "src/context")
                       for end in ("", ".[ch]", "*")):
                bad.append(f"docs/status.md: nothing is called {path}")
    return bad


def figures_are_those_of_the_run():
    """The block in README.md is what its source says, or says that there is none."""
    _, middle, _ = fill_readme.split((root / "README.md").read_text())
    source = re.search(r"^.*Source: \[([^]]+)\]", middle)
    if not source:
        return [] if "Not measured yet" in middle else ["README.md: figures without a source"]
    if middle != fill_readme.block(source[1]):
        return [f"README.md: figures differ from {source[1]}; run docs/fill_readme.py {source[1]}"]
    return []


def conformance_is_borne_out():
    """docs/tcp_conformance.def: what is done names tests that exist; the page is made of it."""
    return fill_conformance.problems(root) + fill_conformance.outdated(root)


def main():
    tests = (tables_are_documented, every_table_line_was_read, commands_are_documented,
             calls_are_documented, mandoc_is_content, example_parses, links_lead_somewhere,
             status_names_what_exists, figures_are_those_of_the_run, conformance_is_borne_out)
    needs_mandoc = (commands_are_documented, mandoc_is_content)
    print(f"1..{len(tests)}")
    for n, test in enumerate(tests, 1):
        if test in needs_mandoc and not shutil.which("mandoc"):
            print(f"ok {n} {test.__name__} # SKIP mandoc is not installed")
            continue
        bad = test()
        print(f"{'not ok' if bad else 'ok'} {n} {test.__name__}")
        for line in bad:
            print("#", line)


main()
