# SPDX-License-Identifier: BSD-2-Clause
"""
Programs of two network namespaces that share a directory (option local_scope) and meet by links. See hosts.py. The server
is in one end of a pair, the client in the other; the kernel could connect them, too.
"""
import fcntl
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import zlib

import pytest

import hosts
from hosts import run
from lab import fsock, net, proc


@pytest.fixture(scope="module")
def hall():
    """Two namespaces for all tests here, which leave them as they were."""
    with net.Pair() as made:
        made.meet()
        yield made


@pytest.fixture
def shared():
    """A directory that all namespaces see; nothing may be left in it."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="fst-"))
    yield path
    left = sorted(entry.name for entry in path.iterdir())
    shutil.rmtree(path)
    assert not left


# What is no link's is the kernel's then, which counts it, and no port is opened.
NO_PORT = {"interface": "none"}


def scope(path):
    return {"local_scope": f"path:{path}", **NO_PORT}


def between(hall, scripts, options, **how):
    """As hosts.run(): the server in .a, the client in .b."""
    how = {"listen": net.A4, "call": net.A4, **how}
    return run(hall, scripts, options, sides=(hall.a, hall.b), **how)


def assert_met(seen, n=1):
    assert (seen.links["server"].accepted, seen.links["client"].opened) == (n, n), (seen.links, seen.told())
    assert seen.kernel[1] == 0, (seen.kernel, seen.told())
    server, client = seen.links["server"], seen.links["client"]
    assert server.bytes_in == client.bytes_out and server.bytes_out == client.bytes_in > 0


def assert_missed(seen, n=1):
    """Connections were made, and all were the kernel's."""
    assert not any(counts.opened + counts.accepted for counts in seen.links.values()), (seen.links, seen.told())
    assert seen.kernel[1] == n, (seen.kernel, seen.told())


# Each says what it is called and who the other is, in the words of both.
TALK = (hosts.NAMING + """
sock.sendall(b"seen" * 50000)
say(to_end(sock))
sock.close()
""", hosts.NAMED + """
say(zlib.crc32(whole(sock, 200000)))
sock.shutdown(socket.SHUT_WR)
say(to_end(sock))
""")


def spoken(listen, call):
    """What both say then, whoever carries it."""
    def of(v4, v6, family):
        return v6 if call == net.A6 else "::ffff:" + v4 if ":" in family else v4
    ours, theirs, sent = of(net.A4, net.A6, listen), of(net.B4, net.B6, listen), b"seen" * 50000
    return {"server": [f"accept {theirs} here {(ours, hosts.PORT)} there {theirs} True", "their name is what we see: "
                       f"{call.startswith('::f') == listen.startswith('::') or call == net.A6}", "(0, 0, 'end')"],
            "client": [f"here {of(net.B4, net.B6, call)} True there {(of(net.A4, net.A6, call), hosts.PORT)}",
                       str(zlib.crc32(sent)), "(0, 0, 'end')"]}


@pytest.mark.parametrize("listen, call", [(net.A4, net.A4), (net.A6, net.A6), ("::", net.A4), ("0.0.0.0", "::ffff:" + net.A4)])
def test_names_and_bytes(hall, shared, listen, call):
    """All is as with the kernel's connections between them, and none is one."""
    seen = between(hall, TALK, (scope(shared),) * 2, listen=listen, call=call)
    assert seen.lines == spoken(listen, call), seen.told()
    assert_met(seen)


@pytest.mark.parametrize("options", [("local", "local"), ("kernel", "scope"), ("scope", "local")])
def test_only_who_asked_for_it(hall, shared, options):
    """Both have to."""
    ways = {"local": {"local": 1, **NO_PORT}, "kernel": None, "scope": scope(shared)}
    chosen = tuple(ways[way] for way in options)
    seen = between(hall, TALK, chosen)
    assert_missed(seen)
    assert seen.lines == spoken(net.A4, net.A4), seen.told()


