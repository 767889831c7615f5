# SPDX-License-Identifier: BSD-2-Clause
"""
Programs of one host whose Unix sockets take shared memory: what they see is what the kernel's show them, and the way is
what it should be. See hosts.py.
"""
import pathlib
import re

import pytest

import hosts
from hosts import run

PROFILES = {name: {**options, "local_unix": 1} for name, options in hosts.PROFILES.items()}

ROOT = pathlib.Path(__file__).resolve().parents[2]
VERSION = re.search(r"LOCAL_VERSION = (\d+)", (ROOT / "src/local/format.h").read_text())[1]
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]

UNIX = r"""
PATH = LISTEN.replace("FOLDER", FOLDER).replace("@", "\0")
CALLED = CALL.replace("FOLDER", FOLDER).replace("@", "\0")
def fresh():
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(GUARD)
    return sock
def listening(path=PATH, backlog=64):
    sock = fresh()
    sock.bind(path)
    sock.listen(backlog)
    return sock
def called(path=CALLED):
    sock = fresh()
    sock.connect(path)
    return sock
def told(name):
    "A name, the same in every folder."
    return repr(name).replace(FOLDER, "FOLDER").replace(str(os.getpid()), "PID")
def who(sock):
    return struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
"""
PATH = "FOLDER/sock"


def compared(place, server, client, listen=PATH, call=None, profile="default", **how):
    """The outcome on fsock, after both said on it what they say on kernel sockets."""
    scripts = UNIX + server, UNIX + client
    how.update(listen=listen, call=call or listen)
    truth = run(place, scripts, (None, None), **how)
    seen = run(place, scripts, (PROFILES[profile],) * 2, **how)
    assert seen.lines == truth.lines, f"on the kernel:\n{truth.told()}\non links:\n{seen.told()}"
    return seen


def opened(seen, n=1):
    """The client's connections went by a link, @n of them, and none was given up for the kernel."""
    counts = seen.counters["client"]
    assert counts["local_opened"] == n and counts["local_to_kernel"] == 0, seen.counters
    if seen.counters.get("server"):
        assert seen.counters["server"]["local_accepted"] == n, seen.counters
    return seen


# --- names ------------------------------------------------------------------------------------

NAMING = """
listener = serving()
sock, name = listener.accept()
sock.settimeout(GUARD)
say(told(name), told(sock.getsockname()), told(sock.getpeername()), told(listener.getsockname()))
say(told(tried(listener.getpeername)), who(sock)[1:], who(sock)[0] == int(whole(sock, 8)))
sock.sendall(b"%08d" % os.getpid())
say(told(sock.recvfrom(3)))
"""
NAMED = """
sock = called()
say(told(sock.getsockname()), told(sock.getpeername()))
sock.sendall(b"%08d" % os.getpid())
say(who(sock)[1:], who(sock)[0] == int(whole(sock, 8)))
sock.sendall(b"end")
"""


@pytest.mark.parametrize("listen, call", [
    (PATH, PATH), ("@fst-names", "@fst-names"), ("@" + "x" * 107, "@" + "x" * 107), (PATH, "FOLDER/./sock"),
    ("@fst-names\\0\\0odd", "@fst-names\\0\\0odd")])
def test_names_of_both_ends(place, listen, call):
    seen = opened(compared(place, NAMING, NAMED, listen=listen[:108], call=call[:108]))
    server, client = seen.links["server"], seen.links["client"]
    assert (server.bytes_in, server.bytes_out) == (client.bytes_out, client.bytes_in) == (11, 8), seen.links


def test_longest_path(place):
    """Of 108 bytes, without a zero: the kernel counts one behind it."""
    naming = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
name = struct.pack("=H108s", 1, (FOLDER + "/" + "x" * 200)[:108].encode())
def shown(ask, sock):
    room, n = ctypes.create_string_buffer(111), ctypes.c_int(111)
    ask(sock.fileno(), room, ctypes.byref(n))
    return n.value, room.raw == name + bytes(1)
def option(fd, room, n):
    return libc.getsockopt(fd, socket.SOL_SOCKET, 28, room, n)
sock = fresh()
"""
    opened(compared(place, naming + """
