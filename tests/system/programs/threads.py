# SPDX-License-Identifier: BSD-2-Clause
"""
threads.py ADDRESS PORT N HOW - a server of N threads that says back what its connections say.

HOW: shared, each thread has an epoll set with the listener and what it accepts; handed, one thread accepts and deals the
connections out to the sets of the others; poll, as shared by poll(); recv, a thread that waits in recv() for each
connection. Standard output has "ready", and a line for each error.
"""
import itertools
import os
import select
import socket
import sys
import threading
import time

ADDRESS, PORT, N, HOW = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]


def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def serve(sock):
    """What there is. False: it is over."""
    try:
        data = sock.recv(65536)
        if data:
            sock.setblocking(True)
            sock.sendall(data)
            return True
    except OSError as error:
        say("error", error.errno)
    return False


def accept(listener):
    try:
        return listener.accept()[0]
    except BlockingIOError:
        return None  # another thread has it


class Members:
    """Sockets by number, in a poll() or epoll set of the thread's own."""

    def __init__(self, kind):
        self.set, self.socks = kind(), {}

    def add(self, sock):
        self.socks[sock.fileno()] = sock
        self.set.register(sock.fileno(), select.POLLIN)  # EPOLLIN is the same

    def remove(self, number):
        self.set.unregister(number)
        self.socks.pop(number).close()

    def loop(self, listener):
        while True:
            for number, _ in self.set.poll():
                sock = self.socks[number]
                if sock is not listener:
                    if not serve(sock):
                        self.remove(number)
                elif (child := accept(listener)) is not None:
                    self.add(child)


def wait_in_recv(sock):
    while serve(sock):
        pass
    sock.close()


def main():
    listener = socket.create_server((ADDRESS, PORT), backlog=512)
    sets = [Members(select.poll if HOW == "poll" else select.epoll) for _ in range(0 if HOW == "recv" else N)]
    for members in sets:
        if HOW != "handed":
            listener.setblocking(False)
            members.add(listener)
        threading.Thread(target=members.loop, args=(listener,), daemon=True).start()
    say("ready")
    if HOW == "handed":
        for members in itertools.cycle(sets):
            members.add(listener.accept()[0])
    while HOW == "recv":
        threading.Thread(target=wait_in_recv, args=listener.accept()[:1], daemon=True).start()
    while True:
        time.sleep(1000)


main()