def test_before_the_fast_path(hall, shared):
    """Where a packet of the pair's could have gone by the fast path, too."""
    options = {"local_scope": f"path:{shared}", "profile": "latency", "interface": net.LINK}
    assert_met(between(hall, TALK, (options, options)))


LISTENS = """
listener = serving()
listener.settimeout(None)
step("there")
after("client.over")
"""


def test_loopback_is_ones_own(hall, shared):
    """127.0.0.1 of another namespace is somebody else, whatever listens at all addresses there; so is ::1."""
    seen = between(hall, (LISTENS, """
say(tried(called, "127.0.0.1"), tried(called, "::1"), tried(called, "::ffff:127.0.0.1"))
say(type(tried(called, CALL)).__name__)
"""), (scope(shared),) * 2, listen="::")
    assert seen.lines["client"] == ["ECONNREFUSED ECONNREFUSED ECONNREFUSED", "socket"]
    assert seen.links["client"].opened == 1


def test_who_listens_at_the_loopback_has_no_name(hall, shared):
    def watch(*_):
        assert not list(shared.iterdir())
        assert len(hosts.names(hall)) == 1
    seen = between(hall, (LISTENS, "say(tried(called))"), (scope(shared),) * 2, listen="127.0.0.1", watch=watch)
    assert seen.lines["client"] == ["ECONNREFUSED"]


def test_same_port_in_both(hall, shared):
    """Each has its own listener at all its addresses and one port, and reaches the other's and its own."""
    words = """
listener = serving() if WHO == "server" else listening()
step(WHO + ".listens")
after("client.listens")
theirs, ours = (CALL, LISTEN) if WHO == "server" else (LISTEN, CALL)
socks = [called(address) for address in (theirs, ours, "127.0.0.1")]
for sock in socks:
    sock.sendall(WHO.encode())
    sock.shutdown(socket.SHUT_WR)
said = sorted((whole(taken(listener), 9) for _ in range(3)))
say(said)
"""
    served = words.replace("(CALL, LISTEN) if", f"({net.B4!r}, {net.A4!r}) if").replace("else (LISTEN, CALL)",
                                                                                f"else ({net.A4!r}, {net.B4!r})")
    seen = between(hall, (served, served.replace('listening()', 'listening("0.0.0.0")')), (scope(shared),) * 2, listen="0.0.0.0")
    assert seen.lines["server"] == ["[b'client', b'server', b'server']"]
    assert seen.lines["client"] == ["[b'client', b'client', b'server']"]
    for counts in seen.links.values():
        assert (counts.opened, counts.accepted) == (3, 3)
    assert seen.kernel[1] == 0


# --- whom to trust -------------------------------------------------------------------------------

@pytest.mark.parametrize("who", hosts.ENDS)
def test_another_user(hall, shared, who):
    shared.chmod(0o1777)
    nobody = ["setpriv", "--reuid=1234", "--regid=1234", "--clear-groups"]
    seen = between(hall, TALK, (scope(shared),) * 2, around=[nobody if end == who else [] for end in hosts.ENDS])
    assert_missed(seen)


def test_unfit_directory(hall, shared):
    """The programs go on without, and say why; what was implied by it still is: they meet in one namespace."""
    shared.chmod(0o777)
    seen = between(hall, TALK, (scope(shared),) * 2)
    assert_missed(seen)
    for err in seen.err.values():
        assert f"local_scope: {shared} may be written to by all, and has no sticky bit" in err
    seen = run(hall, TALK, (scope(shared),) * 2)
    assert seen.links["server"].accepted == 1


