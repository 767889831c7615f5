# SPDX-License-Identifier: BSD-2-Clause
"""
Connections that outlive the process which attached the interface: whoever inherited one goes on with it, whatever ended
that process, whoever speaks first, and without a reset or a lost byte.
"""
import contextlib
import ctypes
import fcntl
import os
import re
import signal
import socket
import struct
import termios
import threading
import time

import pytest

from lab import fsock, net, proc
from test_tcp_faults import BACK_PORT, GUARD, PORT, PROGRAMS, PYTHON, Wire, connected, drop, listening
from test_tcp_faults import pair  # noqa: F401 (a fixture)


ENDS = ("exec", "exit", "kill")
SPAWN = """
import os, socket, subprocess, sys, time
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def ask():
    for i in range(100):
        sock.sendall(b"%9d" % i)
        assert sock.recv(9, socket.MSG_WAITALL) == b"%9d" % i
ask()
subprocess.run(["true"], check=True, close_fds=False)
os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
ask()
print("well", flush=True)
time.sleep(60)
"""
FIRST = ("peer", "heir", "idle")
SYS_BPF, BPF_PROG_QUERY, TCX_INGRESS, TCX_EGRESS = 321, 16, 46, 47  # linux/bpf.h
NOTHING = ([], 0, "")
libc = ctypes.CDLL(None)


class Peer(threading.Thread):
    """Says back what it hears over @sock until that ends."""

    def __init__(self, sock):
        super().__init__(daemon=True)
        self.sock, self.wrong = sock, None
        self.start()

    def run(self):
        try:
            while data := self.sock.recv(65536):
                self.sock.sendall(data)
        except OSError as error:
            self.wrong = error


class Heir:
    """stream_heir.py on fsock in pair.b, its peer in pair.a: .running, .peer; .pid of who goes on when go() was called."""

    def __init__(self, pair, way, end, calls="joined", generations=1, family="v4", **options):
        self.pair, self.way, self.family, self.pid = pair, way, family, None
        self.stack = contextlib.ExitStack()
        with contextlib.ExitStack() as failing:
            failing.callback(self.close)
            self.wire = self.stack.enter_context(contextlib.closing(Wire(pair.a)))
            address, port = (pair.a.address(family), BACK_PORT) if way == "connect" else (pair.b.address(family), PORT)
            back = self.stack.enter_context(contextlib.closing(listening(pair.a, address))) if way == "connect" else None
            heard, self.told = os.pipe()
            self.stack.callback(os.close, self.told)
            argv = [PYTHON, PROGRAMS / "stream_heir.py", way, address, port, end, calls, generations]
            with open(heard, "rb") as stdin:
                self.running = self.stack.enter_context(pair.b.popen(
                    fsock.run(argv, profile="latency", **options), env=fsock.CLEAN, cpu=proc.cpus()[1], stdin=stdin))
            if not back:
                assert self.running.wait_for("ready", GUARD), self.running.err
            self.peer = self._talk(back.accept()[0] if back else connected(pair.a, address))
            failing.pop_all()

    def _talk(self, sock):
        self.stack.enter_context(contextlib.closing(sock))
        return Peer(sock)

    def hears(self, text):
        """The first process may have ended, which wait_for() takes for the end."""
        assert proc.until(lambda: re.search(text, self.running.out) or "Error" in self.running.err, GUARD), "nothing"
        assert "Error" not in self.running.err, self.running.err
        return re.search(text, self.running.out)

    def tell(self, word):
        os.write(self.told, word.encode() + b"\n")

    def go(self, first):
        """Past the end of the first process, until the heir has talked on."""
        self.pid = int(self.hears(r"over (\d+) ")[1])
        if first == "peer":
            self.peer.sock.sendall(b"unasked: ")
            assert proc.until(lambda: self.unacked() == 0), "nobody acknowledges for an heir that makes no call"
        if first == "idle":
            threading.Event().wait(1.2)  # whatever comes of it, comes meanwhile
        self.tell("listen" if first == "peer" else "speak")
        self.hears("well")

    def unacked(self):
        """Bytes that the peer has sent and knows of nobody who got them."""
        return struct.unpack("i", fcntl.ioctl(self.peer.sock, termios.TIOCOUTQ, bytes(4)))[0]

    def again(self):
        """A listener that was inherited listens on."""
        self.tell("accept")
        self._talk(connected(self.pair.a, self.pair.b.address(self.family)))
        self.hears("again")

    def end(self):
        """Nobody heard a reset, and nothing of it stays."""
        assert left(self.pair.b) != NOTHING
        self.tell("end")
        assert proc.until(lambda: not self.running._to_group(0) or not alive(self.pid)), "the heir stays"
        resets = self.wire.resets()
        assert resets == [] and self.peer.wrong is None, (resets, self.peer.wrong)
        assert proc.until(lambda: left(self.pair.b) == NOTHING), left(self.pair.b)

    def close(self):
        self.stack.close()


def alive(pid):
    return os.path.exists(f"/proc/{pid}/fd/0")


