# SPDX-License-Identifier: BSD-2-Clause
"""
What a preloaded library runs into that no call's result shows: odd ways to reach the calls, early and late users of
sockets, missing /proc, other namespaces, debuggers, clocks. Which test holds which pitfall: pitfalls.list.
"""
import contextlib
import fcntl
import json
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import termios
import time

import pytest

from ends import whole  # noqa: F401 (a fixture)
from holdings import SYS_PIDFD_GETFD
from lab import fsock, net, proc
from life import LATENCY, PROGRAMS, PYTHON, Life, argv_in, in_columns, library, no_fast, switched


@contextlib.contextmanager
def echoes(pair):
    """Servers in pair.b that echo datagrams on port 9000, by the fast path, and streams on 9001, by kernel sockets."""
    pair.meet()
    argv = [PYTHON, PROGRAMS / "stream_echo.py", net.B4, 9001]
    with Life.echo(pair), pair.b.popen(argv, env=fsock.CLEAN, cpu=proc.cpus()[1]) as streams:
        assert streams.wait_for("ready"), streams.err
        yield


class Client:
    """A program in pair.a with @preload before it: .done, its .lines, the .sockets it had."""

    def __init__(self, pair, argv, preload=(), options=None, before=(), timeout=proc.GUARD, column="A"):
        libraries = ":".join(str(path) for path in preload or [library()] if column != "K" or path != library())
        options = {**LATENCY, **(options or {}), **switched(column)}
        env = {f"FSOCK_{name.upper()}": value for name, value in options.items()}
        self.column = column
        # The libraries are for the program alone: not for ip, which would be in no namespace yet.
        argv = [*before, "env", f"LD_PRELOAD={libraries}", f"TALK_ADDRESS={net.B4}", *argv]
        with contextlib.closing(fsock.Report()) as report:
            self.done = pair.a.run(argv, fds=(report.fd,), cpu=proc.cpus()[0], timeout=timeout,
                                   env={**fsock.CLEAN, **env, **report.env})
            self.sockets = report.sockets()
        self.lines = self.done.out.splitlines()

    def good(self, *lines):
        assert (self.done.status, self.lines) == (0, list(lines)), (self.done.status, self.lines, self.done.err[-3000:])
        return self

    def fast(self, count):
        """So many of its sockets, half of them of either kind, took the fast path and no other; in column A."""
        if self.column != "A":
            assert no_fast(self.sockets), self.sockets
            return
        fast = [sock["protocol"] for sock in self.sockets if sock["accelerated"] and sock["tx_fast"] and not sock["tx_kernel"]]
        want = sorted([socket.IPPROTO_TCP, socket.IPPROTO_UDP] * (count // 2))
        assert sorted(fast) == want, (self.sockets, self.done.err)


def well(*who):
    return [f"{name}: 50 50" for name in who]


# --- reaching the calls -----------------------------------------------------------------------

def test_pitfall_01_system_calls_by_instructions_of_its_own(pair, program):
    """They are the kernel's sockets, whole; what the stack has for others is not for them, nor lost by their asking, by an
    io_uring that they made neither."""
    with echoes(pair):
        client = Client(pair, [program("odd"), "raw"])
    client.good(*well("before", "raw", "after"))
    assert sum(sock["accelerated"] for sock in client.sockets) == 7, client.sockets


ALONE = """
#include "talk.h"

int main(void)
{
	static const struct talk_calls plain = { socket, connect, send, recv, close };

	talk(&plain, "alone");
	return 0;
}
"""


def test_pitfall_01_static_program_of_another_c_library(pair, tmp_path):
    """Its traffic is the kernel's, whole, and fsock says in a line that it has no part in it."""
    source, target = tmp_path / "alone.c", tmp_path / "alone"
    source.write_text(ALONE)
    subprocess.run(["musl-gcc", "-static", f"-I{PROGRAMS.parent}", source, "-o", target], check=True)
    with contextlib.closing(fsock.Report()) as report, echoes(pair):
        done = pair.a.run(fsock.run([target], **LATENCY), fds=(report.fd,),
                          env={**fsock.CLEAN, **report.env, "TALK_ADDRESS": net.B4})
        assert (done.status, done.out) == (0, "alone: 50 50\n"), (done.status, done.out, done.err)
        assert "statically linked" in done.err and done.err.count("\n") == 1, done.err
        assert report.sockets() == []


def test_pitfall_01_go(pair, tmp_path):
    """Its runtime enters the kernel by itself, libc and the library beside it: requests and answers are whole."""
    (tmp_path / "page").write_text("x" * 3000)
    pair.meet()
    server = [PYTHON, "-m", "http.server", "--bind", net.B4, "--directory", tmp_path, "8000"]
    with contextlib.closing(fsock.Report()) as report, pair.b.popen(server, env=fsock.CLEAN):
        assert proc.until(lambda: ":8000 " in pair.b.run(["ss", "-Hltn"]).out)
        done = pair.a.run(fsock.run(["hey", "-n", "200", "-c", "4", f"http://{net.B4}:8000/page"], **LATENCY),
                          fds=(report.fd,), env={**fsock.CLEAN, **report.env})
        assert done.status == 0 and "[200]\t200 responses" in done.out, done.out + done.err
        assert "Size/request:\t3000 bytes" in done.out, done.out
        assert report.sockets() == [], "fsock met sockets that no call of libc's made"


def test_pitfall_01_why_of_a_go_program(pair):
    """What runs it says that it is one, and so does who looks at it while it runs."""
    words = "hey is a Go program: its runtime makes system calls by itself"
    pair.meet()
    with pair.b.popen([PYTHON, "-m", "http.server", "--bind", net.B4, "8000"], env=fsock.CLEAN):
        assert proc.until(lambda: ":8000 " in pair.b.run(["ss", "-Hltn"]).out)
        url = f"http://{net.B4}:8000/"
        done = pair.a.run([fsock.tool(), "why", "--json", "--", "hey", "-n", "20", "-c", "2", url], env=fsock.CLEAN)
        assert done.status == 0 and "[200]\t20 responses" in done.out and words in done.err, done.out + done.err
        assert json.loads(done.out.splitlines()[-1])["sockets"] == []
        with pair.a.popen(fsock.run(["hey", "-z", "60s", "-c", "1", url]), env=fsock.CLEAN) as running:
            assert proc.until(lambda: f"{net.B4}:8000" in pair.a.run(["ss", "-Hnt"]).out), running.err
            seen = pair.a.run([fsock.tool(), "why", running.pid], env=fsock.CLEAN)
            running.kill()
    assert "fsock is loaded" in seen.out and words in seen.out and "no Internet socket" not in seen.out, seen.out + seen.err


RESOLVES = """
def answers(name):
    found = socket.getaddrinfo(name, 7, socket.AF_INET, socket.SOCK_DGRAM)
    return found == [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("192.0.2.7", 7))]
sock = fresh()
ask(sock)
before = numbers()
for turn in range(int(sys.argv[3])):
    assert answers(f"n{turn}.test.example"), turn
    if turn % 10 == 0:
        other = fresh() # has the number that the resolver's socket had, and leaves it to the next
        ask(other, 2)
        other.close()
        ask(sock, 2)
more = numbers() - before # a thread that sleeps for the first time opens what it does so by, once
assert numbers() >= before and len(more) <= 1 and all(number >= 900 for number in more), (numbers(), before)
say("well")
"""


@in_columns
@pytest.mark.parametrize("way, rounds", [("", 2000), ("options use-vc", 500)], ids=["udp", "tcp"])
def test_pitfall_05_the_resolvers_sockets(pair, tmp_path, way, rounds, column):
    """They come and go inside libc, by numbers that were and will be accelerated sockets'."""
    resolv = tmp_path / "resolv.conf"
    resolv.write_text(f"nameserver {net.B4}\n{way}\n")
    names = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--pid-file=",
             "--user=root", f"--listen-address={net.B4}", "--bind-interfaces", "--address=/test.example/192.0.2.7"]
    own = ["unshare", "-m", "sh", "-c", f'mount --bind {resolv} /etc/resolv.conf && exec "$@"', "sh"]
    with pair.b.popen(names):
        assert proc.until(lambda: ":53 " in pair.b.run(["ss", "-Hltn"]).out)
        life = Life(pair, tmp_path, RESOLVES, options={"bypass": "none"}, before=own, args=[rounds], column=column)
    life.good().fast(rounds // 3)


@in_columns
@pytest.mark.parametrize("how", ["next", "plug", "space"])
def test_pitfall_08_functions_that_a_program_looks_up(pair, program, how, column):
    """RTLD_NEXT finds ours. A plug-in with RTLD_DEEPBIND, or another libc, finds the kernel's: both work, side by side."""
    with echoes(pair):
        client = Client(pair, [program("odd"), how, program("guest.so")], column=column)
    if how == "next":
        client.good(*well("next")).fast(2)
    else:
        client.good(*well("before", {"plug": "plug-in"}.get(how, how), "after")).fast(4)


@in_columns
@pytest.mark.parametrize("order", ["ours first", "ours last"])
def test_pitfall_08_another_library_that_wraps_the_same(pair, program, order, column):
    """Each finds the other, none itself again, and the program is on the fast path."""
    both = [library(), program("beside.so")]
    with echoes(pair):
        client = Client(pair, [program("odd"), "plain"], both if order == "ours first" else both[::-1], column=column)
    sends = 0 if column == "A" and order == "ours first" else 100
    client.good(*well("plain"), f"beside: sockets 2 sends {sends} depth 1").fast(2)


# --- start and end ----------------------------------------------------------------------------

@in_columns
@pytest.mark.parametrize("order", ["ours first", "ours last"])
def test_pitfalls_12_14_sockets_before_main(pair, program, order, column):
    """In another library's constructor, and in a child and its parent where a constructor forks."""
    both = [library(), program("guest.so")]
    with echoes(pair):
        client = Client(pair, ["GUEST=cf", "/bin/true"], both if order == "ours first" else both[::-1], column=column)
    client.good(*well("constructor", "child", "parent")).fast(6)


@in_columns
@pytest.mark.parametrize("order", ["ours first", "ours last"])
def test_pitfall_13_sockets_after_main(pair, program, order, column):
    """As the main thread ends, and in another library's destructor and its atexit(), which may be after our own."""
    both = [library(), program("guest.so")]
    with echoes(pair):
        client = Client(pair, ["GUEST=atd", "/bin/true"], both if order == "ours first" else both[::-1], column=column)
    client.good(*well("thread", "destructor", "atexit"))
    fast = sum(sock["accelerated"] and sock["tx_fast"] == 50 for sock in client.sockets)
    assert fast >= 4 if column == "A" else no_fast(client.sockets), client.sockets


@in_columns
def test_pitfall_15_the_limit_is_raised_later(pair, tmp_path, column):
    """No room at first, and then there is: each socket works."""
    Life(pair, tmp_path, """
import resource
first = fresh()
ask(first)
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
ask(fresh())
more = [fresh() for i in range(300)]
for sock in more:
    ask(sock, 1)
say("well")
""", around=["sh", "-c", 'ulimit -S -n 20; exec "$@"', "sh"], column=column).good()


def test_pitfall_15_an_enormous_limit_costs_nothing(pair, tmp_path):
    """Nothing is as large as the limit."""
    sizes = []
    for limit in 1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]:
        life = Life(pair, tmp_path, """
ask(fresh())
say(*[line.split()[1] for line in open("/proc/self/status") if line.startswith(("VmRSS", "VmData"))])
""", around=["sh", "-c", f'ulimit -S -n {limit}; exec "$@"', "sh"])
        life.good(life.said).fast()
        sizes.append([int(kib) for kib in life.said.split()])
    assert all(large <= small + 4096 for small, large in zip(*sizes)), sizes


COVERED = ["unshare", "-m", "sh", "-c"]


@pytest.mark.parametrize("folder", ["/proc", "/dev"])
def test_pitfall_16_without(pair, tmp_path, folder):
    """The program runs, by the fast path or with a reason in one line."""
    life = Life(pair, tmp_path, "ask(fresh())\nask(fresh())\nsay('well')",
                around=[*COVERED, f'mount -t tmpfs none {folder} && exec "$@"', "sh"]).good()
    assert life.counts.all_fast(400) or life.done.err.count("\n") == 1, (life.counts, life.done.err)


def test_pitfall_16_another_root_midway(pair, tmp_path):
    """chroot() to where there is nothing: sockets go on, new ones work, and so do children."""
    Life(pair, tmp_path, """
first = fresh()
ask(first)
os.chroot(os.path.dirname(sys.argv[2]))
os.chdir("/")
sys.argv[2] = "/said"
ask(first)
ask(fresh())
child = os.fork()
if child == 0:
    ask(first)
    ask(fresh())
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
ask(first)
say("well")
""").good().fast()


def test_pitfall_16_descriptors_run_out_midway(pair, tmp_path):
    """Where the program has the last number nothing breaks, and what it frees serves it again."""
    Life(pair, tmp_path, """
import errno, resource
first = fresh()
ask(first)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
try:
    while True:
        held.append(fresh())
except OSError as error:
    assert error.errno == errno.EMFILE
ask(first)
for sock in held:
    ask(sock, 2)
    sock.close()
ask(fresh())
say("well")
""").good().fast()


# --- processes --------------------------------------------------------------------------------

def test_pitfall_29_sockets_made_after_root_is_given_up(pair, tmp_path):
    """The one that was made before goes on as it was, those that come work."""
    Life(pair, tmp_path, """
words = open(sys.argv[2], "a")
first = fresh()
ask(first)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
ask(first)
for i in range(3):
    ask(fresh())
ask(first)
print("well", file=words)
""").good().fast_but(400, least=300)


@in_columns
@pytest.mark.parametrize("call", ["unshare", "setns"])
def test_pitfall_30_another_network_namespace(pair, tmp_path, call, column):
    """Sockets keep theirs, on the fast path; new ones are of the other, and of the first again after the way back."""
    with echoes(pair):
        client = Client(pair, [PYTHON, "-c", """
import ctypes, errno, os, socket, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
NEWNET = 0x40000000
server = os.environ["TALK_ADDRESS"]
def stream():
    sock = socket.create_connection((server, 9001), timeout=20)
    sock.settimeout(20)
    return sock
def rounds(sock):
    for i in range(50):
        sock.send(b"%04d" % i)
        assert sock.recv(4) == b"%04d" % i
def datagrams():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(20)
    sock.connect((server, 9000))
    return sock
def elsewhere():
    for make in stream, datagrams:
        try:
            make()
            print("connected")
        except OSError as error:
            assert error.errno == errno.ENETUNREACH, error
old = stream(), datagrams()
for sock in old:
    rounds(sock)
home = os.open("/proc/self/ns/net", os.O_RDONLY)
if sys.argv[1] == "unshare":
    assert libc.unshare(NEWNET) == 0
else:
    thread = threading.Thread(target=lambda: (libc.unshare(NEWNET), there.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))))
    there = []
    thread.start()
    thread.join()
    assert libc.setns(there[0], NEWNET) == 0
for sock in old:
    rounds(sock)
elsewhere()
for sock in old:
    rounds(sock)
assert libc.setns(home, NEWNET) == 0
new = stream(), datagrams()
for sock in (*new, *old):
    rounds(sock)
print("well")
""", call], column=column)
    client.good("well")
    if column != "A":
        assert no_fast(client.sockets), client.sockets
        return
    theirs = [sock for sock in client.sockets if sock["remote_port"] in (9000, 9001)]
    assert len(theirs) >= 4 and all(sock["tx_fast"] and not sock["tx_kernel"] for sock in theirs), client.sockets
    assert {fsock.reason_name(sock["reason"]) for sock in client.sockets if not sock["accelerated"]} >= {"namespace"}, client.sockets


TALK = """
import os, select, socket, subprocess, sys
def rounds(sock):
    for i in range(50):
        sock.send(b"%04d" % i)
        assert sock.recv(4) == b"%04d" % i
"""

ROUNDS_ONCE = TALK + """
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if sys.argv[1] == "9000" else socket.SOCK_STREAM)
sock.connect((os.environ["TALK_ADDRESS"], int(sys.argv[1])))
rounds(sock)
print("well")
"""

# Takes a descriptor, talks over it and gives it back.
GIVEN = TALK + """
way = socket.socket(fileno=int(sys.argv[1]))
_, fds, _, _ = socket.recv_fds(way, 1, 1)
sock = socket.socket(fileno=fds[0])
rounds(sock)
socket.send_fds(way, [b"x"], fds)
"""

GIVES = TALK + """
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if sys.argv[1] == "9000" else socket.SOCK_STREAM)
sock.connect((os.environ["TALK_ADDRESS"], int(sys.argv[1])))
rounds(sock)
mine, theirs = socket.socketpair()
env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD" or sys.argv[2] == "fsock"}
with subprocess.Popen([sys.executable, "-c", sys.argv[3], str(theirs.fileno())], pass_fds=[theirs.fileno()], env=env) as other:
    socket.send_fds(mine, [b"x"], [sock.fileno()])
    sock.close()
    _, fds, _, _ = socket.recv_fds(mine, 1, 1)
    rounds(socket.socket(fileno=fds[0]))
assert other.returncode == 0
print("well")
"""


@pytest.mark.parametrize("receiver", ["fsock", "kernel"])
@pytest.mark.parametrize("port", [9000, 9001], ids=["datagrams", "stream"])
def test_pitfall_22_to_another_process_and_back(pair, port, receiver):
    """By SCM_RIGHTS, to a program with the library and to one without: the socket works there, and here again."""
    with echoes(pair):
        client = Client(pair, [PYTHON, "-c", GIVES, port, receiver, GIVEN])
    client.good("well")
    assert any(sock["tx_fast"] == 50 for sock in client.sockets), client.sockets


TAKES = f"""
import ctypes, errno, os, socket, sys
call, own, number = ctypes.CDLL(None, use_errno=True).syscall, os.pidfd_open(int(sys.argv[1])), int(sys.argv[2])
sock = socket.socket(fileno=call({SYS_PIDFD_GETFD}, own, number, 0))
def said(of, *words):
    try:
        return of(*words)
    except OSError as error:
        return errno.errorcode[error.errno]
connected = isinstance(said(sock.getpeername), tuple)
print(connected, said(sock.recv, 4, socket.MSG_DONTWAIT), said(sock.send, b"1234", socket.MSG_NOSIGNAL))
"""
IS_TAKEN = TALK + """
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if sys.argv[1] == "9000" else socket.SOCK_STREAM)
sock.connect((os.environ["TALK_ADDRESS"], int(sys.argv[1])))
rounds(sock)
env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
argv = [sys.executable, "-c", sys.argv[2], str(os.getpid()), str(sock.fileno())]
print(subprocess.run(argv, env=env, check=True, capture_output=True, text=True).stdout, end="")
if sys.argv[1] == "9000":
    sock.recv(4)  # the answer to the other's
rounds(sock)
"""


@pytest.mark.parametrize("port, seen", [(9000, "True EAGAIN 4"), (9001, "False ENOTCONN EPIPE")], ids=["datagrams", "stream"])
def test_pitfall_22_taken_by_a_stranger(pair, port, seen):
    """By pidfd_getfd(), of which no kernel tells: it has the kernel's half. That sends datagrams, but hears none, and is no
    connection; the program's goes on as if nothing had been."""
    with echoes(pair):
        client = Client(pair, [PYTHON, "-c", IS_TAKEN, port, TAKES])
    client.good(seen)
    assert [sock["tx_fast"] for sock in client.sockets] == [100], client.sockets


# What a set reports of a pipe, of datagrams and of a stream in it, before and after the program is another.
SETS = """
import os, select, socket, sys
address = os.environ["TALK_ADDRESS"]
if len(sys.argv) == 2:
    datagrams, stream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
    datagrams.connect((address, 9000))
    stream.connect((address, 9001))
    out, into = os.pipe()
    members = select.epoll()
    for fd in out, datagrams, stream:
        members.register(fd, select.EPOLLIN)
else:
    out, into, *numbers, of_set = map(int, sys.argv[2:])
    datagrams, stream = (socket.socket(fileno=number) for number in numbers)
    members = select.epoll.fromfd(of_set)
def hear(turns):
    for turn in range(turns):
        os.write(into, b"x")
        assert members.poll(20) == [(out, select.EPOLLIN)]
        os.read(out, 1)
        for sock in datagrams, stream:
            sock.send(b"1234")
            assert members.poll(20) == [(sock.fileno(), select.EPOLLIN)]
            assert sock.recv(4) == b"1234"
hear(20)
print("well", flush=True)
if len(sys.argv) == 2:
    while not select.select([sys.stdin], [], [], 0)[0]:
        hear(10)
    numbers = out, into, datagrams.fileno(), stream.fileno(), members.fileno()
    for number in numbers:
        os.set_inheritable(number, True)
    try:
        os.execv("/nowhere", ["nowhere"])
    except FileNotFoundError:
        hear(20)
    if os.environ["HEIR"] == "kernel":
        del os.environ["LD_PRELOAD"]
    os.execv(sys.executable, [sys.executable, "-c", sys.argv[1], sys.argv[1], *map(str, numbers)])
"""


@pytest.mark.parametrize("heir", ["fsock", "kernel"])
def test_ep_27_an_executed_program_inherits_a_set(pair, heir):
    """Its members' registrations are the kernel's from then on, with the data that the program gave (P28, too)."""
    argv = fsock.run([PYTHON, "-c", SETS, SETS], **LATENCY)
    env = {**fsock.CLEAN, "TALK_ADDRESS": net.B4, "HEIR": heir}
    with echoes(pair), pair.a.popen(argv, env=env, stdin=subprocess.PIPE) as client:
        assert client.wait_for("well"), client.err
        assert proc.until(lambda: [sock["accelerated"] and sock["tx_fast"] > 40 and not sock["tx_kernel"] for sock in
                                   fsock.sockets(fsock.stat(client.pid))] == [True, True]), fsock.stat(client.pid)
        client.child.stdin.close()
        done = client.finish()
    assert (done.status, done.out) == (0, "well\nwell\n"), done.err


# Of the set that a program goes on using, another one that has inherited it tells what it hears.
LISTENS = """
import select, sys
members = select.epoll.fromfd(int(sys.argv[1]))
print("waits", flush=True)
print(sorted(members.poll(20)), flush=True)
"""
SHARES = TALK + """
datagrams, stream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
datagrams.connect((os.environ["TALK_ADDRESS"], 9000))
stream.connect((os.environ["TALK_ADDRESS"], 9001))
rounds(datagrams)
rounds(stream)
out, into = os.pipe()
members = select.epoll()
for fd in out, datagrams, stream:
    members.register(fd, select.EPOLLIN)
env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
argv = [sys.executable, "-c", sys.argv[1], str(members.fileno())]
heirs = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True, pass_fds=[members.fileno()])
assert heirs.stdout.readline() == "waits\\n"
for sock in datagrams, stream:
    sock.send(b"1234")
    assert members.poll(20) == [(sock.fileno(), select.EPOLLIN)]
    assert sock.recv(4) == b"1234"
os.write(into, b"x")
assert heirs.stdout.read() == f"[({out}, 1)]\\n" and heirs.wait() == 0
assert members.poll(20) == [(out, select.EPOLLIN)]
rounds(datagrams)
rounds(stream)
print("well")
"""


def test_ep_27_an_executed_program_waits_for_its_parents_set(pair):
    """Without fsock: of what the parent has on the fast path it hears nothing, and the parent as ever."""
    with echoes(pair):
        client = Client(pair, [PYTHON, "-c", SHARES, LISTENS])
    client.good("well").fast(2)


ABORTS = TALK + """
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if sys.argv[1] == "9000" else socket.SOCK_STREAM)
sock.connect((os.environ["TALK_ADDRESS"], int(sys.argv[1])))
rounds(sock)
os.abort()
"""


@pytest.mark.parametrize("filter_", ["kill", "refuse"])
@pytest.mark.parametrize("port", [9000, 9001], ids=["datagrams", "stream"])
def test_pitfall_31_a_filter_that_stands_before(pair, filter_, port):
    """A service manager's: what a stack asks of the kernel would be the program's death, or is refused. It runs all the same."""
    confined = [PYTHON, PROGRAMS / "confined.py", filter_]
    with echoes(pair):
        client = Client(pair, [PYTHON, "-c", ROUNDS_ONCE, port], before=confined).good("well")
    reasons = {fsock.reason_name(sock["reason"]) for sock in client.sockets}
    assert reasons == {"confined" if filter_ == "kill" else "privilege"}, (client.sockets, client.done.err)
    assert not any(sock["tx_fast"] for sock in client.sockets), client.sockets
    assert ("seccomp" in client.done.err) == (filter_ == "kill"), client.done.err


@in_columns
@pytest.mark.parametrize("port", [9000, 9001], ids=["datagrams", "stream"])
def test_pitfall_32_a_program_that_aborts(pair, tmp_path, port, column):
    """Its core is none larger by what the stack reserves, and who comes next has the interface and the fast path."""
    unlimited = ["sh", "-c", f'cd {tmp_path} && ulimit -c unlimited && exec "$@"', "sh"]
    with echoes(pair):
        for turn in range(2):
            client = Client(pair, [PYTHON, "-c", ABORTS, port], before=unlimited, column=column)
            assert client.done.status == -signal.SIGABRT, (client.done.status, client.done.err)
        next_one = Client(pair, [PYTHON, "-c", ROUNDS_ONCE, port], column=column).good("well")
    fast = [sock["tx_fast"] for sock in next_one.sockets]
    assert fast == [50] if column == "A" else no_fast(next_one.sockets), next_one.sockets
    cores = [path.stat().st_blocks * 512 for path in tmp_path.iterdir()]
    assert cores or pathlib.Path("/proc/sys/kernel/core_pattern").read_text()[0] in "|/"
    assert all(size < 100 << 20 for size in cores), cores


ROUNDS = """
import os, socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if sys.argv[1] == "9000" else socket.SOCK_STREAM)
sock.connect((os.environ["TALK_ADDRESS"], int(sys.argv[1])))
count = 0
while not os.path.exists(sys.argv[2]):
    for i in range(200):
        sock.send(b"%04d" % i)
        assert sock.recv(4) == b"%04d" % i
    count += 200
    print(count, flush=True)
"""


def further(program, rounds=1000):
    """The program goes on: it says a number that is larger by @rounds."""
    def said():
        return int((program.out.splitlines() or ["0"])[-1])

    first = said()
    return proc.until(lambda: said() >= first + rounds or not program.alive()) and program.alive()


@in_columns
@pytest.mark.parametrize("port", [9000, 9001], ids=["datagrams", "stream"])
def test_pitfall_33_a_debugger_comes_and_goes(pair, tmp_path, port, column):
    """Attached while it spins, and detached, again and again: it goes on, and its threads are none the worse."""
    end = tmp_path / "end"
    argv = argv_in(column, [PYTHON, "-c", ROUNDS, port, end])
    with contextlib.closing(fsock.Report()) as report, echoes(pair), pair.a.popen(
            argv, env={**fsock.CLEAN, **report.env, "TALK_ADDRESS": net.B4}, fds=(report.fd,), cpu=proc.cpus()[0]) as client:
        assert further(client), client.err
        for turn in range(4):
            with proc.Process(["strace", "-f", "-qq", "-o", "/dev/null", "-p", client.pid]) as tracer:
                assert proc.until(lambda: "TracerPid:\t0" not in pathlib.Path(f"/proc/{client.pid}/status").read_text())
                assert further(client, 200), client.err
                tracer.stop()
            client.send(signal.SIGSTOP)
            client.send(signal.SIGCONT)
            assert further(client), client.err
        end.touch()
        done = client.finish()
        assert done.status == 0, done.err
        assert report.counts().all_fast(4000) if column == "A" else no_fast(report.sockets()), report.counts()


SPINS = """
import ctypes, os, select, socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if sys.argv[1] == "9000" else socket.SOCK_STREAM)
sock.connect((os.environ["TALK_ADDRESS"], int(sys.argv[1])))
for i in range(100):
    sock.send(b"%04d" % i)
    assert sock.recv(4) == b"%04d" % i
members = select.epoll()
members.register(sock, select.EPOLLIN)
poll = select.poll()
poll.register(sock, select.POLLIN)
waits = {"recv": lambda: sock.recv(4), "poll": poll.poll, "epoll": members.poll,
         "select": lambda: select.select([sock], [], [])}
print("waits", flush=True)
if sys.argv[3] == "default":
    import signal
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    waits[sys.argv[2]]()
try:
    waits[sys.argv[2]]()
except KeyboardInterrupt:
    pass
for i in range(100):
    sock.send(b"%04d" % i)
    assert sock.recv(4) == b"%04d" % i
print("well", flush=True)
"""


def sleeps(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


@pytest.mark.alone
@in_columns
@pytest.mark.parametrize("wait, port, handler", [("recv", 9000, "own"), ("poll", 9000, "own"), ("epoll", 9001, "own"),
                                                 ("recv", 9001, "own"), ("select", 9001, "own"), ("epoll", 9000, "default")])
def test_pitfall_35_interrupted_while_it_spins(pair, wait, port, handler, column):
    """In the latency profile a call spins without end: SIGINT is handled, or ends it, all the same."""
    argv = argv_in(column, [PYTHON, "-c", SPINS, port, wait, handler])
    with contextlib.closing(fsock.Report()) as report, echoes(pair), pair.a.popen(
            argv, env={**fsock.CLEAN, **report.env, "TALK_ADDRESS": net.B4}, fds=(report.fd,), cpu=proc.cpus()[0]) as client:
        assert client.wait_for("waits"), client.err
        if column == "A":
            assert fsock.accelerated(client.pid)
            # That it is in the call shows in its own processor time: it computes on.
            assert proc.until(lambda: spent(client.pid) > 0)
            before = spent(client.pid)
            # If others took its processor meanwhile it sleeps all the same.
            assert proc.until(lambda: spent(client.pid) > before + 10 or sleeps(client.pid))
        else:
            assert proc.until(lambda: sleeps(client.pid))
        client.send(signal.SIGINT)
        done = client.finish()
        if handler == "default":
            assert done.status == -signal.SIGINT, (done.status, done.err)
            return
        assert (done.status, done.out) == (0, "waits\nwell\n"), (done.status, done.out, done.err)
        assert report.counts().all_fast(200) if column == "A" else no_fast(report.sockets()), report.counts()


def spent(pid):
    """Processor time of @pid in the program itself, in ticks."""
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])