say(libc.bind(sock.fileno(), name, 110))
sock.listen(5)
step("listens")
peer = sock.accept()[0]
say(shown(libc.getsockname, sock), shown(libc.getsockname, peer), peer.recv(5))
""", naming + """
sock.setblocking(True)
say(libc.connect(sock.fileno(), name, 110), shown(libc.getpeername, sock), shown(option, sock))
sock.send(b"hello")
"""))


def test_relative_path_and_link(place):
    """Of a listener that calls itself otherwise than it is called; and by a symbolic link."""
    opened(compared(place, """
os.chdir(FOLDER)
listener = listening("near")
step("listens")
for i in range(2):
    sock, name = listener.accept()
    say(told(name), told(sock.getsockname()), to_end(sock))
""", """
os.symlink(FOLDER + "/near", FOLDER + "/other")
for path in (FOLDER + "/near", FOLDER + "/other"):
    sock = called(path)
    say(told(sock.getpeername()))
    sock.send(b"here")
    sock.close()
"""), 2)


def test_client_has_a_name(place):
    """By path, by name, by the kernel's choice: it is what accept(), getpeername() and recvfrom() say."""
    opened(compared(place, """
listener = serving()
for i in range(3):
    sock, name = listener.accept()
    say(told(name) if i < 2 else len(name), name == sock.getpeername(), name == sock.recvfrom(10)[1])
    sock.send(b"answer")
""", r"""
for name in (FOLDER + "/mine", "\0fst-mine", ""):
    sock = fresh()
    sock.bind(name)
    sock.connect(CALLED)
    sock.send(b"data")
    say(told(sock.getsockname()) if name else len(sock.getsockname()), told(sock.recvfrom(10)))
"""), 3)


def test_nobody_there(place):
    """No file, a file that is none, a stale one, one that is not listened at; and there again."""
    seen = compared(place, """
bound = fresh()
bound.bind(FOLDER + "/bound")
stale = listening(FOLDER + "/stale")
stale.close()
open(FOLDER + "/file", "w").close()
listener = serving()
sock = listener.accept()[0]
after("was there")
listener.close()
step("gone")
after("was refused")
os.unlink(PATH)
step("unlinked")
after("was missed")
listener = listening()
step("there")
say(to_end(listener.accept()[0]))
""", r"""
for path in ("nowhere", "file", "stale", "bound", "file/below"):
    say(path, tried(called, FOLDER + "/" + path))
say(tried(called, "\0fst-nobody"))
first = called()
step("was there")
after("gone")
say(tried(called))
step("was refused")
after("unlinked")
say(tried(called))
step("was missed")
after("there")
second = fresh()
say(tried(second.connect, CALLED), tried(second.connect, CALLED))
second.close()
""")
    counts = seen.counters["client"] # once by the link there was, in vain
    assert counts["local_opened"] == 3 and counts["local_to_kernel"] == 1, seen.counters


def test_who_may_not_write_to_it(place):
    """Of its own user's: the kernel's word, of a file and of a directory on the way."""
    seen = compared(place, """
os.umask(0)
os.mkdir(FOLDER + "/closed")
listeners = [listening(FOLDER + "/" + name) for name in ("open", "shut", "closed/in")]
os.chmod(FOLDER + "/shut", 0o444)
os.chmod(FOLDER + "/closed", 0)
step("listens")
after("client.over")
os.chmod(FOLDER + "/closed", 0o700)
""", """
for name in ("open", "shut", "closed/in"):
    said = tried(called, FOLDER + "/" + name)
    say(name, said if isinstance(said, str) else said.send(b"x"))
""", around=[NOBODY, NOBODY])
    counts = seen.counters["client"]
    assert counts["local_opened"] == 1 and counts["local_to_kernel"] == 0, seen.counters


def test_another_user(place):
    """The kernel connects them, and says who they are."""
    seen = compared(place, """
os.umask(0)
listener = serving()
sock = listener.accept()[0]
say(who(sock)[1:], to_end(sock))
""", """
os.setresuid(65534, 65534, 65534)
sock = called()
say(who(sock)[1:])
sock.send(b"hello")
sock.close()
""")
    assert seen.counters["client"]["local_opened"] == 0, seen.counters


