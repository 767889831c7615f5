# SPDX-License-Identifier: BSD-2-Clause
"""
The tap of src/steer: an ingress program in place of the XDP program, for packet sockets. What holds for
every way of steering is in test_steer.py, which runs with the tap as well; here is what is its own.
"""
import contextlib
import ctypes
import errno
import os
import socket
import struct
import subprocess
import time

import pytest

from lab import net, proc
from test_steer import (A4, A6, B4, B6, PORT, SOL_UDP, TCP, UDP, UDP_SEGMENT, V4, V6, SYN, ipv4,  # noqa: F401
                        kernel_socket, rules, run, tcp, udp, wires)

TCX, CLSACT = 2, 3
LIBC = ctypes.CDLL(None, use_errno=True)
BPF_CALL = {"x86_64": 321, "aarch64": 280}[os.uname().machine]


def received(sock, seconds):
    """What a kernel socket has got within @seconds."""
    found, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        sock.settimeout(max(0.01, end - time.monotonic()))
        with contextlib.suppress(TimeoutError):
            found.append(sock.recv(65535))
    return found


def until_kernel_has(wire, sock):
    """Send until the kernel's socket gets one."""
    def got():
        wire.send(V4)
        with contextlib.suppress(TimeoutError):
            return sock.recv(100)
    sock.settimeout(0.02)
    assert proc.until(got), "the kernel did not get its packets back"
    sock.settimeout(proc.GUARD)


def tap_programs(side):
    """Programs on the tcx ingress hook of the interface (BPF_PROG_QUERY)."""
    attr = bytearray(64)
    with side.inside():
        struct.pack_into("=II", attr, 0, socket.if_nametoindex(net.LINK), 46)
        assert LIBC.syscall(BPF_CALL, 16, (ctypes.c_char * 64).from_buffer(attr), 64) == 0, ctypes.get_errno()
    return struct.unpack_from("=I", attr, 24)[0]


@pytest.mark.parametrize("mode", ["tap", "tap-clsact"])
@pytest.mark.parametrize("packet, local", [(V4, B4), (V6, B6)], ids=["v4", "v6"])
def test_each_frame_goes_to_one_side(wires, mode, packet, local):
    """While rules come and go, every datagram is received once: by the stack or by the kernel."""
    wire = wires(mode)
    sock = wire.kernel(socket.SOCK_DGRAM, local)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    by_stack = 0
    for _ in range(10):
        wire.do(f"port add udp both {PORT}")
        for _ in range(10):
            wire.send(packet)
        by_stack += len(wire.take(50))
        wire.do(f"port remove udp both {PORT}")
        for _ in range(10):
            wire.send(packet)
    by_stack += len(wire.frames())
    assert by_stack == 100
    assert len(received(sock, 0.2)) == 100


@pytest.mark.parametrize("local, remote", [(B4, A4), (B6, A6)])
def test_super_frames_come_whole(wires, pair, local, remote):
    """Segments sent as one by a kernel peer reach the stack as one frame, and the kernel not at all."""
    wire = wires("tap")
    with rules(wire, f"port udp both {PORT}"):
        receiver = wire.kernel(socket.SOCK_DGRAM, local)
        sender = kernel_socket(pair.a, socket.SOCK_DGRAM, remote)
        sender.setsockopt(SOL_UDP, UDP_SEGMENT, 100)
        sender.sendto(b"x" * 3000, (local, PORT))
        frames = wire.frames()
        assert [len(f) for f in frames] == [3000 + (42 if local == B4 else 62)]
        assert received(receiver, 0.1) == []
        sender.close()


@pytest.mark.alone
def test_hazard_06_killed_owner_leaves_nothing(wires, pair):
    """With a child that dropped its copies: the kernel has its packets back at once."""
    wire = wires("tap")
    assert wire.opened["tap"] == TCX
    wire.do(f"port add udp both {PORT}")
    child = wire.ask("fork proper")["pid"]
    assert wire.taken(V4)
    sock = wire.kernel(socket.SOCK_DGRAM, B4)
    assert tap_programs(pair.b) == 1
    wire.kill()
    assert proc.until(lambda: tap_programs(pair.b) == 0)
    wire.send(V4)
    assert sock.recv(100) == b"hello"
    assert "clsact" not in run(pair.b, f"tc qdisc show dev {net.LINK}")
    os.kill(child, 9)