def tc_links(ifindex):
    """How many programs hang on the interface by tc links, which `tc` does not show."""
    found = 0
    for hook in TCX_INGRESS, TCX_EGRESS:
        attr = ctypes.create_string_buffer(struct.pack("II", ifindex, hook), 72)
        if libc.syscall(SYS_BPF, BPF_PROG_QUERY, attr, len(attr)) == 0:
            found += struct.unpack_from("I", attr, 24)[0]
    return found


def left(side):
    """What is attached to the interface of @side: XDP, links of tc programs, filters."""
    link = side.run(["ip", "-d", "link", "show", "dev", net.LINK]).out
    chains = [side.run(["tc", "filter", "show", "dev", net.LINK, hook]).out for hook in ("ingress", "egress")]
    with side.inside():
        links = tc_links(socket.if_nametoindex(net.LINK))
    return re.findall(r"prog/xdp.*", link), links, "".join(chains)


@contextlib.contextmanager
def heir(*args, **options):
    with contextlib.closing(Heir(*args, **options)) as made:
        yield made
        made.end()


def assert_fast(heirs, adopted=1):
    """What came since the first process ended came by the fast path; the port was taken over, not opened anew."""
    assert fsock.counters(heirs.pid)["tcp_segments_in"] >= 300, fsock.stat(heirs.pid)
    assert proc.until(lambda: fsock.counters(heirs.pid)["ports_adopted"] >= adopted), fsock.stat(heirs.pid)
    assert fsock.counters(heirs.pid)["ports_reopened"] == 0


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("way, family", [("connect", "v4"), ("accept", "v6")])
def test_an_heir_goes_on(pair, way, end, first, family):
    """It had made a call before: it holds what steers, which therefore stays while nobody owns it."""
    with heir(pair, way, end, family=family) as made:
        made.go(first)
        assert_fast(made)


@pytest.mark.parametrize("end", ENDS)
def test_a_child_listens_on(pair, end):
    """It has accepted from the listener it shares, and does so again when nobody shares it any more."""
    with heir(pair, "prefork", end) as made:
        made.go("peer")
        assert_fast(made)
        made.again()


@pytest.mark.parametrize("way", ["connect", "accept"])
def test_a_grandchild_goes_on(pair, way):
    """Its parent ended before, without a call; the one that is killed is its parent's."""
    with heir(pair, way, "kill", generations=2) as made:
        made.go("peer")
        assert_fast(made)


@pytest.mark.parametrize("first", FIRST)
def test_by_packet_sockets(pair, first):
    """The tap outlives its owner as the XDP program does, and the interface's name with it."""
    with heir(pair, "accept", "kill", provider="packet") as made:
        made.go(first)
        assert_fast(made)


def test_an_heir_without_a_call_goes_on_in_the_kernel(pair):
    """What was its parent's last moved its connection; what is new is fast again."""
    with heir(pair, "connect", "exec", calls="fresh") as made:
        made.go("idle")


@pytest.mark.parametrize("calls", ["closed", "hasty"])
@pytest.mark.parametrize("end", ["exec", "exit"])
@pytest.mark.parametrize("way", ["connect", "accept"])
def test_an_heir_of_what_was_closed_goes_on_in_the_kernel(pair, way, end, calls):
    """Its parent, who alone drives, closed the connection and ends: it moves by the heir's descriptor."""
    with heir(pair, way, end, calls=calls) as made:
        made.go("idle")


# A parent that closes a listener and a connection and makes no call (or calls all the time, on another); a child that uses
# them after the parent's helper has looked for it several times, when it is told to.
LATE = """
import os, select, signal, socket, sys, time
def ask(sock):
    sock.sendall(sock.recv(9, socket.MSG_WAITALL))
other = socket.create_server((sys.argv[1], int(sys.argv[2]) + 1))
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
sock = listener.accept()[0]
ask(sock)
child = os.fork()
if child:
    sock.close()
    listener.close()
    while sys.argv[3] == "calls":
        select.select([other], [], [], 0.1)
    signal.pause()
sys.stdin.readline()
ask(sock)
ask(listener.accept()[0])
print("well", flush=True)
sys.stdin.readline()
"""


@contextlib.contextmanager
def late(pair, calls, policy=False):
    wait, tell = os.pipe()
    with open(wait, "rb") as stdin, open(tell, "wb", buffering=0) as told, contextlib.closing(Wire(pair.a)) as wire, pair.b.popen(
            fsock.run([PYTHON, "-c", LATE, net.B4, PORT, calls], profile="latency"), env=fsock.CLEAN, stdin=stdin) as running:
        assert running.wait_for("ready", GUARD), running.err
        socks = [connected(pair.a, net.B4)]
        def ask(sock):
            sock.sendall(b"123456789")
            assert sock.recv(9, socket.MSG_WAITALL) == b"123456789"
        ask(socks[0])
        if policy:
            drop(pair.b, PORT + 7)
            assert proc.until(lambda: "policy" in fsock.reasons(fsock.stat(running.pid)), GUARD), fsock.stat(running.pid)
        threading.Event().wait(1.2)
        told.write(b"go\n")
        ask(socks[0])
        threading.Event().wait(0.2)  # the child waits in accept() by then, or hardly ever
        socks.append(connected(pair.a, net.B4))
        ask(socks[1])
        assert running.wait_for("well", GUARD), running.err
        yield running
        assert wire.resets() == []
        for sock in socks:
            sock.close()
        told.write(b"end\n")


