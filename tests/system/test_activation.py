# SPDX-License-Identifier: BSD-2-Clause
"""
test_activation - what a service manager opened and keeps: what waits there for a service that ends waits for the next one,
and the options that are set hold on the fast path. A service on fsock, compared with the same one on kernel sockets.
"""
import contextlib
import errno
import json
import os
import pathlib
import re
import signal
import socket
import struct
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


# --- options ----------------------------------------------------------------------------------

SOL, IP, IP6, TCP = socket.SOL_SOCKET, socket.IPPROTO_IP, socket.IPPROTO_IPV6, socket.IPPROTO_TCP
IP_MTU_DISCOVER, IP_RECVERR, IP_RECVTTL, IP_RECVTOS, SO_GET_FILTER, SO_MAX_PACING_RATE = 10, 11, 12, 13, 26, 47
TIME = struct.pack("ll", 77, 0)
KEPT = [(SOL, socket.SO_RCVTIMEO, TIME), (SOL, socket.SO_SNDTIMEO, TIME), (SOL, socket.SO_RCVLOWAT, 3),
        (SOL, socket.SO_KEEPALIVE, 1), (SOL, socket.SO_SNDBUF, 50000), (SOL, SO_MAX_PACING_RATE, 1 << 30),
        (SOL, socket.SO_MARK, 5), (SOL, socket.SO_BINDTODEVICE, net.LINK.encode()),
        (TCP, socket.TCP_SYNCNT, 3), (TCP, socket.TCP_NOTSENT_LOWAT, 9000), (TCP, socket.TCP_LINGER2, 7),
        (TCP, socket.TCP_WINDOW_CLAMP, 30000), (TCP, socket.TCP_CONGESTION, b"reno"), (IP, IP_MTU_DISCOVER, 0),
        (IP, IP_RECVERR, 1), (IP, socket.IP_TTL, 9)]
KEPT6 = [(IP6, socket.IPV6_UNICAST_HOPS, 9), (IP6, socket.IPV6_TCLASS, 16), (IP6, socket.IPV6_V6ONLY, 1)]

# What its listener and what it accepts there say of options, a list of (level, name, length).
FINDS = textwrap.dedent("""
    import ast, os, socket, sys
    listener = socket.socket(fileno=3)
    print("sleeps", os.getpid(), flush=True)
    peer = listener.accept()[0]
    for sock in listener, peer:
        for option in ast.literal_eval(sys.argv[1]):
            print("found", *option, sock.getsockopt(*option).hex())
    peer.sendall(b"well")
    print("told", flush=True)
    peer.recv(100)
""")


def hop_limits(frames):
    """Of the segments from PORT that an open packet socket has, IPv6 and whole frames."""
    found = set()
    with contextlib.suppress(BlockingIOError):
        while True:
            frame = frames.recv(2000)
            if frame[20] == socket.IPPROTO_TCP and frame[54:56] == PORT.to_bytes(2, "big"):
                found.add(frame[21])
    return found


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_options_of_a_listener_are_kept(pair, family):
    """On it and on what it accepts, and in what leaves: all but the family's own on either."""
    host, options = pair.b.address(family), KEPT + KEPT6 * (family == "v6")
    asked, found = [(level, name, 16 if isinstance(value, bytes) else 4) for level, name, value in options], []
    for way in WAYS:
        with pair.a.inside():
            frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x86dd))
        with frames, manager(pair, "stream", host, options) as held, callers(pair, host, 1) as (caller,):
            frames.bind((net.LINK, 0x86dd))
            frames.setblocking(False)
            held.begin(on(way, [PYTHON, "-c", FINDS, asked]))
            pid = held.service()
            caller.connect((host, PORT))
            assert caller.recv(10) == b"well", held.running.err
            assert held.running.wait_for("told"), held.running.err
            fast = fsock.counters(pid)["tcp_opened_passive"] if way == "fast" else None
            caller.close()
            held.ended()
            found.append([*re.findall("found .*", held.running.out), hop_limits(frames)])
    assert len(found[0]) == 2 * len(options) + 1
    assert found[0] == found[1] and fast == 1
    assert found[0][-1] == ({9} if family == "v6" else set())


# Waits in accept(), and then in recv(), as long as the options of the listener say.
IMPATIENT = textwrap.dedent("""
    import os, socket
    listener = socket.socket(fileno=3)
    print("sleeps", os.getpid(), flush=True)
    try:
        listener.accept()
    except BlockingIOError:
        print("no caller", flush=True)
    peer = None
    while not peer:
        try:
            peer = listener.accept()[0]
        except BlockingIOError:
            pass
    try:
        peer.recv(10)
    except BlockingIOError:
        print("no word", flush=True)
""")


def test_a_time_limit_of_a_listener_holds(pair):
    with manager(pair, "stream", net.B4, [(SOL, socket.SO_RCVTIMEO, struct.pack("ll", 0, 300000))]) as held, \
            callers(pair, net.B4, 1) as (caller,):
        held.begin(on("fast", [PYTHON, "-c", IMPATIENT]))
        pid = held.service()
        assert held.running.wait_for("no caller"), held.running.err
        caller.connect((net.B4, PORT))
        assert proc.until(lambda: fsock.counters(pid)["tcp_opened_passive"] == 1)
        assert held.running.wait_for("no word"), held.running.err
        assert held.ended().startswith("ended 0")


