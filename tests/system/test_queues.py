# SPDX-License-Identifier: BSD-2-Clause
"""
Interfaces of several receive queues: every one that a port serves takes the fast path, sleepers wake
for any, and what is not served is the kernel's.

A kernel sender's queue is chosen by XPS: all its processors are given to one transmit queue. The
queue it arrives on is the same in native mode, and one less in generic mode (hazard 14), where a
sender with one queue more than the receiver thus reaches all.
"""
import contextlib
import errno
import json
import os
import socket
import time

import pytest

from lab import fsock, net
from test_faults import PROGRAMS, PYTHON, echo_server
from test_xdp import PORT, egress_programs, inside, kernel_receiver, link, probes  # noqa: F401 (a fixture)

QUEUES = 4
MODES = ("generic", "native")


class Wire:
    """A pair of interfaces with QUEUES receive queues each."""

    def __init__(self, pair, mode):
        self.pair, self.a, self.b, self.mode = pair, pair.a, pair.b, mode
        self.option = f"mode={mode}"
        # Partial sums would be the kernel's in generic mode (hazard 3).
        assert self.a.run(["ethtool", "-K", net.LINK, "tx", "off"]).status == 0

    def sends_by(self, queue):
        """The transmit queue of a frame that shall arrive on @queue."""
        return queue + 1 if self.mode == "generic" and queue > 0 else queue

    def aim(self, queue):
        """What side a's kernel sends next by new sockets arrives at b on @queue."""
        self.a.send_by(self.sends_by(queue))

    def send(self, queue, count=1, port=PORT):
        self.aim(queue)
        with inside(self.a), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(count):
                sock.sendto(b"%d" % queue, (self.b.v4, port))


@pytest.fixture(params=MODES)
def wire(request):
    # Native mode wants at least as many receive queues as the peer has transmit queues.
    with net.Pair(queues=(QUEUES, QUEUES + (request.param == "generic"))) as made:
        yield Wire(made, request.param)


@contextlib.contextmanager
def bound(side):
    """A kernel socket on PORT, so that what passes to the kernel is no error for the sender."""
    with inside(side), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((side.v4, PORT))
        yield sock


# --- the provider -----------------------------------------------------------------------------

def test_every_queue_comes(wire, probes):
    b = probes(wire.b, wire.a, option=wire.option, queues=QUEUES)
    said = b("open")
    assert (said["rc"], said["queues"], said["why"]) == (0, QUEUES, "")
    assert b(f"steer {PORT}")["rc"] == 0
    with bound(wire.b):
        for queue in range(QUEUES):
            wire.send(queue, 5)
            said = b("recv 5 1000")
            assert (said["frames"], said["longest"]) == (5, 43), queue
    stats = b("stats")
    assert stats["rx"] == stats["redirected"] == 5 * QUEUES
    assert stats["no_queue"] == stats["rx_invalid"] == stats["ring_full"] == stats["rx_bad"] == 0
    assert b("close")["free"] == 1024


def test_queues_not_served_are_the_kernels(wire, probes):
    b = probes(wire.b, wire.a, option=wire.option, queues=2).opened()
    receiver = kernel_receiver(wire.b)
    for queue in range(QUEUES):
        wire.send(queue, 3)
        if queue < 2:
            assert b("recv 3 1000")["frames"] == 3
        else:
            assert [receiver(2) for _ in range(3)] == [b"%d" % queue] * 3
    stats = b("stats")
    assert (stats["redirected"], stats["no_queue"]) == (6, 6)


def test_queues_from_the_middle(wire, probes):
    """A port of the last two queues: what comes by the others is the kernel's, and each way of saying so agrees."""
    first = QUEUES - 2
    b = probes(wire.b, wire.a, option=wire.option, first=first, queues=2).opened()
    receiver = kernel_receiver(wire.b)
    for queue in range(QUEUES):
        wire.send(queue, 3)
        if queue >= first:
            assert b("recv 3 1000")["frames"] == 3
        else:
            assert [receiver(2) for _ in range(3)] == [b"%d" % queue] * 3
    stats = b("stats")
    assert (stats["redirected"], stats["no_queue"]) == (6, 6)
    assert b("close")["free"] == 1024


