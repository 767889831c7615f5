#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""
check.py - every test of the project, step by step; ./check calls it.

A step builds one variant of the tree or runs one family of tests, and yields one result per test:
passed, failed or skipped. A skip counts as a failure unless tests/skips.txt names it together
with the feature this machine lacks. The last line printed is 'N passed, N failed, N skipped'.
"""
import argparse
import collections
import concurrent.futures
import fnmatch
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

sys.dont_write_bytecode = True
import suites  # noqa: E402
from lab import net, proc, state  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[1]
PYTHON = "/usr/bin/python3"
OURSELVES = os.getpid()
Result = collections.namedtuple("Result", "name status note")

LOGS = ROOT / "build" / "meson-logs"
PARTS = 4  # processes that share the system tests, which wait more than they compute
TEST_PROGRAMS = "meson-test-prereq"  # meson's target for what the tests run
INSTALLED = "installed"  # of meson.build
TSAN_PROGRAMS = "tsan-tests"  # of tests/unit/meson.build: those of the suite tsan
VALGRIND = ("valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite "
            "--child-silent-after-fork=yes")
# Unit tests of what valgrind does in its own way; they run without it, and under the sanitizers.
NOT_UNDER_VALGRIND = {
    "test_host_mem": "sets limits of the address space, of which valgrind takes most",
    "test_host_signals": "looks at signals that are pending; valgrind delivers them itself",
    "test_host_trial": "forbids calls by seccomp filters, which valgrind's own pass, and forks past it",
    "test_host_watch": "forbids io_uring by a seccomp filter, which valgrind's own calls pass",
}
# Of the simulator what takes long for its figures, not for other code.
FIGURES_OF_SIM = ("sim_goodput", "sim_fairness")
SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1:exitcode=99",
    "TSAN_OPTIONS": "halt_on_error=1:exitcode=99",
}


def last_lines(text, count=25):
    return "\n".join(text.rstrip().splitlines()[-count:])


def shell(argv, timeout, env=None):
    """(status, output) of a command; status None when it took longer than @timeout."""
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", timeout=timeout, check=False, cwd=ROOT,
                              stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})},
                              preexec_fn=lambda: proc.die_with(OURSELVES))
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        out = late.stdout or b""
        return None, out.decode("utf-8", "replace") if isinstance(out, bytes) else out


# --- builds -----------------------------------------------------------------------------------

def build(folder, options, cc, targets=""):
    """Configure ./folder when needed and compile @targets of it, all by default; one result."""
    script = f'. scripts/lib.sh; self=check root={ROOT}; build_in "$@"'
    status, out = shell(["bash", "-c", script, "build", str(ROOT / folder), "-Dwerror=true",
                         *options], 900, {"CC": cc, "targets": targets})
    return Result(f"build {folder}", "passed" if status == 0 else "failed", last_lines(out, 40))


def tests_of(folder):
    """(name, set of suites) of every test meson knows in ./folder."""
    status, out = shell(["meson", "introspect", "--tests", folder], 60)
    tests = json.loads(out) if status == 0 else []
    return [(test["name"], {suite.rpartition(":")[2] for suite in test["suite"]}) for test in tests]


TAP = re.compile(r"^\s*(not ok|ok)\b\s*\d*\s*-?\s*([^#\n]*)(#\s*skip\b.*)?", re.I | re.M)


def tap_results(name, out):
    found = []
    for verdict, title, skip in TAP.findall(out):
        status = "skipped" if skip else "passed" if verdict.lower() == "ok" else "failed"
        found.append(Result(f"{name}: {title.strip()}", status, skip))
    return found


def meson_results(folder, log, label):
    path = ROOT / folder / "meson-logs" / (log + ".json")
    for line in path.read_text(errors="replace").splitlines():
        test = json.loads(line)
        name = f"{label} {test['name'].rpartition('/')[2].strip()}"
        parts = tap_results(name, test.get("stdout") or "")
        note = last_lines((test.get("stdout") or "") + (test.get("stderr") or ""))
        if test["result"] == "SKIP":
            yield Result(name, "skipped", note)
        elif test["result"] in ("OK", "EXPECTEDFAIL"):
            yield from parts or [Result(name, "passed", "")]
        else:
            bad = [part for part in parts if part.status == "failed"]
            yield from (part for part in parts if part.status == "passed")
            yield from (bad or [Result(name, "failed", "")])[:-1]
            yield Result((bad or [Result(name, "", "")])[-1].name, "failed",
                         f"{test['result']}\n{note}")


def meson_tests(folder, label, suites=None, without=(), wrap=None, timeout=600, scale=1):
    """The tests of ./folder that belong to @suites (all by default), less suites or names of @without."""
    without = set(without)
    wanted = sorted(name for name, belongs in tests_of(folder)
                    if (suites is None or belongs & set(suites)) and not (belongs | {name}) & without)
    if not wanted:
        yield Result(f"{label}: no test in {folder}", "failed", "an empty run proves nothing")
        return
    argv = ["meson", "test", "-C", folder, "--no-rebuild", "--logbase", label,
            "--num-processes", "2", "--timeout-multiplier", str(scale)]
    if wrap:
        argv += ["--wrap", wrap]
    argv += wanted
    log = label + "-" + pathlib.Path(wrap.split()[0]).name if wrap else label
    (ROOT / folder / "meson-logs" / (log + ".json")).unlink(missing_ok=True)
    status, out = shell(argv, timeout, SANITIZER_ENV)
    try:
        yield from meson_results(folder, log, label)
    except FileNotFoundError:
        yield Result(f"{label}: run", "failed", last_lines(out))
        return
    if status is None:
        yield Result(f"{label}: run", "failed", f"not finished after {timeout} s")


# --- steps ------------------------------------------------------------------------------------

def step_gcc():
    yield build("build", ["-Dbuildtype=release"], "gcc")


def step_unit():
    yield from meson_tests("build", "test", without=("long", "tsan"))


def fresh_seeds(seconds, *options):
    """A failing one prints how to replay it, and leaves its capture in ./build."""
    status, out = shell(["env", "-C", "build", "tests/sim/sim", "--seconds", str(seconds), *options], seconds + 300)
    return Result(f"sim, {seconds} s of fresh seeds", "passed" if status == 0 else "failed", last_lines(out, 40))


def fresh_links(seconds):
    status, out = shell(["build/tests/sim/local_sim", "--seconds", str(seconds), "--twice", "20"], seconds + 300)
    return Result(f"sim, {seconds} s of fresh links", "passed" if status == 0 else "failed", last_lines(out))


def idle_instructions():
    """What an exchange costs beside many idle connections: instructions, for times depend on who else runs."""
    counted = {}
    for name in ("sim_idle_alone", "sim_idle_among"):
        with tempfile.NamedTemporaryFile() as result:
            status, out = shell(["valgrind", "--tool=callgrind", f"--toggle-collect={name}",
                                 f"--callgrind-out-file={result.name}", "build/tests/sim/scenarios", "idle", "10"], 300)
        found = re.search(r"Collected : (\d+)", out)
        if status != 0 or not found or int(found[1]) == 0:
            return Result("sim, instructions beside idle connections", "failed", last_lines(out))
        counted[name] = int(found[1])
    ratio = counted["sim_idle_among"] / counted["sim_idle_alone"]
    return Result("sim, instructions beside idle connections", "passed" if ratio <= 1.1 else "failed",
                  f"{ratio:.3f} times those of one alone")


def step_sim():
    yield fresh_seeds(30)
    yield fresh_links(10)
    yield idle_instructions()


def models(*options):
    status, out = shell([PYTHON, "tests/model/run_models.py", *options], 1200)
    found = tap_results("model", out)
    yield from found
    if status != 0 or not found:
        yield Result("model: run", "failed", last_lines(out))


def step_models():
    yield from models()


def step_system(pattern=None):
    outcomes = LOGS / "columns.json"
    for part in LOGS.glob(outcomes.name + "-*"):
        part.unlink()
    yield from pytest_results("system", ["tests/system", f"--outcomes={outcomes}-{{part}}"] +
                              (["-k", pattern] if pattern else []))
    if not pattern:
        parts = [json.loads(part.read_text()) for part in LOGS.glob(outcomes.name + "-*")]
        outcomes.write_text(json.dumps(sum(parts, [])))
        status, out = shell([PYTHON, "docs/fill_fidelity.py", "--check", str(outcomes)], 60)
        yield Result("docs/fidelity.md holds what the columns showed", "passed" if status == 0 else "failed", out)


def pytest_results(label, arguments):
    """The tests that @arguments name, in PARTS processes which take turns (tests/system/turns.py); {part} in an
    argument is the process' number."""
    with tempfile.TemporaryDirectory(prefix="fsock-check-") as folder:
        parts = [Part(label, number, folder, arguments) for number in range(PARTS)]
        try:
            wait_for_parts(parts, pathlib.Path(folder))
        finally:
            for part in parts:
                part.interrupt()
            for part in parts:
                part.end()
            state.sweep()
        collected = number_in(pathlib.Path(folder, "collected"))
    if "-k" in arguments and collected == 0 and {part.status for part in parts} == {5}:
        return
    count = 0
    for part in parts:
        found = part.results()
        count += len(found)
        yield from found
        if part.status not in (0, 1, 5):  # 1: a test failed; 5: nothing was left for this part
            yield Result(part.name, "failed", f"pytest ended with {part.status}")
    if not count or count < collected:
        yield Result(f"{label}: pytest", "failed", f"{count} tests of {collected} were run")