@pytest.mark.parametrize("shown, wanted, answer", [
    ("sock", "sock", "accepted"), ("-", "sock", "by nobody"), ("secret", "sock", "by nobody"), ("file", "sock", "by nobody"),
    ("sock", "secret", "refused"), ("shut", "shut", "by nobody")])
def test_who_cannot_show_the_file(place, shown, wanted, answer):
    """
    A process of the same user, past the file system: it is let to no listener whose file it has not, nor to any but that
    one, nor to one that its user may not write to.
    """
    said = []

    def attack(seen, folder):
        words = [folder / ("shut" if shown == "shut" else "sock"), "-" if shown == "-" else folder / shown, folder / wanted]
        program = [hosts.PYTHON, hosts.PROGRAMS / "hostile_unix.py", *words]
        done = place.a.run([*NOBODY, *program])
        said.append(done.out.strip() or done.err)
        (folder / "called").touch()
    seen = run(place, (UNIX + """
os.umask(0)
listeners = [listening(FOLDER + "/" + name) for name in ("sock", "secret", "shut")]
os.chmod(FOLDER + "/shut", 0o444)
open(FOLDER + "/file", "w").close()
step("listens")
sock = listeners[0].accept()[0]
while tried(sock.recv, 5) != b"hello":
    sock = listeners[0].accept()[0]
sock.send(b"hello")
""", UNIX + """
after("called")
sock = called()
sock.send(b"hello")
say(whole(sock, 5))
"""), (PROFILES["default"],) * 2, listen=PATH, call=PATH, around=[NOBODY, NOBODY], watch=attack)
    assert said == ["answered " + answer], (said, seen.told())
    assert seen.lines["client"] == ["b'hello'"], seen.told()


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_tcp_is_not_called_by_such_a_link(place, kind):
    """A process of the same user, by the link of a Unix socket: to a port of TCP, from afar by a Unix socket, or as TCP does."""
    said = []

    def attack(seen, folder):
        program = [hosts.PYTHON, hosts.PROGRAMS / "hostile_unix.py", *[folder / "sock"] * 3, str(hosts.PORT), kind]
        done = place.a.run([*NOBODY, *program])
        said.append(done.out.strip() or done.err)
        (folder / "called").touch()
    seen = run(place, (UNIX + """
os.umask(0)
listener = listening()
tcp = socket.socket(socket.AF_INET6)
tcp.bind(("::", PORT))
tcp.listen(5)
step("listens")
sock = listener.accept()[0]
say(whole(sock, 5))
tcp.setblocking(False)
say(tried(tcp.accept))
sock.send(b"hello")
""", UNIX + """
after("called")
sock = called()
sock.send(b"hello")
say(whole(sock, 5))
"""), (PROFILES["default"],) * 2, listen=PATH, call=PATH, around=[NOBODY, NOBODY], watch=attack)
    assert said == ["answered refused"], (said, seen.told())
    assert seen.lines == {"server": ["b'hello'", "EAGAIN"], "client": ["b'hello'"]}, seen.told()


def test_who_has_the_name_alone(place):
    """
    A listener of the kernel's alone. Who took the name by which it would be met, of the caller's user, is told nothing:
    he has not the listener.
    """
    said = []

    def attack(seen, folder):
        program = [hosts.PYTHON, hosts.PROGRAMS / "hostile_name.py", (folder / "id").read_text(), folder, VERSION]
        said.append(place.a.run([*NOBODY, *program]).out.strip())
    seen = run(place, (UNIX + """
os.umask(0)
listener = listening()
st = os.stat(PATH)
with open(FOLDER + "/id", "w") as file:
    file.write(struct.pack("=QQ", st.st_dev, st.st_ino).hex())
step("listens")
sock = listener.accept()[0]
say(whole(sock, 5), who(sock)[0] == int(whole(sock, 8)))
sock.sendall(b"%08d" % os.getpid())
""", UNIX + """
after("squats")
sock = called()
sock.send(b"hello%08d" % os.getpid())
say(who(sock)[0] == int(whole(sock, 8)))
"""), (None, PROFILES["default"]), listen=PATH, call=PATH,
               around=[[], NOBODY], watch=attack)
    assert seen.lines == {"server": ["b'hello' True"], "client": ["True"]}, seen.told()
    assert said == ["told 0 bytes, handed 0"], (said, seen.told())
    assert seen.counters["client"]["local_opened"] == 0, seen.counters


