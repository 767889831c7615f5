# SPDX-License-Identifier: BSD-2-Clause
"""
Connections through shared memory between programs of one host: how they end, and what forks, threads and deaths do to
them. What the other end sees is what the kernel's TCP shows on the same host. See hosts.py.
"""
import collections
import contextlib
import os
import random
import re
import time

import pytest

import hosts
from hosts import compared, run
from lab import fsock, links, proc

# --- ends -------------------------------------------------------------------------------------

def test_half_closes(place):
    """Each way ends by itself, and the other goes on."""
    compared(place, """
listener = serving()
sock = taken(listener)
say(to_end(sock), ready(sock))
say(tried(sock.send, b"after your end"), tried(sock.recv, 10))
sock.shutdown(socket.SHUT_WR)
say(tried(sock.send, b"x"))
sock = taken(listener)
sock.shutdown(socket.SHUT_WR)
step("shut")
say(to_end(sock), ready(sock))
sock = taken(listener)
sock.shutdown(socket.SHUT_RD)
say(tried(sock.recv, 10))
step("deaf")
after("spoke")
say(tried(sock.send, b"still"), ready(sock))
""", """
sock = called()
sock.sendall(b"before")
sock.shutdown(socket.SHUT_WR)
say(tried(sock.send, b"x"), to_end(sock), ready(sock))
sock = called()
after("shut")
say(tried(sock.recv, 10), ready(sock), tried(sock.send, b"goes on"))
sock.close()
sock = called()
after("deaf")
say(tried(sock.send, b"nobody hears"))
step("spoke")
say(whole(sock, 5))
sock.shutdown(socket.SHUT_RDWR)
say(ready(sock), tried(sock.recv, 10), tried(sock.send, b"x"))
""")


# What an end does before it closes or dies, and whether the other one had said something that is not read.
CLOSES = {
    "nothing_unread": ("", False),
    "unread": ("""
after("sent")
until(lambda: "IN" in ready(sock))
""", True),
    "some_unread": ("""
after("sent")
whole(sock, 3)
""", True),
    "lingers_not": ("sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))", False),
    "lingers": ("sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 5))", False),
    "shut_before": ("sock.shutdown(socket.SHUT_WR)", False),
    "said_something": ("sock.sendall(b'last words')", False),
    "said_something_unread": ("""
after("sent")
until(lambda: "IN" in ready(sock))
sock.sendall(b'last words')
""", True),
}
SURVIVES = """
def survive(sock):
    until(lambda: "RDHUP" in ready(sock))
    say(ready(sock, 0, select.POLLIN | select.POLLRDHUP), ready(sock))
    say(to_end(sock), ready(sock))
    say(tried(sock.recv, 10), sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    say(tried(sock.send, b"x"))
    until(lambda: isinstance(tried(sock.send, b"x"), str))
    say(tried(sock.send, b"x"), tried(sock.recv, 10), ready(sock), tried(sock.getpeername))
"""
# What either end does first: both have the connection, and what one will not have read lies there.
BEGIN = {"server": """
sock = taken(serving())
after("there")
""", "client": """
sock = called()
step("there")
"""}
UNREAD = """
sock.sendall(b"not read")
step("sent")
"""


def ends(who, last, survivor):
    """(server's words, client's): @who says its @last words, the other survives it."""
    return [BEGIN[end] + (last if end == who else SURVIVES + survivor + "survive(sock)\n") for end in hosts.ENDS]


@pytest.mark.parametrize("how", CLOSES)
@pytest.mark.parametrize("who", hosts.ENDS)
def test_closed(place, who, how):
    """The other end sees what TCP would show it."""
    before, unread = CLOSES[how]
    compared(place, *ends(who, before + """
sock.close()
step("closed")
""", (UNREAD if unread else "") + """
after("closed")
"""))


@pytest.mark.parametrize("how", [how for how in CLOSES if "lingers" not in how])
@pytest.mark.parametrize("who", hosts.ENDS)
def test_killed(place, who, how):
    """The kernel closes the sockets of who is killed: the other end sees the same of a link."""
    before, unread = CLOSES[how]
    compared(place, *ends(who, before + """
step("dies")
os.kill(os.getpid(), signal.SIGKILL)
""", (UNREAD if unread else "") + """
after_death("dies")
"""), killed=(who,))