def test_port_sends_by_its_first_queue(wire, probes):
    """The queue a frame leaves by shows in where it arrives."""
    a = probes(wire.a, wire.b, option=wire.option, first=wire.sends_by(2), queues=1).opened()
    b = probes(wire.b, wire.a, option=wire.option, first=2).opened()
    assert a(f"send {PORT} 64 5") == {"rc": 0, "sent": 5, "error": 0}
    assert b("recv 5 1000")["frames"] == 5


def test_sleeper_and_child_see_every_queue(wire, probes):
    """The descriptor to sleep on stands for all queues, in the owner and in a process that joined."""
    b = probes(wire.b, wire.a, option=wire.option, queues=QUEUES).opened()
    with bound(wire.b):
        for child in (False, True):
            if child:
                assert b("fork drive")["rc"] == 0
            for queue in range(QUEUES):
                assert b("arm")["work"] is False
                b.tell("wait 5000")
                time.sleep(0.05)
                wire.send(queue)
                assert b.answer() == {"rc": 1, "in": 1, "err": 0}
                assert b("arm")["work"] is True
                assert b("recv 1 100")["frames"] == 1
        b.tell("exit")  # the child
        wire.send(3)
        assert b("recv 1 1000")["frames"] == 1
    assert b("close")["free"] == 1024


def test_ports_of_many_queues_face_each_other(wire, probes):
    a = probes(wire.a, wire.b, option=wire.option, queues=QUEUES).opened()
    b = probes(wire.b, wire.a, option=wire.option, queues=QUEUES).opened()
    for _ in range(12):  # more than the pool has chunks
        for one, other in ((a, b), (b, a)):
            assert one(f"send {PORT} 1400 100") == {"rc": 0, "sent": 100, "error": 0}
            said = other("recv 100 2000")
            assert (said["frames"], said["bad"]) == (100, 0)
    assert a("close")["free"] == b("close")["free"] == 1024


@pytest.mark.alone
def test_killed_owner_of_many_queues(wire, probes):
    """kill -9: the next one gets every queue at once."""
    for _ in range(3):
        b = probes(wire.b, wire.a, option=wire.option, queues=QUEUES)
        said = b("open")
        assert (said["rc"], said["queues"]) == (0, QUEUES), said["why"]
        assert b(f"steer {PORT}")["rc"] == 0
        with bound(wire.b):
            wire.send(QUEUES - 1, 3)
        assert b("recv 3 1000")["frames"] == 3
        b.kill()


def test_second_opener_is_told(wire, probes):
    probes(wire.b, wire.a, option=wire.option, queues=1).opened()
    said = probes(wire.b, wire.a, option=wire.option, queues=QUEUES)("open")
    assert said["rc"] == -16 and "another process" in said["why"]


def test_descriptors_run_out(wire, probes):
    """Then fewer queues are served, and it says why."""
    b = probes(wire.b, wire.a, wrap=["prlimit", "--nofile=208"], option=wire.option, queues=QUEUES)
    said = b("open")
    assert said["rc"] == 0 and 1 <= said["queues"] < QUEUES
    assert "descriptor" in said["why"]
    assert b("close")["free"] == 1024


def test_interface_removed(wire, probes):
    b = probes(wire.b, wire.a, option=wire.option, queues=QUEUES).opened()
    link(wire.b, "del", net.LINK)
    assert b("arm") == {"work": False, "error": -errno.ENODEV}
    assert b("wait 100")["rc"] == 0
    assert b("close")["free"] == 1024


# --- two ports of one process, each with its part of the queues -------------------------------

HALF = QUEUES // 2


def open_both(b):
    for which in ("", "second "):
        said = b(f"{which}open")
        assert (said["rc"], said["queues"]) == (0, HALF), said["why"]


@pytest.fixture
def both(wire, probes):
    """The second port beside the first: what comes by a queue is looked for at the right one and at the other."""
    b = probes(wire.b, wire.a, option=wire.option, queues=HALF)
    open_both(b)
    return b


