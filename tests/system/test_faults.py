# SPDX-License-Identifier: BSD-2-Clause
"""
Faults around whole programs: killed owners, idle children, missing privilege, shared interfaces,
unread sockets, the host's policy. Tests named test_hazard_NN_ are the row NN of the hazards table
in docs (what breaks a bypass that keeps the kernel beside it).
"""
import contextlib
import hashlib
import itertools
import json
import os
import pathlib
import random
import re
import resource
import signal
import socket
import subprocess
import threading
import time

import pytest

from lab import fsock, net, proc, state

PROGRAMS = pathlib.Path(__file__).resolve().parent / "programs"
PYTHON = "/usr/bin/python3"
LATENCY = {"profile": "latency"}


@pytest.fixture
def pair(pair):
    """Both sides know each other's station: no first datagram has to take the kernel's way."""
    pair.meet()
    return pair


def echo_server(side, options=LATENCY, port=9000, address=None, **more):
    argv = [PYTHON, PROGRAMS / "echo_server.py", "socket", address or side.v4, port]
    process = side.popen(fsock.run(argv, **options) if options is not None else argv,
                         env=fsock.CLEAN, cpu=proc.cpus()[1], **more)
    assert process.wait_for("ready"), process.out + process.err
    return process


def ask(pair, count=3000, options=LATENCY, port=9000, timeout=60):
    """Result of an echo client in pair.a, and its counts."""
    argv = [PYTHON, PROGRAMS / "echo_client.py", "socket", net.B4, port, count]
    report = fsock.Report()
    done = pair.a.run(fsock.run(argv, **options) if options is not None else argv, timeout=timeout,
                      env={**fsock.CLEAN, **report.env}, fds=(report.fd,), cpu=proc.cpus()[0])
    seen = report.counts()
    report.close()
    return done, seen


def xdp_attached(side):
    links = json.loads(side.run(["ip", "-json", "-details", "link", "show", net.LINK]).out)
    return bool(links[0].get("xdp"))


def why_text(report):
    return " ".join(sorted(fsock.reasons(report or {})))


# --- death ------------------------------------------------------------------------------------

@pytest.mark.alone
def test_kill_in_traffic_then_next_on_the_same_port(pair):
    """kill -9 in traffic: the next program on port and interface works at once and is accelerated."""
    first = echo_server(pair.b)
    client = pair.a.popen(fsock.run([PYTHON, PROGRAMS / "echo_client.py", "socket", net.B4, 9000,
                                     10000000], **LATENCY), env=fsock.CLEAN, cpu=proc.cpus()[0])
    with first, client:
        assert proc.until(lambda: fsock.counts(first.pid).fast > 100)
        client.send(signal.SIGKILL)
        first.send(signal.SIGKILL)
        client.child.wait()
        first.child.wait()
    with echo_server(pair.b) as second:
        done, seen = ask(pair)
        assert done.status == 0, done.err
        assert seen.all_fast(6000), seen
        assert fsock.counts(second.pid).all_fast(6000), fsock.counts(second.pid)


def test_kill_gives_the_kernel_its_packets_back(pair):
    with echo_server(pair.b) as server:
        done, _ = ask(pair)
        assert done.status == 0
        server.send(signal.SIGKILL)
        server.child.wait()
    assert not xdp_attached(pair.b)
    with echo_server(pair.b, options=None):
        done, _ = ask(pair, options=None)
        assert done.status == 0, done.err


def test_kill_server_only_client_goes_on_with_its_successor(pair):
    """The client's process lives through the death of its peer."""
    client = pair.a.popen(fsock.run([PYTHON, "-c", CLIENT_THAT_RETRIES, net.B4], **LATENCY),
                          env=fsock.CLEAN, cpu=proc.cpus()[0])
    with client:
        for _ in range(2):
            with echo_server(pair.b) as server:
                assert proc.until(lambda: fsock.counts(server.pid).fast > 100), client.err
                server.send(signal.SIGKILL)
                server.child.wait()
        client.send(signal.SIGINT)
        done = client.finish()
    assert done.status == 0 and sum(map(int, done.out.split())) > 90, (done.out, done.err)