@pytest.mark.parametrize("wait", ["sock.recv(10)", "select.select([sock], [], [], GUARD)[0] == [sock]",
                                  "waits(sock).poll(GUARD)[0][1]", "tried(fill, sock)"])
@pytest.mark.parametrize("profile", hosts.PROFILES)
def test_sleeper_hears_of_a_death(place, wait, profile):
    """Whatever call it sleeps in."""
    compared(place, """
sock = taken(serving())
whole(sock, 1)
after("sleeps")
time.sleep(0.05)
os.kill(os.getpid(), signal.SIGKILL)
""", f"""
def waits(sock):
    poll = select.epoll()
    poll.register(sock, select.EPOLLIN | select.EPOLLRDHUP)
    return poll
def fill(sock):
    while True:
        sock.sendall(b"x" * 65536)
sock = called()
sock.sendall(b"x")
threading.Timer(0.1, step, ["sleeps"]).start()
say(tried(lambda: {wait}))
""", killed=("server",), profiles=(profile,))


def test_killed_in_the_queue(place):
    """Who waits to be accepted may die, and who has not accepted it."""
    compared(place, """
listener = serving()
after("dead")
for i in range(2):
    sock = taken(listener)
    say(to_end(sock))
    sock.close()
step("both")
after("queued")
os.kill(os.getpid(), signal.SIGKILL)
""", """
for word in (b"", b"left behind"):
    child = os.fork()
    if child == 0:
        sock = called()
        sock.sendall(word)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
step("dead")
after("both")
quiet, spoke = called(), called()
spoke.sendall(b"unread")
step("queued")
say(to_end(quiet), to_end(spoke))
say(tried(called))
""", killed=("server",))


def test_server_starts_again(place):
    """A client goes on with whoever listens now: the same program, and another one."""
    compared(place, """
for turn in range(3):
    child = os.fork()
    if child == 0:
        listener = listening()
        step("listens" if turn == 0 else f"listens{turn}")
        for i in range(3):
            sock = taken(listener)
            sock.sendall(whole(sock, 6))
            sock.close()
        listener.close()
        listener = listening()
        step(f"again{turn}")
        sock = taken(listener)
        sock.sendall(whole(sock, 6))
        step(f"served{turn}")
        after(f"heard{turn}")
        os.kill(os.getpid(), signal.SIGKILL)
    say(os.waitpid(child, 0)[1])
    step(f"dead{turn}")
    after(f"refused{turn}")
""", """
def ask():
    sock = called()
    sock.sendall(b"answer")
    return whole(sock, 6)
for turn in range(3):
    if turn:
        after(f"listens{turn}")
    say([ask() for _ in range(3)])
    after(f"again{turn}")
    say(ask())
    after(f"served{turn}")
    step(f"heard{turn}")
    after(f"dead{turn}")
    say(tried(called))
    step(f"refused{turn}")
""")


# --- processes and threads --------------------------------------------------------------------

def test_fork_of_the_server(place):
    """A child for each connection; some outlive the parent's copy of it, some do not."""
    compared(place, """
listener = serving()
for i in range(6):
    sock = taken(listener)
    child = os.fork()
    if child == 0:
        listener.close()
        data = whole(sock, 1000)
        sock.sendall(b"%d" % zlib.crc32(data))
        os._exit(0)
    if i % 2:
        sock.close()
        say(os.waitpid(child, 0)[1])
    else:
        say(os.waitpid(child, 0)[1])
        say(sock.send(b" and the parent"))
        sock.close()
""", """
for i in range(6):
    sock = called()
    sock.sendall(random.Random(i).randbytes(1000))
    say(to_end(sock))
""")