# --- bytes and their ends ---------------------------------------------------------------------

@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_bytes(place, profile):
    """Any sizes both ways at once, by calls of any kind."""
    seen = opened(compared(place, """
sock = serving().accept()[0]
draw = random.Random(1)
total = 0
while data := sock.recv(draw.randint(1, 300000)):
    total += len(data)
    sock.sendall(data)
say(total)
sock.close()
""", """
sock = called()
draw = random.Random(2)
data = draw.randbytes(20000000)
def send():
    at = 0
    while at < len(data):
        n = draw.choice((1, 100, 5000, 70000, 300000))
        sock.sendall(data[at:at + n])
        at += n
    sock.shutdown(socket.SHUT_WR)
thread = threading.Thread(target=send)
thread.start()
got = to_end(sock)
thread.join()
say(got == (len(data), zlib.crc32(data), "end"))
""", profile=profile))
    assert seen.links["client"].bytes_out == seen.links["client"].bytes_in == 20000000, seen.links


def test_flags_of_receives(place):
    """MSG_PEEK, MSG_WAITALL, MSG_TRUNC, which means nothing here, none at all, and SO_RCVLOWAT; SIOCINQ."""
    opened(compared(place, """
sock = serving().accept()[0]
after("sent")
say(struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, b"1234")))
say(sock.recv(4, socket.MSG_PEEK), sock.recv(3, socket.MSG_TRUNC), tried(sock.recv, 1, socket.MSG_OOB))
step("more")
say(sock.recv(10, socket.MSG_WAITALL))
sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 5)
sock.setblocking(False)
say(ready(sock), tried(sock.recv, 10))
sock.setblocking(True)
step("low")
say(sock.recvmsg(100, 100))
""", """
sock = called()
sock.send(b"abcdefgh")
step("sent")
after("more")
sock.send(b"01234")
after("low")
sock.send(b"56789")
say(tried(sock.sendto, b"x", CALLED))
"""))


def test_buffers(place):
    """As much as a socket's buffers hold by default finds room before anybody reads."""
    opened(compared(place, """
sock = serving().accept()[0]
after("sent")
say(len(whole(sock, 150000)))
""", """
sock = called()
sock.settimeout(0)
say(sock.send(bytes(150000)))
n = 0
while not isinstance(more := tried(sock.send, bytes(100000)), str):
    n += more
say(more, 0 < n < 1000000, ready(sock))
step("sent")
"""))


ENDS = {
    "half closed": ("say(to_end(sock)); sock.sendall(b'answer'); sock.close()",
                    "sock.send(b'ask'); sock.shutdown(socket.SHUT_WR); say(to_end(sock), "
                    "tried(sock.send, b'x'), ready(sock))"),
    "closed": ("sock.close(); step('closed')",
               "after('closed'); say(ready(sock, GUARD), told(sock.getpeername()), tried(sock.recv, 1), "
               "tried(sock.send, b'x'), tried(sock.send, b''), tried(sock.recv, 1), tried(sock.shutdown, socket.SHUT_RDWR), ready(sock))"),
    "closed unread": ("after('sent'); sock.send(b'last'); sock.close(); step('closed')",
                      "sock.send(b'data'); step('sent'); after('closed'); say(ready(sock, GUARD), "
                      "tried(sock.send, b'x'), sock.recv(10), tried(sock.recv, 10), tried(sock.recv, 10), tried(sock.send, b'x'))"),
    "error asked for": ("after('sent'); sock.close(); step('closed')",
                        "sock.send(b'data'); step('sent'); after('closed'); say(ready(sock, GUARD), "
                        "sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), tried(sock.recv, 10), ready(sock))"),
    "shut and closed unread": ("after('sent'); sock.shutdown(socket.SHUT_WR); sock.close(); step('closed')",
                               "sock.send(b'data'); step('sent'); after('closed'); "
                               "say(ready(sock, GUARD), tried(sock.recv, 10), tried(sock.recv, 10))"),
    "reads no more": ("after('sent'); sock.shutdown(socket.SHUT_RD); step('shut'); say(ready(sock), sock.recv(2), "
                      "sock.recv(9), sock.recv(9), sock.send(b'still')); step('said'); after('client.over')",
                      "sock.send(b'data'); step('sent'); after('shut'); until(lambda: tried(sock.send, b'x') == 'EPIPE'); "
                      "after('said'); say(ready(sock), whole(sock, 5), ready(sock))"),
    "both shut": ("sock.shutdown(socket.SHUT_RDWR); step('shut'); say(ready(sock), tried(sock.send, b'x'), "
                  "sock.recv(1)); after('client.over')",
                  "after('shut'); say(ready(sock, GUARD, select.POLLHUP), tried(sock.send, b'x'), sock.recv(1), "
                  "ready(sock))"),
}