CLIENT_THAT_RETRIES = """
import signal, socket, sys, time
stop = []
signal.signal(signal.SIGINT, lambda *_: stop.append(1))
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(0.2)
sock.connect((sys.argv[1], 9000))
run = 0
while not stop:
    try:
        sock.send(b"hello")
        if sock.recv(100) == b"HELLO":
            run += 1
        continue
    except (TimeoutError, ConnectionRefusedError, InterruptedError):
        pass
    if run:
        print(run, flush=True)
        run = 0
    time.sleep(0.05)
print(run, flush=True)
"""

FORK_AND_DIE = """
import os, socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[1], 9000))
print("bound", flush=True)
data, peer = sock.recvfrom(100)
sock.sendto(data, peer)
if os.fork() == 0:
    time.sleep(3600)
print("forked", flush=True)
time.sleep(3600)
"""


def test_hazard_06_idle_child_of_a_dead_owner_holds_nothing(pair):
    """The owner dies, an idle forked child lives: port and interface are free for others."""
    owner = pair.b.popen(fsock.run([PYTHON, "-c", FORK_AND_DIE, net.B4], **LATENCY), env=fsock.CLEAN,
                         cpu=proc.cpus()[1])
    with owner:
        assert owner.wait_for("bound"), owner.err
        done = pair.a.run(["socat", "-t", "3", "-", f"UDP4:{net.B4}:9000"], stdin=_text("x\n"))
        assert done.out == "x\n", done.err
        assert owner.wait_for("forked"), owner.err
        owner.send(signal.SIGKILL)
        owner.child.wait()
        # The child still holds the bound shadow: another port of the same interface is asked for.
        assert not xdp_attached(pair.b), "the dead owner's program is still attached"
        with echo_server(pair.b, port=9001):
            done, seen = ask(pair, port=9001)
            assert done.status == 0, done.err
            assert seen.all_fast(6000), seen
        # What arrives on the child's port goes to the child's shadow, the kernel's way: no black hole.
        pair.a.run(["socat", "-t", "0.1", "-", f"UDP4:{net.B4}:9000"], stdin=_text("y\n"))
        assert proc.until(lambda: int(pair.b.run(["ss", "-Hlun", "sport = :9000"]).out.split()[1])), \
            "the datagram did not reach the child's socket"


def _text(text):
    read, write = os.pipe()
    os.write(write, text.encode())
    os.close(write)
    return os.fdopen(read)


# --- privilege --------------------------------------------------------------------------------

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all",
          "--inh-caps=-all", "env", "HOME=/nonexistent"]


def test_without_privilege_runs_and_one_line_says_why(pair):
    """As nobody, without capabilities: kernel sockets, correct, one line on standard error."""
    with echo_server(pair.b, options=None):
        argv = fsock.run([PYTHON, PROGRAMS / "echo_client.py", "socket", net.B4, 9000, 100], **LATENCY)
        done = pair.a.run([*NOBODY, *argv], env=fsock.CLEAN)
    assert done.status == 0, done.err
    assert done.out.startswith("100 ")
    lines = [line for line in done.err.splitlines() if line.strip()]
    assert len(lines) == 1 and "CAP_" in lines[0], done.err


def test_without_privilege_reason_is_recorded(pair):
    with echo_server(pair.b, options=None):
        done = pair.a.run([*NOBODY, fsock.tool(), "why", "--profile=latency", "--json", "--",
                           PYTHON, PROGRAMS / "echo_client.py", "socket", net.B4, "9000", "10"],
                          env=fsock.CLEAN)
    assert '"privilege"' in done.out + done.err, done.out + done.err


USERS = itertools.count((1 << 26) + 8 * os.getpid())
ENOUGH = ("net_admin", "net_raw", "bpf", "perfmon")


def unprivileged(capabilities):
    """What runs a program with @capabilities alone, as a user of its own: locked memory counts by user, and is freed late."""
    given = ",".join(["-all", *("+" + name for name in capabilities)])
    return ["setpriv", f"--reuid={next(USERS)}", "--regid=65534", "--clear-groups",
            f"--inh-caps={given}", f"--ambient-caps={given}", "env", "HOME=/nonexistent"]