@pytest.mark.parametrize("calls", ["pauses", "calls"])
def test_what_a_child_has_alone_waits_for_it(pair, calls):
    """On the fast path, whoever looks for the child meanwhile: the helper, who may not see it, does not judge."""
    with late(pair, calls) as running:
        counters = fsock.counters(running.pid)
        assert counters["moved_to_kernel"] == 0 and counters["tcp_opened_passive"] == 2, counters


def test_a_listener_that_left_when_its_child_alone_had_it_waits_in_accept(pair):
    """Its kernel socket does not wait as long as it is fsock's; the parent has no number any more to change that by."""
    with late(pair, "calls", policy=True) as running:
        assert fsock.counters(running.pid)["tcp_opened_passive"] == 1


# A parent that closes what its child alone has then, and a child that ends without a call.
CHILDLESS = """
import os, signal, socket, sys, time
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
sock = listener.accept()[0]
for i in range(50):
    sock.sendall(sock.recv(9, socket.MSG_WAITALL))
born, tell = os.pipe()
child = os.fork()
if child == 0:
    os.write(tell, b"x")
    if sys.argv[3] == "exits":
        os._exit(0)
    time.sleep(600)
os.read(born, 1)
sock.close()
if sys.argv[3] == "killed":
    os.kill(child, signal.SIGKILL)
if sys.argv[3] != "killed later":
    os.waitpid(child, 0)
print("well", child, "", flush=True)
if sys.argv[4] == "pauses":
    signal.pause()
if sys.argv[4] == "accepts":
    listener.accept()
"""


@pytest.mark.parametrize("child, parent", [("killed", "pauses"), ("killed", "accepts"), ("killed", "ends"), ("exits", "pauses"),
                                           ("exits", "ends"), ("killed later", "ends"), ("killed later", "pauses")])
def test_who_ends_without_a_call_ends_its_connection(pair, child, parent):
    """By FIN, as the kernel does, whichever of the two is the last to have it."""
    argv = [PYTHON, "-c", CHILDLESS, net.B4, PORT, child, parent]
    with contextlib.closing(Wire(pair.a)) as wire, pair.b.popen(fsock.run(argv, profile="latency"), env=fsock.CLEAN) as running:
        assert running.wait_for("ready", GUARD), running.err
        with connected(pair.a, net.B4) as sock:
            for i in range(50):
                sock.sendall(b"%9d" % i)
                assert sock.recv(9, socket.MSG_WAITALL) == b"%9d" % i
            assert proc.until(lambda: re.search(r"well (\d+) ", running.out), GUARD), running.err
            if child == "killed later":
                os.kill(int(re.search(r"well (\d+) ", running.out)[1]), 9)
            assert sock.recv(10) == b"" and wire.resets() == []


# A parent that ends while each of its connections is a child's alone, which makes no call.
LEAVES_MANY = """
import os, socket, sys, time
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
children = []
for _ in range(int(sys.argv[3])):
    sock = listener.accept()[0]
    sock.sendall(sock.recv(9, socket.MSG_WAITALL))
    children.append(os.fork())
    if children[-1] == 0:
        time.sleep(600)
    sock.close()
print("well", *children, "", flush=True)
"""


def test_who_is_killed_while_the_other_leaves_ends_its_connection(pair):
    """The parent looks whose they are, and gives them away, as it ends: some children are gone between the two."""
    many = 50
    argv = [PYTHON, "-c", LEAVES_MANY, net.B4, PORT, many]
    with contextlib.closing(Wire(pair.a)) as wire, pair.b.popen(fsock.run(argv, profile="latency"), env=fsock.CLEAN) as running:
        assert running.wait_for("ready", GUARD), running.err
        socks = []
        for _ in range(many):
            socks.append(connected(pair.a, net.B4))
            socks[-1].sendall(b"123456789")
            assert socks[-1].recv(9, socket.MSG_WAITALL) == b"123456789"
        assert proc.until(lambda: re.search(r"well [\d ]+ \n", running.out), GUARD), running.err
        for child in re.search(r"well ([\d ]+)", running.out)[1].split():
            os.kill(int(child), signal.SIGKILL)
            time.sleep(0.0003)
        assert [sock.recv(10) for sock in socks] == [b""] * many and wire.resets() == []


def test_a_spawned_child_changes_nothing(pair):
    """Neither vfork() nor posix_spawn() touch what is attached, nor does the end of what they started."""
    with contextlib.closing(listening(pair.a, net.A4)) as back, \
            pair.b.popen(fsock.run([PYTHON, "-c", SPAWN, net.A4, BACK_PORT], profile="latency"), env=fsock.CLEAN) as running:
        peer = Peer(back.accept()[0])
        assert running.wait_for("well", GUARD), running.err
        seen = fsock.counters(running.pid)
        assert seen["tcp_segments_in"] >= 200 and seen["ports_adopted"] == seen["moved_to_kernel"] == 0, seen
        assert peer.wrong is None
