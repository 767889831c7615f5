# SPDX-License-Identifier: BSD-2-Clause
"""
Several stacks in one process (option stacks): an interface's queues are divided between them, connections are served
where they came, listeners and sets of both halves wake for either, and what comes to another stack's queue is passed
to its owner. Each test says by the counters of both stacks that both had a part. How every call behaves on a connection
of the second stack: column S of test_api_stream.
"""
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import time

import pytest

from ends import MIB, body, digest_of
from ends import tmp_path  # noqa: F401 (a fixture)
from lab import fsock, net, proc
from test_faults import PROGRAMS, PYTHON
from test_tcp_faults import GUARD, PORT
from test_tcp_workers import ask, workers
from test_web_programs import HAPROXY
from test_xdp import inside

QUEUES = 4
STACKS = 2
HOWS = ("shared", "handed", "poll", "recv")


@pytest.fixture
def pair():
    with net.Pair(queues=(QUEUES, QUEUES)) as made:
        made.meet()
        yield made


@contextlib.contextmanager
def server(pair, argv, **options):
    options = {"stacks": STACKS, "xdp_mode": "native", "profile": "latency", **options}
    with pair.b.popen(fsock.run([PYTHON, PROGRAMS / argv[0], *argv[1:]], **options), env=fsock.CLEAN) as running:
        assert running.wait_for("ready", GUARD), running.out + running.err
        yield running


def threads(pair, how, n=3, **options):
    return server(pair, ["threads.py", net.B4, PORT, n, how], **options)


def connect(pair, queue=None):
    if queue is not None:
        pair.a.send_by(queue)
    with inside(pair.a):
        return socket.create_connection((net.B4, PORT), timeout=GUARD)


def say(sock, text):
    sock.sendall(text)
    got = b""
    while len(got) < len(text):
        more = sock.recv(65536)
        assert more, "the end"
        got += more
    assert got == text


def stacks(running):
    """The statistics of each stack of the process, home's first."""
    found = fsock.stat(running.pid)
    assert found, "no stack"
    return sorted(found["stacks"], key=lambda one: one["id"])


def counted(running, name):
    return [one["counters"].get(name, 0) for one in stacks(running)]


def served(running):
    """Connections of each stack by now, accelerated all of them."""
    found = []
    for one in stacks(running):
        here = [sock for sock in one["sockets"] if sock["remote"]]
        assert all(sock["accelerated"] for sock in here), here
        found.append(len(here))
    return found


def ticks(pid):
    """Of processor time that it used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.parametrize("how", HOWS)
def test_connections_are_served_where_they_came(pair, how):
    with threads(pair, how) as running:
        socks = [connect(pair, number % QUEUES) for number in range(2 * QUEUES)]
        for turn in range(20):
            for number, sock in enumerate(socks):
                pair.a.send_by(number % QUEUES) if turn == 0 else None
                say(sock, b"%d %d" % (turn, number))
        assert served(running) == [QUEUES, QUEUES]
        assert [one["ports"][0]["queues"] for one in stacks(running)] == [QUEUES // 2, QUEUES // 2]
        assert "error" not in running.out


@pytest.mark.parametrize("how", ("shared", "handed"))
def test_events_come_once(pair, how):
    """An answer names a connection once, whichever stack has it: a server that then waits in recv() would hang."""
    with threads(pair, how, profile="default") as running:
        socks = [connect(pair, queue) for queue in range(QUEUES)]
        for turn in range(1500):
            for number, sock in enumerate(socks):
                say(sock, b"%d %d" % (turn, number))
        assert served(running) == [QUEUES // 2, QUEUES // 2]


# Waits for two sets in turns, with room for one event; either has a connection of each stack, and nothing is ever read.
IN_TURNS = """
import collections, select, socket, sys
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
socks = [listener.accept()[0] for _ in range(4)]
for sock in socks:
    sock.recv(1, socket.MSG_PEEK)
