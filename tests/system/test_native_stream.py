# SPDX-License-Identifier: BSD-2-Clause
"""
Connections of the native interface: the cases of native_stream.c and the example, with a library of their own and under
the preload, on the fast path, on the kernel's, with kernel peers, and without privilege.
"""
import contextlib
import fcntl
import json
import os
import socket
import struct
import termios

import pytest

from lab import fsock, links, net, proc

PORT = 9100
LATENCY = {"FSOCK_PROFILE": "latency"}
CASES = ["args", "echo", "descriptors", "inplace", "bulk", "hold", "peek", "timeout", "connect", "connect_once",
         "shutdown", "options", "group", "threads", "foreign_loop", "fork", "ids", "bound", "handover", "handover_errors", "handover_wakes"]
NO_CAPS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
ENDS = {4: (net.A4, net.B4), 6: (net.A6, net.B6)}


def _unacknowledged(sock):
    """Bytes that the peer has not acknowledged."""
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0]


def _example():
    return str(fsock.build_dir() / "examples" / "example_stream")


@contextlib.contextmanager
def _echo(pair, accelerated=True, family=4):
    """example_stream at the other end."""
    env = {**fsock.CLEAN, **LATENCY, "FSOCK_ACCELERATE": "1" if accelerated else "0"}
    with pair.b.popen([_example(), ENDS[family][1], PORT], env=env, cpu=proc.cpus()[1]) as server:
        assert server.wait_for("ready"), server.err
        assert ("ready, none: accelerated" in server.err) == accelerated, server.err
        yield server


def _run_case(pair, program, case, fast=True, wrap=list, env=None, family=4, timeout=90):
    argv = [program("native_stream"), case, *ENDS[family], PORT, *(["fast"] if fast else [])]
    done = pair.a.run(wrap(argv), timeout=timeout, cpu=proc.cpus()[0], env={**fsock.CLEAN, **LATENCY, **(env or {})})
    assert (done.status, done.err.splitlines()[-1:]) == (0, ["well"]), done.out + done.err
    return done


def _case(program, case, family=4):
    return [program("native_stream"), case, *ENDS[family], PORT, "fast"]


@contextlib.contextmanager
def _stepping(end, argv):
    """A program that rests at words of its own, and what lets it go on; at last it ends well."""
    wait, stdin = os.pipe()
    try:
        with end.popen(argv, env={**fsock.CLEAN, **LATENCY}, stdin=wait) as process:
            yield process, lambda: os.write(stdin, b"x")
            done = process.finish()
            assert done.status == 0, done.out + done.err
    finally:
        os.close(wait)
        os.close(stdin)


def _bytes(process):
    """Payload that the engine of a living process put in order."""
    return sum(stack["counters"]["tcp_bytes_in"] for stack in fsock.stat(process.pid)["stacks"])


def _over_links(pair, accelerated=True):
    """Both ends on one host: example_stream there, and the environment of who calls it."""
    env = {**fsock.CLEAN, **LATENCY, "FSOCK_LOCAL": "1", "FSOCK_ACCELERATE": "1" if accelerated else "0"}
    return pair.a.popen([_example(), "127.0.0.1", PORT], env=env, cpu=proc.cpus()[1]), env


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("way", ["own", "preloaded"])
def test_case_over_links(pair, program, way, case):
    wrap = {"own": list, "preloaded": lambda argv: fsock.run(argv, profile="latency", local=1)}[way]
    server, env = _over_links(pair)
    with server:
        assert server.wait_for("ready"), server.err
        argv = [program("native_stream"), case, "127.0.0.1", "127.0.0.1", PORT, "link"]
        done = pair.a.run(wrap(argv), timeout=90, cpu=proc.cpus()[0], env=env)
        assert (done.status, done.err.splitlines()[-1:]) == (0, ["well"]), done.out + done.err
        seen = links.counts(server.pid)
        assert seen.accepted > 0 or case == "args", seen


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("way", ["own", "preloaded"])
def test_case_on_the_fast_path(pair, program, way, case):
    wrap = {"own": list, "preloaded": lambda argv: fsock.run(argv, profile="latency")}[way]
    with _echo(pair) as server:
        _run_case(pair, program, case, wrap=wrap)
        assert case == "args" or _bytes(server) > 0


