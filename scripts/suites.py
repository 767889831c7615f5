# SPDX-License-Identifier: BSD-2-Clause
"""
suites - the test suites that others wrote for their programs, run on kernel sockets, with the library switched off, and on
fsock: each of their tests comes to the same outcome as on the kernel.

Every function yields (name, good, note) of a column that is compared. Where a suite talks to itself over the loopback,
which fsock leaves to the kernel, the library has to be no trouble; what is carried is for tests/system.
"""
import pathlib
import re
import tempfile
import xml.etree.ElementTree

from lab import fsock, net

PYTHON = "/usr/bin/python3"
COLUMNS = {"kernel": (lambda argv: argv, {}),
           "off": (fsock.run, {"FSOCK_ACCELERATE": "0"}),
           "accelerated": (lambda argv: fsock.run(argv, profile="latency"), {})}


def compare(name, run):
    """@run(column) gives the outcome of each test by its name, and what was printed."""
    found = {column: run(column) for column in COLUMNS}
    want, _ = found.pop("kernel")
    for column, (outcomes, said) in found.items():
        other = [f"{test}: {outcomes.get(test, 'not run')}, on the kernel {want.get(test, 'not run')}"
                 for test in sorted(want.keys() | outcomes.keys()) if outcomes.get(test) != want.get(test)]
        passed = sum(outcome == "passed" for outcome in outcomes.values())
        yield (f"{name}, {column}", not other and passed > 0,
               "\n".join([f"{passed} of {len(outcomes)} passed", *other] + ([said[-6000:]] if other else [])))


def run_in(column, argv, timeout, **options):
    """Run @argv in a namespace of its own, by the column's way: proc.Result."""
    wrap, env = COLUMNS[column]
    with net.Pair() as pair:
        return pair.a.run(wrap(argv), timeout=timeout, env={**fsock.CLEAN, **env}, **options)


# --- python -----------------------------------------------------------------------------------

PYTHON_MODULES = ("test_socket", "test_asyncore", "test_socketserver", "test_selectors", "test_epoll", "test_poll",
                  "test_select", "test_subprocess", "test_signal", "test_eintr", "test_asyncio", "test_ssl",
                  "test_ftplib", "test_httpservers", "test_smtplib", "test_os", "test_threading",
                  "test_multiprocessing_fork", "test_multiprocessing_spawn", "test_multiprocessing_forkserver")
PYTHON_FAILED = re.compile(r"^(?:FAIL|ERROR): \S+ \(([\w.]+)\)", re.M)


def python_outcome(case):
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "skipped" if case.find("skipped") is not None else "passed"


def python_module(module, column):
    with tempfile.TemporaryDirectory(prefix="fsock-python-") as folder:
        path = pathlib.Path(folder, "outcomes")
        # VSOCK needs a hypervisor on the other side and waits for ever without.
        done = run_in(column, [PYTHON, "-m", "test", "-v", "-u", "network", "-i", "*VSOCK*", "--junit-xml", path, module],
                      1200)
        said = done.out + done.err
        outcomes = {}
        if path.exists():
            cases = xml.etree.ElementTree.parse(path).iter("testcase")
            outcomes = {case.get("name"): python_outcome(case) for case in cases if case.get("name")}
        # The file knows nothing of parts of tests, and of what is made ready for a class.
        outcomes.update((name, "failed") for name in PYTHON_FAILED.findall(said))
        outcomes["the run"] = f"ended with {done.status}"
        return outcomes, said


def python(modules):
    for module in modules:
        yield from compare(f"python {module}", lambda column, module=module: python_module(module, column))
