# SPDX-License-Identifier: BSD-2-Clause
"""
test_moves - connections that move to the kernel while both ends talk (D13): no reset, no byte lost or twice.

A move at a random moment of each connection, by passing its descriptor through a socket pair. Whatever was on its way
to the stack when the kernel took over is swallowed: answered, it would be a reset.
"""
import contextlib
import sys
import textwrap

import pytest

from lab import fsock, net

PORT = 7310
MOVES = 100
AWAY = 0.03 # s: longer than the engine swallows what comes late by its clock alone

SERVER = f"AWAY = {AWAY}" + textwrap.dedent("""
    import array, os, random, socket, sys, time
    host, port, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    random.seed(seed)
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(8)
    print("ready", flush=True)
    here, there = socket.socketpair()
    for _ in range(count):
        peer, seen, limit, moved = listener.accept()[0], 0, random.randrange(1, 200000), False
        while data := peer.recv(20000):
            seen += len(data)
            peer.sendall(data)
            if seen > limit and not moved:
                moved = True
                passed = array.array("i", [peer.fileno()])
                here.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, passed)])
                os.close(array.array("i", there.recvmsg(10, 100)[1][0][2])[0])
                time.sleep(random.choice((0, AWAY)))
        peer.close()
    print("served", flush=True)
""")

CLIENT = textwrap.dedent("""
    import os, socket, sys, threading
    host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    for _ in range(count):
        peer, data, got = socket.create_connection((host, port)), os.urandom(300000), bytearray()
        def send():
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
        sender = threading.Thread(target=send)
        sender.start()
        while more := peer.recv(65536):
            got += more
        sender.join()
        assert bytes(got) == data, len(got)
        peer.close()
    print("equal", flush=True)
""")

# Sends what leaves the interface again and again, the last frames of full size.
AGAIN = textwrap.dedent("""
    import collections, socket, sys
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    wire.bind((sys.argv[1], 0))
    wire.setblocking(False)
    last = collections.deque(maxlen=48)
    print("ready", flush=True)
    while True:
        for _ in range(64):
            try:
                frame, name = wire.recvfrom(2048)
            except BlockingIOError:
                break
            if name[2] == socket.PACKET_OUTGOING and 1000 < len(frame) <= 1514:
                last.append(frame)
        for frame in tuple(last):
            try:
                wire.send(frame)
            except OSError:
                pass
""")


@pytest.fixture(scope="module")
def pair():
    with net.Pair("fsock-move") as pair:
        yield pair


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("profile", ["default", "latency"])
def test_moves_under_traffic(pair, family, profile):
    # Without a helper nobody looks at the ports while the server is away.
    words = [pair.a.address(family), str(PORT), str(MOVES)]
    with contextlib.closing(fsock.Report()) as report:
        with pair.a.popen(fsock.run([sys.executable, "-c", SERVER, *words, "1"], profile=profile, helper=0),
                          env={**fsock.CLEAN, **report.env}, fds=(report.fd,)) as server:
            server.wait_for("ready")
            client = pair.b.run([sys.executable, "-c", CLIENT, *words], env=fsock.CLEAN, timeout=120)
            done = server.finish()
        assert client.status == 0 and "equal" in client.out, client.err
        assert done.status == 0 and "served" in done.out, done.err
        moved = [s for s in report.sockets() if s["remote_port"] and fsock.reason_name(s["reason"]) == "fd_passed"]
        # One that begins while nobody takes frames, on a busy machine, is the kernel's from the start.
        assert len(moved) >= 0.9 * MOVES and all(s["rx_fast"] > 0 for s in moved), "they were not on the fast path before"


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_moves_while_segments_come_again(family):
    """One that comes while the kernel's receive queue is filled must not be taken for what follows there."""
    with net.Pair("fsock-move") as pair:
        pair.b.run(["ethtool", "-K", net.LINK, "tso", "off", "gso", "off", "tx", "off"])  # whole frames, with sums
        words = [pair.a.address(family), str(PORT), str(MOVES)]
        with pair.a.popen(fsock.run([sys.executable, "-c", SERVER, *words, "1"], profile="latency", helper=0),
                          env=fsock.CLEAN) as server, \
             pair.b.popen([sys.executable, "-c", AGAIN, net.LINK]) as again:
            assert server.wait_for("ready") and again.wait_for("ready")
            client = pair.b.run([sys.executable, "-c", CLIENT, *words], env=fsock.CLEAN, timeout=120)
            assert client.status == 0 and "equal" in client.out, client.err
            assert server.finish().status == 0, server.err
        assert int(pair.a.run(["cat", f"/sys/class/net/{net.LINK}/statistics/rx_packets"]).out) > MOVES * 1000