# --- traffic inside the host ------------------------------------------------------------------

@pytest.fixture(name="bridged")
def _bridged():
    """A pair of containers behind a bridge of the host, which is .m, at HOST."""
    with net.Line() as line:
        for words in ("link add br0 type bridge", *(f"link set {end} master br0" for end in line.ENDS),
                      f"addr add {HOST}/24 dev br0", "link set br0 up"):
            assert line.m.run(["ip", *words.split()]).status == 0, words
        line.meet = lambda: None  # they know each other for good
        yield line


HOST = "10.77.0.3"


@contextlib.contextmanager
def fast_echo(pair, port):
    """A server under fsock in pair.b that echoes datagrams on port 9000 or streams on 9001."""
    words = ["echo_server.py", "socket", net.B4, port] if port == 9000 else ["stream_echo.py", net.B4, port]
    argv = fsock.run([PYTHON, PROGRAMS / words[0], *words[1:]], **LATENCY)
    with pair.b.popen(argv, env=fsock.CLEAN, cpu=proc.cpus()[1]) as server:
        assert server.wait_for("ready"), server.err
        yield server


@pytest.mark.parametrize("port", [9000, 9001], ids=["datagrams", "stream"])
def test_pitfall_52_containers_behind_a_bridge(bridged, port):
    """Two accelerated programs of one host reach each other by the fast path at both ends; and the host reaches one."""
    with fast_echo(bridged, port) as server:
        client = Client(bridged, [PYTHON, "-c", ROUNDS_ONCE, port]).good("well")
        assert [sock["tx_fast"] for sock in client.sockets] == [50], client.sockets
        assert client.sockets[0]["rx_fast"] and not client.sockets[0]["rx_kernel"], client.sockets
        seen = fsock.sum_counts(fsock.sockets(fsock.settled(server.pid)))
        assert seen.all_fast(50 if port == 9000 else 0), seen
        host = bridged.m.run([PYTHON, "-c", ROUNDS_ONCE, port], env={"TALK_ADDRESS": net.B4})
        assert (host.status, host.out) == (0, "well\n"), host.err


