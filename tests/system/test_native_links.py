# SPDX-License-Identifier: BSD-2-Clause
"""
Connections of the native interface to other programs of the host, over links: they ask the kernel nothing, whoever is
at the other end, and have what the kernel says where it has the last word. See native_links.c, of which every end here
is one but for those in Python, which run under the preload or on the kernel's sockets.
"""
import contextlib
import errno
import os
import re
import resource
import signal
import subprocess
import textwrap
import time

import pytest

from lab import fsock, links, net, proc

PORT = 7600
FD, LOCAL, PEER, ACCELERATED, HELD = 4, 5, 6, 7, 9
IN, OUT, HANGUP = 1, 4, 8
MANY = 40
RING = 64 << 10  # of a connection, at first
FIRST = 4  # connections that pay for the link, for ports, and for a thread's sleep
# What set-up and tear-down would ask of the kernel.
ASKED = re.compile(r"\b(socket|bind|connect|accept4|close|shutdown|getsockname|getpeername|setsockopt|fcntl|dup)\(")
OWN = re.compile(r"\b(close|fcntl)\(")  # also when a thread first sleeps, which may be at any connection


class End:
    """A native_links: say() gives it a command, and has its answer: a number, and the words behind it."""

    def __init__(self, stack, side, program, around=(), options=None, address="127.0.0.1"):
        env = {**fsock.CLEAN, "FSOCK_LOCAL": "1", **(options or {})}
        argv = [*around, os.path.abspath(program("native_links")), address]
        self.process = stack.enter_context(side.popen(argv, env=env, stdin=subprocess.PIPE))
        assert self.process.wait_for("ready"), self.process.err
        proc.until(lambda: "\n" in self.process.out)
        self.pid = int(self.process.out.split()[1])  # what is around may stay in between
        self.answers = 0

    def begin(self, *words):
        self.process.child.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.process.child.stdin.flush()

    def end(self):
        def found():
            return re.findall(r"^= (-?\d+) (.*)\n", self.process.out, re.M)
        proc.until(lambda: len(found()) > self.answers or not self.process.alive())
        assert len(found()) > self.answers, self.process.err
        number, words = found()[self.answers]
        self.answers += 1
        return int(number), words

    def say(self, *words):
        self.begin(*words)
        return self.end()

    def does(self, *words):
        number, text = self.say(*words)
        assert number >= 0, (words, errno.errorcode.get(-number))
        return text

    def fails(self, *words):
        return errno.errorcode.get(-self.say(*words)[0])

    def is_told(self, channel, bits):
        """Its group tells at least these @bits of @channel, in time."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            told = dict(map(int, word.split(":")) for word in self.say("poll", 1000)[1].split())
            if told.get(channel, 0) & bits == bits:
                return True
        return False

    def counts(self):
        return links.counts(self.pid)

    def to_kernel(self):
        return fsock.counters(self.pid)["local_to_kernel"]

    def bare(self):
        """Connections that have no descriptor, by the statistics."""
        return sum(stack["without_fd"] for stack in fsock.stat(self.pid)["stacks"])


@pytest.fixture
def ends(place, program):
    with contextlib.ExitStack() as stack:
        yield lambda **how: End(stack, how.pop("side", place.a), program, **how)


@pytest.fixture
def python(place):
    """python(script, options): the script runs under the preload with these, or (None) without."""
    with contextlib.ExitStack() as stack:
        def run(script, options=fsock):
            argv = ["/usr/bin/python3", "-c", "import os, socket, sys, time\n" + textwrap.dedent(script)]
            argv = argv if options is None else fsock.run(argv, local=1)
            return stack.enter_context(place.a.popen(argv, env=fsock.CLEAN, stdin=subprocess.PIPE))
        yield run


def _listening(ends, backlog=64, **how):
    server = ends(**how)
    server.does("listen", PORT, backlog)
    return server


# --- what it costs ----------------------------------------------------------------------------

def _asked(log):
    """What each connection asked of the kernel."""
    return [[call for call in calls if ASKED.search(call)] for calls in proc.calls_between(log)]


@pytest.mark.parametrize("profile", ["default", "latency"])
def test_hazard_15_no_system_call_for_a_connection_over_a_link(ends, tmp_path, profile):
    """Neither end makes, binds, names or closes a socket; and the connections are the links'."""
    def traced(name):
        return ["strace", "-f", "-qq", "-o", tmp_path / name]
    options = {"FSOCK_PROFILE": profile}
    server = _listening(ends, around=traced("server"), options=options)
    client = ends(around=traced("client"), options=options)
    server.begin("takes", MANY)
    assert client.does("calls", "127.0.0.1", PORT, MANY) == ""
    server.end()
    late = client.to_kernel()  # under strace an answer may take more than the 250 ms that it has
    assert late <= MANY // 8 and server.counts().accepted >= MANY - late
    for name in ("server", "client"):
        seen = _asked(tmp_path / name)
        assert MANY <= len(seen) <= MANY + late
        asked = [calls for calls in seen[FIRST:] if [line for line in calls if not OWN.search(line)]]
        assert len(asked) <= late, asked
        assert late or len([line for calls in seen[FIRST:] for line in calls]) <= 6, seen
        assert name == "server" or "bind(" in str(seen[0])  # the ports come from somewhere


