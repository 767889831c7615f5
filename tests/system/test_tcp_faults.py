# SPDX-License-Identifier: BSD-2-Clause
"""
Faults around TCP connections of programs on fsock: the program stands still or dies, the peer, the interface, the
route or the path does, strangers flood it. What has to come out is what the kernel's sockets show.

Peers are kernel sockets of the test's own in pair.a; programs run in pair.b. Nothing here is timed, but for guards.
"""
import contextlib
import pathlib
import select
import signal
import socket
import struct
import threading
import time

import pytest

from lab import fsock, net, proc, state

PROGRAMS = pathlib.Path(__file__).resolve().parent / "programs"
PYTHON = "/usr/bin/python3"
PROVIDERS = ("xdp", "packet")
PORT, BACK_PORT = 5000, 6000
GUARD = 40  # seconds after which something hangs
RST, ACK = 4, 16


@pytest.fixture
def pair(pair):
    pair.meet()
    return pair


@pytest.fixture
def whole(pytestconfig):
    return pytestconfig.getoption("--lengths") == "whole"


# --- the ends ---------------------------------------------------------------------------------

def stream(side, address):
    """A TCP socket of the kernel's in namespace @side."""
    with side.inside():
        made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.settimeout(GUARD)
    return made


def connected(side, address, port=PORT):
    made = stream(side, address)
    made.connect((address, port))
    return made


def listening(side, address, port=BACK_PORT):
    made = stream(side, address)
    made.bind((address, port))
    made.listen()
    return made


@contextlib.contextmanager
def echo(pair, *back, family="v4", port=PORT, **options):
    """The program stream_echo.py on fsock in pair.b."""
    argv = [PYTHON, PROGRAMS / "stream_echo.py", pair.b.address(family), port, *back]
    with pair.b.popen(fsock.run(argv, profile="latency", **options), env=fsock.CLEAN, cpu=proc.cpus()[1]) as running:
        assert running.wait_for("ready", GUARD), running.out + running.err
        yield running


def assert_fast(running, least=1):
    """So many segments came by the fast path, and what the program's sockets have told so far took no other."""
    report = fsock.settled(running.pid)
    assert fsock.counters(running.pid)["tcp_segments_in"] >= least
    assert fsock.sum_counts(fsock.sockets(report)).kernel == 0, report


class Talk(threading.Thread):
    """Says numbered lines over @sock until told to end, and hears all of them back, in order."""

    def __init__(self, sock):
        super().__init__(daemon=True)
        self.sock, self.ending, self.said, self.heard, self.wrong = sock, threading.Event(), 0, 0, None
        self.start()

    def run(self):
        try:
            self._talk()
        except (OSError, AssertionError) as error:
            self.wrong = error

    def _talk(self):
        data = b""
        while not self.ending.is_set() or self.heard < self.said:
            if not self.ending.is_set():
                self.sock.sendall(b"%09d\n" % self.said)
                self.said += 1
                self.ending.wait(0.01)
            elif not select.select([self.sock], [], [], GUARD)[0]:
                raise AssertionError(f"heard {self.heard} of {self.said}")
            while select.select([self.sock], [], [], 0)[0]:
                more = self.sock.recv(65536)
                assert more, "the end"
                data += more
                while len(data) >= 10:
                    assert data[:10] == b"%09d\n" % self.heard, data[:10]
                    data, self.heard = data[10:], self.heard + 1

    def end(self):
        """Nothing was lost; how many lines."""
        self.ending.set()
        self.join(2 * GUARD)
        assert not self.is_alive() and self.wrong is None, (self.wrong, self.said, self.heard)
        self.sock.close()
        return self.said


