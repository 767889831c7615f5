# SPDX-License-Identifier: BSD-2-Clause
"""
src/steer against a real kernel: hand-made frames from namespace .a to .b, where steer_probe
(steer_probe.c beside this file) holds the steering program and an AF_XDP socket.

A frame that is taken shows up at the probe; one that passes shows up at a kernel socket of .b, or as
the kernel's answer on the wire.
"""
import contextlib
import errno
import itertools
import json
import os
import select
import socket
import struct
import subprocess
import time

import pytest

from lab import net, proc

A4, B4, A6, B6 = net.A4, net.B4, net.A6, net.B6
OTHER4, OTHER6 = "10.77.0.99", "fd77::99"  # local to nobody
TCP, UDP, FRAGMENT, HOP_BY_HOP = 6, 17, 44, 0
SYN, ACK, RST, FIN = 2, 16, 4, 1
SOL_UDP, UDP_SEGMENT = 17, 103
TCX, CLSACT = 2, 3  # enum steer_guard
PORT, PEER_PORT = 5000, 6000
QUIET = 0.3  # seconds in which nothing came


# --- namespaces -------------------------------------------------------------------------------

def run(side, text):
    return subprocess.run(side.argv(text.split()), capture_output=True, text=True, check=True).stdout


def mac(side):
    done = subprocess.run(["ip", "-j", "-n", side.name, "link", "show", "dev", net.LINK],
                          capture_output=True, text=True, check=True)
    return bytes.fromhex(json.loads(done.stdout)[0]["address"].replace(":", ""))


def packet_socket(side):
    with side.inside():
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        made.bind((net.LINK, 3))
    made.settimeout(0)
    return made


def kernel_socket(side, kind, address=None, port=0):
    with side.inside():
        made = socket.socket(socket.AF_INET6 if ":" in (address or "") else socket.AF_INET, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if address:
        made.bind((address, port))
    made.settimeout(proc.GUARD)
    return made


# --- frames -----------------------------------------------------------------------------------

def fold(data, start=0):
    """One's complement sum, folded, not complemented."""
    data += b"\0" * (len(data) % 2)
    total = start + sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def packed(address):
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def pseudo(src, dst, protocol, length):
    return packed(src) + packed(dst) + struct.pack("!II", length, protocol)


def udp(src, dst, payload=b"hello", sport=PEER_PORT, dport=PORT, partial=False):
    length = 8 + len(payload)
    head = struct.pack("!HHHH", sport, dport, length, 0)
    total = fold(pseudo(src, dst, UDP, length))
    if not partial:
        total = ~fold(head + payload, total) & 0xffff or 0xffff
    return head[:6] + struct.pack("!H", total) + payload


def tcp(src, dst, flags, sport=PEER_PORT, dport=PORT, seq=1000, ack=0, payload=b""):
    head = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, 5 << 4, flags, 8192, 0, 0)
    total = ~fold(head + payload, fold(pseudo(src, dst, TCP, len(head) + len(payload)))) & 0xffff
    return head[:16] + struct.pack("!H", total) + head[18:] + payload


def ipv4(src, dst, protocol, payload, options=b"", fragment=0x4000, ident=1):
    head = struct.pack("!BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload),
                       ident, fragment, 64, protocol, 0, packed(src), packed(dst)) + options
    return head[:10] + struct.pack("!H", ~fold(head) & 0xffff) + head[12:] + payload


def ipv6(src, dst, protocol, payload):
    return struct.pack("!IHBB16s16s", 6 << 28, len(payload), protocol, 64, packed(src),
                       packed(dst)) + payload


MARK4, MARK_PORT = "10.77.0.250", 4444
MARKER = ipv4(A4, MARK4, UDP, udp(A4, MARK4, b"marker", dport=MARK_PORT))


