# SPDX-License-Identifier: BSD-2-Clause
"""
test_helper - the helper thread: what happens to connections while the program makes no call (EP32 to EP34).

Nothing here measures how long it takes: the program computes until the peer has said in a file that both map what it
saw: everything acknowledged, and not by sending again and again.
"""
import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import textwrap

import pytest

from lab import fsock, net, proc

PORT = 7300
WAITS = 1.5  # seconds, where nobody is to come

# Accepts, computes without a call until the peer has seen it, then reads all there is and says how its threads stand.
SERVER = textwrap.dedent("""
    import json, mmap, os, socket, sys
    seen = mmap.mmap(os.open(sys.argv[4], os.O_RDONLY), 1, prot=mmap.PROT_READ)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((sys.argv[1], int(sys.argv[2])))
    listener.listen()
    if sys.argv[6:] and os.fork():
        os._exit(0) # who accepts is a daemon
    print("ready", flush=True)
    if sys.argv[6:]:
        listener.accept()[0].close() # which takes over what its parent had
    peer = listener.accept()[0]
    if sys.argv[3] == "send":
        peer.sendall(b"x" * 200000)
        peer.shutdown(socket.SHUT_WR)
    while not seen[0]:
        pass
    got = 0
    while True:
        data = peer.recv(1 << 20)
        if not data:
            break
        got += len(data)
    tasks = [open(f"/proc/self/task/{task}/status").read() for task in os.listdir("/proc/self/task")]
    caps = {line.split()[1] for text in tasks if "fsock-helper" in text
            for line in text.splitlines() if line.startswith(("CapEff", "CapPrm", "CapAmb"))}
    print(json.dumps({"got": got, "threads": len(tasks), "helper": sorted(caps)}), flush=True)
""")

# Sends, ends its half, and waits until all of it is acknowledged, while the server computes.
CLIENT = textwrap.dedent("""
    import fcntl, json, mmap, os, socket, struct, sys, time
    seen = mmap.mmap(os.open(sys.argv[4], os.O_RDWR), 1)
    if sys.argv[6:]:
        socket.create_connection((sys.argv[1], int(sys.argv[2]))).recv(1)
    peer = socket.create_connection((sys.argv[1], int(sys.argv[2])))
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 200000)  # nobody need take it
    end, left, got = time.monotonic() + float(sys.argv[5]), 1, 0
    peer.settimeout(float(sys.argv[5]))
    if sys.argv[3] == "send":
        while got < 200000:
            got += len(peer.recv(1 << 20))
    else:
        peer.sendall(b"y" * 100000)
    peer.shutdown(socket.SHUT_WR)
    while left and time.monotonic() < end:
        left = struct.unpack("i", fcntl.ioctl(peer.fileno(), 0x5411, bytes(4)))[0]
        time.sleep(0.01)
    seen[0] = 1
    peer.settimeout(None)
    info = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    print(json.dumps({"left": left, "got": got, "sent_again": struct.unpack_from("I", info, 100)[0]}), flush=True)
    peer.recv(1)
""")


@pytest.fixture(scope="module")
def pair():
    with net.Pair("fsock-help") as pair:
        yield pair


def _run(pair, direction, *more, waits=proc.GUARD / 2, **options):
    """What the server said, what its peer saw, and the records of the server's sockets."""
    with contextlib.closing(fsock.Report()) as report, tempfile.NamedTemporaryFile() as seen:
        seen.truncate(1)
        arguments = [net.A4, str(PORT), direction, seen.name, str(waits), *more]
        with pair.a.popen(fsock.run([sys.executable, "-c", SERVER, *arguments], **options),
                          env={**fsock.CLEAN, **report.env}, fds=(report.fd,)) as server:
            server.wait_for("ready")
            client = pair.b.run([sys.executable, "-c", CLIENT, *arguments], env=fsock.CLEAN)
            done = server.finish()
        assert (client.status, done.status) == (0, 0), client.err + done.err
        return json.loads(done.out.splitlines()[-1]), json.loads(client.out.splitlines()[-1]), report.sockets()


@pytest.mark.alone
@pytest.mark.parametrize("profile", ["default", "latency"])
@pytest.mark.parametrize("direction", ["receive", "send"])
def test_connections_go_on_while_the_program_computes(pair, direction, profile):
    server, client, sockets = _run(pair, direction, profile=profile)
    assert client["left"] == 0, "not everything was acknowledged while the program computed"
    assert client["sent_again"] <= 2  # probes of a peer that is served late where others use the processor
    if direction == "send":
        assert client["got"] == 200000
    else:
        assert server["got"] == 100000
    assert server["threads"] == 2 and server["helper"] == ["0" * 16], "the helper has capabilities, or there is none"
    connection = [s for s in sockets if s["remote_port"]]
    assert connection and all(s["accelerated"] and s["rx_kernel"] == s["tx_kernel"] == 0 for s in connection)


def test_a_child_has_its_own(pair):
    """It never connected or listened itself, and its parent is gone."""
    server, client, sockets = _run(pair, "receive", "daemon", profile="latency")
    assert client["left"] == 0 and client["sent_again"] <= 2
    assert (server["threads"], server["got"]) == (2, 100000)
    assert any(s["accelerated"] and s["rx_fast"] for s in sockets)


def test_without_it_they_wait(pair):
    """The other half of the test above: it is the helper who does it."""
    server, client, _ = _run(pair, "receive", waits=WAITS, profile="latency", helper=0)
    assert (server["threads"], server["got"]) == (1, 100000)
    assert client["left"] > 0


