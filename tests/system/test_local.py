# SPDX-License-Identifier: BSD-2-Clause
"""
Programs of one host whose connections take shared memory: what they see is what the kernel's TCP shows them on the same
host, and the way is what it should be. See hosts.py.
"""
import os

import pytest

import hosts
from hosts import compared, run
from lab import proc

# --- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize("listen, call", [
    ("127.0.0.1", "127.0.0.1"), ("127.0.0.2", "127.0.0.2"), ("10.77.0.1", "10.77.0.1"),
    ("0.0.0.0", "127.0.0.1"), ("0.0.0.0", "127.9.9.9"), ("0.0.0.0", "10.77.0.1"),
    ("::1", "::1"), ("fd77::1", "fd77::1"), ("::", "::1"), ("::", "fd77::1"),
    ("::", "127.0.0.1"), ("::", "::ffff:127.0.0.1"), ("::", "10.77.0.1"), ("127.0.0.1", "::ffff:127.0.0.1"),
    ("::ffff:127.0.0.1", "127.0.0.1"), ("0.0.0.0", "::ffff:10.77.0.1")])
def test_names_of_both_ends(place, listen, call):
    seen = compared(place, hosts.NAMING + 'sock.sendall(b"seen")', hosts.NAMED + "say(whole(sock, 4))", listen=listen, call=call)
    server, client = seen.links["server"], seen.links["client"]
    assert (server.accepted, client.opened) == (1, 1)
    assert server.bytes_in == client.bytes_out > 20 and server.bytes_out == client.bytes_in == 4


@pytest.mark.parametrize("any_address", ["0.0.0.0", "::"])
def test_called_by_no_address(place, any_address):
    """To connect to the wildcard is to connect to the loopback; it is left to the kernel."""
    scripts = hosts.NAMING, hosts.NAMED
    seen = run(place, scripts, (hosts.PROFILES["default"],) * 2, listen=any_address, call=any_address)
    assert seen.lines == run(place, scripts, (None, None), listen=any_address, call=any_address).lines
    assert seen.kernel[1] == 1


def test_client_with_a_name_of_its_own(place):
    """It is bound before it connects: to an address, to a port, to both."""
    compared(place, """
listener = serving()
for i in range(3):
    sock, name = listener.accept()
    say(name[0], name[1] if i else "")
    sock.close()
""", """
for i, name in enumerate((("127.0.0.3", 0), ("0.0.0.0", 7411), ("127.0.0.4", 7412))):
    sock = fresh()
    sock.bind(name)
    sock.connect((CALL, PORT))
    say(sock.getsockname()[0], sock.getsockname()[1] if i else "")
    say(to_end(sock))
""", listen="0.0.0.0")


def test_ports_are_no_others(place):
    """The port of a connection is the kernel's, taken from it: nobody else gets it, and two connections differ."""
    compared(place, """
listener = serving()
socks = [listener.accept() for _ in range(200)]
say(len({name for _, name in socks}))
after("client.over")
""", """
socks = [called() for _ in range(200)]
say(len({sock.getsockname() for sock in socks}))
other = socket.socket()
say(tried(other.bind, socks[0].getsockname()))
""")


# --- nobody, or somebody else -------------------------------------------------------------------

def test_refused(place):
    """Nobody there, bound only, on another address, of the other family; and there again, and gone again."""
    compared(place, """
bound = fresh()
bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
bound.bind((LISTEN, PORT + 1))
only_six = socket.socket(socket.AF_INET6)
only_six.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
only_six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
only_six.bind(("::", PORT + 2))
only_six.listen()
listener = serving()
sock = taken(listener)
after("was there")
listener.close()
sock.close()
step("gone")
after("was refused")
listener = listening()
step("there")
say(to_end(taken(listener)))
""", """
say(tried(called, CALL, PORT + 3))
say(tried(called, CALL, PORT + 1))
say(tried(called, CALL, PORT + 2), type(tried(called, "::1", PORT + 2)))
say(tried(called, "127.0.0.2"))
sock = fresh()
sock.setblocking(False)
say(tried(sock.connect, (CALL, PORT + 3)), ready(sock, 1000), sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
first = called()
step("was there")
after("gone")
say(to_end(first))
say(tried(called))
say(tried(called))
step("was refused")
after("there")
say(type(tried(called)))
""")


