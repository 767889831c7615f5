# SPDX-License-Identifier: BSD-2-Clause
"""echo_server.py socket|asyncio ADDRESS PORT - answers each datagram with itself, in capitals."""
import asyncio
import socket
import sys


def blocking(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((address, port))
        print("ready", flush=True)
        while True:
            data, peer = sock.recvfrom(65536)
            sock.sendto(data.upper(), peer)


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(data.upper(), addr)


async def serve(address, port):
    await asyncio.get_running_loop().create_datagram_endpoint(Echo, local_addr=(address, port))
    print("ready", flush=True)
    await asyncio.sleep(3600)


if sys.argv[1] == "asyncio":
    asyncio.run(serve(sys.argv[2], int(sys.argv[3])))
else:
    blocking(sys.argv[2], int(sys.argv[3]))
