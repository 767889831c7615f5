# SPDX-License-Identifier: BSD-2-Clause
"""
Connections over links that nobody reads: what the kernel would keep of them does not stop their programs here, either; and
calls in whose middle a connection becomes the kernel's do what the kernel's would. See hosts.py.
"""
import os
import signal
import time

import pytest

import hosts
from hosts import run
from lab import fsock, proc

OPTIONS = (hosts.PROFILES["default"],) * 2
MUCH = 2_048_000 # bytes: more than a ring, less than the kernel keeps of a connection


def alike(place, scripts, **how):
    """Both say what they say on the kernel."""
    seen = run(place, scripts, OPTIONS, **how)
    assert seen.lines == run(place, scripts, (None, None)).lines, seen.told()
    return seen


def assert_stayed(seen, n=1):
    """All went by the link."""
    assert seen.links["client"].opened == n, seen.told()
    assert [seen.counters[who]["moved_to_kernel"] for who in hosts.ENDS] == [0, 0], seen.told()
    assert seen.kernel[1] == 0 and seen.links["client"].bytes_out >= MUCH, (seen.kernel, seen.told())


@pytest.mark.parametrize("how", ["blocking", "timeouts"])
def test_both_write_before_either_reads(place, how):
    both = """
sock.settimeout({})
data = os.urandom({}) * 10
say(sock.{}(data))
other = whole(sock, len(data))
sock.sendall(struct.pack("<I", zlib.crc32(data)))
say(struct.unpack("<I", whole(sock, 4))[0] == zlib.crc32(other))
""".format(*(("None", MUCH // 10, "send") if how == "blocking" else ("GUARD", MUCH // 10, "sendall")))
    seen = alike(place, ("listener = serving()\nsock = taken(listener)\n" + both, "sock = called()\n" + both))
    assert_stayed(seen)
    assert seen.lines["client"][0] == (str(MUCH) if how == "blocking" else "None")


@pytest.mark.parametrize("wait", ["select", "poll", "epoll", "edges"])
def test_little_by_little(place, wait):
    """Who waits for room before each of many small writes never meets a call that finds none."""
    both = """
sock.setblocking(False)
left, poller = %d, select.epoll() if %r in ("epoll", "edges") else select.poll()
poller.register(sock, select.EPOLLOUT | (select.EPOLLET if %r == "edges" else 0) if %r != "poll" else select.POLLOUT)
while left > 0:
    if %r == "select":
        assert select.select([], [sock], [], GUARD)[1]
    else:
        assert poller.poll(GUARD * (1000 if %r == "poll" else 1))
    n = 1
    while left > 0 and n != "EAGAIN" and (%r == "edges" or n == 1):
        n = tried(sock.send, bytes(min(left, 4096)))
        left -= n if n != "EAGAIN" else 0
sock.settimeout(GUARD)
say(len(whole(sock, %d)))
""" % (MUCH, wait, wait, wait, wait, wait, wait, MUCH)
    assert_stayed(alike(place, ("listener = serving()\nsock = taken(listener)\n" + both, "sock = called()\n" + both)))


def test_bulk_gets_a_larger_ring(place):
    """Where very much goes through, though somebody reads: seen by what fits in when nobody does for a moment."""
    seen = run(place, ("""
sock, room = taken(serving()), bytearray(1 << 20)
while (size := struct.unpack("<I", whole(sock, 4))[0]) > 0:
    while size > 0:
        size -= sock.recv_into(room, min(size, len(room)))
    sock.sendall(b"r")
    time.sleep(0.03) # a third of what it takes until a ring grows that nobody reads
""", """
def sent(n):
    sock.sendall(struct.pack("<I", n) + bytes(n))
    assert whole(sock, 1) == b"r"
sock, fits, end = called(), 0, time.monotonic() + GUARD
while fits < 1 << 20 and time.monotonic() < end:
    sent(256 << 20)
    data = struct.pack("<I", 4 << 20) + bytes(4 << 20)
    fits = sock.send(data, socket.MSG_DONTWAIT)
    sock.sendall(data[fits:])
    assert whole(sock, 1) == b"r"
sock.sendall(bytes(4))
say(fits >= 1 << 20)
"""), OPTIONS)
    assert seen.lines["client"] == ["True"], seen.told()
    assert_stayed(seen)


def test_another_connection_is_read_first(place):
    seen = alike(place, ("""
listener = serving()
first, second = taken(listener), taken(listener)
say(whole(second, 4))
say(len(whole(first, %d)))
first.close()
""" % MUCH, """
first, second = called(), called()
first.settimeout(None)
say(first.send(bytes(%d)))
second.sendall(b"word")
step("sent")
say(to_end(first))
""" % MUCH))
    assert_stayed(seen, 2)


def test_a_file_is_sent(place, tmp_path):
    """As a send: sendfile(2) goes on until its program is told that there is no room for the rest."""
    (tmp_path / "file").write_bytes(bytes(MUCH))
    both = f"""
with open("{tmp_path}/file", "rb") as file:
    sock.sendfile(file)
say(len(whole(sock, {MUCH})))
"""
    assert_stayed(alike(place, ("listener = serving()\nsock = taken(listener)\n" + both, "sock = called()\n" + both)))


def test_who_is_stopped_is_waited_for(place):
    """Nobody is reset: it has not read when it goes on, and then it reads."""
    def watch(seen, folder):
        proc.until((folder / "sending").exists)
        os.kill(seen.pids["server"], signal.SIGSTOP)
        time.sleep(2)
        assert not (folder / "client.over").exists()
        os.kill(seen.pids["server"], signal.SIGCONT)
    seen = run(place, ("""
listener = serving()
sock = taken(listener)
say(zlib.crc32(whole(sock, 1)))
while not os.path.exists(FOLDER + "/sending"):
    time.sleep(0.002)
time.sleep(0.5) # in whose midst it is stopped
say(len(whole(sock, %d)))
sock.close()
""" % MUCH, """
sock = called()
sock.settimeout(None)
sock.sendall(b"x")
step("sending")
say(sock.send(bytes(%d)))
say(to_end(sock))
""" % MUCH), OPTIONS, watch=watch)
    assert seen.lines == {"server": [str(2363233923), str(MUCH)], "client": [str(MUCH), "(0, 0, 'end')"]}, seen.told()


def test_before_it_is_accepted(place):
    seen = alike(place, ("""
listener = serving()
after("sent")
sock = taken(listener)
say(len(whole(sock, %d)))
sock.close()
""" % MUCH, """
sock = called()
sock.settimeout(None)
say(sock.send(bytes(%d)))
step("sent")
say(to_end(sock))
""" % MUCH))
    assert_stayed(seen)


@pytest.mark.parametrize("reader", ["child", "parent"])
def test_relatives_have_it(place, reader):
    """One of them sleeps in accept(), the other computes, and reads later."""
    seen = alike(place, ("""
listener = serving()
sock = taken(listener)
listener.settimeout(None)
child = os.fork()
if (child == 0) == (%r == "child"):
    end = time.monotonic() + 1
    while time.monotonic() < end:
        pass
    say(zlib.crc32(whole(sock, %d)))
    sock.close()
    step("read")
else:
    sock.close()
    say(listener.accept()[0].recv(10))
if child == 0:
    os._exit(0)
os.wait()
""" % (reader, MUCH), """
sock = called()
sock.settimeout(None)
data = bytes(range(256)) * (%d // 256)
say(sock.send(data), zlib.crc32(data))
after("read")
say(to_end(sock))
called().sendall(b"and end")
""" % MUCH))
    assert seen.links["client"].opened == 2 and seen.kernel[1] == 0, seen.told()


# A server that gives its socket to a program without fsock, in the middle of what its client does.
AWAY = """
def away(sock, program):
    sock.setblocking(True)
    if os.fork() == 0:
        os.environ.pop("LD_PRELOAD", None)
        os.dup2(sock.fileno(), 0)
        os.dup2(sock.fileno(), 1)
        os.execv("/bin/sh", ["sh", "-c", program])
    sock.close()
    os.wait()
"""


@pytest.mark.parametrize("flags", ["socket.MSG_WAITALL", "0"])
def test_moves_in_the_middle_of_a_receive(place, flags):
    """Who waits for all has all; who peeked has what is there."""
    seen = alike(place, ("""
listener = serving()
sock = taken(listener)
""" + AWAY + """
if %s:
    sock.sendall(b"l" * 30000)
time.sleep(0.3)
away(sock, "head -c 100000 /dev/zero | tr '\\\\0' k; exec cat")
""" % flags, """
sock = called()
sock.settimeout(None)
if %s:
    data = sock.recv(120000, socket.MSG_WAITALL)
    say(len(data), data[:30000] == b"l" * 30000, set(data[30000:]))
    say(len(whole(sock, 10000)))
else:
    say(sock.recv(1), len(whole(sock, 99999)))
sock.sendall(b"back")
sock.shutdown(socket.SHUT_WR)
say(whole(sock, 4), to_end(sock))
""" % flags))
    assert seen.counters["client"]["moved_to_kernel"] == 1, seen.told()
    assert seen.links["client"].opened == 1


def test_moves_in_the_middle_of_a_send(place):
    """All of it is sent by the one call."""
    seen = alike(place, ("""
listener = serving()
sock = taken(listener)
""" + AWAY + """
say(len(whole(sock, 10)))
away(sock, "exec wc -c >&2")
""", """
sock = called()
sock.settimeout(None)
say(sock.send(bytes(8 * %d)))
sock.close()
""" % MUCH))
    assert seen.counters["client"]["moved_to_kernel"] == 1, seen.told()
    assert seen.lines["client"] == [str(8 * MUCH)]
    assert str(8 * MUCH - 10) in seen.err["server"], seen.told()


def test_who_computes_follows_beside_a_relative(place):
    """The relative takes the messages, and has no number of the socket."""
    seen = alike(place, ("""
listener = serving()
sock = taken(listener)
listener.settimeout(None)
if os.fork() == 0:
    sock.settimeout(0.01)
    tried(sock.recv, 1)
    sock.settimeout(GUARD)
    step("apart")
    end = time.monotonic() + 2
    while time.monotonic() < end:
        pass
    say(to_end(sock))
    step("read")
    os._exit(0)
sock.close()
say(listener.accept()[0].recv(10))
os.wait()
""", AWAY + """
sock = called()
after("apart")
time.sleep(0.2)
away(sock, "exec echo from a program")
after("read")
called().sendall(b"and end")
"""))
    assert seen.links["client"].opened == 2, seen.told()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_large_ring_moves(place, when):
    """All that waits in it goes along, though the program that has it then reads only later; its writer closes before or
    after that."""
    seen = alike(place, ("""
listener = serving()
sock = taken(listener)
""" + AWAY + """
after("sent")
away(sock, "sleep 1; exec wc -c >&2")
""", """
sock = called()
sock.settimeout(None)
say(sock.send(bytes(%d)))
if %r == "before":
    sock.close()
step("sent")
time.sleep(0.5)
sock.close()
""" % (MUCH, when)))
    assert str(MUCH) in seen.err["server"], seen.told()
    assert seen.links["client"].bytes_out == MUCH, seen.told()


# Connects to whatever listens on the loopback beside the server, and says nothing.
VISITS = f"""
import socket, time
held, end = {{{hosts.PORT}}}, time.monotonic() + 30
print("looks", flush=True)
while time.monotonic() < end:
    for line in open("/proc/net/tcp").readlines()[1:]:
        words = line.split()
        port = int(words[1].split(":")[1], 16)
        if words[3] == "0A" and port not in held:
            held.add(port)
            socks = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
            socks[0].send(b"who is there")
            print("visits", flush=True)
            time.sleep(30)
"""


@pytest.mark.alone  # who is stopped meanwhile has half a second
def test_strangers_where_a_connection_goes_on(place):
    """Whoever else comes there first, and says nothing or something else, is not waited for."""
    def watch(seen, folder):
        proc.until((folder / "waits").exists)
        os.kill(seen.pids["client"], signal.SIGSTOP)
        with place.a.popen([hosts.PYTHON, "-c", VISITS]) as visitor:
            assert visitor.wait_for("looks"), visitor.err
            (folder / "go").touch()
            assert visitor.wait_for("visits"), visitor.err
            os.kill(seen.pids["client"], signal.SIGCONT)
            proc.until(lambda: (folder / "client.over").exists())
    seen = run(place, ("""
listener = serving()
sock = taken(listener)
""" + AWAY + """
after("go")
away(sock, "exec echo here")
""", """
sock = called()
step("waits")
say(to_end(sock)[::2])
"""), OPTIONS, watch=watch)
    assert seen.lines["client"] == ["(5, 'end')"], seen.told()
    assert seen.counters["client"]["moved_to_kernel"] == 1, seen.told()