TALKS = ("""
listener = serving()
for i in range(5):
    sock, name = listener.accept()
    data = to_end(sock)
    say(data)
    sock.sendall(b"%d" % data[1])
    sock.close()
""", """
for size in (1, 100, 100000, 3000000, 0):
    sock = called()
    data = random.Random(size).randbytes(size)
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)
    say(to_end(sock)[1:], zlib.crc32(b"%d" % zlib.crc32(data)))
""")


@pytest.mark.parametrize("profile", hosts.PROFILES)
def test_both_on_links(place, profile):
    seen = compared(place, *TALKS, profiles=(profile,))
    assert seen.links["server"].accepted == seen.links["client"].opened == 5
    assert seen.links["server"].bytes_in == seen.links["client"].bytes_out == 3100101


@pytest.mark.parametrize("who", hosts.ENDS)
def test_one_end_without_fsock(place, who):
    """It is plain TCP of the kernel."""
    options = [hosts.PROFILES["default"] if end == who else None for end in hosts.ENDS]
    seen = run(place, TALKS, options)
    assert seen.lines == run(place, TALKS, (None, None)).lines
    assert seen.kernel[1] == 5 and set(seen.links[who]) == {0}


@pytest.mark.parametrize("who", hosts.ENDS)
def test_another_user(place, who):
    """Programs of two users do not share memory."""
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    seen = run(place, TALKS, (hosts.PROFILES["default"],) * 2, around=[nobody if end == who else [] for end in hosts.ENDS])
    assert seen.lines == run(place, TALKS, (None, None)).lines
    assert seen.kernel[1] == 5
    for counts in seen.links.values():
        assert set(counts) == {0}


@pytest.mark.parametrize("who", hosts.ENDS)
@pytest.mark.parametrize("names", [("0", "65534"), ("any", "any"), ("0,65534", ""), ("33", "any")])
def test_another_user_who_is_named(place, who, names):
    """Each end names the other one's user, or it is the kernel's."""
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    root = hosts.ENDS[0] if who == hosts.ENDS[1] else hosts.ENDS[1]
    named = {who: names[0], root: names[1]}
    seen = run(place, TALKS, [{**hosts.PROFILES["default"], "local_users": named[end]} for end in hosts.ENDS],
               around=[nobody if end == who else [] for end in hosts.ENDS])
    assert seen.lines == run(place, TALKS, (None, None)).lines
    by_links = 5 if names in (("0", "65534"), ("any", "any")) else 0
    assert seen.links["server"].accepted == by_links and seen.kernel[1] == 5 - by_links, (seen.links, seen.told())


def test_one_of_the_two_is_switched_off(place):
    """An option is a word of the program's user: without it there is no link, and no name."""
    seen = run(place, TALKS, ({"local": 0}, hosts.PROFILES["default"]),
               watch=lambda seen, folder: seen.lines.update(names=hosts.names(place)))
    assert seen.lines.pop("names") == []
    assert seen.kernel[1] == 5 and set(seen.links["client"]) == {0}


# --- who means it ill ---------------------------------------------------------------------------

@pytest.mark.parametrize("how", ["well", "silent", "gone", "no_hello", "too_few", "too_many", "other_version", "huge", "unsealed",
                                 "spoilt", "pipe_without_reader", "file", "full_and_blocking"])
