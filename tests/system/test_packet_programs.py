# SPDX-License-Identifier: BSD-2-Clause
"""
Unmodified programs over packet sockets. The API programs run on them in a column of their own (test_api.py);
here is what needs whole programs: figures of the fast path, peers of other kinds, kernel peers'
super-frames, a second process, the automatic choice.
"""
import contextlib
import ctypes
import json
import os
import signal
import socket
import time

import pytest

from lab import fsock, net, proc
from test_faults import ask, echo_server, why_text
from test_faults import pair  # noqa: F401
from test_programs import SIDES, Run
from test_steer import kernel_socket

PYTHON = "/usr/bin/python3"
PACKET = {"profile": "latency", "provider": "packet"}
LATENCY = {"profile": "latency"}
SOL_UDP, UDP_SEGMENT = 17, 103


def providers_of(pid):
    return sorted({s["provider"] for s in fsock.sockets(fsock.stat(pid)) if s["provider"]})


@pytest.mark.parametrize("sides", SIDES)
def test_sockperf(pair, sides):
    """Long enough for the look at the host's policy: the tap is not taken for somebody else's."""
    run = Run(pair, ["sockperf", "sr", "-i", net.B4, "-p", 11111],
              ["sockperf", "pp", "-i", net.B4, "-p", 11111, "-t", 3, "-m", 64, "--data-integrity"],
              SIDES[sides], options=PACKET, ready="using ", stop=signal.SIGINT)
    assert "# dropped messages = 0; # duplicated messages = 0; # out-of-order messages = 0" in run.done.out
    fast = run.server if sides == "server" else run.client
    assert fast.share >= 0.99, fast


@pytest.mark.parametrize("server, client", [(PACKET, LATENCY), (LATENCY, PACKET)])
def test_peers_of_both_kinds(pair, server, client):
    with echo_server(pair.b, server) as running:
        done, counts = ask(pair, options=client)
        assert done.status == 0, done.err
        assert counts.share >= 0.99
        assert providers_of(running.pid) == [server.get("provider", "xdp")]


RECEIVER = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((%r, 9000))
s.settimeout(20)
print("ready", flush=True)
got = [s.recv(70000) for _ in range(%d)]
print("got", [len(g) for g in got], all(g == bytes([i]) * len(g) for i, g in enumerate(got)), flush=True)
s.recv(1)
"""


SYS_pidfd_open, SYS_pidfd_getfd = 434, 438
SOL_PACKET, PACKET_VERSION, PACKET_VNET_HDR, TPACKET_V2 = 263, 10, 15, 1


def packet_sockets(pid):
    """Copies of a process' packet sockets."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = libc.syscall(SYS_pidfd_open, pid, 0)
    assert pidfd >= 0, os.strerror(ctypes.get_errno())
    for entry in os.listdir(f"/proc/{pid}/fd"):
        fd = libc.syscall(SYS_pidfd_getfd, pidfd, int(entry), 0)
        try:
            copy = socket.socket(fileno=fd)
        except OSError: # not a socket
            os.close(fd)
            continue
        with contextlib.closing(copy):
            if copy.family == socket.AF_PACKET:
                yield copy
    os.close(pidfd)


def test_hazard_17_rings_of_version_2(pair):
    """Blocks of version 3 are handed over by a timer, ms later; frames of version 2 at once, with a virtio-net header."""
    with echo_server(pair.b, PACKET) as running:
        done, counts = ask(pair, options=PACKET)
        assert done.status == 0 and counts.share >= 0.99, (done.err, counts)
        found = [(copy.getsockopt(SOL_PACKET, PACKET_VERSION), copy.getsockopt(SOL_PACKET, PACKET_VNET_HDR))
                 for copy in packet_sockets(running.pid)]
    assert found and all(vnet == 1 for _, vnet in found), found
    assert (TPACKET_V2, 1) in found and (2, 1) not in found, found  # 2 is TPACKET_V3


def test_hazard_03_super_frames_of_a_kernel_peer(pair):
    """The fast path itself gives the datagrams their boundaries back."""
    argv = [PYTHON, "-c", RECEIVER % (net.B4, 30)]
    with pair.b.popen(fsock.run(argv, **PACKET), env=fsock.CLEAN) as running:
        assert running.wait_for("ready"), running.err
        with contextlib.closing(kernel_socket(pair.a, socket.SOCK_DGRAM, net.A4)) as sender:
            sender.setsockopt(SOL_UDP, UDP_SEGMENT, 1000)
            sender.sendto(b"".join(bytes([i]) * 1000 for i in range(29)) + bytes([29]) * 10, (net.B4, 9000))
        assert running.wait_for("got"), running.out + running.err
        assert str([1000] * 29 + [10]) + " True" in running.out
        assert fsock.counts(running.pid).rx_fast == 30


@pytest.mark.parametrize("options", [LATENCY, PACKET])
def test_second_process_is_told(pair, options):
    with echo_server(pair.b, PACKET) as first, echo_server(pair.b, options, port=9001) as second:
        done, _ = ask(pair, count=50, port=9001)
        assert done.status == 0, done.err
        assert "interface_busy" in why_text(fsock.stat(second.pid)), fsock.stat(second.pid)
        assert providers_of(first.pid) == ["packet"]


def test_killed_server_gives_the_port_back(pair):
    with echo_server(pair.b, PACKET) as running:
        done, _ = ask(pair, count=100, options=PACKET)
        assert done.status == 0
        running.kill()
    with echo_server(pair.b, None):
        time.sleep(0.05)
        done, _ = ask(pair, count=100, options=None)
        assert done.status == 0, done.err


def test_chosen_where_the_better_one_cannot(pair):
    """A macvlan has no native XDP; asked for that, the automatic choice goes on to packet sockets."""
    pair.b.run(["ip", "link", "add", "link", net.LINK, "name", "fstmv", "type", "macvlan", "mode", "bridge"])
    pair.b.run(["ip", "addr", "add", "10.79.0.2/24", "dev", "fstmv"])
    pair.b.run(["ip", "link", "set", "fstmv", "up"])
    pair.a.run(["ip", "addr", "add", "10.79.0.1/24", "dev", net.LINK])
    # Or the interface below would answer, which has the same address in the kernel's eyes.
    station = pair.b.run(["cat", "/sys/class/net/fstmv/address"]).out.strip()
    pair.a.run(["ip", "neigh", "add", "10.79.0.2", "lladdr", station, "dev", net.LINK])
    options = {"profile": "latency", "interface": "fstmv", "xdp_mode": "native"}
    with echo_server(pair.b, options, address="10.79.0.2") as running:
        argv = [PYTHON, "-c", "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
                "s.settimeout(20); s.connect(('10.79.0.2', 9000));"
                "print(sum(s.send(b'x' * 100) and len(s.recv(999)) for _ in range(100)))"]
        done = pair.a.run(argv, cpu=proc.cpus()[0])
        assert done.out.strip() == "10000", done.err + json.dumps(fsock.stat(running.pid))
        assert providers_of(running.pid) == ["packet"], fsock.stat(running.pid)
        assert fsock.counts(running.pid).share > 0.9, fsock.stat(running.pid)