@pytest.mark.parametrize("case", ["echo", "bulk", "connect", "group", "bound", "handover", "handover_errors"])
def test_case_over_ipv6(pair, program, case):
    pair.meet()
    with _echo(pair, family=6) as server:
        _run_case(pair, program, case, family=6)
        assert _bytes(server) > 0


@pytest.mark.parametrize("case", CASES)
def test_case_on_the_kernel(pair, program, case):
    """The same calls where nothing is accelerated, against a kernel peer."""
    with _echo(pair, accelerated=False):
        _run_case(pair, program, case, fast=False, env={"FSOCK_ACCELERATE": "0"})


@pytest.mark.parametrize("case", ["echo", "group", "timeout", "connect"])
def test_case_without_a_stack(pair, program, case):
    """No descriptors for the stack: the kernel's sockets, by the same calls."""
    with _echo(pair, accelerated=False):
        argv = ["prlimit", "--nofile=12:12", program("native_stream"), case, net.A4, net.B4, PORT]
        done = pair.a.run(argv, env=fsock.CLEAN)
        assert done.status == 0 and done.err.endswith("well\n"), done.err
        assert "no stack" in done.err


@pytest.mark.parametrize("case", ["echo", "bulk", "shutdown", "connect", "handover"])
def test_kernel_peer(pair, program, case):
    """Connections on the fast path, the kernel at the other end, at default offloads."""
    with _echo(pair, accelerated=False):
        _run_case(pair, program, case)


def test_no_privilege_says_why(pair, program):
    with _echo(pair, accelerated=False):
        done = _run_case(pair, program, "reason", fast=False, wrap=lambda argv: [*NO_CAPS, *argv])
        assert done.out.startswith("privilege: "), done.out
        done = _run_case(pair, program, "reason", fast=False, env={"FSOCK_INTERFACE": "nowhere0"})
        assert done.out.startswith("no_interface: "), done.out
        done = _run_case(pair, program, "reason", fast=False, env={"FSOCK_BYPASS": f"tcp:{PORT}"})
        assert done.out.startswith("bypass: "), done.out
        done = _run_case(pair, program, "reason")
        assert done.out.startswith("none: "), done.out


TALK = """
import socket, sys
for i in range(int(sys.argv[2])):
    s = socket.create_connection((sys.argv[1], 5200), 10)
    s.sendall(b"%d" % i * 3000)
    s.shutdown(socket.SHUT_WR)
    got = b""
    while part := s.recv(65536):
        got += part
    assert got == b"%d" % i * 3000, (i, len(got))
    s.close()
"""


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("client", ["kernel", "fsock"])
def test_listener(pair, program, client, family):
    """Accepted from the fast path, half of them moved; in the namespace itself the kernel's way leads to the same listener."""
    pair.meet()
    wait, end = os.pipe()
    wrap = (lambda argv: fsock.run(argv, profile="latency")) if client == "fsock" else list
    mine, other = ENDS[family]
    argv = [program("native_stream"), "serve", mine, other, PORT, "fast"]
    with pair.a.popen(argv, env={**fsock.CLEAN, **LATENCY}, stdin=wait) as server:
        assert server.wait_for("ready"), server.err
        done = pair.b.run(wrap(["/usr/bin/python3", "-c", TALK, mine, 20]), env=fsock.CLEAN, timeout=60)
        assert done.status == 0, done.err
        done = pair.a.run(["/usr/bin/python3", "-c", TALK, mine, 5], env=fsock.CLEAN, timeout=60)
        assert done.status == 0, done.err
        os.write(end, b"x")
        said = server.finish()
    os.close(wait)
    os.close(end)
    assert said.status == 0 and said.out == "20 fast, 5 kernel, 10 moved\n", said.out + said.err


