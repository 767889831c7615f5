# SPDX-License-Identifier: BSD-2-Clause
"""
The life of a process under the preload: odd starts, short limits, descriptors closed and replaced,
forks, threads, exec, other preloaded libraries. Tests named test_hazard_NN_ are rows of the hazards table.
"""
import json
import os
import pathlib
import re
import resource
import subprocess

import pytest

from lab import fsock, net, proc

PROGRAMS = pathlib.Path(__file__).resolve().parent / "programs"
PYTHON = "/usr/bin/python3"
LATENCY = {"profile": "latency"}

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
    sock.settimeout(3)
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


class Life:
    """One client against an echo server, both on the fast path: .done, .said (its words), .sockets."""

    def __init__(self, pair, tmp_path, script, options=None, around=(), before=(), env=None,
                 preexec=None, timeout=60, args=()):
        """@around wraps the client inside `fsock run`, @before outside; None leaves `fsock run` out."""
        words = tmp_path / "said"
        words.write_text("")
        argv = [PYTHON, "-c", PRELUDE + script, net.B4, words, *args]
        argv = [*around, *argv]
        if before is not None:
            argv = [*before, *fsock.run(argv, **{**LATENCY, **(options or {})})]
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
        """At least so many datagrams, all of them fast."""
        assert self.counts.all_fast(least), \
            (self.counts, "server:", self.server, self.done.err)
        return self

    def fast_but(self, kernel, least=100):
        """The same, but for @kernel of them at most: those between an owner's end and the take-over."""
        assert self.counts.fast >= least and self.counts.total - self.counts.fast <= kernel, \
            (self.counts, "server:", self.server, self.done.err)
        return self


# --- start ------------------------------------------------------------------------------------

def _calls(env):
    """System calls by which /bin/true takes memory or descriptors, but for mapping files."""
    trace = subprocess.run(["strace", "-e", "trace=%memory,%network,memfd_create,eventfd2,io_uring_setup,bpf",
                            "/bin/true"], capture_output=True, text=True, check=True, env=env).stderr
    return [line for line in trace.splitlines() if re.match(r"\w+\(", line) and "MAP_FIXED" not in line
            and not line.startswith(("mprotect", "munmap"))
            and (not line.startswith("mmap") or "MAP_ANONYMOUS" in line)]


def test_hazard_23_a_program_without_sockets_allocates_nothing():
    """Loading the library takes neither heap nor anonymous memory nor a descriptor."""
    names = [[re.match(r"\w+", call)[0] for call in _calls(env)]
             for env in ({}, {"LD_PRELOAD": str(library())})]
    assert names[0] == names[1]


