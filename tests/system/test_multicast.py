# SPDX-License-Identifier: BSD-2-Clause
"""
Groups and broadcast: sockets under the preload at .b, kernel members beside them and at .a, and senders
of either kind. What is said to be fast is read from fsock's counters. The sums over what kernel sockets
send are complete here (transmit checksum offload is off), or generic XDP would leave it to the kernel.
"""
import errno
import json
import pathlib
import subprocess
import time

import pytest

from lab import fsock, net, state

PROGRAMS = pathlib.Path(__file__).resolve().parent / "programs"
PYTHON = "/usr/bin/python3"
LATENCY = {"profile": "latency"}
PORT = 5000
G4, OTHER4 = "239.77.1.1", "239.77.1.2"
G6, OTHER6 = "ff15::77:1", "ff15::77:2"
ANY = {"v4": "0.0.0.0", "v6": "::"}
GROUP = {"v4": G4, "v6": G6}
SECOND = {"v4": OTHER4, "v6": OTHER6}


class Agent:
    """A process of agent.py in @side; @fast under the preload."""

    def __init__(self, side, fast=True, **options):
        argv = [PYTHON, PROGRAMS / "agent.py"]
        if fast:
            argv = fsock.run(argv, **{**LATENCY, **options})
        env = {name: value for name, value in __import__("os").environ.items() if name not in fsock.CLEAN}
        self.child = subprocess.Popen(side.argv(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      text=True, env=env)
        self.pid = self.child.pid
        state.record().process(self.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()
        self.child.stdin.close()
        self.child.stdout.close()

    def __call__(self, line):
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()
        answer = json.loads(self.child.stdout.readline())
        if "errno" in answer:
            raise OSError(answer["errno"], f"{errno.errorcode.get(answer['errno'])}: {line}")
        return answer["value"]

    def all(self, *lines):
        return [self(line) for line in lines]

    def counts(self):
        return fsock.counts(self.pid)

    def sockets(self, port=PORT):
        return [sock for sock in fsock._sockets(fsock.stat(self.pid)) if sock["local_port"] == port]

    def took(self, line, fast=0, kernel=0):
        """The answer to @line, by which so many datagrams came by either way."""
        before = self.counts()
        value = self(line)
        after = self.counts()
        ways = (after.rx_fast - before.rx_fast, after.rx_kernel - before.rx_kernel)
        assert ways == (fast, kernel), (line, value, ways)
        return value


def words(group, *numbers):
    return [f"{group} {n}" for n in numbers]


@pytest.fixture(name="wire", scope="module")
def _wire(shared_pair):
    for side in (shared_pair.a, shared_pair.b):
        side.run(["ethtool", "-K", net.LINK, "tx", "off"])
    return shared_pair


@pytest.fixture(name="far")
def _far(wire):
    """A kernel process at .a with senders s4 and s6."""
    with Agent(wire.a, fast=False) as agent:
        agent.all("sender('v4')", "sender('v6', v6=True)")
        yield agent


@pytest.fixture(name="near")
def _near(wire):
    """A kernel process at .b: somebody else on the host of the fast sockets."""
    with Agent(wire.b, fast=False) as agent:
        yield agent


@pytest.fixture(name="ours")
def _ours(wire):
    with Agent(wire.b) as agent:
        yield agent


BOTH = pytest.mark.parametrize("family", ["v4", "v6"])


@BOTH
@pytest.mark.parametrize("where", ["wildcard", "group"])
@pytest.mark.parametrize("order", ["bind first", "join first"])
def test_any_source(ours, far, family, where, order):
    """One member, bound to the port or to the group, whatever the order: fast from the first datagram."""
    group = GROUP[family]
    local = ANY[family] if where == "wildcard" else group
    ours(f"opened('r', v6={family == 'v6'})")
    steps = [f"bind('r', '{local}', {PORT})", f"join('r', '{group}')"]
    ours.all(*(steps if order == "bind first" else steps[::-1]))
    far(f"send('{family}', '{group}', {PORT}, count=20)")
    assert ours.took("got('r', 20)", fast=20) == words(group, *range(20))
    far(f"send('{family}', '{SECOND[family]}', {PORT})")
    assert ours.took("got('r', 0)") == []
    ours(f"leave('r', '{group}')")
    far(f"send('{family}', '{group}', {PORT})")
    assert ours.took("got('r', 0)") == []


@BOTH
def test_several_in_one_process(ours, far, family):
    """Each member of one group on one port has its copy."""
    group = GROUP[family]
    for name in "abc":
        ours.all(f"udp('{name}', '{ANY[family]}', {PORT})", f"join('{name}', '{group}')")
    far(f"send('{family}', '{group}', {PORT}, count=10)")
    for name in "abc":
        assert ours.took(f"got('{name}', 10)", fast=10) == words(group, *range(10))
    ours("close('b')")
    far(f"send('{family}', '{group}', {PORT}, count=10)")
    for name in "ac":
        assert ours.took(f"got('{name}', 10)", fast=10) == words(group, *range(10))


@BOTH
def test_each_its_own_groups(ours, far, family):
    """Sockets on one port that want only what they joined, and one that takes all that is joined."""
    one, two = GROUP[family], SECOND[family]
    for name in "abc":
        ours(f"udp('{name}', '{ANY[family]}', {PORT})")
    ours.all(f"join('a', '{one}')", f"join('b', '{two}')", "own_only('a')", "own_only('b')")
    far.all(f"send('{family}', '{one}', {PORT})", f"send('{family}', '{two}', {PORT}, first=1)")
    assert ours.took("got('a')", fast=1) == words(one, 0)
    assert ours.took("got('b')", fast=1) == words(two, 1)
    assert ours.took("got('c', 2)", fast=2) == words(one, 0) + words(two, 1)
    ours("own_only('a', False)")
    far(f"send('{family}', '{two}', {PORT})")
    assert ours.took("got('a')", fast=1) == words(two, 0)
