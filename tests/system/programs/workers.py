# SPDX-License-Identifier: BSD-2-Clause
"""
workers.py ADDRESS PORT N HOW - N processes that share a listener and say every line of a connection back.

HOW: epoll or poll, over descriptors of each worker's own; recv, a thread that waits in it for each connection. Lines that
mean something: "who" is answered by the number of the process; at "kill" it is killed, at "stop" stopped while it holds
its stack's lock: between what fsock and what this program asked to be told before a fork. Standard output has a line for
each accept and for each error.
"""
import ctypes
import os
import selectors
import signal
import socket
import sys
import threading

ADDRESS, PORT, N, HOW = sys.argv[1:5]
libc = ctypes.CDLL(None)
signals = []


@ctypes.CFUNCTYPE(None)
def before_fork():
    """Registered first, it runs last: fsock has the lock by then (pthread_atfork(3))."""
    if signals:
        os.kill(os.getpid(), signals.pop())


def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def with_the_lock(number):
    signals.append(number)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def answer(line):
    if line == b"who\n":
        return b"%d\n" % os.getpid()
    if line in (b"kill\n", b"stop\n"):
        with_the_lock(signal.SIGKILL if line == b"kill\n" else signal.SIGSTOP)
    return line


class Connection:
    def __init__(self, listener):
        self.sock, self.rest = listener.accept()[0], b""
        self.sock.setblocking(True)
        say("accepted", os.getpid())

    def serve(self):
        """What there is. False: it is over."""
        try:
            data = self.sock.recv(65536)
            *lines, self.rest = (self.rest + data).split(b"\n")
            for line in lines:
                self.sock.sendall(answer(line + b"\n"))
        except OSError as error:
            say("error", os.getpid(), error.errno)
            data = b""
        if not data:
            self.sock.close()
        return bool(data)


def by_threads(listener):
    def serve(connection):
        while connection.serve():
            pass
    while True:
        threading.Thread(target=serve, args=(Connection(listener),), daemon=True).start()


def by_selector(listener):
    ready = {"epoll": selectors.EpollSelector, "poll": selectors.PollSelector}[HOW]()
    listener.setblocking(False)
    ready.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in ready.select():
            if key.fileobj is listener:
                try:
                    connection = Connection(listener)
                except BlockingIOError:
                    continue  # another worker has it
                ready.register(connection.sock, selectors.EVENT_READ, connection)
            elif not key.data.serve():
                ready.unregister(key.fileobj)


def main():
    libc.__register_atfork(before_fork, None, None, None)
    listener = socket.create_server((ADDRESS, int(PORT)), backlog=512, family=socket.AF_INET6 if ":" in ADDRESS else socket.AF_INET)
    for _ in range(int(N)):
        if os.fork() == 0:
            by_threads(listener) if HOW == "recv" else by_selector(listener)
    listener.close()
    say("ready")
    while True:
        signal.pause()


main()
