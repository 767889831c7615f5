# SPDX-License-Identifier: BSD-2-Clause
"""
stamped.py ADDRESS PORT EACH - answers each datagram with what tells its order, three times EACH of them: without
stamps, with SO_TIMESTAMPNS, without again. The answer is the datagram, a blank, and how many ns before it was
taken the datagram arrived; 0 = there was no stamp.
"""
import socket
import struct
import sys
import time

SO_TIMESTAMPNS = 35
address, port, each = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as sock:
    sock.bind((address, port))
    print("ready", flush=True)
    for on in (0, 1, 0):
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, on)
        print("stamps", on, flush=True)
        for _ in range(each):
            data, control, _flags, peer = sock.recvmsg(2048, 512)
            age = 0
            for _level, kind, value in control:
                if kind == SO_TIMESTAMPNS:
                    seconds, ns = struct.unpack("ll", value)
                    age = time.time_ns() - seconds * 1_000_000_000 - ns
            sock.sendto(data + b" %d" % age, peer)
    print("end", flush=True)
    sock.recv(1)