@pytest.mark.parametrize("end", sorted(ENDS))
def test_ends(place, end):
    server, client = ENDS[end]
    opened(compared(place, "sock = serving().accept()[0]\n" + server, "sock = called()\n" + client))


def test_signal_of_a_broken_pipe(place):
    opened(compared(place, """
serving().accept()[0].close()
step("closed")
""", """
came = []
signal.signal(signal.SIGPIPE, lambda *_: came.append(1))
sock = called()
after("closed")
ready(sock, GUARD, select.POLLHUP)
say(tried(os.write, sock.fileno(), b"x"), len(came), tried(sock.send, b"x", socket.MSG_NOSIGNAL), len(came))
"""))


@pytest.mark.parametrize("unread", [False, True])
def test_killed(place, unread):
    opened(compared(place, f"""
sock = serving().accept()[0]
sock.send(b"last")
after("sent")
if not {unread}:
    sock.recv(10)
os.kill(os.getpid(), signal.SIGKILL)
""", """
sock = called()
sock.send(b"data")
step("sent")
say(to_end(sock), tried(sock.recv, 1), tried(sock.send, b"x"), ready(sock))
""", killed=("server",)))


# --- listening ----------------------------------------------------------------------------------

def test_full_queue(place):
    """Who does not wait is told EAGAIN, who does gets through once there is room, or has his time limit."""
    seen = compared(place, """
listener = serving(backlog=2)
after("full")
for i in range(4):
    say(to_end(listener.accept()[0]))
""", """
socks = []
def attempt():
    sock = socket.socket(socket.AF_UNIX)
    sock.setblocking(False)
    said = tried(sock.connect, CALLED)
    socks.append((said, sock))
    return said
say([attempt() for i in range(5)])
limited = socket.socket(socket.AF_UNIX)
limited.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("2q", 0, 50000))
say(tried(limited.connect, CALLED))
last = socket.socket(socket.AF_UNIX)
thread = threading.Thread(target=lambda: say("waited", tried(last.connect, CALLED)))
thread.start()
time.sleep(0.1)
step("full")
for said, sock in socks:
    sock.close()
thread.join()
last.close()
""")
    counts = seen.counters["client"]
    assert counts["local_opened"] >= 4 and counts["local_to_kernel"] == 0, seen.counters
    assert seen.counters["server"]["local_accepted"] == 4, seen.counters


def test_signal_in_a_connect(place):
    """It ends none that the kernel would not have made wait: there was room, and it was not full."""
    opened(compared(place, """
listener = serving()
after("go")
for i in range(2):
    say(to_end(listener.accept()[0]))
""", """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
name = struct.pack("=H108s", 1, CALLED.encode())
signal.signal(signal.SIGALRM, lambda *_: None)
first = called()
pid = who(first)[0]
first.close()
os.kill(pid, signal.SIGSTOP)
waker = threading.Timer(0.1, os.kill, (pid, signal.SIGCONT))
waker.start()
sock = fresh()
sock.setblocking(True)
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.01)
ret = libc.connect(sock.fileno(), name, 110)
say(ret, errno.errorcode.get(ctypes.get_errno()) if ret else 0)
signal.setitimer(signal.ITIMER_REAL, 0)
waker.join()
sock.send(b"hello")
sock.close()
step("go")
"""), 2)


