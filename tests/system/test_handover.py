# SPDX-License-Identifier: BSD-2-Clause
"""
test_handover - connections go on in the kernel: on request (`fsock handover`), and at the program's end.

What a program sent and had not finished when it ended arrives whole and ends as it would by the kernel: EOF, no reset.
"""
import contextlib
import hashlib
import json
import signal
import socket
import subprocess
import sys
import textwrap
import threading

import pytest

from lab import fsock, net, proc

PORT = 7320
SIZE = 3000000

# The other end of a connection in a state, seen from there: most of what comes is under way until it is told to read.
OTHER = textwrap.dedent("""
    import hashlib, socket, sys, time
    host, port, state = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    listener.bind((host, port))
    listener.listen()
    print("ready", flush=True)
    peer, got = listener.accept()[0], bytearray()
    if state in ("close_wait", "last_ack"):
        peer.shutdown(socket.SHUT_WR)
    elif state == "closing":
        peer.recv(1, socket.MSG_PEEK)
        time.sleep(0.3)
        peer.shutdown(socket.SHUT_WR)
    if state not in ("fin_wait2", "time_wait"):
        sys.stdin.readline()
    try:
        while data := peer.recv(100000):
            got += data
        if state == "fin_wait2":
            peer.send(b"x")
            sys.stdin.readline()
        peer.close()
        end = "end"
    except OSError as error:
        end = error.strerror
    print(len(got), hashlib.sha256(got).hexdigest(), end, flush=True)
""")

WRITER = textwrap.dedent("""
    import ctypes, os, random, socket, sys, time
    host, port, size, way = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    libc, kept = ctypes.CDLL(None), 0
    if way == "quick_exit": # its handler has the last word
        kept = 100
        handler = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: peer.sendall(data[-kept:]))
        libc.__cxa_at_quick_exit(handler, None)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    peer = socket.socket(family)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8000000)
    peer.connect((host, port))
    random.seed(1)
    data = random.randbytes(size)
    peer.sendall(data[:size - kept])
    print("sent", flush=True)
    sys.stdin.readline()
    if way in ("close", "close, exec"):
        peer.close()
    if way == "inherit, exec":
        os.set_inheritable(peer.fileno(), True)
    if "exec" in way:
        os.execv("/bin/true", ["true"]) # which closes it, unless it inherits it
    if "child" in way and os.fork() == 0: # which makes no call
        time.sleep(0.5 if way == "before its child" else 0)
        os._exit(0)
    if way == "after its child":
        os.wait()
    if way in ("_Exit", "quick_exit"):
        getattr(libc, way)(0)
    if way != "end":
        os._exit(0)
""")


@pytest.fixture(scope="module")
def pair():
    with net.Pair("fsock-hand") as pair:
        yield pair


def _expected():
    code = f"import random; random.seed(1); import sys; sys.stdout.buffer.write(random.randbytes({SIZE}))"
    return hashlib.sha256(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout).hexdigest()


def _other(pair, host, port, state):
    end = pair.b.popen([sys.executable, "-c", OTHER, host, port, state], env=fsock.CLEAN, stdin=subprocess.PIPE)
    end.wait_for("ready")
    return end


def _told_to_read(end, what):
    end.child.stdin.close()
    got = end.finish(30)
    assert got.out.split()[1:] == [str(SIZE), _expected(), "end"], (what, got.out, got.err)


def _is_fast(pid):
    """Its one connection is the engine's."""
    return proc.until(lambda: [s["accelerated"] for s in fsock.sockets(fsock.stat(pid))] == [True])


@pytest.mark.parametrize("family, way", [
    *((family, way) for family in ("v4", "v6", "mapped") for way in ("close", "end", "_exit", "inherit, exec")),
    ("v4", "_Exit"), ("v6", "quick_exit"), ("v4", "exec"), ("v6", "close, exec"),
    ("v6", "before its child"), ("v4", "after its child")])
