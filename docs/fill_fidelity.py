#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""
fill_fidelity.py [--check | --count] OUTCOMES - put what the three columns showed into fidelity.md, between its markers.

OUTCOMES is what `pytest tests/system/test_api.py tests/system/test_api_stream.py --outcomes=FILE` wrote: one
entry per case and family in which kernel sockets, the switched-off library and the accelerated one agreed.
--check compares only, and fails where fewer than CHECKS results of calls were compared; --count says how many were, by
program. A result counts once, in however many families and columns it was compared.
"""
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "fidelity.md"
CHECKS = 1500  # what fidelity.md promises
BEGIN, END = "<!-- columns:begin -->\n", "<!-- columns:end -->"
sys.dont_write_bytecode = True
sys.path[:0] = [str(ROOT / "tests" / "system"), str(ROOT / "scripts")]
import columns  # noqa: E402
import streams  # noqa: E402


def way(name, kind, detail):
    """What api/record.h lets a case of program @name claim of the accelerated column, in words."""
    every = "every byte" if name in streams.programs() else "every datagram"
    return {"FAST": every, "BUT": f"all but {detail}", "PART": "some",
            "BY": f"no: `{detail}`", "": "-"}[kind]


def table(name, found):
    """The rows of one program, in the order of its source."""
    lines = []
    for case, claim in columns.cases(name):
        seen = [one for one in found if one["program"] == name and one["case"] == case]
        if not seen:
            continue
        differs = sorted({reason for one in seen for reason in one["differs"]})
        families = ", ".join(family for family in columns.FAMILIES if any(o["family"] == family for o in seen))
        lines.append(f"| {case.replace('_', ' ')} | {families} | {way(name, *claim)} | "
                     f"{'no: ' + '; '.join(differs) if differs else 'yes'} |")
    return lines


def block(found):
    lines = []
    for name in columns.programs() + streams.programs():
        rows = table(name, found)
        if rows:
            title = columns.title(name)
            lines += [f"### {title[0].upper()}{title[1:]}", "", f"`tests/system/api/{name}.c`", "",
                      "| case | families | fast path | as on the kernel |", "|---|---|---|---|", *rows, ""]
    return "\n".join(lines)


def counted(found):
    """Results of calls that were compared, by program."""
    by_case = {}
    for one in found:
        key = columns.source(one["program"]), one["case"]
        by_case[key] = max(by_case.get(key, 0), one["checks"])
    return {name: sum(n for (program, _), n in by_case.items() if program == name)
            for name in columns.programs() + streams.programs()}


def main():
    arguments = sys.argv[1:]
    check, count = arguments[:1] == ["--check"], arguments[:1] == ["--count"]
    if len(arguments) != 1 + check + count:
        sys.exit(__doc__.strip())
    found = json.loads(pathlib.Path(arguments[-1]).read_text())
    checks = counted(found)
    if count:
        print("\n".join(f"{name:16} {n:6}" for name, n in [*checks.items(), ("all", sum(checks.values()))]))
        return
    if check and sum(checks.values()) < CHECKS:
        sys.exit(f"{sum(checks.values())} results of calls were compared, fewer than {CHECKS}")
    page = PAGE.read_text()
    head, rest = page.split(BEGIN)
    middle, tail = rest.split(END)
    now = block(found)
    if not check:
        PAGE.write_text(head + BEGIN + now + END + tail)
    elif middle != now:
        wrong = sorted(set(middle.splitlines()) ^ set(now.splitlines()))
        sys.exit("docs/fidelity.md is not what the columns showed:\n" + "\n".join(wrong[:20]))


if __name__ == "__main__":
    main()
