# SPDX-License-Identifier: BSD-2-Clause
"""
ends - a server and a client of a test, each on its way: on kernel sockets, with the library switched off, or on fsock.

An end on fsock must have taken the fast path with at least 99 % of its traffic, by fsock's own counters; one
that is switched off with none.
"""
import contextlib
import hashlib
import os
import shutil
import signal

import pytest

from lab import fsock, proc

# (server, client): on kernel sockets, with the library switched off, on fsock.
COLUMNS = {"kernel": ("kernel", "kernel"), "off": ("off", "off"), "both": ("fast", "fast"),
           "client": ("kernel", "fast"), "server": ("fast", "kernel")}
SHORT = ("kernel", "both")  # the others with --lengths=whole
LATENCY = {"profile": "latency"}
ENOUGH = 0.99
MIB = 1 << 20


def pytest_generate_tests(metafunc):
    chosen = [mark for mark in metafunc.definition.iter_markers("parametrize") if "ends" in mark.args[0]]
    if "ends" in metafunc.fixturenames and not chosen:
        metafunc.parametrize("ends", [pytest.param(name, marks=() if name in SHORT else pytest.mark.whole)
                                      for name in COLUMNS], indirect=True)


@pytest.fixture
def ends(request, pair):
    pair.meet()
    return Ends(pair, *COLUMNS[request.param])


@pytest.fixture
def tmp_path(tmp_path):
    """Emptied at once: what pytest keeps until its end would be 40 GB."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.fixture
def whole(pytestconfig):
    return pytestconfig.getoption("--lengths") == "whole"


class Ends:
    """Servers in pair.b and clients in pair.a, each on its way."""

    def __init__(self, pair, serve, ask):
        self.pair, self.serve, self.ask = pair, serve, ask

    @staticmethod
    def how(way, argv, report):
        argv = list(map(str, argv))
        env = {**fsock.CLEAN, **report.env}
        if way == "off":
            return fsock.run(argv), {**env, "FSOCK_ACCELERATE": "0"}
        return fsock.run(argv, **LATENCY) if way == "fast" else argv, env

    @staticmethod
    def took_its_way(who, way, seen):
        if way == "off":
            assert seen.fast == 0, f"the {who} is switched off: {seen}"
        elif way == "fast":
            assert seen.share >= ENOUGH, f"the {who} took the kernel's way: {seen}"

    @contextlib.contextmanager
    def server(self, argv, port, counted=True, stop=signal.SIGTERM, under=(), **more):
        """
        A server that listens on @port. Not @counted: it gives its connections to programs that it starts. @under: what
        puts it under a user of its own.
        """
        with contextlib.closing(fsock.Report()) as report:
            argv, env = self.how(self.serve, argv, report)
            with self.pair.b.popen([*under, *argv], cpu=proc.cpus()[1], env=env, fds=(report.fd,), **more) as running:
                assert proc.until(lambda: f":{port} " in self.pair.b.run(["ss", "-Hltn"]).out or not running.alive(), 20)
                assert running.alive(), running.out + running.err
                yield running
                live = fsock.sum_counts(fsock.sockets(fsock.settled(running.pid))) if running.alive() else None
                running.stop(number=stop)
            closed = report.counts()
            if counted:
                # A connection that is closed has left its record, one that lived to the end has not.
                best = max(live or closed, closed, key=lambda seen: seen.total)
                if self.serve == "fast" and best.share < ENOUGH:
                    print(running.err, *report.sockets(), sep="\n")  # shown with what fails
                self.took_its_way("server", self.serve, best)

    @contextlib.contextmanager
    def living_client(self, argv, stop=None, **more):
        """A client of which it is told while it lives; it has come to a good end after, one that @stop asked for if given."""
        with contextlib.closing(fsock.Report()) as report:
            argv, env = self.how(self.ask, argv, report)
            with self.pair.a.popen(argv, cpu=proc.cpus()[0], env=env, fds=(report.fd,), **more) as running:
                yield running
                done = running.stop(number=stop) if stop else running.finish()
                assert done.status == 0, done.out[-2000:] + done.err[-2000:]

    def took(self, pid):
        """The client that lives took its way so far."""
        def seen():
            return fsock.sum_counts(fsock.sockets(fsock.settled(pid)))

        if self.ask == "fast":  # where the processor is short, figures come late
            proc.until(lambda: seen().total > 0)
        self.took_its_way("client", self.ask, seen())

    def client(self, argv, counted=True, timeout=600, status=0, **more):
        """Run a client to its end, which has to be a good one, or the @status it is to come to."""
        with contextlib.closing(fsock.Report()) as report:
            argv, env = self.how(self.ask, argv, report)
            done = self.pair.a.run(argv, cpu=proc.cpus()[0], env=env, fds=(report.fd,), timeout=timeout, **more)
            assert done.status == status, done.out[-2000:] + done.err[-2000:]
            if counted:
                self.took_its_way("client", self.ask, report.counts())
        return done


def body(path, size):
    """A file of @size bytes that compress badly and repeat nowhere near; its digest."""
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        for at in range(0, size, MIB):
            part = os.urandom(min(MIB, size - at))
            file.write(part)
            digest.update(part)
    return digest.hexdigest()


def digest_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shell(text):
    return ["sh", "-c", text]