def test_fork_of_the_client(place):
    """Both use the connection in turns, and one after the other is gone; the child makes its own, too."""
    compared(place, """
listener = serving()
first = taken(listener)
for i in range(40):
    say(whole(first, 6))
    first.sendall(b"%06d" % i)
second = taken(listener)
say(to_end(second))
second.close()
for i in range(10):
    say(whole(first, 6))
    first.sendall(b"%06d" % i)
say(to_end(first))
""", """
sock = called()
there, back = os.pipe(), os.pipe()
def ask(word):
    sock.sendall(word)
    return whole(sock, 6)
child = os.fork()
if child == 0:
    for i in range(20):
        os.read(there[0], 1)
        ask(b"%06d" % (1000 + i))
        os.write(back[1], b"x")
    own = called()
    own.sendall(b"the child's own")
    own.shutdown(socket.SHUT_WR)
    own.recv(1)
    os._exit(0)
for i in range(20):
    say(ask(b"%06d" % i))
    os.write(there[1], b"x")
    os.read(back[0], 1)
say(os.waitpid(child, 0)[1])
for i in range(10):
    say(ask(b"%06d" % i))
sock.close()
""")


def test_servers_of_one_listener(place):
    """Processes forked after listen() accept by turns; all connections are served, also when one of them is killed."""
    compared(place, """
listener = listening()
children = []
for i in range(3):
    child = os.fork()
    if child == 0:
        while True:
            sock = taken(listener)
            word = whole(sock, 4)
            if word == b"kill":
                sock.sendall(b"dead")
                os.kill(os.getpid(), signal.SIGKILL)
            sock.sendall(word)
            sock.close()
    children.append(child)
step("listens")
after("client.over")
for child in children:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
""", """
def ask(word):
    sock = called()
    sock.sendall(word)
    return whole(sock, 4)
say({ask(b"ping") for _ in range(60)})
say(ask(b"kill"))
say({ask(b"ping") for _ in range(60)})
say(ask(b"kill"))
say({ask(b"ping") for _ in range(60)})
""")


def test_both_ends_in_one_program(place):
    """A program may call itself, and its child."""
    compared(place, """
listener = serving()
near = called()
far = taken(listener)
near.sendall(b"to myself")
say(whole(far, 9), near.getsockname() == far.getpeername())
far.close()
say(to_end(near))
child = os.fork()
if child == 0:
    sock = called()
    sock.sendall(b"from a child")
    sock.shutdown(socket.SHUT_WR)
    sock.recv(1)
    os._exit(0)
sock = taken(listener)
say(to_end(sock))
sock.close()
say(os.waitpid(child, 0)[1])
data = random.Random(1).randbytes(5000000)
near = called()
far = taken(listener)
thread = threading.Thread(target=lambda: (near.sendall(data), near.shutdown(socket.SHUT_WR)))
thread.start()
say(to_end(far) == (len(data), zlib.crc32(data), "end"))
thread.join()
""", """
say("has nothing to do with it")
""")


@pytest.mark.parametrize("profile", hosts.PROFILES)
def test_threads(place, profile):
    """Eight threads at either end, a connection each, at a time."""
    compared(place, """
def serve(sock):
    while True:
        data = sock.recv(5000)
        if not data:
            return sock.close()
        sock.sendall(data)
listener = serving()
threads = [threading.Thread(target=serve, args=[taken(listener)]) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
""", """
def ask(number):
    source = random.Random(number)
    sock = called()
    for i in range(200):
        data = source.randbytes(source.randint(1, 5000))
        sock.sendall(data)
        if whole(sock, len(data)) != data:
            return
    right.append(number)
right = []
threads = [threading.Thread(target=ask, args=[i]) for i in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
say(sorted(right))
""", profiles=(profile,))


# --- deaths at any moment ---------------------------------------------------------------------

