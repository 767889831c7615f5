# SPDX-License-Identifier: BSD-2-Clause
"""
Servers of several processes that share a listener and a stack: all wake, all get their share, and what one of them does
while it has the stack's lock is no end without a word for the others. Tests named test_hazard_NN_ are rows of the
hazards table. Peers are kernel sockets of the test's own in pair.a; the server runs in pair.b.
"""
import collections
import contextlib
import os
import random
import re
import signal
import socket
import threading
import time

import pytest

from lab import fsock, net, proc
from test_tcp_faults import GUARD, PORT, PROGRAMS, PROVIDERS, PYTHON, Talk, Wire, connected
from test_tcp_faults import pair, whole  # noqa: F401 (fixtures)

WAYS = ("epoll", "poll", "recv")
N = 3


@contextlib.contextmanager
def workers(pair, how, n=N, cpu=None, **options):
    argv = [PYTHON, PROGRAMS / "workers.py", net.B4, PORT, n, how]
    with pair.b.popen(fsock.run(argv, **{"profile": "latency", **options}), env=fsock.CLEAN, cpu=cpu) as running:
        assert running.wait_for("ready", GUARD), running.out + running.err
        yield running


def ask(sock, line=b"who\n"):
    sock.sendall(line)
    data = b""
    while not data.endswith(b"\n"):
        more = sock.recv(100)
        assert more, "the end"
        data += more
    return data


def spread(pair, n=N, each=2):
    """So many connections of each of @n workers, by the number of its process; those too many are closed."""
    found = collections.defaultdict(list)
    for _ in range(300):
        sock = connected(pair.a, net.B4)
        mine = found[int(ask(sock))]
        mine.append(sock)
        if len(mine) > each:
            mine.pop().close()
        if len(found) == n and all(len(socks) == each for socks in found.values()):
            return dict(found)
    raise AssertionError({pid: len(socks) for pid, socks in found.items()})


def assert_fast(running, least):
    assert fsock.counters(running.pid)["tcp_segments_in"] >= least
    assert fsock.sum_counts(fsock.sockets(fsock.settled(running.pid))).kernel == 0