def test_epoll_of_all_kinds(place):
    """Connections and listeners of Unix sockets beside TCP, pipes, and such as are the kernel's, both triggers."""
    opened(compared(place, """
listener = serving()
inner, outer = socket.socketpair()
pipe = os.pipe()
tcp = socket.create_server(("127.0.0.1", 0))
level, edge = select.epoll(), select.epoll()
for each in (listener, inner, pipe[0], tcp):
    level.register(each, select.EPOLLIN)
step("watching")
say([fd == listener.fileno() for fd, _ in level.poll(GUARD)])
sock = listener.accept()[0]
sock.settimeout(GUARD)
level.register(sock, select.EPOLLIN)
edge.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET)
say(len(edge.poll(GUARD)), len(edge.poll(0)), level.poll(0))
step("idle")
say([fd == sock.fileno() for fd, _ in level.poll(GUARD)], len(edge.poll(GUARD)), len(edge.poll(0)))
say(sock.recv(2), len(level.poll(0)), len(edge.poll(0)))
say(sock.recv(2), level.poll(0))
outer.send(b"x")
os.write(pipe[1], b"y")
say(len(level.poll(0)))
step("again")
level.unregister(inner)
level.unregister(pipe[0])
say([fd == sock.fileno() for fd, _ in level.poll(GUARD)])
say(select.select([sock, inner], [sock], [], 0)[0] == [sock, inner])
say(to_end(sock), ready(sock))
""", """
after("watching")
sock = called()
after("idle")
sock.send(b"1234")
after("again")
sock.send(b"5")
sock.close()
"""))


def test_workers_and_forked_clients(place):
    """Workers share a listener; clients fork with a connection, and call anew in the child, who is named as such."""
    seen = compared(place, """
listener = serving()
workers = []
for i in range(3):
    workers.append(os.fork())
    if not workers[-1]:
        while not isinstance(sock := tried(listener.accept), str):
            sock = sock[0]
            sock.settimeout(GUARD)
            pid = int(whole(sock, 8))
            sock.sendall(b"%d" % (who(sock)[0] == pid))
            while data := sock.recv(1000):
                sock.sendall(data)
        os._exit(0)
after("client.over")
for pid in workers:
    os.kill(pid, signal.SIGKILL)
say([os.waitpid(pid, 0)[1] for pid in workers])
""", """
def talk(sock):
    for i in range(20):
        sock.sendall(b"%d" % i)
        assert whole(sock, len(b"%d" % i)) == b"%d" % i
def begun():
    sock = called()
    sock.sendall(b"%08d" % os.getpid())
    assert whole(sock, 1) == b"1"
    return sock
mine = begun()
children = []
for i in range(10):
    children.append(os.fork())
    if not children[-1]:
        if i == 0:
            talk(mine)
        else:
            talk(begun())
        os._exit(0)
    if i == 0:
        os.waitpid(children[0], 0)
        talk(mine)
say([os.waitpid(pid, 0)[1] for pid in children[1:]])
mine.close()
for i in range(2):
    talk(begun())
""")
    assert seen.counters["client"]["local_opened"] >= 3, seen.counters


def test_within_a_program(place):
    """A program that calls itself, from one thread, and closes without another word."""
    seen = compared(place, "step('listens')", """
listener = listening(FOLDER + "/own")
client = called(FOLDER + "/own")
server = listener.accept()[0]
client.send(b"hello")
say(server.recv(10), who(server)[0] == who(client)[0] == os.getpid())
client.send(bytes(100000))
say(len(whole(server, 100000)))
server.close()
say(tried(client.recv, 1))
""")
    counts = seen.counters["client"]
    assert counts["local_opened"] == counts["local_accepted"] == 1, seen.counters