# A byte's value says where in its stream it is, so whatever comes can be judged. Each end asks for a number of bytes, and
# gets them; either may die at any moment.
PATTERN = """
pattern = bytes(i * 7 % 251 for i in range(251 * 300))
def part(at, size):
    return pattern[at % 251:at % 251 + size]
left_by = set()
def parted(error):
    left_by.add("end" if error is None else errno.errorcode[error.errno])
"""
ANSWERS = PATTERN + """
listener = serving(backlog=512)
listener.setblocking(False)
poll = select.epoll()
poll.register(listener, select.EPOLLIN)
socks = {}
def serve(sock, at):
    data = sock.recv(65536)
    if not data:
        return None
    assert data == part(at[0], len(data)), "other bytes than were sent"
    at[0] += len(data)
    sock.setblocking(True)
    sock.sendall(part(at[1], len(data)))
    sock.setblocking(False)
    at[1] += len(data)
    return at
def turn(timeout):
    for fd, _ in poll.poll(timeout):
        if fd == listener.fileno():
            with contextlib.suppress(BlockingIOError):
                while True:
                    sock = listener.accept()[0]
                    sock.setblocking(False)
                    socks[sock.fileno()] = sock, [0, 0]
                    poll.register(sock, select.EPOLLIN)
            continue
        sock, at = socks[fd]
        try:
            if serve(sock, at):
                continue
            parted(None)
        except (ConnectionResetError, BrokenPipeError) as error:
            parted(error)
        del socks[fd]
        poll.unregister(sock)
        sock.close()
"""
ASKS = PATTERN + """
source = random.Random(SEED)
def exchange():
    sock = called()
    at = 0
    for _ in range(source.randint(1, 20)):
        size = source.choice((1, 100, 5000, 60000))
        sock.sendall(part(at, size))
        came = b""
        while len(came) < size:
            more = sock.recv(size - len(came))
            if not more:
                raise ConnectionResetError(errno.ECONNRESET, "the end")
            came += more
        assert came == part(at, size), "other bytes than were sent"
        at += size
    sock.close()
"""


def test_reset_before_the_caller_looks(place):
    """It was a connection, and is no more: nobody connects a second time."""
    seen = hosts.compared(place, """
listener = serving()
listener.settimeout(0.2)
taken_all = 0
while True:
    sock = tried(listener.accept)
    if isinstance(sock, str):
        if os.path.exists(FOLDER + "/called"):
            break
        continue
    taken_all += 1
    sock[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock[0].close()
say(taken_all)
""", """
for i in range(20):
    sock = fresh()
    sock.setblocking(False)
    sock.connect_ex((CALL, PORT))
    time.sleep(0.02)
    until(lambda: "HUP" in ready(sock))
    say(ready(sock), errno.errorcode.get(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)))
    sock.close()
step("called")
""")
    assert seen.links["server"].accepted >= 10, seen.links


def deaths(request):
    return 1000 if request.config.getoption("--lengths") == "whole" else 25


def open_files(pid):
    """What the descriptors of @pid are, by their numbers."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
    return dict(sorted(found.items()))


def left_behind(before, after):
    """What more, of which kind, is open. A thread that spins, or sleeps, for the first time opens what it does so by, once."""
    kinds = [collections.Counter(re.sub(r"[0-9]+", "N", name) for name in files.values()) for files in (before, after)]
    more = kinds[1] - kinds[0]
    for name in ("anon_inode:[eventpoll]", "anon_inode:[io_uring]"):
        if more[name] == 1:
            del more[name]
    return dict(more)


def shared_memories(pid):
    """What links the process @pid still has."""
    found = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found += "fsock-link" in os.readlink(f"/proc/{pid}/fd/{fd}")
    return found + sum("fsock-link" in line for line in open(f"/proc/{pid}/maps", encoding="ascii"))


@pytest.mark.parametrize("profile", hosts.PROFILES)
def test_clients_die_at_any_moment(place, tmp_path, request, profile):
    """The server reads what was sent and no other byte, hears of each end, and keeps nothing of the dead."""
    server = ANSWERS + """
while not os.path.exists(FOLDER + "/all"):
    turn(0.02)
    if left_by and not socks:
        step("parted")
until(lambda: turn(0.02) or not socks)
say(sorted(left_by - {"end", "ECONNRESET", "EPIPE"}))
step("server.over")
while not os.path.exists(FOLDER + "/counted"):
    turn(0.02)
