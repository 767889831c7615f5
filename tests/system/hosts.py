# SPDX-License-Identifier: BSD-2-Clause
"""
hosts - two programs of one host that talk to each other, on kernel sockets, on fsock, or one on either; for test_local.py.

A test gives the words of both, in Python. What they print is compared with what the same words print on kernel sockets,
and who of them used links is the word of fsock's counters. Where one has to wait for the other in a way that no socket
tells, the words are step() and after(): files in a folder of the test, which no socket is part of.
"""
import contextlib
import os
import pathlib
import signal
import tempfile

from lab import fsock, links, proc

PROGRAMS = pathlib.Path(__file__).resolve().parent / "programs"
PYTHON = "/usr/bin/python3"
PORT = 7400
ENDS = ("server", "client")
# Nothing of the tests is about spinning but where it says so, and two that spin share few processors with other tests.
PROFILES = {"default": {"local": 1}, "latency": {"local": 1, "profile": "latency"}}

# sys.argv: who this is, the folder, where the server listens, where the client calls.
PRELUDE = """
import array, contextlib, errno, fcntl, os, random, resource, select, signal, socket, struct, sys, termios, threading
import time, zlib
WHO, FOLDER, LISTEN, CALL = sys.argv[1:5]
PORT = int(sys.argv[5])
GUARD = 40 # seconds: a hang, however busy the machine is
def say(*words):
    print(*words, flush=True)
def step(name):
    with open(FOLDER + "/." + name, "w") as file:
        file.write(str(os.getpid()))
    os.rename(FOLDER + "/." + name, FOLDER + "/" + name)
def after(name):
    end = time.monotonic() + GUARD
    while not os.path.exists(FOLDER + "/" + name):
        assert time.monotonic() < end, name
        time.sleep(0.002)
def after_death(name):
    "Whose last step that was is dead, and its sockets are closed."
    after(name)
    with open(FOLDER + "/" + name) as file, contextlib.suppress(FileNotFoundError, ProcessLookupError):
        stat = f"/proc/{file.read()}/stat"
        until(lambda: open(stat).read().rpartition(")")[2].split()[0] in "ZX")
def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET
def fresh(address=CALL):
    sock = socket.socket(family(address))
    sock.settimeout(GUARD)
    return sock
def listening(address=LISTEN, port=PORT, backlog=64, reuse=False):
    sock = fresh(address)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuse:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((address, port))
    sock.listen(backlog)
    return sock
def serving(**how):
    sock = listening(**how)
    step("listens")
    return sock
def taken(listener):
    sock = listener.accept()[0]
    sock.settimeout(GUARD)
    return sock
def called(address=CALL, port=PORT):
    sock = fresh(address)
    sock.connect((address, port))
    return sock
def tried(call, *args):
    "What a call says: its result, or its error's name."
    try:
        return call(*args)
    except BlockingIOError as error:
        return errno.errorcode[error.errno]
    except TimeoutError as error:
        return errno.errorcode[error.errno] if error.errno else "HANGS"
    except OSError as error:
        return errno.errorcode[error.errno]
def whole(sock, size):
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            break
        data += more
    return data
def to_end(sock):
    "All that comes, and how it ends: end or an error's name."
    data = b""
    while True:
        more = tried(sock.recv, 65536)
        if isinstance(more, str) or not more:
            return len(data), zlib.crc32(data), more or "end"
        data += more
def ready(sock, ms=0, events=select.POLLIN | select.POLLOUT | select.POLLPRI | select.POLLRDHUP):
    "What poll() says of it now, or at the latest in @ms."
    poll = select.poll()
    poll.register(sock, events)
    told = poll.poll(ms)
    names = ("IN", "PRI", "OUT", "ERR", "HUP", "RDHUP")
    return "|".join(name for name in names if told and told[0][1] & getattr(select, "POLL" + name)) or "-"
def until(holds):
    end = time.monotonic() + GUARD
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)
def over():
    step(WHO + ".over")
    after("counted")
"""

# A server and a client that say what their own end and the other's are called; ports that the kernel chose are compared,
# not printed. What they say to each other beside that comes after.
NAMING = """
listener = serving()
sock, name = listener.accept()
sock.settimeout(GUARD)
say("accept", name[0], "here", sock.getsockname()[:2], "there", sock.getpeername()[0], sock.getpeername() == name)
theirs = eval(whole(sock, int(whole(sock, 4))))
say("their name is what we see:", theirs[:2] == name[:2])
"""
NAMED = """
sock = called()
low, high = map(int, open("/proc/sys/net/ipv4/ip_local_port_range").read().split())
name = sock.getsockname()
say("here", name[0], low <= name[1] <= high, "there", sock.getpeername()[:2])
sock.sendall(b"%04d" % len(repr(name)) + repr(name).encode())
"""