# Answers 20 datagrams, whatever the limit of time; then it waits once more. What came with them.
DATAGRAMS = textwrap.dedent("""
    import os, socket
    held, seen = socket.socket(fileno=3), set()
    print("sleeps", os.getpid(), flush=True)
    done = 0
    while done < 20:
        try:
            data, control, _, peer = held.recvmsg(100, 200)
        except BlockingIOError:
            continue
        done += 1
        seen |= {(level, kind) for level, kind, _ in control}
        held.sendto(data, peer)
    print("control", *sorted(seen))
    try:
        held.recv(10)
    except BlockingIOError:
        print("no more", flush=True)
    print("told", flush=True)
    ended = False
    while not ended:
        try:
            ended = held.recv(10) == b"end"
        except BlockingIOError:
            pass
""")
OF_DATAGRAMS = {
    "v4": [(IP, IP_RECVTTL, 1), (IP, IP_RECVTOS, 1), (IP, IP_RECVERR, 1), (IP, IP_MTU_DISCOVER, 0), (IP, socket.IP_TTL, 9)],
    "v6": [(IP6, socket.IPV6_RECVHOPLIMIT, 1), (IP6, socket.IPV6_RECVTCLASS, 1), (IP6, socket.IPV6_UNICAST_HOPS, 9)],
}


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_options_of_a_datagram_socket_are_kept(pair, family):
    """What comes with what it receives, how long it waits, and what the answers have for a hop limit."""
    host, found = pair.b.address(family), []
    options = [*OF_DATAGRAMS[family], (SOL, socket.SO_RCVTIMEO, struct.pack("ll", 0, 300000))]
    pair.a.run(["ethtool", "-K", net.LINK, "tx", "off"])  # whole sums: what lacks them the kernel has at first
    for way in WAYS:
        with pair.a.inside():
            caller = socket.socket(socket.AF_INET6 if family == "v6" else socket.AF_INET, socket.SOCK_DGRAM)
        with caller, manager(pair, "datagram", host, options) as held:
            caller.settimeout(proc.GUARD)
            caller.setsockopt(IP, IP_RECVTTL, 1)
            if family == "v6":
                caller.setsockopt(IP6, socket.IPV6_RECVHOPLIMIT, 1)
            held.begin(on(way, [PYTHON, "-c", DATAGRAMS]))
            pid = held.service()
            limits = set()
            for _ in range(20):
                caller.sendto(b"data", (host, PORT))
                limits |= {tuple(data) for _, _, data in caller.recvmsg(100, 200)[1]}
            assert held.running.wait_for("told"), held.running.out + held.running.err
            if way == "fast":
                seen = fsock.counts(pid)
                assert seen.rx_fast >= 18 and seen.tx_fast >= 18, seen
            caller.sendto(b"end", (host, PORT))
            held.ended()
            found.append([limits, re.findall("control.*|no more", held.running.out)])
    assert found[0] == found[1]
    assert found[0][0] == {(9, 0, 0, 0)} and len(found[0][1]) == 2


@pytest.mark.parametrize("kind", ["stream", "datagram"])
def test_a_socket_with_a_filter_is_the_kernels(pair, kind):
    """Only the kernel carries it, and there it goes on to serve."""
    service = ["-c", ANSWERS, 1] if kind == "stream" else ["-c", WAITS]
    with manager(pair, kind, net.B4, [(SOL, SO_GET_FILTER, 0)]) as held, callers(pair, net.B4, 1) as (caller,):
        held.begin(on("fast", [PYTHON, *service] if kind == "datagram" else [PYTHON, PROGRAMS / "lent.py", "close"]))
        pid = held.service()
        assert proc.until(lambda: fsock.reasons(fsock.stat(pid)) == {"option"}, 5), fsock.stat(pid)
        os.kill(pid, signal.SIGUSR1)
        held.ended()
        if kind == "stream":
            held.begin(on("fast", [PYTHON, *service]))
            caller.connect((net.B4, PORT))
            caller.sendall(b"hello")
            caller.shutdown(socket.SHUT_WR)
            assert answer(caller) == b"HELLO"


# Opens a listener of its own for both families.
OPENS = textwrap.dedent("""
    import os, socket, sys
    own = socket.socket(socket.AF_INET6)
    own.bind(("::", int(sys.argv[1])))
    own.listen(16)
    print("sleeps", os.getpid(), flush=True)
    own.accept()[0].sendall(b"well")
    print("told", flush=True)
    sys.stdin.readline()
""")


def test_its_options_are_not_those_of_others(pair):
    """One of IPv6 alone that it was given, and one that it opens itself at once, which IPv4 reaches by the fast path."""
    with manager(pair, "stream", net.B6, [(IP6, socket.IPV6_V6ONLY, 1)]) as held, callers(pair, net.B4, 1) as (caller,):
        held.begin(on("fast", [PYTHON, "-c", OPENS, PORT + 1]))
        pid = held.service()
        caller.connect((net.B4, PORT + 1))
        assert caller.recv(10) == b"well"
        assert fsock.counters(pid)["tcp_opened_passive"] == 1