def test_connections_are_links_without_descriptors(ends):
    server, client = _listening(ends), ends()
    client.does("connect", "127.0.0.1", PORT)
    server.does("accept")
    before = client.say("fds")[0], server.say("fds")[0]
    for _ in range(MANY):
        client.does("connect", "127.0.0.1", PORT)
        server.does("accept")
    assert client.say("fds")[0] <= before[0] + 2 and server.say("fds")[0] <= before[1] + 2  # threads' own
    assert (client.counts().opened, server.counts().accepted) == (MANY + 1, MANY + 1)
    proc.until(lambda: (client.bare(), server.bare()) == (MANY + 1, MANY + 1))
    shown = [s for stack in fsock.stat(client.pid)["stacks"] for s in stack["sockets"] if s["by"] == "link"]
    assert len(shown) == MANY + 1 and {(s["fd"], s["remote"]) for s in shown} == {(-2, f"127.0.0.1:{PORT}")}
    assert client.say("get", 0, ACCELERATED) == server.say("get", 1, ACCELERATED) == (0, "1")
    assert client.fails("get", 0, FD) == server.fails("get", 1, FD) == "ENOTSUP"
    for i in range(MANY + 1):
        client.does("close", i)
        server.does("close", i + 1)
    proc.until(lambda: (client.bare(), server.bare()) == (0, 0))
    assert client.to_kernel() == 0


# --- names, and whose the port is ---------------------------------------------------------------

@pytest.mark.parametrize("address", ["127.0.0.1", "10.77.0.1"])
def test_names_of_both_ends(ends, address):
    server, client = _listening(ends, address="0.0.0.0"), ends(address="0.0.0.0")
    client.does("connect", address, PORT)
    server.does("accept")
    assert client.does("name", 0, PEER) == server.does("name", 1, LOCAL) == f"{address} {PORT}"
    assert client.does("name", 0, LOCAL) == server.does("name", 1, PEER)
    assert client.does("name", 0, LOCAL).split()[0] == address
    assert client.counts().opened == 1


def test_from_an_address_of_its_own(ends):
    server = _listening(ends)
    client = ends(address="127.0.0.9")
    client.does("connect", "127.0.0.1", PORT)
    server.does("accept")
    assert server.does("name", 1, PEER) == client.does("name", 0, LOCAL)
    assert client.does("name", 0, LOCAL).split()[0] == "127.0.0.9"
    stranger = ends(address="192.0.2.1")
    assert stranger.fails("connect", "127.0.0.1", PORT) == "EADDRNOTAVAIL"


def test_ports_are_nobody_elses(ends, python):
    """Two hundred at a time have two hundred ports, none of which the kernel gives to others."""
    server, client = _listening(ends, backlog=300), ends()
    for _ in range(200):
        client.does("connect", "127.0.0.1", PORT)
    ports = {client.does("name", i, LOCAL).split()[1] for i in range(200)}
    assert len(ports) == 200
    other = python(f"""
        taken = 0
        for port in {sorted(ports)}:
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    s.bind(("127.0.0.1", int(port)))
                except OSError:
                    taken += 1
        print("taken", taken, flush=True)
    """, None)
    assert other.wait_for("taken"), other.err
    assert "taken 200" in other.out
    assert server.counts().accepted == 0 and client.counts().opened == 200