def take_all(wire, b, count=3):
    """Frames of each queue come out of its port, and of no other."""
    for queue in range(QUEUES):
        wire.send(queue, count)
        right, wrong = ("", "second ") if queue < HALF else ("second ", "")
        assert b(f"{right}recv {count} 1000")["frames"] == count, queue
        assert b(f"{wrong}recv 1 0")["frames"] == 0, queue


@pytest.mark.parametrize("adds,removes", [("", "second "), ("second ", "")], ids=["first-adds", "second-adds"])
def test_two_ports_share_rules(wire, both, adds, removes):
    receiver = kernel_receiver(wire.b)
    assert both(f"{adds}steer {PORT}")["rc"] == 0
    take_all(wire, both)
    assert both(f"{removes}unsteer {PORT}")["rc"] == 0
    for queue in range(QUEUES):
        wire.send(queue)
        assert receiver(2) == b"%d" % queue
    first, second = both("stats"), both("second stats")
    assert first["rx"] == second["rx"] == 3 * HALF
    assert (first["redirected"], first["no_queue"]) == (3 * QUEUES, 0)
    assert second["redirected"] == second["rx_bad"] == second["rx_invalid"] == 0  # counted once
    assert both("second close")["free"] == both("close")["free"] == 1024


def test_two_ports_stamp(wire, both):
    """Each says whether it wants times of arrival, and leaves the other's alone, whatever came by meanwhile."""
    def stamped():
        for which, queue in (("", 0), ("second ", HALF)):
            wire.send(queue, 3)
            said = both(f"{which}recv 3 1000")
            assert said["frames"] == 3
            yield said["stamped"]

    assert both(f"steer {PORT}")["rc"] == 0
    assert list(stamped()) == [0, 0]
    for command, wanted in (("stamp 1", [3, 0]), ("second stamp 1", [3, 3]), ("second stamp 0", [3, 0]),
                            ("second stamp 1", [3, 3]), ("stamp 0", [0, 3]), ("stamp 1", [3, 3])):
        assert both(command)["error"] == 0
        assert list(stamped()) == wanted, command
    both("second close")
    wire.send(0, 3)
    assert both("recv 3 1000")["stamped"] == 3
    assert both("second open")["rc"] == 0
    both("stamp 0")
    assert list(stamped()) == [0, 0]


def test_second_port_sends_by_its_queue(wire, probes, both):
    there = HALF - (wire.mode == "generic")  # see Wire.sends_by()
    a = probes(wire.a, wire.b, option=wire.option, first=there).opened()
    for _ in range(12):  # more than the pool has chunks
        assert both(f"second send {PORT} 1400 100") == {"rc": 0, "sent": 100, "error": 0}
        said = a("recv 100 2000")
        assert (said["frames"], said["bad"]) == (100, 0)
    assert both("second close")["free"] == both("close")["free"] == 1024


@pytest.mark.parametrize("held", [False, True], ids=["alone", "held-by-child"])
def test_second_port_closes_and_returns(wire, both, held):
    """Its frames are the kernel's meanwhile, whoever still holds its sockets. It returns to a queue whose last
    question nobody answered."""
    receiver = kernel_receiver(wire.b)
    assert both(f"steer {PORT}")["rc"] == 0
    take_all(wire, both)
    child = both("fork hold")["pid"] if held else None
    time.sleep(0.2)  # steering asks again
    wire.send(HALF)  # not taken
    assert both("second close")["free"] == 1024
    for queue in range(QUEUES):
        wire.send(queue)
        if queue < HALF:
            assert both("recv 1 1000")["frames"] == 1
        else:
            assert receiver(2) == b"%d" % queue
    if held:
        os.kill(child, 9)
    time.sleep(1.1)
    assert both("second open")["rc"] == 0
    wire.send(HALF)
    assert both("second recv 1 1000")["frames"] == 1
    take_all(wire, both)


