# SPDX-License-Identifier: BSD-2-Clause
"""
What kernel sockets at the other end of a veth pair send, and super-frames either way (hazard 3): taken by
the fast path whole and in order, cut where the receiver wants datagrams.
"""
import json
import pathlib
import re
import signal
import time

import pytest

from lab import fsock, net, proc

PROGRAMS = pathlib.Path(__file__).resolve().parent / "programs"
PYTHON = "/usr/bin/python3"
LATENCY = {"profile": "latency"}
PORT = 9000


def under(options, *argv):
    argv = list(map(str, argv))
    return argv if options is None else fsock.run(argv, **options)


class Echo:
    """A server, and clients on kernel sockets that talk to it."""

    def __init__(self, pair, options, address=net.B4):
        self.pair, self.address = pair, address
        self.server = pair.b.popen(under(options, PYTHON, PROGRAMS / "echo_server.py", "socket", address, PORT),
                                   env=fsock.CLEAN)

    def __enter__(self):
        self.server.__enter__()
        assert self.server.wait_for("ready"), self.server.err
        return self

    def __exit__(self, *about):
        return self.server.__exit__(*about)

    def ask(self, count):
        done = self.pair.a.run([PYTHON, str(PROGRAMS / "echo_client.py"), "socket", self.address, str(PORT),
                                str(count)], env=fsock.CLEAN)
        assert done.status == 0, done.err
        return done.out

    def counts(self):
        return fsock.counts(self.server.pid)


@pytest.mark.parametrize("address", [net.B4, net.B6])
def test_hazard_03_a_kernel_peer_is_fast(pair, address):
    pair.meet()
    with Echo(pair, None, address) as kernel:
        truth = kernel.ask(500)
    with Echo(pair, LATENCY, address) as echo:
        assert echo.ask(500) == truth  # some of them by the shadow, until the next look at what is shed
        begun = echo.counts()
        assert echo.ask(500) == truth
        seen = echo.counts()
        assert seen.rx_kernel == begun.rx_kernel and seen.rx_fast == 1000 - begun.rx_kernel and seen.tx_fast == 1000, seen
        counters = fsock.port_counters(echo.server.pid)
        assert counters["side_frames"] == seen.rx_fast and counters["side_lost"] == 0
        assert counters["steer_passed_partial"] <= seen.rx_kernel


def test_default_profile_waits_for_a_few(pair):
    pair.meet()
    with Echo(pair, {}) as echo:
        echo.ask(10)
        assert echo.counts().rx_fast == 0
        echo.ask(500)
        begun = echo.counts()
        echo.ask(500)
        seen = echo.counts()
        assert seen.rx_kernel == begun.rx_kernel >= 16 and seen.rx_fast == 1010 - begun.rx_kernel, seen


# Calls of the kernel that wait until no processor can be using what they change: some 8 ms each.
SLOW = re.compile(r"PACKET_RX_RING|BPF_LINK_CREATE|BPF_PROG_LOAD")


@pytest.mark.parametrize("options", [LATENCY, {}], ids=["latency", "default"])
def test_nothing_is_lost_when_they_are_opened(pair, tmp_path, options):
    """In the latency profile all that takes time is done before; in the other there is room meanwhile."""
    pair.meet()
    log = tmp_path / "calls"
    strace = ["strace", "-f", "-e", "trace=bind,setsockopt,bpf,write", "-o", log]
    server = [*strace, *under(options, PYTHON, PROGRAMS / "echo_server.py", "socket", net.B4, PORT)]
    with pair.b.popen(server, env=fsock.CLEAN) as running:
        assert running.wait_for("ready"), running.err
        done = pair.a.run([PYTHON, str(PROGRAMS / "echo_client.py"), "socket", net.B4, str(PORT), "300"],
                          env=fsock.CLEAN)
        assert done.status == 0, done.err
    calls = log.read_text().splitlines()
    ready = next(i for i, call in enumerate(calls) if 'write(1, "ready' in call)
    taken = [i for i, call in enumerate(calls) if "bind(" in call and "AF_PACKET" in call]
    slow = [i for i, call in enumerate(calls) if SLOW.search(call)]
    assert len(taken) == 2 and taken[0] > ready, "packet sockets were not opened for a kernel peer"
    late = [calls[i] for i in slow if i > ready]
    if options == LATENCY:
        assert slow and not late, late
        return
    buffers = [i for i, call in enumerate(calls) if i > ready and "SO_RCVBUFFORCE" in call]
    room = next(i for i in buffers if "[4194304]" in calls[i])
    back = next(i for i in buffers if i > room and calls[i].split("[")[-1] == calls[buffers[-1]].split("[")[-1])
    assert late and all(room < i < back for i in slow if i > ready), calls[ready:]