def test_a_port_is_not_used_again_before_the_other_side_has_left(ends):
    server, client = _listening(ends), ends()
    seen = []
    for i in range(60):
        client.does("connect", "127.0.0.1", PORT)
        server.does("accept")
        seen.append(client.does("name", i, LOCAL))
        client.does("close", i)
    assert len(set(seen)) == 60  # nobody at the other side has closed
    for i in range(60):
        assert server.say("recv", i + 1) == (0, "")
        server.does("close", i + 1)
    for i in range(60, 120):
        client.does("connect", "127.0.0.1", PORT)
        server.does("accept")
        seen.append(client.does("name", i, LOCAL))
        client.does("close", i)
        server.does("close", i + 1)
    assert len(set(seen)) < 100


@pytest.mark.parametrize("options", [{"FSOCK_INTERFACE": "none"}, {}], ids=["alone", "beside the fast path"])
def test_between_namespaces(ends, tmp_path, options):
    """Of one host, which share a directory: by its names, sooner than by an interface. Refused, it is the kernel's."""
    with net.Pair() as pair:
        pair.meet()
        options = {"FSOCK_LOCAL_SCOPE": f"path:{tmp_path}", **options}
        server = _listening(ends, side=pair.a, options=options, address=net.A4)
        client = ends(side=pair.b, options=options, address=net.B4)
        client.does("connect", net.A4, PORT)
        server.does("accept")
        client.does("send", 0, "across")
        assert server.does("recv", 1) == "across"
        assert server.does("name", 1, PEER) == client.does("name", 0, LOCAL)
        assert server.does("name", 1, PEER).split()[0] == net.B4
        assert (client.counts().opened, server.counts().accepted) == (1, 1)
        assert client.say("get", 0, ACCELERATED) == (0, "1") and client.fails("get", 0, FD) == "ENOTSUP"
        server.does("close", 0)
        assert client.fails("connect", net.A4, PORT) == "ECONNREFUSED"
        for end in (client, server):
            end.process.child.stdin.close()
            assert end.process.finish().status == 0


def test_a_thread_in_another_namespace(ends):
    """What it opens there is there, whose loopback leads to nobody."""
    server, client = _listening(ends), ends()
    client.does("connect", "127.0.0.1", PORT)
    server.does("accept")
    assert client.fails("elsewhere", "127.0.0.1", PORT) in ("ENETUNREACH", "ECONNREFUSED", "EADDRNOTAVAIL")
    client.does("connect", "127.0.0.1", PORT)
    assert (client.counts().opened, client.to_kernel()) == (2, 0)


# --- the other end is another kind of program -------------------------------------------------------

SERVER = f"""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", {PORT}))
    s.listen(64)
    print("ready", flush=True)
    while True:
        c = s.accept()[0]
        while word := c.recv(100):
            c.sendall(word)
        c.close()
"""


@pytest.mark.parametrize("options", [fsock, None], ids=["preloaded", "kernel"])
def test_calls_a_server_with_sockets(ends, python, options):
    server = python(SERVER, options)
    assert server.wait_for("ready"), server.err
    client = ends()
    for i in range(5):
        client.does("connect", "127.0.0.1", PORT)
        client.does("send", i, f"word{i}")
        assert client.does("recv", i) == f"word{i}"
        assert client.say("get", i, ACCELERATED) == (0, "1" if options else "0")
        client.does("close", i)
    if options:
        assert links.counts(server.pid).accepted == client.counts().opened == 5


@pytest.mark.parametrize("options", [fsock, None], ids=["preloaded", "kernel"])
def test_is_called_by_a_client_with_sockets(ends, python, options):
    server = _listening(ends)
    client = python(f"""
        for i in range(5):
            with socket.create_connection(("127.0.0.1", {PORT})) as s:
                s.sendall(b"word")
                assert s.recv(10) == b"drow"
                assert s.recv(10) == b""
        print("over", flush=True)
        sys.stdin.read()
    """, options)
    for i in range(1, 6):
        server.does("accept")
        assert server.does("recv", i) == "word"
        server.does("send", i, "drow")
        assert server.say("get", i, ACCELERATED) == (0, "1" if options else "0")
        server.does("close", i)
    assert client.wait_for("over"), client.err
    assert server.counts().accepted == (5 if options else 0)


# --- the kernel has the last word -------------------------------------------------------------------