@pytest.mark.parametrize("idle", [0, HALF], ids=["first-idle", "second-idle"])
def test_port_that_nobody_polls_goes_stale_alone(wire, both, idle):
    receiver = kernel_receiver(wire.b)
    polled, busy = (HALF, "second ") if idle == 0 else (0, "")
    assert both(f"steer {PORT}")["rc"] == 0
    wire.send(idle)
    wire.send(polled)
    assert both(f"{busy}recv 1 1000")["frames"] == 1
    assert both(f"{busy}recv 1 0")["frames"] == 0  # a look at empty rings answers, too
    time.sleep(1.1)
    wire.send(idle)
    assert receiver(2) == b"%d" % idle
    wire.send(polled)
    assert both(f"{busy}recv 1 1000")["frames"] == 1
    late = "" if busy else "second "
    assert both(f"{late}recv 2 0")["frames"] == 1  # takes the first, and answers
    take_all(wire, both)


def test_child_joins_both_ports(wire, both):
    assert both("fork drive")["rc"] == 0
    assert both(f"second steer {PORT}")["rc"] == 0
    take_all(wire, both)
    both.tell("exit")
    take_all(wire, both)
    assert both("fork drive")["rc"] == 0
    both("second close")  # only the child's own
    both.tell("exit")
    take_all(wire, both)
    assert both("second close")["free"] == both("close")["free"] == 1024


def test_first_port_closes(wire, both):
    """Steering is its own: the second sees no more frames, and is in nobody's way when both return."""
    receiver = kernel_receiver(wire.b)
    assert both(f"second steer {PORT}")["rc"] == 0
    take_all(wire, both)
    assert both("close")["free"] == 1024
    wire.send(HALF)
    assert receiver(2) == b"%d" % HALF
    assert both("second recv 1 0")["frames"] == 0
    assert both("second close")["free"] == 1024
    open_both(both)
    assert both(f"steer {PORT}")["rc"] == 0
    take_all(wire, both)


def test_killed_with_both_ports(wire, probes, both):
    both(f"second steer {PORT}")
    both.kill()
    again = probes(wire.b, wire.a, option=wire.option, queues=HALF)
    open_both(again)
    assert again(f"steer {PORT}")["rc"] == 0
    take_all(wire, again)


def test_programs_are_known_to_both_ports(wire, both):
    """The guard is the first port's to make, when it steers TCP; the second takes it for nobody else's."""
    assert both(f"second steer {PORT} tcp")["rc"] == 0
    assert egress_programs(wire.b) == 0
    assert both(f"steer {PORT + 1} tcp")["rc"] == 0
    assert egress_programs(wire.b) == 1
    first, second = both("stats"), both("second stats")
    assert first["programs"] == second["programs"]
    assert all(first["programs"][:2])
    both("second close")
    assert egress_programs(wire.b) == 1


@pytest.mark.parametrize("options,opens", [({}, False), ({"provider": "packet"}, True)], ids=["closed", "packet"])
def test_nothing_to_stand_beside(wire, probes, options, opens):
    b = probes(wire.b, wire.a, queues=HALF, **options)
    if opens:
        b.opened()
    said = b("second open")
    assert said["rc"] == -errno.EOPNOTSUPP and said["why"]
    assert b("second pool")["free"] == 1024


def test_packet_sockets_have_no_part(wire, probes):
    said = probes(wire.b, wire.a, provider="packet", first=1)("open")
    assert said["rc"] == -errno.EOPNOTSUPP and "whole" in said["why"]


# --- whole programs ---------------------------------------------------------------------------

ASK = """
import os, socket, sys, time
address, pause, count = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
mask = "%x" % ((1 << max(os.sched_getaffinity(1)) + 1) - 1)
for queue in sys.argv[4:]:
    for name in os.listdir("/sys/class/net/fst0/queues"):
        if name.startswith("tx-"):
            with open(f"/sys/class/net/fst0/queues/{name}/xps_cpus", "w") as file:
                file.write(mask if name == "tx-" + queue else "0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(20)
        sock.connect((address, 9000))
        for i in range(count):
            time.sleep(pause)
            sock.send(b"word %d" % i)
            assert sock.recv(100) == b"WORD %d" % i, (queue, i)
print("well")
"""