def test_a_program_that_ends_loses_nothing(pair, family, way):
    host = pair.b.address("v4" if family == "mapped" else family)
    argv = fsock.run([sys.executable, "-c", WRITER, pair.b.address(family), PORT, SIZE, way], profile="latency")
    with _other(pair, host, PORT, "established") as end, \
            pair.a.popen(argv, env=fsock.CLEAN, stdin=subprocess.PIPE) as writer:
        assert writer.wait_for("sent"), writer.err
        assert _is_fast(writer.pid)
        writer.child.stdin.close()
        done = writer.finish()
        assert (done.status, done.err) == (0, "")
        _told_to_read(end, way)


# Each line of its peer is answered: on the fast path, after an exec that failed, and by the program that it becomes.
CHANGER = textwrap.dedent("""
    import os, socket, sys
    peer = socket.create_connection((sys.argv[1], int(sys.argv[2])))
    peer.sendall(peer.recv(100))
    try:
        os.execv("/nowhere", ["nowhere"])
    except FileNotFoundError:
        peer.sendall(peer.recv(100))
    os.set_inheritable(peer.fileno(), True)
    print("changes", flush=True)
    os.execv("/bin/sh", ["sh", "-c", f"read line <&{peer.fileno()}; echo $line >&{peer.fileno()}"])
""")


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_exec_that_fails_changes_nothing(pair, family):
    with pair.b.inside():
        listener = socket.create_server((pair.b.address(family), PORT),
                                        family=socket.AF_INET6 if family == "v6" else socket.AF_INET)
    argv = fsock.run([sys.executable, "-c", CHANGER, pair.b.address(family), PORT], profile="latency")
    before = net.resets(pair.a), net.resets(pair.b)
    with listener, pair.a.popen(argv, env=fsock.CLEAN) as changer:
        listener.settimeout(20)
        peer = listener.accept()[0]
        peer.settimeout(20)
        assert _is_fast(changer.pid)
        for line in (b"one\n", b"two\n", b"three\n"):
            peer.sendall(line)
            assert peer.recv(100) == line, changer.err
        assert peer.recv(100) == b""
        peer.close()
        assert changer.finish().status == 0
    assert (net.resets(pair.a), net.resets(pair.b)) == before


# Ends with a connection in each state of those it is given, port after port. With "drop", without the right to hand them
# to the kernel.
LEAVER = textwrap.dedent("""
    import ctypes, random, select, socket, sys, threading
    host, port, size, states = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4].split(",")
    random.seed(1)
    data, kept = random.randbytes(size), {}
    def reach(port, state):
        peer = kept[state] = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8000000)
        peer.connect((host, port))
        if state in ("close_wait", "last_ack"):
            assert peer.recv(1) == b""
        peer.sendall(data)
        if state not in ("established", "close_wait"):
            peer.shutdown(socket.SHUT_WR)
        if state == "fin_wait2":
            assert peer.recv(1) == b"x" # after our FIN
        elif state == "time_wait":
            assert peer.recv(1) == b""
        elif state == "closing":
            assert select.select([peer], [], [], 20)[0]
    threads = [threading.Thread(target=reach, args=(port + i, state)) for i, state in enumerate(states)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(*[kept[state].getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[0] for state in states], flush=True)
    if "drop" in sys.argv:
        ctypes.CDLL("libc.so.6").capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())  # past ours
""")

# What TCP_INFO calls them as the program leaves. One in TIME-WAIT has no socket: CLOSE.
STATES = {"established": 1, "fin_wait1": 4, "fin_wait2": 5, "time_wait": 7, "close_wait": 8, "last_ack": 9, "closing": 11}


def _leave(host, port, *states, drop=False, **options):
    words = [host, port, SIZE, ",".join(states), *(["drop"] if drop else [])]
    return fsock.run([sys.executable, "-c", LEAVER, *words], profile="default", client_connects=1, **options)