def test_peer_of_a_program_that_is_away(pair, program):
    """Between calls the helper thread drives: the peer's accept() returns, and what it sends is acknowledged."""
    with pair.b.inside():
        listener = socket.create_server((net.B4, PORT))
    listener.settimeout(20)
    with listener, _stepping(pair.a, _case(program, "away")) as (away, go):
        assert away.wait_for("away"), away.err
        peer = listener.accept()[0]
        peer.send(b"x" * 1000)
        assert proc.until(lambda: _unacknowledged(peer) == 0), "nobody acknowledges"
        go()
        peer.close()


def test_end_of_the_program_closes(pair, program):
    """A program that ends with a connection open: its peer hears the end, or a reset, at once."""
    with _echo(pair) as server:
        for _ in range(3):
            _run_case(pair, program, "echo")
        assert proc.until(lambda: all(stack["counters"]["tcp_opened_passive"] == 3
                                      for stack in fsock.stat(server.pid)["stacks"])), server.err


def _step(process, word):
    """It rests there, and was counted so far."""
    assert process.wait_for(word), process.out + process.err
    return fsock.stat(process.pid)["stacks"][0]


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("peer", ["kernel", "fsock"])
def test_handover_with_bytes_in_both_queues(pair, program, family, peer):
    """What follows takes the kernel's way, and nobody hears of a reset."""
    pair.meet()
    with _echo(pair, accelerated=peer == "fsock", family=family):
        before = net.resets(pair.a), net.resets(pair.b)
        with _stepping(pair.a, _case(program, "handover_bulk", family)) as (mover, go):
            stats = _step(mover, "fast")
            assert stats["counters"]["tcp_bytes_in"] >= 3 << 19 and stats["counters"].get("moved_to_kernel", 0) == 0
            go()
            stats = _step(mover, "moved")
            assert stats["counters"]["moved_to_kernel"] == 1
            fast = stats["counters"]["tcp_bytes_in"]
            go()
            stats = _step(mover, "done")
            assert stats["counters"]["tcp_bytes_in"] == fast, "it is on the fast path still"
            assert [s["reason"] for s in stats["sockets"] if s["fd"] >= 0] == ["moved"]
            go()
        assert (net.resets(pair.a), net.resets(pair.b)) == before


@contextlib.contextmanager
def _rule(end):
    """A rule of netfilter that concerns none of the connections."""
    def nft(words):
        done = end.run(["nft", words])
        assert done.status == 0, done.err

    def begin():
        nft("table inet fst {\nchain input {\ntype filter hook input priority 0\ntcp dport 9 drop\n}\n}")
    yield begin
    nft("delete table inet fst")


@pytest.mark.parametrize("family", [4, 6])
def test_connections_follow_policy(pair, program, family):
    """A rule that comes later: they move, as those of programs under the preload."""
    pair.meet()
    with _echo(pair, accelerated=False, family=family), _rule(pair.a) as rule:
        before = net.resets(pair.a), net.resets(pair.b)
        with _stepping(pair.a, _case(program, "follow_policy", family)) as (mover, go):
            assert _step(mover, "fast")["counters"].get("moved_to_kernel", 0) == 0
            rule()
            go()
            assert _step(mover, "moved")["counters"]["moved_to_kernel"] == 4
            go()
        assert (net.resets(pair.a), net.resets(pair.b)) == before


@pytest.mark.parametrize("case", ["closing", "joining"])
def test_connections_follow_policy_while_another_thread_calls(pair, program, case):
    with _echo(pair, accelerated=False), _rule(pair.a) as rule:
        with _stepping(pair.a, _case(program, f"follow_policy_{case}")) as (mover, go):
            assert mover.wait_for("fast"), mover.err
            rule()
            go()
            assert _step(mover, "moved")["counters"]["moved_to_kernel"] > 0
            go()


@pytest.mark.alone
def test_a_group_hears_of_members_that_follow_policy(pair, program):
    """Its program sleeps; the segment that wakes it is the first to which the rule applies."""
    with pair.b.inside():
        listener = socket.create_server((net.B4, PORT))
    with listener, _rule(pair.a) as rule, _stepping(pair.a, _case(program, "follow_policy_asleep")) as (mover, go):
        peer = listener.accept()[0]
        peer.settimeout(20)
        assert mover.wait_for("fast"), mover.err
        peer.send(b"a")
        assert mover.wait_for("a 1"), mover.err
        rule()
        peer.send(b"b")
        assert _step(mover, "moved")["counters"]["moved_to_kernel"] == 1 and "b 0" in mover.err
        assert peer.recv(10) == b"z"
        go()
        peer.close()