def ask_all(wire, count, pause=0.0):
    """A kernel client has each queue's datagrams answered."""
    done = wire.a.run([PYTHON, "-c", ASK, wire.b.v4, pause, count,
                       *(wire.sends_by(queue) for queue in range(QUEUES))], env=fsock.CLEAN)
    assert (done.status, done.out) == (0, "well\n"), done.err[-2000:]


def port_of(process):
    """What `fsock stat` says of the only port."""
    time.sleep(1.1)  # figures are a second old at most, once something calls
    (stack,) = fsock.stat(process.pid)["stacks"]
    (port,) = stack["ports"]
    return port


@pytest.mark.parametrize("kind", ["socket", "asyncio"])
def test_program_is_served_on_every_queue(wire, kind):
    """A receiver that blocks and one that sleeps in epoll: awake for any queue, all on the fast path."""
    argv = fsock.run([PYTHON, PROGRAMS / "echo_server.py", kind, wire.b.v4, 9000],
                     profile="default", xdp_mode=wire.mode)
    with wire.b.popen(argv, env=fsock.CLEAN) as server:
        assert server.wait_for("ready"), server.err
        ask_all(wire, 20)
        ask_all(wire, 2, pause=0.1)
        port = port_of(server)
        ask_all(wire, 1)
        seen = fsock.counts(server.pid)
        assert (port["queues"], port["rx_queues"], port["note"]) == (QUEUES, QUEUES, None)
        assert port["counters"]["steer_passed_no_queue"] == 0
        assert (seen.rx_fast, seen.rx_kernel) == (23 * QUEUES, 0), seen
        why = wire.b.run([fsock.tool(), "why", server.pid], env=fsock.CLEAN).out
        assert f"{wire.mode}, {QUEUES} of {QUEUES} queues" in why


def test_option_queues(wire):
    with echo_server(wire.b, {"profile": "latency", "xdp_mode": wire.mode, "queues": 1}) as server:
        ask_all(wire, 20)
        port = port_of(server)
        ask_all(wire, 1)
        seen = fsock.counts(server.pid)
    assert (port["queues"], port["rx_queues"]) == (1, QUEUES)
    assert "option queues" in port["note"]
    assert port["counters"]["steer_passed_no_queue"] == 20 * (QUEUES - 1)
    assert (seen.rx_fast, seen.rx_kernel) == (21, 21 * (QUEUES - 1)), seen


FORKED = """
import os, socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[1], 9000))
child = os.fork()
if child:
    print("ready", child, flush=True)
    os.waitpid(child, 0)
while True:
    data, peer = sock.recvfrom(100)
    sock.sendto(data.upper(), peer)
"""


# The child calls nothing of the network before its parent is dead.
ORPHANED = FORKED.replace("    os.waitpid(child, 0)", "    os.waitpid(child, 0)\nelse:\n    import time\n"
                          "    first = os.getppid()\n    while os.getppid() == first:\n        time.sleep(0.01)")


def test_child_is_served_on_every_queue(wire):
    """The child joins and receives from all queues; its parent sleeps."""
    argv = fsock.run([PYTHON, "-c", FORKED, wire.b.v4], profile="default", xdp_mode=wire.mode)
    with wire.b.popen(argv, env=fsock.CLEAN) as server:
        assert server.wait_for("ready"), server.err
        ask_all(wire, 1)  # it joins at its first call
        before = fsock.counts(server.pid)
        ask_all(wire, 20)
        ask_all(wire, 2, pause=0.1)
        time.sleep(1.1)
        ask_all(wire, 1)
        seen = fsock.counts(server.pid)
        assert seen.rx_kernel == before.rx_kernel, (before, seen)
        assert seen.rx_fast - before.rx_fast >= 22 * QUEUES


