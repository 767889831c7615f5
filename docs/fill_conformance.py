#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""
fill_conformance.py [--check] - make docs/tcp-conformance.md of docs/tcp_conformance.def.

--check writes nothing: it says what the table claims and the tests do not bear out, and whether the page is older
than the table. Exit status 1 when there is anything to say.
"""
import collections
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
FIELDS = ("id", "clause", "level", "status", "text", "tests", "reason")
STATUSES = ("done", "deviation", "open", "n/a")
Row = collections.namedtuple("Row", FIELDS + ("section", "line"))

# RFC 9293 appendix B: 126 rows with these numbers.
APPENDIX_B = 126
IDS = ([f"MUST-{n}" for n in range(1, 70)] + [f"SHLD-{n}" for n in range(1, 32)] +
       [f"MAY-{n}" for n in range(1, 19)] + ["REC-1"])
HEAD = """\
# Conformance of TCP

What the engine does of RFC 9293 and the standards around it, requirement by requirement in our own words. Made
from [tcp_conformance.def](tcp_conformance.def) by `docs/fill_conformance.py`; `./check` fails when a row that says
`done` names a test that does not exist, and when this page is older than the table.

A test is a packet script (`tests/packet/*/NAME.pkt`), a function of `tests/unit`, a scenario of the simulator (`sim:`), or
`packet_matrix`: every kind of segment in every state at every place of the window.

"""


def rows(root):
    """The table's lines; what is no row is told in the second result."""
    section, found, bad = "", [], []
    for number, line in enumerate((root / "docs/tcp_conformance.def").read_text().splitlines(), 1):
        if line.startswith("== "):
            section = line[3:]
        elif line and not line.startswith("#"):
            cells = [cell.strip() for cell in line.split("|")]
            if len(cells) != len(FIELDS):
                bad.append(f"line {number}: {len(cells)} fields, not {len(FIELDS)}")
            else:
                found.append(Row(*cells, section, number))
    return found, bad


def existing(root):
    """Names of all tests that run, for rows to give; and what is wrong with them."""
    folders = re.findall(r"^  '(\w+)',$", (root / "tests/packet/meson.build").read_text(), re.M)
    scripts = collections.Counter(path.stem for path in (root / "tests/packet").glob("*/*.pkt"))
    bad = [f"two scripts are called {name}" for name, n in scripts.items() if n > 1]
    bad += [f"tests/packet/{path.parent.name} is not in meson.build" for path in (root / "tests/packet").glob("*/*.pkt")
            if path.parent.name not in folders]
    names = set(scripts) | {"packet_matrix"}
    for listed in (root / "tests/unit").glob("*.list"):
        for program in (line.split()[0] for line in listed.read_text().splitlines() if line):
            source = (root / "tests/unit" / f"{program}.c").read_text()
            names |= set(re.findall(r"\bcmocka_unit_test\w*\((\w+)", source))
    for path in (root / "tests/sim").glob("*.c"):
        names |= {f"sim:{name}" for name in re.findall(r'^\t\{ "(\w+)", sim_scenario_', path.read_text(), re.M)}
    return names, bad


def tests_of(row):
    return [name for name in row.tests.split() if name != "-"]


def problems(root):
    found, bad = rows(root)
    names, wrong = existing(root)
    bad += wrong
    for row in found:
        where = f"line {row.line} ({row.id})"
        if row.status not in STATUSES:
            bad.append(f"{where}: no such status: {row.status}")
        bad += [f"{where}: no test is called {name}" for name in tests_of(row) if name not in names]
        if row.status in ("done", "deviation") and not tests_of(row):
            bad.append(f"{where}: {row.status} without a test")
        if row.status != "done" and not row.reason:
            bad.append(f"{where}: {row.status} without a reason")
    ours = [row.id for row in found if re.fullmatch(r"(MUST|SHLD|MAY|REC)-\d+", row.id)]
    bad += [f"{name} of RFC 9293 is missing" for name in IDS if name not in ours]
    if len(ours) != APPENDIX_B:
        bad.append(f"{len(ours)} rows of RFC 9293, not {APPENDIX_B}")
    return bad


def count(found):
    n = collections.Counter(row.status for row in found)
    return ", ".join(f"{n[status]} {status}" for status in STATUSES)


def page(found):
    ours = [row for row in found if re.fullmatch(r"(MUST|SHLD|MAY|REC)-\d+", row.id)]
    lines = [HEAD + f"RFC 9293 appendix B, {len(ours)} rows: {count(ours)}. "
             f"Beyond it, {len(found) - len(ours)}: {count([row for row in found if row not in ours])}.", ""]
    for section in dict.fromkeys(row.section for row in found):
        lines += [f"## {section}", "", "| id | clause | level | requirement | status | tests |", "|---|---|---|---|---|---|"]
        for row in (one for one in found if one.section == section):
            tests = " ".join(f"`{name}`" for name in tests_of(row)) or "-"
            status = row.status + (f": {row.reason}" if row.reason else "")
            lines.append(f"| {row.id} | {row.clause} | {row.level} | {row.text} | {status} | {tests} |")
        lines.append("")
    return "\n".join(lines)


def outdated(root):
    file = root / "docs/tcp-conformance.md"
    if not file.exists() or file.read_text() != page(rows(root)[0]):
        return ["docs/tcp-conformance.md differs from its table; run docs/fill_conformance.py"]
    return []


def main():
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(__doc__.strip())
    bad = problems(ROOT)
    if sys.argv[1:]:
        bad += outdated(ROOT)
    else:
        (ROOT / "docs/tcp-conformance.md").write_text(page(rows(ROOT)[0]))
    for line in bad:
        print(line)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