# Connects without waiting and does something else, again and again.
ELSEWHERE = textwrap.dedent("""
    import errno, socket, sys, time
    for _ in range(20):
        sock = socket.socket()
        sock.setblocking(False)
        assert sock.connect_ex((sys.argv[1], int(sys.argv[2]))) == errno.EINPROGRESS
        time.sleep(0.15)
        sock.close()
    print("done", flush=True)
    sys.stdin.readline()
""")


def test_no_ack_waits_for_a_program_that_is_elsewhere(pair):
    """The third of a handshake waits for the program's data, but not for the delayed ACK's timer (decision 0027)."""
    argv = fsock.run([sys.executable, "-c", ELSEWHERE, net.B4, PORT + 2], profile="latency")
    with pair.b.inside():
        listener = socket.create_server((net.B4, PORT + 2), backlog=32)
    with listener, pair.a.popen(argv, env=fsock.CLEAN, stdin=subprocess.PIPE) as running:
        assert running.wait_for("done", proc.GUARD), running.err
        counters = fsock.counters(running.pid)
    assert counters["tcp_opened_active"] == 20
    assert counters["tcp_delayed_acks"] <= 10, counters  # a few where the thread gets no processor for 25 ms; else all


# Sends once when it is told to, and computes without a call until the peer has seen what timers make of it.
TIMERS = textwrap.dedent("""
    import mmap, os, socket, sys
    seen = mmap.mmap(os.open(sys.argv[3], os.O_RDONLY), 1, prot=mmap.PROT_READ)
    listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
    print("ready", flush=True)
    peer = listener.accept()[0]
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    peer.recv(2)
    peer.sendall(b"0123456789")
    while not seen[0]:
        pass
    assert peer.recv(3) == b"end"
""")

# A filter drops what comes until some has, then all that comes of itself is counted.
WATCHER = textwrap.dedent("""
    import ctypes, json, mmap, os, socket, struct, sys, time
    seen = mmap.mmap(os.open(sys.argv[3], os.O_RDWR), 1)
    end = time.monotonic() + float(sys.argv[4])
    peer = socket.create_connection((sys.argv[1], int(sys.argv[2])))
    def dropped():
        return struct.unpack_from("I", peer.getsockopt(socket.SOL_SOCKET, 55, 36), 32)[0]  # SO_MEMINFO
    def segments():
        return struct.unpack_from("I", peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), 140)[0]
    def wait(count, least):
        while count() < least and time.monotonic() < end:
            time.sleep(0.01)
        return count()
    drop = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))  # BPF_RET 0
    peer.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HxxxxxxP", 1, ctypes.addressof(drop)))  # SO_ATTACH_FILTER
    peer.sendall(b"go")
    again = wait(dropped, 4)
    peer.setsockopt(socket.SOL_SOCKET, 27, 0)  # SO_DETACH_FILTER
    peer.settimeout(max(end - time.monotonic(), 0.1))
    try:
        got = peer.recv(100).decode()
    except TimeoutError:
        got = None
    before = segments()
    probes = wait(segments, before + 2) - before
    seen[0] = 1
    peer.sendall(b"end")
    peer.settimeout(None)
    while peer.recv(100):
        pass
    print(json.dumps({"again": again, "got": got, "probes": probes}))
""")


def _timers(pair, waits, **options):
    with contextlib.closing(fsock.Report()) as report, tempfile.NamedTemporaryFile() as seen:
        seen.truncate(1)
        arguments = [net.A4, PORT + 2, seen.name]
        with pair.a.popen(fsock.run([sys.executable, "-c", TIMERS, *arguments], profile="latency", **options),
                          env={**fsock.CLEAN, **report.env}, fds=(report.fd,)) as program:
            program.wait_for("ready")
            watcher = pair.b.run([sys.executable, "-c", WATCHER, *arguments, waits], env=fsock.CLEAN)
            done = program.finish()
        assert (watcher.status, done.status) == (0, 0), watcher.err + done.err
        assert any(s["accelerated"] and s["tx_fast"] and not s["tx_kernel"] for s in report.sockets() if s["remote_port"])
        return json.loads(watcher.out)


@pytest.mark.alone
def test_timers_fire_while_the_program_computes(pair):
    """A segment that is lost again and again is sent again and again, and a peer that is silent is probed."""
    seen = _timers(pair, proc.GUARD / 2)
    assert seen["again"] >= 4 and seen["got"] == "0123456789" and seen["probes"] >= 2, seen


def test_timers_wait_without_it(pair):
    seen = _timers(pair, WAITS, helper=0)
    assert seen["got"] is None and seen["probes"] == 0, seen


# Changes who it is with a connection open; libc makes every thread follow.
CHANGES = textwrap.dedent("""
    import ctypes, os, socket, sys
    libc = ctypes.CDLL(None, use_errno=True)
    listener = socket.socket()
    listener.bind((sys.argv[1], int(sys.argv[2])))
    listener.listen()
    def threads():
        return len(os.listdir("/proc/self/task"))
    assert threads() == 2
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    assert threads() == 2
    uids = {line.split()[1] for task in os.listdir("/proc/self/task") for line in open(f"/proc/self/task/{task}/status")
            if line.startswith("Uid")}
    assert uids == {"65534"}, uids
    print("changed")
""")


def test_a_program_gives_up_root(pair):
    done = pair.a.run(fsock.run([sys.executable, "-c", CHANGES, net.A4, PORT + 1], profile="latency"), env=fsock.CLEAN)
    assert done.status == 0 and "changed" in done.out, done.err
