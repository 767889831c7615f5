# SPDX-License-Identifier: BSD-2-Clause
"""
moving.py TOOL TAKER ADDRESS PORT ROLE COUNT WAYS - COUNT connections, each of which moves to the kernel at a moment of its own.

ROLE is "accept" or "connect", WAYS one letter for each way that is drawn from: asked (by TOOL handover), passed (to TAKER, by
SCM_RIGHTS), executed (TAKER, in a child); or s: all at once, by a filter of system calls, c: by capabilities given up, or n, l:
something outside moves them.
A connection begins with ten bytes: kind and number (programs/moved.py draws them). An echo says all it reads, a speaker first
says what it has to, ends its side and then reads. What either reads or says ends with its own sum.
"""
import ctypes
import os
import queue
import random
import select
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib

RESIDUE = 0x2144df1c
TOOL, TAKER, ADDRESS, PORT, ROLE, COUNT, WAYS = sys.argv[1:]
OUTSIDE = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
FAMILY = socket.AF_INET6 if ":" in ADDRESS else socket.AF_INET

libc = ctypes.CDLL(None, use_errno=True)
asked, here_lock, seen, complete = queue.Queue(), threading.Lock(), threading.Semaphore(0), threading.Event()


def draws(number):
    """What is drawn by a connection's number, and what its speaker says, which the other end draws, too."""
    draw = random.Random(number)
    said = draw.randbytes(draw.randrange(0, 200000))
    return draw, said + zlib.crc32(said).to_bytes(4, "little")


def say(word):
    os.write(1, word.encode() + b"\n")


class Mover:
    """One connection, and where in it the move comes."""

    def __init__(self, peer, here):
        self.peer, self.here, self.sum, self.done = peer, here, 0, threading.Event()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        head = b""
        while len(head) < 10:
            head += peer.recv(10 - len(head))
        self.echo, number = struct.unpack("!HQ", head)
        draw, self.speech = draws(number)
        self.way, self.limit = draw.choice(WAYS), draw.randrange(0, 150000)

    def pass_on(self):
        """Another process goes on with it."""
        with here_lock:
            socket.send_fds(self.here, [b"%d %d" % (self.echo, self.sum)], [self.peer.fileno()])

    def execute(self):
        if os.fork():
            return
        os.set_inheritable(self.peer.fileno(), True)
        os.execve(TAKER, [TAKER, *map(str, (self.peer.fileno(), self.echo, self.sum))], os.environ)

    def move(self):
        """Begin it. True: this process is done with the connection."""
        self.limit = None
        if self.way == "a":
            asked.put(self)
            return False
        seen.release()
        if self.way in "scnl":
            return False
        (self.pass_on if self.way == "p" else self.execute)()
        return True

    def speak(self):
        at, limit = 0, self.limit
        if self.way in "ascnl" and limit < len(self.speech): # the takers do not speak
            self.peer.sendall(self.speech[:limit])
            at = limit
            self.move()
        self.peer.sendall(self.speech[at:])
        self.peer.shutdown(socket.SHUT_WR)

    def read(self):
        got = 0
        while data := self.peer.recv(20000):
            got += len(data)
            self.sum = zlib.crc32(data, self.sum)
            if self.echo:
                self.peer.sendall(data)
            if self.limit is not None and got > self.limit and self.move():
                return
        assert self.sum == RESIDUE, hex(self.sum)
        if self.limit is not None and self.move():
            return
        if self.way == "a":
            self.done.wait()
        say("whole")

    def run(self):
        with self.peer:
            if not self.echo:
                self.speak()
            self.read()


def ask():
    """One request after the other."""
    while one := asked.get():
        argv = [TOOL, "handover", "--timeout=5", str(os.getpid()), str(one.peer.fileno())]
        request = subprocess.Popen(argv, env=OUTSIDE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while request.poll() is None:
            select.select([one.peer], [], [], 0)  # who is in no call of fsock's does not hear of it
            time.sleep(0.001)
        one.done.set()


def confine():
    """A filter that lets everything pass."""
    class Program(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
    allow = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7fff0000))  # BPF_RET, SECCOMP_RET_ALLOW
    program = Program(1, ctypes.addressof(allow))
    assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


def give_up():
    """CAP_NET_ADMIN, of this thread; what moves are the process's connections."""
    header, data = ctypes.create_string_buffer(struct.pack("Ii", 0x20080522, 0), 8), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, data) == 0 and data[0] & 1 << 12
    data[0] &= ~(1 << 12)
    data[1] &= ~(1 << 12)
    assert libc.capset(header, data) == 0


def at_half(leave):
    """@leave when half of the connections came to their moment."""
    complete.wait() # who waits for accept() with an urgent byte would be reset with its listener
    for _ in range(int(COUNT) // 2):
        seen.acquire()
    leave()
    say("left")


LEAVE = {"s": confine, "c": give_up}


def peers():
    if ROLE == "connect":
        for _ in range(int(COUNT)):
            yield socket.create_connection((ADDRESS, int(PORT)))
        return
    with socket.create_server((ADDRESS, int(PORT)), family=FAMILY, backlog=int(COUNT)) as listener:
        # Before any urgent byte may have to move, which else stays behind.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        say("ready")
        for _ in range(int(COUNT)):
            yield listener.accept()[0]


def main():
    here, there = socket.socketpair()
    taker = subprocess.Popen([TAKER], stdin=there, env=OUTSIDE)
    there.close()
    extra = [threading.Thread(target=ask)]
    extra += [threading.Thread(target=at_half, args=(LEAVE[way],)) for way in WAYS if way in LEAVE]
    threads = []
    for thread in extra:
        thread.start()
    for peer in peers():
        threads.append(threading.Thread(target=lambda peer: Mover(peer, here).run(), args=(peer,)))
        threads[-1].start()
    complete.set()
    for thread in threads:
        thread.join()
    asked.put(None)
    for thread in extra:
        thread.join()
    here.close()
    failed = taker.wait()
    try:
        while True:
            failed |= os.wait()[1]
    except ChildProcessError:
        pass
    say("served")
    sys.stdin.readline()
    sys.exit(failed != 0)


main()