def number_in(path):
    """What a counter file of the turns says, 0 as long as it is not there."""
    try:
        return int(path.read_text() or "0")
    except FileNotFoundError:
        return 0


def wait_for_parts(parts, folder):
    """Until all have ended; says at every tenth of the tests how many were begun."""
    began, tenth = time.monotonic(), 1
    while any(part.process.poll() is None for part in parts):
        time.sleep(0.2)
        collected = number_in(folder / "collected")
        taken = sum(number_in(folder / name) for name in ("beside", "alone"))
        if collected and taken * 10 // collected >= tenth < 10:
            tenth = taken * 10 // collected + 1
            print(f"check: test {taken} of {collected} after {time.monotonic() - began:.0f} s", flush=True)


class Part:
    """
    One of the processes that share a run of pytest. It leads a session of its own, so that a Ctrl-C reaches it
    once and from us; what it says is in a file, whose end is shown when a test of it failed.
    """

    def __init__(self, label, number, folder, arguments):
        self.name = f"{label}: pytest, part {number}"
        self.xml, self.log = LOGS / f"{label}-{number}.xml", LOGS / f"{label}-{number}.log"
        self.xml.unlink(missing_ok=True)
        argv = [PYTHON, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--no-header", "--tb=short", "-rfE",
                f"--junitxml={self.xml}", f"--turns={folder}", f"--basetemp={folder}/tmp-{number}",
                *(argument.replace("{part}", str(number)) for argument in arguments)]
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=self._prepare)
        self.status = None

    @staticmethod
    def _prepare():
        proc.die_with(OURSELVES)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored in the background of a shell

    def interrupt(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)

    def end(self):
        """Wait for its end, which removes what its tests made; one that does not come to it is killed."""
        try:
            self.status = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.status = self.process.wait()

    def results(self):
        """One result per test; what pytest said of those that failed is printed."""
        if self.status != 0:
            print(self.log.read_text(errors="replace").partition("\n=")[2], flush=True)
        return list(pytest_cases(self.xml)) if self.xml.exists() else []