sets = [select.epoll(), select.epoll()]
for number, sock in enumerate(socks):
    sets[number // 2].register(sock, select.EPOLLIN)
seen = [collections.Counter(), collections.Counter()]
for turn in range(200):
    for members, found in zip(sets, seen):
        found.update(fd for fd, _ in members.poll(20, 1))
print(*(found[sock.fileno()] for found, sock in zip([seen[0]] * 2 + [seen[1]] * 2, socks)), "times", flush=True)
sys.stdin.read()
"""


def test_sets_that_are_waited_for_in_turns_hear_of_both_halves(pair):
    options = {"stacks": STACKS, "xdp_mode": "native", "profile": "latency"}
    argv = fsock.run([PYTHON, "-c", IN_TURNS, net.B4, PORT], **options)
    with pair.b.popen(argv, env=fsock.CLEAN, stdin=subprocess.PIPE) as running:
        assert running.wait_for("ready", GUARD), running.err
        socks = [connect(pair, queue) for queue in (0, QUEUES - 1, 0, QUEUES - 1)]
        for sock in socks:
            sock.sendall(b"x")
        assert running.wait_for("times", GUARD), running.out + running.err
        assert served(running) == [2, 2]
        times = [int(word) for word in running.out.splitlines()[-1].split()[:-1]]
        assert min(times) >= 80 and sum(times) == 400, times
        running.child.stdin.close()


def test_segments_that_wander_find_their_connection(pair):
    """A sender's queue may change at any time: home's connections hear by the other's queue, and the other way round."""
    with threads(pair, "shared") as running:
        socks = [connect(pair, queue) for queue in range(QUEUES)]
        for sock in socks:
            say(sock, b"one")
        before = counted(running, "frames_passed")
        for turn in range(2 * QUEUES):
            pair.a.send_by(turn % QUEUES)
            for number, sock in enumerate(socks):
                say(sock, bytes([number]) * 50000)  # super-frames as well
        after = counted(running, "frames_passed")
        assert all(now > then for now, then in zip(after, before)), (before, after)
        assert counted(running, "drop_tcp_no_socket") == [0, 0]
        assert served(running) == [QUEUES // 2, QUEUES // 2]


def test_end_of_a_connection_that_wandered(pair):
    """FIN, TIME-WAIT and the answer to a stranger's segment are right whichever queue they come by."""
    with threads(pair, "shared") as running:
        for first in (0, QUEUES - 1):
            sock = connect(pair, first)
            say(sock, b"x")
            pair.a.send_by(QUEUES - 1 - first)
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(10) == b""
            sock.close()
        assert proc.until(lambda: not any(sock["remote"] and sock["fd"] >= 0 for one in stacks(running)
                                          for sock in one["sockets"]))
        with inside(pair.a), socket.socket() as nobody:
            nobody.settimeout(GUARD)
            with pytest.raises(ConnectionRefusedError):
                nobody.connect((net.B4, PORT + 1))


@pytest.mark.parametrize("how", ("epoll", "poll", "recv"))
def test_workers_have_their_share(pair, how):
    """A listener of several processes, each with both stacks: all wake, and connections of either are served."""
    with server(pair, ["workers.py", net.B4, PORT, 3, how]) as running:
        socks = [connect(pair, number % QUEUES) for number in range(24)]
        by = [int(ask(sock)) for sock in socks]
        assert len(set(by)) == 3, by
        for turn in range(5):
            for sock, worker in zip(socks, by):
                assert int(ask(sock)) == worker, turn
        assert served(running)[1] >= 6


def test_child_goes_on_alone(pair):
    """A parent ends whose children serve connections of both stacks: their ports and their steering go on."""
    with server(pair, ["workers.py", net.B4, PORT, 2, "epoll"]) as running:
        socks = [connect(pair, number % QUEUES) for number in range(8)]
        by = {int(ask(sock)) for sock in socks}
        os.kill(running.pid, signal.SIGKILL)
        try:
            for number, sock in enumerate(socks + [connect(pair, queue) for queue in range(QUEUES)]):
                assert int(ask(sock)) in by or number >= 8
        finally:
            for worker in by:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)


def test_connections_of_both_move_to_the_kernel(pair):
    """On request, one of each: the kernel goes on with them, the others stay."""
    with threads(pair, "recv") as running:
        socks = [connect(pair, queue) for queue in range(QUEUES)]
        for sock in socks:
            say(sock, b"fast")
        for one in stacks(running):
            fd = [sock["fd"] for sock in one["sockets"] if sock["remote"]][0]
            done = pair.b.run([fsock.tool(), "handover", running.pid, fd])
            assert done.status == 0, done.err
        for turn in range(3):
            for number, sock in enumerate(socks):
                pair.a.send_by((number + turn) % QUEUES)
                say(sock, b"%d" % turn * 1000)
        left = [[sock["reason"] for sock in one["sockets"] if sock["remote"] and not sock["accelerated"]]
                for one in stacks(running)]
        assert left == [["moved"], ["moved"]]


def test_listener_that_closes_leaves_its_connections(pair):
    """Of both stacks: they go on, new ones are refused."""
    with server(pair, ["closes.py", net.B4, PORT, QUEUES]) as running:
        socks = [connect(pair, queue) for queue in range(QUEUES)]
        assert running.wait_for("closed", GUARD)
        for turn in range(3):
            for number, sock in enumerate(socks):
                pair.a.send_by((number + turn) % QUEUES)
                say(sock, b"still here")
        for queue in range(QUEUES):
            with pytest.raises(ConnectionRefusedError):
                connect(pair, queue)
        assert served(running) == [QUEUES // 2, QUEUES // 2]


def test_a_program_that_connects_is_answered_by_any_queue(pair):
    """Connections that the process begins are home's, and so are its datagrams, whatever queue they come by."""
    client = ("import socket,sys\n"
              "s=socket.create_connection(('%s',%d)); u=socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
              "u.bind(('%s',%d)); print('ready', flush=True)\n"
              "while True:\n"
              "    d=s.recv(100)\n"
              "    if not d: break\n"
              "    s.sendall(d); m,a=u.recvfrom(100); u.sendto(m,a)\n" % (net.A4, PORT, net.B4, PORT + 1))
    assert pair.a.run(["ethtool", "-K", net.LINK, "tx", "off"]).status == 0  # hazard 3
    with inside(pair.a):
        listener = socket.create_server((net.A4, PORT))
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.settimeout(GUARD)
    argv = fsock.run([PYTHON, "-c", client], stacks=STACKS, xdp_mode="native", profile="latency")
    with listener, datagrams, pair.b.popen(argv, env=fsock.CLEAN) as running:
        sock = listener.accept()[0]
        assert running.wait_for("ready", GUARD), running.err
        for queue in list(range(QUEUES)) * 3:
            pair.a.send_by(queue)
            sock.sendall(b"%d" % queue)
            assert sock.recv(100) == b"%d" % queue
            datagrams.sendto(b"%d" % queue, (net.B4, PORT + 1))
            assert datagrams.recv(100) == b"%d" % queue
        assert counted(running, "frames_passed")[1] >= 6
        assert [len(one["sockets"]) for one in stacks(running)] == [2, 0]
        sock.close()


def test_interface_that_goes_and_returns(pair):
    with threads(pair, "shared") as running:
        socks = [connect(pair, queue) for queue in range(QUEUES)]
        for sock in socks:
            say(sock, b"before")
        for command in ("down", "up"):
            assert pair.b.run(["ip", "link", "set", net.LINK, command]).status == 0
        pair.meet()
        for queue, sock in enumerate(socks):
            pair.a.send_by(queue)
            say(sock, b"after")
        say(connect(pair, QUEUES - 1), b"new")


@pytest.mark.parametrize("how", ("recv", "shared"))
def test_policy_that_comes_later(pair, how):
    """
    Threads wait for connections of the second stack when a rule appears: whoever looks after it moves all, home's
    listener and its twins as well, and nothing is reset.
    """
    with threads(pair, how) as running:
        socks = [connect(pair, queue) for queue in range(QUEUES)]
        for sock in socks:
            say(sock, b"fast")
        assert pair.b.run(["nft", "table inet fst {\nchain input {\ntype filter hook input priority 0\n"
                           "udp dport 9 drop\n}\n}"]).status == 0

        def is_kernels():
            for number, sock in enumerate(socks):
                say(sock, b"%d" % number)
            return all(not sock["accelerated"] for one in stacks(running) for sock in one["sockets"])

        assert proc.until(is_kernels), fsock.stat(running.pid)
        for queue in range(QUEUES):
            say(connect(pair, queue), b"new")
        assert {sock["reason"] for one in stacks(running) for sock in one["sockets"]} <= {"policy", "kernel_arrival"}
        assert counted(running, "lock_recovered") == [0, 0]


@pytest.mark.parametrize("queue", [0, QUEUES - 1], ids=["home's", "the sister's"])
def test_a_worker_that_is_killed_as_it_sends(pair, queue):
    """In the middle of a super-frame, with the lock of one stack or of both: nobody else's connection hears of it."""
    cpu = proc.cpus()[0]
    with workers(pair, "epoll", cpu=cpu, stacks=STACKS, xdp_mode="native") as running:
        kept = [(connect(pair, number % QUEUES), number % QUEUES) for number in range(4 * QUEUES)]
        kept = [(sock, int(ask(sock)), by) for sock, by in kept]
        assert min(served(running)) > 0
        pair.a.send_by(queue)
        killed = pair.a.run([PYTHON, PROGRAMS / "kills_who_answers.py", net.B4, PORT, cpu, 50000], env=fsock.CLEAN)
        assert killed.status == 0, killed.err
        for turn in range(2):
            for sock, _, by in [one for one in kept if one[1] != int(killed.out)]:
                pair.a.send_by(by)
                say(sock, b"x" * (1 + 50000 * turn) + b"\n")
        for number in range(2 * QUEUES):
            assert int(ask(connect(pair, number % QUEUES))) != int(killed.out)
        assert sum(counted(running, "lock_inherited")) > 0 and counted(running, "lock_recovered") == [0, 0]
        assert "error" not in running.out


@contextlib.contextmanager
def unmodified(pair, argv, port):
    """A server of several threads under fsock; both stacks carried of its connections, and the kernel none."""
    options = {"stacks": STACKS, "xdp_mode": "native", "profile": "latency"}
    with pair.b.popen(fsock.run(argv, **options), cpu=proc.cpus()[1], env=fsock.CLEAN) as running:
        assert proc.until(lambda: f":{port} " in pair.b.run(["ss", "-Hltn"]).out or not running.alive(), 20), running.err
        yield running
        assert min(counted(running, "tcp_segments_in")) > 0, counted(running, "tcp_segments_in")
        kernel = sum(sock["rx_kernel"] + sock["tx_kernel"] for one in stacks(running) for sock in one["sockets"])
        assert kernel == 0, stacks(running)


def test_memcached(pair, tmp_path):
    """Four threads, each with its epoll set, over two stacks; every value is looked at."""
    want = body(tmp_path / "value", MIB - 1000)
    with unmodified(pair, ["memcached", "-u", "root", "-l", net.B4, "-t", 4], 11211):
        for words in (["memccp", tmp_path / "value"], ["memccat", f"--file={tmp_path}/got", "value"]):
            done = pair.a.run([words[0], f"--servers={net.B4}", *words[1:]])
            assert done.status == 0, done.err
        assert digest_of(tmp_path / "got") == want
        load = pair.a.run(["memcaslap", "-s", f"{net.B4}:11211", "-T", 2, "-c", 16, "-x", 10000, "-v", 1], timeout=120)
    assert load.status == 0, load.err
    for what in ("get_misses", "verify_misses", "verify_failed"):
        assert f"{what}: 0\n" in load.out, load.out


def test_haproxy(pair, tmp_path):
    """Two threads that accept, and connect to a server at the other end; by HTTP, and by bytes that they splice."""
    (tmp_path / "files").mkdir()
    want = body(tmp_path / "files" / "a", 4 * MIB)
    config = tmp_path / "config"
    config.write_text(HAPROXY.format(a=net.A4, b=net.B4))
    origin = [PYTHON, "-m", "http.server", "-p", "HTTP/1.1", "-b", net.A4, "-d", tmp_path / "files", "8081"]
    with pair.a.popen(origin) as running:
        assert proc.until(lambda: ":8081 " in pair.a.run(["ss", "-Hltn"]).out or not running.alive()), running.err
        with unmodified(pair, ["haproxy", "-f", config, "-db"], 8090):
            for port in (8080, 8090):
                got = [tmp_path / f"{port}-{n}" for n in range(8)]
                words = [word for path in got for word in ("-o", path, f"http://{net.B4}:{port}/a")]
                done = pair.a.run(["curl", "-sS", "-f", "--parallel", "--parallel-immediate", *words], timeout=120)
                assert done.status == 0, done.err
                assert [digest_of(path) for path in got] == [want] * len(got)


@pytest.mark.alone
def test_idle_server_costs_nothing(pair):
    with threads(pair, "shared", profile="default") as running:
        socks = [connect(pair, queue) for queue in range(QUEUES)]
        for sock in socks:
            say(sock, b"x")
        time.sleep(1.0)  # the helpers' looks become rare
        before = ticks(running.pid)
        time.sleep(2.0)
        assert ticks(running.pid) - before < os.sysconf("SC_CLK_TCK") // 5
        for sock in socks:
            say(sock, b"y")


def test_fewer_queues_than_stacks():
    """An interface of one queue is home's alone."""
    with net.Pair() as single, threads(single, "shared") as running:
        with inside(single.a), socket.create_connection((net.B4, PORT), timeout=GUARD) as sock:
            say(sock, b"x")
            assert served(running) == [1]