def test_hazard_23_ldd_shows_libc_alone():
    out = subprocess.run(["ldd", library()], capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"(?:^|\s|/)((?:lib|ld-|linux-vdso)[\w.+-]*\.so[\w.]*)", out)) - \
        {"linux-vdso.so.1", "libc.so.6"} <= {"ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}, out


@pytest.mark.parametrize("closed", ["0", "1", "2", "012"])
def test_standard_descriptors_closed(pair, tmp_path, closed):
    """The program's sockets take the numbers 0 to 2; nothing of ours is written to them."""
    shut = " ".join(f"{n}{'<' if n == '0' else '>'}&-" for n in closed)
    Life(pair, tmp_path, """
socks = [fresh() for i in range(3)]
assert min(sock.fileno() for sock in socks) == int(sys.argv[3])
for sock in socks:
    ask(sock)
os.write(socks[0].fileno(), b"by write")
select.select(socks[:1], [], [], 3)
assert os.read(socks[0].fileno(), 100) == b"BY WRITE"
say("well")
""", around=["sh", "-c", f'exec "$@" {closed[0]} {shut}', "sh"]).good().fast()


def test_standard_error_replaced_by_a_socket(pair, tmp_path):
    """Descriptor 2 is the program's socket: a line of the log would go to its peer."""
    life = Life(pair, tmp_path, """
os.close(2)
sock = fresh()      # a line about this socket would be echoed
assert sock.fileno() == 2
ask(sock)
sock.settimeout(0.3)
try:
    say("heard", sock.recv(1000))
except TimeoutError:
    say("well")
""", options={"log": "debug"})
    life.good()


# --- limits -----------------------------------------------------------------------------------

def _limit(*limits):
    def set_limits():
        for which, value in limits:
            resource.setrlimit(which, (value, value))
    return set_limits


COUNT_NUMBERS = """
sock = fresh()
ask(sock)
mine = []
try:
    while True:
        mine.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
os.close(mine.pop())
say(len(mine))
"""


def test_few_descriptors(pair, tmp_path):
    """RLIMIT_NOFILE 20: kernel sockets, a line that says why, and no number lost to the program."""
    few = ["sh", "-c", 'ulimit -n 20; exec "$@"', "sh"]
    kernel = Life(pair, tmp_path, COUNT_NUMBERS, around=few, before=None)
    ours = Life(pair, tmp_path, COUNT_NUMBERS, around=few)
    assert ours.done.status == 0, ours.done.err
    assert "descriptor" in ours.done.err or ours.counts.fast > 100, ours.done.err
    assert ours.said == kernel.said, ours.done.err


def test_hazard_24_a_gigabyte_of_address_space(pair, tmp_path):
    """RLIMIT_AS: the stack is mapped region by region, so that it fits or falls back with a reason."""
    life = Life(pair, tmp_path, "ask(fresh())\nsay('well')", preexec=_limit((resource.RLIMIT_AS, 1 << 30)))
    life.good()
    assert "memory" in life.done.err or life.counts.all_fast(100), life.done.err


def test_hazard_24_hardly_any_address_space(pair, tmp_path):
    life = Life(pair, tmp_path, """
import resource
used = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + (4 << 20), used + (4 << 20)))
ask(fresh())
say("well")
""")
    life.good()
    assert life.counts.fast == 0
    assert "memory" in life.done.err or life.reasons() == {"memory"}, (life.sockets, life.done.err)


@pytest.mark.af_xdp
def test_locked_memory(pair, tmp_path):
    """RLIMIT_MEMLOCK without CAP_IPC_LOCK: the reason is recorded and a line says it."""
    life = Life(pair, tmp_path, "ask(fresh())\nsay('well')",
                before=["setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock"],
                preexec=_limit((resource.RLIMIT_MEMLOCK, 64 << 10)))
    life.good()
    assert life.counts.fast == 0
    assert "RLIMIT_MEMLOCK" in life.done.err or "privilege" in life.done.err, life.done.err


def test_short_files(pair, tmp_path):
    """RLIMIT_FSIZE: growing the stack's memory must not end the program with SIGXFSZ."""
    life = Life(pair, tmp_path, "ask(fresh())\nsay('well')", preexec=_limit((resource.RLIMIT_FSIZE, 1 << 20)))
    life.good()


# --- hazard 24: addresses ---------------------------------------------------------------------

TAKE_SLOTS = """
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
def take(slots):
    for slot in slots:
        at = 0x200000000000 + slot * (64 << 30)
        assert libc.mmap(at, 4096, 0, 0x100022, -1, 0) == at
"""


def test_hazard_24_the_first_address_is_taken(pair, tmp_path):
    Life(pair, tmp_path, TAKE_SLOTS + "take([0, 1])\nask(fresh())\nsay('well')").good().fast()


def test_hazard_24_every_address_is_taken(pair, tmp_path):
    life = Life(pair, tmp_path, TAKE_SLOTS + "take(range(16))\nask(fresh())\nsay('well')")
    life.good()
    assert life.counts.fast == 0 and "address" in life.done.err, life.done.err


# --- descriptors ------------------------------------------------------------------------------

CLOSE_ALL = {
    "close_range": "assert libc.close_range(3, 0xffffffff, 0) == 0",
    "closefrom": "libc.closefrom(3)",
    "loop": "for fd in range(3, 66000): libc.close(fd)",
}


@pytest.mark.parametrize("how", CLOSE_ALL)
def test_closing_everything(pair, tmp_path, how):
    """The program's descriptors go, ours stay: sockets opened later are as fast as the first."""
    life = Life(pair, tmp_path, f"""
first = fresh()
ask(first)
number = first.fileno()
{CLOSE_ALL[how]}
assert all(libc.fcntl(fd, 1) == -1 for fd in range(3, 16))
first.detach()
second = fresh()
assert second.fileno() == 3, second.fileno()
ask(second, 300)
say("well")
""").good()
    assert life.counts.rx_fast >= 395, life.counts


def test_closing_everything_before_the_first_socket(pair, tmp_path):
    Life(pair, tmp_path, """
libc.closefrom(3)
ask(fresh())
assert [name for name in os.listdir("/proc/self/fd") if int(name) > 100], "nothing of fsock's is open"
say("well")
""").good()


def test_close_on_exec_for_a_range(pair, tmp_path):
    """CLOSE_RANGE_CLOEXEC closes nothing now."""
    Life(pair, tmp_path, """
sock = fresh()
assert libc.close_range(3, 0xffffffff, 4) == 0
ask(sock)
say("well")
""").good().fast()


CLOSE_OURS = {
    "close_range": "assert libc.close_range(100, 0xffffffff, 0) == 0",
    "closefrom": "libc.closefrom(100)",
    "loop": "for fd in range(100, 66000): libc.close(fd)",
    "dup2": """
null = os.open("/dev/null", os.O_RDONLY)
for fd in [fd for fd in numbers() if fd > 950]:
    assert libc.dup2(null, fd) == fd
for fd in range(100, 66000): libc.close(fd)
""",
}


@pytest.mark.parametrize("how", CLOSE_OURS)
def test_closing_everything_beside_a_sleeping_thread(pair, tmp_path, how):
    """What other threads sleep on is not the program's either: they sleep on, and wake."""
    Life(pair, tmp_path, f"""
import threading
quiet = fresh()
ask(quiet)
quiet.settimeout(None)
got = []
def wait():
    for i in range(20):
        got.append(quiet.recv(100))
thread = threading.Thread(target=wait, daemon=True)
thread.start()
time.sleep(0.05)
ours = len([fd for fd in numbers() if fd > 950]) # the harness's own report is at 900
{CLOSE_OURS[how]}
assert len([fd for fd in numbers() if fd > 950]) == ours
begin = time.process_time()
for i in range(20):
    time.sleep(0.02)
    quiet.send(b"%d" % i)
thread.join(3)
assert got == [b"%d" % i for i in range(20)], got
assert time.process_time() - begin < 0.3, time.process_time() - begin
say("well")
""", options={"profile": "default", "client_datagrams": 0}).good()


def test_a_child_closes_what_its_parents_threads_sleep_on(pair, tmp_path):
    Life(pair, tmp_path, """
import threading
quiet = fresh()
ask(quiet)
quiet.settimeout(None)
if os.fork() == 0: # the first one makes doorbells
    os._exit(0)
os.wait()
def child_sees():
    there, here = os.pipe()
    if os.fork() == 0:
        os.write(here, b"%d" % len(numbers()))
        os._exit(0)
    os.wait()
    seen = int(os.read(there, 10))
    os.close(there)
    os.close(here)
    return seen
before = child_sees()
threads = [threading.Thread(target=quiet.recv, args=(100,)) for i in range(8)]
for thread in threads:
    thread.start()
time.sleep(0.05)
assert child_sees() == before
while any(thread.is_alive() for thread in threads):
    quiet.send(b"1")
    time.sleep(0.01)
say("well")
""", options={"profile": "default", "client_datagrams": 0}).good()


def test_poll_of_as_many_entries_as_descriptors_are_allowed(pair, tmp_path):
    """Two entries more than the program's would be refused: it sleeps all the same, and wakes."""
    Life(pair, tmp_path, """
import resource
class Entry(ctypes.Structure):
    _fields_ = [("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short)]
sock = fresh()
ask(sock)
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
for limit in 1100, 40:
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    for n in limit - 1, limit:
        entries = (Entry * n)(*[Entry(-1, 0, 0)] * n)
        entries[n - 1] = Entry(sock.fileno(), select.POLLIN, 0)
        begin = time.process_time()
        assert libc.poll(entries, n, 300) == 0
        assert time.process_time() - begin < 0.15, time.process_time() - begin
        sock.send(b"1")
        assert libc.poll(entries, n, 3000) == 1 and entries[n - 1].revents == select.POLLIN
        assert sock.recv(100) == b"1"
    entries = (Entry * (limit + 1))(*[Entry(sock.fileno(), select.POLLIN, 0)] * (limit + 1))
    assert libc.poll(entries, limit + 1, 0) == -1 and ctypes.get_errno() == 22
say("well")
""", options={"profile": "default", "client_datagrams": 0}).good()


def test_internal_descriptors_are_not_the_programs(pair, tmp_path):
    """close() on one of ours says EBADF, dup2() onto one gives the program its number and us another."""
    Life(pair, tmp_path, """
import errno
before = numbers()
sock = fresh()
ask(sock)
ours = sorted(fd for fd in numbers() - before if fd > 100)
assert len(ours) > 4, ours
for fd in ours:
    assert libc.close(fd) == -1 and ctypes.get_errno() == errno.EBADF, fd
ask(sock)
null = os.open("/dev/null", os.O_RDONLY)
for fd in ours:
    assert libc.dup2(null, fd) == fd
    assert os.readlink(f"/proc/self/fd/{fd}") == "/dev/null", fd
    ask(sock, 10)
for fd in ours:
    os.close(fd)
ask(sock)
ask(fresh())
say("well")
""").good().fast()


@pytest.mark.parametrize("seconds", [3 * 10**9, 10**10])
def test_a_time_limit_beyond_any_clock(pair, tmp_path, seconds):
    """select() and SO_RCVTIMEO of a century and of three wait for what comes."""
    Life(pair, tmp_path, f"""
import signal, struct, threading
signal.alarm(20)
sock = fresh()
ask(sock)
sock.settimeout(None)
limit = ctypes.create_string_buffer(struct.pack("ll", {seconds}, 1500000))
for i in range(3):
    threading.Timer(0.1, sock.send, [b"late"]).start()
    members = (ctypes.c_ulong * 16)()
    members[sock.fileno() // 64] = 1 << sock.fileno() % 64
    assert libc.select(sock.fileno() + 1, members, None, None, limit) == 1
    assert sock.recv(10) == b"LATE"
sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", {seconds}, 0))
for i in range(3):
    threading.Timer(0.1, sock.send, [b"late"]).start()
    assert sock.recv(10) == b"LATE"
say("well")
""").good().fast()


def test_duplicates_share_the_socket(pair, tmp_path):
    """The last duplicate closes; which number is used does not matter."""
    Life(pair, tmp_path, """
import fcntl
sock = fresh()
copies = [os.dup(sock.fileno()), os.dup2(sock.fileno(), 200), fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD, 300)]
ask(sock)
sock.close()
for fd in copies:
    again = socket.socket(fileno=fd)
    again.settimeout(3)
    ask(again)
    again.close()
ask(fresh())
say("well")
""").good().fast()


def test_number_closed_inside_libc(pair, tmp_path):
    """fclose() closes behind the symbols; the number's next owner must get its own data."""
    Life(pair, tmp_path, """
libc.fdopen.restype = ctypes.c_void_p
libc.fclose.argtypes = [ctypes.c_void_p]
sock = fresh()
ask(sock)
number = sock.detach()
stream = libc.fdopen(number, b"r")
assert libc.fclose(stream) == 0
file = os.open(sys.argv[2], os.O_RDONLY)
assert file == number
say("the file")
assert os.read(file, 100) == b"the file\\n"
os.close(file)
ask(fresh())
say("well")
""").good("the file\nwell\n").fast()


def test_descriptor_closed_out_of_sight_among_many(pair, tmp_path):
    """One of three hundred is closed past libc while another one works: it is found, and no other."""
    life = Life(pair, tmp_path, """
socks = [fresh() for i in range(300)]
libc.syscall(3 if os.uname().machine == "x86_64" else 57, socks.pop(150).detach())
until = time.monotonic() + 3
while time.monotonic() < until:
    ask(socks[0], 100)
for sock in socks:
    ask(sock, 2)
say("well")
""").good().fast()
    lost = [sock for sock in life.sockets if fsock.reason_name(sock["reason"]) == "fd_passed"]
    assert len(lost) == 1, lost


def test_number_replaced_inside_libc(pair, tmp_path):
    """freopen() puts a file where the socket was; fdopen() makes the socket the kernel's, for good."""
    life = Life(pair, tmp_path, """
for name in "fdopen", "freopen", "freopen64", "fgets":
    getattr(libc, name).restype = ctypes.c_void_p
libc.freopen.argtypes = libc.freopen64.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p]
libc.fgets.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
libc.fwrite.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p]
libc.fflush.argtypes = libc.fclose.argtypes = [ctypes.c_void_p]
for reopen in libc.freopen, libc.freopen64:
    sock = fresh()
    ask(sock)
    sock.setblocking(True)
    number = sock.detach()
    stream = libc.fdopen(number, b"r+")
    line = ctypes.create_string_buffer(100)
    assert libc.fwrite(b"hello\\n", 1, 6, stream) == 6 and libc.fflush(stream) == 0
    at = libc.fgets(line, 100, stream)
    assert at and line.value == b"HELLO\\n", (at, line.raw)
    assert reopen(sys.argv[2].encode(), b"r", stream) == stream
    say("the file")
    assert os.read(number, 9) == b"the file\\n"
    assert libc.fclose(stream) == 0
    open(sys.argv[2], "w").close()
ask(fresh())
say("well")
""").good()
    assert "option" in life.reasons()


@pytest.mark.parametrize("reader", ["recv", "poll", "epoll"])
def test_number_replaced_past_every_symbol(pair, tmp_path, reader):
    """P21: a raw close() and another socket on the number; what we knew of it is noticed to be stale."""
    Life(pair, tmp_path, f"""
sock = fresh()
ask(sock)
poll, epoll = select.poll(), select.epoll()
close, make = (3, 41) if os.uname().machine == "x86_64" else (57, 198)
poll.register(sock, select.POLLIN)
for turn in range(3):
    number = sock.fileno()
    assert libc.syscall(close, number) == 0
    assert libc.syscall(make, socket.AF_INET, socket.SOCK_DGRAM, 0) == number
    port = 9100 + turn
    plain = socket.socket(fileno=number)
    plain.bind(("127.0.0.1", port))
    if "{reader}" == "epoll":
        epoll.register(number, select.EPOLLIN)
    os.system(f"echo -n word | socat - UDP4:127.0.0.1:{{port}}")
    if "{reader}" == "poll":
        assert poll.poll(2000) == [(number, select.POLLIN)]
    if "{reader}" == "epoll":
        assert epoll.poll(2) == [(number, select.EPOLLIN)]
    plain.settimeout(2)
    assert plain.recv(100) == b"word"
    sock.detach()
    plain.close()
    sock = fresh()
    ask(sock)
say("well")
""").good()


def test_two_hundred_sockets(pair, tmp_path):
    Life(pair, tmp_path, """
socks = [fresh() for i in range(200)]
for turn in range(3):
    for sock in socks:
        ask(sock, 2)
for sock in socks[::2]:
    sock.close()
for sock in socks[1::2]:
    ask(sock, 2)
say("well")
""").good().fast(least=2500)


# --- processes --------------------------------------------------------------------------------

def test_hazard_09_parent_and_child_take_turns(pair, tmp_path):
    """Both receive from the inherited socket, both on the fast path."""
    Life(pair, tmp_path, """
sock = fresh()
ask(sock)
there, back = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    for turn in range(10):
        os.read(there[0], 1)
        ask(sock, 50)
        os.write(back[1], b"x")
    os._exit(0)
for turn in range(10):
    ask(sock, 50)
    os.write(there[1], b"x")
    os.read(back[0], 1)
assert os.waitpid(child, 0)[1] == 0
ask(sock)
say("well")
""").good().fast(least=2200)


def test_hazard_09_sleepers_of_both_processes_wake(pair, tmp_path):
    """A datagram wakes whoever waits for it, in poll and in receive, whichever process drives."""
    Life(pair, tmp_path, """
mine, other = fresh(), fresh()
ask(mine)
ask(other)
child = os.fork()
for turn in range(100):
    ask(mine if child else other, 1)
    time.sleep(0.001)
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
say("well")
""", options={"profile": "default", "client_datagrams": 0}).good()


# Two sockets and a thread asleep for one of them. The tool is asked what the stack counted; it is started
# by vfork(), which makes no process of ours.
RUNG = """
import json, subprocess, threading
def rung():
    time.sleep(0.02)
    told = subprocess.run([sys.argv[3], "stat", "--json", "--all", str(os.getpid())], capture_output=True,
                          env={}, check=True, close_fds=False)
    return json.loads(told.stdout)["stacks"][0]["counters"]["wakeups_rung"]
def drive(sock, count):
    "Polls the ports without ever sleeping."
    sock.setblocking(False)
    for i in range(count):
        sock.send(b"%d" % i)
        end = time.monotonic() + 3
        while True:
            try:
                assert sock.recv(100, socket.MSG_DONTWAIT) == b"%d" % i
                break
            except BlockingIOError:
                assert time.monotonic() < end
active, quiet = fresh(), fresh()
ask(active)
ask(quiet)
members = select.epoll()
members.register(quiet, select.EPOLLIN)
quiet.settimeout(None)
def waiter():
    return quiet.recv(100)
def set_waiter():
    return quiet.recv(100, socket.MSG_DONTWAIT) if members.poll(3) else None
def poll_waiter():
    return quiet.recv(100, socket.MSG_DONTWAIT) if select.select([members.fileno()], [], [], 3)[0] else None
def arrived():
    "A datagram of the quiet socket lies in the stack, whoever drove, or its reader has it."
    end = time.monotonic() + 1
    while time.monotonic() < end and not got:
        try:
            return quiet.recv(100, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass
got = []
def start(how):
    thread = threading.Thread(target=lambda: got.append(how()))
    thread.start()
    time.sleep(0.02)
    return thread
"""


@pytest.mark.parametrize("how", ["waiter", "set_waiter", "poll_waiter"])
def test_a_doorbell_rings_only_for_whom_it_concerns(pair, tmp_path, how):
    """A thread asleep for one socket is not rung for another's datagrams, and is for its own."""
    Life(pair, tmp_path, RUNG + f"""
for turn in range(20):
    got.clear()
    thread = start({how})
    if turn == 0:
        before = rung()
        drive(active, 1000)
        say(rung() - before)
    quiet.send(b"1")
    arrived()
    thread.join(1)
    assert got == [b"1"], (turn, got)
say("well")
""", options={"profile": "default", "client_datagrams": 0}, args=(fsock.tool(),)).good("0\nwell\n")


def test_hazard_31_sendmmsg_starts_the_provider_once(pair, tmp_path):
    """Thirty-two datagrams in one call cost one kick, and arrive in order (bench/run has both floors, udp_tp)."""
    Life(pair, tmp_path, """
import json, struct, subprocess
def kicks():
    time.sleep(1.2) # published once a second by a program that calls
    sock.send(b"tell")
    sock.recv(100)
    told = subprocess.run([sys.argv[3], "stat", "--json", "--all", str(os.getpid())], capture_output=True,
                          env={}, check=True, close_fds=False)
    return sum(port["counters"]["kicks"] for port in json.loads(told.stdout)["stacks"][0]["ports"])
sock = fresh()
ask(sock)
words = [ctypes.create_string_buffer(b"%02d" % i, 2) for i in range(40)]
iov = (ctypes.c_ulong * 80)(*sum([[ctypes.addressof(w), 2] for w in words], []))
vec = (ctypes.c_char * (64 * 40))()
for i in range(40): # struct mmsghdr: name, its length, iov, number, control, length, flags, sent
    struct.pack_into("QIxxxxQQQQixxxxIxxxx", vec, 64 * i, 0, 0, ctypes.addressof(iov) + 16 * i, 1, 0, 0, 0, 99)
before = kicks()
for turn in range(20):
    assert libc.sendmmsg(sock.fileno(), vec, 32, 0) == 32
    assert [struct.unpack_from("I", vec, 64 * i + 56)[0] for i in range(33)] == [2] * 32 + [99]
    assert [sock.recv(100) for i in range(32)] == [b"%02d" % i for i in range(32)]
after = kicks()
assert after - before <= 20 * 2 + 10, after - before
assert libc.sendmmsg(sock.fileno(), vec, 40, 0) == 40
assert [sock.recv(100) for i in range(40)] == [b"%02d" % i for i in range(40)]
say("well")
""", options={"profile": "latency"}, args=(fsock.tool(),)).good().fast(least=1300)


@pytest.mark.alone
def test_who_makes_a_set_ready_wakes_its_sleepers(pair, tmp_path):
    """A member that is readable when it is added, or armed anew, ends the wait of another thread."""
    Life(pair, tmp_path, RUNG + """
members.unregister(quiet)
members.register(active, 0)
for how in members.register, members.modify:
    thread = start(lambda: len(members.poll(60)))
    quiet.send(b"1")
    assert arrived()
    time.sleep(0.02) # what woke the thread by the way is over
    how(quiet, select.EPOLLIN | select.EPOLLONESHOT)
    thread.join(30)
    assert not thread.is_alive() and got == [1], got
    got.clear()
say("well")
""", options={"profile": "default", "client_datagrams": 0}, args=(fsock.tool(),)).good()

# The client's last words but one: its stack's counters, as another process sees them.
SHOW_COUNTERS = f"""
import json, subprocess
def show():
    done = subprocess.run([{str(fsock.tool())!r}, "stat", "--json", str(os.getpid())], capture_output=True,
                          env={{}}, timeout=60)
    with open(sys.argv[2] + ".stat", "wb") as file:
        file.write(done.stdout)
"""

# A parent that leaves at once, and the moment when nothing of it is left.
ORPHAN = """
def orphan(parent=None):
    parent = parent or os.getpid()
    if os.fork():
        os._exit(0)
    gone(parent)
def gone(pid):
    while os.path.exists(f"/proc/{pid}/fd/0"):
        time.sleep(0.01)
"""


class Orphans(Life):
    """Clients whose first process leaves before the last one ends (which calls end())."""

    def __init__(self, pair, tmp_path, script, options=None):
        words = tmp_path / "said"
        end = """
def end():
    show()
    say("well")
    with open(sys.argv[2] + ".end", "w") as file:
        file.write("x")
"""
        super().__init__(pair, tmp_path, SHOW_COUNTERS + ORPHAN + end + script, options=options,
                         around=["sh", "-c", '"$@"; n=0; while [ ! -s "$0.end" ] && [ $n -lt 150 ]; '
                                 'do n=$((n+1)); sleep 0.1; done; sleep 0.2', str(words)])
        stat = tmp_path / "said.stat"
        self.stacks = json.loads(stat.read_text())["stacks"] if stat.exists() else []

    def count(self, name):
        return sum(stack["counters"].get(name, 0) for stack in self.stacks)


def test_hazard_06_child_goes_on_after_its_parent(pair, tmp_path):
    """The parent leaves, the child's socket works on as fast as before, and so does a new one."""
    life = Orphans(pair, tmp_path, """
sock = fresh()
ask(sock)
orphan()
ask(sock, 500)
ask(fresh(), 500)
end()
""").good().fast_but(kernel=40, least=2000)
    assert life.count("ports_reopened") == 1


@pytest.mark.parametrize("bound", ["before", "after"])
def test_hazard_06_daemon(pair, tmp_path, bound):
    """daemon() after the socket was made and before it is bound, and the other way round."""
    life = Orphans(pair, tmp_path, f"""
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(3)
def use():
    sock.bind(("", 9100))
    sock.connect((sys.argv[1], 9000))
    ask(sock)
if {bound == "before"}:
    use()
assert libc.daemon(1, 1) == 0
if {bound == "after"}:
    use()
ask(sock, 500)
ask(fresh(), 500)
end()
""").good().fast_but(kernel=40, least=2000)
    assert life.count("ports_reopened") == (bound == "before")


def test_hazard_06_three_generations(pair, tmp_path):
    """Each takes over from its parent; what was queued when the parent died is read."""
    life = Orphans(pair, tmp_path, """
sock = fresh()
ask(sock)
for generation in range(3):
    sock.send(b"FIRST")
    assert select.select([sock], [], [], 3)[0]
    orphan()
    assert sock.recv(100) == b"FIRST"
    ask(sock, 200)
ask(fresh())
end()
""").good().fast_but(kernel=40, least=1600)
    assert life.count("ports_reopened") == 3


BLOCKED = {
    "recv": "return sock.recv(100)",
    "epoll": """
    ep = select.epoll()
    ep.register(sock, select.EPOLLIN)
    assert ep.poll(5) == [(sock.fileno(), select.EPOLLIN)]
    return sock.recv(100)""",
    "poll": "select.select([sock], [], [], 5); return sock.recv(100)",
}


@pytest.mark.af_xdp
@pytest.mark.parametrize("how", BLOCKED)
@pytest.mark.parametrize("profile", ["default", "latency"])
def test_owner_leaves_while_the_child_waits(pair, tmp_path, how, profile):
    """A child asleep learns of the owner's end by itself and adopts the port; no datagram wakes it."""
    life = Orphans(pair, tmp_path, f"""
def wait(sock):
    {BLOCKED[how]}
sock = fresh()
sock.settimeout(8)
ask(sock)
start, done = os.pipe(), os.pipe()
parent = os.getpid()
if os.fork():
    os.read(start[0], 1)
    time.sleep(0.3)
    os._exit(0)
ask(sock)
import threading
got = []
sleeper = threading.Thread(target=lambda: got.append(wait(sock)))
sleeper.start()
os.write(start[1], b"x")
gone(parent)
time.sleep(0.3)
links = subprocess.run(["ip", "-d", "link", "show", "dev", {net.LINK!r}], capture_output=True, env={{}}).stdout
say(b"prog/xdp" in links)
sock.send(b"LATE")
sleeper.join()
assert got == [b"LATE"], got
ask(sock, 500)
ask(fresh(), 500)
end()
""", options={"profile": profile, "client_datagrams": 0})
    life.good("True\nwell\n").fast_but(kernel=40, least=2000)
    assert life.count("ports_adopted") == 1 and life.count("ports_reopened") == 0


@pytest.mark.parametrize("joined", [True, False])
def test_owner_becomes_another_program(pair, tmp_path, joined):
    """Exec takes the attachment with it, though the process lives on: who is left attaches anew."""
    Life(pair, tmp_path, f"""
sock = fresh()
ask(sock)
ours, theirs = os.pipe()
parent = os.getpid()
if os.fork():
    os.read(ours, 1)
    os.execvp("sleep", ["sleep", "4"])
if {joined}:
    ask(sock)
os.write(theirs, b".")
while open(f"/proc/{{parent}}/comm").read() != "sleep\\n":
    time.sleep(0.01)
time.sleep(1.2)
ask(sock, 500)
say("well")
""").good().fast_but(kernel=100, least=500)


def test_owner_killed_in_traffic(pair, tmp_path):
    """kill -9 of the owner while both talk: the joined child goes on, its counters show the fast way."""
    life = Orphans(pair, tmp_path, """
import signal
sock = fresh()
ask(sock)
child = os.fork()
if child:
    mine = fresh()
    while True:
        ask(mine)
ask(sock)
sock.settimeout(3)
parent, lost = os.getppid(), 0
begin = time.monotonic()
turn = 0
while turn < 4000 or time.monotonic() < begin + 2:
    turn += 1
    if turn == 2000:
        os.kill(parent, signal.SIGKILL)
    word = b"T%d" % turn
    sock.send(word)
    try:
        while sock.recv(100) != word:
            pass
    except TimeoutError:
        lost += 1
assert lost <= 2, (turn, lost)
ask(fresh())
end()
""")
    life.good().fast_but(kernel=2000, least=3000)
    assert life.count("ports_adopted") == 1


def test_twenty_take_overs(pair, tmp_path):
    """Memory stays as it was, frames come back to the pool, and nobody's descriptors pile up."""
    life = Orphans(pair, tmp_path, """
def size():
    links = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in numbers() if fd > 100}
    return [os.stat(fd).st_size for fd, link in links.items() if link.startswith("/memfd:fsock-stack")]
sock = fresh()
ask(sock)
sizes, counts = [], []
for generation in range(21):
    sock.send(b"X")
    assert select.select([sock], [], [], 3)[0]
    orphan()
    assert sock.recv(100) == b"X"
    ask(sock, 30)
    sizes.append(size())
    counts.append(len(numbers()))
assert sizes[-1] == sizes[0], sizes
assert counts[-1] <= counts[1] + 1, counts
end()
""").good().fast_but(kernel=100, least=1000)
    assert life.count("ports_reopened") == 21
    ports = [port for stack in life.stacks for port in stack["ports"]]
    assert ports[0]["frames_free"] >= ports[0]["frames_total"] // 4, ports


def test_parent_closes_before_the_childs_first_use(pair, tmp_path):
    """The child finds socket, epoll set and what was queued as the parent left them at the fork."""
    Life(pair, tmp_path, """
sock, other = fresh(), fresh()
ask(sock)
ep = select.epoll()
ep.register(sock, select.EPOLLIN)
sock.send(b"QUEUED")
assert select.select([sock], [], [], 3)[0]
child = os.fork()
if child:
    number = sock.fileno()
    sock.close()
    ep.close()
    assert os.waitpid(child, 0)[1] == 0
    ask(other)
    say("well")
else:
    time.sleep(1.5)    # housekeeping has run
    assert ep.poll(3) == [(sock.fileno(), select.EPOLLIN)]
    assert sock.recv(100) == b"QUEUED"
    ask(sock, 300)
    os._exit(0)
""").good().fast(least=1000)


GHOST = """
import signal
def ports():
    "Local ports that somebody's record still calls accelerated."
    done = subprocess.run([TOOL, "stat", "--json", "--all", str(os.getpid())], capture_output=True, env={},
                          timeout=60, close_fds=False)
    socks = [sock for stack in json.loads(done.stdout)["stacks"] for sock in stack["sockets"]]
    return {int(sock["local"].rsplit(":", 1)[1]) for sock in socks
            if sock.get("accelerated") and sock["fd"] >= 0}
import json, subprocess
sock, other = fresh(), fresh()
ask(sock)
ask(other)
"""


@pytest.mark.parametrize("end", ["exec", "uses and exec", "dies", "closes"])
@pytest.mark.parametrize("asleep", [False, True])
def test_a_socket_no_child_will_use_is_let_go(pair, tmp_path, end, asleep):
    """The child execs, dies or closes what it inherited: within a second or so the port is nobody's."""
    ways = {"exec": "os.execvp('sleep', ['sleep', '20'])",
            "uses and exec": "ask(sock, 10); os.execvp('sleep', ['sleep', '20'])",
            "dies": "time.sleep(0.5); os._exit(0)",
            "closes": "os.close(sock.fileno()); time.sleep(20); os._exit(0)"}
    wait = "select.select([other], [], [], 3)" if asleep else """
for i in range(30):
    time.sleep(0.1)
    ask(other, 1)
"""
    Life(pair, tmp_path, f"TOOL = {str(fsock.tool())!r}\n" + GHOST + f"""
port = sock.getsockname()[1]
child = os.fork()
if child == 0:
    {ways[end]}
sock.close()
{wait}
seen = other.getsockname()[1] in ports(), port in ports()
assert seen == (True, False), (seen, port, ports())
# Whoever binds the port next has it, on the fast path.
again = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
again.settimeout(3)
again.bind(("", port))
again.connect((sys.argv[1], 9000))
ask(again, 300)
assert port in ports()
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
say("well")
""").good().fast(least=800)


@pytest.mark.parametrize("way", ["chroot(os.path.dirname(sys.argv[2]))", "setresuid(65534, 65534, 65534)"])
def test_a_child_that_its_parent_cannot_see(pair, tmp_path, way):
    """Where the parent may not look into /proc any more the port is the kernel's again, and nothing is lost."""
    life = Life(pair, tmp_path, f"""
sock, other = fresh(), fresh()
ask(sock)
ask(other)
for i in range(100):
    sock.send(b"queued")
assert select.select([sock], [], [], 3)[0]
out = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND)
child = os.fork()
if child:
    sock.close()
    os.{way}
    for i in range(25):    # housekeeping runs
        time.sleep(0.1)
        ask(other, 4)
    assert os.waitpid(child, 0)[1] == 0
    os.write(out, b"well\\n")
else:
    time.sleep(2.2)
    for i in range(100):
        assert sock.recv(10) == b"QUEUED"
    ask(sock, 300)
    os._exit(0)
""").good()
    assert life.counts.fast >= 800, life.counts
    assert "join_denied" in life.reasons(), life.sockets


@pytest.mark.parametrize("how", ["recv", "epoll", "poll"])
def test_a_child_in_another_pid_namespace_takes_no_lock(pair, tmp_path, how):
    """Its numbers mean nothing to the others: what it uses is the kernel's, for both, with the reason."""
    life = Life(pair, tmp_path, f"""
def wait(sock):
    {BLOCKED[how]}
sock, other = fresh(), fresh()
ask(sock)
ask(other)
assert libc.unshare(0x20000000) == 0    # CLONE_NEWPID: for children
child = os.fork()
if child:
    def ready():
        members = select.epoll()
        members.register(other, select.EPOLLIN)
        return members.poll(0.2)
    ready()
    assert os.waitpid(child, 0)[1] == 0
    ask(other)
    while select.select([sock], [], [], 0.1)[0]:
        assert sock.recv(100) in (b"1", b"WORD")
    ask(sock)
    ask(fresh())    # the parent's stack goes on
    say("well")
else:
    assert os.getpid() == 1
    sock.send(b"1")
    time.sleep(0.1)
    for i in range(20):
        sock.send(b"WORD")
        assert wait(sock) in (b"1", b"WORD")
    ask(fresh())
    os._exit(0)
""").good()
    assert "pid_namespace" in life.reasons(), life.sockets
    assert life.counts.fast >= 600, life.counts


def test_another_program_takes_the_interface_first(pair, tmp_path):
    """The owner died, a second program attached: the orphan's sockets are the kernel's, with the reason."""
    life = Orphans(pair, tmp_path, f"""
sock = fresh()
ask(sock)
parent = os.getpid()
if os.fork():
    os._exit(0)
gone(parent)
other = subprocess.Popen([{str(fsock.tool())!r}, "run", "--profile=latency", "--", sys.executable, "-c",
    "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 9200));"
    "print('up', flush=True); sys.stdin.read()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
assert other.stdout.readline() == b"up\\n"
ask(sock)
ask(fresh())
other.stdin.close()
other.wait()
end()
""")
    life.good()
    assert "interface_busy" in life.reasons(), life.sockets


def test_hazard_09_epoll_of_an_orphan_keeps_the_programs_data(pair, tmp_path):
    """Where a child may not drive the stack its epoll set still answers with what the program gave."""
    Life(pair, tmp_path, """
sock = fresh()
ask(sock)
ep = select.epoll()
ep.register(sock, select.EPOLLIN)
sock.send(b"1")
assert ep.poll(3) == [(sock.fileno(), select.EPOLLIN)]
assert sock.recv(10) == b"1"
parent = os.getpid()
if os.fork():
    os._exit(0)
while os.path.exists(f"/proc/{parent}/fd/0"):
    time.sleep(0.01)
time.sleep(0.1)
sock.send(b"2")
assert ep.poll(3) == [(sock.fileno(), select.EPOLLIN)]
assert sock.recv(10) == b"2"
readable, _, _ = select.select([ep], [], [], 0.1)
assert readable == []
say("well")
""", around=["sh", "-c", '"$@"; sleep 3', "sh"]).good()


def test_a_vfork_child_leaves_its_parent_alone(pair, tmp_path):
    """subprocess closes and replaces descriptors in a child that shares the parent's memory."""
    life = Life(pair, tmp_path, """
import subprocess
sock = fresh()
ask(sock)
for i in range(5):
    assert subprocess.run(["echo", "word"], capture_output=True).stdout == b"word\\n"
    try:
        subprocess.run(["/does/not/exist"])
    except FileNotFoundError:
        pass
    assert os.system("true") == 0
    ask(sock)
say("well")
""").good().fast(least=1100)
    assert len([s for s in life.sockets if s["rx_fast"]]) == 1, life.sockets


def test_exec_with_an_inherited_socket(pair, tmp_path):
    """The new program knows the number only: the kernel's socket is complete."""
    Life(pair, tmp_path, """
if len(sys.argv) > 3 and sys.argv[3].isdigit():
    sock = socket.socket(fileno=int(sys.argv[3]))
    sock.settimeout(3)
    ask(sock)
    ask(fresh())
    say("well")
else:
    sock = fresh()
    ask(sock)
    os.set_inheritable(sock.fileno(), True)
    os.execv(sys.executable, [sys.executable, "-c", os.environ["SCRIPT"], *sys.argv[1:3], str(sock.fileno())])
""".replace('os.environ["SCRIPT"]', 'open("/proc/self/cmdline").read().split("\\0")[2]')).good()


def test_threads_come_and_go(pair, tmp_path):
    """A thread that slept in a call leaves no descriptor behind."""
    Life(pair, tmp_path, """
import threading
sock = fresh()
sock.settimeout(None)
ask(sock)
def turn():
    thread = threading.Thread(target=sock.recv, args=(100,))
    thread.start()
    time.sleep(0.004)
    sock.send(b"1")
    thread.join()
for i in range(5):
    turn()
before = len(numbers())
for i in range(40):
    turn()
assert len(numbers()) <= before + 2, len(numbers()) - before
say("well")
""", options={"profile": "default", "client_datagrams": 0}).good()


# --- hazard 27: privilege, threads ------------------------------------------------------------

def test_hazard_27_no_helper_thread_and_the_same_capabilities(pair, tmp_path):
    Life(pair, tmp_path, """
def state():
    lines = open("/proc/self/status").read().splitlines()
    names = ("Cap", "NoNewPrivs", "Seccomp", "SigBlk", "SigCgt", "Threads")
    return [line for line in lines if line.startswith(names)]
before = state()
sock = fresh()
ask(sock)
assert state() == before, (before, state())
say("well")
""").good().fast()


# --- hazard 22: short programs ----------------------------------------------------------------

def test_hazard_22_dig_attaches_nothing(pair):
    server = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null",
              "--pid-file=", "--user=root", f"--listen-address={net.B4}", "--bind-interfaces",
              "--address=/test.example/192.0.2.7"]
    with pair.b.popen(server):
        done = pair.a.run(["strace", "-f", "-e", "trace=bpf,bind", *fsock.run(
            ["dig", "+short", "+tries=3", "+time=1", f"@{net.B4}", "test.example"], bypass="none")],
            env=fsock.CLEAN)
    assert "192.0.2.7" in done.out, done.err
    assert "BPF_" not in done.err and "AF_XDP" not in done.err, done.err