@pytest.mark.parametrize("says", ["the listener's", "its own"])
def test_who_calls_as_another_namespace(hall, shared, says):
    """Whatever namespace a caller says it is of: nobody comes to a listener's loopback from the directory."""
    def watch(_, folder):
        proc.until((folder / "there").exists)
        cookie = (folder / "cookie").read_text() if says == "the listener's" else 0
        called = hall.b.run([hosts.PYTHON, hosts.PROGRAMS / "hostile_caller.py", next(shared.iterdir()), hosts.PORT + 1,
                             "from_beyond", cookie])
        assert "called" in called.out, called
        (folder / "called").touch()
    seen = between(hall, ("""
near = listening("127.0.0.1", PORT + 1)
listener = serving()
with open(FOLDER + "/cookie", "w") as file:
    file.write(str(int.from_bytes(near.getsockopt(socket.SOL_SOCKET, 71, 8), sys.byteorder)))
step("there")
while not os.path.exists(FOLDER + "/called"):
    if select.select([near], [], [], 0.05)[0]:
        say("somebody came", near.accept()[1])
""", """after("called")"""), (scope(shared), None), watch=watch)
    assert seen.lines["server"] == [], seen.told()


def test_routed_by_the_source(hall, shared):
    """Whom the listener's namespace answers by a rule for its own address."""
    far = "10.78.8.8"
    hall.b.run(["ip", "addr", "add", far + "/32", "dev", net.LINK])
    hall.a.run(["ip", "rule", "add", "from", net.A4, "lookup", "100"])
    hall.a.run(["ip", "route", "add", far + "/32", "via", net.B4, "dev", net.LINK, "table", "100"])
    try:
        seen = between(hall, ("""
sock, name = serving().accept()
say(name[0])
sock.sendall(b"seen")
""", f"""
sock = socket.socket()
sock.settimeout(GUARD)
sock.bind(("{far}", 0))
sock.connect((CALL, PORT))
say(whole(sock, 4))
sock.sendall(b"x")
"""), (scope(shared),) * 2)
    finally:
        hall.a.run(["ip", "route", "flush", "table", "100"])
        hall.a.run(["ip", "rule", "del", "from", net.A4, "lookup", "100"])
        hall.b.run(["ip", "addr", "del", far + "/32", "dev", net.LINK])
    assert seen.lines == {"server": [far], "client": ["b'seen'"]}, seen.told()
    assert seen.links["client"].opened == 1 and seen.kernel[1] == 0, seen.told()


def test_rules_that_come_later(hall, shared):
    """What the listener's namespace says of packets holds for connections to come."""
    rules = ("add table inet late; add chain inet late c { type filter hook input priority 0; }; "
             f"add rule inet late c tcp dport {hosts.PORT} drop")

    def watch(_, folder):
        proc.until((folder / "there").exists)
        hall.a.run(["nft", rules])
        (folder / "ruled").touch()
    try:
        seen = between(hall, ("""
listener = serving()
step("there")
until(lambda: ready(listener) != "-" or os.path.exists(FOLDER + "/client.over"))
say(ready(listener))
""", """
after("ruled")
sock = fresh()
sock.settimeout(1)
say(tried(sock.connect, (CALL, PORT)))
"""), (scope(shared),) * 2, watch=watch)
    finally:
        hall.a.run(["nft", "delete table inet late"])
    assert seen.lines == {"server": ["-"], "client": ["HANGS"]}, (seen.links, seen.told())


def test_locked_for_a_while(hall, shared):
    """Whoever may read the directory can hold its lock. Names that a listener did not get so come later."""
    fd = os.open(shared, os.O_RDONLY)

    def watch(_, folder):
        proc.until((folder / "listens").exists)
        assert not list(shared.iterdir())
        fcntl.flock(fd, fcntl.LOCK_UN)
        proc.until(lambda: list(shared.iterdir()))
        (folder / "named").touch()
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        seen = between(hall, (TALK[0], 'after("named")' + TALK[1]), (scope(shared),) * 2, watch=watch)
    finally:
        os.close(fd)
    assert_met(seen)


def test_bad_value():
    done = subprocess.run(fsock.run(["true"], local_scope="/run/fsock"), capture_output=True, text=True, check=False)
    assert done.returncode == 125 and "is neither netns nor path: and an absolute path" in done.stderr, done