@pytest.mark.parametrize("without", [None, *ENOUGH])
def test_these_capabilities_are_enough_and_each_is_needed(pair, without):
    held = [name for name in ENOUGH if name != without]
    if without == "perfmon" and "mitigations=off" in pathlib.Path("/proc/cmdline").read_text():
        without = None  # the verifier fears no speculation then
    with echo_server(pair.b, options=None), contextlib.closing(fsock.Report()) as report:
        argv = fsock.run([PYTHON, PROGRAMS / "echo_client.py", "socket", net.B4, 9000, 100], **LATENCY)
        done = pair.a.run([*unprivileged(held), *argv], env={**fsock.CLEAN, **report.env}, fds=(report.fd,))
        sockets = report.sockets()
    assert done.status == 0 and done.out.startswith("100 "), done.err
    if without is None:
        assert fsock.sum_counts(sockets).tx_fast >= 100, (sockets, done.err)
    else:
        assert [fsock.reason_name(s["reason"]) for s in sockets] == ["privilege"], sockets
        assert f"CAP_{without.upper()}" in done.err


def test_short_of_locked_memory(pair):
    """RLIMIT_MEMLOCK without CAP_IPC_LOCK: kernel fall back with the reason memlock, or it just works."""
    def limit():
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))

    with echo_server(pair.b, options=None):
        report = fsock.Report()
        done = pair.a.run(["setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock",
                           *fsock.run([PYTHON, PROGRAMS / "echo_client.py", "socket", net.B4, 9000, 50],
                                      **LATENCY)],
                          env={**fsock.CLEAN, **report.env}, fds=(report.fd,), preexec=limit)
        report.close()
    assert done.status == 0, done.err


def test_hazard_24_address_space_is_limited(pair):
    """RLIMIT_AS: the program runs, accelerated or with a reason, never killed."""
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (600 << 20, 600 << 20))

    with echo_server(pair.b):
        argv = fsock.run([PYTHON, PROGRAMS / "echo_client.py", "socket", net.B4, 9000, 200], **LATENCY)
        done = pair.a.run(argv, env=fsock.CLEAN, preexec=limit, cpu=proc.cpus()[0])
    assert done.status == 0, done.err
    assert done.out.startswith("200 ")


SMALL = """
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(20)
sock.connect(("10.77.0.2", 9000))
for i in range(200):
    sock.send(b"%d" % i)
    assert sock.recv(100) == b"%d" % i
print("well")
"""


@pytest.mark.parametrize("limit,fast", [(32, True), (16, True), (8, False)])  # MiB; python itself takes 4
def test_hazard_30_memory_limit_of_the_group(pair, memory_group, limit, fast):
    """Too little for the frame pool: a smaller one, or the kernel with a reason; nobody is killed."""
    group, file = memory_group
    file.write_text(str(limit << 20))

    def join():
        (group / "cgroup.procs").write_text(str(os.getpid()))

    report = fsock.Report()
    argv = fsock.run([PYTHON, "-c", SMALL], **LATENCY)
    # ip netns exec covers /sys, and with it the limits.
    argv = ["nsenter", f"--net=/run/netns/{pair.a.name}", *map(str, argv)]
    with echo_server(pair.b), proc.Process(argv, env={**fsock.CLEAN, **report.env}, fds=(report.fd,),
                                           preexec=join) as client:
        done = client.finish()
    seen = report.counts()
    report.close()
    assert (done.status, done.out) == (0, "well\n"), (done.status, done.out, done.err)
    assert seen.fast > 0 if fast else seen.fast == 0, seen
    assert fast or "not enough memory" in done.err, done.err