"""
    options = hosts.PROFILES[profile]
    random_ = random.Random(profile)
    with place.a.popen(fsock.run(hosts.words_of(server, "server", tmp_path), **options), env=fsock.CLEAN) as running:
        assert proc.until(lambda: (tmp_path / "listens").exists()), running.err
        before = None
        for n in range(deaths(request) + 1):
            once = "" if n % 2 else "exchange()\n" # on a busy machine no other comes so far
            client = ASKS.replace("SEED", str(n)) + f"{once}step('began{n}')\nwhile True:\n    exchange()\n"
            with place.a.popen(fsock.run(hosts.words_of(client, "client", tmp_path), **options), env=fsock.CLEAN) as dying:
                assert proc.until(lambda n=n, dying=dying: (tmp_path / f"began{n}").exists() or not dying.alive())
                time.sleep(random_.uniform(0, 0.03))
                assert dying.alive(), dying.err
            if before is None:  # what it keeps, to sleep by and the like, it has by now
                assert proc.until(lambda: (tmp_path / "parted").exists() and shared_memories(running.pid) == 0, 20)
                before = open_files(running.pid)
        (tmp_path / "all").touch()
        assert proc.until(lambda: (tmp_path / "server.over").exists() or not running.alive()), "it hangs"
        assert running.alive(), running.err
        counts = links.counts(running.pid)
        gone = proc.until(lambda: not left_behind(before, open_files(running.pid)) and shared_memories(running.pid) == 0, 20)
        assert gone, (left_behind(before, open_files(running.pid)), shared_memories(running.pid))
        (tmp_path / "counted").touch()
        done = running.finish()
    assert done.status == 0 and done.out == "[]\n", done.out + done.err
    assert counts.accepted >= deaths(request) // 2 and counts.bytes_in > 0, counts
    assert hosts.names(place) == []


@pytest.mark.parametrize("profile", hosts.PROFILES)
def test_servers_die_at_any_moment(place, tmp_path, request, profile):
    """The client hears of it in whatever call it is, and goes on with the next server."""
    client = ASKS.replace("SEED", "1") + """
whole_ones = 0
while not os.path.exists(FOLDER + "/all"):
    try:
        exchange()
        whole_ones += 1
    except (ConnectionResetError, BrokenPipeError, ConnectionRefusedError) as error:
        parted(error)
        time.sleep(0.005)
say(sorted(left_by - {"ECONNRESET", "EPIPE", "ECONNREFUSED"}), whole_ones > 0)
step("client.over")
after("counted")
"""
    options = hosts.PROFILES[profile]
    random_ = random.Random(profile)
    server = ANSWERS + "\nwhile True:\n    turn(1)\n"
    with place.a.popen(fsock.run(hosts.words_of(client, "client", tmp_path), **options), env=fsock.CLEAN) as running:
        for _ in range(deaths(request)):
            (tmp_path / "listens").unlink(missing_ok=True)
            with place.a.popen(fsock.run(hosts.words_of(server, "server", tmp_path), **options), env=fsock.CLEAN) as dying:
                assert proc.until(lambda dying=dying: (tmp_path / "listens").exists() or not dying.alive())
                time.sleep(random_.uniform(0, 0.05))
                assert dying.alive(), dying.err
        (tmp_path / "all").touch()
        assert proc.until(lambda: (tmp_path / "client.over").exists() or not running.alive()), "it hangs"
        assert running.alive(), running.err
        counts = links.counts(running.pid)
        gone = proc.until(lambda: shared_memories(running.pid) == 0, 20)
        (tmp_path / "counted").touch()
        done = running.finish()
    assert done.status == 0 and done.out == "[] True\n", done.out + done.err
    assert counts.opened >= deaths(request) // 2 and counts.bytes_in > 0, counts
    assert gone and hosts.names(place) == []


# --- limits of memory -------------------------------------------------------------------------

SHORT_CLIENT = """
fresh().close()
step("began")
after("limited")
socks = [called() for _ in range(N)]
for i, sock in enumerate(socks):
    sock.sendall(bytes([i]) * SIZE)