def test_refused(ends):
    """Nobody ever, somebody once; with and without waiting. And there again."""
    server, client = _listening(ends), ends()
    assert client.fails("connect", "127.0.0.1", PORT + 1) == "ECONNREFUSED"
    client.does("connect", "127.0.0.1", PORT)
    server.does("close", 0)
    fds = client.say("fds")
    assert client.fails("connect", "127.0.0.1", PORT) == "ECONNREFUSED"
    assert client.fails("again", 2, "127.0.0.1", PORT) == "ECONNREFUSED"
    assert client.fails("begin", "127.0.0.1", PORT) in ("ECONNREFUSED", "EINPROGRESS")
    again = _listening(ends)
    client.does("again", 2, "127.0.0.1", PORT)
    again.does("accept")
    client.does("send", 2, "there")
    assert again.does("recv", 1) == "there"
    assert client.say("recv", 1) in ((0, ""), (-errno.ECONNRESET, ""))
    for i in range(4):
        client.does("close", i)
    assert client.say("fds")[0] <= fds[0] + 4  # of the second link


def test_refused_while_it_does_not_wait(ends):
    """The listener goes while the call is on its way: the group tells, and connect says what the kernel says."""
    server, client = _listening(ends), ends()
    client.does("connect", "127.0.0.1", PORT)
    server.does("accept")
    server.process.send(signal.SIGSTOP)
    for mine in range(1, 20):  # one that is not the kernel's before it is looked at: that takes 250 ms
        assert client.fails("begin", "127.0.0.1", PORT) == "EINPROGRESS"
        seen = client.fails("again", mine, "127.0.0.1", PORT), client.fails("look", mine)
        if seen == ("EALREADY", "EAGAIN"):
            break
    server.process.kill()
    assert client.is_told(mine, OUT | HANGUP)
    assert client.fails("again", mine, "127.0.0.1", PORT) in ("ECONNREFUSED", "ECONNRESET")
    assert seen == ("EALREADY", "EAGAIN")


def test_refused_and_looked_at_first(ends):
    """By the kernel at once, for want of a number. Who receives has the error and the end, as of a socket; connect says
    that it failed, and may be tried again."""
    server, client = _listening(ends), ends()
    pid = client.process.pid
    client.does("connect", "127.0.0.1", PORT)
    server.does("accept")
    server.process.send(signal.SIGSTOP)
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    assert client.fails("begin", "127.0.0.1", PORT) == "EINPROGRESS"
    server.process.kill()
    assert client.is_told(1, OUT | HANGUP)
    assert client.fails("look", 1) == "EMFILE"
    assert client.say("look", 1) == (0, "") == client.say("look", 1)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    assert client.fails("again", 1, "127.0.0.1", PORT) == "ECONNABORTED"
    again = _listening(ends)
    assert client.fails("again", 1, "127.0.0.1", PORT) in (None, "EINPROGRESS")
    again.does("accept")
    client.does("send", 1, "there")
    assert again.does("recv", 1) == "there"


def test_a_program_that_does_not_answer(ends):
    """Its kernel does: the connection is a socket's, and goes on when the program does."""
    server, client = _listening(ends), ends()
    client.does("connect", "127.0.0.1", PORT)
    server.does("accept")
    server.process.send(signal.SIGSTOP)
    client.does("connect", "127.0.0.1", PORT)
    assert client.say("get", 1, ACCELERATED) == (0, "0")
    client.does("send", 1, "later")
    server.process.send(signal.SIGCONT)
    server.does("accept")
    assert server.does("recv", 2) == "later"
    assert server.does("name", 2, PEER) == client.does("name", 1, LOCAL)
    assert client.to_kernel() == 1


@pytest.mark.parametrize("then", ["close", "connect"])
def test_a_signal_comes_while_it_connects(ends, then):
    """The connection goes on, and becomes the kernel's: its socket is the channel's."""
    server, client = _listening(ends), ends()
    client.does("connect", "127.0.0.1", PORT)
    server.does("accept")
    client.begin("recv", 0)
    time.sleep(0.3)  # it sleeps, and has what a thread needs for that
    server.does("send", 1, "awake")
    assert client.end()[1] == "awake"
    server.process.send(signal.SIGSTOP)
    fds = client.say("fds")[0]
    assert client.fails("interrupted", "127.0.0.1", PORT, 80) == "EINTR"
    proc.until(lambda: client.say("fds")[0] > fds)  # nobody called on it meanwhile
    if then == "connect":
        client.does("again", 1, "127.0.0.1", PORT)
        client.does("send", 1, "late")
    client.does("close", 1)
    assert client.say("fds")[0] == fds
    server.process.send(signal.SIGCONT)
    server.does("accept")
    assert server.say("recv", 2) == ((4, "late") if then == "connect" else (0, ""))
    assert (client.to_kernel(), client.bare()) == (1, 1)


