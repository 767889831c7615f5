#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""check_pitfalls.py [ROOT [LIST]] - has every numbered pitfall its tests, or does the list say what is missing?

LIST is pitfalls, or hazards, whose tests besides say by their names where they belong. Reads tests/system/LIST.list;
the head comment of pitfalls.list has the format. Prints one line per breach: a number that is absent or there twice, a
test that is not where the list says, an entry that names nothing. Exit status 1 if there is any, 2 if there was nothing
to check.
"""
import re
import sys
from pathlib import Path

NUMBERS = {"pitfalls": [f"P{n:02}" for n in range(1, 58)] + [f"EP{n:02}" for n in range(1, 39)],
           "hazards": [f"H{n:02}" for n in range(1, 34)]}
HEAD = re.compile(r"(E?P\d+|H\d+) +\S")
NAMED = re.compile(r"^def (test_hazard_(\d+)_\w+)\(", re.M)
OPEN, ALONE = "open:", "alone:"
COLUMNS = re.compile(r"^def (test_\w+)\((?:[^)]*, )?column\b", re.M)


def read_list(text):
    """[(number, line, [test ...], [what is open ...], [why accelerated alone ...])], and complaints about the list."""
    entries, complaints = [], []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].rstrip()
        if not words:
            continue
        head = HEAD.match(words)
        if head:
            entries.append((head[1], number, [], [], []))
        elif not words[0].isspace() or not entries:
            complaints.append(f"{number}: neither a number with what it is about nor a test: {words.strip()}")
        elif words.strip().startswith(OPEN):
            entries[-1][3].append(words.strip().removeprefix(OPEN).strip())
        elif words.strip().startswith(ALONE):
            entries[-1][4].append(words.strip().removeprefix(ALONE).strip())
        else:
            entries[-1][2].extend(words.split())
    return entries, complaints


def cases(root, file):
    """Names of the cases of what the list calls @file; None when there is no such file."""
    tests = root / "tests"
    if file == "house":
        path, pattern = tests / "meson.build", r"^ *test\('(\w+)'"
    elif file.endswith(".py"):
        path, pattern = tests / "system" / file, r"^def (test_\w+)\("
    elif file.startswith("test_"):
        path, pattern = tests / "unit" / f"{file}.c", r"^static void (\w+__\w+|test_\w+)\("
    else:
        path, pattern = tests / "system" / "api" / f"{file}.c", r"^CASE(?:_\w+)?\((\w+)"
    if not path.is_file():
        return None
    return set(re.findall(pattern, path.read_text(encoding="utf-8"), re.M))


def missing(root, test):
    """What is wrong with the name of a test; None when it is there."""
    file, slash, case = test.partition("/")
    if not slash or not case:
        return "is no file/case"
    found = cases(root, file)
    if found is None:
        return "no such file"
    if case == "*":
        return None if found else "has no case"
    return None if case in found else "no such case"


def in_columns(root, test):
    """Does @test run on the kernel, with the library off, and accelerated? Those of API programs do (columns.py)."""
    file, _, case = test.partition("/")
    if not file.startswith("test_"):
        return file != "house"
    path = root / "tests/system" / file
    return file.startswith("test_api") or (path.is_file() and case in COLUMNS.findall(path.read_text(encoding="utf-8")))


def uncompared(root, entries):
    for number, line, tests, left, alone in entries:
        compared = any(in_columns(root, test) for test in tests)
        if not compared and not left and not any(alone):
            yield f"{line}: {number} has no test in three columns, nor says why (alone:)"
        elif compared and alone:
            yield f"{line}: {number} is compared, and says why not"


def unlisted(root, entries):
    """Tests that are named after a hazard whose entry does not have them."""
    listed = {(number, test) for number, _, tests, *_ in entries for test in tests}
    for path in sorted((root / "tests/system").glob("test_*.py")):
        for name, number in NAMED.findall(path.read_text(encoding="utf-8")):
            if (f"H{int(number):02}", f"{path.name}/{name}") not in listed:
                yield f"H{int(number):02} does not name {path.name}/{name}"


def judge(root, entries, numbers):
    seen = set()
    for number, line, tests, left, _ in entries:
        if number not in numbers:
            yield f"{line}: {number} is none of the numbers"
        elif number in seen:
            yield f"{line}: {number} has two entries"
        seen.add(number)
        if not tests and not left:
            yield f"{line}: {number} names neither a test nor what is open"
        for test in tests:
            wrong = missing(root, test)
            if wrong:
                yield f"{line}: {number}: {test}: {wrong}"
        if "" in left:
            yield f"{line}: {number} does not say what is open"
    for number in numbers:
        if number not in seen:
            yield f"{number} has no entry"


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    what = sys.argv[2] if len(sys.argv) > 2 else "pitfalls"
    path = root / "tests/system" / f"{what}.list"
    entries, breaches = read_list(path.read_text(encoding="utf-8")) if path.is_file() else ([], [])
    if not entries:
        print(f"no {what} in {path}")
        return 2
    breaches += judge(root, entries, NUMBERS[what])
    breaches += (unlisted if what == "hazards" else uncompared)(root, entries)
    for breach in breaches:
        print(breach)
    left = sum(bool(entry[3]) for entry in entries)
    print(f"{len(entries)} {what}, {left} of them open in part or whole, {len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