@pytest.mark.parametrize("port", [9000, 9001], ids=["datagrams", "stream"])
def test_pitfall_52_two_programs_of_one_namespace(pair, port):
    """They reach each other by the kernel, the one that serves others by the fast path meanwhile."""
    pair.meet()
    with fast_echo(pair, port) as server:
        Client(pair, [PYTHON, "-c", ROUNDS_ONCE, port]).good("well")
        beside = pair.b.run(fsock.run([PYTHON, "-c", ROUNDS_ONCE, port], **LATENCY), env={
            **fsock.CLEAN, "TALK_ADDRESS": net.B4})
        assert (beside.status, beside.out) == (0, "well\n"), beside.err
        client = Client(pair, [PYTHON, "-c", ROUNDS_ONCE, port]).good("well")
        assert [sock["tx_fast"] for sock in client.sockets] == [50], client.sockets
        assert fsock.accelerated(server.pid)


# --- memory and clocks ------------------------------------------------------------------------

@in_columns
def test_pitfall_54_all_memory_locked(pair, tmp_path, column):
    """mlockall() of all that comes: what the stack reserves is not taken, and a child has it, too."""
    life = Life(pair, tmp_path, """
def kib(name):
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith(name)))
before = kib("VmRSS")
assert libc.mlockall(3) == 0
sock = fresh()
ask(sock)
child = os.fork()
if child == 0:
    ask(sock)
    assert libc.mlockall(3) == 0
    ask(fresh())
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
ask(sock)
ask(fresh())
say(kib("VmRSS") - before)
""", column=column)
    life.good(life.said).fast()
    assert int(life.said) < 300 << 10, life.said


