# SPDX-License-Identifier: BSD-2-Clause
"""
Super-frames through the providers that carry them, against each other and against a kernel: they arrive whole, what
cannot be sent is counted and holds nothing else up, and a kernel finds in them what it needs to cut them up.
"""
import contextlib
import socket
import struct

import pytest

from lab import net
from test_xdp import PORT, inside, probes  # noqa: F401

CSUM_UNKNOWN, CSUM_PARTIAL = 0, 2
MAX_PARTS = 48  # VNET_MAX_PARTS
ETH_P_ALL, SOL_PACKET, PACKET_VNET_HDR = 3, 263, 15
NEEDS_CSUM, GSO_TCPV4, GSO_TCPV6 = 1, 1, 4
TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ, TCP_REPAIR_OPTIONS, TCP_REPAIR_WINDOW = 19, 20, 21, 22, 29
IP_LEN = {"v4": 20, "v6": 40}
DEFAULT_MSS = {"v4": 536, "v6": 1220}  # RFC 9293 3.7.1


@pytest.fixture(params=["v4", "v6"])
def family(request):
    return request.param


@pytest.fixture(params=["xdp", "packet"])
def ends(request, pair, probes, family):  # noqa: F811
    """make(pair): a probe at either end, open and steered."""
    def make(pair=pair):
        a, b = (probes(one, other, provider=request.param, local=one.address(family),
                       remote=other.address(family)).opened()
                for one, other in ((pair.a, pair.b), (pair.b, pair.a)))
        for end in (a, b):
            assert end(f"steer {PORT} tcp")["rc"] == 0
        return a, b
    make.provider = request.param
    return make


def headers(family, tcp=32):
    return 14 + IP_LEN[family] + tcp


def expect(ends, said, family, size, gso):
    assert (said["frames"], said["bad"], said["longest"]) == (1, 0, headers(family) + size)
    assert said["partial"] == 1
    # AF_XDP has no word for either: TCP compares the sum, and where segments end does not matter to it.
    assert (said["gso"], said["csum"]) == ((gso, CSUM_PARTIAL) if ends.provider == "packet" else (0, CSUM_UNKNOWN))


@pytest.mark.parametrize("mtu", [1500, 9000])
def test_whole_both_ways(ends, family, mtu):
    with net.Pair(mtu=mtu) as pair:
        a, b = ends(pair)
        gso = mtu - IP_LEN[family] - 32
        for one, other in ((a, b), (b, a)):
            for size in (gso + 1, 2 * gso, 7 * gso + 5, 65535 - 20 - IP_LEN["v6"] - 32):
                assert one(f"super tcp {size} {gso} {min(gso, 3500)}") == {"taken": 1, "bad": 0, "error": 0}
                expect(ends, other("recv 1 1000"), family, size, gso)
        for end in (a, b):
            stats = end("stats")
            assert stats["tx"] == stats["rx"] == 4 and stats["rx_bad"] == stats["rx_invalid"] == 0
            assert end("close")["free"] == 1024


def test_longest_chain(ends, family):
    """What is too long is thrown away and counted, empty parts are nothing, and what was sent before and after it
    arrives."""
    a, b = ends()
    assert a(f"super tcp {MAX_PARTS * 1000} 1400 1000") == {"taken": 1, "bad": 0, "error": 0}
    assert a(f"super tcp {MAX_PARTS * 1000 + 1} 1400 1000") == {"taken": 1, "bad": 1, "error": 0}
    assert a("super tcp 30000 1400 1000 200") == {"taken": 1, "bad": 1, "error": 0}
    assert a("super tcp 65535 1400") == {"taken": 1, "bad": 2, "error": 0}  # with headers, too long for IP
    assert a("super tcp 5000 1400 0 1") == {"taken": 1, "bad": 2, "error": 0}
    for size in (MAX_PARTS * 1000, 30000, 5000):
        expect(ends, b("recv 1 1000"), family, size, 1400)
    assert b("recv 1 50")["frames"] == 0
    assert a("stats")["max_gso"] == 65535
    assert a("close")["free"] == b("close")["free"] == 1024