def pytest_cases(path):
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        bad = case.find("failure") if case.find("failure") is not None else case.find("error")
        skip = case.find("skipped")
        if bad is not None:
            yield Result(name, "failed", bad.get("message", ""))
        elif skip is not None:
            yield Result(name, "skipped", skip.get("message", ""))
        else:
            yield Result(name, "passed", "")


def step_asan():
    # Optimised further the tests take as long, and gcc, which then chews on every check, nearly twice as long.
    made = build("build-asan", ["-Dbuildtype=debugoptimized", "-Doptimization=g", "-Db_sanitize=address,undefined",
                                "-Db_lundef=false"], "gcc", TEST_PROGRAMS)
    yield made
    if made.status == "passed":
        yield from meson_tests("build-asan", "asan", suites=("unit", "fuzz", "sim"),
                               without=("sim-large", "sim-kernel", *FIGURES_OF_SIM), scale=4)


def step_clang():
    # What it says of the text of what is installed; what it makes of that, and of the tests, the long job unit sees.
    yield build("build-clang", ["-Dbuildtype=plain", "-Doptimization=0"], "clang", INSTALLED)


def step_tsan():
    made = build("build-tsan", ["-Dbuildtype=debugoptimized", "-Db_sanitize=thread",
                                "-Db_lundef=false", "-Dstack_base=0x7e9000000000ULL"], "gcc", TSAN_PROGRAMS)
    yield made
    if made.status == "passed":
        yield from meson_tests("build-tsan", "tsan", suites=("tsan",), scale=4)


