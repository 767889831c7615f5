# SPDX-License-Identifier: BSD-2-Clause
"""
test_listeners - who gets the connections: several listeners of a port (SO_REUSEPORT), in one process or in children of
it, and the two sides of one listener, whose fast path and whose shadow both have some waiting.
"""
import collections
import contextlib
import errno
import socket
import subprocess
import sys
import textwrap

import pytest

from lab import fsock, net, proc

PORT = 7380
SHARDS, CALLS = 4, 200

# Each listener answers with its number.
SHARDED = textwrap.dedent("""
    import os, socket, sys, threading
    host, port, way, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    listeners = []
    for _ in range(count):
        made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((host, port))
        made.listen(64)
        listeners.append(made)
    def serve(number):
        while True:
            peer = listeners[number].accept()[0]
            peer.sendall(b"%d" % number)
            peer.close()
    for number in range(count):
        if way == "threads":
            threading.Thread(target=serve, args=(number,), daemon=True).start()
        elif os.fork() == 0:
            serve(number)
    print("ready", flush=True)
    sys.stdin.readline()
""")

CALLER = textwrap.dedent("""
    import socket, sys
    for _ in range(int(sys.argv[3])):
        peer = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
        print(peer.recv(10).decode())
        peer.close()
""")

# Takes all that wait when told to, and says from where each came.
PATIENT = textwrap.dedent("""
    import socket, sys
    listener = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=64)
    print("ready", flush=True)
    sys.stdin.readline()
    kept = [listener.accept() for _ in range(int(sys.argv[3]))]
    print("from", *(name[0] for _, name in kept), flush=True)
    sys.stdin.readline()
""")

# Looks at nothing until told to; then it asks for what only the kernel has, and accepts one.
LEAVING = textwrap.dedent("""
    import ctypes, socket, struct, sys
    listener = socket.create_server((sys.argv[1], int(sys.argv[2])), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
    print("ready", flush=True)
    sys.stdin.readline()
    accept_all = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0xffffffff))  # BPF_RET | BPF_K
    listener.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HxxxxxxQ", 1, ctypes.addressof(accept_all))) # SO_ATTACH_FILTER
    listener.settimeout(20)
    listener.accept()[0].sendall(b"welcome")
    print("accepted", flush=True)
    sys.stdin.readline()
""")

# Forks for each of three connections a child that answers and ends without closing anything.
FORKING = textwrap.dedent("""
    import os, socket, sys
    listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
    print("ready", flush=True)
    for _ in range(3):
        peer = listener.accept()[0]
        if os.fork() == 0:
            peer.sendall(b"child")
            while peer.recv(10):
                pass
            os._exit(0)
        peer.close()
        os.wait()
    print("served", flush=True)
    sys.stdin.readline()
""")

HOLDER = textwrap.dedent("""
    import socket, sys
    peers = [socket.create_connection((sys.argv[1], int(sys.argv[2]))) for _ in range(int(sys.argv[3]))]
    print("connected", flush=True)
    sys.stdin.readline()
""")


@pytest.fixture(scope="module")
def pair():
    with net.Pair("fsock-listen") as pair:
        pair.meet()
        yield pair


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("way", ["threads", "children"])
def test_listeners_of_a_port_share_its_connections(pair, family, way):
    host = pair.b.address(family)
    argv = fsock.run([sys.executable, "-c", SHARDED, host, PORT, way, SHARDS], profile="default")
    with pair.b.popen(argv, env=fsock.CLEAN, stdin=subprocess.PIPE) as server:
        assert server.wait_for("ready"), server.err
        done = pair.a.run([sys.executable, "-c", CALLER, host, PORT, CALLS], env=fsock.CLEAN)
        assert done.status == 0, done.err
        assert fsock.counters(server.pid)["tcp_opened_passive"] == CALLS, "the shadows took some"
    got = collections.Counter(done.out.split())
    # Fewer than 20 where 50 are expected: once in ten million runs, were it chance.
    assert len(got) == SHARDS and min(got.values()) >= 20, got


