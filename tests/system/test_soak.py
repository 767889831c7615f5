# SPDX-License-Identifier: BSD-2-Clause
"""
test_soak - nginx reads its configuration anew again and again, redis saves again and again, and connections come and go at
both, for as long as is asked: FSOCK_SOAK_SECONDS, half an hour in `./check --long soak`, which runs this alone.

Both are on fsock, at the two ends of one wire; who asks them is on the kernel's sockets beside the other one. Every
answer is compared. A third of the time goes by, then everybody is quiet and what the two hold is taken down; after the
rest of it they hold no more (holdings.py), and when they have ended every local port can be bound again.
"""
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import textwrap
import time

import pytest

from ends import body, tmp_path  # noqa: F401 (a fixture)
from holdings import grown, holdings, tree
from lab import fsock, net, nginx, proc

pytestmark = pytest.mark.whole
PROGRAMS = pathlib.Path(__file__).resolve().parent / "programs"
PYTHON = "/usr/bin/python3"
SECONDS = float(os.environ.get("FSOCK_SOAK_SECONDS", "9"))
LEAST = 3  # reloads and saves of a part, however slow the machine
WORKERS = 2
PORTS = 32768, 60999  # local ones, as the kernel has them
# Those in TIME-WAIT are as many early as late, also where all is over before the first of them is.
TIME_WAITS = 1000

SITE = """server {{
        listen {here}:8080;
        root {files};
        location /far/ {{ proxy_pass http://{there}:8080/; }}
    }}"""


@pytest.fixture
def pair(pair):
    pair.meet()
    for side in (pair.a, pair.b):
        done = side.run(["sysctl", "-qw", f"net.ipv4.tcp_max_tw_buckets={TIME_WAITS}",
                         "net.ipv4.ip_local_port_range=%d %d" % PORTS])
        assert done.status == 0, done.err
    return pair


def web_in(folder, here, there, files):
    folder.mkdir()
    return nginx.server(folder, SITE.format(here=here, there=there, files=files), f"worker_processes {WORKERS};")


@contextlib.contextmanager
def server(side, argv, port, fast=True):
    argv = fsock.run(argv, profile="latency") if fast else argv
    with side.popen(argv, env=fsock.CLEAN) as running:
        assert proc.until(lambda: f":{port} " in side.run(["ss", "-Hltn"]).out or not running.alive())
        assert running.alive(), running.out + running.err
        yield running
        done = running.stop(number=signal.SIGTERM)
        assert done.status == 0, done.err[-2000:]


class Asker:
    """churn.py on kernel sockets: how many connections it had, and that none went wrong."""

    def __init__(self, side, host, port, *ways):
        self.process = side.popen([PYTHON, PROGRAMS / "churn.py", host, port, *ways], stdin=subprocess.PIPE, env=fsock.CLEAN)

    def connections(self):
        lines = self.process.out.splitlines()
        return int(lines[-1].split()[0]) if lines else 0

    def goes_on(self, more):
        at = self.connections()
        assert proc.until(lambda: self.connections() >= at + more or not self.process.alive()), self.process.err
        assert self.process.alive(), self.process.err

    def end(self):
        self.process.child.stdin.close()
        done = self.process.finish()
        assert done.status == 0 and " 0 bad" in done.out, (done.out[-100:], done.err)
        return self.connections()


class Soak:
    """Both servers and who asks them."""

    def __init__(self, pair, web, store, cli):
        self.pair, self.web, self.store, self.cli = pair, web, store, cli
        self.reloads = self.saves = 0

    def ask(self, *words):
        done = self.pair.a.run(["redis-cli", "-s", self.cli, *words])
        assert done.status == 0, done.out + done.err
        return done.out

    def saving(self):
        said = self.ask("info", "persistence")
        assert "rdb_last_bgsave_status:ok" in said, said
        return "rdb_bgsave_in_progress:0" not in said

    def part(self, seconds):
        """Connections by the kinds: (those of nginx, those of redis)."""
        with contextlib.ExitStack() as stack:
            askers = [Asker(self.pair.a, net.B4, 8080, "close", "close", "keep", "keep", "proxied"),
                      Asker(self.pair.b, net.A4, 6379, "redis", "redis-once", "redis-once")]
            for asker in askers:
                stack.enter_context(asker.process)
            end, least = time.monotonic() + seconds, self.reloads + LEAST
            while time.monotonic() < end or self.reloads < least:
                assert "saving started" in self.ask("bgsave")
                self.web.send(signal.SIGHUP)
                for asker in askers:
                    asker.goes_on(60)
                assert proc.until(lambda: not self.saving())
                self.reloads, self.saves = self.reloads + 1, self.saves + 1
            return [asker.end() for asker in askers]

    def quiet(self):
        """What each holds once former workers have ended and all connections are closed."""
        assert proc.until(lambda: len(tree(self.web.pid)) == 1 + WORKERS and len(tree(self.store.pid)) == 1), \
            (tree(self.web.pid), tree(self.store.pid))
        for program in (self.web, self.store):
            assert proc.until(lambda: len(_open(program.pid)) == 1), fsock.stat(program.pid)
        return [holdings(program.pid) for program in (self.web, self.store)]


def _open(pid):
    return [sock for sock in fsock.sockets(fsock.stat(pid)) if sock["fd"] != -1]


def connected(side):
    """Local ports of the kernel's connections, those in TIME-WAIT too."""
    return {int(line.split()[3].rpartition(":")[2]) for line in side.run(["ss", "-Htna"]).out.splitlines()}


