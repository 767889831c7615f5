# SPDX-License-Identifier: BSD-2-Clause
"""
stream_fate.py ADDRESS PORT send|recv NAME=VALUE... - connects, sets TCP options, and says how it ends.

send: a byte ten times a second until an error; recv: waits for data. Each byte that comes back is said as well.
"""
import errno
import select
import socket
import sys


def talk(sock, sends):
    while True:
        if sends:
            sock.send(b"x")
        if select.select([sock], [], [], 0.1 if sends else None)[0]:
            data = sock.recv(100)
            if not data:
                return "end"
            print("heard", flush=True)


def main(address, port, how, *options):
    sock = socket.create_connection((address, int(port)), timeout=20)
    sock.settimeout(None)
    for option in options:
        name, value = option.split("=")
        level = socket.SOL_SOCKET if name.startswith("SO_") else socket.IPPROTO_TCP
        sock.setsockopt(level, getattr(socket, name), int(value))
    print("ready", flush=True)
    try:
        print(talk(sock, how == "send"))
    except OSError as error:
        print(errno.errorcode[error.errno])


main(*sys.argv[1:])