def test_accept_takes_turns_between_fast_path_and_shadow(pair):
    """Connections from the peer by the fast path, and from the host itself by the shadow, all waiting."""
    each = 8
    argv = fsock.run([sys.executable, "-c", PATIENT, net.B4, PORT, 2 * each], profile="default")
    with pair.b.popen(argv, env=fsock.CLEAN, stdin=subprocess.PIPE) as server:
        assert server.wait_for("ready"), server.err
        holders = [side.popen([sys.executable, "-c", HOLDER, net.B4, PORT, each], env=fsock.CLEAN, stdin=subprocess.PIPE)
                   for side in (pair.a, pair.b)]
        try:
            assert all(holder.wait_for("connected") for holder in holders), holders[0].err + holders[1].err
            assert proc.until(lambda: fsock.counters(server.pid)["tcp_opened_passive"] == each)
            server.child.stdin.write(b"\n")
            server.child.stdin.flush()
            assert server.wait_for("from"), server.err
            came = server.out.split("from")[1].split()
        finally:
            for holder in holders:
                holder.kill()
    assert came.count(net.A4) == came.count(net.B4) == each
    for turn in range(0, 2 * each, 2):
        assert set(came[turn:turn + 2]) == {net.A4, net.B4}, came


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_a_syn_on_its_way_to_a_listener_that_leaves(pair, family):
    """It lies in the ring when the listener becomes the kernel's: the connection is late, not refused."""
    host = pair.b.address(family)
    argv = fsock.run([sys.executable, "-c", LEAVING, host, PORT + 3], profile="latency", helper=0)
    with pair.b.popen(argv, env=fsock.CLEAN, stdin=subprocess.PIPE) as server:
        assert server.wait_for("ready", proc.GUARD), server.err
        with pair.a.inside():
            peer = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        with peer:
            peer.setblocking(False)
            assert peer.connect_ex((host, PORT + 3)) == errno.EINPROGRESS
            server.child.stdin.write(b"\n")
            server.child.stdin.flush()
            peer.settimeout(proc.GUARD)
            assert peer.recv(10) == b"welcome"
        assert server.wait_for("accepted", proc.GUARD), server.err
        assert fsock.counters(server.pid)["drop_tcp_no_socket"] >= 1, "it was not on its way"
        assert fsock.reasons(fsock.stat(server.pid)) == {"option"}


# Gives its listener away with those that wait in it. Who gets it answers each of them and ends.
GIVER = textwrap.dedent("""
    import os, socket, subprocess, sys
    host, port, way, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    if host == "mapped":
        listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
    else:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=64)
    print("ready", flush=True)
    sys.stdin.readline()
    taker = ["/usr/bin/env", "-u", "LD_PRELOAD", sys.executable, "-c", sys.argv[5], count]
    if way == "passed":
        here, there = socket.socketpair(socket.AF_UNIX)
        child = subprocess.Popen([*taker, "passed"], stdin=there)
        socket.send_fds(here, [b"x"], [listener.fileno()])
        listener.close()
        sys.exit(child.wait())
    os.dup2(listener.fileno(), 0, inheritable=True)
    if way == "child" and (child := os.fork()):
        sys.exit(os.waitpid(child, 0)[1])
    os.execv(taker[0], [*taker, way])
""")

TAKER = textwrap.dedent("""
    import socket, sys
    fd = 0
    if sys.argv[2] == "passed":
        fd = socket.recv_fds(socket.socket(fileno=0), 1, 1)[1][0]
    listener = socket.socket(fileno=fd)
    listener.settimeout(20)
    print("taken", flush=True)
    for _ in range(int(sys.argv[1])):
        peer, name = listener.accept()
        peer.settimeout(20)
        got = b"".join(iter(lambda: peer.recv(65536), b""))
        peer.sendall(got)
        peer.close()
        print("served", name[1], len(got), flush=True)
""")