HUGE = """
def figure(name, of="status"):
    return int(next(line.split()[1] for line in open(f"/proc/self/{of}") if line.startswith(name)))
mine = [bytes([i]) * (8 << 20) for i in range(8)]
huge = figure("AnonHugePages", "smaps_rollup")
before = figure("VmRSS")
sock = fresh()
ask(sock)
for i in range(10):
    child = os.fork()
    if child == 0:
        ask(sock, 10)
        mine[i % 8] += b"x"
        os._exit(figure("VmRSS") - before > 150 << 10)
    assert os.waitpid(child, 0)[1] == 0
ask(sock)
ask(fresh())
say(huge, figure("VmRSS") - before)
"""


@in_columns
def test_pitfall_54_huge_pages(pair, tmp_path, column):
    """A program whose memory is in huge pages: neither it nor its children take more by what the stack reserves."""
    life = Life(pair, tmp_path, HUGE, env={"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}, column=column)
    life.good(life.said).fast()
    huge, grown = map(int, life.said.split())
    assert grown < 100 << 10, life.said
    assert huge > 0 or "[never]" in pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text(), life.said


@in_columns
def test_pitfall_57_clocks_that_jump(pair, program, column):
    """Time limits are the kernel's time, whatever the program's clocks say."""
    with echoes(pair):
        client = Client(pair, [program("odd"), "patient"], preload=[program("clocks.so"), library()], column=column)
    client.good(*well("patient")).fast(4)


@pytest.mark.alone
def test_pitfall_13_a_thread_that_sends_as_the_program_ends(pair, program):
    """While it is still writing what it printed: the end is as if the thread went on, and not by SIGPIPE."""
    def writes_its_last(running):
        return int.from_bytes(fcntl.ioctl(running.stdout, termios.FIONREAD, bytes(4)), sys.byteorder) > 0

    with echoes(pair):
        argv = ["env", f"TALK_ADDRESS={net.B4}", *fsock.run([program("odd"), "ends"], profile="latency")]
        with subprocess.Popen(list(map(str, pair.a.argv(argv))), stdout=subprocess.PIPE) as running:
            assert proc.until(lambda: writes_its_last(running) or running.poll() is not None)
            time.sleep(0.3)  # in which the other thread calls again
            lines = running.stdout.read().splitlines()
        assert (running.returncode, len(lines), set(lines)) == (0, 50000, {b"a line"})


@in_columns
def test_ep_35_more_threads_than_processors(pair, program, column):
    """Four that spin on one processor: whoever has something to do gets at it."""
    with echoes(pair):
        client = Client(pair, [program("odd"), "crowd"], column=column)
    client.good(*well(*["crowd"] * 4)).fast(8)


IDLE = """
def switches():
    return sum(int(line.split()[1]) for task in os.listdir("/proc/self/task") for line in open(f"/proc/self/task/{task}/status")
               if line.startswith("voluntary_ctxt_switches"))
members = select.epoll()
streams = [stream() for i in range(1000)]
datagrams = []
for i in range(9000):
    datagrams.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    datagrams[-1].bind(("", 20000 + i if i < 2000 else 0))
for sock in streams + datagrams:
    members.register(sock, select.EPOLLIN)
first = fresh()
ask(first)
members.poll(0.5)
before = switches()
assert members.poll(3) == []
woken = switches() - before
streams[-1].send(b"1234")
assert members.poll(20) == [(streams[-1].fileno(), select.EPOLLIN)]
say(woken)
"""


@in_columns
def test_ep_32_ten_thousand_idle_sockets(pair, tmp_path, column):
    """Nobody wakes for them, three thousand of which are accelerated: not who waits for them, nor the helper."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    more = ["sh", "-c", f'ulimit -S -n {most}; exec "$@"', "sh"]
    with echoes_of_streams(pair, around=more):
        life = Life(pair, tmp_path, MEMORY + IDLE, around=more, options={
            "profile": "default", "client_datagrams": 0, "client_connects": 1}, column=column)
    life.good(life.said).fast()
    assert column != "A" or sum(sock["accelerated"] for sock in life.sockets) == 3001, len(life.sockets)
    assert int(life.said) < 60, life.said # in three seconds: twenty a second would be a tick


# --- often ------------------------------------------------------------------------------------

MEMORY = """
def kib():
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmRSS")))
def stream():
    sock = socket.create_connection((sys.argv[1], 9001), timeout=20)
    for i in range(10):
        sock.send(b"%04d" % i)
        assert sock.recv(4) == b"%04d" % i
    return sock
"""


def flat(pair, tmp_path, script):
    """After a first part in which there was everything once (records of sockets among it) the rest takes no more memory."""
    with echoes_of_streams(pair):
        life = Life(pair, tmp_path, MEMORY + script, options={"max_sockets": 1024})
    life.good(life.said).fast()
    grown = int(life.said)
    assert grown < 1024, f"{grown} KiB more"


@contextlib.contextmanager
def echoes_of_streams(pair, around=()):
    pair.meet()
    with pair.b.popen([*around, PYTHON, PROGRAMS / "stream_echo.py", net.B4, 9001], env=fsock.CLEAN) as streams:
        assert streams.wait_for("ready"), streams.err
        yield


def test_ep_38_members_come_and_go(pair, tmp_path):
    """Two hundred thousand registrations of sockets that stay, and five thousand of such that are closed while registered."""
    flat(pair, tmp_path, """
members, others = select.epoll(), select.epoll()
datagrams, connection = fresh(), stream()
ask(datagrams)
def churn(times):
    for i in range(times):
        for sock in datagrams, connection:
            members.register(sock, select.EPOLLIN)
            others.register(sock, select.EPOLLIN | select.EPOLLET)
            members.modify(sock, select.EPOLLIN | select.EPOLLOUT)
            members.unregister(sock)
            others.unregister(sock)
def come_and_go(times):
    for i in range(times):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if i % 2 else socket.SOCK_STREAM)
        members.register(sock, select.EPOLLIN)
        others.register(sock, select.EPOLLIN)
        sock.close()
churn(1000)
come_and_go(2000)
before = kib()
churn(50000)
come_and_go(5000)
grown = kib() - before
members.register(datagrams, select.EPOLLIN)
datagrams.send(b"1")
assert members.poll(20) == [(datagrams.fileno(), select.EPOLLIN)]
say(grown)
""")


def test_pitfall_56_sockets_come_and_go(pair, tmp_path):
    """Four thousand of each kind, bound or listening, and two hundred connections: no memory, descriptor or place is lost."""
    flat(pair, tmp_path, """
def come_and_go(times):
    for i in range(times):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("", 0))
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            if i % 10 == 0:
                sock.bind(("", 0))
                sock.listen()
        if i % 20 == 0:
            stream().close()
ask(fresh())
come_and_go(1000)
before, open_before = kib(), numbers()
come_and_go(4000)
assert numbers() == open_before, numbers() ^ open_before
ask(fresh())
say(kib() - before)
""")


def test_pitfall_56_a_million_sockets(pair, program, whole):
    """As fast as they can be made: bound ones, some that send, listeners, and such as are closed at once."""
    times = 1000000 if whole else 50000
    with echoes(pair):
        client = Client(pair, [program("odd"), "churn", times], options={"max_sockets": 1024}, timeout=600)
    assert client.done.status == 0, (client.done.out, client.done.err[-3000:])
    figures = dict(line.split(": ") for line in client.lines)
    assert figures["made"] == str(times) and int(figures["KiB more"]) < 1024 and figures["descriptors more"] == "0", client.lines