def test_super_frames_keep_their_place(ends, family):
    """Ordinary frames that were handed over earlier leave earlier."""
    a, b = ends()
    assert a(f"fill {PORT} 64 100")["accepted"] == 100
    assert a("super tcp 20000 1448") == {"taken": 1, "bad": 0, "error": 0}
    said = b("recv 100 1000")
    assert said["frames"] == 100 and said["longest"] < 200
    expect(ends, b("recv 1 1000"), family, 20000, 1448)


@contextlib.contextmanager
def kernel_tap(side):
    """recv() of the frames that come to the kernel of namespace @side, each behind its virtio-net header."""
    with inside(side):
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    with tap:
        tap.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        tap.bind((net.LINK, ETH_P_ALL))
        tap.settimeout(20)
        yield lambda: tap.recv(1 << 17)


@pytest.mark.parametrize("size", [1449, 14480, 65160])
def test_kernel_receives_a_super_frame(ends, pair, probes, family, size):  # noqa: F811
    """It gets one packet that says how it is to be cut, and that its sum is to be completed."""
    a = probes(pair.a, pair.b, provider=ends.provider, local=pair.a.address(family), remote=pair.b.address(family))
    assert a("open")["max_gso"] == 65535
    with kernel_tap(pair.b) as recv:
        assert a(f"super tcp {size} 1448 1448") == {"taken": 1, "bad": 0, "error": 0}
        got = recv()
        while len(got) < size:
            got = recv()
    flags, kind, header_len, gso, start, offset = struct.unpack_from("=BBHHHH", got)
    assert flags == NEEDS_CSUM and kind & 0x7f == (GSO_TCPV4 if family == "v4" else GSO_TCPV6)
    assert gso == 1448 and header_len >= headers(family)  # what lies in one piece counts as header
    assert (start, offset) == (14 + IP_LEN[family], 16)
    assert len(got) == 10 + headers(family) + size


def kernel_sender(side, peer, family):
    """A kernel's connection to PORT that the other end knows nothing of (TCP_REPAIR), with a wide window."""
    kind = socket.AF_INET if family == "v4" else socket.AF_INET6
    with inside(side):
        sock = socket.socket(kind, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_TCP, TCP_REPAIR, 1)
    for queue in (1, 2):
        sock.setsockopt(socket.SOL_TCP, TCP_REPAIR_QUEUE, queue)
        sock.setsockopt(socket.SOL_TCP, TCP_QUEUE_SEQ, 1000)
    sock.bind((side.address(family), 0))
    sock.connect((peer.address(family), PORT))
    sock.setsockopt(socket.SOL_TCP, TCP_REPAIR_OPTIONS, struct.pack("=II", 3, 7 << 16 | 7))  # window scaling
    sock.setsockopt(socket.SOL_TCP, TCP_REPAIR_WINDOW, struct.pack("=IIIII", 1000, 1 << 20, 1 << 20, 60000, 1000))
    sock.setsockopt(socket.SOL_TCP, TCP_REPAIR, -1)
    return sock


def pattern(first, n):
    """The probe's, from @first on."""
    return bytes((i * 7 + i // 251) & 255 for i in range(first, first + n))


def test_kernel_sends_a_super_frame(ends, pair, probes, family):  # noqa: F811
    """A kernel's TCP that leaves cutting to its device: one frame of many segments, its sum partial."""
    b = probes(pair.b, pair.a, provider=ends.provider, local=pair.b.address(family),
               remote=pair.a.address(family)).opened()
    assert b(f"steer {PORT} tcp")["rc"] == 0
    head, mss = headers(family, tcp=20), DEFAULT_MSS[family]
    with kernel_sender(pair.a, pair.b, family) as sock:
        sock.send(pattern(head, 10 * mss))
        said = b("recv 1 1000")
    assert (said["frames"], said["bad"], said["partial"]) == (1, 0, 1)
    assert said["longest"] >= head + 2 * mss and (said["longest"] - head) % mss == 0
    assert (said["gso"], said["csum"]) == ((mss, CSUM_PARTIAL) if ends.provider == "packet" else (0, CSUM_UNKNOWN))
