# SPDX-License-Identifier: BSD-2-Clause
"""
test_turns - what rests on a thread coming back soon (decisions 0032 to 0034), where it does and where it does not.

Nothing here measures how long something takes: a program computes until its peer has said in a file that both map that it
has what it waits for.
"""
import sys
import tempfile
import textwrap

import pytest

from lab import fsock, net, proc

PORT = 7380

# Answers two connections round by round, both at a time. In the last round it computes between the two answers until the
# peer has the first one.
BATCHES = textwrap.dedent("""
    import mmap, os, select, socket, sys
    word = mmap.mmap(os.open(sys.argv[3], os.O_RDONLY), 1, prot=mmap.PROT_READ)
    rounds = int(sys.argv[4])
    listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
    print("ready", flush=True)
    peers = {peer.fileno(): peer for peer in (listener.accept()[0], listener.accept()[0])}
    ready = select.epoll()
    for number in peers:
        ready.register(number, select.EPOLLIN)
    for n in range(1, rounds + 1):
        ready.poll(0)
        while word[0] < n:
            pass
        answered = 0
        while answered < 2:
            for number, _ in ready.poll():
                peers[number].send(peers[number].recv(10))
                answered += 1
                while n == rounds and word[0] == n:
                    pass
    ready.poll(0)
    listener.accept()
""")

ASKER = textwrap.dedent("""
    import mmap, os, select, socket, sys
    word = mmap.mmap(os.open(sys.argv[3], os.O_RDWR), 1)
    rounds = int(sys.argv[4])
    peers = [socket.create_connection((sys.argv[1], int(sys.argv[2]))) for _ in range(2)]
    for n in range(1, rounds):
        for peer in peers:
            peer.send(b"x")
        word[0] = n
        for peer in peers:
            peer.recv(1)
    for peer in peers:
        peer.send(b"x")
    word[0] = rounds
    first = select.select(peers, [], [], float(sys.argv[5]))[0]
    print(len(first))
    word[0] = rounds + 1
    print(sum(len(peer.recv(1)) for peer in peers))
""")


# One thread accepts and greets, the other answers the first connection, and computes when it is told to.
TWO_THREADS = textwrap.dedent("""
    import mmap, os, select, socket, sys, threading
    word = mmap.mmap(os.open(sys.argv[3], os.O_RDONLY), 1, prot=mmap.PROT_READ)
    listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
    print("ready", flush=True)
    first = listener.accept()[0]
    def serve():
        ready = select.epoll()
        ready.register(first.fileno(), select.EPOLLIN)
        while True:
            ready.poll()
            data = first.recv(10)
            if not data:
                return
            while data == b"!" and not word[0]:
                pass
            first.send(data)
    worker = threading.Thread(target=serve)
    worker.start()
    ready = select.epoll()
    ready.register(listener.fileno(), select.EPOLLIN)
    for _ in range(int(sys.argv[4])):
        ready.poll()
        listener.accept()[0].send(b"hello")
    worker.join()
    listener.accept()
""")

# The same with a child for the other thread, which computes or dies.
TWO_PROCESSES = TWO_THREADS.replace("worker = threading.Thread(target=serve)\nworker.start()", """
child = os.fork()
if child == 0:
    serve()
    os._exit(0)
""").replace("worker.join()", "os.waitpid(child, 0)")
DYING = TWO_PROCESSES.replace('while data == b"!" and not word[0]:\n            pass', 'data != b"!" or os.kill(os.getpid(), 9)')

# The child polls without a rest, and sleeps once it is told; then it is stopped.
STOPPED = TWO_PROCESSES.replace("ready.poll()\n        data", "while not ready.poll(wait):\n            pass\n        data", 1).replace(
    'while data == b"!" and not word[0]:\n            pass', """
        if data == b"!":
            wait = -1
            threading.Timer(0.3, os.kill, (os.getpid(), 19)).start()
""".strip()).replace("def serve():", "wait = 0\ndef serve():\n    global wait").replace("os.waitpid(child, 0)", "os.kill(child, 9)")

CALLER = textwrap.dedent("""
    import mmap, os, socket, struct, sys
    word = mmap.mmap(os.open(sys.argv[3], os.O_RDWR), 1)
    to = sys.argv[1], int(sys.argv[2])
    first = socket.create_connection(to)
    def greeted(): # without asking twice
        peer = socket.create_connection(to, timeout=float(sys.argv[5]))
        said = peer.recv(5)
        info = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        return said == b"hello" and struct.unpack_from("I", info, 100)[0] == 0
    seen = []
    def talk():
        for _ in range(200):
            first.send(b"x")
            first.recv(1)
    for n in range(int(sys.argv[4]) - 1):
        talk()
        seen.append(greeted())
    talk() # the other thread goes to sleep meanwhile
    first.send(b"!")
    seen.append(greeted())
    word[0] = 1
    first.recv(1)
    print(*seen)
""")
LEFT_ALONE = CALLER.replace("first.recv(1)\nprint(*seen)", "print(*seen)")
# One is greeted in the midst of the talk: the other thread goes to sleep while the first one drives.
LATER = CALLER.replace("int(sys.argv[4]) - 1", "int(sys.argv[4]) - 2").replace('first.send(b"!")', """
import threading, time
over = threading.Event()
def go_on():
    while not over.is_set():
        talk()
talker = threading.Thread(target=go_on)
talker.start()
seen.append(greeted())
time.sleep(0.05)
over.set()
talker.join()
first.send(b"!")
first.recv(1)
time.sleep(0.8)
""").replace("first.recv(1)\nprint(*seen)", "print(*seen)")