# Reads nothing of N connections until the last one, whose bytes it says back meanwhile, is over; then all of them, to the
# end, and tells each the digest. It sends SIZE bytes to each as well, which its peer reads after its own are sent.
HOARDS = """
import hashlib, selectors, socket, sys
N, SIZE = int(sys.argv[1]), int(sys.argv[2])
listener = socket.create_server(("10.77.0.2", 9001), backlog=512)
print("ready", flush=True)
socks = [listener.accept()[0] for _ in range(N)]
active = listener.accept()[0]
while data := active.recv(65536):
    active.sendall(data)
ready = selectors.DefaultSelector()
for number, sock in enumerate(socks):
    sock.setblocking(False)
    ready.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE, [number, hashlib.sha256(), SIZE, False])
while ready.get_map():
    for key, events in ready.select():
        sock, (number, digest, left, over) = key.fileobj, key.data
        if events & selectors.EVENT_WRITE and left:
            try:
                left -= sock.send(bytes([number]) * min(left, 65536))
            except BlockingIOError:
                pass
        if events & selectors.EVENT_READ and not over:
            data = sock.recv(65536)
            digest.update(data)
            over = not data
        key.data[2:] = left, over
        if over and not left:
            ready.unregister(sock)
            sock.setblocking(True)
            sock.sendall(digest.digest())
            sock.close()
        else:
            ready.modify(sock, (not over) * selectors.EVENT_READ | bool(left) * selectors.EVENT_WRITE, key.data)
print("through", flush=True)
"""


class Hoarded(threading.Thread):
    """One peer of HOARDS: sends @size bytes, of its own, and stops; then takes what comes."""

    def __init__(self, sock, number, size):
        super().__init__(daemon=True)
        self.sock, self.number, self.size, self.wrong, self.sent = sock, number, size, None, 0
        self.said = random.Random(number).randbytes(size)
        self.start()

    def run(self):
        try:
            while self.sent < self.size:
                self.sent += self.sock.send(self.said[self.sent:self.sent + 65536])
            self.sock.shutdown(socket.SHUT_WR)
            heard = b""
            while data := self.sock.recv(65536):
                heard += data
            assert heard == bytes([self.number]) * self.size + hashlib.sha256(self.said).digest(), len(heard)
        except (OSError, AssertionError) as error:
            self.wrong = error


N_HOARDED, HOARDED = 64, 1 << 18


def hoard(pair, running):
    """So many peers of HOARDS, and one that is served meanwhile; the program's counters then."""
    def to_it():
        with pair.a.inside():
            return socket.create_connection((net.B4, 9001), timeout=4 * proc.GUARD)

    peers = [Hoarded(to_it(), number, HOARDED) for number in range(N_HOARDED)]
    with to_it() as active:
        for n in range(2000):
            active.sendall(b"%09d" % n)
            assert active.recv(9, socket.MSG_WAITALL) == b"%09d" % n
        met = proc.until(lambda: fsock.counters(running.pid)["drop_tcp_no_memory"] > 0)
        counted = fsock.counters(running.pid)
    assert met, counted
    for peer in peers:
        peer.join(4 * proc.GUARD)
    assert not any(peer.is_alive() or peer.wrong for peer in peers), [peer.wrong for peer in peers]
    done = running.finish()
    assert (done.status, done.out) == (0, "ready\nthrough\n"), done
    return counted


def test_streams_meet_the_limit_of_payload(pair):
    """Unread ones leave room to an active one; nobody hears of it by an error; every byte comes both ways in the end."""
    argv = fsock.run([PYTHON, "-c", HOARDS, N_HOARDED, HOARDED], payload_max="1M", **LATENCY)
    with pair.b.popen(argv, env=fsock.CLEAN) as running:
        assert running.wait_for("ready"), running.err
        counted = hoard(pair, running)
    assert counted["tcp_opened_passive"] == N_HOARDED + 1 and counted["copied_out"] > 0, counted


def test_streams_meet_the_limit_of_the_group(pair, memory_group):
    """
    The same where it is the control group's, set while the program runs: nobody is killed, since what the pools hold and
    did not write to yet is counted; the rest is for the program itself.
    """
    group, file = memory_group
    usage = group / ("memory.usage_in_bytes" if "limit" in file.name else "memory.current")

    def join():
        (group / "cgroup.procs").write_text(str(os.getpid()))

    argv = fsock.run([PYTHON, "-c", HOARDS, N_HOARDED, HOARDED], **LATENCY)
    argv = ["nsenter", f"--net=/run/netns/{pair.b.name}", *map(str, argv)]
    with proc.Process(argv, env=fsock.CLEAN, preexec=join) as running:
        assert running.wait_for("ready"), running.err
        file.write_text(str(int(usage.read_text()) + (4 << 20)))
        counted = hoard(pair, running)
    assert counted["tcp_opened_passive"] == N_HOARDED + 1 and counted["copied_out"] > 0, counted


