# SPDX-License-Identifier: BSD-2-Clause
"""
Servers that give up what they began with, connections open: capabilities, root, the root directory, the terminal. Peers
are kernel sockets of the test's own in pair.a; servers run in pair.b.
"""
import contextlib

import pytest

from lab import fsock, net, proc
from test_tcp_faults import GUARD, PORT, PYTHON, Talk, Wire, connected
from test_tcp_faults import pair  # noqa: F401 (a fixture)

# Says back what it hears on two connections that it accepted before and one after it does what sys.argv[3] says.
SERVER = """
import ctypes, os, selectors, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def drop(by_syscall):
    header = ctypes.create_string_buffer(struct.pack("Ii", 0x20080522, 0), 8)
    data = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, data) == 0 and data[0] & 1 << 12
    data[0] &= ~(1 << 12)
    data[1] &= ~(1 << 12)
    assert (libc.syscall(126, header, data) if by_syscall else libc.capset(header, data)) == 0
def nobody():
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
def root():
    os.chroot(sys.argv[4])
    os.chdir("/")
steps = {"capset": lambda: drop(False), "capset by syscall": lambda: drop(True), "setuid": nobody, "chroot": root,
         "chroot setuid": lambda: (root(), nobody()), "daemon": lambda: libc.daemon(1, 1) and sys.exit(1),
         "daemon chroot setuid": lambda: (libc.daemon(1, 1), root(), nobody())}
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
ready = selectors.PollSelector()
print("ready", flush=True)
for _ in range(2):
    ready.register(listener.accept()[0], selectors.EVENT_READ)
def serve():
    for key, _ in ready.select():
        data = key.fileobj.recv(65536)
        key.fileobj.sendall(data)
        if not data:
            ready.unregister(key.fileobj)
for _ in range(50):
    serve()
steps[sys.argv[3]]()
print("done", os.getpid(), "", flush=True)
while len(ready.get_map()):
    serve()
    if ready.get_map() and listener:
        listener.setblocking(False)
        try:
            ready.register(listener.accept()[0], selectors.EVENT_READ)
            listener = None
        except BlockingIOError:
            pass
print("well", flush=True)
"""


@contextlib.contextmanager
def served(pair, step, tmp_path):
    """Three peers talk through @step with nothing lost and no reset: the number of the process that is left."""
    argv = fsock.run([PYTHON, "-c", SERVER, net.B4, PORT, step, tmp_path], profile="latency")
    with contextlib.closing(Wire(pair.a)) as wire, pair.b.popen(argv, env=fsock.CLEAN) as running:
        assert running.wait_for("ready", GUARD), running.err
        talks = [Talk(connected(pair.a, net.B4)) for _ in range(2)]
        assert proc.until(lambda: "done" in running.out or "Error" in running.err, GUARD), running.err
        before = [talk.heard for talk in talks]
        assert proc.until(lambda: all(talk.heard > n + 20 for talk, n in zip(talks, before)), GUARD), running.err
        talks.append(Talk(connected(pair.a, net.B4)))
        assert proc.until(lambda: talks[2].heard > 20, GUARD), running.err
        yield int(running.out.split("done ")[1].split()[0])
        assert all(talk.end() > 20 for talk in talks) and wire.resets() == []
        assert proc.until(lambda: "well" in running.out, GUARD), running.err


@pytest.mark.parametrize("step", ["capset", "capset by syscall"])
def test_capabilities_given_up(pair, tmp_path, step):
    """Without CAP_NET_ADMIN no connection would move any more, whatever comes later: all of TCP moves before."""
    with served(pair, step, tmp_path) as pid:
        counters = fsock.counters(pid)
        assert counters["moved_to_kernel"] == 3 and counters["tcp_segments_in"] > 50, counters
        assert fsock.reasons(fsock.stat(pid)) == {"privilege"}


@pytest.mark.parametrize("step", ["setuid", "chroot", "chroot setuid"])
def test_root_given_up(pair, tmp_path, step):
    """All stays on the fast path, the connection that comes later, too."""
    with served(pair, step, tmp_path) as pid:
        assert fsock.counters(pid)["moved_to_kernel"] == 0
        assert fsock.sum_counts(fsock.sockets(fsock.settled(pid))).kernel == 0
        assert fsock.counters(pid)["tcp_opened_passive"] == 3


@pytest.mark.parametrize("step", ["daemon", "daemon chroot setuid"])
def test_a_daemon_with_connections(pair, tmp_path, step):
    """The one that goes on drives before its parent, who alone did, ends."""
    with served(pair, step, tmp_path) as pid:
        counters = fsock.counters(pid)
        assert counters["moved_to_kernel"] == 0 and counters["ports_reopened"] == 0 and counters["tcp_opened_passive"] == 3