@pytest.mark.parametrize("family", ["v4", "v6", "mapped"])
def test_every_state_ends_as_in_the_kernel(pair, family):
    """the program is gone and its connections are in these: all bytes arrive, then the end, and no reset"""
    host = pair.b.address("v4" if family == "mapped" else family)
    before = net.resets(pair.a), net.resets(pair.b)
    with contextlib.ExitStack() as stack:
        report = stack.enter_context(contextlib.closing(fsock.Report()))
        ends = [stack.enter_context(_other(pair, host, PORT + 10 + i, state)) for i, state in enumerate(STATES)]
        done = pair.a.run(_leave(pair.b.address(family), PORT + 10, *STATES),
                          env={**fsock.CLEAN, **report.env}, fds=(report.fd,))
        assert done.status == 0 and done.out.split() == [str(number) for number in STATES.values()], done.out + done.err
        for state, end in zip(STATES, ends):
            _told_to_read(end, state)
        fast = {s["remote_port"] for s in report.sockets() if s["tx_fast"] > 0}
    assert fast == {PORT + 10 + i for i in range(len(STATES))}
    assert (net.resets(pair.a), net.resets(pair.b)) == before


def test_who_may_not_hand_over_waits_for_its_peer(pair):
    """without CAP_NET_ADMIN the exit takes as long as the peer does"""
    with contextlib.closing(fsock.Report()) as report, _other(pair, pair.b.v4, PORT, "established") as end:
        with pair.a.popen(_leave(pair.b.v4, PORT, "established", drop=True, exit_linger=30000),
                          env={**fsock.CLEAN, **report.env}, fds=(report.fd,)) as leaver:
            leaver.wait_for("1\n")
            _told_to_read(end, "lingering")
            done = leaver.finish(30)
        assert done.status == 0 and "exit_linger" not in done.err, done.err
        assert any(s["remote_port"] == PORT and s["tx_fast"] > 0 for s in report.sockets())


def test_who_may_not_hand_over_waits_no_longer_than_exit_linger(pair):
    """then a reset, and a word of why"""
    with contextlib.closing(fsock.Report()) as report, _other(pair, pair.b.v4, PORT, "established") as end:
        done = pair.a.run(_leave(pair.b.v4, PORT, "established", drop=True, exit_linger=50),
                          env={**fsock.CLEAN, **report.env}, fds=(report.fd,))
        assert done.status == 0 and "exit_linger" in done.err, done.err
        assert any(s["remote_port"] == PORT and s["tx_fast"] > 0 for s in report.sockets())
        end.child.stdin.close()
        assert "Connection reset by peer" in end.finish(30).out


def test_who_has_said_everything_does_not_wait(pair):
    """in FIN-WAIT-2, without CAP_NET_ADMIN: the exit does not take as long as the peer, who gets the end and no reset"""
    with contextlib.closing(fsock.Report()) as report, _other(pair, pair.b.v4, PORT, "fin_wait2") as end:
        done = pair.a.run(_leave(pair.b.v4, PORT, "fin_wait2", drop=True, exit_linger=60000),
                          env={**fsock.CLEAN, **report.env}, fds=(report.fd,), timeout=50)
        assert (done.status, done.err) == (0, ""), done.err
        assert any(s["remote_port"] == PORT and s["tx_fast"] > 0 for s in report.sockets())
        _told_to_read(end, "said")


# Echoes on one connection; says its own number and the connection's, and waits in recv() between.
ECHO = textwrap.dedent("""
    import os, socket, sys
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((sys.argv[1], int(sys.argv[2])))
    listener.listen()
    print("ready", flush=True)
    peer = listener.accept()[0]
    print("pid", os.getpid(), peer.fileno(), listener.fileno(), flush=True)
    while data := peer.recv(65536):
        peer.sendall(data)
    print("reuse", peer.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR), flush=True)
""")

# Sends and compares, before the move, while it may happen at any time, and after it.
ASKER = textwrap.dedent("""
    import os, socket, sys
    peer = socket.create_connection((sys.argv[1], int(sys.argv[2])))
    def echo(size):
        data, got = os.urandom(size), bytearray()
        peer.sendall(data)
        while len(got) < size:
            more = peer.recv(size)
            assert more, "ended"
            got += more
        assert bytes(got) == data
    echo(1000)
    print("talking", flush=True)
    for line in sys.stdin:
        echo(int(line))
        print("echoed", flush=True)
""")