GREEDY = """
import socket
sock = socket.create_connection(("10.77.0.2", 9001), timeout=20)
for i in range(100):
    sock.send(b"%04d" % i)
    assert sock.recv(4) == b"%04d" % i
print("takes", flush=True)
taken = []
while True:
    taken.append(b"x" * (1 << 20))
"""


def test_pitfall_32_killed_for_want_of_memory(pair, memory_group):
    """Its peer is reset at the next segment, as by any that was killed; who comes next has the fast path."""
    group, file = memory_group
    file.write_text(str(128 << 20))

    def join():
        (group / "cgroup.procs").write_text(str(os.getpid()))

    argv = ["nsenter", f"--net=/run/netns/{pair.a.name}", *map(str, fsock.run([PYTHON, "-c", GREEDY], **LATENCY))]
    with pair.b.inside():
        listener = socket.create_server((net.B4, 9001))
    with listener, proc.Process(argv, env=fsock.CLEAN, preexec=join) as client:
        peer = listener.accept()[0]
        for _ in range(100):
            peer.sendall(peer.recv(4))
        assert client.wait_for("takes"), client.err
        assert client.finish().status == -signal.SIGKILL, client.err
        peer.settimeout(proc.GUARD)
        with peer, pytest.raises((ConnectionResetError, BrokenPipeError)):
            while True:
                peer.sendall(b"more")
                peer.recv(4)
    with echo_server(pair.b):
        done, seen = ask(pair)
    assert done.status == 0 and seen.all_fast(), (seen, done.err)


# --- sharing ----------------------------------------------------------------------------------

def test_two_programs_on_one_interface(pair):
    """Both work; the one without the fast path knows why."""
    with echo_server(pair.b, port=9000) as first, echo_server(pair.b, port=9001) as second:
        done, _ = ask(pair, port=9000)
        assert done.status == 0, done.err
        done, _ = ask(pair, port=9001)
        assert done.status == 0, done.err
        assert fsock.counts(first.pid).fast > 0
        assert "interface_busy" in why_text(fsock.stat(second.pid)), fsock.stat(second.pid)


def test_second_program_takes_over_when_the_first_ends(pair):
    with echo_server(pair.b, port=9000) as first:
        ask(pair, port=9000)
        first.stop(number=signal.SIGTERM)
    with echo_server(pair.b, port=9001):
        done, seen = ask(pair, port=9001)
        assert done.status == 0, done.err
        assert seen.all_fast(6000), seen


MANY_SOCKETS = """
import select, socket, sys
idle = []
for port in range(20000, 21000):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((sys.argv[1], port))
    idle.append(sock)
"""

SERVE = """
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[1], 9000))
print("ready", flush=True)
while True:
    data, peer = sock.recvfrom(65536)
    sock.sendto(data, peer)
"""

FILLED = 20 * 1000
FILL = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for turn in range(20):
    for port in range(20000, 21000):
        sock.sendto(b"unread" * 20, (sys.argv[1], port))
"""

ROUNDS = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(20)
sock.connect((sys.argv[1], 9000))
for turn in range(15000):
    sock.send(b"x" * 64)
    sock.recv(100)
"""


def _rounds(pair):
    done = pair.a.run(fsock.run([PYTHON, "-c", ROUNDS, net.B4], **LATENCY), env=fsock.CLEAN,
                      cpu=proc.cpus()[0], timeout=60)
    assert done.status == 0, done.err