class Wire:
    """What arrives at a side's interface: packets without their link header."""

    def __init__(self, side):
        with side.inside():
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.sock.bind((net.LINK, 3))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.settimeout(0)

    def resets(self):
        """(port, flags) of every reset that came since."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                data, where = self.sock.recvfrom(65535)
                ip = data[14:]
                tcp = ip[20:] if ip[0] >> 4 == 4 and ip[9] == 6 else ip[40:] if ip[0] >> 4 == 6 and ip[6] == 6 else None
                if tcp and where[2] != socket.PACKET_OUTGOING and tcp[13] & RST:
                    found.append((int.from_bytes(tcp[:2], "big"), tcp[13]))
        return found

    def close(self):
        self.sock.close()


def assert_guarded(running):
    """Segments passed to the kernel, and what it had to say of them was stopped."""
    counters = fsock.port_counters(running.pid)
    assert counters["steer_redirected"] > 20
    assert counters["steer_passed_stale"] > 0 and counters["guard_dropped"] > 0, counters


# --- the program stands still, or dies --------------------------------------------------------

@pytest.mark.parametrize("provider, family", [("xdp", "v4"), ("xdp", "v6"), ("packet", "v4")])
def test_a_stopped_program_keeps_its_connections(pair, whole, provider, family):
    """
    Accepted and connected ones, while the peer goes on talking. New ones are the shadow's meanwhile. Other programs on
    fsock, which share the interface by the kernel, talk on while it is stopped, and begin.
    """
    local, remote = pair.b.address(family), pair.a.address(family)
    back = listening(pair.a, remote)
    how = {"family": family, "provider": provider}
    with contextlib.closing(Wire(pair.a)) as wire, echo(pair, remote, BACK_PORT, **how) as running, \
            echo(pair, port=PORT + 1, **how) as other:
        talks = [Talk(connected(pair.a, local)), Talk(back.accept()[0])]
        beside = Talk(connected(pair.a, local, PORT + 1))
        assert proc.until(lambda: all(talk.heard > 20 for talk in (*talks, beside))), [talk.wrong for talk in talks]
        running.send(signal.SIGSTOP)
        before = beside.heard
        time.sleep(10 if whole else 3)
        late = connected(pair.a, local)
        late.sendall(b"late\n")
        assert proc.until(lambda: beside.heard > before + 50), beside.wrong
        with echo(pair, port=PORT + 2, **how) as begun:
            new = Talk(connected(pair.a, local, PORT + 2))
            assert proc.until(lambda: new.heard > 20) and new.end(), new.wrong
            for program in (other, begun):
                assert fsock.reasons(fsock.stat(program.pid)) == {"interface_busy"}, fsock.stat(program.pid)
        running.send(signal.SIGCONT)
        assert late.recv(10) == b"late\n"
        late.close()
        before = [talk.heard for talk in talks]
        assert proc.until(lambda: all(talk.heard > n + 50 for talk, n in zip(talks, before)), GUARD)
        assert all(talk.end() > 100 for talk in (*talks, beside))
        assert wire.resets() == []
        assert_guarded(running)
    back.close()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_computing_program_without_helper(pair, provider):
    back = listening(pair.a, net.A4)
    with contextlib.closing(Wire(pair.a)) as wire, echo(pair, net.A4, BACK_PORT, provider=provider,
                                                        helper=0) as running:
        talks = [Talk(connected(pair.a, net.B4)), Talk(back.accept()[0])]
        assert proc.until(lambda: all(talk.heard > 20 for talk in talks))
        with connected(pair.a, net.B4) as third:
            third.sendall(b"!")
            assert third.recv(10) == b"!"
        assert all(talk.end() > 100 for talk in talks)
        assert wire.resets() == []
        assert_guarded(running)
    back.close()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_hazard_28_a_killed_program_resets_at_the_next_segment(pair, provider):
    """A documented difference: the kernel's own, such as one that the shadow accepted, end by FIN at once."""
    back = listening(pair.a, net.A4)
    with contextlib.closing(Wire(pair.a)) as wire, echo(pair, net.A4, BACK_PORT, provider=provider) as running:
        peers = [connected(pair.a, net.B4), back.accept()[0]]
        for peer in peers:
            peer.sendall(b"x")
            assert peer.recv(10) == b"x"
        assert_fast(running)
        running.send(signal.SIGSTOP)
        peers[0].sendall(b"x")
        time.sleep(1.5)
        peers[1].sendall(b"x")
        late = connected(pair.a, net.B4)
        running.send(signal.SIGCONT)
        assert [peer.recv(10) for peer in peers] == [b"x", b"x"]
        late.sendall(b"x")
        assert late.recv(10) == b"x"
        running.kill()
        assert late.recv(10) == b""
        late.close()
        for peer in peers:
            peer.sendall(b"x")
            with pytest.raises(ConnectionResetError):
                peer.recv(10)
        assert {flags for _, flags in wire.resets()} == {RST}
    back.close()


# --- the host's rules -------------------------------------------------------------------------

