# SPDX-License-Identifier: BSD-2-Clause
"""
segments.py send ADDRESS PORT SIZE COUNT CALLS [PAUSE [ALONE]]
segments.py recv ADDRESS PORT SECONDS [gro]

send: CALLS calls of COUNT datagrams of SIZE bytes by UDP_SEGMENT, of which the last is shorter by one,
PAUSE seconds apart; with ALONE a datagram of that many bytes by an ordinary call after each. Every
datagram begins with its number. recv: what came until it was quiet for SECONDS or SIGINT came, as JSON:
numbers in order of arrival, lengths, how many were not as sent, and the sizes UDP_GRO told.
"""
import contextlib
import json
import socket
import struct
import sys
import time

SOL_UDP, UDP_SEGMENT, UDP_GRO = 17, 103, 104
GREETING = b"\xff" * 4  # not counted: others talk to the receiver before


def opened(address):
    return socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)


def datagram(number, size):
    return struct.pack("!I", number) + bytes((number + i) & 255 for i in range(size - 4))


def send(address, port, size, count, calls, pause=0.0, alone=0):
    sock, number = opened(address), 0
    sock.connect((address, port))
    for _ in range(calls):
        parts = [datagram(number + i, size - (i == count - 1)) for i in range(count)]
        number += count
        sock.sendmsg([b"".join(parts)], [(SOL_UDP, UDP_SEGMENT, struct.pack("=H", size))])
        if alone:
            sock.send(datagram(number, alone))
            number += 1
        time.sleep(pause)
    print(number, flush=True)


def recv(address, port, seconds, gro=False):
    sock = opened(address)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    if gro:
        sock.setsockopt(SOL_UDP, UDP_GRO, 1)
    sock.bind((address, port))
    print("ready", file=sys.stderr, flush=True)
    seen = {"numbers": [], "bytes": [], "wrong": 0, "told": []}
    sock.settimeout(20)
    with contextlib.suppress(TimeoutError, KeyboardInterrupt):
        while True:
            data, control, _, _ = sock.recvmsg(65536, 256)
            if data.startswith(GREETING):  # UDP_GRO may join several
                continue
            sock.settimeout(seconds)
            step = len(data)
            for level, kind, value in control:
                if (level, kind) == (SOL_UDP, UDP_GRO):
                    step = struct.unpack("=i", value)[0]
                    seen["told"].append(step)
            for at in range(0, len(data), step):
                part = data[at:at + step]
                number = struct.unpack("!I", part[:4])[0]
                seen["numbers"].append(number)
                seen["bytes"].append(len(part))
                seen["wrong"] += part != datagram(number, len(part))
    print(json.dumps(seen), flush=True)


if sys.argv[1] == "send":
    send(sys.argv[2], *map(int, sys.argv[3:7]), *map(float, sys.argv[7:8]), *map(int, sys.argv[8:9]))
else:
    recv(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), "gro" in sys.argv[5:])
