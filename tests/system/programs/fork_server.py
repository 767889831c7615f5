# SPDX-License-Identifier: BSD-2-Clause
"""fork_server.py ADDRESS PORT N - echoes N datagrams, then a child goes on, and the parent ends after N more."""
import os
import socket
import sys

sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[1], int(sys.argv[2])))
count = int(sys.argv[3])


def echo(n):
    for _ in range(n):
        data, peer = sock.recvfrom(65536)
        sock.sendto(data.upper(), peer)


print("ready", flush=True)
echo(count)
over, turn = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    os.close(over[1])
    echo(count)
    os.write(turn[1], b"x")
    os.read(over[0], 1)  # the parent's end
    while True:
        echo(1)
print("child", child, flush=True)
os.read(turn[0], 1)
os._exit(0)