STEPS = (
    ("gcc, warnings are errors", step_gcc),
    ("unit, layout, platform and corpus tests", step_unit),
    ("the simulator with fresh seeds", step_sim),
    ("models of waiting, and broken ones", step_models),
    ("whole programs in namespaces", step_system),
    ("address and undefined behaviour sanitizers", step_asan),
    ("clang, warnings are errors", step_clang),
    ("thread sanitizer", step_tsan),
)


# --- long jobs --------------------------------------------------------------------------------

def seeds_of(target):
    """The corpus folder of fuzz_NAME: NAME, or what follows wire_ in it."""
    return ROOT / "tests/fuzz/corpus" / target.name.removeprefix("fuzz_").removeprefix("wire_")


def fuzz(target, seconds):
    grown = ROOT / "build-fuzz" / "found" / target.name
    grown.mkdir(parents=True, exist_ok=True)
    seeds = seeds_of(target)
    if not seeds.is_dir():
        return Result(f"fuzz {target.name}", "failed", f"no corpus in {seeds}")
    status, out = shell([str(target), f"-max_total_time={seconds}", "-print_final_stats=1",
                         f"-artifact_prefix={grown}/", str(grown), str(seeds)], seconds + 120)
    return Result(f"fuzz {target.name}", "passed" if status == 0 else "failed", last_lines(out))


def long_fuzz():
    """each fuzz target for five minutes on top of its corpus, two at a time (FSOCK_FUZZ_SECONDS changes that)"""
    seconds = int(os.environ.get("FSOCK_FUZZ_SECONDS", "300"))
    made = build("build-fuzz", ["-Dbuildtype=debugoptimized", "-Dfuzz=true"], "clang")
    yield made
    if made.status != "passed":
        return
    targets = [path for path in sorted((ROOT / "build-fuzz/tests/fuzz").glob("fuzz_*"))
               if path.is_file() and os.access(path, os.X_OK)]
    if not targets:
        yield Result("fuzz", "failed", "no target was built")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        yield from pool.map(lambda target: fuzz(target, seconds), targets)