# A datagram whose complete sum has the value that a kernel peer leaves for its device to complete.
LOOKS_PARTIAL = """import socket, struct, sys
mine, peer, port, many, few = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
s.bind((mine, 9001))
s.connect((peer, port))
def ask(data):
    s.send(data)
    s.recv(100)
for _ in range(many):
    ask(b"ordinary")
words = struct.unpack("!4H", socket.inet_aton(mine) + socket.inet_aton(peer))
pseudo = (sum(words) + 17 + 10) % 65535
header = 9001 + port + 10
for _ in range(few):
    ask(struct.pack("!H", (65535 - pseudo - pseudo - header) % 65535))
"""


def test_a_few_that_look_so_are_no_kernel_peer(pair):
    """Of complete sums one in 65,536 looks partial; that is no reason to look at more sockets for ever."""
    pair.meet()
    with Echo(pair, LATENCY) as echo:
        argv = under(LATENCY, PYTHON, "-c", LOOKS_PARTIAL, net.A4, net.B4, PORT, 20000, 5)
        done = pair.a.run(argv, env=fsock.CLEAN)
        assert done.status == 0, done.err
        counters = fsock.port_counters(echo.server.pid)
        assert counters["steer_passed_partial"] == 5 and counters["side_frames"] == 0, counters
        echo.ask(100)
        counters = fsock.port_counters(echo.server.pid)
        assert counters["side_frames"] > 50, counters


def test_it_can_be_turned_off(pair):
    pair.meet()
    with Echo(pair, {**LATENCY, "kernel_peers": 0}) as echo:
        echo.ask(100)
        counters = fsock.port_counters(echo.server.pid)
        assert echo.counts().rx_kernel == 100
        assert counters["side_frames"] == 0 and counters["steer_passed_partial"] == 100


def test_hazard_06_children_take_over(pair):
    """A child shares what its parent opened, and has it again when the parent ended."""
    pair.meet()
    argv = [PYTHON, PROGRAMS / "fork_server.py", net.B4, PORT, 300]
    ask = [PYTHON, str(PROGRAMS / "echo_client.py"), "socket", net.B4, str(PORT), "300"]
    with pair.b.popen(under(LATENCY, *argv), env=fsock.CLEAN) as server:
        assert server.wait_for("ready"), server.err
        first = pair.a.run(ask, env=fsock.CLEAN)
        begun = fsock.counts(server.pid)
        assert server.wait_for("child"), server.err
        child = int(server.out.split()[-1])
        second = pair.a.run(ask, env=fsock.CLEAN)
        assert proc.until(lambda: not server.alive(), 60)
        time.sleep(0.5)
        third = pair.a.run(ask, env=fsock.CLEAN)
        seen = fsock.counts(child)
        counters = fsock.port_counters(child)
    assert first.status == 0 and first.out == second.out == third.out, (first, second, third)
    # Around the moment of taking over some may come by the shadow.
    assert seen.rx_fast + seen.rx_kernel == 900 and seen.rx_kernel - begun.rx_kernel < 100, (begun, seen)
    assert counters["side_frames"] == seen.rx_fast, counters