def test_full_listener(ends):
    """As a SYN that is dropped: it is tried again, and comes through once there is room."""
    server, client = _listening(ends, backlog=1), ends()
    for _ in range(2):
        client.does("connect", "127.0.0.1", PORT)
    assert client.fails("begin", "127.0.0.1", PORT) == "EINPROGRESS"
    assert client.fails("again", 2, "127.0.0.1", PORT) == "EALREADY"
    for _ in range(2):
        server.does("accept")
    assert client.is_told(2, OUT)
    server.does("accept")
    client.does("send", 2, "through")
    assert server.does("recv", 3) == "through"
    assert (client.to_kernel(), server.counts().accepted) == (0, 3)
    assert server.does("name", 3, PEER) == client.does("name", 2, LOCAL)


# --- a group, asleep --------------------------------------------------------------------------------

def test_a_sleeping_group_is_told_of_room(ends):
    """It went to sleep before anybody wanted any."""
    server, client = _listening(ends), ends()
    client.does("connect", "127.0.0.1", PORT)
    server.does("accept")
    client.does("watch", 8000)
    time.sleep(0.3)
    poured = client.say("fill", 0)[0]
    assert poured > 0 and client.say("get", 0, ACCELERATED) == (0, "1")
    started = time.monotonic()
    assert server.say("drain", 1, poured) == (poured, "")
    assert client.say("seen") == (1, f"0:{OUT}")
    assert time.monotonic() - started < 4


def test_a_ring_grows_where_nobody_reads(ends):
    """As the kernel would keep them, a message longer than a ring is sent while the other side does something else."""
    server, client = _listening(ends), ends()
    client.does("connect", "127.0.0.1", PORT)
    server.does("accept")
    first = client.say("fill", 0)[0]
    assert 0 < first <= RING
    left = time.monotonic() + 20
    poured = first
    while poured < 8 * RING and time.monotonic() < left:
        time.sleep(0.02)
        poured += max(client.say("fill", 0)[0], 0)
    assert poured >= 8 * RING and client.say("get", 0, ACCELERATED) == (0, "1")
    assert server.say("drain", 1, poured) == (poured, "")
    assert (client.to_kernel(), server.counts().bytes_in) == (0, poured)


# --- ends -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("who", ["server", "client"])
def test_killed(ends, who):
    """As the kernel ends connections of the dead: by a reset where they had bytes unread, else in order. The other side's
    are told of by the group, and nothing is left of them."""
    server, client = _listening(ends), ends()
    for _ in range(3):
        client.does("connect", "127.0.0.1", PORT)
    for _ in range(2):  # one is left in the queue
        server.does("accept")
    dead, left, first = (server, client, 0) if who == "server" else (client, server, 1)
    left.does("send", first, "unread")
    dead.process.kill()
    assert left.is_told(first, IN | HANGUP) and left.is_told(first + 1, IN | HANGUP)
    assert left.fails("recv", first) == "ECONNRESET"
    assert left.say("recv", first + 1) == (0, "")
    if who == "client":
        left.does("accept")
        assert left.say("recv", 3) == (0, "")
    else:
        assert left.fails("recv", 2) == "ECONNRESET"
    for i in range(3):
        left.does("close", first + i)
    assert left.bare() == 0


def test_listener_closes_with_connections_queued(ends):
    server, client = _listening(ends), ends()
    for _ in range(3):
        client.does("connect", "127.0.0.1", PORT)
    server.does("accept")
    server.does("close", 0)
    assert client.is_told(1, IN | HANGUP)
    assert client.fails("recv", 1) == client.fails("recv", 2) == "ECONNRESET"
    client.does("send", 0, "lives")
    assert server.does("recv", 1) == "lives"