@pytest.mark.parametrize("joined", [True, False], ids=["adopted", "opened-anew"])
def test_every_queue_outlives_the_owner(wire, joined):
    """The owner is killed: the child that held the port, or the one that opens it anew, has all queues."""
    argv = fsock.run([PYTHON, "-c", FORKED if joined else ORPHANED, wire.b.v4], profile="latency",
                     xdp_mode=wire.mode)
    with wire.b.popen(argv, env=fsock.CLEAN) as server:
        assert server.wait_for("ready"), server.err
        child = int(server.out.split()[1])
        if joined:
            ask_all(wire, 2)
        server.send(9)
        server.child.wait()
        ask_all(wire, 2)
        time.sleep(1.1)
        ask_all(wire, 1)
        before = fsock.counts(child)
        ask_all(wire, 20)
        time.sleep(1.1)
        ask_all(wire, 1)
        seen = fsock.counts(child)
        assert seen.rx_kernel == before.rx_kernel, (before, seen)
        assert seen.rx_fast - before.rx_fast >= 20 * QUEUES


@pytest.mark.alone
def test_kill_and_restart(wire):
    for _ in range(3):
        with echo_server(wire.b, {"profile": "latency", "xdp_mode": wire.mode}) as server:
            ask_all(wire, 5)
            time.sleep(1.1)
            ask_all(wire, 1)
            report = fsock.stat(server.pid)
            seen = fsock.sum_counts(fsock.sockets(report))
            # One sum in 65536 looks partial.
            passed = fsock.steered(report).get("steer_passed_partial", 0)
            assert seen.rx_kernel == passed <= 1 and seen.rx_fast == 6 * QUEUES - passed, (seen, fsock.steered(report))
            server.send(9)
            server.child.wait()


CAPS = "+net_admin,+net_raw,+sys_admin,+dac_override"  # what a port needs, and a build folder of root's


@pytest.mark.parametrize("mib,queues,frames", [(6, 4, 1024), (3, 2, 512)])
def test_memlock_is_short(wire, mib, queues, frames):
    """Less frame memory a queue, then fewer queues; said in the log and in the statistics."""
    # The limit is on what a user has locked in all its processes: this one is a user of its own.
    argv = ["prlimit", f"--memlock={mib << 20}", "setpriv", f"--reuid={1 << 24 | os.getpid()}", "--clear-groups",
            f"--inh-caps={CAPS}", f"--ambient-caps={CAPS}",
            *fsock.run([PYTHON, PROGRAMS / "echo_server.py", "socket", wire.b.v4, 9000],
                       profile="latency", xdp_mode=wire.mode)]
    with wire.b.popen(argv, env=fsock.CLEAN) as server:
        assert server.wait_for("ready"), server.err
        ask_all(wire, 20)
        port = port_of(server)
        ask_all(wire, 1)
        seen = fsock.counts(server.pid)
        text = server.err
    assert (port["queues"], port["rx_queues"], port["frames_total"]) == (queues, QUEUES, frames)
    assert "RLIMIT_MEMLOCK" in port["note"] and "RLIMIT_MEMLOCK" in text
    assert (seen.rx_fast, seen.rx_kernel) == (21 * queues, 21 * (QUEUES - queues)), seen


def test_more_queues_than_a_port_may_have():
    with net.Pair(queues=(40, 40)) as pair:
        with echo_server(pair.b, {"profile": "latency", "umem_size": "1M"}) as server:
            port = port_of(server)
    assert (port["queues"], port["rx_queues"]) == (32, 40)
    assert "no more queues" in port["note"] and port["frames_total"] == 32 * 256


def test_doctor_counts_queues(wire):
    done = wire.b.run([fsock.tool(), "doctor", "--json"], env={**fsock.CLEAN, "FSOCK_QUEUES": "2"})
    report = json.loads(done.out)
    (found,) = [one for one in report["interfaces"] if one["name"] == net.LINK]
    assert (found["queues"], found["rx_queues"]) == (2, QUEUES)
    text = wire.b.run([fsock.tool(), "doctor"], env={**fsock.CLEAN, "FSOCK_QUEUES": "2"}).out
    assert f"2 of {QUEUES} receive queues are served" in text