def test_hazard_05_a_thousand_unread_sockets_do_not_starve_an_active_one(pair):
    """Full queues of a thousand sockets beside one that works: it works on, by the fast path, and
    without a copy of its own datagrams; the others keep what came for them."""
    with pair.b.popen(fsock.run([PYTHON, "-c", MANY_SOCKETS + SERVE, net.B4], **LATENCY),
                      env=fsock.CLEAN, cpu=proc.cpus()[1]) as server:
        assert server.wait_for("ready"), server.err
        fill = pair.a.run(fsock.run([PYTHON, "-c", FILL, net.B4], **LATENCY),
                          env=fsock.CLEAN)
        assert fill.status == 0, fill.err
        before = fsock.counters(server.pid)
        _rounds(pair)
        seen = fsock.counts(server.pid)
        # Figures of sockets are published once a second.
        lost = pair.dropped()
        # One sum in 65536 looks as if a device had still to complete it: the kernel's sockets have that one.
        lost += fsock.counters(server.pid)["steer_passed_partial"]
        assert proc.until(lambda: queued(server.pid) + fsock.drops(server.pid) + lost >= FILLED, 60), \
            (queued(server.pid), fsock.drops(server.pid), lost)
        after = fsock.counters(server.pid)
    assert seen.all_fast(30000), seen
    assert after["copied_out"] - before["copied_out"] < 1000, "the active socket's datagrams were copied"
    assert after["drop_udp_no_memory"] == 0, after


def queued(pid):
    """Datagrams that wait on the sockets of @pid."""
    return sum(sock.get("queued_frames", 0) for sock in fsock.sockets(fsock.stat(pid)))


def test_hazard_04_pinned_memory_is_fixed(pair):
    """The frame pool keeps its size under a thousand full queues: what is queued is copied out of it."""
    with pair.b.popen(fsock.run([PYTHON, "-c", MANY_SOCKETS + SERVE, net.B4], **LATENCY), env=fsock.CLEAN,
                      cpu=proc.cpus()[1]) as server:
        assert server.wait_for("ready"), server.err
        before = frames(server.pid)
        fill = pair.a.run(fsock.run([PYTHON, "-c", FILL, net.B4], **LATENCY), env=fsock.CLEAN)
        assert fill.status == 0, fill.err
        done, _ = ask(pair)
        assert done.status == 0, done.err
        after = frames(server.pid)
    assert before and [total for total, _ in before] == [total for total, _ in after]
    assert all(total * 2048 <= 16 << 20 for total, _ in after), after
    assert all(free > 0 for _, free in after), after


def frames(pid):
    """(frames, free frames) of each port of @pid."""
    return [(port["frames_total"], port["frames_free"])
            for stack in fsock.stat(pid)["stacks"] for port in stack["ports"]]


# --- policy -----------------------------------------------------------------------------------

def drop(side, port):
    """Have the host of @side drop what comes to @port."""
    done = side.run(["nft", "table inet fst {\nchain input {\ntype filter hook input priority 0\n"
                            f"udp dport {port} drop\n}}\n}}"])
    assert done.status == 0, done.err


def test_hazard_10_an_nft_drop_rule_holds(pair):
    """A rule that drops the server's port: nothing is answered, and the reason is policy."""
    drop(pair.b, 9000)
    with echo_server(pair.b) as server:
        done = pair.a.run(["socat", "-t", "0.5", "-", f"UDP4:{net.B4}:9000"], stdin=_text("x\n"))
        assert done.out == "", "the datagram went around the rule"
        assert "policy" in why_text(fsock.stat(server.pid)), fsock.stat(server.pid)


def test_hazard_10_policy_that_comes_later_holds(pair):
    """A rule added while the socket is on the fast path takes effect."""
    with echo_server(pair.b) as server:
        done, seen = ask(pair)
        assert done.status == 0 and seen.fast > 0
        drop(pair.b, 9000)
        time.sleep(1)
        pair.a.run(["socat", "-t", "0.3", "-", f"UDP4:{net.B4}:9000"], stdin=_text("x\n"))
        done = pair.a.run(["socat", "-t", "0.5", "-", f"UDP4:{net.B4}:9000"], stdin=_text("x\n"))
        assert done.out == "", "the datagram went around the rule"
        # Who sleeps says so when it wakes: the datagrams went to the kernel, which dropped them.
        pair.b.run(["ip", "link", "set", "fst0", "alias", "woken"])
        assert proc.until(lambda: "policy" in why_text(fsock.stat(server.pid))), fsock.stat(server.pid)


# Calls for long enough that the host is looked at several times.
WATCHER = """
import select, socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[1], 9000))
watched = select.epoll()
watched.register(sock, select.EPOLLIN)
print("ready", flush=True)
sys.stdin.readline()
until = time.monotonic() + 3.5
while time.monotonic() < until:
    watched.poll(0.001)
"""


