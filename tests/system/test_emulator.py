# SPDX-License-Identifier: BSD-2-Clause
"""bench/emulator between two namespaces: what it does to frames, that it repeats it, and that it says what it did."""
import contextlib
import json
import subprocess
import sys

import pytest

from lab import emulator, fsock, net, state

COUNT = 2000  # numbered datagrams
ENDS = 50     # behind them, so that one arrives

RECEIVE = """
import json, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
s.bind((sys.argv[1], 5001))
print("ready", file=sys.stderr, flush=True)
seen = []
while not seen or seen[-1] >= 0:
    seen.append(int(s.recv(2000).split()[0]))
print(json.dumps(seen[:-1]))
"""
SEND = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
to = (sys.argv[1], 5001)  # not connected: whoever ended says so, which is nothing to stop for
count, ends, size = map(int, sys.argv[2:])
for n in range(count):
    s.sendto(b"%d" % n + b" " * size, to)
    if n % 100 == 99 and size == 0:
        time.sleep(0.001)
for _ in range(ends):
    s.sendto(b"-1", to)
"""
ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 5001))
print("ready", file=sys.stderr, flush=True)
while True:
    s.sendto(*s.recvfrom(100))
"""
ASK = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 5001))
def once():
    began = time.monotonic()
    s.send(b"?")
    s.recv(100)
    return time.monotonic() - began