def test_hostile_caller(place, tmp_path, how):
    """A process of the same user can spoil its own connections, and nobody else's."""
    program = [hosts.PYTHON, hosts.PROGRAMS / "hostile_caller.py", "127.0.0.1", hosts.PORT, how, tmp_path / "file"]
    sent = []

    def attack(seen, folder):
        with place.a.popen(program) as hostile:
            sent.append(hostile.wait_for("called"))
            (folder / "called").touch()
            proc.until(lambda: (folder / "client.over").exists() or not os.path.exists(f"/proc/{seen.pids['client']}"))
    seen = run(place, ("""
signal.signal(signal.SIGPIPE, signal.SIG_DFL) # as programs have it that are not Python's
listener = serving()
sock = taken(listener)
sock.sendall(whole(sock, 5))
""", """
after("called")
sock = called()
sock.sendall(b"hello")
say(whole(sock, 5))
"""), (hosts.PROFILES["default"],) * 2, watch=attack)
    assert sent == [True], seen.told()
    assert seen.lines["client"] == ["b'hello'"]
    if how != "silent": # so many that nobody else is heard for a second, and the kernel serves instead
        assert seen.links["client"].opened == seen.links["server"].accepted == 1
        hosts.assert_linked(seen)
    assert how != "well" or (seen.links["server"].refused, seen.counters["server"]["local_links"]) == (1, 2), seen.counters
    assert not (tmp_path / "file").exists() or (tmp_path / "file").stat().st_size == 0


# --- readiness --------------------------------------------------------------------------------

def test_readiness_of_a_listener(place):
    compared(place, """
listener = listening()
edge, level = select.epoll(), select.epoll()
edge.register(listener, select.EPOLLIN | select.EPOLLET)
level.register(listener, select.EPOLLIN)
say(ready(listener), level.poll(0), edge.poll(0), select.select([listener], [], [], 0)[0] == [])
step("listens")
def told(poll, timeout=0):
    return [events for _, events in poll.poll(timeout)]
say(told(edge, GUARD), told(edge), told(level), ready(listener), select.select([listener], [], [], 0)[0] == [listener])
step("one")
say(told(edge, GUARD), told(edge), told(level))
for _ in range(2):
    taken(listener)
    say(told(level))
listener.setblocking(False)
say(tried(listener.accept), ready(listener))
""", """
first = called()
after("one")
second = called()
""")


def test_readiness_of_a_connection(place):
    compared(place, """
sock = taken(serving())
def told(poll, timeout=0):
    return [events for _, events in poll.poll(timeout)]
edge, level, both = select.epoll(), select.epoll(), select.epoll()
edge.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET)
level.register(sock, select.EPOLLIN)
both.register(level.fileno(), select.EPOLLIN)
once = select.epoll()
once.register(sock, select.EPOLLIN | select.EPOLLONESHOT)
say(told(edge), told(edge), told(level), told(both), told(once), ready(sock))
step("1")
say(told(level, GUARD), told(both), told(once), told(once), ready(sock))
say(select.select([sock], [sock], [], 0) == ([sock], [sock], []))
say(told(edge), told(edge))
say(sock.recv(2), told(edge), told(level))
say(sock.recv(100), told(level), told(both), ready(sock))
step("2")
say(told(level, GUARD), told(once))
once.modify(sock, select.EPOLLIN | select.EPOLLONESHOT)
say(told(once), told(once), sock.recv(100), told(level))
sock.setblocking(False)
with contextlib.suppress(BlockingIOError):
    while True:
        sock.send(b"x" * 65536)
say(ready(sock), select.select([], [sock], [], 0)[1] == [])
told(edge)
step("full")
after("empty")
until(lambda: "OUT" in ready(sock))
say(bool(told(edge, GUARD)[0] & select.EPOLLOUT), select.select([], [sock], [], 0)[1] == [sock])
step("3")
say(told(level, GUARD), ready(sock))
after("closed")
until(lambda: "RDHUP" in ready(sock))
say(ready(sock), sorted(told(edge)), sock.recv(10))
""", """
sock = called()
after("1")
sock.sendall(b"four")
after("2")
sock.sendall(b"more")
after("full")
until(lambda: not isinstance(sock.recv(1 << 20, socket.MSG_DONTWAIT) if "IN" in ready(sock, 300) else "", bytes))
step("empty")
after("3")
sock.close()
step("closed")
""")


@pytest.mark.parametrize("call", ["sock.send(data)", "sock.sendmsg([data[:100], data[100:]])",
                                  "os.sendfile(sock.fileno(), file, 0, len(data))"])