def warm(pair, receiver, port=PORT):
    """Datagrams of a kernel peer, until the receiver has its packet sockets."""
    code = ("import socket, sys, time\n"
            "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "for _ in range(8): s.sendto(b'\\xff' * 4, (sys.argv[1], int(sys.argv[2]))); time.sleep(0.02)\n")
    pair.a.run([PYTHON, "-c", code, net.B4, str(port)], env=fsock.CLEAN)
    assert proc.until(lambda: fsock.port_counters(receiver.pid)["side_frames"] > 0, 60), receiver.err


def transfer(pair, sender, receiver, *how, gro=False, size=1400, count=45, calls=40, pause=0.005):
    """What segments.py received of what it sent, without the datagrams that came before."""
    argv = [PYTHON, PROGRAMS / "segments.py", "recv", net.B4, PORT, 3, *(["gro"] if gro else [])]
    with pair.b.popen(under(receiver, *argv), env=fsock.CLEAN) as end:
        assert end.wait_for("ready"), end.err
        if receiver is not None and receiver.get("kernel_peers") != 0:
            warm(pair, end)
        report = fsock.Report()
        done = pair.a.run(under(sender, PYTHON, PROGRAMS / "segments.py", "send", net.B4, PORT, size, count, calls,
                                pause, *how), env={**fsock.CLEAN, **report.env}, fds=(report.fd,), timeout=60)
        assert done.status == 0, done.err
        time.sleep(0.3)
        counters = fsock.port_counters(end.pid) if receiver is not None else {}
        counts = fsock.counts(end.pid)
        drops = fsock.drops(end.pid) if receiver is not None else 0
        end.finish()
        seen = json.loads(end.out.splitlines()[-1])
    seen.update(sent=int(done.out), sender=report.counts(), receiver=counts, ports=counters, drops=drops)
    report.close()
    return seen


def complete(seen):
    """Every datagram once, in order, with its bytes; what a slow receiver lost, a counter has."""
    numbers = seen["numbers"]
    assert seen["wrong"] == 0
    assert numbers == sorted(set(numbers))
    assert len(numbers) + seen["drops"] >= seen["sent"] and len(numbers) > seen["sent"] / 2, seen


@pytest.mark.parametrize("gro", [False, True], ids=["datagrams", "gro"])
@pytest.mark.parametrize("size, count", [(1400, 45), (100, 50), (1400, 2)])
def test_hazard_03_segments_of_a_kernel_peer(pair, size, count, gro):
    pair.meet()
    seen = transfer(pair, None, LATENCY, size=size, count=count, gro=gro)
    complete(seen)
    assert seen["ports"]["side_frames"] + seen["drops"] >= 40
    assert seen["receiver"].rx_kernel <= 8, seen["receiver"]  # the greetings
    if gro:
        assert set(seen["told"]) == {size} and len(seen["told"]) <= 40


@pytest.mark.parametrize("alone", [(), (200,)], ids=["segments", "mixed"])
@pytest.mark.parametrize("receiver", [None, LATENCY], ids=["kernel", "fsock"])
def test_segments_leave_whole(pair, receiver, alone):
    """Every datagram arrives in order, the single ones between the super-frames, too."""
    pair.meet()
    seen = transfer(pair, LATENCY, receiver, *alone)
    complete(seen)
    assert seen["sender"].tx_fast == seen["sent"] and seen["sender"].tx_kernel == 0, seen["sender"]
    if receiver:
        assert seen["ports"]["side_frames"] + seen["drops"] >= 40 * (1 + bool(alone))
        assert seen["ports"]["side_frames"] < 100  # not a frame for each
        assert seen["receiver"].rx_kernel <= 8, seen["receiver"]


def test_segments_to_a_receiver_in_native_mode(pair):
    """The peer's device takes no super-frames then: they are cut by the sender."""
    pair.meet()
    seen = transfer(pair, LATENCY, {**LATENCY, "xdp_mode": "native", "kernel_peers": 0})
    complete(seen)
    assert seen["sender"].tx_fast == seen["sent"] and seen["ports"]["side_frames"] == 0


def test_losses_of_the_side_are_counted(pair):
    """A receiver that stops for a while: what it does not get, a counter has."""
    pair.meet()
    argv = [PYTHON, PROGRAMS / "segments.py", "recv", net.B4, PORT, proc.GUARD]
    with pair.b.popen(under(LATENCY, *argv), env=fsock.CLEAN) as end:
        assert end.wait_for("ready"), end.err
        warm(pair, end)
        before = fsock.drops(end.pid)
        end.send(signal.SIGSTOP)
        done = pair.a.run([PYTHON, str(PROGRAMS / "segments.py"), "send", net.B4, str(PORT), "1400", "45", "400"],
                          env=fsock.CLEAN)
        end.send(signal.SIGCONT)
        # Counters of ports are published once a second.
        counted = proc.until(lambda: fsock.drops(end.pid) > before)
        end.stop()
        seen = json.loads(end.out.splitlines()[-1])
    assert seen["wrong"] == 0 and len(seen["numbers"]) < int(done.out)
    assert counted


ASK = """import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
s.connect((sys.argv[1], int(sys.argv[2])))
for i in range(int(sys.argv[3])):
    s.send(b"%d" % i)
    print(s.recv(100).decode(), flush=True)
"""


@pytest.mark.parametrize("address", [net.B4, net.B6])
def test_stamped_datagrams_come_by_the_side(pair, address):
    """Sums are complete, so only what is to be stamped leaves the queue; it returns to it afterwards."""
    pair.meet()
    for side in (pair.a, pair.b):
        side.run(["ethtool", "-K", net.LINK, "tx", "off"])
    each = 40
    argv = [PYTHON, PROGRAMS / "stamped.py", address, PORT, each]
    with pair.b.popen(under(LATENCY, *argv), env=fsock.CLEAN) as end:
        assert end.wait_for("stamps 0"), end.err
        done = pair.a.run([PYTHON, "-c", ASK, address, str(PORT), str(3 * each)], env=fsock.CLEAN)
        assert done.status == 0, done.err
        counters, seen = fsock.port_counters(end.pid), fsock.counts(end.pid)
        assert end.out.split("\n")[:4] == ["ready", "stamps 0", "stamps 1", "stamps 0"]
    answers = [list(map(int, line.split())) for line in done.out.splitlines()]
    assert [number for number, _ in answers] == list(range(3 * each))
    ages = [age for _, age in answers]
    assert not any(ages[:each] + ages[2 * each:]) and all(0 < age < 10**9 for age in ages[each:2 * each]), ages
    assert seen.rx_fast == 3 * each - seen.rx_kernel and seen.rx_kernel <= 1, seen
    # The next one is under way while the socket still makes up its mind.
    assert abs(counters["side_frames"] - each) <= 1 and counters["side_lost"] == 0, counters
