# SPDX-License-Identifier: BSD-2-Clause
"""
The xdp provider against a real kernel: AF_XDP sockets on a veth pair between two namespaces, driven
by xdp_probe (xdp_probe.c beside this file) at either end.
"""
import contextlib
import ctypes
import errno
import json
import os
import select
import socket
import struct
import subprocess
import time

import pytest

from lab import net

PORT = 5000
LIBC = ctypes.CDLL(None, use_errno=True)
BPF_CALL = {"x86_64": 321, "aarch64": 280}[os.uname().machine]


class Probe:
    """One xdp_probe in namespace @side, opposite to @peer; @wrap goes in front of its command."""

    def __init__(self, path, side, peer, wrap=(), **options):
        self.side = side
        args = {"interface": net.LINK, "local": side.v4, "remote": peer.v4, "mac": mac(peer),
                "chunks": 1024}
        args.update(options)
        self.child = subprocess.Popen(
            side.argv([*wrap, path, *(f"{k}={v}" for k, v in args.items())]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def tell(self, text):
        self.child.stdin.write((text + "\n").encode())

    def answer(self, limit=10):
        line = b""
        while not line.endswith(b"\n"):
            assert select.select([self.child.stdout], [], [], limit)[0], "no answer from xdp_probe"
            byte = self.child.stdout.read(1)
            assert byte, "xdp_probe ended"
            line += byte
        return json.loads(line)

    def __call__(self, text):
        self.tell(text)
        return self.answer()

    def opened(self):
        said = self("open")
        assert said["rc"] == 0, said["why"]
        assert self(f"steer {PORT}")["rc"] == 0
        return self

    def kill(self):
        # `ip netns exec` replaces itself by the program: this is its pid.
        self.child.kill()
        self.child.wait()

    def end(self):
        self.child.stdin.close()
        self.child.stdout.close()
        self.child.kill()
        self.child.wait()


def mac(side):
    done = subprocess.run(["ip", "-n", side.name, "-j", "link", "show", net.LINK], check=True,
                          capture_output=True, text=True)
    return json.loads(done.stdout)[0]["address"]


def link(side, *words):
    subprocess.run(["ip", "-n", side.name, "link", *words], check=True)


@pytest.fixture
def probes(program):
    made = []

    def make(side, peer, **options):
        made.append(Probe(program("xdp_probe"), side, peer, **options))
        return made[-1]
    yield make
    for probe in made:
        probe.end()


@pytest.fixture
def jumbo():
    with net.Pair(mtu=65535) as made:
        yield made


@pytest.fixture(params=["mode=generic", "mode=native"])
def mode(request):
    return request.param


def test_datagrams_both_ways(pair, probes, mode):
    a = probes(pair.a, pair.b, option=mode).opened()
    b = probes(pair.b, pair.a, option=mode).opened()
    for one, other in ((a, b), (b, a)):
        for size in (0, 1, 18, 64, 1472):
            assert one(f"send {PORT} {size} 10") == {"rc": 0, "sent": 10, "error": 0}
            said = other("recv 10 1000")
            assert (said["frames"], said["bad"]) == (10, 0)
            assert said["longest"] == 42 + size
    stats = a("stats")
    assert stats["rx"] == stats["tx"] == 50
    assert stats["rx_bad"] == stats["rx_invalid"] == stats["tx_invalid"] == 0


def test_only_steered_frames_come(pair, probes):
    a = probes(pair.a, pair.b).opened()
    b = probes(pair.b, pair.a).opened()
    other, same = kernel_receiver(pair.b, PORT + 1), kernel_receiver(pair.b, PORT)
    a(f"send {PORT + 1} 64 1")
    assert len(other(2)) == 64
    a(f"send {PORT} 64 1")
    assert b("recv 1 1000")["frames"] == 1
    assert b(f"unsteer {PORT}")["rc"] == 0
    a(f"send {PORT} 64 1")
    assert len(same(2)) == 64
    assert b("recv 1 100")["frames"] == 0


@pytest.mark.parametrize("size", [3796, 3797, 4096, 9000, 32000, 60000, 65507])
def test_frames_of_several_buffers(jumbo, probes, size):
    a = probes(jumbo.a, jumbo.b).opened()
    b = probes(jumbo.b, jumbo.a).opened()
    for count in (1, 8):
        assert a(f"send {PORT} {size} {count}") == {"rc": 0, "sent": count, "error": 0}
        said = b(f"recv {count} 2000")
        assert (said["frames"], said["bad"], said["longest"]) == (count, 0, 42 + size)
        assert said["parts"] == -(-(42 + size) // 3840)
    free = b("pool")["free"]
    assert b("close")["free"] == b("pool")["total"] > free


def test_frames_split_over_bursts(jumbo, probes):
    """A frame whose descriptors do not all fit one look at the ring is put together all the same."""
    a = probes(jumbo.a, jumbo.b).opened()
    b = probes(jumbo.b, jumbo.a).opened()
    for _ in range(5):
        assert a(f"send {PORT} 60000 6")["sent"] == 6
        got = [b("recv 1 2000") for _ in range(6)]
        assert [(g["frames"], g["bad"]) for g in got] == [(1, 0)] * 6


def test_full_ring_refuses_and_recovers(pair, probes):
    a = probes(pair.a, pair.b).opened()
    b = probes(pair.b, pair.a).opened()
    said = a(f"fill {PORT} 64")
    assert said["accepted"] == said["pending"] == 256  # a quarter of the pool
    assert a("stats")["tx_full"] == 1
    assert a("kick") == {"rc": 0, "pending": 0, "error": 0}
    assert b("recv 256 2000")["frames"] == 256
    for _ in range(20):  # every frame sent comes back to the pool sooner or later
        assert a(f"send {PORT} 64 100")["sent"] == 100
        assert b("recv 100 2000")["frames"] == 100
    assert a("close")["free"] == 1024


def test_small_pool(pair, probes):
    a = probes(pair.a, pair.b, chunks=64).opened()
    b = probes(pair.b, pair.a, chunks=64).opened()
    for _ in range(50):
        assert a(f"send {PORT} 64 8")["sent"] == 8
        said = b("recv 8 2000")
        assert (said["frames"], said["bad"]) == (8, 0)
    assert a("close")["free"] == 64
    assert b("close")["free"] == 64


def test_pool_too_small(pair, probes):
    said = probes(pair.a, pair.b, chunks=32)("open")
    assert said["rc"] == -12 and "64 chunks" in said["why"]


def test_unknown_option(pair, probes):
    said = probes(pair.a, pair.b, option="mode=fast")("open")
    assert said["rc"] == -95 and "mode=native" in said["why"]


@pytest.mark.parametrize("kind,header", [("tcp", 66), ("udp", 42)])
def test_super_frames_arrive_whole(pair, probes, kind, header):
    """Generic mode: what carries more than one segment arrives as one frame (hazard 13); UDP of that
    kind goes to the kernel, which alone knows the datagrams (hazard 3)."""
    a, b = probes(pair.a, pair.b), probes(pair.b, pair.a)
    assert a("open")["max_gso"] == 65535
    b.opened()
    assert b(f"steer {PORT} tcp")["rc"] == 0
    receiver = kernel_receiver(pair.b)
    for size in (2000, 14480, 60000):
        assert a(f"super {kind} {size} 1448") == {"taken": 1, "bad": 0, "error": 0}
        said = b("recv 1 500")
        if kind == "tcp":
            assert (said["frames"], said["bad"], said["longest"]) == (1, 0, header + size)
        else:
            assert said["frames"] == 0
            got = [receiver(2) for _ in range(-(-size // 1448))]
            assert [len(g) for g in got] == [1448] * (size // 1448) + [size % 1448] * (size % 1448 > 0)
            assert b("stats")["partial"] > 0


def test_super_frames_end_when_the_peer_goes_native(pair, probes):
    """A native program at the peer takes segmentation away from our end, and nothing cuts frames up
    behind a queueing discipline bypassed: the port says so from then on."""
    a = probes(pair.a, pair.b)
    assert a("open")["max_gso"] == 65535
    b = probes(pair.b, pair.a, option="mode=native").opened()
    assert a("super tcp 14480 1448") == {"taken": 1, "bad": 1, "error": 0}
    assert a("stats")["max_gso"] == 0
    a("close")
    assert a("open")["max_gso"] == 0
    b("close")
    a("close")
    assert a("open")["max_gso"] == 65535


@contextlib.contextmanager
def inside(side):
    """This thread is in the namespace @side."""
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{side.name}", os.O_RDONLY)
    try:
        setns(there)
        yield
    finally:
        setns(here)
        os.close(here)
        os.close(there)


def setns(fd):
    if LIBC.setns(fd, 0) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def kernel_receiver(side, port=PORT):
    """recv(timeout) of a kernel UDP socket in the namespace @side."""
    with inside(side):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((side.v4, port))

    def recv(limit):
        sock.settimeout(limit)
        return sock.recv(65536)
    return recv


def egress_programs(side):
    """Programs on the tcx egress hook of the interface (BPF_PROG_QUERY)."""
    with inside(side):
        attr = bytearray(64)
        struct.pack_into("=II", attr, 0, socket.if_nametoindex(net.LINK), 47)
        buf = (ctypes.c_char * 64).from_buffer(attr)
        if LIBC.syscall(BPF_CALL, 16, buf, 64) != 0:
            raise OSError(ctypes.get_errno(), "BPF_PROG_QUERY")
        return struct.unpack_from("=I", attr, 24)[0]


def test_guard_comes_with_the_first_tcp_rule(pair, probes):
    a = probes(pair.a, pair.b).opened()
    assert egress_programs(pair.a) == 0
    assert a(f"steer {PORT} tcp")["rc"] == 0
    assert egress_programs(pair.a) == 1
    assert a(f"steer {PORT + 1} tcp")["rc"] == 0
    assert egress_programs(pair.a) == 1
    a("close")
    assert egress_programs(pair.a) == 0


def test_interface_down_and_up(pair, probes):
    a = probes(pair.a, pair.b).opened()
    b = probes(pair.b, pair.a).opened()
    link(pair.a, "set", net.LINK, "down")
    said = a(f"send {PORT} 64 1")
    assert (said["rc"], said["error"]) == (-100, -100)
    assert a("arm") == {"work": False, "error": -100}
    link(pair.a, "set", net.LINK, "up")
    assert a("arm")["error"] == 0
    b("recv 100 100")
    assert a(f"send {PORT} 64 1")["rc"] == 0
    assert b("recv 1 1000")["frames"] >= 1


def test_open_on_interface_down(pair, probes):
    link(pair.a, "set", net.LINK, "down")
    said = probes(pair.a, pair.b)("open")
    assert said["rc"] == -100 and said["why"]


def test_open_without_carrier(pair, probes):
    """A peer that is down drops what we send; that is no fault of the port."""
    link(pair.b, "set", net.LINK, "down")
    a = probes(pair.a, pair.b).opened()
    link(pair.b, "set", net.LINK, "up")
    b = probes(pair.b, pair.a).opened()
    a(f"send {PORT} 64 3")
    assert b("recv 3 1000")["frames"] == 3


@pytest.mark.parametrize("wrap,error,word", [
    (["setpriv", "--bounding-set=-net_raw"], errno.EPERM, "CAP_NET_RAW"),
    (["setpriv", "--bounding-set=-bpf,-sys_admin,-net_admin"], errno.EPERM, "CAP_"),
    (["prlimit", "--memlock=65536", "setpriv", "--bounding-set=-ipc_lock"], errno.ENOBUFS,
     "RLIMIT_MEMLOCK"),
    (["prlimit", "--nofile=200"], errno.EMFILE, "descriptor"),
    (["prlimit", "--nofile=203"], errno.EMFILE, "descriptor"),
])
def test_open_says_what_is_missing(pair, probes, wrap, error, word):
    probe = probes(pair.a, pair.b, wrap=wrap)
    said = probe("open")
    assert said["rc"] == -error
    assert word in said["why"]
    free = probe("pool")
    assert free["free"] == free["total"]
    assert probes(pair.a, pair.b)("open")["rc"] == 0  # nothing was left behind


def test_pages_of_a_predecessor_are_waited_for(pair, probes, tmp_path):
    """What a program had pinned counts against its user for a moment after its end."""
    def opened(*inject):
        probe = probes(pair.a, pair.b, wrap=["strace", "-o", tmp_path / "calls", "-e", "trace=setsockopt", *inject])
        probe.opened()
        probe("close")
        probe.end()
        return (tmp_path / "calls").read_text().splitlines()

    registration = next(i for i, call in enumerate(opened(), 1) if "XDP_UMEM_REG" in call)
    calls = opened("-e", f"inject=setsockopt:error=ENOBUFS:when={registration}..{registration + 1}")
    assert sum("XDP_UMEM_REG" in call and "INJECTED" in call for call in calls) == 2, calls


def test_interface_removed(pair, probes):
    a = probes(pair.a, pair.b).opened()
    link(pair.a, "del", net.LINK)
    assert a("arm") == {"work": False, "error": -errno.ENODEV}
    assert a("wait 100")["rc"] == 0
    assert a(f"send {PORT} 64 1")["rc"] == -100
    assert a("stats")["error"] == -errno.ENODEV
    assert a("close")["free"] == 1024


@pytest.mark.alone
def test_second_opener_is_told(pair, probes):
    """The live owner keeps the queue; the other learns who is in the way."""
    a = probes(pair.a, pair.b).opened()
    second = probes(pair.a, pair.b)
    said = second("open")
    assert said["rc"] == -16 and "another process" in said["why"]
    a("close")
    assert second("open")["rc"] == 0


def test_reopen_after_kill(pair, probes):
    """kill -9 in traffic: the next one gets the queue at once, its port works."""
    b = probes(pair.b, pair.a).opened()
    for _ in range(5):
        a = probes(pair.a, pair.b).opened()
        a(f"send {PORT} 64 100")
        a(f"fill {PORT} 64")
        a.kill()
        a = probes(pair.a, pair.b).opened()
        b("recv 1000 50")
        assert a(f"send {PORT} 64 3")["rc"] == 0
        assert b("recv 3 1000")["frames"] == 3
        b(f"send {PORT} 64 3")
        assert a("recv 3 1000")["frames"] == 3
        a.kill()


def test_idle_child_of_dead_owner(pair, probes):
    """Hazard 6: a forked child that does nothing holds neither queue nor program."""
    a = probes(pair.a, pair.b).opened()
    child = a("fork idle")["pid"]
    a.kill()
    assert os.path.exists(f"/proc/{child}")
    again = probes(pair.a, pair.b).opened()
    assert again(f"send {PORT} 64 1")["rc"] == 0


def test_child_joins(pair, probes):
    """A child that joins drives the port from where its parent stood, and the parent goes on after."""
    a = probes(pair.a, pair.b).opened()
    b = probes(pair.b, pair.a).opened()
    for turn in range(3):
        assert a(f"send {PORT} 64 7")["sent"] == 7
        assert b("recv 7 1000")["frames"] == 7
        b(f"send {PORT} 64 5")
        assert a("fork drive")["rc"] == 0
        said = a("recv 5 1000")
        assert (said["frames"], said["bytes"], said["longest"], said["parts"]) == (5, 530, 106, 1)
        assert a(f"send {PORT} 64 40")["sent"] == 40
        assert b("recv 40 1000")["frames"] == 40
        assert a(f"steer {PORT + 1 + turn}")["rc"] == 0  # the child may steer
        a("close" if turn else "arm")
        a.tell("exit")
        b(f"send {PORT + 1 + turn} 64 2")
        assert a("recv 2 1000")["frames"] == 2
    assert a("close")["free"] == 1024


def test_sleeper_wakes(pair, probes):
    a = probes(pair.a, pair.b).opened()
    b = probes(pair.b, pair.a).opened()
    assert a("arm")["work"] is False
    a.tell("wait 5000")
    time.sleep(0.1)
    b(f"send {PORT} 64 1")
    assert a.answer() == {"rc": 1, "in": 1, "err": 0}
    assert a("arm")["work"] is True
    assert a("recv 1 100")["frames"] == 1