def _handover(*words):
    done = subprocess.run([str(fsock.tool()), "handover", "--json", *map(str, words)], capture_output=True, text=True,
                          check=False, timeout=60)
    return done.returncode, json.loads(done.stdout)


@contextlib.contextmanager
def _talk(pair, **options):
    """(server process, its pid, descriptors of connection and listener, echo(size))"""
    argv = fsock.run([sys.executable, "-c", ECHO, pair.a.v4, PORT + 1], profile="default", **options)
    with pair.a.popen(argv, env=fsock.CLEAN) as server:
        server.wait_for("ready")
        with pair.b.popen([sys.executable, "-c", ASKER, pair.a.v4, PORT + 1], env=fsock.CLEAN, stdin=subprocess.PIPE) as asker:
            asker.wait_for("talking")
            server.wait_for("pid ")
            words = [line for line in server.out.splitlines() if line.startswith("pid ")][0].split()[1:]
            count = [0]

            def echo(size):
                asker.child.stdin.write(f"{size}\n".encode())
                asker.child.stdin.flush()
                count[0] += 1
                asker.wait_for("echoed\n" * count[0])
            yield server, *map(int, words), echo
            asker.child.stdin.close()
            assert asker.finish().status == 0
        done = server.finish()
        assert done.status == 0 and "reuse 1\n" in done.out, done  # of its listener, whoever carries it at last


def test_on_request_a_connection_moves_and_goes_on(pair):
    with _talk(pair) as (_, pid, fd, listener, echo):
        echo(300000)
        assert _handover(pid, fd) == (0, {"pid": pid, "fd": fd, "moved": True, "error": 0,
                                          "text": "it goes on in the kernel"})
        echo(300000)
        status, said = _handover(pid, fd)
        assert status == 1 and not said["moved"], "it is the kernel's already"
        assert _handover(pid, 4000)[1]["error"] != 0
        echo(1000)
        assert listener != fd


def test_who_cannot_be_asked_says_so(pair):
    assert _handover(1, 0)[0] == 1
    status, said = _handover(2 ** 22 + 1, 3)
    assert status == 1 and said["text"] == "no such process"
    # It computes, in no call of fsock's: the request is taken back.
    code = "import socket, time; s = socket.socket(2, 2); s.bind(('', 7399)); print('ready', s.fileno(), flush=True); time.sleep(20)"
    with pair.a.popen(fsock.run([sys.executable, "-c", code], profile="latency"), env=fsock.CLEAN) as program:
        program.wait_for("ready")
        stack = program.pid
        status, said = _handover("--timeout=0.3", stack, program.out.split()[-1])
        assert status == 1 and "no thread" in said["text"], said
        program.kill()


def _ways(pid):
    """Of the process's open sockets, by descriptor: is it accelerated, and why not."""
    return {sock["fd"]: (sock["accelerated"], sock["reason"])
            for sock in fsock.sockets(fsock.stat(pid)) if sock["fd"] >= 0}


def test_on_a_signal_all_move_and_go_on(pair):
    """Listener and connection, while it sleeps in recv(), and under traffic; the call goes on."""
    before = net.resets(pair.a), net.resets(pair.b)
    for busy in (False, True):
        with _talk(pair, handover_signal="usr2") as (server, pid, fd, listener, echo):
            echo(300000)
            assert _ways(pid) == {fd: (True, None), listener: (True, None)}
            asked = threading.Thread(target=server.send, args=[signal.SIGUSR2])
            asked.start()
            for _ in range(20 if busy else 0):
                echo(300000)
            asked.join()
            assert proc.until(lambda: fsock.counters(pid)["moved_to_kernel"] == 2), fsock.stat(pid)
            assert not any(fast for fast, _ in _ways(pid).values()), fsock.stat(pid)
            echo(300000)
    assert (net.resets(pair.a), net.resets(pair.b)) == before