def drop(side, port):
    """Have the host of @side drop what TCP comes to @port, and nothing else."""
    done = side.run(["nft", "table inet fst {\nchain input {\ntype filter hook input priority 0\n"
                            f"tcp dport {port} drop\n}}\n}}"])
    assert done.status == 0, done.err


def is_deaf(side, address, port=PORT):
    with stream(side, address) as sock:
        sock.settimeout(0.5)
        try:
            sock.connect((address, port))
        except TimeoutError:
            return True
        except ConnectionResetError:  # caught in the change
            return False
    return False


def test_hazard_10_a_rule_for_tcp_holds(pair):
    drop(pair.b, PORT)
    with echo(pair) as running:
        assert is_deaf(pair.a, net.B4), "the SYN went around the rule"
        assert "policy" in fsock.reasons(fsock.stat(running.pid))


def test_hazard_10_a_rule_for_tcp_that_comes_later_holds(pair):
    """For new connections, and for one that is there: it moves to the kernel, which drops its segments."""
    with echo(pair) as running:
        sock = connected(pair.a, net.B4)
        talk = Talk(sock)
        assert proc.until(lambda: talk.heard > 20)
        assert_fast(running, 20)
        drop(pair.b, PORT)
        assert proc.until(lambda: is_deaf(pair.a, net.B4), 20), "SYNs go around the rule"
        heard = talk.heard
        time.sleep(0.5)
        assert talk.heard == heard, "segments go around the rule"
        assert fsock.reasons(fsock.settled(running.pid)) == {"policy"}


@pytest.mark.parametrize("table", ["unreachable", "prohibit"])
def test_a_routing_rule_for_tcp_holds(pair, table):
    """A rule that names TCP alone decides for streams, on kernel sockets and on fsock."""
    ip(pair.b, f"route add {table} default table 100")
    ip(pair.b, "rule add ipproto tcp table 100")
    code = ("import socket\ns = socket.socket()\ns.settimeout(3)\n"
            f"try: s.connect(('{net.A4}', {BACK_PORT}))\nexcept OSError as error: print(error.errno)")
    said = [pair.b.run(argv, env=fsock.CLEAN).out for argv in (
        [PYTHON, "-c", code], fsock.run([PYTHON, "-c", code], profile="latency"))]
    assert said[0] == said[1] != "", said


# --- the peer, the interface, the route -------------------------------------------------------

WAYS = ("kernel", "fast")


def ip(side, words):
    done = side.run(["ip", *words.split()])
    assert done.status == 0, done.err


class Fate:
    """The program stream_fate.py in pair.b, connected to a kernel socket in pair.a that answers nothing by itself."""

    def __init__(self, pair, way, *words, **options):
        self.back = listening(pair.a, net.A4)
        argv = [PYTHON, PROGRAMS / "stream_fate.py", net.A4, BACK_PORT, *words]
        argv = fsock.run(argv, profile="latency", **options) if way == "fast" else argv
        self.way, self.running = way, pair.b.popen(argv, env=fsock.CLEAN, cpu=proc.cpus()[1])
        self.peer = self.back.accept()[0]
        self.peer.sendall(b"x")
        assert self.running.wait_for("heard", GUARD), self.running.out + self.running.err
        if way == "fast":
            assert_fast(self.running, 2)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.running.kill()
        self.peer.close()
        self.back.close()

    def said(self, timeout=GUARD):
        """Its last word."""
        done = self.running.finish(timeout)
        return done.out.split()[-1] if done.status == 0 else f"status {done.status}: {done.out[-500:]}{done.err[-500:]}"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("words", [
    ("send", "TCP_USER_TIMEOUT=1500"),
    ("recv", "SO_KEEPALIVE=1", "TCP_KEEPIDLE=1", "TCP_KEEPINTVL=1", "TCP_KEEPCNT=2"),
    ("recv", "SO_KEEPALIVE=1", "TCP_KEEPIDLE=1", "TCP_KEEPINTVL=1", "TCP_USER_TIMEOUT=1500")])
@pytest.mark.parametrize("death", ["rule", "interface"])
def test_a_dead_peer_is_noticed(pair, way, words, death):
    with Fate(pair, way, *words) as fate:
        if death == "interface":
            ip(pair.a, f"link set {net.LINK} down")
        else:
            drop(pair.a, BACK_PORT)
        assert fate.said() == "ETIMEDOUT"