def test_room_after_a_short_call(place, call):
    """What took less than it was given makes an edge when there is room again, without another call that takes nothing."""
    compared(place, f"""
data = bytes(8000000)
file = os.memfd_create("data")
os.write(file, data)
sock = taken(serving())
sock.setblocking(False)
edge = select.epoll()
edge.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET)
say([events for _, events in edge.poll(GUARD)])
say(0 < {call} < len(data))
step("short")
say([events for _, events in edge.poll(GUARD)])
sock.close()
""", """
sock = called()
after("short")
say(to_end(sock)[2])
""")


def test_nonblocking_connect_tells_when_it_is_there(place):
    compared(place, """
listener = serving()
socks = [taken(listener) for _ in range(3)]
after("client.over")
""", """
for how in range(3):
    sock = fresh()
    sock.setblocking(False)
    say(sock.connect_ex((CALL, PORT)) in (0, errno.EINPROGRESS))
    if how == 0:
        say(select.select([], [sock], [], GUARD)[1] == [sock])
    elif how == 1:
        say(ready(sock, 1000 * GUARD, select.POLLOUT))
    else:
        poll = select.epoll()
        poll.register(sock, select.EPOLLOUT | select.EPOLLET)
        say([events for _, events in poll.poll(GUARD)], poll.poll(0))
    say(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), tried(sock.connect, (CALL, PORT)), ready(sock))
""")


# --- listeners --------------------------------------------------------------------------------

def test_full_backlog(place):
    """Nobody is refused or lost for it: whoever found no room is served in the end, by whatever way."""
    scripts = """
listener = serving(backlog=1)
after("full")
for i in range(10):
    sock = taken(listener)
    sock.sendall(whole(sock, 1))
    sock.close()
""", """
socks = []
for i in range(10):
    socks.append(fresh())
    socks[-1].setblocking(False)
    say(socks[-1].connect_ex((CALL, PORT)) in (0, errno.EINPROGRESS))
until(lambda: sum("OUT" in ready(sock) for sock in socks) >= 2)
say("all of them:", all("OUT" in ready(sock) for sock in socks))
step("full")
silent = list(socks) # whom the server waits for is among those that are there, in whatever order
while silent:
    for sock in select.select([], silent, [], GUARD)[1]:
        sock.setblocking(True)
        sock.sendall(b"x")
        silent.remove(sock)
for sock in socks:
    sock.settimeout(GUARD)
    say(to_end(sock))
"""
    seen = run(place, scripts, (hosts.PROFILES["default"],) * 2)
    assert seen.lines == run(place, scripts, (None, None)).lines
    assert seen.links["server"].accepted >= 1 and seen.links["server"].refused >= 1
    assert seen.links["server"].accepted + seen.kernel[1] == 10


@pytest.mark.parametrize("scoped", [False, True], ids=["netns", "path"])
def test_listens_while_others_sleep(place, scoped, tmp_path):
    """Who sleeps for other sockets answers those who call a later listener, whose program computes."""
    options = {**hosts.PROFILES["default"], **({"local_scope": f"path:{tmp_path}"} if scoped else {})}
    seen = run(place, ("""
first = listening(port=PORT + 1)
threading.Thread(target=tried, args=(first.accept,), daemon=True).start()
time.sleep(0.3)
listener = serving()
after("called")
sock = taken(listener)
sock.sendall(whole(sock, 4))
""", """
sock = called()
step("called")
sock.sendall(b"word")
say(whole(sock, 4))
"""), (options,) * 2)
    assert seen.lines["client"] == ["b'word'"], seen.told()
    assert seen.links["client"].opened == 1, seen.told()


# Another listener of the port: of the same process, of a relative, of a program of its own.
ANOTHER = {
    "thread": "threading.Thread(target=serve, args=(listening(reuse=True), 'two')).start()",
    "fork": """
child = os.fork()
if child == 0:
    listener.close()
    serve(listening(reuse=True), "two")
    os._exit(0)
""",
    "program": """
import subprocess
if WHO == "server":
    child = subprocess.Popen([sys.executable, "-c", open("/proc/self/cmdline").read().split("\\0")[2], "two", *sys.argv[2:]])
else:
    serve(listener, "two")
    sys.exit()
""",
}