# Connects, and once more when it is told to; with "own", it has an action of its own for the signal, or ignores it.
CONNECTS = textwrap.dedent("""
    import signal, socket, sys
    if sys.argv[3] != "none":
        own = lambda *_: print("mine", flush=True)
        signal.signal(signal.SIGUSR2, own if sys.argv[3] == "own" else signal.SIG_IGN)
    kept = []
    for line in sys.stdin:
        kept.append(socket.create_connection((sys.argv[1], int(sys.argv[2]))))
        for peer in kept:
            peer.sendall(b"x")
            assert peer.recv(1) == b"x"
        print("talked", len(kept), flush=True)
""")


@pytest.mark.parametrize("action", ["none", "own", "ignore"])
def test_a_signal_is_the_programs_if_it_uses_it(pair, action):
    """It does the program's, or nothing, as without fsock, which says so. Where the program has none, what it opens later
    is the kernel's, too."""
    argv = fsock.run([sys.executable, "-c", CONNECTS, pair.b.v4, PORT + 1, action], profile="latency",
                     handover_signal="usr2")
    pair.meet()
    accepts = ["socat", f"TCP4-LISTEN:{PORT + 1},bind={pair.b.v4},reuseaddr,fork", "EXEC:cat"]
    with pair.b.popen(accepts, env=fsock.CLEAN), pair.a.popen(argv, env=fsock.CLEAN, stdin=subprocess.PIPE) as program:
        assert proc.until(lambda: f":{PORT + 1} " in pair.b.run(["ss", "-Hltn"]).out)

        def connect(count):
            program.child.stdin.write(b"\n")
            program.child.stdin.flush()
            assert program.wait_for(f"talked {count}"), program.err

        connect(1)
        program.send(signal.SIGUSR2)
        if action == "own":
            assert program.wait_for("mine"), program.err
        connect(2)
        connect(3)
        stays = action != "none"
        assert proc.until(lambda: [fast for fast, _ in _ways(program.pid).values()] == 3 * [stays]), _ways(program.pid)
        assert ("handover_signal" in program.err) == stays, program.err
        program.child.stdin.close()
        assert program.finish().status == 0


# Takes COUNT connections in, as a level-triggered program does, all of them open at once; echoes, and counts what fails.
CROWDED = textwrap.dedent("""
    import selectors, socket, sys
    host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(64)
    listener.setblocking(False)
    waits = selectors.DefaultSelector()
    waits.register(listener, selectors.EVENT_READ)
    print("ready", flush=True)
    got, errors = [], 0
    while len(got) + errors < count:
        waits.select()
        try:
            got.append(listener.accept())
        except OSError:
            errors += 1
    for peer, name in got:
        assert peer.getpeername() == name, (peer.getpeername(), name)
        peer.setblocking(True)
        peer.sendall(peer.recv(100))
    print("took", len(got), "errors", errors, flush=True)
    sys.stdin.read()
""")

VISITORS = textwrap.dedent("""
    import os, socket, sys
    peers = [socket.create_connection((sys.argv[1], int(sys.argv[2]))) for _ in range(int(sys.argv[3]))]
    for peer in peers:
        said = os.urandom(16)
        peer.settimeout(20)
        peer.sendall(said)
        assert peer.recv(100) == said
    print("fine", flush=True)
""")


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_accepted_without_room_is_the_kernels(pair, family):
    count, room = 30, 16
    where = [pair.a.address(family), PORT + 2, count]
    with contextlib.closing(fsock.Report()) as report:
        with pair.a.popen(fsock.run([sys.executable, "-c", CROWDED, *where], profile="latency", max_sockets=room),
                          env={**fsock.CLEAN, **report.env}, fds=(report.fd,), stdin=subprocess.PIPE) as server:
            server.wait_for("ready")
            visit = pair.b.run([sys.executable, "-c", VISITORS, *where], env=fsock.CLEAN)
            server.wait_for("took")
            moved = fsock.counters(server.pid)["moved_to_kernel"]
            server.child.stdin.close()
            done = server.finish()
        assert (visit.status, visit.out) == (0, "fine\n"), visit.err + done.err
        assert f"took {count} errors 0" in done.out, done.out + done.err
        fast = [s for s in report.sockets() if s["accelerated"]]
        assert (len(fast), moved) == (room, count + 1 - room), report.sockets()