def _records(stats):
    return [s for s in stats["sockets"] if s["fd"] == -2]


def test_connections_are_seen_from_outside(pair, program):
    """The first of them have records, all are counted; a record is the next one's when its connection ends."""
    with _echo(pair, accelerated=False):
        with _stepping(pair.a, _case(program, "records")) as (seen, go):
            many = _step(seen, "many")
            assert many["without_fd"] == 70 and len(_records(many)) == 64
            for record in _records(many):
                assert record["accelerated"] and record["remote"] == f"{net.B4}:{PORT}" and record["interface"], record
            assert len({record["local"] for record in _records(many)}) == 64
            go()
            one = _step(seen, "one")
            assert one["without_fd"] == 1 and len(one["sockets"]) == 64
            assert [(record["rx_bytes"], record["tx_bytes"]) for record in _records(one)] == [(39, 39)]
            go()
            none = _step(seen, "none")
            assert none["without_fd"] == 0 and not _records(none)
            go()


def test_why_tells_of_connections(pair, program):
    """Those that ended, too: `fsock why -- program`."""
    with _echo(pair, accelerated=False):
        argv = [str(fsock.tool()), "why", "--json", "--", program("native_stream"), "handover", *ENDS[4], PORT, "fast"]
        done = pair.a.run(argv, env={**fsock.CLEAN, **LATENCY}, timeout=60)
    assert done.status == 0, done.err
    told = [s for s in fsock.sockets(json.loads(done.out.splitlines()[-1])) if s["remote"] == f"{net.B4}:{PORT}"]
    assert [s["accelerated"] for s in told if s["fd"] == -2] == [True, True], told
    assert [s["reason"] for s in told if s["fd"] >= 0] == ["moved", "moved"], told


ACCEPTER = """
import os, select, socket, sys
listener = socket.create_server((sys.argv[1], 5200))
def rest(word):
    print(word, file=sys.stderr, flush=True)
    os.read(0, 1)
rest("ready")
while select.select([0, listener], [], [], 10)[0] != [0, listener]:
    pass
os.read(0, 1)
for _ in range(3):
    peer = listener.accept()[0]
    while data := peer.recv(65536):
        peer.sendall(data)
    peer.close()
rest("accepted")
listener.settimeout(20)
listener.accept()
"""


@pytest.mark.parametrize("way", ["native", "preloaded"])
def test_those_that_wait_for_accept_follow_policy(pair, program, way):
    """A rule comes between their handshake and accept(): nobody is reset."""
    with pair.b.inside():
        clients = [socket.socket() for _ in range(4)]
    argv = _case(program, "accept_after_policy") if way == "native" else \
        fsock.run(["/usr/bin/python3", "-c", ACCEPTER, net.A4], profile="latency")
    with _rule(pair.a) as rule, _stepping(pair.a, argv) as (server, go):
        assert server.wait_for("ready"), server.err
        before = net.resets(pair.a), net.resets(pair.b)
        for i, client in enumerate(clients[:3]):
            client.settimeout(20)
            client.connect((net.A4, 5200))
            client.sendall(b"%d" % i * 1000)
        clients[0].shutdown(socket.SHUT_WR)
        assert proc.until(lambda: _bytes(server) == 3000), "they came by the kernel"
        rule()
        go()
        if way == "preloaded":
            assert proc.until(lambda: "policy" in fsock.reasons(fsock.stat(server.pid))), server.err
            go()
        for client in clients[1:3]:
            client.shutdown(socket.SHUT_WR)
        for i, client in enumerate(clients[:3]):
            assert b"".join(iter(lambda: client.recv(65536), b"")) == b"%d" % i * 1000
        counters = _step(server, "accepted")["counters"]
        assert counters["tcp_opened_passive"] == 3 and counters["moved_to_kernel"] == 4
        go()
        clients[3].connect((net.A4, 5200))
    assert (net.resets(pair.a), net.resets(pair.b)) == before
    for client in clients:
        client.close()