@pytest.mark.parametrize("how", ANOTHER)
def test_listeners_of_one_port(place, how):
    """SO_REUSEPORT: each gets its part. On the kernel the hash of the ports decides; here they take turns."""
    seen = compared(place, """
def serve(listener, name):
    step(name)
    served = 0
    while served < 5 or not os.path.exists(FOLDER + "/all"):
        if select.select([listener], [], [], 0.05)[0]:
            sock = taken(listener)
            sock.sendall(name.encode())
            sock.close()
            served += 1
listener = listening(reuse=True)
""" + ANOTHER[how] + """
after("two")
step("listens")
serve(listener, "one")
say("served")
""", """
answers = set()
while len(answers) < 2:
    answers.add(whole(called(), 3))
for turn in range(40):
    whole(called(), 3)
step("all")
say(sorted(answers))
""")
    assert seen.links["client"].opened >= 42


def test_listener_of_a_group_goes(place):
    """Who comes after that is served by those that are left."""
    compared(place, """
listener = listening(reuse=True)
child = os.fork()
if child == 0:
    listener.close()
    listener = listening(reuse=True)
    step("two")
    while True:
        taken(listener).sendall(b"two")
after("two")
step("listens")
for turn in range(6):
    if select.select([listener], [], [], 0.2)[0]:
        taken(listener).sendall(b"one")
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
step("one is left")
for turn in range(20):
    taken(listener).sendall(b"one")
say("served")
""", """
after("one is left")
say({whole(called(), 3) for turn in range(20)})
""")


@pytest.mark.parametrize("when", ["before", "between", "after"])
def test_a_program_chooses_the_listener(place, when):
    """SO_ATTACH_REUSEPORT_CBPF says which one is next, of all: they are the kernel's."""
    scripts = f"""
import ctypes
FIRST = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0)) # a filter: always the first
def choose(sock):
    sock.setsockopt(socket.SOL_SOCKET, 51, struct.pack("HxxxxxxP", 1, ctypes.addressof(FIRST)))
def listening_at(when):
    sock = fresh(LISTEN)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if when == "before":
        choose(sock)
    sock.bind((LISTEN, PORT))
    sock.listen(16)
    return sock
first = listening_at("{when}")
if "{when}" == "between":
    choose(first)
second = listening_at("")
if "{when}" == "after":
    choose(second)
step("listens")
for turn in range(10):
    taken(first).sendall(b"one")
say("served")
""", """
say({whole(called(), 3) for turn in range(10)})
"""
    seen = run(place, scripts, (hosts.PROFILES["default"],) * 2)
    assert seen.lines == run(place, scripts, (None, None)).lines
    assert seen.kernel[1] == 10


def test_kernel_and_links_take_turns(place):
    """A listener serves who comes by a link and who comes by the kernel: neither waits for the other to stop."""
    stranger = """
import os, socket, sys
while not os.path.exists(sys.argv[1] + "/all"):
    sock = socket.create_connection((sys.argv[2], int(sys.argv[3])))
    sock.sendall(b"k")
    assert sock.recv(1) == b"k"
    sock.close()
"""
    server = """
listener = serving()
counts = {b"k": 0, b"l": 0}
while min(counts.values()) < 100:
    sock = taken(listener)
    word = whole(sock, 1)
    counts[word] = counts.get(word, 0) + 1
    sock.sendall(word)
    sock.close()
step("all")
listener.settimeout(0.2)
with contextlib.suppress(TimeoutError):
    while True:
        sock = listener.accept()[0]
        sock.sendall(sock.recv(1))
        sock.close()
say(sorted(counts))
"""
    client = """
import subprocess
clean = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD" and not name.startswith("FSOCK_")}
other = subprocess.Popen([sys.executable, "-c", STRANGER, FOLDER, CALL, str(PORT)], env=clean)
while not os.path.exists(FOLDER + "/all"):
    sock = called()
    sock.sendall(b"l")
    assert whole(sock, 1) == b"l"
    sock.close()
say(other.wait())
""".replace("STRANGER", repr(stranger))
    seen = run(place, (server, client), (hosts.PROFILES["default"],) * 2)
    assert seen.lines == {"server": ["[b'k', b'l']"], "client": ["0"]}, seen.told()
    assert seen.links["server"].accepted >= 100 and seen.kernel[1] >= 100