def held(side):
    """
    Local ports that nobody can listen at, and that no connection of the kernel's has: one that ended a while ago may, and
    may leave TIME-WAIT while we look.
    """
    found, taken = set(), connected(side)
    with side.inside():
        for port in range(PORTS[0], PORTS[1] + 1):
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    sock.bind(("0.0.0.0", port))
                except OSError:
                    found.add(port)
    return found - taken


@pytest.mark.alone
def test_soak(pair, tmp_path):
    (tmp_path / "files").mkdir()
    body(tmp_path / "files" / "file", 20000)
    (tmp_path / "store").mkdir()
    cli = tmp_path / "store" / "cli"
    redis = ["redis-server", "--bind", net.A4, "--protected-mode", "no", "--save", "", "--dir", tmp_path / "store",
             "--unixsocket", cli, "--enable-debug-command", "yes"]
    with server(pair.a, web_in(tmp_path / "origin", net.A4, net.B4, tmp_path / "files"), 8080, fast=False), \
         server(pair.b, web_in(tmp_path / "web", net.B4, net.A4, tmp_path / "files"), 8080) as web, \
         server(pair.a, redis, 6379) as store:
        soak = Soak(pair, web, store, cli)
        soak.ask("debug", "populate", "20000", "key", "100")
        soak.part(SECONDS / 3)
        early, before = soak.quiet(), [fsock.counters(program.pid) for program in (web, store)]
        asked = soak.part(SECONDS * 2 / 3)
        proc.until(lambda: not any(map(grown, early, soak.quiet())), 10)  # what was sent last is taken back
        late, after = soak.quiet(), [fsock.counters(program.pid) for program in (web, store)]
        assert held(pair.b), "the proxy leased no port"
    for old, new, connections in zip(before, after, asked):
        assert new["tcp_opened_passive"] - old["tcp_opened_passive"] >= 0.99 * connections > 0
        assert new["moved_to_kernel"] == old["moved_to_kernel"] and new["lock_recovered"] == 0
    assert after[0]["tcp_opened_active"] > before[0]["tcp_opened_active"]
    assert [grown(*both) for both in zip(early, late)] == [[], []]
    for side in (pair.a, pair.b):
        assert not held(side), "ports of nobody"
    print(json.dumps({"reloads": soak.reloads, "saves": soak.saves, "connections": asked,
                      "early": [each._asdict() for each in early], "late": [each._asdict() for each in late]}))


# --- it can fail ------------------------------------------------------------------------------

LEAKS = textwrap.dedent("""
    import os, select, signal, socket, sys
    here, there, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    first = socket.create_server((here, port))
    held = [socket.create_connection((there, port))]
    def leak(what):
        if what == "private":
            held.append(bytearray(os.urandom(1 << 20) * 32))
        elif what == "descriptors":
            held.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(8))
        elif what == "processes":
            if os.fork() == 0:
                signal.pause()
        elif what == "ports":
            held.extend(socket.create_connection((there, port)) for _ in range(20))
        elif what == "entries":
            held.extend(socket.create_server((here, 0)) for _ in range(4))
        elif what == "frames":
            unread(held[:1], 50000)
        elif what == "stack":
            held.extend(socket.create_connection((there, port)) for _ in range(200))
            unread(held, 60000)
        elif what == "nothing":
            select.select(held[:1], [], [], 0)
    def unread(socks, size):
        for sock in socks:
            sock.sendall(bytes(size))
        for sock in socks:
            assert len(sock.recv(size, socket.MSG_PEEK | socket.MSG_WAITALL)) == size
    print("ready", flush=True)
    for line in sys.stdin:
        leak(line.strip())
        print("done", flush=True)
""")


@contextlib.contextmanager
def leaky(pair):
    """The program, and what makes it leak something."""
    with pair.a.popen([PYTHON, PROGRAMS / "stream_echo.py", net.A4, 9000], env=fsock.CLEAN) as peer:
        assert peer.wait_for("ready"), peer.err
        argv = fsock.run([PYTHON, "-c", LEAKS, net.B4, net.A4, 9000], profile="latency", client_connects=1)
        with pair.b.popen(argv, stdin=subprocess.PIPE, env=fsock.CLEAN) as program:
            assert program.wait_for("ready"), program.err

            def leak(what):
                done = program.out.count("done") + 1
                program.child.stdin.write(what.encode() + b"\n")
                program.child.stdin.flush()
                assert proc.until(lambda: program.out.count("done") == done or not program.alive()) and program.alive(), \
                    program.err
            yield program.pid, leak


@pytest.mark.parametrize("what, named", [
    ("nothing", set()), ("private", {"private"}), ("descriptors", {"descriptors"}), ("processes", {"processes"}),
    ("ports", {"sockets", "ports"}), ("entries", {"sockets", "ports", "entries"}), ("frames", {"frames"}),
    ("stack", {"stack"})])
def test_what_grows_is_named(pair, what, named):
    """Each kind of a leak is told by the figures that are its own, and nothing is where there is none."""
    with leaky(pair) as (pid, leak):
        early = holdings(pid)
        leak(what)

        def said():
            leak("nothing")  # a program that makes no call does not tell its figures
            return {sentence.split()[0] for sentence in grown(early, holdings(pid))}
        assert proc.until(lambda: said() >= named), (early, holdings(pid))
        assert bool(said()) == bool(named), (early, holdings(pid))
