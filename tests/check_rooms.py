#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""check_rooms.py [ROOT] - do all includes go where docs/architecture.md lets them?

The table between the edges markers is read, judged (every room it names exists, nothing leads back
to where it came from) and then held against each #include of a file of this project. Prints one line
per breach; exit status 1 if there is any, 2 if there was nothing to check.
"""
import re
import sys
from pathlib import Path

TOPS = ("include", "src", "tools", "tests", "bench", "examples")
SUFFIXES = (".c", ".h", ".def")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]')
ANY = "any"


def read_table(text):
    """{room: set of rooms it may include}, and complaints about the table itself."""
    between = re.search("<!-- edges:begin -->(.*)<!-- edges:end -->", text, re.DOTALL)
    if not between:
        return {}, ["table: no edges markers in docs/architecture.md"]
    table, complaints = {}, []
    for row in between[1].strip().splitlines()[2:]:  # behind the heading and its rule
        cells = [cell.strip() for cell in row.strip().strip("|").split("|")]
        if len(cells) != 2 or not cells[0] or not cells[1]:
            complaints.append(f"table: not a row of two cells: {row}")
        elif cells[0] in table:
            complaints.append(f"table: {cells[0]} has two rows")
        else:
            table[cells[0]] = set(cells[1].split()) - {"-"}
    for room, targets in table.items():
        complaints += [f"table: {room} may include {t}, which has no row"
                       for t in sorted(targets - {ANY}) if t not in table]
    return table, complaints


def find_loops(table):
    """A room that can be reached from itself makes the directions meaningless."""
    complaints, finished = set(), set()

    def descend(room, path):
        if room in path:
            complaints.add("table: loop " + " -> ".join(path[path.index(room):] + [room]))
        elif room not in finished:
            for target in sorted(table.get(room, ())):
                if target != ANY:
                    descend(target, path + [room])
            finished.add(room)

    for room in table:
        descend(room, [])
    return sorted(complaints)


def room_of(table, path):
    """The row with the longest name that is the path or a folder above it."""
    parts = path.split("/")
    for end in range(len(parts), 0, -1):
        name = "/".join(parts[:end])
        if name in table:
            return name
    return None


def resolve(root, source, target):
    """Path of an included file below root, or None when it is not ours."""
    for place in (source.parent, root / "src", root / "include", root):
        found = (place / target).resolve()
        if found.is_file() and root in found.parents:
            return found.relative_to(root).as_posix()
    return None


def check_file(root, table, source):
    name = source.relative_to(root).as_posix()
    here = room_of(table, name)
    if here is None:
        yield f"{name}: belongs to no room of the table"
        return
    allowed = table[here]
    for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        hit = resolve(root, source, match[2])
        at = f"{name}:{number}"
        if hit is None:
            # "..." may also be made by the build; then it is this room's own
            if match[1] == '"' and "/" in match[2]:
                yield f"{at}: {match[2]} does not exist"
            continue
        there = room_of(table, hit)
        if there == here or (there is None and ANY in allowed):
            continue
        if there is None:
            yield f"{at}: {hit} belongs to no room of the table"
        elif hit.endswith("_internal.h"):
            yield f"{at}: {hit} is private to {there}"
        elif there not in allowed and ANY not in allowed:
            yield f"{at}: {here} may not include {there} ({hit})"


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    table, breaches = read_table((root / "docs/architecture.md").read_text(encoding="utf-8"))
    breaches += find_loops(table)
    sources = [path for top in TOPS for path in sorted((root / top).rglob("*"))
               if path.suffix in SUFFIXES and path.is_file()]
    if table:
        for source in sources:
            breaches += check_file(root, table, source)
    for breach in breaches:
        print(breach)
    if not sources:
        print(f"no source files below {root}")
        return 2
    print(f"{len(sources)} files, {len(table)} rooms, {len(breaches)} breaches")
    return 1 if breaches else 0


sys.exit(main())