def test_hazard_10_policy_that_comes_later_is_told_once(pair):
    argv = fsock.run([PYTHON, "-c", WATCHER, net.B4], **LATENCY)
    with pair.b.popen(argv, env=fsock.CLEAN, stdin=subprocess.PIPE) as watcher:
        assert watcher.wait_for("ready", proc.GUARD), watcher.err
        drop(pair.b, 9000)
        watcher.child.stdin.close()
        done = watcher.finish(proc.GUARD)
    assert done.status == 0 and done.err.count("host policy now applies") == 1, done.err


def test_hazard_10_policy_can_be_ignored_on_request(pair):
    drop(pair.b, 7)
    with echo_server(pair.b, options={**LATENCY, "policy": "ignore"}):
        done, seen = ask(pair)
    assert done.status == 0 and seen.all_fast(6000), (done.err, seen)


def test_hazard_11_doctor_tells_the_cost_to_bystanders(pair):
    said = pair.a.run([fsock.tool(), "doctor"], env=fsock.CLEAN).out
    assert re.search(rf"^{net.LINK} .* generic .* 0 to 15 %$", said, re.M), said
    assert re.search(r"generic mode; costs other traffic of the interface up to some 15 % of its requests, bulk\s+"
                     r"streams\s+nothing, while\s+attached", said), said


def test_hazard_11_nothing_attaches_without_a_reason(pair):
    """Loading the library attaches nothing; a program without Internet sockets leaves no trace."""
    with pair.a.popen(fsock.run(["sleep", "3"], **LATENCY), env=fsock.CLEAN):
        time.sleep(0.5)
        assert not xdp_attached(pair.a)


# --- short programs ---------------------------------------------------------------------------