# --- names that stay, and addresses that change -----------------------------------------------------

def killed(hall, shared):
    """What a listener leaves that is killed."""
    with tempfile.TemporaryDirectory(prefix="fst-") as folder:
        argv = fsock.run(hosts.words_of(LISTENS, "server", folder, listen="0.0.0.0"), **scope(shared))
        with hall.a.popen([str(word) for word in argv], env=fsock.CLEAN) as process:
            proc.until(lambda: os.path.exists(folder + "/there") or not process.alive())
            names = sorted(entry.name for entry in shared.iterdir())
            os.kill(process.pid, signal.SIGKILL)
            process.finish()
    assert names == [f"fsock-5-tcp-4-0a4d0001-{hosts.PORT}-0-any"]
    assert sorted(entry.name for entry in shared.iterdir()) == names
    return names


def test_who_is_killed_misleads_nobody(hall, shared):
    """Who calls there is refused, and has the name removed; so does whoever publishes some other name."""
    killed(hall, shared)
    seen = between(hall, ("""step("listens")\nafter("client.over")""", "say(tried(called))"), (None, scope(shared)))
    assert seen.lines["client"] == ["ECONNREFUSED"] and not list(shared.iterdir())
    killed(hall, shared)
    assert_met(between(hall, TALK, (scope(shared),) * 2, port=hosts.PORT + 1))


def test_names_go_as_listeners_do(hall, shared):
    """By close(), exit() and _exit(); a child keeps what its parent had."""
    def watch(_, folder):
        proc.until((folder / "parent.gone").exists)
        assert len(list(shared.iterdir())) == 1
        (folder / "looked").touch()
    between(hall, ("""
first = listening(port=PORT + 1)
first.close()
listener = serving()
names = set(os.listdir(%r))
say(len(names))
if os.fork():
    listener.close()
    step("parent.gone")
    after("client.over")
else:
    say(to_end(taken(listener)))
    after("looked")
    os._exit(0)
""" % str(shared), """
after("parent.gone")
called().sendall(b"child")
"""), (scope(shared),) * 2, watch=watch)


def test_address_that_comes_later(hall, shared):
    """A listener that sleeps is found at a new address, and no longer at one that is gone."""
    later = "10.77.9.9"

    def names():
        return [entry.name for entry in shared.iterdir()]

    def watch(_, folder):
        assert len(names()) == 1
        hall.a.run(["ip", "addr", "add", later + "/32", "dev", net.LINK])
        proc.until(lambda: len(names()) == 2)
        (folder / "added").touch()
        proc.until((folder / "met").exists)
        hall.a.run(["ip", "addr", "del", later + "/32", "dev", net.LINK])
        proc.until(lambda: len(names()) == 1)
        (folder / "gone").touch()
    hall.b.run(["ip", "route", "add", later, "via", net.A4])
    seen = between(hall, ("""
listener = serving()
say(whole(taken(listener), 4))
say(whole(taken(listener), 4))
""", """
after("added")
called(%r).sendall(b"then")
step("met")
after("gone")
called().sendall(b"last")
""" % later), (scope(shared),) * 2, listen="0.0.0.0", watch=watch)
    hall.b.run(["ip", "route", "del", later])
    assert seen.lines["server"] == ["b'then'", "b'last'"]
    assert seen.links["server"].accepted == 2


# --- other namespaces ----------------------------------------------------------------------------------

