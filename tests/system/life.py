# SPDX-License-Identifier: BSD-2-Clause
"""
life - one client under the preload and an echo server, for the tests of a program's life.
"""
import pathlib

import pytest

from lab import fsock, net, proc

PROGRAMS = pathlib.Path(__file__).resolve().parent / "programs"
PYTHON = "/usr/bin/python3"
LATENCY = {"profile": "latency"}

# What the kernel shows without the library (K), the library switched off has to show as well (N), and accelerated (A).
in_columns = pytest.mark.parametrize("column", ["K", "N", "A"])

# What every client here begins with: sys.argv[1] is the echo server's address, sys.argv[2] a file for
# the client's own words (standard output may be closed).
PRELUDE = """
import ctypes, itertools, os, select, socket, sys, time, traceback
libc = ctypes.CDLL(None, use_errno=True)
sys.excepthook = lambda *what: say(*traceback.format_exception(*what))
def say(*words):
    with open(sys.argv[2], "a") as file:
        print(*words, file=file)
def fresh():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(20)
    sock.connect((sys.argv[1], 9000))
    return sock
serial = itertools.count() # no two alike: one whose sum looks partial would take the kernel's way each time
def ask(sock, count=100):
    for i in range(count):
        word = b"%d" % next(serial)
        sock.send(word)
        assert sock.recv(100) == word
def numbers():
    return {int(name) for name in os.listdir("/proc/self/fd")}
"""


def library():
    return fsock.build_dir() / "src" / "preload" / "libfsock-preload.so"


def argv_in(column, argv, **options):
    """@argv as it is, or under `fsock run`."""
    return [*map(str, argv)] if column == "K" else fsock.run(argv, **{**LATENCY, **options, **switched(column)})


def switched(column):
    """Options that make it column N."""
    return {"accelerate": 0} if column == "N" else {}


def no_fast(sockets):
    return not any(sock["accelerated"] or sock["tx_fast"] or sock["rx_fast"] for sock in sockets)


class Life:
    """One client against an echo server, both on the fast path: .done, .said (its words), .sockets."""

    def __init__(self, pair, tmp_path, script, options=None, around=(), before=(), env=None,
                 preexec=None, timeout=60, args=(), column="A"):
        """@around wraps the client inside `fsock run`, @before outside; None, and column K, leave `fsock run` out."""
        words = tmp_path / "said"
        words.write_text("")
        argv = [PYTHON, "-c", PRELUDE + script, net.B4, words, *args]
        argv = [*around, *argv]
        self.column = column
        if column == "K":
            argv = [*(before or ()), *argv]
        elif before is not None:
            argv = [*before, *argv_in(column, argv, **(options or {}))]
        report = fsock.Report()
        pair.meet()
        with self.echo(pair) as server:
            self.done = pair.a.run(argv, timeout=timeout, fds=(report.fd,), cpu=proc.cpus()[0],
                                   env={**fsock.CLEAN, **report.env, **(env or {})}, preexec=preexec)
            seen = fsock.stat(server.pid)
            self.server = fsock.sum_counts(fsock.sockets(seen)), fsock.steered(seen)
        self.sockets = report.sockets()
        report.close()
        self.said = words.read_text()
        self.counts = fsock.sum_counts(self.sockets)

    @staticmethod
    def echo(pair):
        argv = [PYTHON, PROGRAMS / "echo_server.py", "socket", net.B4, 9000]
        server = pair.b.popen(fsock.run(argv, **LATENCY), env=fsock.CLEAN, cpu=proc.cpus()[1])
        assert server.wait_for("ready"), server.err
        return server

    def reasons(self):
        return {fsock.reason_name(sock["reason"]) for sock in self.sockets}

    def good(self, said="well\n"):
        assert self.done.status == 0, self.said + self.done.err[-3000:]
        assert self.said == said, (self.said, self.done.err)
        return self

    def fast(self, least=100):
        """At least so many datagrams, all of them fast; where the column is an accelerated one."""
        if self.column != "A":
            assert no_fast(self.sockets), self.sockets
            return self
        assert self.counts.all_fast(least), \
            (self.counts, "server:", self.server, self.done.err)
        return self

    def fast_but(self, kernel, least=100):
        """The same, but for @kernel of them at most: those between an owner's end and the take-over."""
        assert self.counts.fast >= least and self.counts.total - self.counts.fast <= kernel, \
            (self.counts, "server:", self.server, self.done.err)
        return self
