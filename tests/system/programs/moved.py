# SPDX-License-Identifier: BSD-2-Clause
"""
moved.py ADDRESS PORT ROLE COUNT SEED MODE - the other ends of programs/moving.py's connections.

Each draws by its number what it is, how it sends and how it reads: at once or late, into a small buffer, urgent bytes
among the rest. With MODE "until" it goes on to send until a line comes on standard input.
"""
import random
import socket
import struct
import sys
import threading
import time
import zlib

ADDRESS, PORT, ROLE, COUNT, SEED, MODE = sys.argv[1:]
SIZE = 200000
enough = threading.Event()


def speech(number):
    draw = random.Random(number)
    said = draw.randbytes(draw.randrange(0, 200000))
    return said + zlib.crc32(said).to_bytes(4, "little")


class Other:
    def __init__(self, peer, number):
        self.peer, self.number, self.draw = peer, number, random.Random(f"{SEED} {number}")
        self.echo, self.late = self.draw.randrange(2), self.draw.choice((0, 0, 0.05))
        self.said, self.sum = [], 0
        peer.settimeout(50)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)

    def put(self, data):
        self.said.append(data)
        self.sum = zlib.crc32(data, self.sum)
        self.peer.sendall(data)
        if self.draw.random() < 0.1:
            self.said.append(b"!")
            self.sum = zlib.crc32(b"!", self.sum)
            self.peer.send(b"!", socket.MSG_OOB)

    def send(self):
        left = self.draw.randrange(0, SIZE)
        self.peer.sendall(struct.pack("!HQ", self.echo, self.number))
        while left > 0 or (MODE == "until" and not enough.is_set()):
            size = min(self.draw.choice((100, 5000, 50000)), left) if left > 0 else 1000
            left -= size
            self.put(self.draw.randbytes(size))
            if left <= 0 or self.draw.random() < 0.2:
                time.sleep(self.draw.choice((0, 0.001, 0.01)))
        end = self.sum.to_bytes(4, "little")
        self.said.append(end)
        self.peer.sendall(end)
        self.peer.shutdown(socket.SHUT_WR)

    def run(self):
        sender, got = threading.Thread(target=self.send), bytearray()
        sender.start()
        time.sleep(self.late)
        while data := self.peer.recv(self.draw.choice((1000, 65536))):
            got += data
        sender.join()
        assert got == (b"".join(self.said) if self.echo else speech(self.number)), (self.number, self.echo, len(got))
        self.peer.close()
        print("equal", flush=True)


def small(one, number):
    if number % 4 == 0:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    return one


def peers():
    family = socket.AF_INET6 if ":" in ADDRESS else socket.AF_INET
    first = int(SEED) * 1000
    if ROLE == "accept":
        with socket.create_server((ADDRESS, int(PORT)), family=family, backlog=int(COUNT)) as listener:
            print("ready", flush=True)
            for number in range(first, first + int(COUNT)):
                yield small(listener.accept()[0], number), number
        return
    for number in range(first, first + int(COUNT)):
        with socket.socket(family) as one:
            small(one, number).connect((ADDRESS, int(PORT)))
            yield socket.socket(fileno=one.detach()), number


def main():
    threads = [threading.Thread(target=Other(peer, number).run) for peer, number in peers()]
    for thread in threads:
        thread.start()
    if MODE == "until":
        sys.stdin.readline()
        enough.set()
    for thread in threads:
        thread.join()


main()