print(min(once() for _ in range(20)))
"""
SERVE = """
import hashlib, socket, sys
s = socket.create_server((sys.argv[1], 5001), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
print("ready", file=sys.stderr, flush=True)
c, h = s.accept()[0], hashlib.sha256()
while data := c.recv(1 << 16):
    h.update(data)
print(h.hexdigest())
"""
UPLOAD = """
import hashlib, socket, sys
data = hashlib.shake_256(b"emulator").digest(3 << 20)
s = socket.create_connection((sys.argv[1], 5001))
s.sendall(data)
s.shutdown(socket.SHUT_WR)
s.recv(1)  # until all has arrived
print(hashlib.sha256(data).hexdigest())
"""
LEAVE = """
import hashlib, socket, sys
data = hashlib.shake_256(b"emulator").digest(3 << 20)
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
s.connect((sys.argv[1], 5001))
s.sendall(data)
print(hashlib.sha256(data).hexdigest())
"""


@pytest.fixture
def line():
    with net.Line() as line:
        names = [side.name for side in (line.a, line.b, line.m)]
        yield line
    assert not set(names) & set(state.namespaces())


def script(text, *arguments):
    return [sys.executable, "-c", text, *map(str, arguments)]


def numbered(line, settings, count=COUNT, size=0, ends=ENDS):
    """The numbers that arrive at .b in their order, and what the emulator counted."""
    with emulator.Emulator(line, settings) as between, line.b.popen(script(RECEIVE, net.B4)) as receiver:
        assert receiver.wait_for("ready"), receiver.err
        sent = line.a.run(script(SEND, net.B4, count, ends, size))
        assert sent.status == 0, sent.err
        got = receiver.finish()
        assert got.status == 0, got.err
        return json.loads(got.out), between.stop()["forward"]


def test_loss_is_its_share_and_repeats_with_the_seed(line):
    settings = {"delay_us": 1000, "forward.loss": 100000, "seed": 7}
    seen, counted = numbered(line, settings)
    assert counted["sent"] == COUNT + ENDS and counted["sent"] == counted["delivered"] + counted["lost"]
    assert seen == sorted(set(seen))  # a link without reordering or doubles
    assert 0.07 < 1 - len(seen) / COUNT < 0.13
    assert numbered(line, settings)[0] == seen
    assert numbered(line, {**settings, "seed": 8})[0] != seen


def test_doubles_and_late_frames(line):
    seen, counted = numbered(line, {"duplicate": 50000, "seed": 2})
    assert sorted(set(seen)) == list(range(COUNT)) and counted["doubled"] > 0
    assert len(seen) in range(COUNT + counted["doubled"] - ENDS, COUNT + counted["doubled"] + 1)
    seen, counted = numbered(line, {"delay_us": 2000, "reorder": 50000, "reorder_us": 3000, "seed": 2})
    assert seen != sorted(seen) and counted["reordered"] > 0


def test_round_trip_is_at_least_both_delays(line):
    with emulator.Emulator(line, {"forward.delay_us": 30000, "back.delay_us": 10000}), \
            line.b.popen(script(ECHO, net.B4)) as other:
        assert other.wait_for("ready"), other.err
        asked = line.a.run(script(ASK, net.B4))
        assert asked.status == 0, asked.err
        assert float(asked.out) >= 0.04


def test_a_full_queue_drops_the_last(line):
    """Nineteen datagrams of 1,044 bytes wait for a line that takes 2 s to send them; two hundred come."""
    size = 1000
    with emulator.Emulator(line, {"rate": 80000, "queue": 20000}) as between:
        assert line.a.run(script(SEND, net.B4, 200, 0, size)).status == 0
        counted = between.stop()["forward"]
    assert counted["sent"] == 200 and counted["lost"] == 0
    assert 100 < counted["overflowed"] <= 181, counted


def test_super_frames_are_cut_before_they_are_lost(line):
    settings = {"delay_us": 1000, "loss": 5000, "duplicate": 5000, "reorder": 5000, "reorder_us": 500}
    with emulator.Emulator(line, settings) as between, line.b.popen(script(SERVE, net.B4)) as server:
        assert server.wait_for("ready"), server.err
        client = line.a.run(script(UPLOAD, net.B4))
        assert client.status == 0, client.err
        assert server.finish().out == client.out
        forward = between.stop()["forward"]
    assert forward["supers"] > 0
    assert forward["sent"] >= (3 << 20) // 1460 and forward["sent"] > forward["taken"]
    assert forward["lost"] > 0


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("ends", ["sender", "receiver", "both"])
def test_streams_of_fsock_arrive_whole(ends, family):
    """Loss, doubles and late segments, parts of super-frames among them: every byte, by the fast path."""
    settings = {"delay_us": 1000, "loss": 10000, "duplicate": 5000, "reorder": 10000, "reorder_us": 500, "seed": 5}
    reports = [fsock.Report(), fsock.Report()]

    def on(end, report, argv):
        if ends not in (end, "both"):
            return {"argv": argv, "env": fsock.CLEAN}
        return {"argv": fsock.run(argv, profile="latency"), "env": {**fsock.CLEAN, **report.env}, "fds": (report.fd,)}
    with net.Line(v6=family == "v6") as line, emulator.Emulator(line, settings) as between, \
            line.b.popen(**on("receiver", reports[0], script(SERVE, line.b.address(family)))) as server:
        assert server.wait_for("ready"), server.err
        client = line.a.run(**on("sender", reports[1], script(UPLOAD, line.b.address(family))))
        assert client.status == 0, client.err
        got = server.finish()
        assert got.out == client.out, got.err
        forward = between.stop()["forward"]
    assert forward["lost"] > 0 and forward["supers"] > 0, forward
    for end, report in zip(("receiver", "sender"), reports):
        counts = report.counts()
        report.close()
        if ends in (end, "both"):
            assert counts.fast > 0 and counts.kernel == 0, counts


def test_what_a_program_leaves_behind_arrives_whole(line):
    """Most of it is queued or lost when the program ends: the kernel carries on, over the same line."""
    settings = {"delay_us": 5000, "loss": 10000, "reorder": 10000, "reorder_us": 500, "rate": 100000000, "seed": 6}
    with contextlib.closing(fsock.Report()) as report, emulator.Emulator(line, settings) as between, \
            line.b.popen(script(SERVE, net.B4), env=fsock.CLEAN) as server:
        assert server.wait_for("ready"), server.err
        done = line.a.run(fsock.run(script(LEAVE, net.B4), profile="latency"), env={**fsock.CLEAN, **report.env},
                          fds=(report.fd,))
        assert done.status == 0, done.err
        assert server.alive()  # it has not all of it yet
        assert server.finish().out == done.out
        assert between.stop()["forward"]["lost"] > 0
        assert any(s["remote_port"] == 5001 and s["tx_fast"] > 0 for s in report.sockets())


@pytest.mark.parametrize("words, status, says", [
    (["--help"], 0, "usage: emulator IF0 IF1"),
    ([], 2, "two interfaces"),
    (["fst-none0", "fst-none1"], 1, "fst-none0: No such device"),
    (["fst-none0", "fst-none1", "loss=1000001"], 2, "loss=1000001"),
    (["fst-none0", "fst-none1", "forward.delay_us=-1"], 2, "forward.delay_us=-1"),
    (["fst-none0", "fst-none1", "colour=1"], 2, "colour=1"),
])
def test_it_says_what_it_does_not_understand(words, status, says):
    done = subprocess.run([fsock.build_dir() / "bench" / "emulator", *words], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == status and says in done.stdout + done.stderr