def long_demo():
    """./demo five times over, with a SIGKILL in between: nothing may remain; and in the midst of what another one does"""
    for turn in range(5):
        if turn % 2:
            child = subprocess.Popen([str(ROOT / "demo")], cwd=ROOT, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
            time.sleep(15)
            child.kill()
            child.wait()
            continue
        status, out = shell([str(ROOT / "demo"), "--json"], 300)
        left = [name for name in state.namespaces() if name.startswith("fsock-demo-")]
        yield Result(f"demo run {turn + 1}", "passed" if status == 0 and not left else "failed",
                     last_lines(out) + f"\nleft behind: {left}")
    yield from pytest_results("demo", ["tests/system/test_commands.py", "-k", "demo_race", "--lengths=whole"])


def long_kill():
    """the kill -9 tests two hundred times over"""
    for turn in range(200):
        status, out = shell([PYTHON, "-m", "pytest", "-p", "no:cacheprovider", "-q",
                             "tests/system/test_faults.py", "-k", "kill"], 300)
        if status != 0:
            yield Result(f"kill round {turn + 1}", "failed", last_lines(out, 60))
            return
    yield Result("kill, 200 rounds", "passed", "")


def long_sim():
    """half an hour of fresh seeds (FSOCK_SIM_SECONDS), written worlds at length, traces against the kernel"""
    seconds = int(os.environ.get("FSOCK_SIM_SECONDS", "1800"))
    worlds = (("fairness", "500"), ("goodput", "1000"), ("side_by_side", "500"), ("alloc", "100"), ("flood", "300"),
              ("blind", "500"))
    for name, percent in worlds:
        status, out = shell(["build/tests/sim/scenarios", name, percent], 1200)
        yield Result(f"sim {name} {percent} %", "passed" if status == 0 else "failed", last_lines(out))
    status, out = shell(["build/tests/sim/against_kernel", "1..5000"], 1200)
    yield Result("sim against the kernel, 5000 traces", "passed" if status == 0 else "failed", last_lines(out))
    yield fresh_seeds(seconds, "--twice", "50", "--keep-going")
    yield fresh_links(seconds // 4)


def suite_results(found):
    for name, good, note in found:
        print(f"check: {name}: {note.splitlines()[0]}", flush=True)
        yield Result(name, "passed" if good else "failed", note)


def long_model():
    """the models of waiting over shared memory, with more bytes"""
    yield from models("--deep")


def long_local():
    """a link between two processes: a thousand million bytes, a thousand deaths, ten minutes of fresh worlds; programs' deaths"""
    seed = str(int(time.time()))
    for words in (["bytes=1000000000"], ["kills=1000"]):
        status, out = shell(["build/tests/system/local_stress", "seed=" + seed, *words], 600)
        yield Result(f"local_stress seed={seed} {words[0]}", "passed" if status == 0 else "failed", last_lines(out))
    yield fresh_links(600)
    yield from pytest_results("deaths of programs", ["tests/system/test_local_ends.py", "-k", "any_moment", "--lengths=whole"])


def long_unit():
    """the unit tests once more: under valgrind, and as clang compiles them; threads under the sanitizer"""
    yield from meson_tests("build", "valgrind", suites=("unit",), without=NOT_UNDER_VALGRIND, wrap=VALGRIND, scale=20)
    made = build("build-clang-release", ["-Dbuildtype=release"], "clang")
    yield made
    if made.status == "passed":
        yield from meson_tests("build-clang-release", "clang", suites=("unit",))
    yield from pytest_results("tsan", ["tests/system/test_tsan.py", "--lengths=whole"])


def long_interfaces():
    """interfaces that go, return and change under sockets, with every provider"""
    yield from pytest_results("interfaces", ["tests/system/test_interface_life.py", "tests/system/test_interface_streams.py",
                                             "--lengths=whole"])


def long_python():
    """CPython's own tests of sockets, multiplexing, threads and processes (FSOCK_MODULES: some of them): each as on the kernel"""
    yield from suite_results(suites.python(os.environ.get("FSOCK_MODULES", "").split() or suites.PYTHON_MODULES))


def long_servers():
    """redis' and memcached's own suites, each test as on the kernel (FSOCK_SUITES: which): over loopback off, "far" on fsock"""
    yield from suite_results(suites.servers(os.environ.get("FSOCK_SUITES", "")))


def long_families():
    """every API program in every address family, also where the family should not matter"""
    yield from pytest_results("families", ["tests/system/test_api.py", "--families=all"])


PROGRAM_TESTS = [f"tests/system/test_{name}_programs.py" for name in ("database", "web", "file", "tls", "process")]


def long_programs():
    """programs over TCP at length, faults that last, a million sockets, java, a cluster; servers of all kinds three times over"""
    yield from pytest_results("programs", ["tests/system/test_programs.py", "tests/system/test_tcp_programs.py", "tests/system/test_tcp_faults.py",
                                           "tests/system/test_tcp_workers.py",
                                           "tests/system/test_pitfalls.py", "tests/system/test_java_programs.py",
                                           "tests/system/test_cluster.py", "--lengths=whole"])
    for turn in range(1, 4):
        yield from pytest_results(f"programs-{turn}", [*PROGRAM_TESTS, "--lengths=whole"])


def long_packet():
    """every API program, and the tests of programs, on packet sockets"""
    yield from pytest_results("packet", ["tests/system/test_api.py", "tests/system/test_programs.py",
                                         "tests/system/test_life.py", "--columns=KP", "--packet=all",
                                         "--provider=packet"])


def bench_result(*words):
    """of bench/run with these words; its figures are printed, good or bad, and kept beside the logs"""
    kept = LOGS / f"bench-{words[-1] if words else 'all'}.json"
    status, out = shell([str(ROOT / "bench/run"), "--json", str(kept), *words], 3600)
    figures = last_lines("\n".join(line for line in out.splitlines() if not line.startswith("bench: ")), 200)
    if status == 0:
        print(figures, flush=True)
    return Result(" ".join(["bench/run", *words]), "passed" if status == 0 else "failed", last_lines(out, 20) + figures)


def long_bench():
    """every scenario of bench/run with its rows checked"""
    yield bench_result()


def long_tcp_loss():
    """goodput under loss beside the kernel's, ten paired runs of 20 s over each link: 40 minutes"""
    yield bench_result("--rounds", "10", "--seconds", "20", "tcp_loss")


def long_tcp_soak():
    """connections over a link that loses, doubles and overtakes, ten minutes or FSOCK_SOAK_SECONDS: nothing grows"""
    os.environ.setdefault("FSOCK_SOAK_SECONDS", "600")
    yield from pytest_results("tcp_soak", ["tests/system/test_tcp_soak.py", "--lengths=whole"])


def long_soak():
    """nginx reloads, redis saves, connections come and go at both for half an hour or FSOCK_SOAK_SECONDS: nothing grows"""
    os.environ.setdefault("FSOCK_SOAK_SECONDS", "1800")
    yield from pytest_results("soak", ["tests/system/test_soak.py", "--lengths=whole"])


def long_epoll_stress():
    """a hundred million tokens to who sleeps or spins in epoll_wait() (FSOCK_HAND_OFFS: how many millions): about an hour"""
    os.environ.setdefault("FSOCK_HAND_OFFS", "100")
    yield from pytest_results("epoll_stress", ["tests/system/test_hand_offs.py"])


LONG = {"unit": long_unit, "fuzz": long_fuzz, "sim": long_sim, "model": long_model, "local": long_local, "demo": long_demo,
        "kill": long_kill, "python": long_python, "servers": long_servers, "families": long_families,
        "interfaces": long_interfaces,
        "packet": long_packet, "programs": long_programs, "bench": long_bench, "tcp_loss": long_tcp_loss,
        "tcp_soak": long_tcp_soak, "soak": long_soak, "epoll_stress": long_epoll_stress}


# --- the whole --------------------------------------------------------------------------------

def allowed_skips():
    rules = []
    for line in (ROOT / "tests" / "skips.txt").read_text().splitlines():
        line = line.partition("#")[0].strip()
        if line:
            pattern, _, feature = (word.strip() for word in line.partition("|"))
            if not feature:
                raise SystemExit(f"check: tests/skips.txt: no feature named for {pattern}")
            rules.append(pattern)
    return rules


def judge(result, rules):
    if result.status == "skipped" and not any(fnmatch.fnmatch(result.name, r) for r in rules):
        return result._replace(status="failed", note="skipped, but not listed in tests/skips.txt\n"
                               + result.note)
    return result


def run_steps(steps):
    rules, total, failed = allowed_skips(), collections.Counter(), []
    for number, (title, step) in enumerate(steps, 1):
        print(f"check: [{number}/{len(steps)}] {title}", flush=True)
        began, here = time.monotonic(), collections.Counter()
        for result in step():
            result = judge(result, rules)
            here[result.status] += 1
            if result.status == "failed":
                failed.append(result)
                print(f"check: FAILED {result.name}\n{result.note}", flush=True)
        total += here
        print(f"check: [{number}/{len(steps)}] {here['passed']} passed, {here['failed']} failed, "
              f"{here['skipped']} skipped in {time.monotonic() - began:.0f} s", flush=True)
        if title.startswith("gcc") and here["failed"]:
            break
    if failed:
        print("check: failed were")
        for result in failed:
            print("check:    ", result.name)
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped",
          flush=True)
    return 1 if total["failed"] or not total["passed"] else 0


def main():
    parser = argparse.ArgumentParser(prog="check")
    parser.add_argument("-k", metavar="PATTERN", help="only tests whose name holds PATTERN")
    parser.add_argument("--long", metavar="NAME", choices=LONG, help="run one long job")
    parser.add_argument("--list", action="store_true", help="name the long jobs")
    args = parser.parse_args()
    if args.list:
        for name, job in LONG.items():
            print(f"{name:8} {job.__doc__}")
        return 0
    os.chdir(ROOT)
    for what in state.sweep():
        print("check: removed what a former run left:", what)
    missing = net.lacks()
    for what in missing:
        print("check: this machine lacks", what)
    if any(not what.startswith("AF_XDP") for what in missing):
        print("check: cannot run the tests without that", file=sys.stderr)
        return 2
    if args.long:
        return run_steps([STEPS[0], (args.long, LONG[args.long])])
    if args.k:
        def chosen():
            yield from (r for r in step_unit() if args.k in r.name)
            yield from step_system(args.k)
        return run_steps([STEPS[0], (f"tests with '{args.k}' in their name", chosen)])
    return run_steps(STEPS)


if __name__ == "__main__":
    state.end_on_signals()
    try:
        status = main()
    except KeyboardInterrupt:
        status = 130
    finally:
        state.close()
    sys.exit(status)
