#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""check_python.py ROOT - does every name that a script of the project uses exist?

What a script misses shows only where it is reached, and benchmarks and long jobs are reached seldom. pyflakes looks; its
words about imports are left aside, since pytest's fixtures are imported without a use that it could see.
"""
import subprocess
import sys
from pathlib import Path

UNDEFINED = ("undefined name", "referenced before assignment")


def scripts(root):
    """The files of Python below @root that do not come from a build, with that ending or that interpreter."""
    for path in sorted(root.rglob("*")):
        folders = path.relative_to(root).parts[:-1]
        if not path.is_file() or any(name.startswith((".", "build", "__")) for name in folders):
            continue
        if path.suffix == ".py":
            yield path
        elif not path.suffix and path.stat().st_mode & 0o111:
            with path.open("rb") as text:
                first = text.readline()
            if first.startswith(b"#!") and b"python" in first:
                yield path


def main():
    root = Path(sys.argv[1])
    names = [str(path) for path in scripts(root)]
    if not names:
        print(f"{root}: no script found")
        return 1
    done = subprocess.run(["pyflakes3", *names], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    bad = [line for line in done.stdout.splitlines() if any(word in line for word in UNDEFINED)]
    print(done.stderr, *bad, f"{len(names)} scripts, {len(bad)} names that do not exist", sep="\n")
    return 1 if bad or done.stderr or done.returncode > 1 else 0  # what it cannot read it says there


if __name__ == "__main__":
    sys.exit(main())
