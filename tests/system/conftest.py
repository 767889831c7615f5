# SPDX-License-Identifier: BSD-2-Clause
"""What all tests of whole programs share: namespaces, the built command, the columns to run."""
import contextlib
import json
import os
import pathlib
import sys
import time

import pytest

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "system")]
import turns  # noqa: E402
from lab import fsock, net, state  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--columns", default="KNAMPSL",
                     help="columns of the API programs to run: K, N, A, M, P, S, L (default all)")
    parser.addoption("--packet", default="some", choices=("some", "all"),
                     help="all: every API program in column P")
    parser.addoption("--provider", metavar="NAME",
                     help="what programs under fsock use where the test does not say")
    parser.addoption("--families", default="useful", choices=("useful", "all"),
                     help="all: every API program in every address family")
    parser.addoption("--cases", metavar="GLOB", default="*", help="cases of the stream programs to run")
    parser.addoption("--lengths", default="short", choices=("short", "whole"),
                     help="whole: programs over TCP move as much as their users do")
    parser.addoption("--outcomes", metavar="FILE",
                     help="write what the accelerated columns showed there, for docs/fill_fidelity.py")
    parser.addoption("--turns", metavar="DIR",
                     help="share the tests with other processes given the same folder, empty at first; see turns.py")


def pytest_generate_tests(metafunc):
    if "api_case" in metafunc.fixturenames:
        import columns
        chosen = columns.selection(metafunc.config.getoption("--families") == "all")
        metafunc.parametrize("api_case", chosen, ids=["-".join(map(str, c[:3])) for c in chosen])
    if "stream_program" in metafunc.fixturenames:
        import streams
        chosen = streams.selection(metafunc.config.getoption("--families") == "all")
        metafunc.parametrize("stream_program", chosen, ids=["-".join(c) for c in chosen])


def pytest_collection_modifyitems(config, items):
    """What is marked as AF_XDP's own says nothing about another provider; the long jobs' own is for them."""
    others = {"af_xdp"} if config.getoption("--provider") not in (None, "xdp") else set()
    if config.getoption("--lengths") != "whole":
        others.add("whole")
    left_out = [item for item in items if others & {mark.name for mark in item.iter_markers()}]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_configure(config):
    config.addinivalue_line("markers", "af_xdp: looks at what only AF_XDP has; left out with another --provider")
    config.addinivalue_line("markers", "whole: left out without --lengths=whole")
    config.addinivalue_line("markers", "early: takes so long that others would wait for its end; begun first")
    config.addinivalue_line("markers", "alone: other tests beside it would change what it sees")
    state.end_on_signals()
    state.sweep()
    if config.getoption("--provider"):
        fsock.DEFAULTS["provider"] = config.getoption("--provider")


def pytest_runtestloop(session):
    """In turns with others, where that is asked for; else pytest's own loop."""
    folder = session.config.getoption("--turns")
    if not folder or session.config.option.collectonly or session.testsfailed:
        return None
    for item, following in turns.Turns(pathlib.Path(folder), session.items):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
    return True


def pytest_unconfigure(config):
    state.close()


@pytest.fixture(scope="session", autouse=True)
def built():
    """Everything here needs root and a build; without them nothing can be said."""
    missing = net.lacks(af_xdp=False)
    if missing:
        pytest.exit("cannot run here, missing " + "; ".join(missing), 2)
    if not (fsock.build_dir() / "tests" / "system").is_dir():
        pytest.exit(f"nothing built in {fsock.build_dir()}; run ./check or meson and ninja", 2)


@pytest.fixture(scope="session")
def outcomes(pytestconfig):
    """What test_api found out: one dict per case and family that passed."""
    found = []
    yield found
    path = pytestconfig.getoption("--outcomes")
    if path:
        pathlib.Path(path).write_text(json.dumps(found))


@pytest.fixture
def pair():
    """Two namespaces .a and .b of this test alone."""
    with net.Pair() as made:
        yield made


@pytest.fixture(scope="module")
def shared_pairs():
    """Two pairs for all tests of a module, which may ask for more ICMP errors than six."""
    with net.Pair() as one, net.Pair() as two:
        one.meet()
        two.meet()
        for side in (one.a, one.b, two.a, two.b):
            side.run(["sh", "-c", "echo 0 >/proc/sys/net/ipv4/icmp_ratelimit;"
                      "echo 0 >/proc/sys/net/ipv6/icmp/ratelimit"])
        yield one, two


@pytest.fixture(scope="module")
def shared_pair(shared_pairs):
    return shared_pairs[0]


@pytest.fixture(scope="module")
def place():
    """A host of a module's tests: no interface but the loopback, which has more addresses than its own."""
    with net.Alone(more=("10.77.0.1/32", "fd77::1/128")) as made:
        yield made


MEMORY = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"  # version 1, where the controller is still there
if not pathlib.Path(MEMORY[0]).is_dir():
    MEMORY = "/sys/fs/cgroup", "memory.max"


@pytest.fixture
def memory_group():
    """A control group whose limit the test sets: the directory and the limit's file."""
    group = pathlib.Path(MEMORY[0]) / f"fst-{os.getpid()}"
    group.mkdir()
    try:
        yield group, group / MEMORY[1]
    finally:
        for _ in range(100):
            with contextlib.suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.1)

@pytest.fixture(scope="session")
def program():
    """program(name): path of a program of tests/system in the build folder."""
    return lambda name: str(fsock.build_dir() / "tests" / "system" / name)