class Wire:
    """Both ends: what .a puts on the wire and sees on it, and the probe at .b."""

    def __init__(self, pair, path, mode, guard="auto", setup=True, queues=1):
        self.pair = pair
        self.a_mac, self.b_mac = mac(pair.a), mac(pair.b)
        self.out = packet_socket(pair.a)
        self.child = subprocess.Popen(
            pair.b.argv([path, net.LINK, mode, guard, str(queues)]), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, bufsize=0)
        self.opened = self.answer()
        self.sockets = []
        if setup:
            assert self.opened["open"] == 0, self.opened["why"]
            self.do("mac " + self.b_mac.hex(":"))
            self.local(B4, B6)
            self.do(f"port add udp {MARK4} {MARK_PORT}")
            self.do("xsk 0")

    def answer(self):
        line = b""
        while not line.endswith(b"\n"):
            assert select.select([self.child.stdout], [], [], 10)[0], "no answer from steer_probe"
            byte = self.child.stdout.read(1)
            assert byte, "steer_probe ended"
            line += byte
        return json.loads(line)

    def ask(self, text):
        self.child.stdin.write((text + "\n").encode())
        return self.answer()

    def do(self, text):
        assert self.ask(text)["ret"] == 0, text

    def stats(self):
        return self.ask("stats")

    def frame(self, packet, dst=None, tag=b""):
        kind = b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"
        return (dst or self.b_mac) + self.a_mac + tag + kind + packet

    def send(self, packet, **options):
        self.out.send(self.frame(packet, **options))

    def take(self, ms=200):
        """Frames that the stack got."""
        return [bytes.fromhex(f) for f in self.ask(f"take 0 {ms}")["frames"]]

    def frames(self):
        """Frames that the stack got so far: those ahead of a marker that it surely gets."""
        marker, found = self.frame(MARKER), []
        self.out.send(marker)
        end = time.monotonic() + proc.GUARD
        while marker not in found:
            assert time.monotonic() < end, "the marker did not come"
            found += self.take(500)
        found.remove(marker)
        return found

    def taken(self, packet, **options):
        """Is @packet taken? What is taken must be it, untouched."""
        self.send(packet, **options)
        frames = self.frames()
        assert frames in ([], [self.frame(packet, **options)])
        return bool(frames)

    def local(self, *addresses):
        """Replace the local addresses; the marker's is always among them."""
        self.do(" ".join(["local", MARK4, *addresses]))

    def kernel(self, kind, address, port=PORT):
        made = kernel_socket(self.pair.b, kind, address, port)
        self.sockets.append(made)
        return made

    def drain(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.out.recv(65535)

    def seen(self, want, seconds=proc.GUARD):
        """Does a frame from .b for which @want(ip packet) holds arrive at .a?"""
        end = time.monotonic() + seconds
        while select.select([self.out], [], [], max(0, end - time.monotonic()))[0]:
            data, where = self.out.recvfrom(65535)
            if where[2] != socket.PACKET_OUTGOING and want(data[14:]):
                return True
        return False

    def kill(self):
        self.child.kill()
        self.child.wait()

    def close(self):
        self.child.kill()
        self.child.wait()
        self.child.stdin.close()
        self.child.stdout.close()
        self.out.close()
        for made in self.sockets:
            made.close()


@pytest.fixture
def wires(pair, program):
    """wires(mode, ...): a Wire of this test's own pair, closed at its end."""
    made = []

    def make(mode="generic", **options):
        made.append(Wire(pair, program("steer_probe"), mode, **options))
        return made[-1]
    yield make
    for wire in made:
        wire.close()


@pytest.fixture(scope="module", params=["generic", "native", "tap", "tap-clsact"])
def shared(request, program):
    """One Wire per mode for the tests that leave no rule behind."""
    with net.Pair() as pair:
        wire = Wire(pair, program("steer_probe"), request.param)
        wire.mode = request.param
        wire.drain()
        yield wire
        wire.close()


@contextlib.contextmanager
def rules(wire, *texts):
    """Rules such as 'port PROTO WHERE PORT' for the length of a block."""
    for text in texts:
        wire.do(text.replace(" ", " add ", 1))
    try:
        yield
    finally:
        for text in texts:
            wire.do(text.replace(" ", " remove ", 1))


def flow(protocol, verdict="stack", local=B4, remote=A4):
    return f"flow {protocol} {local} {PORT} {remote} {PEER_PORT} {verdict}"


def is_rst(packet):
    if packet[0] >> 4 == 6:
        return packet[6] == TCP and packet[40 + 13] & RST
    return packet[0] >> 4 == 4 and packet[9] == TCP and packet[20 + 13] & RST


# --- ports and addresses ----------------------------------------------------------------------

V4 = ipv4(A4, B4, UDP, udp(A4, B4))
V6 = ipv6(A6, B6, UDP, udp(A6, B6))


def test_nothing_registered_nothing_taken(shared):
    assert not shared.taken(V4) and not shared.taken(V6)


@pytest.mark.parametrize("where, v4, v6", [
    ("both", True, True), ("v4", True, False), ("v6", False, True), (B4, True, False),
    (B6, False, True), (OTHER4, False, False)])
def test_port_entry(shared, where, v4, v6):
    with rules(shared, f"port udp {where} {PORT}"):
        assert shared.taken(V4) == v4
        assert shared.taken(V6) == v6
        assert not shared.taken(ipv4(A4, B4, UDP, udp(A4, B4, dport=PORT + 1)))
        assert not shared.taken(ipv4(A4, B4, TCP, tcp(A4, B4, SYN)))
    assert not shared.taken(V4) and not shared.taken(V6)


def test_port_entries_overlap(shared):
    """Removing one of two entries that cover a frame leaves the other."""
    with rules(shared, f"port udp v4 {PORT}"):
        with rules(shared, f"port udp {B4} {PORT}", f"port udp v6 {PORT}"):
            assert shared.taken(V4)
        assert shared.taken(V4) and not shared.taken(V6)
        shared.do(f"port add udp v4 {PORT}")  # again: no second count
    assert not shared.taken(V4)


def test_not_taken_reaches_the_kernel(shared):
    with rules(shared, f"port udp v4 {PORT}"):
        with contextlib.closing(kernel_socket(shared.pair.b, socket.SOCK_DGRAM, B6, PORT)) as sock:
            shared.send(V6)
            assert sock.recv(100) == b"hello"


def test_wrong_arguments(shared):
    assert shared.ask(f"port add sctp both {PORT}")["ret"] == -errno.EPROTONOSUPPORT
    assert shared.ask("port add udp both 0")["ret"] == -errno.EINVAL
    shared.do(f"port remove udp {OTHER4} {PORT}")  # absent
    shared.do(f"flow remove udp {B4} {PORT} {A4} {PEER_PORT}")


def test_tables_full(shared):
    """64 places each in the probe's tables; three addresses and the marker's port are in one."""
    texts = [f"flow udp {B4} {port} {A4} {PEER_PORT} stack" for port in range(1, 65)]
    with rules(shared, *texts):
        assert shared.ask("flow add " + flow("tcp")[5:])["ret"] == -errno.E2BIG
    texts = [f"port udp {B4} {port}" for port in range(1, 61)]
    with rules(shared, *texts):
        assert shared.ask(f"port add udp {B4} 99")["ret"] == -errno.E2BIG
        shared.do("port add udp both 99")  # wildcards need no table
        shared.do("port remove udp both 99")


def test_shapes_of_frames(shared):
    """Parsed: IPv4 options. Passed: fragments, extension headers, tags, nonsense."""
    datagram = udp(A4, B4)
    with rules(shared, f"port udp both {PORT}"):
        assert shared.taken(ipv4(A4, B4, UDP, datagram, options=b"\x01" * 8))
        assert shared.taken(ipv4(A4, B4, UDP, datagram, fragment=0))
        assert not shared.taken(ipv4(A4, B4, UDP, datagram, fragment=0x2000))  # more fragments
        assert not shared.taken(ipv4(A4, B4, UDP, datagram, fragment=0x0001))  # a later one
        for header in (FRAGMENT, HOP_BY_HOP):
            extension = bytes([UDP, 0, 1, 4, 0, 0, 0, 0])
            assert not shared.taken(ipv6(A6, B6, header, extension + udp(A6, B6)))
        assert not shared.taken(V4, tag=b"\x81\x00\x00\x05")
        assert not shared.taken(ipv4(A4, B4, 1, datagram))  # ICMP
        assert not shared.taken(b"\x44" + V4[1:])  # IHL below 5
        assert not shared.taken(b"\x65" + V4[1:])  # version
        assert not shared.taken(b"\x4f" + V4[1:])  # options beyond the frame
        for length in range(1, 28):
            shared.send(V4[:length])
        assert shared.frames() == []


# --- flows ------------------------------------------------------------------------------------

@pytest.mark.parametrize("protocol", ["udp", "tcp"])
@pytest.mark.parametrize("local, remote", [(B4, A4), (B6, A6)])
def test_flow_verdicts(shared, protocol, local, remote):
    made = ipv4 if local == B4 else ipv6
    packet = made(remote, local, TCP if protocol == "tcp" else UDP,
                  tcp(remote, local, ACK) if protocol == "tcp" else udp(remote, local))
    assert not shared.taken(packet)
    with rules(shared, flow(protocol, "stack", local, remote)):
        assert shared.taken(packet)
        for verdict, counter in (("kernel", "passed_verdict"), ("drop", "dropped_verdict")):
            before = shared.stats()[counter]
            shared.do(flow(protocol, verdict, local, remote).replace(" ", " add ", 1))
            assert not shared.taken(packet)
            assert shared.stats()[counter] == before + 1
    assert not shared.taken(packet)


def test_flow_is_exact(shared):
    with rules(shared, flow("udp")):
        assert shared.taken(V4)
        assert not shared.taken(ipv4(A4, B4, UDP, udp(A4, B4, sport=PEER_PORT + 1)))
        assert not shared.taken(ipv4(OTHER4, B4, UDP, udp(OTHER4, B4)))
        assert not shared.taken(ipv4(A4, B4, TCP, tcp(A4, B4, ACK)))


def test_flow_goes_before_port(shared):
    with rules(shared, f"port udp both {PORT}", flow("udp", "kernel")):
        assert not shared.taken(V4)
        assert shared.taken(ipv4(A4, B4, UDP, udp(A4, B4, sport=PEER_PORT + 1)))


def test_dropped_is_not_passed(shared):
    """Verdict drop: neither the stack nor the kernel sees the segment."""
    with rules(shared, flow("tcp", "drop")):
        shared.drain()
        shared.send(ipv4(A4, B4, TCP, tcp(A4, B4, ACK)))
        assert not shared.seen(is_rst, QUIET)
    shared.send(ipv4(A4, B4, TCP, tcp(A4, B4, ACK)))
    assert shared.seen(is_rst)


@pytest.mark.parametrize("shared", ["generic", "native"], indirect=True)
def test_without_socket_flows_drop_the_rest_passes(shared):
    """Redirect fall back (D4): a segment of the stack's flow is dropped, UDP and SYN pass. Packet sockets
    are in no map that could be empty."""
    shared.do("unxsk 0")
    try:
        with rules(shared, flow("tcp"), f"port udp both {PORT}", f"port tcp both {PORT + 1}"):
            before = shared.stats()
            shared.drain()
            shared.send(ipv4(A4, B4, TCP, tcp(A4, B4, ACK)))
            assert not shared.seen(is_rst, QUIET)
            shared.send(ipv4(A4, B4, TCP, tcp(A4, B4, SYN, dport=PORT + 1)))
            assert shared.seen(is_rst)
            sock = shared.kernel(socket.SOCK_DGRAM, B4)
            shared.send(V4)
            assert sock.recv(100) == b"hello"
            sock.close()
            after = shared.stats()
            assert after["dropped_no_queue"] == before["dropped_no_queue"] + 1
            assert after["passed_no_queue"] == before["passed_no_queue"] + 2
            shared.take(0)  # answers what the drop asked, or the next test finds it stale
    finally:
        shared.do("rexsk 0")


# --- hazards ----------------------------------------------------------------------------------

@pytest.mark.parametrize("mode", ["generic", "native", "tap"])
@pytest.mark.parametrize("family", ["v4", "v6"])
def test_hazard_01_connections_of_the_kernel_survive(wires, pair, mode, family):
    """A connection that the kernel has lives through a port entry; new SYNs are the stack's."""
    local, remote = pair.b.address(family), pair.a.address(family)
    listener = kernel_socket(pair.b, socket.SOCK_STREAM, local, PORT)
    listener.listen()
    client = kernel_socket(pair.a, socket.SOCK_STREAM, remote)
    client.settimeout(10)  # the link may be a second from carrying IPv6
    client.connect((local, PORT))
    server = listener.accept()[0]
    wire = wires(mode)
    with rules(wire, f"port tcp both {PORT}"):
        for _ in range(3):
            client.sendall(b"ping")
            assert server.recv(10) == b"ping"
            server.sendall(b"pong")
            assert client.recv(10) == b"pong"
        assert wire.stats()["passed_kernel_owned"] >= 3
        made = ipv4 if family == "v4" else ipv6
        syn = tcp(remote, local, SYN, sport=client.getsockname()[1])
        assert wire.taken(made(remote, local, TCP, syn)), "a SYN is the stack's whatever the kernel has"
        late = kernel_socket(pair.a, socket.SOCK_STREAM, remote)
        late.settimeout(0.3)
        with pytest.raises(OSError):
            late.connect((local, PORT))
        late.close()  # or it asks again, among the frames below
        frames = wire.frames()
        assert frames and frames[0][34 if family == "v4" else 54:][13] == SYN
        # The end of the old connection is the kernel's as well, TIME-WAIT included.
        server.close()
        assert client.recv(10) == b""
        client.close()
        time.sleep(0.05)
        segment = tcp(remote, local, ACK, sport=PEER_PORT, dport=PORT)
        assert wire.taken(made(remote, local, TCP, segment)), "unknown segments are the stack's"
    listener.close()


@pytest.mark.parametrize("address, cast", [
    (B4, "foreign"), (B4, "broadcast"), (B4, "group"), (OTHER4, None), ("10.77.0.255", None)])
def test_hazard_02_foreign_frames_v4(shared, address, cast):
    """Only frames to the interface's own station and a local address are considered."""
    dst = {None: None, "foreign": b"\x02\x12\x34\x56\x78\x9a", "broadcast": b"\xff" * 6,
           "group": b"\x01\x00\x5e\x00\x00\x01"}[cast]
    with rules(shared, f"port udp both {PORT}"):
        before = shared.stats()["passed_not_local"]
        assert not shared.taken(ipv4(A4, address, UDP, udp(A4, address)), dst=dst)
        assert shared.stats()["passed_not_local"] == before + 1


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
@pytest.mark.parametrize("station", [b"\xff" * 6, b"\x01\x00\x5e\x00\x00\x01"])
def test_hazard_02_a_flow_in_frames_to_a_group(shared, protocol, station):
    """A flow's entry takes what is sent to the interface's own station."""
    number, body = (UDP, udp(A4, B4)) if protocol == "udp" else (TCP, tcp(A4, B4, ACK))
    with rules(shared, flow(protocol)):
        assert shared.taken(ipv4(A4, B4, number, body))
        assert not shared.taken(ipv4(A4, B4, number, body), dst=station)


def test_hazard_02_foreign_frames_v6(shared):
    with rules(shared, f"port udp both {PORT}"):
        assert not shared.taken(ipv6(A6, OTHER6, UDP, udp(A6, OTHER6)))
        assert not shared.taken(ipv6(A6, "ff02::1", UDP, udp(A6, "ff02::1")),
                                dst=b"\x33\x33\x00\x00\x00\x01")


@pytest.mark.parametrize("family, group, station", [
    ("v4", "239.1.2.3", b"\x01\x00\x5e\x01\x02\x03"), ("v6", "ff02::99", b"\x33\x33\x00\x00\x00\x99")])
def test_groups_are_taken_by_their_own_entries(shared, family, group, station):
    """A group's entry takes its frames, no wildcard does, and it takes none sent to the interface itself."""
    made, source, other, other_station = (
        (ipv4, A4, "239.1.2.4", b"\x01\x00\x5e\x01\x02\x04") if family == "v4" else
        (ipv6, A6, "ff02::9a", b"\x33\x33\x00\x00\x00\x9a"))
    packet = made(source, group, UDP, udp(source, group))
    with rules(shared, f"port udp both {PORT}"):
        before = shared.stats()["passed_not_local"]
        assert not shared.taken(packet, dst=station)
        assert shared.stats()["passed_not_local"] == before + 1
        with rules(shared, f"port udp {group} {PORT}"):
            assert shared.taken(packet, dst=station)
            assert not shared.taken(packet), "a group's address in a frame to one station"
            assert not shared.taken(made(source, other, UDP, udp(source, other)), dst=other_station)
            assert not shared.taken(made(source, group, UDP, udp(source, group, dport=PORT + 1)),
                                    dst=station)
            assert not shared.taken(made(source, group, TCP, tcp(source, group, SYN)), dst=station)
        assert not shared.taken(packet, dst=station)
    local = B4 if family == "v4" else B6
    with rules(shared, f"port udp {local} {PORT}"):
        assert shared.taken(made(source, local, UDP, udp(source, local)))
        assert not shared.taken(made(source, local, UDP, udp(source, local)), dst=station)


def test_hazard_02_local_addresses_change(shared):
    """More of them than the quick list holds; removed ones pass at once, mapped forms stay apart."""
    many = [f"10.77.1.{i}" for i in range(1, 8)]
    try:
        with rules(shared, f"port udp both {PORT}"):
            shared.local(*many, B6)
            assert not shared.taken(V4) and shared.taken(V6)
            for address in many:
                assert shared.taken(ipv4(A4, address, UDP, udp(A4, address)))
            shared.local(B4)
            assert shared.taken(V4) and not shared.taken(V6)
            for address in many:
                assert not shared.taken(ipv4(A4, address, UDP, udp(A4, address)))
            shared.local()
            assert not shared.taken(V4)
            assert not shared.taken(ipv4(A4, "0.0.0.0", UDP, udp(A4, "0.0.0.0")))
    finally:
        shared.local(B4, B6)


@pytest.mark.parametrize("mode", ["generic", "tap"])
def test_hazard_02_forwarded_traffic_is_left_alone(wires, pair, mode):
    """The host routes a datagram to somewhere else, to a port that is registered here."""
    wire = wires(mode)
    run(pair.b, "sysctl -qw net.ipv4.ip_forward=1")
    run(pair.b, f"ip neigh add {OTHER4} lladdr 02:00:00:00:00:99 dev {net.LINK}")
    with rules(wire, f"port udp both {PORT}"):
        wire.drain()
        assert not wire.taken(ipv4(A4, OTHER4, UDP, udp(A4, OTHER4)))
        assert wire.seen(lambda ip: ip[16:20] == packed(OTHER4) and ip[8] == 63)


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("size, count", [(10, 10), (100, 30), (1400, 30)])
def test_hazard_03_datagram_boundaries(wires, pair, family, size, count):
    """A kernel peer's super-frame of many datagrams arrives as these, in generic mode."""
    local, remote = pair.b.address(family), pair.a.address(family)
    wire = wires("generic")
    with rules(wire, f"port udp both {PORT}"):
        receiver = wire.kernel(socket.SOCK_DGRAM, local)
        sender = kernel_socket(pair.a, socket.SOCK_DGRAM, remote)
        sender.setsockopt(SOL_UDP, UDP_SEGMENT, size)
        sent = [bytes([65 + i % 26]) * size for i in range(count)]
        sender.sendto(b"".join(sent), (local, PORT))
        assert [receiver.recv(9000) for _ in range(count)] == sent
        assert wire.frames() == []
        assert wire.stats()["passed_partial"] >= 1
        sender.close()


def test_hazard_03_native_mode_has_no_super_frames(wires, pair):
    """In native mode each datagram comes by itself, and the stack gets them all."""
    wire = wires("native")
    with rules(wire, f"port udp both {PORT}"):
        sender = kernel_socket(pair.a, socket.SOCK_DGRAM, A4)
        sender.setsockopt(SOL_UDP, UDP_SEGMENT, 10)
        sender.sendto(b"0123456789" * 10, (B4, PORT))
        frames = wire.frames()
        assert [f[42:] for f in frames] == [b"0123456789"] * 10
        sender.close()


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_hazard_03_partial_sums_only_in_generic_mode(shared, family):
    made, local, remote = (ipv4, B4, A4) if family == "v4" else (ipv6, B6, A6)
    with rules(shared, f"port udp both {PORT}"):
        before = shared.stats()["passed_partial"]
        partial = made(remote, local, UDP, udp(remote, local, partial=True))
        assert shared.taken(partial) == (shared.mode != "generic")
        assert shared.taken(made(remote, local, UDP, udp(remote, local)))
        if family == "v4":  # no checksum at all is not a partial one
            without = udp(remote, local)
            assert shared.taken(ipv4(remote, local, UDP, without[:6] + b"\0\0" + without[8:]))
        assert shared.stats()["passed_partial"] == before + (shared.mode == "generic")


def test_hazard_03_partial_sums_of_tcp_are_taken(shared):
    """For TCP a super-frame is coalescing, not loss of boundaries."""
    segment = tcp(A4, B4, ACK, payload=b"x" * 20)
    total = fold(pseudo(A4, B4, TCP, len(segment)))
    with rules(shared, flow("tcp")):
        assert shared.taken(ipv4(A4, B4, TCP, segment[:16] + struct.pack("!H", total) + segment[18:]))


def xdp_attached(side):
    done = subprocess.run(["ip", "-j", "-n", side.name, "link", "show", "dev", net.LINK],
                          capture_output=True, text=True, check=True)
    return "xdp" in json.loads(done.stdout)[0]


def wait_until(true):
    assert proc.until(true), "did not come true"


def test_hazard_06_killed_owner_leaves_nothing(wires, pair):
    """With a child that dropped its copies: the kernel has its packets back at once."""
    wire = wires("generic")
    with contextlib.suppress(BrokenPipeError):
        wire.do(f"port add udp both {PORT}")
        child = wire.ask("fork proper")["pid"]
        assert wire.taken(V4)
        sock = wire.kernel(socket.SOCK_DGRAM, B4)
        wire.kill()
        wait_until(lambda: not xdp_attached(pair.b))
        wire.send(V4)
        assert sock.recv(100) == b"hello"
        os.kill(child, 0)  # and the child still lives


@pytest.mark.parametrize("mode", ["generic", "tap"])
def test_an_owner_closes_for_all(wires, mode):
    """Others hold copies of its links: what it takes away is gone all the same."""
    wire = wires(mode)
    wire.do(f"port add udp both {PORT}")
    child = wire.ask("fork idle")["pid"]
    assert wire.taken(V4)
    wire.do("close")
    sock = wire.kernel(socket.SOCK_DGRAM, B4)
    wire.send(V4)
    assert sock.recv(100) == b"hello"
    assert not xdp_attached(wire.pair.b)
    os.kill(child, 9)


@pytest.mark.alone
def test_hazard_06_stale_heartbeat_passes(wires, pair):
    """With a child that inherited every descriptor and does nothing: after a second frames pass."""
    wire = wires("generic")
    wire.do(f"port add udp both {PORT}")
    child = wire.ask("fork idle")["pid"]
    sock = wire.kernel(socket.SOCK_DGRAM, B4)
    wire.kill()
    time.sleep(0.05)
    assert xdp_attached(pair.b), "this test needs the inherited attachment"
    sock.settimeout(0.05)

    def passed():
        wire.send(V4)
        with contextlib.suppress(TimeoutError):
            return sock.recv(100)
    wait_until(passed)
    os.kill(child, 9)
    wait_until(lambda: not xdp_attached(pair.b))


def test_hazard_06_dead_flows_are_reset(wires, pair):
    """The same for a flow of the stack whose socket is gone: the peer learns of it from the kernel."""
    wire = wires("generic")
    wire.do(flow("tcp").replace(" ", " add ", 1))
    wire.do("unxsk 0")
    wire.drain()
    segment = ipv4(A4, B4, TCP, tcp(A4, B4, ACK))
    wire.send(segment)
    assert not wire.seen(is_rst, QUIET)
    time.sleep(1.0)
    wire.send(segment)
    assert wire.seen(is_rst)
    assert wire.stats()["passed_stale"] == 1


@pytest.mark.parametrize("mode", ["generic", "tap"])
def test_hazard_06_stale_ends_when_somebody_polls(wires, mode):
    wire = wires(mode)
    wire.do(f"port add udp both {PORT}")
    wire.send(V4)
    time.sleep(1.1)
    sock = wire.kernel(socket.SOCK_DGRAM, B4)
    wire.send(V4)
    assert sock.recv(100) == b"hello"
    assert wire.stats()["passed_stale"] == 1
    assert len(wire.take()) == 1
    assert wire.taken(V4)


@pytest.mark.parametrize("mode", ["generic", "tap"])
def test_hazard_06_idle_stack_is_not_stale(wires, mode):
    """Silence is no sign of death: a frame after a long pause is taken, nothing was written."""
    wire = wires(mode)
    wire.do(f"port add udp both {PORT}")
    assert wire.taken(V4)
    answered = wire.stats()["answered_ns"]
    assert answered > 0
    wire.take(1200)
    assert wire.stats()["answered_ns"] == answered
    assert wire.taken(V4)
    assert wire.stats()["passed_stale"] == 0


def is_zombie(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return file.read().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("mode", ["generic", "tap"])
def test_children_share_the_tables(wires, mode):
    """A child that kept the maps, and a process that joined, add rules that work."""
    wire = wires(mode)
    pid = wire.ask("fork rules")["pid"]
    wire.do("join")
    wait_until(lambda: is_zombie(pid))
    for port in (7777, 7778):
        assert wire.taken(ipv4(A4, B4, UDP, udp(A4, B4, dport=port)))


def fragments(packet, ident):
    """@packet's transport part in two IPv4 fragments, which only the kernel puts together."""
    payload = packet[20:]
    return [ipv4(A4, B4, packet[9], payload[:8], fragment=0x2000, ident=ident),
            ipv4(A4, B4, packet[9], payload[8:], fragment=1, ident=ident)]


@pytest.mark.parametrize("mode", ["generic", "tap"])
@pytest.mark.parametrize("guard", ["tcx", "clsact"])
def test_hazard_18_kernel_resets_are_stopped(wires, mode, guard):
    """A segment that reached the kernel by a side road does not kill the stack's connection."""
    wire = guarded(wires, guard, mode)
    wire.do(f"flow remove tcp {B4} {PORT} {A4} {PEER_PORT}")
    segment = ipv4(A4, B4, TCP, tcp(A4, B4, ACK, payload=b"x" * 20))
    wire.drain()
    for part in fragments(segment, 1):
        wire.send(part)
    assert wire.seen(is_rst), "without a flow the kernel resets"
    with rules(wire, flow("tcp")):
        for part in fragments(segment, 2):
            wire.send(part)
        assert not wire.seen(is_rst, QUIET)
        assert wire.stats()["guard_dropped"] == 1
        extension = bytes([TCP, 0, 1, 4, 0, 0, 0, 0])
        with rules(wire, flow("tcp", "stack", B6, A6)):
            wire.send(ipv6(A6, B6, HOP_BY_HOP, extension + tcp(A6, B6, ACK)))
            assert not wire.seen(is_rst, QUIET)
            assert wire.stats()["guard_dropped"] == 2
        if mode == "tap":
            return
        # AF_XDP transmit is not the kernel speaking.
        mine = ipv4(B4, A4, TCP, tcp(B4, A4, ACK, sport=PORT, dport=PEER_PORT, payload=b"mine"))
        wire.do("send " + (wire.a_mac + wire.b_mac + b"\x08\x00" + mine).hex())
        assert wire.seen(lambda ip: ip == mine)
        assert wire.stats()["guard_dropped"] == 2
        # Neither are other flows of the port, nor this one once it is the kernel's.
        other = ipv4(A4, B4, TCP, tcp(A4, B4, ACK, sport=PEER_PORT + 1))
        wire.send(other)
        assert wire.seen(is_rst)
        wire.do(flow("tcp", "kernel").replace(" ", " add ", 1))
        wire.send(segment)
        assert wire.seen(is_rst)


IDENT = itertools.count(100)


def guarded(wires, guard, mode="generic"):
    """A wire with @guard and a flow of the stack."""
    wire = wires(mode, guard=guard)
    if guard == "tcx" and wire.opened["guard"] != TCX:
        pytest.skip("no tcx links (Linux 6.6)")
    wire.do(flow("tcp").replace(" ", " add ", 1))
    return wire


def resets(wire, seconds=proc.GUARD):
    wire.drain()
    wire.send(ipv4(A4, B4, TCP, tcp(A4, B4, ACK)))
    return wire.seen(is_rst, seconds)


def reset_by(wire, packet, seconds=proc.GUARD):
    """Does the kernel reset the sender of @packet, which the steering program does not see?"""
    wire.drain()
    for part in fragments(packet, next(IDENT)):
        wire.send(part)
    return wire.seen(is_rst, seconds)


@pytest.mark.parametrize("mode, guard", [("generic", "tcx"), ("generic", "clsact"), ("tap", "tcx"), ("tap", "clsact")])
@pytest.mark.parametrize("where", ["both", B4])
def test_hazard_18_ports_are_guarded(wires, pair, mode, guard, where):
    """Of a port's connections there is no flow entry: all that the kernel does not know are the stack's."""
    wire = guarded(wires, guard, mode)
    wire.do(f"flow remove tcp {B4} {PORT} {A4} {PEER_PORT}")
    listener = kernel_socket(pair.b, socket.SOCK_STREAM, B4, PORT)
    listener.listen()
    segment = ipv4(A4, B4, TCP, tcp(A4, B4, ACK, payload=b"x" * 20))
    assert reset_by(wire, segment), "without an entry the kernel resets"
    with rules(wire, f"port tcp {where} {PORT}"):
        assert not reset_by(wire, segment, QUIET)
        assert wire.stats()["guard_dropped"] == 1
        listener.close()
        assert not reset_by(wire, segment, QUIET), "with a listener or without"
        # A refusal kills nothing: the stack's connections have no such segment to send.
        assert reset_by(wire, ipv4(A4, B4, TCP, tcp(A4, B4, SYN, payload=b"x" * 20)))
        assert wire.stats()["guard_dropped"] == 2
    with rules(wire, f"port tcp {OTHER4} {PORT}"):
        assert reset_by(wire, segment), "another address' port"


def test_hazard_18_ports_are_guarded_v6(wires):
    wire = wires("generic")
    extension = bytes([TCP, 0, 1, 4, 0, 0, 0, 0])
    segment = ipv6(A6, B6, HOP_BY_HOP, extension + tcp(A6, B6, ACK))
    for where, reset in (("v4", True), ("v6", False), ("both", False), (B6, False), (OTHER6, True)):
        with rules(wire, f"port tcp {where} {PORT}"):
            wire.drain()
            wire.send(segment)
            assert wire.seen(is_rst, proc.GUARD if reset else QUIET) == reset, where


@pytest.mark.parametrize("mode", ["generic", "tap"])
@pytest.mark.parametrize("family", ["v4", "v6"])
def test_hazard_18_connections_of_the_kernel_may_speak(wires, pair, mode, family):
    """On a guarded port: data, FIN, and both resets that end a connection which the kernel has."""
    local, remote = pair.b.address(family), pair.a.address(family)
    pair.meet()
    listener = kernel_socket(pair.b, socket.SOCK_STREAM, local, PORT)
    listener.listen()

    def connected():
        client = kernel_socket(pair.a, socket.SOCK_STREAM, remote)
        client.settimeout(10)
        client.connect((local, PORT))
        return client, listener.accept()[0]
    whole, unread, aborted, late = (connected() for _ in range(4))
    wire = wires(mode)
    with rules(wire, f"port tcp both {PORT}"):
        client, server = whole
        server.sendall(b"pong")
        server.close()
        assert client.recv(10) == b"pong" and client.recv(10) == b""
        for client, server in (unread, aborted):
            client.sendall(b"unread")
            select.select([server], [], [], 2)
            if server is aborted[1]:
                assert server.recv(10) == b"unread"
                server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            server.close()
            with pytest.raises(ConnectionResetError):
                client.recv(10)
        # What comes after close() the kernel answers when it has forgotten the connection: without ACK, stopped.
        client, server = late
        server.close()
        assert client.recv(10) == b""
        client.sendall(b"late")
        assert wire.frames() or wire.take(2000), "it is sent again, and the stack's to refuse"
    for client, _ in (whole, unread, aborted, late):
        client.close()
    listener.close()


@pytest.mark.parametrize("mode, guard", [("generic", "tcx"), ("generic", "clsact"), ("tap", "tcx")])
def test_hazard_18_a_stopped_owner_keeps_its_connections(wires, mode, guard):
    """Stale: segments pass, the kernel takes SYNs and resets nobody. It does once the owner is dead."""
    wire = guarded(wires, guard, mode)
    wire.do(f"port add tcp both {PORT + 1}")
    listener = wire.kernel(socket.SOCK_STREAM, B4, PORT + 1)
    listener.listen()
    flow_segment = ipv4(A4, B4, TCP, tcp(A4, B4, ACK))
    port_segment = ipv4(A4, B4, TCP, tcp(A4, B4, ACK, dport=PORT + 1))
    wire.send(port_segment)
    time.sleep(1.2)
    wire.drain()
    for segment in (flow_segment, port_segment):
        wire.send(segment)
    assert not wire.seen(is_rst, QUIET)
    late = wire.stats()
    assert late["passed_stale"] == 2 and late["guard_dropped"] == 2
    client = kernel_socket(wire.pair.a, socket.SOCK_STREAM, A4)
    client.connect((B4, PORT + 1))
    listener.accept()[0].close()
    client.close()
    wire.kill()
    wait_until(lambda: resets(wire, QUIET))


def test_hazard_18_guard_vanishes_with_its_owner(wires, pair):
    wire = guarded(wires, "tcx")
    assert "clsact" not in run(pair.b, f"tc qdisc show dev {net.LINK}")
    wire.kill()
    assert resets(wire)


def test_hazard_18_guard_left_on_clsact_is_inert(wires, pair):
    """It lets everything pass; the next owner removes it and the qdisc that the dead one made."""
    wire = guarded(wires, "clsact")
    assert wire.opened["guard"] == CLSACT
    wire.kill()
    assert "fsock_guard" in run(pair.b, f"tc filter show dev {net.LINK} egress")
    assert resets(wire)
    wires("generic", guard="clsact").do("close")
    assert "fsock_guard" not in run(pair.b, f"tc filter show dev {net.LINK} egress")
    assert "clsact" not in run(pair.b, f"tc qdisc show dev {net.LINK}")


def test_hazard_18_clsact_of_others_stays(wires, pair):
    """Our filter comes and goes beside a qdisc and a filter that were there."""
    run(pair.b, f"tc qdisc add dev {net.LINK} clsact")
    subprocess.run(pair.b.argv(["tc", "filter", "add", "dev", net.LINK, "egress", "prio", "7", "protocol",
                                "ip", "bpf", "bytecode", "1,6 0 0 0", "flowid", "1:1"]), check=True)
    wire = wires("generic", guard="clsact")
    assert wire.opened["guard"] == CLSACT
    wire.do("close")
    assert "clsact" in run(pair.b, f"tc qdisc show dev {net.LINK}")
    left = run(pair.b, f"tc filter show dev {net.LINK} egress")
    assert "pref 7" in left and "fsock_guard" not in left


# --- attachment -------------------------------------------------------------------------------

def test_second_owner_is_told(wires):
    first = wires("generic")
    assert wires("generic", setup=False).opened["open"] == -errno.EBUSY
    assert wires("native", setup=False).opened["open"] == -errno.EBUSY
    first.do("close")
    assert first.ask("open")["open"] == 0


@pytest.mark.parametrize("mode", ["generic", "native"])
def test_foreign_program_is_respected(wires, mode):
    foreign = wires(mode, guard="foreign", setup=False)
    assert foreign.opened["open"] == 0
    refused = wires("generic", setup=False).opened
    assert refused["open"] == -errno.EEXIST and "foreign" in refused["why"]
    foreign.kill()
    assert wires("generic").opened["open"] == 0


def test_descriptors_are_high(wires):
    assert wires("generic").opened["lowest_fd"] >= 100


def test_missing_privilege(pair, program):
    """Without capabilities: -EPERM and nothing attached."""
    done = subprocess.run(pair.b.argv(["setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all",
                                       "--bounding-set=-all", program("steer_probe"), net.LINK,
                                       "generic", "auto"]),
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if not done.stdout:  # the build folder is not readable for others
        pytest.fail(done.stderr)
    assert json.loads(done.stdout)["open"] == -errno.EPERM
    assert not xdp_attached(pair.b)


def test_no_such_interface(pair, program):
    done = subprocess.run(pair.b.argv([program("steer_probe"), "nothing", "generic", "auto"]),
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["open"] == -errno.ENODEV