def test_another_process_listens_anew(place):
    """At the same abstract name: SO_PEERCRED is its, and not that of who listened before."""
    seen = compared(place, """
listener = serving()
first = listener.accept()[0]
after("first")
child = os.fork()
listener.close()
if not child:
    second = listening()
    with open(FOLDER + "/child", "w") as file:
        file.write(str(os.getpid()))
    step("again")
    say(whole(second.accept()[0], 5))
    sys.stdout.flush()
    os._exit(0)
os.waitpid(child, 0)
""", """
sock = called()
step("first")
after("again")
other = called()
say(who(other)[0] == int(open(FOLDER + "/child").read()))
other.send(b"hello")
after("server.over")
""", listen="@fst-again")
    assert seen.counters["client"]["local_opened"] >= 1, seen.counters


# --- what is the kernel's -----------------------------------------------------------------------

PASSING = """
def pass_on(sock, text, fds):
    return sock.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
def passed(sock, most=100):
    data, control, flags, name = sock.recvmsg(most, socket.CMSG_SPACE(64))
    fds = array.array("i")
    for level, kind, given in control:
        assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        fds.frombytes(given[:len(given) - len(given) % 4])
    return data, list(fds)
"""


def test_descriptors_pass_in_mid_stream(place):
    """What was sent before comes before, what is sent after comes after, on both ways; the bytes of both are whole."""
    seen = compared(place, PASSING + """
sock = serving().accept()[0]
sock.settimeout(GUARD)
say(zlib.crc32(whole(sock, 1000)))
sock.sendall(b"unread of the server's")
step("said")
after("passed")
before = whole(sock, 30000)
data, fds = passed(sock)
say(zlib.crc32(before), data, len(fds))
os.write(fds[0], b"through the pipe")
os.close(fds[0])
say(whole(sock, 5), tried(sock.send, b"end"), who(sock)[1:])
""", PASSING + """
sock = called()
sock.sendall(random.Random(1).randbytes(1000))
after("said")
sock.sendall(random.Random(2).randbytes(30000))
pipe = os.pipe()
say(pass_on(sock, b"take it", [pipe[1]]))
os.close(pipe[1])
sock.sendall(b"after")
step("passed")
say(os.read(pipe[0], 100), os.read(pipe[0], 100))
say(whole(sock, 25), who(sock)[1:])
""")
    for who in hosts.ENDS:
        counts = seen.counters[who]
        assert counts["local_opened"] + counts["local_accepted"] == 1 and counts["moved_to_kernel"] == 1, seen.counters


def test_descriptors_come_to_a_sleeper(place):
    """Who sleeps in recvmsg(), or in an epoll set, when the other end leaves for the kernel."""
    seen = compared(place, PASSING + """
sock, other = (sock.accept()[0] for sock in [serving()] for _ in range(2))
step("asleep")
data, fds = passed(sock)
say(data, len(fds))
level = select.epoll()
level.register(other, select.EPOLLIN)
step("in a set")
say(len(level.poll(GUARD)))
data, fds = passed(other)
say(data, len(fds))
""", PASSING + """
sock, other = called(), called()
after("asleep")
time.sleep(0.05)
say(pass_on(sock, b"one", [0]))
after("in a set")
time.sleep(0.05)
say(pass_on(other, b"two", [0]))
after("server.over")
""")
    for who in hosts.ENDS:
        counts = seen.counters[who]
        assert counts["local_opened"] + counts["local_accepted"] == counts["moved_to_kernel"] == 2, seen.counters


def test_urgent_bytes(place):
    """MSG_OOB, where the kernel has it for Unix sockets."""
    seen = compared(place, """
sock = serving().accept()[0]
after("sent")
say(tried(sock.recv, 1, socket.MSG_OOB), sock.recv(10), sock.recv(10))
""", """
sock = called()
sock.send(b"abc")
say(tried(sock.send, b"!", socket.MSG_OOB))
sock.send(b"def")
step("sent")
after("server.over")
""")
    assert seen.counters["client"]["local_opened"] == 1, seen.counters


