#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""check_selftest.py CC... - do the checks of this folder notice what they are there for?

Each case builds a small tree in a temporary folder that breaks one rule, runs the check on it and
expects failure with the right words; and a tree that breaks none has to pass.
"""
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
CC = sys.argv[1:] or ["cc"]


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def run(*argv):
    done = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


# --- check_rooms.py: each case is a set of files beside the project's own table ---

ROOMS_GOOD = {
    "src/base/a.h": "#include <stdint.h>\n",
    "src/wire/w.h": '#include "base/a.h"\n',
    "src/wire/w_internal.h": "",
    "src/wire/w.c": '#include "wire/w.h"\n#include "w_internal.h"\n#include <stdlib.h>\n',
    "src/steer/s.c": '#include "made_by_the_build.h"\n',
    "src/provider/provider.h": '#include "base/a.h"\n',
    "src/provider/xdp/x.h": "",
    "tests/unit/t.c": '#include "wire/w.h"\n',
}
ROOMS_BAD = [
    ("upward", {"src/base/b.c": '#include "wire/w.h"\n'}, "src/base may not include src/wire"),
    ("sideways", {"src/provider/fault/f.c": '#include "provider/xdp/x.h"\n'},
     "src/provider/fault may not include src/provider/xdp"),
    ("upward, relative", {"src/base/b.c": '#  include "../wire/w.h"\n'},
     "src/base may not include src/wire"),
    ("upward, angles", {"src/base/b.c": "#include <wire/w.h>\n"}, "src/base may not include src/wire"),
    ("private header", {"src/ip/i.c": '#include "wire/w_internal.h"\n'}, "private to src/wire"),
    ("private header in a test", {"tests/unit/u.c": '#include "wire/w_internal.h"\n'},
     "private to src/wire"),
    ("no room", {"src/attic/o.c": ""}, "belongs to no room"),
    ("no such file", {"src/base/b.c": '#include "base/gone.h"\n'}, "does not exist"),
    ("file row", {"src/wire/v.c": '#include "provider/provider.h"\n'},
     "src/wire may not include src/provider/provider.h"),
]


def rooms_case(files, table_edit=None):
    with tempfile.TemporaryDirectory() as temp:
        root = Path(temp)
        table = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
        write(root, {"docs/architecture.md": table_edit(table) if table_edit else table, **files})
        return run(sys.executable, TESTS / "check_rooms.py", root)


def check_rooms():
    yield "rooms: clean tree", rooms_case(ROOMS_GOOD), 0, " 0 breaches"
    for name, files, words in ROOMS_BAD:
        yield f"rooms: {name}", rooms_case({**ROOMS_GOOD, **files}), 1, words
    yield "rooms: empty tree", rooms_case({}), 2, "no source files"

    def add_row(row):
        return lambda table: table.replace("| src/base | - |", row)

    yield ("rooms: loop", rooms_case(ROOMS_GOOD, add_row("| src/base | src/wire |")), 1,
           "loop src/base -> src/wire -> src/base")
    yield ("rooms: unknown room", rooms_case(ROOMS_GOOD, add_row("| src/base | src/moon |")), 1,
           "src/moon, which has no row")
    yield ("rooms: two rows", rooms_case(ROOMS_GOOD, add_row("| src/base | - |\n| src/base | - |")),
           1, "two rows")
    yield ("rooms: no markers", rooms_case(ROOMS_GOOD, lambda t: t.replace("edges:end", "")), 1,
           "no edges markers")


# --- check_engine.sh: one object compiled into src/udp ---

ENGINE_GOOD = """
#include <string.h>
static const char *const table[] = { "a", "b" };
const char *get(unsigned i, void *to, const void *from, unsigned long n);
const char *get(unsigned i, void *to, const void *from, unsigned long n)
{
	memcpy(to, from, n);
	return table[i % 2];
}
"""
ENGINE_BAD = [
    ("malloc", "#include <stdlib.h>\nvoid *f(void) { return malloc(9); }", "needs malloc"),
    ("clock", "#include <time.h>\nlong f(void) { return time(0); }", "needs time"),
    ("global", "int f(void) { static int n; return n++; }", "mutable data in .bss"),
    ("initialised global", "int n = 5; int f(void) { return n++; }", "mutable data in .data"),
    ("thread-local", "_Thread_local int n; int f(void) { return n++; }", "mutable data in .tbss"),
]
if "x86_64" in run(*CC, "-dumpmachine")[1]:
    ENGINE_BAD += [
        ("system call", 'void f(void) { __asm__ volatile("syscall"); }', "forbidden instruction"),
        ("old system call", 'void f(void) { __asm__ volatile("int $0x80"); }', "forbidden instruction"),
        ("time stamp", "long f(void) { return (long)__builtin_ia32_rdtsc(); }", "forbidden instruction"),
        ("randomness", 'long f(void) { long r; __asm__ volatile("rdrand %0" : "=r"(r)); return r; }',
         "forbidden instruction"),
    ]


def engine_case(text):
    with tempfile.TemporaryDirectory() as temp:
        root = Path(temp)
        write(root, {"src/udp/x.c": text})
        code, out = run(*CC, "-O2", "-fPIC", "-fno-stack-protector", "-c", root / "src/udp/x.c",
                        "-o", root / "src/udp/x.o")
        if code != 0:
            return code, "the case does not compile: " + out
        return run(TESTS / "check_engine.sh", root, root)


def check_engine():
    yield "engine: clean object", engine_case(ENGINE_GOOD), 0, "1 engine objects"
    for name, text, words in ENGINE_BAD:
        yield f"engine: {name}", engine_case(text), 1, words
    with tempfile.TemporaryDirectory() as temp:
        yield "engine: no build", run(TESTS / "check_engine.sh", temp, ROOT), 2, "no engine objects"
    with tempfile.TemporaryDirectory() as temp:
        root = Path(temp)
        write(root, {"src/udp/x.c": ENGINE_GOOD, "src/ip/y.c": ""})
        run(*CC, "-c", root / "src/udp/x.c", "-o", root / "src/udp/x.o")
        yield "engine: one room not built", run(TESTS / "check_engine.sh", root, root), 1, "src/ip: no"


# --- check_pitfalls.py: lists beside one test of each kind ---

PITFALL_TESTS = {
    "tests/meson.build": "test('check_rooms', python3)\n",
    "tests/system/test_a.py": "def test_one(pair):\n    pass\n",
    "tests/system/test_h.py": "def test_hazard_7_it(pair):\n    pass\n",
    "tests/system/api/epoll.c": "CASE_FAST(level)\nCASE_BY(moved, option)\n",
    "tests/unit/test_b.c": "static void call__case(void **state)\n",
}
PITFALLS_BAD = [
    ("number left out", "P07 ", "P99 ", "P07 has no entry"),
    ("number twice", "P07 ", "P06 ", "P06 has two entries"),
    ("no such number", "EP38 ", "EP39 ", "EP39 is none of the numbers"),
    ("neither test nor word", "P07 about it\n    epoll/level", "P07 about it", "names neither a test"),
    ("nothing said", "open: all", "open:", "does not say what is open"),
    ("no such file", "epoll/level", "poll/level", "poll/level: no such file"),
    ("no such case", "epoll/level", "epoll/levels", "epoll/levels: no such case"),
    ("no such test", "test_a.py/test_one", "test_a.py/test_on", "test_a.py/test_on: no such case"),
    ("no such unit test", "call__case", "call__other", "test_b/call__other: no such case"),
    ("no such rule", "check_rooms", "check_walls", "house/check_walls: no such case"),
    ("no test's name", "epoll/moved", "epoll", "epoll: is no file/case"),
    ("in no three columns", "P07 about it\n    epoll/level", "P07 about it\n    test_a.py/test_one", "P07 has no test in three"),
    ("in three columns, and alone", "epoll/level", "epoll/level\n    alone: why", "is compared, and says why not"),
    ("without what it is about", "P07 about it", "P07", "neither a number"),
]


def pitfalls_case(text, what="pitfalls"):
    with tempfile.TemporaryDirectory() as temp:
        write(Path(temp), {**PITFALL_TESTS, **({f"tests/system/{what}.list": text} if text else {})})
        return run(sys.executable, TESTS / "check_pitfalls.py", temp, what)


def check_pitfalls():
    numbers = [f"P{n:02}" for n in range(1, 58)] + [f"EP{n:02}" for n in range(1, 39)]
    good = "# a list\n" + "".join(f"{number} about it\n    epoll/level\n" for number in numbers[:-1]) + \
        "EP38 about it\n    epoll/moved epoll/* test_a.py/test_one\n    test_b/call__case house/check_rooms\n    open: all\n"
    yield "pitfalls: clean list", pitfalls_case(good), 0, "95 pitfalls, 1 of them open in part or whole, 0 breaches"
    for name, old, new, words in PITFALLS_BAD:
        yield f"pitfalls: {name}", pitfalls_case(good.replace(old, new, 1)), 1, words
    yield "pitfalls: no list", pitfalls_case(None), 2, "no pitfalls"
    good = "".join(f"H{n:02} about it\n    epoll/level\n" for n in range(1, 34))
    named = good.replace("H07 about it\n", "H07 about it\n    test_h.py/test_hazard_7_it\n")
    yield "hazards: clean list", pitfalls_case(named, "hazards"), 0, "33 hazards, 0 of them open in part or whole, 0 breaches"
    yield "hazards: test not in its row", pitfalls_case(good, "hazards"), 1, "H07 does not name test_h.py/test_hazard_7_it"
    yield "hazards: row left out", pitfalls_case(named.replace("H33", "P33"), "hazards"), 1, "H33 has no entry"
    yield "hazards: no list", pitfalls_case(None, "hazards"), 2, "no hazards"


# --- check_headers.sh and compile_fail.sh ---

def check_headers():
    for name, text, want, words in (
            ("complete", "#include <stdint.h>\nuint32_t f(void);\n", 0, "compilations"),
            ("leaning", "uint32_t f(void);\n", 1, "src/base/h.h does not compile alone"),
    ):
        with tempfile.TemporaryDirectory() as temp:
            write(Path(temp), {"src/base/h.h": text, "include/fsock/v.h": ""})
            yield f"headers: {name}", run(TESTS / "check_headers.sh", temp), want, words
    with tempfile.TemporaryDirectory() as temp:
        write(Path(temp), {"src/a.c": "", "include/b.c": ""})
        yield "headers: none", run(TESTS / "check_headers.sh", temp), 2, "no headers"


LOOSE = "#pragma once\n#include <stdint.h>\n" + "".join(
    f"typedef uint{n}_t be{n}_t;\n"
    f"static inline be{n}_t be{n}_make(uint{n}_t x) {{ return x; }}\n"
    f"static inline uint{n}_t be{n}_get(be{n}_t x) {{ return x; }}\n"
    f"static inline int be{n}_equal(be{n}_t x, be{n}_t y) {{ return x == y; }}\n" for n in (16, 32, 64))


def compile_fail():
    yield "compile_fail: the project", run(TESTS / "compile_fail.sh", *CC), 0, "cases"
    with tempfile.TemporaryDirectory() as temp:
        root = Path(temp)
        write(root, {"src/base/endian.h": LOOSE,
                     "src/base/csum.h": '#include "base/endian.h"\nbe16_t csum_finish(uint64_t sum);\n'})
        (root / "tests").mkdir()
        shutil.copy2(TESTS / "compile_fail.sh", root / "tests")
        yield ("compile_fail: plain integers", run(root / "tests/compile_fail.sh", *CC), 1,
               "compiles, but should not: h->port = port;")


def check_python():
    for name, text, code, words in (
            ("clean script", "import os\nprint(os.getpid())\n", 0, "1 scripts, 0 names"),
            ("forgotten import", "def seldom():\n    return os.getpid()\n", 1, "undefined name 'os'"),
            ("not a script", "x = (\n", 1, "was never closed")):
        with tempfile.TemporaryDirectory() as temp:
            write(Path(temp), {"scripts/a.py": text})
            yield f"python: {name}", run(sys.executable, TESTS / "check_python.py", temp), code, words
    with tempfile.TemporaryDirectory() as temp:
        yield "python: none", run(sys.executable, TESTS / "check_python.py", temp), 1, "no script found"


def main():
    failed = n = 0
    print("TAP version 13")
    for group in (check_rooms, check_engine, check_pitfalls, check_headers, compile_fail,
                  check_python):
        for name, (code, out), want_code, want_words in group():
            n += 1
            good = code == want_code and want_words in out
            print(f"{'ok' if good else 'not ok'} {n} - {name}")
            if not good:
                failed += 1
                print(f"# status {code}, expected {want_code} and the words: {want_words}")
                print("".join(f"# {line}\n" for line in out.splitlines()), end="")
    print(f"1..{n}")
    return 1 if failed else 0


sys.exit(main())