# Answers by two calls, or by one where the peer asks for that. In the last round it computes between them until the peer has
# what the first one sent; then once more, when the second one's bytes are to wait for a third call's.
PARTS = textwrap.dedent("""
    import mmap, os, select, socket, sys
    word = mmap.mmap(os.open(sys.argv[3], os.O_RDONLY), 1, prot=mmap.PROT_READ)
    rounds = int(sys.argv[4])
    listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
    print("ready", flush=True)
    peer = listener.accept()[0]
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    ready = select.epoll()
    ready.register(peer.fileno(), select.EPOLLIN)
    for n in range(1, rounds + 1):
        ready.poll()
        said = peer.recv(10)
        peer.send(b"h")
        while n == rounds and word[0] == 0:
            pass
        if said == b"2":
            peer.send(b"b")
    ready.poll()
    peer.recv(10)
    peer.send(b"h")
    peer.send(b"m", socket.MSG_MORE)
    while word[0] == 1:
        pass
    peer.send(b"e")
    ready.poll()
    peer.recv(10)
    peer.send(b"h")
    peer.send(b"b")
    peer.close()
    listener.accept()
""")

READER = textwrap.dedent("""
    import mmap, os, select, socket, sys
    word = mmap.mmap(os.open(sys.argv[3], os.O_RDWR), 1)
    rounds = int(sys.argv[4])
    peer = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[5]))
    for n in range(1, rounds):
        peer.send(b"2" if n % 40 else b"1")
        assert peer.recv(1) == b"h"
        assert n % 40 == 0 or peer.recv(1) == b"b"
    peer.send(b"2")
    first = peer.recv(2)
    word[0] = 1
    print(first.decode(), peer.recv(2).decode())
    peer.send(b"2")
    first = peer.recv(1)
    word[0] = 2
    while not first.endswith(b"e"):
        first += peer.recv(10)
    print(first.decode())
    peer.send(b"2")
    whole = b""
    while data := peer.recv(10):
        whole += data
    print(whole.decode())
""")


@pytest.fixture(scope="module")
def pair():
    with net.Pair("fsock-turn") as pair:
        yield pair


def _run(pair, server, client, count, cpu=None, **options):
    """What the client says and the server's counters at its end."""
    with tempfile.NamedTemporaryFile() as word:
        word.truncate(1)
        arguments = [net.A4, str(PORT), word.name, str(count), str(proc.GUARD / 2)]
        with pair.a.popen(fsock.run([sys.executable, "-c", server, *arguments], **options), cpu=cpu, env=fsock.CLEAN) as server:
            assert server.wait_for("ready"), server.err
            client = pair.b.run([sys.executable, "-c", client, *arguments], env=fsock.CLEAN)
            counters = fsock.counters(server.pid)
            assert client.status == 0, client.err + server.err
    return client.out.split(), counters


@pytest.mark.alone
@pytest.mark.parametrize("helper", [1, 0])
def test_an_answer_held_for_others_does_not_wait_for_a_program_that_computes(pair, helper):
    """Answers to events that came together leave together; without a helper to send them in time, each by itself."""
    said, counters = _run(pair, BATCHES, ASKER, 60, profile="latency", helper=helper)
    assert said == ["1", "2"]
    assert counters["tcp_held_back"] >= 20 if helper else counters["tcp_held_back"] == 0, counters


@pytest.mark.alone
@pytest.mark.parametrize("helper", [1, 0])
def test_who_sleeps_beside_a_driver_is_woken_even_if_that_computes(pair, helper):
    """Two threads on one processor: the one that sleeps while the other polls hears of its own by that one, or the helper."""
    said, counters = _run(pair, TWO_THREADS, CALLER, 10, cpu=proc.cpus()[0], profile="latency", helper=helper)
    assert said == ["True"] * 10
    assert counters["sleeps_light"] > 0 if helper else counters["sleeps_light"] == 0, counters


@pytest.mark.alone
@pytest.mark.parametrize("server, client", [(TWO_PROCESSES, CALLER), (DYING, LEFT_ALONE)], ids=["computes", "dies"])
def test_who_sleeps_beside_a_driver_of_another_process_is_woken(pair, server, client):
    """A server and its child on one processor: frames for the child do not wake the parent, which hears of its own by the
    child, by the child's helper, or by its own helper when the child is gone."""
    said, counters = _run(pair, server, client, 10, cpu=proc.cpus()[0], profile="latency", helper=1)
    assert said == ["True"] * 10
    assert counters["sleeps_light"] > 0, counters


@pytest.mark.alone
def test_who_slept_beside_a_driver_that_is_stopped_asleep_is_woken(pair):
    """The child's sleep was to be the parent's, too."""
    said, counters = _run(pair, STOPPED, LATER, 10, helper=1)
    assert said == ["True"] * 10
    assert counters["sleeps_light"] > 0, counters


@pytest.mark.alone
@pytest.mark.parametrize("helper", [1, 0])
def test_what_is_said_by_several_calls_does_not_wait_for_a_program_that_computes(pair, helper):
    """Where a thread has the habit of sending twice, the first call's bytes leave with the second one's: or with its next
    wait, or by the helper, without which they leave at once."""
    said, counters = _run(pair, PARTS, READER, 240, profile="latency", helper=helper)
    assert said == ["h", "b", "hme", "hb"]
    assert counters["tcp_kept"] > 0 if helper else counters["tcp_kept"] == 0, counters