# --- much -------------------------------------------------------------------------------------

# Both ways at a time, sizes of calls drawn; what goes is known to both.
BOTH_WAYS = """
SIZE = 100000000
def exchange(sock, mine, theirs):
    blob = random.Random(mine).randbytes(1 << 20)
    def send():
        sizes, sent = random.Random(mine + 10), 0
        while sent < SIZE:
            n = min(SIZE - sent, sizes.choice((1, 60, 1400, 9000, 70000, 300000)))
            at = sent % len(blob)
            n = min(n, len(blob) - at)
            if n > 60 and n % 3 == 0: # by several parts
                sent += sock.sendmsg([blob[at:at + 7], blob[at + 7:at + n]])
            else:
                sock.sendall(blob[at:at + n])
                sent += n
        sock.shutdown(socket.SHUT_WR)
    thread = threading.Thread(target=send)
    thread.start()
    sizes, crc, came = random.Random(theirs + 20), 0, 0
    while True:
        data = sock.recv(sizes.choice((1, 100, 4000, 65536, 1 << 20)))
        if not data:
            break
        crc, came = zlib.crc32(data, crc), came + len(data)
    thread.join()
    blob, want, left = random.Random(theirs).randbytes(1 << 20), 0, SIZE
    while left:
        want = zlib.crc32(blob[:min(left, len(blob))], want)
        left -= min(left, len(blob))
    say(came, crc == want)
"""


@pytest.mark.parametrize("profile", hosts.PROFILES)
def test_hundred_megabytes_each_way(place, profile):
    seen = compared(place, BOTH_WAYS + "exchange(taken(serving()), 1, 2)", BOTH_WAYS + "exchange(called(), 2, 1)",
                    profiles=(profile,))
    for counts in seen.links.values():
        assert counts.bytes_in == counts.bytes_out == 100000000


MANY = """
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
"""


def test_many_connections(place):
    """More at a time than a link has slots, again and again; those it has no room for are the kernel's."""
    scripts = MANY + """
listener = serving(backlog=4096)
for turn in range(3):
    socks = [taken(listener) for _ in range(1500)]
    for sock in socks:
        sock.sendall(whole(sock, 5))
    say(sum(to_end(sock)[0] for sock in socks))
    for sock in socks:
        sock.close()
    step(f"turn{turn}")
""", MANY + """
for turn in range(3):
    socks = [called() for _ in range(1500)]
    for i, sock in enumerate(socks):
        sock.sendall(b"%05d" % i)
    say(sum(whole(sock, 5) == b"%05d" % i for i, sock in enumerate(socks)))
    for sock in socks:
        sock.close()
    after(f"turn{turn}")
"""
    seen = run(place, scripts, (hosts.PROFILES["default"],) * 2)
    assert seen.lines == run(place, scripts, (None, None)).lines
    assert seen.links["server"].accepted + seen.kernel[1] == 4500
    assert seen.links["server"].accepted > 1500, "slots were not used again"


def test_connections_one_after_the_other(place):
    """Nothing is used up by them: descriptors, names, memory of the link."""
    scripts = """
listener = serving()
for i in range(3000):
    sock = taken(listener)
    sock.sendall(whole(sock, 2))
    sock.close()
    if i % 1000 == 500:
        step(f"look{i}")
        after(f"looked{i}")
""", """
for i in range(3000):
    sock = called()
    sock.sendall(b"ab")
    whole(sock, 2)
    sock.close()
"""
    looks = []

    def watch(seen, folder):
        for i in (500, 1500, 2500):
            if proc.until(lambda i=i: (folder / f"look{i}").exists()):
                looks.append(([hosts.descriptors(seen.pids[who]) for who in hosts.ENDS], hosts.names(place)))
                (folder / f"looked{i}").touch()
    seen = run(place, scripts, (hosts.PROFILES["default"],) * 2, watch=watch)
    hosts.assert_linked(seen, least=3000)
    assert looks[0] == looks[1] == looks[2] and len(set(looks[0][1])) == 1, looks # the listener and the link
    assert hosts.names(place) == []