def test_end_of_a_program_closes(ends):
    """Not killed: it ends with its connections open."""
    server, client = _listening(ends), ends()
    client.does("connect", "127.0.0.1", PORT)
    server.does("accept")
    client.does("send", 0, "last")
    client.process.child.stdin.close()
    assert client.process.finish().status == 0
    assert server.does("recv", 1) == "last"
    assert server.say("recv", 1) == (0, "")


@pytest.mark.parametrize("way", ["own", "preloaded"])
def test_exec_ends_them(ends, way):
    """Also where the stack goes along, for the preload's sockets."""
    server = _listening(ends)
    client = ends(around=() if way == "own" else fsock.run([], local=1))
    client.does("connect", "127.0.0.1", PORT)
    server.does("accept")
    client.does("send", 0, "last")
    client.begin("exec")
    assert server.does("recv", 1) == "last"
    assert server.say("recv", 1) == (0, "")
    proc.until(lambda: client.process.out.count("ready") == 2)
    client.does("connect", "127.0.0.1", PORT)
    server.does("accept")
    client.does("send", 0, "anew")
    assert server.does("recv", 2) == "anew"
    assert client.say("get", 0, ACCELERATED) == (0, "1")


def test_a_child_has_none_of_them(ends):
    server, client = _listening(ends), ends()
    client.does("connect", "127.0.0.1", PORT)
    server.does("accept")
    server.does("send", 1, "unread")
    assert client.is_told(0, IN)
    assert client.fails("fork") == "EBADF"
    assert client.is_told(0, IN)
    assert client.does("recv", 0) == "unread"
    client.does("send", 0, "mine")
    assert server.does("recv", 1) == "mine"
    server.does("send", 1, "again")
    assert client.is_told(0, IN)


@pytest.mark.parametrize("what", ["bytes", "a move"])
def test_a_relative_takes_what_is_its_parents(ends, what):
    """A child that looks all the time finds the message first: the parent, asleep, is woken for it."""
    server, client = _listening(ends), ends(options={"FSOCK_PROFILE": "latency"})
    client.does("connect", "127.0.0.1", PORT)
    server.does("accept")
    client.does("beside", "127.0.0.1", PORT, 8)
    server.does("accept")
    for _ in range(3):
        client.begin("recv", 0)
        time.sleep(0.3)  # it sleeps
        server.does("send", 1, "for-the-parent")
        assert client.end()[1] == "for-the-parent"
    if what == "a move":
        client.begin("recv", 0)
        time.sleep(0.3)
        server.does("moved", 1)
        server.does("send", 1, "by-the-kernel")
        assert client.end()[1] == "by-the-kernel"
        assert client.say("get", 0, ACCELERATED) == server.say("get", 1, ACCELERATED) == (0, "0")
    assert server.say("get", 2, ACCELERATED) == (0, "1")
    client.process.kill()
    assert server.is_told(2, IN | HANGUP)


@pytest.mark.parametrize("who", ["server", "client"])
def test_limit_of_memory(memory_group, ends, who):
    """Either end's control group: rings take pages as they fill, so further connections are the kernel's; no byte is lost."""
    group, limit = memory_group
    sees = ["nsenter", f"--mount=/proc/{os.getpid()}/ns/mnt", "--"]  # ip netns exec covers /sys, and with it the limits
    server = _listening(ends, backlog=200, around=sees if who == "server" else ())
    client = ends(around=sees if who == "client" else ())
    client.does("connect", "127.0.0.1", PORT)
    server.does("accept")
    (group / "cgroup.procs").write_text(str((server if who == "server" else client).pid))
    limit.write_text(str(8 << 20))
    for i in range(1, 81):
        client.does("connect", "127.0.0.1", PORT)
        client.does("pour", i, 50000)
    kernels = [client.say("get", i, ACCELERATED)[1] for i in range(1, 81)].count("0")
    assert 20 < kernels < 80
    taken = 0
    while taken < 80:
        got = server.say("drain", server.does("accept"), 50000)[0]
        assert got in (50000, -errno.ECONNRESET)  # that: one that was the kernel's in the end
        taken += got == 50000
    server.does("close", 1)
    assert client.say("recv", 0) == (0, "")


# --- to the kernel ----------------------------------------------------------------------------------