@pytest.mark.alone
def test_hazard_06_left_on_clsact_goes_stale(wires, pair):
    """A filter that outlived its owner passes after a second, and the next owner removes it."""
    wire = wires("tap-clsact")
    assert wire.opened["tap"] == CLSACT
    wire.do(f"port add udp both {PORT}")
    assert wire.taken(V4)
    sock = wire.kernel(socket.SOCK_DGRAM, B4)
    wire.kill()
    assert "fsock_tap" in run(pair.b, f"tc filter show dev {net.LINK} ingress")
    until_kernel_has(wire, sock)
    received(sock, 0.1)
    wire.send(V4)
    assert sock.recv(100) == b"hello", "stale for one is stale for all"
    wires("generic").do("close")
    again = wires("tap")
    assert "fsock_tap" not in run(pair.b, f"tc filter show dev {net.LINK} ingress")
    assert "clsact" not in run(pair.b, f"tc qdisc show dev {net.LINK}")
    again.do("close")


@pytest.mark.alone
def test_hazard_06_stale_heartbeat_passes(wires):
    """With a child that inherited every descriptor and does nothing: after a second frames pass."""
    wire = wires("tap")
    wire.do(f"port add udp both {PORT}")
    child = wire.ask("fork idle")["pid"]
    sock = wire.kernel(socket.SOCK_DGRAM, B4)
    wire.kill()
    until_kernel_has(wire, sock)
    os.kill(child, 9)


@pytest.mark.parametrize("first, second", [
    ("tap", "tap"), ("tap-clsact", "tap-clsact"), ("tap", "generic"), ("generic", "tap"),
    ("tap-clsact", "native")])
def test_second_owner_is_told(wires, first, second):
    """One owner per interface, whatever the way."""
    one = wires(first)
    refused = wires(second, setup=False).opened
    assert refused["open"] == -errno.EBUSY and "another process" in refused["why"]
    assert one.ask("close")["ret"] == 0
    assert wires(second).opened["open"] == 0


def test_child_does_not_hold_the_name(wires):
    """A child that dropped its copies does not keep others from the interface."""
    wire = wires("tap")
    wire.ask("fork proper")
    wire.kill()
    assert wires("tap").opened["open"] == 0


def test_foreign_xdp_program_is_not_in_the_way(wires):
    """What it leaves is still steered; that it is there is for the policy to judge."""
    foreign = wires("generic", guard="foreign", setup=False)
    assert foreign.opened["open"] == 0
    wire = wires("tap")
    with rules(wire, f"port udp both {PORT}"):
        assert wire.taken(V4)


def test_a_kernel_peer_behind_a_generic_xdp_program(wires, pair):
    """Generic XDP copies what a socket sent, and the copy does not know how long its link header is."""
    foreign = wires("generic", guard="foreign", setup=False)
    assert foreign.opened["open"] == 0
    wire = wires("tap")
    with rules(wire, f"port udp both {PORT}"):
        for local, remote, headers in ((B4, A4, 42), (B6, A6, 62)):
            sender = kernel_socket(pair.a, socket.SOCK_DGRAM, remote)
            sender.sendto(b"hello", (local, PORT))
            assert [f[headers:] for f in wire.frames()] == [b"hello"]
            sender.close()


def test_closed_leaves_clsact_as_it_was(wires, pair):
    wire = wires("tap-clsact", guard="clsact")
    assert wire.opened["tap"] == wire.opened["guard"] == CLSACT
    wire.do("close")
    assert "clsact" not in run(pair.b, f"tc qdisc show dev {net.LINK}")


def test_missing_privilege(pair, program):
    done = subprocess.run(pair.b.argv(["setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all",
                                       "--bounding-set=-all", program("steer_probe"), net.LINK, "tap",
                                       "auto"]),
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert f'"open":-{errno.EPERM}' in done.stdout


def test_syn_is_taken_other_segments_are_not(wires):
    """Without a flow entry: SYN by the port, the rest by what the kernel knows."""
    wire = wires("tap")
    with rules(wire, f"port tcp both {PORT}"):
        assert wire.taken(ipv4(A4, B4, TCP, tcp(A4, B4, SYN)))
        assert not wire.taken(ipv4(A4, B4, UDP, udp(A4, B4)))
