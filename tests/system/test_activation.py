# SPDX-License-Identifier: BSD-2-Clause
"""
test_activation - what a service manager opened and keeps: what waits there for a service that ends waits for the next one.
A service on fsock, compared with the same one on kernel sockets.
"""
import contextlib
import errno
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import textwrap

import pytest

from lab import fsock, net, proc

PROGRAMS = pathlib.Path(__file__).resolve().parent / "programs"
PYTHON = "/usr/bin/python3"
PORT = 7390
WAYS = ["kernel", "fast"]

# Answers so many callers in capitals, and ends.
ANSWERS = textwrap.dedent("""
    import os, socket, sys
    listener = socket.socket(fileno=3)
    for _ in range(int(sys.argv[1])):
        peer = listener.accept()[0]
        peer.settimeout(60)
        peer.sendall(b"".join(iter(lambda: peer.recv(65536), b"")).upper())
        peer.close()
    listener.detach()
""")


def on(way, argv):
    """Both begin with a path: the manager has them executed."""
    return fsock.run(argv, profile="latency") if way == "fast" else list(map(str, argv))


class Manager:
    """programs/manager.py in a namespace, not on fsock."""

    def __init__(self, running):
        self.running, self.begun = running, 0

    def begin(self, argv):
        """A program gets the socket."""
        self.begun += 1
        self.running.child.stdin.write(json.dumps(argv).encode() + b"\n")
        self.running.child.stdin.flush()

    def ended(self):
        """The last one has ended: what was found then."""
        count = proc.until(lambda: self.running.out.count("ended") == self.begun or not self.running.alive())
        assert count and self.running.alive(), self.running.out + self.running.err
        return self.running.out[self.running.out.rindex("ended"):].strip()

    def service(self):
        """The process that says it sleeps."""
        assert self.running.wait_for("sleeps"), self.running.out + self.running.err
        return int(re.search(r"sleeps (\d+)", self.running.out)[1])


@contextlib.contextmanager
def manager(pair, kind, host, options=()):
    pair.meet()
    argv = [PYTHON, PROGRAMS / "manager.py", kind, host, PORT, list(options)]
    with pair.b.popen(argv, env=fsock.CLEAN, stdin=subprocess.PIPE) as running:
        assert running.wait_for("opened"), running.err
        yield Manager(running)


@contextlib.contextmanager
def callers(pair, host, count):
    with contextlib.ExitStack() as stack:
        with pair.a.inside():
            made = [socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) for _ in range(count)]
        for one in made:
            stack.enter_context(one).settimeout(proc.GUARD)
        yield made


def answer(caller):
    return b"".join(iter(lambda: caller.recv(65536), b""))


# --- what waits -------------------------------------------------------------------------------


def next_one_answers(pair, host, way, end):
    """Two callers meet a service that does not accept: what the first one sent lies there, the second one speaks later."""
    with manager(pair, "stream", host) as held, callers(pair, host, 2) as (early, late):
        held.begin(on(way, [PYTHON, PROGRAMS / "lent.py", end]))
        pid = held.service()
        early.connect((host, PORT))
        early.sendall(b"early")
        early.shutdown(socket.SHUT_WR)
        late.connect((host, PORT))
        if way == "fast":
            assert proc.until(lambda: fsock.counters(pid)["tcp_opened_passive"] == 2), "they came by the kernel"
        os.kill(pid, signal.SIGUSR1)
        first = held.ended()
        late.sendall(b"late")
        late.shutdown(socket.SHUT_WR)
        held.begin(on(way, [PYTHON, "-c", ANSWERS, 2]))
        return [answer(early), answer(late), first, held.ended()]


@pytest.mark.parametrize("end", ["close", "exit", "_exit", "replace", "execute", "child", "heir", "brothers"])
def test_who_waits_is_answered_by_the_next_service(pair, end):
    """However the listener goes from this one, or from its child, that may have made no call on it, or that ends beside it."""
    on_kernel, on_fsock = (next_one_answers(pair, net.B4, way, end) for way in WAYS)
    assert on_kernel[:2] == [b"EARLY", b"LATE"]
    assert on_fsock == on_kernel


def test_who_waits_is_answered_by_the_next_service_over_ipv6(pair):
    on_kernel, on_fsock = (next_one_answers(pair, net.B6, way, "close") for way in WAYS)
    assert on_fsock == on_kernel