@pytest.mark.parametrize("way", WAYS)
def test_an_interface_that_was_down(pair, way):
    """A connection outlives it, and what was said meanwhile arrives."""
    with Fate(pair, way, "send") as fate:
        for side in (pair.b, pair.a):
            ip(side, f"link set {net.LINK} down")
            time.sleep(1)
            ip(side, f"link set {net.LINK} up")
            fate.peer.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    assert fate.peer.recv(65536)
            fate.peer.settimeout(GUARD)
            assert fate.peer.recv(100)
            heard = fate.running.out.count("heard")
            fate.peer.sendall(b"x")
            assert proc.until(lambda n=heard: fate.running.out.count("heard") > n, GUARD), fate.running.out[-300:]
        assert fate.running.alive()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("loss, error", [
    (f"link set {net.LINK} down", "ENETUNREACH"),
    (f"link del {net.LINK}", "ENETUNREACH"),
    (f"addr del {net.B4}/24 dev {net.LINK}", "ENETUNREACH"), ("route add unreachable 10.77.0.1/32", "EHOSTUNREACH")])
def test_the_way_is_lost(pair, way, loss, error):
    """The time runs out; why is told if a segment was sent again meanwhile (the kernel says one or the other)."""
    with Fate(pair, way, "send", "TCP_USER_TIMEOUT=2000") as fate:
        ip(pair.b, loss)
        assert fate.said() in ("ETIMEDOUT", error)


# --- the path ---------------------------------------------------------------------------------

