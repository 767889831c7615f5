# SPDX-License-Identifier: BSD-2-Clause
"""
The packet provider against a real kernel. Most of what it must do is what the xdp provider must do: those
tests are test_xdp.py's, run here with this provider; what is its own follows.
"""
import errno
import socket

import pytest

from test_xdp import (  # noqa: F401
    PORT, Probe, inside, jumbo, kernel_receiver,
    test_child_joins, test_datagrams_both_ways, test_guard_comes_with_the_first_tcp_rule,
    test_idle_child_of_dead_owner, test_interface_down_and_up, test_interface_removed,
    test_only_steered_frames_come, test_open_on_interface_down, test_open_without_carrier,
    test_reopen_after_kill, test_second_opener_is_told, test_sleeper_wakes, test_small_pool)

SOL_UDP, UDP_SEGMENT = 17, 103


@pytest.fixture
def probes(program):
    made = []

    def make(side, peer, **options):
        made.append(Probe(program("xdp_probe"), side, peer, **{"provider": "packet", **options}))
        return made[-1]
    yield make
    for probe in made:
        probe.end()


@pytest.fixture(params=["", "tap=clsact"])
def mode(request):
    return request.param


@pytest.mark.parametrize("size", [1400, 1900, 4096, 9000, 16200, 16384, 32000, 60000, 65507])
def test_frames_of_several_buffers(jumbo, probes, size):
    """Those that fit a slot and those that do not, in the order they came."""
    a = probes(jumbo.a, jumbo.b).opened()
    b = probes(jumbo.b, jumbo.a).opened()
    for count in (1, 8):
        assert a(f"send {PORT} {size} {count}") == {"rc": 0, "sent": count, "error": 0}
        said = b(f"recv {count} 2000")
        assert (said["frames"], said["bad"], said["longest"]) == (count, 0, 42 + size)
    stats = b("stats")
    assert stats["rx"] == 9 and stats["rx_bad"] == 0
    free = b("pool")["free"]
    assert b("close")["free"] == b("pool")["total"] == free


@pytest.mark.parametrize("kind,header", [("tcp", 66), ("udp", 42)])
def test_super_frames_arrive_whole(pair, probes, kind, header):
    a, b = probes(pair.a, pair.b), probes(pair.b, pair.a)
    assert a("open")["max_gso"] == 65535
    b.opened()
    assert b(f"steer {PORT} tcp")["rc"] == 0
    receiver = kernel_receiver(pair.b)
    for size in (2000, 14480, 60000):
        assert a(f"super {kind} {size} 1448") == {"taken": 1, "bad": 0, "error": 0}
        said = b("recv 1 500")
        assert (said["frames"], said["bad"], said["longest"]) == (1, 0, header + size)
    with pytest.raises(TimeoutError):
        receiver(0.1)


def test_super_frames_of_a_kernel_peer(pair, probes):
    b = probes(pair.b, pair.a).opened()
    with inside(pair.a):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(SOL_UDP, UDP_SEGMENT, 1000)
    sender.sendto(b"x" * 30000, (pair.b.v4, PORT))
    said = b("recv 1 1000")
    assert (said["frames"], said["longest"]) == (1, 42 + 30000)
    assert b("stats")["rx_bad"] == 0
    sender.close()


def test_full_queue_refuses_and_recovers(pair, probes):
    a = probes(pair.a, pair.b).opened()
    b = probes(pair.b, pair.a).opened()
    said = a(f"fill {PORT} 64")
    assert said["accepted"] == said["pending"] == 512
    assert a("stats")["tx_full"] == 1
    assert a("kick") == {"rc": 0, "pending": 0, "error": 0}
    assert b("recv 512 2000")["frames"] == 512
    stats = a("stats")
    assert stats["kicks"] <= 512 // 32 + 1  # one call for a burst
    assert a("close")["free"] == 1024


def test_full_ring_is_counted(pair, probes):
    a = probes(pair.a, pair.b).opened()
    b = probes(pair.b, pair.a).opened()
    for _ in range(30):
        assert a(f"send {PORT} 64 50")["sent"] == 50
    stats = b("stats")
    assert stats["ring_full"] == 1500 - 1024
    got = sum(b("recv 256 100")["frames"] for _ in range(5))
    assert got == 1024
    assert a(f"send {PORT} 64 1")["sent"] == 1
    assert b("recv 1 1000")["frames"] == 1


@pytest.mark.parametrize("wrap,error,word", [
    (["setpriv", "--bounding-set=-net_raw"], errno.EPERM, "CAP_NET_RAW"),
    (["setpriv", "--bounding-set=-bpf,-sys_admin,-net_admin"], errno.EPERM, "CAP_"),
    (["prlimit", "--nofile=200"], errno.EMFILE, "descriptor"),
    (["prlimit", "--nofile=207"], errno.EMFILE, "descriptor"),
])
def test_open_says_what_is_missing(pair, probes, wrap, error, word):
    probe = probes(pair.a, pair.b, wrap=wrap)
    said = probe("open")
    assert said["rc"] == -error
    assert word in said["why"]
    free = probe("pool")
    assert free["free"] == free["total"]
    assert probes(pair.a, pair.b)("open")["rc"] == 0  # nothing was left behind


def test_needs_no_locked_memory(pair, probes):
    wrap = ["prlimit", "--memlock=65536", "setpriv", "--bounding-set=-ipc_lock"]
    assert probes(pair.a, pair.b, wrap=wrap)("open")["rc"] == 0


@pytest.mark.parametrize("first, second", [("packet", "xdp"), ("xdp", "packet")])
def test_one_provider_at_a_time(pair, probes, first, second):
    a = probes(pair.a, pair.b, provider=first).opened()
    other = probes(pair.a, pair.b, provider=second)
    said = other("open")
    assert said["rc"] == -errno.EBUSY and "another process" in said["why"]
    a("close")
    assert other("open")["rc"] == 0


def test_peers_of_both_kinds(pair, probes):
    """What one provider sends the other takes, both ways."""
    a = probes(pair.a, pair.b, provider="xdp").opened()
    b = probes(pair.b, pair.a).opened()
    for one, other in ((a, b), (b, a)):
        assert one(f"send {PORT} 1000 20")["sent"] == 20
        said = other("recv 20 1000")
        assert (said["frames"], said["bad"]) == (20, 0)