def test_child_passes_to_its_parent(place):
    """They share a stack: whoever moves would wait for the other with the lock that he needs."""
    seen = compared(place, "step('listens')", PASSING + """
listener = listening(FOLDER + "/own")
child = os.fork()
if not child:
    sock = called(FOLDER + "/own")
    sock.send(b"hello")
    whole(sock, 2)
    say("child", tried(pass_on, sock, b"take", [0]), tried(whole, sock, 3))
    sys.stdout.flush()
    os._exit(0)
sock = listener.accept()[0]
sock.settimeout(GUARD)
whole(sock, 5)
sock.send(b"ok")
data, fds = passed(sock)
sock.send(b"bye")
os.waitpid(child, 0)
say(data, len(fds))
""")
    assert seen.counters["client"]["local_opened"] == 0, seen.counters


def test_empty_control(place):
    """A pointer to control data of no bytes is none, and moves nothing."""
    opened(compared(place, """
say(to_end(serving().accept()[0]))
""", """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
sock = called()
room, data = ctypes.create_string_buffer(64), ctypes.create_string_buffer(b"hello")
iov = ctypes.create_string_buffer(struct.pack("PN", ctypes.addressof(data), 5))
say(libc.sendmsg(sock.fileno(), struct.pack("PIiPNPNi4x", 0, 0, 0, ctypes.addressof(iov), 1, ctypes.addressof(room), 0, 0), 0))
sock.close()
"""))


@pytest.mark.parametrize("who", ["server", "client", "late"])
def test_credentials_with_each_message(place, who):
    """SO_PASSCRED: set by the listener, by the client before it connects, and on a connection."""
    seen = compared(place, f"""
listener = serving()
if {who!r} == "server":
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
step("ready")
sock = listener.accept()[0]
sock.settimeout(GUARD)
if {who!r} == "late":
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
step("passes")
data, control, flags, name = sock.recvmsg(10, 100)
say(data, [(level, kind, struct.unpack("3i", data)[1:]) for level, kind, data in control])
sock.send(b"answer")
after("client.over")
""", f"""
after("ready")
sock = fresh()
if {who!r} == "client":
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
sock.connect(CALLED)
after("passes")
sock.send(b"data")
data, control, flags, name = sock.recvmsg(10, 100)
say(data, [(level, kind, struct.unpack("3i", data)[1:]) for level, kind, data in control])
""")
    counts = seen.counters["client"]
    assert counts["local_opened"] == counts["moved_to_kernel"] == int(who == "late"), seen.counters


def test_connection_is_executed_and_passed(place):
    """A program without fsock has it: by exec of a child, and by a message."""
    seen = compared(place, PASSING + """
listener = serving()
sock = listener.accept()[0]
sock.settimeout(GUARD)
say(whole(sock, 5))
other = listener.accept()[0]
data, fds = passed(other)
say(data, len(fds))
os.write(fds[0], b"by another")
say(to_end(other))
""", PASSING + """
import subprocess
sock = called()
sock.sendall(b"begin")
subprocess.run(["/bin/sh", "-c", "unset LD_PRELOAD; exec printf 'from a program'"], stdout=sock)
one, two = called(), called()
third = fresh()
""".replace("one, two = called(), called()\nthird = fresh()\n", """
other = called()
listener = listening(FOLDER + "/second")
third = called(FOLDER + "/second")
fourth = listener.accept()[0]
say(pass_on(other, b"have it", [third.fileno()]))
third.close()
say(whole(fourth, 10))
other.close()
"""))
    counts = seen.counters["client"]
    assert counts["local_opened"] == counts["moved_to_kernel"] == 3, seen.counters


@pytest.mark.parametrize("mixed", ["server", "client", "off"])
def test_one_end_has_no_fsock(place, mixed):
    """Or no local_unix: they talk by the kernel."""
    scripts = UNIX + NAMING, UNIX + NAMED
    how = {"listen": PATH, "call": PATH}
    options = {"server": (PROFILES["default"], None), "client": (None, PROFILES["default"]),
               "off": (PROFILES["default"], {"local": 1})}[mixed]
    truth = run(place, scripts, (None, None), **how)
    seen = run(place, scripts, options, **how)
    assert seen.lines == truth.lines, f"on the kernel:\n{truth.told()}\nmixed:\n{seen.told()}"
    for counts in seen.counters.values():
        assert not counts or counts["local_opened"] == counts["local_accepted"] == 0, seen.counters
