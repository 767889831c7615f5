# SPDX-License-Identifier: BSD-2-Clause
"""
narrow.py ADDRESS PORT - echoes datagrams, and answers b"mtu N" first with the ICMP error of a router on the way
whose next link takes N bytes: fragmentation needed (RFC 1191 4), or packet too big (RFC 8201).
"""
import socket
import struct
import sys

address, port = sys.argv[1], int(sys.argv[2])
v6 = ":" in address
LEN = 1300  # UDP payload of the datagram that the error quotes


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return 0xffff - total


def quoted(peer):
    """The beginning of what the peer sent, as if it had been too large."""
    udp = struct.pack("!HHHH", peer[1], port, LEN + 8, 0)
    there, here = (socket.inet_pton(echo.family, a) for a in (peer[0], address))
    if v6:
        return struct.pack("!IHBB16s16s", 6 << 28, LEN + 8, 17, 64, there, here) + udp
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, LEN + 28, 0, 0x4000, 64, 17, 0, there, here) + udp


def complain(peer, mtu):
    if v6:  # the kernel sums
        raw.sendto(struct.pack("!BBHI", 2, 0, 0, mtu) + quoted(peer), (peer[0], 0))
        return
    rest = struct.pack("!HH", 0, mtu) + quoted(peer)
    head = struct.pack("!BBH", 3, 4, checksum(struct.pack("!BBH", 3, 4, 0) + rest))
    raw.sendto(head + rest, (peer[0], 0))


echo = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
echo.bind((address, port))
raw = socket.socket(echo.family, socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP)
print("ready", flush=True)
while True:
    data, sender = echo.recvfrom(65535)
    if data.startswith(b"mtu "):
        complain(sender, int(data[4:]))
    echo.sendto(data, sender)