class Outcome:
    """
    What one run showed: .lines and .status by who said them, .links (links.Counts, None of who was dead by then) and
    .counters by who has fsock; .kernel, the (bytes, connections) that were the kernel's meanwhile.
    """

    def __init__(self):
        self.lines, self.status, self.err, self.links, self.counters, self.pids = {}, {}, {}, {}, {}, {}
        self.kernel = None

    def told(self):
        return "\n".join(f"{who}: status {self.status[who]}\n" + "\n".join(self.lines[who]) + "\n" + self.err[who][-2000:]
                         for who in self.lines)


def words_of(script, who, folder, listen="127.0.0.1", call="127.0.0.1", port=PORT):
    """The program that says what @script says, as @who."""
    return [PYTHON, "-c", PRELUDE + script, who, folder, listen, call, port]


def _argv(words, options, around):
    argv = [*around, *words]
    return [str(word) for word in argv] if options is None else fsock.run(argv, **options)


def run(place, scripts, options, listen="127.0.0.1", call="127.0.0.1", around=(), killed=(), port=PORT, watch=None,
        sides=None):
    """
    Both @scripts (server's, client's) in the namespace of @place, or each in its own of @sides; of @options, too, each None
    for kernel sockets. What is the kernel's is counted where the server is. @around wraps the programs. Who is @killed may
    die of it, and need not come to its end. @watch(outcome, folder) is called while they run. The client begins once the
    server listens.
    """
    seen = Outcome()
    sides = sides or (place.a, place.a)
    watched = links.Watch(sides[0])
    with tempfile.TemporaryDirectory(prefix="fst-") as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        folder.chmod(0o777)
        running = {}

        def start(i):
            argv = words_of(scripts[i] + "\nover()\n", ENDS[i], folder, listen, call, port)
            running[ENDS[i]] = stack.enter_context(
                sides[i].popen(_argv(argv, options[i], around[i] if around else ()), env=fsock.CLEAN))
            seen.pids[ENDS[i]] = running[ENDS[i]].pid
        start(0)
        proc.until(lambda: (folder / "listens").exists() or not running["server"].alive())
        start(1)
        if watch:
            watch(seen, folder)
        proc.until(lambda: all((folder / f"{who}.over").exists() or not running[who].alive() for who in ENDS))
        for i, who in enumerate(ENDS):
            if options[i] is not None and running[who].alive():
                seen.counters[who] = fsock.counters(seen.pids[who])
                seen.links[who] = links.counts(seen.pids[who])
        seen.kernel = watched.kernel()
        (folder / "counted").touch()
        for who in ENDS:
            done = running[who].finish()
            seen.lines[who], seen.err[who], seen.status[who] = done.out.splitlines(), done.err, done.status
    for who in ENDS:
        well = (0, -signal.SIGKILL) if who in killed else (0,)
        assert seen.status[who] in well, seen.told()
    return seen


def compared(place, server, client, profiles=("default",), **how):
    """
    The outcome on fsock, after both said on it what they say on kernel sockets, in each of @profiles; of the last. Not one
    connection may have been the kernel's.
    """
    truth = run(place, (server, client), (None, None), **how)
    for profile in profiles:
        seen = run(place, (server, client), (PROFILES[profile],) * 2, **how)
        assert seen.lines == truth.lines, f"on the kernel:\n{truth.told()}\non links ({profile}):\n{seen.told()}"
        assert_linked(seen)
    return seen


def assert_linked(seen, least=1, kernel=0):
    """Connections went by links, @least of them at each end that made some, and @kernel by the kernel."""
    assert any(seen.counters.values()), seen.told()
    for who, counts in seen.links.items():
        if not seen.counters[who]: # its children made them
            continue
        assert counts.opened + counts.accepted >= least, (who, counts, seen.counters, seen.told())
    assert seen.kernel[1] == kernel, (seen.kernel, seen.links, seen.told())


def names(place):
    """The names under which programs of @place can be found."""
    said = place.a.run(["cat", "/proc/net/unix"]).out
    return sorted(line.split()[-1] for line in said.splitlines() if "@fsock/" in line)


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))
