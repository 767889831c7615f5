# SPDX-License-Identifier: BSD-2-Clause
"""
test_moves - connections that move to the kernel while both ends talk (D13): no reset, no byte lost or twice.

A move at a random moment of each connection, by passing its descriptor through a socket pair; a thousand, by every way
there is and in states drawn by chance. Whatever was on its way to the stack when the kernel took over is swallowed:
answered, it would be a reset.
"""
import collections
import contextlib
import json
import os
import pathlib
import random
import subprocess
import sys
import textwrap

import pytest

from lab import fsock, net, proc

PROGRAMS = pathlib.Path(__file__).parent / "programs"
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


# --- moves at random ---

TOTAL, EACH = 1000, 50
ROUNDS = 2 * TOTAL // EACH # at most: connections that came by the kernel do not count
SETTINGS = {
    "tcp_timestamps": ("0", "1"), "tcp_sack": ("0", "1"), "tcp_window_scaling": ("0", "1"),
    "tcp_rmem": ("4096 131072 6291456", "4096 32768 65535"),  # the second makes a scale of 0
}
# Letters of programs/moving.py; each with the reasons that its sockets then have.
WAYS = {"ape": ("moved", "fd_passed", "executed"), "s": ("confined",), "c": ("privilege",), "n": ("policy",), "l": ("detached",)}
RULES = "add table inet t; add chain inet t c { type filter hook input priority 0; }; add rule inet t c tcp dport 9 drop"


def _forbid(pair, mover):
    """Host policy from now on, and until the stack has heeded it."""
    def heeded():
        return not any(s["accelerated"] and s["fd"] >= 0 for s in fsock.sockets(fsock.stat(mover.pid)))

    assert proc.until(lambda: fsock.counters(mover.pid)["tcp_bytes_in"] > EACH * 1000), mover.err
    subprocess.run(pair.a.argv(["nft", "-f", "-"]), input=RULES, text=True, check=True)
    assert proc.until(heeded), fsock.stat(mover.pid)


def _detach(pair, mover):
    """The steering program is taken off by somebody else."""
    assert proc.until(lambda: fsock.counters(mover.pid)["tcp_bytes_in"] > EACH * 1000), mover.err
    shown = json.loads(pair.a.run(["ip", "-json", "-details", "link", "show", net.LINK]).out)
    links = json.loads(pair.a.run(["bpftool", "-j", "link", "show"]).out)
    ids = [link["id"] for link in links if link["prog_id"] == shown[0]["xdp"]["prog"]["id"]]
    assert pair.a.run(["bpftool", "link", "detach", "id", str(ids[0])]).status == 0


def _line(process):
    process.child.stdin.write(b"\n")
    process.child.stdin.flush()


def _begin(stack, pair, draw, seed, report, program):
    """The two programs of a round, who accepts first, and the letters drawn."""
    ways, role = ("ape", "ape", "s", "ape", "c", "l", "ape", "n")[seed % 8], draw.choice(["accept", "connect"])
    helper = draw.choice([0, 1]) if ways != "ape" else 1
    family, port = draw.choice(["v4", "v6"]), PORT + 1 + seed % ROUNDS  # no tuple comes again while it waits for its end
    listens = (pair.a if role == "accept" else pair.b).address(family)
    moving = fsock.run([sys.executable, PROGRAMS / "moving.py", fsock.tool(), program("takes_over"), listens, port, role,
                        EACH, ways], helper=helper, client_connects=1)
    other = [sys.executable, PROGRAMS / "moved.py", listens, port, "connect" if role == "accept" else "accept", EACH, seed,
             "whole" if ways == "ape" else "until"]

    def start(side, argv, **how):
        return stack.enter_context(side.popen(argv, stdin=subprocess.PIPE, **how))

    def start_mover():
        return start(pair.a, moving, env={**fsock.CLEAN, **report.env}, fds=(report.fd,))

    if role == "accept":
        mover = start_mover()
        assert mover.wait_for("ready"), mover.err
        return mover, start(pair.b, other, env=fsock.CLEAN), ways
    others = start(pair.b, other, env=fsock.CLEAN)
    assert others.wait_for("ready"), others.err
    return start_mover(), others, ways


def _round(pair, seed, program):
    """How many connections moved, by reason, of those that had been on the fast path."""
    draw = random.Random(seed)
    for side in (pair.a, pair.b):
        side.run(["sh", "-c", "; ".join(f"echo {draw.choice(values)} >/proc/sys/net/ipv4/{name}"
                                        for name, values in SETTINGS.items())])
    with contextlib.closing(fsock.Report()) as report, contextlib.ExitStack() as stack:
        mover, others, ways = _begin(stack, pair, draw, seed, report, program)
        if ways in "sc":
            assert mover.wait_for("left"), mover.err
        elif ways == "n":
            stack.callback(pair.a.run, ["nft", "flush", "ruleset"])
            _forbid(pair, mover)
        elif ways == "l":
            _detach(pair, mover)
        _line(others)
        done = others.finish()
        assert done.status == 0 and done.out.count("equal") == EACH, (seed, fsock.steered(fsock.stat(mover.pid)), fsock.counters(mover.pid), done.err, mover.err)
        assert mover.wait_for("served"), (seed, mover.err)
        assert mover.out.count("whole") == EACH, (seed, mover.err)
        counted = fsock.counters(mover.pid)
        _line(mover)
        assert mover.finish().status == 0, (seed, mover.err)
        # What comes for a connection that is over may be answered so; one that lives would fail at the other end.
        assert counted["tcp_resets_in"] == 0 and counted["tcp_resets_out"] <= counted["drop_tcp_no_socket"], (seed, counted)
        assert counted["lock_recovered"] == 0, (seed, counted)
        # More than one process may tell of a socket.
        reasons = {s["cookie"]: fsock.reason_name(s["reason"]) for s in report.sockets() if s["remote_port"] and s["rx_fast"]}
    return collections.Counter(reason for reason in reasons.values() if reason in WAYS[ways])


@pytest.mark.early
def test_a_thousand_moves_at_random(pair, program):
    """
    In states drawn by chance (options agreed on, data queued either way, either side closed, urgent bytes), by ways drawn by
    chance, fifty connections at a time: every byte arrives once, and no connection is reset.
    """
    seed = int(os.environ.get("FSOCK_MOVES_SEED") or random.SystemRandom().randrange(10**9))
    print("FSOCK_MOVES_SEED", seed)
    moved, before = collections.Counter(), [net.resets(side)[1] for side in (pair.a, pair.b)]
    for number in range(ROUNDS):
        moved += _round(pair, seed + number, program)
        if moved.total() >= TOTAL:
            break
    print(number + 1, "rounds", dict(moved))
    assert moved.total() >= TOTAL, moved
    assert all(moved[reason] for reasons in WAYS.values() for reason in reasons), moved
    assert [net.resets(side)[1] for side in (pair.a, pair.b)] == before