@pytest.mark.parametrize("way", ["exec", "child", "passed"])
@pytest.mark.parametrize("family", ["v4", "v6", "mapped"])
def test_who_waits_for_accept_goes_along_with_the_listener(pair, family, way):
    """What they have sent goes along, a FIN too, and what they send afterwards comes. A reset would be a client's error."""
    sizes = [0, 1, 1000, 20000]
    host = pair.b.address("v4" if family == "mapped" else family)
    argv = fsock.run([sys.executable, "-c", GIVER, "mapped" if family == "mapped" else host, PORT, way, len(sizes), TAKER],
                     profile="latency")
    with pair.a.inside():
        clients = [socket.socket(socket.AF_INET6 if family == "v6" else socket.AF_INET) for _ in sizes]
    with contextlib.ExitStack() as stack, pair.b.popen(argv, env=fsock.CLEAN, stdin=subprocess.PIPE) as server:
        assert server.wait_for("ready", proc.GUARD), server.err
        for i, (client, size) in enumerate(zip(clients, sizes)):
            stack.enter_context(client).settimeout(proc.GUARD)
            client.connect((host, PORT))
            client.sendall(bytes(size))
            if i % 2:
                client.shutdown(socket.SHUT_WR)
        assert proc.until(lambda: fsock.counters(server.pid)["tcp_opened_passive"] == len(sizes)), "they came by the kernel"
        server.child.stdin.close()
        for i, (client, size) in enumerate(zip(clients, sizes)):
            if i % 2 == 0:
                client.sendall(b"more")
                client.shutdown(socket.SHUT_WR)
            got = b"".join(iter(lambda: client.recv(65536), b""))
            assert got == bytes(size) + b"more" * (i % 2 == 0), (i, len(got), server.err)
        done = server.finish()
        assert done.status == 0, done.err


# Segments that do not come through at the client: what completes its handshake, or the answer to its SYN.
LOST = {"third": "chain c { type filter hook output priority 0; tcp flags == ack drop; }",
        "synack": "chain c { type filter hook input priority 0; tcp flags == syn | ack drop; }"}


@pytest.mark.parametrize("way", ["exec", "child", "passed"])
@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("family", ["v4", "v6", "mapped"])
def test_who_is_in_a_handshake_goes_along_with_the_listener(pair, family, way, lost):
    """The client has sent its SYN, or has its answer already. It completes the handshake with who has the listener then."""
    host = pair.b.address("v4" if family == "mapped" else family)
    argv = fsock.run([sys.executable, "-c", GIVER, "mapped" if family == "mapped" else host, PORT, way, 1, TAKER],
                     profile="latency")
    with pair.a.inside():
        client = socket.socket(socket.AF_INET6 if family == "v6" else socket.AF_INET)
    with client, pair.b.popen(argv, env=fsock.CLEAN, stdin=subprocess.PIPE) as server:
        assert server.wait_for("ready", proc.GUARD), server.err
        done = pair.a.run(["sh", "-c", f"echo 'table inet lost {{ {LOST[lost]}; }}' | nft -f -"])
        assert done.status == 0, done.err
        try:
            client.setblocking(False)
            assert client.connect_ex((host, PORT)) == errno.EINPROGRESS
            assert proc.until(lambda: fsock.counters(server.pid)["tcp_segments_out"] >= 1), "no SYN came to the engine"
            assert fsock.counters(server.pid)["tcp_opened_passive"] == 0
            server.child.stdin.close()
            assert server.wait_for("taken", proc.GUARD), server.err
        finally:
            pair.a.run(["nft", "delete", "table", "inet", "lost"])
        client.settimeout(proc.GUARD)
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
        assert b"".join(iter(lambda: client.recv(65536), b"")) == b"hello"
        done = server.finish()
        assert done.status == 0, done.err


def test_what_children_served_is_told_of(pair):
    """A connection whose last process just ends stays in the statistics as what it was."""
    argv = fsock.run([sys.executable, "-c", FORKING, net.B4, PORT + 4], profile="latency")
    with pair.b.popen(argv, env=fsock.CLEAN, stdin=subprocess.PIPE) as server:
        assert server.wait_for("ready", proc.GUARD), server.err
        done = pair.a.run([sys.executable, "-c", CALLER, net.B4, PORT + 4, 3])
        assert done.out.split() == ["child"] * 3, done.err
        assert server.wait_for("served", proc.GUARD), server.err
        assert proc.until(lambda: [s["fd"] for s in fsock.sockets(fsock.stat(server.pid))].count(-1) == 3)
        ended = [s for s in fsock.sockets(fsock.stat(server.pid)) if s["fd"] == -1]
    assert all(s["accelerated"] and net.A4 in s["remote"] and s["tx_fast"] for s in ended), ended