@contextlib.contextmanager
def beyond(pair):
    """A namespace whose way to pair.b leads through pair.a, by addresses for v4 and v6."""
    far = net.Namespace(state.record().name("fst", "far"), "10.78.0.2", "fd78::2")
    try:
        for words in ("netns add", f"-n {pair.a.name} link add far0 type veth peer name far0 netns"):
            assert proc.Process(["ip", *words.split(), far.name]).finish().status == 0
        for side, host in ((pair.a, 1), (far, 2)):
            ip(side, f"addr add 10.78.0.{host}/24 dev far0")
            ip(side, f"addr add fd78::{host}/64 dev far0 nodad")
            ip(side, "link set far0 up")
        pair.a.run(["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])
        ip(far, "route add default via 10.78.0.1")
        ip(far, "-6 route add default via fd78::1")
        ip(pair.b, f"route add 10.78.0.0/24 via {net.A4}")
        ip(pair.b, f"-6 route add fd78::/64 via {net.A6}")
        yield far
    finally:
        state.drop_namespace(far.name)


CONNECT = """
import errno, socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
s.settimeout(%d)
try:
    s.connect((sys.argv[1], %d))
except OSError as error:
    print(errno.errorcode.get(error.errno, error))
""" % (GUARD, PORT)


@pytest.mark.parametrize("family, kind", [("v4", "unreachable"), ("v4", "prohibit"), ("v6", "unreachable"), ("v6", "prohibit")])
def test_a_router_has_no_way(pair, family, kind):
    """It says so, and connect() fails with what it said, as on the kernel."""
    pair.a.run(["sysctl", "-qw", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0"])
    with beyond(pair) as far, contextlib.closing(fsock.Report()) as report:
        address = far.address(family)
        ip(pair.a, ("-6 " if family == "v6" else "") + f"route add {kind} {address}")
        argv = [PYTHON, "-c", CONNECT, address]
        kernel = pair.b.run(argv, env=fsock.CLEAN, timeout=2 * GUARD)
        fast = pair.b.run(fsock.run(argv, profile="latency"), env={**fsock.CLEAN, **report.env}, fds=(report.fd,),
                          timeout=2 * GUARD)
        assert kernel.out.startswith("E") and (fast.out, fast.err) == (kernel.out, ""), (kernel.out, fast.out)
        assert [s["accelerated"] for s in report.sockets()] == [1]


@pytest.mark.parametrize("family, narrow", [("v4", 1300), ("v6", 1400)])
def test_a_path_becomes_narrow(pair, family, narrow):
    """A router in the middle says so to a connection in use; others, and the next one, need not be told."""
    with beyond(pair) as far, echo(pair, family=family) as running:
        address, size = far.address(family), 1 << 17

        def exchange(sock):
            sock.sendall(b"x" * size)
            got = 0
            while got < size:
                more = sock.recv(1 << 16)
                assert more
                got += len(more)
        first, second = (connected(far, pair.b.address(family)) for _ in range(2))
        exchange(first)
        assert fsock.counters(running.pid)["tcp_mtu_lowered"] == 0
        ip(pair.a, ("-6 " if family == "v6" else "") + f"route add {address} dev far0 mtu lock {narrow}")
        exchange(first)
        assert fsock.counters(running.pid)["tcp_mtu_lowered"] == 1
        exchange(second)
        third = connected(far, pair.b.address(family))
        exchange(third)
        assert fsock.counters(running.pid)["tcp_mtu_lowered"] == 1, "others had to learn by themselves"
        for sock in (first, second, third):
            sock.close()
        assert_fast(running)


# --- strangers, and who was here before -------------------------------------------------------

def syns(source, target):
    """SYNs to pair.b's PORT from all other hosts of the net and ever new ports, as frames."""
    def words(data):
        return sum(struct.unpack(f"!{len(data) // 2}H", data))

    def folded(total):
        total = (total & 0xffff) + (total >> 16)
        return ~((total & 0xffff) + (total >> 16)) & 0xffff
    local = socket.inet_aton(net.B4)
    ip_head = struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0x4000, 64, 6, 0)
    tail = struct.pack("!HIIBBHHH", PORT, 1000, 0, 5 << 4, 2, 8192, 0, 0)
    ip_sum, tcp_sum = words(ip_head + local), words(tail + local) + 6 + 20
    for port in range(1024, 65536):
        for host in range(3, 255):
            remote = bytes((10, 77, 0, host))
            own = words(remote)
            yield (target + source + b"\x08\x00" + ip_head[:10] + folded(ip_sum + own).to_bytes(2, "big") +
                   remote + local + port.to_bytes(2, "big") + tail[:14] +
                   folded(tcp_sum + own + port).to_bytes(2, "big") + tail[16:])


def station(side):
    return bytes.fromhex(side.run(["cat", f"/sys/class/net/{net.LINK}/address"]).out.strip().replace(":", ""))


def resident(pid):
    """Memory of a process, KiB."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def test_a_flood_of_syns(pair, whole):
    """Connections that are there and new ones live on; who never answers leaves nothing but cookies."""
    frames = syns(station(pair.a), station(pair.b))
    with contextlib.closing(Wire(pair.a)) as wire, echo(pair) as running:
        talk = Talk(connected(pair.a, net.B4))
        assert proc.until(lambda: talk.heard > 20)
        fresh, before = 0, resident(running.pid)
        for n in range(1_000_000 if whole else 50_000):
            wire.sock.send(next(frames))
            if n % 10_000 == 9_999:
                with connected(pair.a, net.B4) as sock:
                    sock.sendall(b"new")
                    assert sock.recv(10) == b"new"
                    fresh += 1
        assert talk.end() > 20 and fresh
        assert resident(running.pid) < before + 16384, "a connection of 1 KiB for each would be three times that"
        counters = fsock.counters(running.pid)
        assert counters["tcp_cookies_sent"] > 1000, counters
        assert_fast(running, 10_000)


def test_hazard_01_an_old_server_drains_beside_an_accelerated_one(pair):
    """A server on kernel sockets gives its port up; its connections go on while the next one serves new ones."""
    argv = [PYTHON, "-c", """
import socket, sys, threading
listener = socket.create_server(("%s", %d))
def echo(sock):
    while data := sock.recv(65536):
        sock.sendall(data)
print("ready", flush=True)
echoes = [threading.Thread(target=echo, args=(listener.accept()[0],)) for _ in range(3)]
listener.close()
for thread in echoes: thread.start()
print("closed", flush=True)
""" % (net.B4, PORT)]
    with contextlib.closing(Wire(pair.a)) as wire, pair.b.popen(argv) as old:
        assert old.wait_for("ready")
        talks = [Talk(connected(pair.a, net.B4)) for _ in range(3)]
        assert old.wait_for("closed")
        with echo(pair) as new:
            before = [talk.heard for talk in talks]
            talks.append(Talk(connected(pair.a, net.B4)))
            assert proc.until(lambda: talks[3].heard > 50 and
                              all(talk.heard > n + 50 for talk, n in zip(talks, before)), GUARD), talks[3].wrong
            assert all(talk.end() > 50 for talk in talks)
            assert_fast(new, 50)
            assert wire.resets() == []