def system_calls(argv, tmp_path):
    """How many system calls a command makes, its children included; how long they take is for bench/run start."""
    trace = tmp_path / "calls"
    done = subprocess.run(["strace", "-f", "-qq", "-o", trace, *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, len(trace.read_text().splitlines())


def test_hazard_22_a_short_client_is_hardly_slower(pair, tmp_path):
    """`fsock run -- dig` makes some 300 calls more, and asks of each descriptor whether it is its epoll set's."""
    server = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null",
              "--pid-file=", "--user=root", f"--listen-address={net.B4}", "--bind-interfaces",
              "--address=/test.example/192.0.2.7"]
    dig = ["dig", "+short", "+tries=1", "+time=20", f"@{net.B4}", "test.example"]
    with pair.b.popen(server):
        assert proc.until(lambda: ":53 " in pair.b.run(["ss", "-Hlun"]).out)
        said, plain = system_calls(pair.a.argv(dig), tmp_path)
        also, ours = system_calls(pair.a.argv(fsock.run(dig, bypass="none")), tmp_path)
    assert said == also == "192.0.2.7\n"
    assert plain < ours <= plain + 1024 + 500, (plain, ours)


def test_hazard_22_children_of_a_shell_leave_the_attachment_to_others(pair):
    """Short children that send a datagram each do not take the only attachment."""
    script = f"for i in 1 2 3; do echo x | socat -t 0 - UDP4:{net.B4}:9; done; sleep 2"
    with pair.a.popen(fsock.run(["sh", "-c", script]), env=fsock.CLEAN):
        time.sleep(1)
        assert not xdp_attached(pair.a)
        with echo_server(pair.b):
            done, seen = ask(pair)
    assert done.status == 0 and seen.all_fast(6000), (done.err, seen)


def test_hazard_23_the_preload_pulls_in_libc_alone(program):
    library = fsock.build_dir() / "src" / "preload" / "libfsock-preload.so"
    out = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout
    needed = re.findall(r"NEEDED.*\[(.+)\]", out)
    assert set(needed) <= {"libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}, needed


def test_hazard_23_a_program_without_sockets_starts_as_fast(tmp_path):
    """The preload is read, mapped and asks nothing: nine calls for what ld.so does."""
    library = fsock.build_dir() / "src" / "preload" / "libfsock-preload.so"
    _, plain = system_calls(["/usr/bin/env", "UNUSED=1", "/bin/true"], tmp_path)
    _, ours = system_calls(["/usr/bin/env", f"LD_PRELOAD={library}", "/bin/true"], tmp_path)
    assert plain < ours <= plain + 12, (plain, ours)


def test_hazard_26_no_cookie_is_asked_on_the_data_path(pair):
    """SO_COOKIE costs 155 ns: asked when a socket is made, not for each datagram."""
    if not os.path.exists("/usr/bin/strace"):
        pytest.skip("strace is not installed")
    with echo_server(pair.b):
        trace = pair.a.run(["strace", "-f", "-e", "trace=getsockopt",
                            *fsock.run([PYTHON, PROGRAMS / "echo_client.py", "socket", net.B4, 9000, 500],
                                       **LATENCY)], env=fsock.CLEAN)
    assert trace.status == 0, trace.err[-500:]
    assert trace.err.count("SO_COOKIE") < 50, trace.err.count("SO_COOKIE")


THREADS_AND_CAPS = """
import os, socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(20)
sock.connect((sys.argv[1], 9000))
for i in range(100):
    sock.send(b"x")
    sock.recv(10)
time.sleep(0.3)
me = str(os.getpid())
for task in os.listdir("/proc/self/task"):
    if task != me:
        for line in open(f"/proc/self/task/{task}/status"):
            if line.startswith("CapEff"):
                print(line.split()[1], flush=True)
"""


def test_hazard_27_helper_threads_have_no_capabilities(pair):
    with echo_server(pair.b):
        done = pair.a.run(fsock.run([PYTHON, "-c", THREADS_AND_CAPS, net.B4]), env=fsock.CLEAN)
    assert done.status == 0, done.err
    assert all(int(caps, 16) == 0 for caps in done.out.split()), done.out


UNSHARE = """
import ctypes, os, socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(20)
sock.connect((sys.argv[1], 9000))
for i in range(100):
    sock.send(b"x")
    sock.recv(10)
libc = ctypes.CDLL(None, use_errno=True)
print("userns", libc.unshare(0x10000000), flush=True)
"""


def test_hazard_27_a_new_user_namespace_can_be_made(pair):
    """unshare(CLONE_NEWUSER) fails in a process with threads: the helper must be gone by then."""
    with echo_server(pair.b):
        plain = pair.a.run([PYTHON, "-c", UNSHARE, net.B4])
        ours = pair.a.run(fsock.run([PYTHON, "-c", UNSHARE, net.B4]), env=fsock.CLEAN)
    assert ours.out == plain.out, ours.err


# --- what the harness itself promises ---------------------------------------------------------

SLEEPER = """
import sys, time
sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
from lab import net
with net.Pair() as pair:
    pair.a.popen(["sleep", "600"])
    print(pair.a.name, flush=True)
    time.sleep(600)
"""


@pytest.mark.alone
def test_leftovers_of_a_killed_run_are_removed():
    scripts = str(pathlib.Path(fsock.ROOT) / "scripts")
    with proc.Process([PYTHON, "-c", SLEEPER, scripts]) as run:
        assert run.wait_for("fst-"), run.err
        name = run.out.strip()
        run.send(signal.SIGKILL)
        run.child.wait()
    assert name in state.namespaces()
    state.sweep()
    assert name not in state.namespaces()
    assert not [d for d in state.STATE.iterdir() if d.name.startswith(f"{run.pid}-")]


SETS = """
import select, socket
socks, sets = [], []
for _ in range(4):
    socks.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    socks[-1].bind(("", 0))
    sets.append(select.epoll())
    sets[-1].register(socks[-1], select.EPOLLIN)
"""


def test_a_set_is_compared_with_open_descriptors_only(pair, tmp_path):
    """With each that may be a duplicate of it, not with 1,024 numbers."""
    if not os.path.exists("/usr/bin/strace"):
        pytest.skip("strace is not installed")
    log = tmp_path / "calls"
    done = pair.a.run(["strace", "-f", "-qq", "-e", "trace=kcmp", "-o", log,
                       *fsock.run([PYTHON, "-c", SETS], **LATENCY)], env=fsock.CLEAN)
    assert done.status == 0, done.err
    calls = log.read_text().count("kcmp(")
    assert 0 < calls < 100, calls