@pytest.mark.parametrize("who", ["client", "server"])
def test_moves_when_it_is_asked_to(ends, who):
    """With bytes unread in both directions, and the other side asleep in its group."""
    server, client = _listening(ends), ends()
    client.does("connect", "127.0.0.1", PORT)
    server.does("accept")
    client.does("send", 0, "there")
    server.does("send", 1, "back")
    mover, channel, other, far = (client, 0, server, 1) if who == "client" else (server, 1, client, 0)
    other.begin("poll", 20000)
    other.end()
    other.begin("recv", far)
    word = other.end()[1]
    assert word in ("there", "back")
    other.begin("recv", far)  # asleep: it follows
    mover.does("moved", channel)
    assert mover.say("get", channel, ACCELERATED) == (0, "0")
    assert mover.does("get", channel, FD) != "-1"
    mover.does("send", channel, "moved")
    assert other.end()[1] == "moved"
    assert mover.does("recv", channel) in ("there", "back")
    assert other.say("get", far, ACCELERATED) == (0, "0")
    other.does("send", far, "followed")
    assert mover.is_told(channel, IN)
    assert mover.does("recv", channel) == "followed"
    assert mover.bare() == other.bare() == 0


@pytest.mark.parametrize("who", ["client", "server"])
def test_what_is_lent_outlives_a_move(ends, who):
    """Of who moves, and of who follows."""
    server, client = _listening(ends), ends()
    client.does("connect", "127.0.0.1", PORT)
    server.does("accept")
    server.does("send", 1, "lent")
    assert client.does("lend", 0) == "lent"
    assert client.say("get", 0, HELD) == (0, "1")
    (client if who == "client" else server).does("moved", 0 if who == "client" else 1)
    proc.until(lambda: client.say("poll", 20)[0] >= 0 and client.say("get", 0, ACCELERATED) == (0, "0"))
    assert client.say("get", 0, HELD) == (0, "1")
    client.does("release", 0)
    assert client.say("get", 0, HELD) == (0, "0")
    assert client.fails("release", 0) is None  # nothing is held
    server.does("send", 1, "more")
    assert client.does("lend", 0) == "more"
    client.does("close", 0)


def test_what_is_lent_comes_back_while_it_moves(ends):
    """One thread receives in place and gives back, another one drives, and finds that the other side moves. What the
    program has of it is neither's alone: each round ends with a socket of the connection, and a standard input."""
    server, client = _listening(ends), ends()
    fds, moved = [], 0
    for i in range(100):
        client.does("connect", "127.0.0.1", PORT)
        server.does("accept")
        client.begin("takes-lent", i)
        server.does("gives", i + 1, 3000)
        assert client.end() == (3000 * 64, "0")
        if client.say("get", i, ACCELERATED) == (0, "0"):
            moved += 1
            assert client.does("name", i, PEER) == server.does("name", i + 1, LOCAL)
            assert client.say("get", i, HELD) == (0, "0")
        client.does("close", i)
        server.does("close", i + 1)
        fds.append(client.say("fds")[0])
    # What is made with the link is there by then; a move has some of its own, until it is through.
    assert min(fds[-20:]) == min(fds[4:24]), fds
    assert moved >= 50
    assert fsock.counters(client.process.pid)["moved_to_kernel"] == moved


def test_follows_a_program_that_gives_its_socket_away(ends, python):
    """The other side passes its socket on to a program without fsock."""
    server = python(SERVER.replace('''        while word := c.recv(100):
            c.sendall(word)
        c.close()
''', '''        c.sendall(c.recv(100))
        c.recv(4)
        if os.fork() == 0:
            os.environ.pop("LD_PRELOAD")
            os.dup2(c.fileno(), 0)
            os.dup2(c.fileno(), 1)
            os.execv("/bin/cat", ["cat"])
        c.close()
'''))
    assert server.wait_for("ready"), server.err
    client = ends()
    client.does("connect", "127.0.0.1", PORT)
    client.does("send", 0, "here")
    assert client.does("recv", 0) == "here"
    assert client.say("get", 0, ACCELERATED) == (0, "1")
    client.does("send", 0, "away")
    proc.until(lambda: client.say("poll", 20)[0] >= 0 and client.say("get", 0, ACCELERATED) == (0, "0"))
    client.does("send", 0, "cat")
    assert client.does("recv", 0) == "cat"
    assert fsock.counters(client.pid)["moved_to_kernel"] == 1