def test_other_processes_namespace(hall, shared):
    """Who cannot see the other's number still knows it from others: one link carries all."""
    n, shown = 4, []

    def watch(seen, folder):
        proc.until(lambda: (folder / "server.over").exists() and (folder / "client.over").exists())
        for pid in seen.pids.values():
            child, = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
            shown.append(pathlib.Path(f"/proc/{child}/maps").read_text(encoding="ascii").count("fsock-link"))
    scripts = ("""
listeners = [listening(port=PORT + i) for i in range(%d)]
step("listens")
for listener in listeners:
    sock = taken(listener)
    sock.sendall(whole(sock, 4))
""" % n, """
for i in range(%d):
    sock = called(port=PORT + i)
    sock.sendall(b"%%04d" %% i)
    say(whole(sock, 4))
""" % n)
    apart = ["unshare", "--pid", "--fork", "--kill-child"]
    seen = between(hall, scripts, (scope(shared),) * 2, around=[apart, apart], watch=watch)
    assert seen.lines["client"] == [f"b'{i:04}'" for i in range(n)]
    assert seen.kernel[1] == 0
    assert shown == [1, 1]


def test_seen_from_outside(hall, shared):
    """fsock stat has the link, and says that it leaves the namespace."""
    shown = {}

    def watch(seen, folder):
        proc.until(lambda: (folder / "server.shown").exists() and (folder / "client.shown").exists())
        for who in hosts.ENDS:
            stack, = fsock.stat(seen.pids[who])["stacks"]
            shown[who] = stack
        (folder / "looked").touch()
    words = """
step(WHO + ".shown")
while not os.path.exists(FOLDER + "/looked"):
    ready(sock, 50, 0)
"""
    seen = between(hall, ("sock = taken(serving())\nwhole(sock, 9)\n" + words, "sock = called()\nsock.sendall(b'x' * 9)\n" + words),
                   (scope(shared),) * 2, watch=watch)
    for who, other in zip(hosts.ENDS, reversed(hosts.ENDS)):
        link, = shown[who]["links"]
        assert (link["peer_pid"], link["other_netns"], link["dialled"]) == (seen.pids[other], True, who == "client")
        assert [sock["link"] for sock in fsock.sockets(shown[who]) if sock.get("state") == "ESTAB"] == [link["link"]]


# --- to the kernel ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("who", hosts.ENDS)
def test_exec_of_a_program_without_fsock(hall, shared, who):
    """The connection goes on between the namespaces, as the kernel's."""
    goes = """
sock.sendall(b"before")
os.set_inheritable(sock.fileno(), True)
os.environ.pop("LD_PRELOAD")
if os.fork() == 0:
    os.dup2(sock.fileno(), 1)
    os.execv("/bin/echo", ["echo", "after"])
os.wait()
sock.close()
"""
    stays = "say(to_end(sock))\n"
    scripts = ["sock = taken(serving())\n", "sock = called()\n"]
    seen = between(hall, [words + (goes if end == who else stays) for words, end in zip(scripts, hosts.ENDS)], (scope(shared),) * 2)
    other = hosts.ENDS[1 - hosts.ENDS.index(who)]
    assert seen.lines[other] == [str((12, zlib.crc32(b"beforeafter\n"), "end"))], seen.told()
    assert seen.links["server"].accepted == 1


def test_listener_that_does_not_answer(hall, shared):
    """Its program is stopped: the kernel has the connection, and why says so. As in one namespace, what was tried by the
    link is accepted as a connection that was reset."""
    reasons = []

    def watch(seen, folder):
        proc.until((folder / "there").exists)
        os.kill(seen.pids["server"], signal.SIGSTOP)
        (folder / "stopped").touch()
        proc.until((folder / "connected").exists)
        reasons.extend(sock["reason"] for sock in fsock.sockets(fsock.stat(seen.pids["client"])))
        os.kill(seen.pids["server"], signal.SIGCONT)
    seen = between(hall, ("""
listener = serving()
step("there")
after("stopped")
told = 0, 0, "ECONNRESET"
while told == (0, 0, "ECONNRESET"):
    told = to_end(taken(listener))
say(told)
""", """
after("stopped")
sock = called()
step("connected")
sock.sendall(b"late")
sock.close()
"""), (scope(shared),) * 2, watch=watch)
    assert seen.lines["server"] == [str((4, zlib.crc32(b"late"), "end"))]
    assert reasons == ["not_met"]
    assert seen.counters["client"]["local_to_kernel"] == 1