def status(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return file.read().rsplit(")", 1)[1].split()[0]


@pytest.mark.parametrize("how", WAYS)
def test_workers_one_of_which_is_killed_with_the_lock(pair, how):
    """The others' connections are reset, those too that nobody speaks on, and they serve new ones, by the kernel."""
    with contextlib.closing(Wire(pair.a)), workers(pair, how) as running:
        found = spread(pair)
        assert_fast(running, 20)
        victim, *others = found
        talks = [Talk(found[pid][0]) for pid in others]
        assert proc.until(lambda: all(talk.heard > 20 for talk in talks)), [talk.wrong for talk in talks]
        found[victim][0].sendall(b"kill\n")
        assert proc.until(lambda: not any(talk.is_alive() for talk in talks), GUARD), "nobody tells the peers"
        assert all(isinstance(talk.wrong, (ConnectionResetError, BrokenPipeError)) for talk in talks), [t.wrong for t in talks]
        errors = [f"error {pid} 104" for pid in others]
        assert proc.until(lambda: all(running.out.count(error) == 2 for error in errors), GUARD), running.out
        for pid in others:
            with pytest.raises(ConnectionResetError):
                ask(found[pid][1], b"x\n")
        again = {int(ask(connected(pair.a, net.B4))) for _ in range(20)}
        assert again and again <= set(others), again


class Rush(threading.Thread):
    """
    Asks its worker without a pause, and hears the very bytes back, until the connection or the test ends. Who only waits
    for an answer hears nothing of a connection that a broken stack had (docs/fidelity.md): it asks by keepalives.
    """

    def __init__(self, sock, seed):
        super().__init__(daemon=True)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
        self.sock, self.random, self.heard, self.wrong, self.ending = sock, random.Random(seed), 0, None, False
        self.pid = int(ask(sock))
        self.start()

    def run(self):
        try:
            while not self.ending:
                said = b"".join(b"%d\n" % self.random.getrandbits(256) for _ in range(self.random.randint(1, 40)))
                self.sock.sendall(said)
                data = b""
                while len(data) < len(said):
                    more = self.sock.recv(65536)
                    if not more:
                        raise EOFError
                    data += more
                assert data == said, (data, said)
                self.heard += 1
        except (OSError, AssertionError, EOFError) as error:
            self.wrong = error
        self.sock.close()

    def is_reset(self):
        return isinstance(self.wrong, (ConnectionResetError, BrokenPipeError))


def served_again(pair, besides):
    """A new connection is, by whom it may be. It may come in between and be reset itself."""
    def is_served():
        try:
            with connected(pair.a, net.B4) as sock:
                return int(ask(sock)) != besides
        except (ConnectionResetError, BrokenPipeError):
            return False
    return proc.until(is_served, GUARD)


def one_dies(pair, running, victim, rushes, moment):
    """Worker @victim is killed so many seconds from now; whether the stack broke by it."""
    time.sleep(moment)
    os.kill(victim, signal.SIGKILL)
    assert proc.until(lambda: not any(r.is_alive() for r in rushes if r.pid == victim), GUARD), "nobody tells the peers"
    # Of one that came by the shadow the kernel tells the end.
    ends = [rush.wrong for rush in rushes if rush.pid == victim]
    assert all(isinstance(end, (ConnectionResetError, BrokenPipeError, EOFError)) for end in ends), ends
    others = [rush for rush in rushes if rush.pid != victim]
    before = [rush.heard for rush in others]
    go_on = proc.until(lambda: all(not r.is_alive() or r.heard > n + 5 for r, n in zip(others, before)), GUARD)
    assert go_on, "one hangs"
    broken = fsock.counters(running.pid)["lock_recovered"] > 0
    assert all(rush.wrong is None or broken and rush.is_reset() for rush in others), (broken, [r.wrong for r in others])
    assert served_again(pair, victim), "a new one is not served"
    return broken


def die_one_after_another(pair, how, seed, most):
    """Of one server, until its stack is broken or there are too few. Deaths, those of them that broke it, inherited locks."""
    draw = random.Random(seed)
    with workers(pair, how, n=4, profile=draw.choice(["default", "latency"])) as running:
        rushes = [Rush(connected(pair.a, net.B4), seed + n) for n in range(10)]
        alive = sorted({rush.pid for rush in rushes})
        deaths, broken = 0, False
        while deaths < most and not broken and len(alive) > 1:
            victim = alive.pop(draw.randrange(len(alive)))
            broken = one_dies(pair, running, victim, [r for r in rushes if not r.wrong], draw.uniform(0, 0.1))
            deaths += 1
        for rush in rushes:
            rush.ending = True
        for rush in rushes:
            rush.join(GUARD)
            assert not rush.is_alive() and not isinstance(rush.wrong, (AssertionError, TimeoutError)), rush.wrong
        return deaths, broken, fsock.counters(running.pid)["lock_inherited"]


def test_workers_die_at_any_moment(pair, whole):
    """No byte is wrong; the others' connections go on, or are reset if the stack broke; new ones are served."""
    wanted, deaths, broken, inherited, turn = 1000 if whole else 25, 0, 0, 0, 0
    while deaths < wanted:
        died, broke, took = die_one_after_another(pair, WAYS[turn % len(WAYS)], turn, wanted - deaths)
        deaths, broken, inherited, turn = deaths + died, broken + broke, inherited + took, turn + 1
    print(f"{deaths} deaths of {turn} servers' workers: {broken} broke a stack, {inherited} left the lock to another")
    assert not whole or broken + inherited > 0, "none had the lock"


@pytest.mark.parametrize("how", WAYS)
def test_workers_one_of_which_is_killed_for_its_answer(pair, how):
    """In the call that sent it, with the lock, but with nothing half done: the others' connections go on."""
    cpu = proc.cpus()[0]
    with contextlib.closing(Wire(pair.a)) as wire, workers(pair, how, cpu=cpu) as running:
        found = spread(pair)
        killed = pair.a.run([PYTHON, PROGRAMS / "kills_who_answers.py", net.B4, PORT, cpu], env=fsock.CLEAN)
        assert killed.status == 0 and int(killed.out) in found, killed
        others = [pid for pid in found if pid != int(killed.out)]
        talks = [Talk(found[pid][0]) for pid in others]
        assert proc.until(lambda: all(talk.heard > 50 for talk in talks), GUARD), [talk.wrong for talk in talks]
        assert all(talk.end() > 50 for talk in talks) and wire.resets() == []
        assert {ask(found[pid][1], b"still\n") for pid in others} == {b"still\n"}
        seen = fsock.counters(running.pid)
        assert seen["lock_inherited"] == 1 and seen["lock_recovered"] == 0, seen
        assert_fast(running, 100)


def stop_one(running, found, talks):
    """It is, while it holds the lock; its number."""
    victim = next(iter(found))
    assert proc.until(lambda: all(talk.heard > 20 for talk in talks)), [talk.wrong for talk in talks]
    found[victim][1].sendall(b"stop\n")
    assert proc.until(lambda: status(victim) == "T")
    return victim


@pytest.mark.parametrize("how", WAYS)
def test_workers_one_of_which_is_stopped_with_the_lock_for_a_moment(pair, how):
    """Nothing is lost by it, whosever connection it is, nor for who connects meanwhile."""
    with contextlib.closing(Wire(pair.a)) as wire, workers(pair, how) as running:
        found = spread(pair)
        talks = [Talk(socks[0]) for socks in found.values()]
        victim = stop_one(running, found, talks)
        assert proc.until(lambda: fsock.counters(running.pid)["lock_stopped"] > 0)
        late = connected(pair.a, net.B4)
        late.sendall(b"who\n")
        os.kill(victim, signal.SIGCONT)
        assert int(late.recv(100)) in found
        assert ask(found[victim][1], b"") == b"stop\n"
        before = [talk.heard for talk in talks]
        assert proc.until(lambda: all(talk.heard > n + 50 for talk, n in zip(talks, before)), GUARD), [t.wrong for t in talks]
        assert all(talk.end() > 50 for talk in talks) and wire.resets() == []
        for socks in found.values():
            assert ask(socks[1], b"still\n") == b"still\n"
        assert fsock.counters(running.pid)["lock_recovered"] == 0


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("how", WAYS)
def test_workers_one_of_which_stays_stopped_with_the_lock(pair, whole, how, provider):
    """
    While it is stopped the others' connections are reset, also for who waits there and who is at the other end, and
    they serve new ones, by the kernel. When it goes on it finds its own reset, and serves new ones with them.
    """
    with contextlib.closing(Wire(pair.a)), workers(pair, how, provider=provider) as running:
        found = spread(pair)
        talks = [Talk(socks[0]) for socks in found.values()]
        victim = stop_one(running, found, talks)
        began = time.monotonic()
        others = [pid for pid in found if pid != victim]
        assert proc.until(lambda: not any(talk.is_alive() for talk in talks), GUARD), "nobody tells the peers"
        ends = [talk.wrong for talk in talks]
        assert all(isinstance(end, (ConnectionResetError, BrokenPipeError)) for end in ends), ends
        errors = [f"error {pid} 104" for pid in others]
        assert proc.until(lambda: all(running.out.count(error) == 2 for error in errors), GUARD), running.out
        for pid in others:
            with pytest.raises(ConnectionResetError):
                ask(found[pid][1], b"x\n")
        counted = fsock.counters(running.pid)
        assert counted["lock_stopped"] == counted["lock_recovered"] == 1, counted
        assert re.search(r"thread \d+ stays stopped", running.err), running.err
        while whole and time.monotonic() < began + 10:
            assert int(ask(connected(pair.a, net.B4))) in others
        again = {int(ask(connected(pair.a, net.B4))) for _ in range(20)}
        assert status(victim) == "T" and again and again <= set(others), again
        os.kill(victim, signal.SIGCONT)
        assert proc.until(lambda: running.out.count(f"error {victim} 104") == 2, GUARD), running.out
        with contextlib.ExitStack() as stack:
            served = proc.until(lambda: int(ask(stack.enter_context(connected(pair.a, net.B4)))) == victim, GUARD)
        assert served


@pytest.mark.parametrize("profile", ["default", "latency"])
def test_hazard_09_workers_whose_sets_were_made_after_fork_wake(pair, profile):
    """Whichever of them takes a segment from the ring, and whoever else sleeps."""
    with workers(pair, "epoll", profile=profile) as running:
        found = spread(pair)
        for turn in range(200):
            for pid, socks in found.items():
                assert int(ask(socks[turn % 2])) == pid
        assert_fast(running, 3 * 200)


def test_workers_get_a_share_each_of_a_thousand_connections(pair):
    with workers(pair, "epoll", n=4) as running:
        for _ in range(1000):
            with connected(pair.a, net.B4) as sock:
                ask(sock)
        assert proc.until(lambda: running.out.count("accepted") == 1000), running.out.count("accepted")
        counts = collections.Counter(re.findall(r"accepted (\d+)", running.out))
        assert len(counts) == 4 and min(counts.values()) >= 20, counts
        assert_fast(running, 3000)


# Children that do nothing, of a server with connections.
FORKS = """
import os, socket, sys
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
os.write(1, b"ready")
socks = [listener.accept()[0] for _ in range(20)]
for sock in socks:
    sock.sendall(sock.recv(4))
for _ in range(10):
    if (child := os.fork()) == 0:
        os._exit(0)
    print("child", child, flush=True)
    os.waitpid(child, 0)
for sock in socks:
    sock.sendall(sock.recv(4))
"""


def test_a_fork_costs_few_calls(pair, tmp_path):
    """However many connections there are; how long it takes is for bench/run fork."""
    log = tmp_path / "calls"
    argv = ["strace", "-f", "-qq", "-o", log, *fsock.run([PYTHON, "-c", FORKS, net.B4, PORT], profile="latency")]
    with contextlib.ExitStack() as stack, pair.b.popen(argv, env=fsock.CLEAN) as running:
        assert running.wait_for("ready", GUARD), running.err
        socks = [stack.enter_context(connected(pair.a, net.B4)) for _ in range(20)]
        for _ in range(2):
            for sock in socks:
                assert ask(sock) == b"who\n"
        done = running.finish(GUARD)
        assert done.status == 0, done.err
    lines = log.read_text().splitlines()
    for child in re.findall(r"child (\d+)", done.out):
        calls = [line for line in lines if line.startswith(child + " ") and "resumed>" not in line]
        assert 2 < len(calls) <= 40, calls