# --- other preloaded libraries ----------------------------------------------------------------

@pytest.mark.parametrize("order", ["ours first", "ours last"])
def test_beside_jemalloc(pair, tmp_path, order):
    both = [str(library()), str(next(pathlib.Path("/usr/lib").glob("*/libjemalloc.so.2")))]
    if order == "ours last":
        both.reverse()
    life = Life(pair, tmp_path, """
assert "jemalloc" in open("/proc/self/maps").read()
ask(fresh())
say("well")
""", before=None, env={"LD_PRELOAD": ":".join(both), "FSOCK_PROFILE": "latency"})
    life.good().fast()


ASAN_CLIENT = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9000) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	char *buf = malloc(64);

	inet_pton(AF_INET, argv[1], &to.sin_addr);
	if (connect(fd, (void *)&to, sizeof(to)) < 0)
		return 1;
	for (int i = 0; i < 200; i++) {
		snprintf(buf, 64, "%d", i);
		if (send(fd, buf, strlen(buf), 0) < 0 || recv(fd, buf, 64, 0) <= 0 || atoi(buf) != i)
			return 2;
	}
	free(buf);
	close(fd);
	puts("well");
	return 0;
}
"""


@pytest.mark.parametrize("sanitizer", ["address", "undefined", "address,undefined"])
def test_a_client_with_sanitizers(pair, tmp_path, sanitizer):
    source, target = tmp_path / "client.c", tmp_path / "client"
    source.write_text(ASAN_CLIENT)
    subprocess.run(["gcc", "-g", f"-fsanitize={sanitizer}", source, "-o", target], check=True)
    report = fsock.Report()
    pair.meet()
    with Life.echo(pair):
        # The sanitizer wants to be the first library; a program is told by its own runtime how.
        done = pair.a.run(fsock.run([target, net.B4], **LATENCY), fds=(report.fd,), cpu=proc.cpus()[0], env={
            **fsock.CLEAN, **report.env, "ASAN_OPTIONS": "verify_asan_link_order=0:exitcode=99"})
    seen = report.counts()
    report.close()
    assert done.status == 0 and done.out == "well\n", (done.status, done.err[-3000:])
    assert "Sanitizer" not in done.err
    assert seen.all_fast(397), seen
