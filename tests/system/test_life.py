# SPDX-License-Identifier: BSD-2-Clause
"""
The life of a process under the preload: odd starts, short limits, descriptors closed and replaced, other preloaded
libraries. More than one process: test_processes.py. Tests named test_hazard_NN_ are rows of the hazards table.
"""
import pathlib
import re
import resource
import subprocess

import pytest

from lab import fsock, net, proc
from life import LATENCY, Life, library


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
select.select(socks[:1], [], [], 20)
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
thread.join(20)
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
    again.settimeout(20)
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
ctypes.CDLL("libc.so.6").syscall(3 if os.uname().machine == "x86_64" else 57, socks.pop(150).detach())
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
raw = ctypes.CDLL("libc.so.6").syscall # libc's own, past ours
poll.register(sock, select.POLLIN)
for turn in range(3):
    number = sock.fileno()
    assert raw(close, number) == 0
    assert raw(make, socket.AF_INET, socket.SOCK_DGRAM, 0) == number
    port = 9100 + turn
    plain = socket.socket(fileno=number)
    plain.bind(("127.0.0.1", port))
    if "{reader}" == "epoll":
        epoll.register(number, select.EPOLLIN)
    os.system(f"echo -n word | socat - UDP4:127.0.0.1:{{port}}")
    if "{reader}" == "poll":
        assert poll.poll(20000) == [(number, select.POLLIN)]
    if "{reader}" == "epoll":
        assert epoll.poll(20) == [(number, select.EPOLLIN)]
    plain.settimeout(20)
    assert plain.recv(100) == b"word"
    sock.detach()
    plain.close()
    sock = fresh()
    ask(sock)
say("well")
""").good()


def test_number_taken_by_a_message(pair, tmp_path):
    """P21: what comes by SCM_RIGHTS gets the number of a socket that was closed past every symbol, with something to read."""
    Life(pair, tmp_path, """
close = 3 if os.uname().machine == "x86_64" else 57
raw = ctypes.CDLL("libc.so.6").syscall # libc's own, past ours
here, there = socket.socketpair()
for turn in range(3):
    sock = fresh()
    ask(sock)
    sock.setblocking(True)
    sock.send(b"unread")
    assert select.select([sock], [], [], 20)[0]
    out, into = os.pipe()
    number = sock.detach()
    assert raw(close, number) == 0
    socket.send_fds(here, [b"x"], [out])
    _, (got,), _, _ = socket.recv_fds(there, 1, 1)
    assert got == number
    os.write(into, b"word")
    assert os.read(got, 10) == b"word"
    for fd in got, out, into:
        os.close(fd)
ask(fresh())
say("well")
""").good().fast()


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


@pytest.mark.parametrize("by", ["prctl", "syscall"])
def test_pitfall_31_confined_by_a_filter(pair, tmp_path, by):
    """What the fast path would ask of the kernel kills from here on: the socket goes on, and others begin, in the kernel."""
    life = Life(pair, tmp_path, f"""
# Of x86-64: bpf, io_uring_setup, clone, clone3, pidfd_getfd, process_vm_readv, epoll_create1, _ctl, _pwait, rt_sigpending,
# setsockopt.
KILLS = (321, 425, 56, 435, 438, 310, 291, 233, 281, 127, 54)
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
def step(code, yes, no, value):
    return code.to_bytes(2, "little") + bytes((yes, no)) + value.to_bytes(4, "little")
code = step(0x20, 0, 0, 0) # the number of the call
for number in KILLS:
    code += step(0x15, 0, 1, number) + step(6, 0, 0, 0x80000000)
code += step(6, 0, 0, 0x7fff0000)
filter = Program(len(code) // 8, ctypes.cast(ctypes.c_char_p(code), ctypes.c_void_p))
sock = fresh()
ask(sock)
wait, go = os.pipe()
if os.fork() == 0: # so that the socket is not this process's alone
    os.close(go)
    os.read(wait, 1)
    os._exit(0)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, None, 0, 0) == -1 # it only asks
ask(sock)
if "{by}" == "prctl":
    assert libc.prctl(22, 2, ctypes.byref(filter), 0, 0) == 0
else:
    assert libc.syscall(317, 1, 0, ctypes.byref(filter)) == 0
assert select.select([sock], [], [], 0.05)[0] == []
until = time.monotonic() + 2.5 # longer than the stack lets be what it looks after
while time.monotonic() < until:
    ask(sock, 10)
os.close(go)
os.wait()
ask(sock, 10) # its own alone now
ask(fresh(), 10)
tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
tcp.bind(("0.0.0.0", 0))
tcp.listen()
say("well")
""").good()
    assert life.reasons() == {"confined"} and life.counts.fast >= 200, (life.reasons(), life.counts)


# --- hazard 22: short programs ----------------------------------------------------------------

def test_hazard_22_dig_attaches_nothing(pair):
    server = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null",
              "--pid-file=", "--user=root", f"--listen-address={net.B4}", "--bind-interfaces",
              "--address=/test.example/192.0.2.7"]
    with pair.b.popen(server):
        assert proc.until(lambda: ":53 " in pair.b.run(["ss", "-Hlun"]).out)
        done = pair.a.run(["strace", "-f", "-e", "trace=bpf,bind", *fsock.run(
            ["dig", "+short", "+tries=1", "+time=20", f"@{net.B4}", "test.example"], bypass="none")],
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


@pytest.mark.parametrize("sanitizer", ["address", "undefined", "address,undefined", "thread"])
def test_a_client_with_sanitizers(pair, tmp_path, sanitizer):
    """ThreadSanitizer has the stack's addresses for itself: its program runs on the kernel's sockets, and is told so."""
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
    if sanitizer == "thread":
        assert seen.fast == 0 and "address" in done.err, (seen, done.err)
    else:
        assert seen.all_fast(397), seen