# Its children give up root before they make a call on what they inherited, as those of many servers.
PREFORK = """
import os, socket, sys
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
for _ in range(2):
    if os.fork() == 0:
        os.setgroups([])
        os.setgid(65534)
        {"setuid": os.setuid, "seteuid": os.seteuid, "setreuid": lambda user: os.setreuid(user, user),
         "setresuid": lambda user: os.setresuid(user, user, user)}[sys.argv[3]](65534)
        print("child", flush=True)
        while True:
            peer = listener.accept()[0]
            while data := peer.recv(65536):
                peer.sendall(data)
os.wait()
"""


def _served_by_children(pair, server, children, times):
    """Once so many have said that they gave up root, each connection is served by the fast path, and none is reset."""
    argv = fsock.run([PYTHON, "-c", *server], profile="latency")
    with contextlib.closing(Wire(pair.a)) as wire, pair.b.popen(argv, env=fsock.CLEAN) as running:
        assert proc.until(lambda: running.out.count("child") == children or not running.alive(), GUARD), running.err
        for _ in range(times):
            assert Talk(connected(pair.a, net.B4)).end() >= 0
        assert wire.resets() == [] and fsock.sum_counts(fsock.sockets(fsock.settled(running.pid))).kernel == 0
        assert fsock.counters(running.pid)["tcp_opened_passive"] == times


@pytest.mark.parametrize("call", ["setuid", "seteuid", "setreuid", "setresuid"])
def test_children_that_give_up_root_first(pair, call):
    """They take part in the fast path all the same: whoever connects is served by it, and is not reset."""
    _served_by_children(pair, [PREFORK, net.B4, PORT, call], 2, 20)


# Its children give up root and wait for its end.
CROWD = """
import os, socket, sys
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
ended, keep = os.pipe()
for _ in range(24):
    if os.fork() == 0:
        os.close(keep)
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        os.write(1, b"child")
        os.read(ended, 1)
        os._exit(0)
while True:
    peer = listener.accept()[0]
    while data := peer.recv(65536):
        peer.sendall(data)
"""


def test_more_children_than_a_stack_has_places_for(pair):
    """Those that find none are none the worse for it, and nobody else is, as long as they ask nothing of the network."""
    _served_by_children(pair, [CROWD, net.B4, PORT], 24, 5)


# Who accepts has given up root; who serves is sent what was accepted, and gives it up only then, if at all.
FRONT = """
import array, os, socket, struct, sys
how = sys.argv[3]
front, back = socket.socketpair()
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
if os.fork() == 0:
    front.close()
    while True:
        if how == "peeked":
            _, control, _, _ = back.recvmsg(1, 64, socket.MSG_PEEK)
            for fd in array.array("i", control[0][2]):
                os.close(fd)
        _, fds, _, _ = socket.recv_fds(back, 1, 1)
        peer = socket.socket(fileno=fds[0])
        if how == "with a child" and os.fork():
            peer.close()
            os.wait()
            continue
        if how == "lingers":
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 5))
        peer.sendall(peer.recv(65536))
        peer.close()
        if how == "with a child":
            os._exit(0)
back.close()
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
print("child", flush=True)
while True:
    peer = listener.accept()[0]
    if how == "refused at first":
        closed = socket.socketpair()
        closed[1].close()
        for _ in range(2):
            try:
                socket.send_fds(closed[0], [b"x"], [peer.fileno()])
                raise SystemExit("it was sent")
            except BrokenPipeError:
                pass
    if how == "lingers":
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 5))
    socket.send_fds(front, [b"x"], [peer.fileno()])
    peer.close()
"""


@pytest.mark.parametrize("how", ["at once", "peeked", "refused at first", "lingers", "with a child"])
def test_sent_by_who_has_given_up_root(pair, how):
    """Its connections could not move to the kernel any more; those of its stack know them, and they end as they are closed."""
    argv = fsock.run([PYTHON, "-c", FRONT, net.B4, PORT, how], profile="latency")
    with contextlib.closing(Wire(pair.a)) as wire, pair.b.popen(argv, env=fsock.CLEAN) as running:
        assert running.wait_for("child", GUARD), running.err
        for n in range(10):
            with connected(pair.a, net.B4) as sock:
                sock.settimeout(GUARD)  # less than what a message that nobody received would be held for
                sock.sendall(b"%d" % n)
                assert sock.recv(100) == b"%d" % n
                assert sock.recv(100) == b"", "nothing ends it"
        assert wire.resets() == [] and fsock.sum_counts(fsock.sockets(fsock.settled(running.pid))).kernel == 0
        assert fsock.counters(running.pid)["tcp_opened_passive"] == 10
        assert "stays in the engine" not in running.err, running.err