@pytest.mark.parametrize("end", ["close", "exit"])
def test_who_is_in_a_handshake_is_answered_by_the_next_service(pair, end):
    """What completes it does not come through before the service has ended."""
    with manager(pair, "stream", net.B4) as held, callers(pair, net.B4, 1) as (caller,):
        held.begin(on("fast", [PYTHON, PROGRAMS / "lent.py", end]))
        pid = held.service()
        rules = "chain c { type filter hook output priority 0; tcp flags == ack drop; }"
        done = pair.a.run(["sh", "-c", f"echo 'table inet lost {{ {rules}; }}' | nft -f -"])
        assert done.status == 0, done.err
        try:
            caller.setblocking(False)
            assert caller.connect_ex((net.B4, PORT)) == errno.EINPROGRESS
            assert proc.until(lambda: fsock.counters(pid)["tcp_segments_out"] >= 1), "no SYN came to the engine"
            assert fsock.counters(pid)["tcp_opened_passive"] == 0
            os.kill(pid, signal.SIGUSR1)
            held.ended()
        finally:
            pair.a.run(["nft", "delete", "table", "inet", "lost"])
        caller.settimeout(proc.GUARD)
        caller.sendall(b"hello")
        caller.shutdown(socket.SHUT_WR)
        held.begin(on("fast", [PYTHON, "-c", ANSWERS, 1]))
        assert answer(caller) == b"HELLO"


# Sleeps until SIGUSR1, leaves its place to a child, which answers two callers; its parent has ended by then.
FORKS = textwrap.dedent("""
    import os, signal, socket
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    listener = socket.socket(fileno=3)
    print("sleeps", os.getpid(), flush=True)
    signal.sigwait({signal.SIGUSR1})
    lives, ends = os.pipe()
    if os.fork():
        os._exit(0)
    os.close(ends)
    os.read(lives, 1)
    for _ in range(2):
        peer = listener.accept()[0]
        print("went on as", os.getpid(), "blocking", os.get_blocking(3), flush=True)
        peer.sendall(peer.recv(100).upper())
        peer.close()
    listener.detach()
""")


def test_a_service_that_leaves_its_place_to_a_child_goes_on(pair):
    """Who waits then comes by the kernel, who calls later by the fast path. The description ends as it was."""
    with manager(pair, "stream", net.B4) as held, callers(pair, net.B4, 2) as (early, late):
        held.begin(on("fast", [PYTHON, "-c", FORKS]))
        pid = held.service()
        early.connect((net.B4, PORT))
        early.sendall(b"early")
        assert proc.until(lambda: fsock.counters(pid)["tcp_opened_passive"] == 1)
        os.kill(pid, signal.SIGUSR1)
        assert answer(early) == b"EARLY", held.running.err
        assert held.running.wait_for("went on as"), held.running.err
        child = int(re.search(r"went on as (\d+)", held.running.out)[1])
        assert proc.until(lambda: fsock.accelerated(child)), fsock.stat(child)
        late.connect((net.B4, PORT))
        assert proc.until(lambda: fsock.counters(child)["tcp_opened_passive"] == 2), fsock.counters(child)
        late.sendall(b"late")
        assert answer(late) == b"LATE", held.running.err
        assert held.ended().startswith("ended 0 nonblock False")
        assert held.running.out.count("blocking True") == 2


# Says who it is, and ends when it is told to.
WAITS = textwrap.dedent("""
    import os, signal, socket
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    held = socket.socket(fileno=3)
    print("sleeps", os.getpid(), flush=True)
    signal.sigwait({signal.SIGUSR1})
""")


def test_a_datagram_socket_keeps_its_room(pair):
    """The stack widens the shadow's buffer. Each next service would find a wider one."""
    with manager(pair, "datagram", net.B4) as held:
        found = []
        for way in WAYS:
            held.begin(on(way, [PYTHON, "-c", WAITS]))
            assert proc.until(lambda: held.running.out.count("sleeps") == held.begun), held.running.err
            pid = int(re.findall(r"sleeps (\d+)", held.running.out)[-1])
            assert fsock.accelerated(pid) == (way == "fast")
            os.kill(pid, signal.SIGUSR1)
            found.append(held.ended())
        assert found[0] == found[1]