step("sent")
after("seen")
for i, sock in enumerate(socks):
    sock.shutdown(socket.SHUT_WR)
    say(to_end(sock) == (SIZE, zlib.crc32(bytes([i]) * SIZE), "end"))
"""
SHORT_SERVER = """
listener = serving()
if LINKED:
    first = taken(listener)
socks = [taken(listener) for _ in range(N)]
after("seen")
for i, sock in enumerate(socks):
    sock.sendall(whole(sock, SIZE))
    sock.close()
"""


def short_of_memory(place, before, watch, around=()):
    """
    What both showed, and the reasons of the client's sockets. After its words @before come connections whose bytes nobody
    reads at first, so that their rings fill.
    """
    why = []

    def see(seen, folder):
        watch(seen, folder)
        proc.until(lambda: (folder / "sent").exists() or not os.path.exists(f"/proc/{seen.pids['client']}"))
        why.extend(sorted(fsock.reasons(fsock.stat(seen.pids["client"])) - {"pending"})) # that of one closed unused
        (folder / "seen").touch()
    sizes = f"N, SIZE, LINKED = 80, 50000, {bool(before)}\n"
    seen = run(place, (sizes + SHORT_SERVER, sizes + before + SHORT_CLIENT), (hosts.PROFILES["default"],) * 2,
               watch=see, around=around)
    assert seen.lines["client"] == ["True"] * 80, seen.told()
    assert seen.kernel[1] + seen.links["server"].accepted == 80 + bool(before), (seen.kernel, seen.links)
    return seen, why


@pytest.mark.parametrize("limit", ["--fsize=104857600", "--as=200000000"])
def test_limits_of_the_caller(place, limit):
    """A link that cannot be had: the kernel carries all, and the sockets say why."""
    seen, why = short_of_memory(place, "", lambda seen, folder: (folder / "limited").touch(), [[], ["prlimit", limit, "--"]])
    assert (seen.kernel[1], why) == (80, ["memory"])


@pytest.mark.parametrize("who", hosts.ENDS)
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_limit_of_the_group(place, memory_group, who, when):
    """Either end's, before there is a link or once it carries some: rings take pages as they fill, and nobody is killed."""
    group, limit = memory_group
    sees = ["nsenter", f"--mount=/proc/{os.getpid()}/ns/mnt", "--"] # ip netns exec covers /sys, and with it the limits

    def fall(seen, folder):
        (group / "cgroup.procs").write_text(str(seen.pids[who]))
        proc.until(lambda: (folder / "began").exists())
        limit.write_text(str(8 << 20))
        (folder / "limited").touch()
    seen, why = short_of_memory(place, "" if when == "before" else "first = called()\n", fall, [sees if end == who else [] for end in hosts.ENDS])
    assert why == ["memory"] or (who, when) == ("server", "before"), why
    assert seen.kernel[1] == 80 if when == "before" else 20 < seen.kernel[1] < 80, seen.kernel


OTHER_SLEEPS = 40  # of the connection's beginning and end, and of other threads
PENDING = {
    # It is the program's to take, and would be told of for ever.
    "blocked": """
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
os.kill(os.getpid(), signal.SIGUSR1)
""",
    # Told of, and nothing: its action is none.
    "ignored": """
timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGCHLD))
timer.start()
""",
    # Blocked by all but who takes it, as daemons have it.
    "taken by another": """
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
threading.Thread(target=signal.sigwait, args=({signal.SIGUSR1},)).start()
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
""",
}


@pytest.mark.parametrize("which", PENDING)
def test_a_signal_keeps_no_sleeper_awake(place, which):
    seen = run(place, ("""
sock = taken(serving())
after("waits")
time.sleep(1.5)
sock.sendall(b"awake")
""", """
import signal, threading
sock = called()
sock.settimeout(None)
""" + PENDING[which] + """
step("waits")
say(sock.recv(100))
"""), (hosts.PROFILES["default"],) * 2)
    assert seen.lines["client"] == ["b'awake'"], seen.told()
    slices = 150 if which == "blocked" else 2
    assert seen.counters["client"]["sleeps"] < OTHER_SLEEPS + 2 * slices, seen.told()
