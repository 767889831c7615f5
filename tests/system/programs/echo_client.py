# SPDX-License-Identifier: BSD-2-Clause
"""echo_client.py socket|asyncio ADDRESS PORT COUNT - sends datagrams, prints what came back."""
import asyncio
import hashlib
import socket
import sys


def message(i):
    return (f"message {i} " + "abcdefgh" * (i % 150)).encode()


def report(answers):
    digest = hashlib.sha256(b"\0".join(answers)).hexdigest()
    print(len(answers), sum(map(len, answers)), digest)


def blocking(address, port, count):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    answers = []
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(20)
        sock.connect((address, port))
        for i in range(count):
            sock.send(message(i))
            answers.append(sock.recv(65536))
    report(answers)


class Asker(asyncio.DatagramProtocol):
    def __init__(self, count, done):
        self.count, self.done, self.answers = count, done, []

    def connection_made(self, transport):
        self.transport = transport
        transport.sendto(message(0))

    def datagram_received(self, data, addr):
        self.answers.append(data)
        if len(self.answers) == self.count:
            self.done.set_result(None)
        else:
            self.transport.sendto(message(len(self.answers)))


async def ask(address, port, count):
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    transport, asker = await loop.create_datagram_endpoint(
        lambda: Asker(count, done), remote_addr=(address, port))
    await asyncio.wait_for(done, 20)
    transport.close()
    report(asker.answers)


kind, host, number, total = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
if kind == "asyncio":
    asyncio.run(ask(host, number, total))
else:
    blocking(host, number, total)
