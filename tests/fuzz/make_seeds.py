#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""make_seeds.py - write the seed inputs of the fuzz targets for frames into corpus/<noun>/.

The files are named seed-<what>; other files of a corpus were found by fuzzing and are left alone.
Usage: make_seeds.py [DIRECTORY]   (default: corpus beside this script)
"""
import pathlib
import struct
import sys

MAC = bytes.fromhex("020000000002020000000001")
A4, B4 = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
A6 = bytes.fromhex("fd000000000000000000000000000001")
B6 = bytes.fromhex("fd000000000000000000000000000002")
UDP, TCP, ICMP, ICMP6 = 17, 6, 1, 58


def csum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return 0xffff - total


def eth(kind, *tags):
    return MAC + b"".join(struct.pack("!HH", *t) for t in tags) + struct.pack("!H", kind)


def ipv4(proto, payload, options=b"", frag=0x4000, total=None):
    size = 20 + len(options)
    head = struct.pack("!BBHHHBBH4s4s", 0x40 | size // 4, 0, total or size + len(payload), 0x1234,
                       frag, 64, proto, 0, A4, B4) + options
    return head[:10] + struct.pack("!H", csum(head)) + head[12:] + payload


def ipv6(next_header, payload):
    return struct.pack("!IHBB16s16s", 0x6b812345, len(payload), next_header, 64, A6, B6) + payload


def udp(payload, length=None, check=0xbeef):
    return struct.pack("!HHHH", 4000, 53, length or 8 + len(payload), check) + payload


def tcp(options=b"", flags=0x10, payload=b""):
    options += bytes(-len(options) % 4)
    return struct.pack("!HHIIHHHH", 80, 5000, 0x01020304, 0x05060708,
                       (20 + len(options)) // 4 << 12 | flags, 501, 0xabcd, 0) + options + payload


def dest(next_header, *options):
    body = b"".join(options)
    return bytes([next_header, (len(body) + 9) // 8 - 1]) + body + bytes(-(len(body) + 2) % 8)


MSS, WSCALE, SACK_OK = bytes([2, 4, 5, 180]), bytes([3, 3, 7]), bytes([4, 2])
TS, NOP = bytes([8, 10]) + bytes(range(8)), b"\1"
PADN = bytes([1, 4, 0, 0, 0, 0])


def sack(n):
    return bytes([5, 2 + 8 * n]) + bytes(range(8 * n))


def frag6(next_header, offset, more, payload):
    return struct.pack("!BBHI", next_header, 0, offset | more, 0xdeadbeef) + payload


AH = bytes([UDP, 4]) + bytes(22)
ROUTING = bytes([UDP, 2, 4, 0]) + bytes(20)
ALL_EXT = (dest(60, PADN) + dest(43, PADN) + bytes([44, 0, 4, 0]) + bytes(4) +
           frag6(51, 0, 0, b"") + bytes([60, 1]) + bytes(10) + dest(UDP, PADN))

SEEDS = {
    "eth": {
        "plain": eth(0x0800) + b"payload",
        "vlan": eth(0x86dd, (0x8100, 0x6064)),
        "qinq": eth(0x0806, (0x88a8, 10), (0x8100, 20)),
        "three-tags": eth(0x0800, (0x88a8, 1), (0x8100, 2), (0x8100, 3)),
        "llc": eth(0x0026) + b"\x42\x42\3",
    },
    "arp": {
        "request": struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, MAC[6:], A4, bytes(6), B4),
        "reply": struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 2, MAC[:6], B4, MAC[6:],
                             A4) + bytes(18),
        "infiniband": struct.pack("!HHBBH", 32, 0x0800, 20, 4, 1) + bytes(48),
    },
    "ipv4": {
        "udp": ipv4(UDP, udp(b"hello")),
        "padded": ipv4(UDP, udp(b"")) + bytes(18),
        "alert": ipv4(2, bytes(8), options=bytes([0x94, 4, 0, 0])),
        "record-route": ipv4(ICMP, bytes(8), options=bytes([7, 39, 4]) + bytes(37)),
        "source-route": ipv4(UDP, udp(b""), options=bytes([1, 131, 7, 4, 10, 0, 0, 9])),
        "bad-option": ipv4(UDP, udp(b""), options=bytes([7, 9, 0, 0])),
        "first-fragment": ipv4(UDP, udp(bytes(16), length=100), frag=0x2000),
        "last-fragment": ipv4(UDP, bytes(20), frag=0x1fff),
        "lies": ipv4(UDP, udp(b""), total=1500),
    },
    "ipv6": {
        "udp": ipv6(UDP, udp(b"hello")),
        "hop": ipv6(0, dest(UDP, PADN) + udp(b"x")),
        "alert": ipv6(0, dest(ICMP6, bytes([5, 2, 0, 0, 1, 0])) + bytes(8)),
        "jumbo": ipv6(0, dest(UDP, bytes([0xc2, 4, 0, 1, 0, 0])) + udp(b"")),
        "routing": ipv6(43, ROUTING + udp(b"")),
        "segments-left": ipv6(43, bytes([UDP, 0, 0, 1]) + bytes(4) + udp(b"")),
        "first-fragment": ipv6(44, frag6(UDP, 0, 1, udp(bytes(8), length=99))),
        "later-fragment": ipv6(44, frag6(60, 1448, 0, bytes(9))),
        "atomic": ipv6(44, frag6(UDP, 0, 0, udp(b""))),
        "ah": ipv6(51, AH + udp(b"")),
        "all": ipv6(0, ALL_EXT + udp(b"all")),
        "many": ipv6(60, dest(60, PADN) * 9 + udp(b"")),
        "none": ipv6(59, b""),
    },
    "icmp": {
        "echo": bytes([8, 0, 0, 0, 1, 2, 0, 1]) + b"ping",
        "port-unreachable": bytes([3, 3]) + bytes(6) + ipv4(UDP, udp(b"")),
        "frag-needed": bytes([3, 4, 0, 0, 0, 0, 5, 120]) + ipv4(TCP, tcp()[:8]),
        "later-fragment": bytes([11, 1]) + bytes(6) + ipv4(UDP, bytes(8), frag=100),
        "quoted-options": bytes([12, 0, 0, 0, 20, 0, 0, 0]) + ipv4(UDP, udp(b""), options=NOP * 4),
        "quoted-v6": bytes([1, 4]) + bytes(6) + ipv6(UDP, udp(b"abc")),
        "quoted-v6-ext": bytes([2, 0]) + bytes(6) + ipv6(60, dest(TCP, PADN) + tcp()),
        "quoted-v6-fragment": bytes([3, 1]) + bytes(6) + ipv6(44, frag6(UDP, 1448, 1, bytes(8))),
    },
    "icmpv6": {
        "echo": bytes([128, 0, 1, 2, 3, 4, 0, 1]) + b"ping",
        "too-big": bytes([2, 0, 0, 0, 0, 0, 5, 0]) + ipv6(UDP, udp(b"")),
    },
    "udp": {
        "plain": udp(b"hello"),
        "zero-checksum": udp(b"hello", check=0),
        "empty": udp(b""),
        "too-long": udp(b"", length=9),
        "too-short": udp(b"", length=7),
        "cut": udp(b"hello", length=10),
    },
    "tcp": {
        "bare": tcp(),
        "timestamps": tcp(NOP + NOP + TS),
        "timestamps-unaligned": tcp(TS + NOP + NOP),
        "syn": tcp(MSS + SACK_OK + TS + NOP + WSCALE, flags=2),
        "syn-no-ts": tcp(MSS + NOP + NOP + SACK_OK + NOP + WSCALE, flags=2),
        "sack1": tcp(NOP + NOP + TS + NOP + NOP + sack(1)),
        "sack3": tcp(NOP + NOP + TS + NOP + NOP + sack(3)),
        "sack4": tcp(NOP + NOP + sack(4)),
        "packed": tcp(TS + sack(3) + MSS),
        "all-flags": tcp(flags=0x1ff),
        "unknown": tcp(bytes([254, 4, 0xf9, 0x89, 34, 2]) + MSS),
        "end": tcp(bytes([1, 0, 2, 0])),
        "length-0": tcp(bytes([99, 0, 0, 0])),
        "past-end": tcp(bytes([2, 9, 0, 0])),
        "payload": tcp(payload=b"data"),
        "fastopen-ask": tcp(MSS + SACK_OK + TS + NOP + WSCALE + bytes([34, 2, 1, 1]), flags=2),
        "fastopen": tcp(MSS + SACK_OK + TS + NOP + WSCALE + bytes([34, 18]) + bytes(range(16)) + NOP + NOP, flags=2),
        "fastopen-odd": tcp(bytes([34, 9]) + bytes(7) + MSS, flags=2),
    },
}

FRAMES = {
    "udp4": eth(0x0800) + ipv4(UDP, udp(b"hello")),
    "udp4-vlan": eth(0x0800, (0x8100, 5)) + ipv4(UDP, udp(b"")) + bytes(10),
    "udp4-options": eth(0x0800) + ipv4(UDP, udp(b"x"), options=NOP * 3 + b"\0"),
    "udp4-fragment": eth(0x0800) + ipv4(UDP, udp(bytes(8)), frag=0x2000),
    "udp4-lies": eth(0x0800) + ipv4(UDP, udp(b"", length=40)),
    "udp6": eth(0x86dd) + ipv6(UDP, udp(b"hello")),
    "udp6-ext": eth(0x86dd) + ipv6(0, ALL_EXT + udp(b"all")),
    "udp6-fragment": eth(0x86dd, (0x88a8, 1), (0x8100, 2)) +
                     ipv6(44, frag6(UDP, 1448, 0, bytes(9))),
    "tcp4": eth(0x0800) + ipv4(TCP, tcp(NOP + NOP + TS, payload=b"data")),
    "tcp6": eth(0x86dd) + ipv6(TCP, tcp(MSS + SACK_OK + TS + NOP + WSCALE, flags=2)),
    "icmp4": eth(0x0800) + ipv4(ICMP, bytes([3, 3]) + bytes(6) + ipv4(UDP, udp(b""))),
    "icmp6": eth(0x86dd) + ipv6(ICMP6, bytes([128, 0]) + bytes(6)),
    "gre": eth(0x0800) + ipv4(47, bytes(4)),
    "arp": eth(0x0806) + SEEDS["arp"]["request"],
    "llc": eth(0x0026) + b"\x42\x42\3",
}
SEEDS["packet"] = {name: bytes(2) + frame for name, frame in FRAMES.items()}
for name, first in ("udp4", 42), ("udp4", 30), ("udp6-ext", 70), ("tcp4", 54):
    SEEDS["packet"][f"{name}-split{first}"] = struct.pack("<H", first) + FRAMES[name]


def record(name, flags=1, first=0):
    return struct.pack("<BBH", flags, first, len(FRAMES[name])) + FRAMES[name]


# Flags: see enum record_flags of fuzz_udp_input.c.
FRAMES["udp4-empty"] = eth(0x0800) + ipv4(UDP, udp(b"", check=0)) + bytes(18)
FRAMES["udp6-long"] = eth(0x86dd) + ipv6(UDP, udp(bytes(1400)))
SEEDS["udp_input"] = {
    "all": b"".join(record(name) for name in FRAMES),
    "unmended": b"".join(record(name, flags=0) for name in FRAMES),
    "read": record("udp4") + record("udp4-empty", flags=8) + record("udp6", flags=9) * 3,
    "low": record("udp4", flags=5) * 20 + record("udp6-long", flags=5) * 20,
    "full": record("udp6-long") * 30,
    "limit": record("udp4", flags=17) * 3,
    "partial": record("udp4", flags=2) + record("udp6", flags=64),
    "super": record("udp4", flags=33),
    "tagged": record("udp4", flags=129),
    "split": b"".join(record("udp4", first=first) for first in (13, 30, 42, 43)),
}


def slot(frame, status=1, at=96, snap=None, total=None, vnet=bytes(10), tci=0):
    """A slot of a packet socket's ring: struct tpacket2_hdr, virtio-net header, frame."""
    head = struct.pack("=IIIHHIIHH4x", status, total or len(frame), snap or len(frame), at, at + 14, 0, 0, tci,
                       0x8100)
    return (head + bytes(at - len(vnet) - len(head)) + vnet if at > 41 else head) + frame


SEEDS["provider_packet"] = {
    "udp4": slot(FRAMES["udp4"]),
    "partial": slot(FRAMES["udp4"], vnet=struct.pack("=BBHHHH", 1, 0, 42, 0, 34, 6)),
    "valid": slot(FRAMES["udp6"], vnet=struct.pack("=BBHHHH", 2, 0, 0, 0, 0, 0)),
    "super": slot(bytes(1000), vnet=struct.pack("=BBHHHH", 1, 5, 42, 100, 34, 6)),
    "tagged": slot(FRAMES["udp4"], status=0x11, tci=5),
    "queued": slot(b"", status=3, snap=1900, total=60000),
    "cut": slot(b"", snap=1900, total=60000),
    "outside": slot(FRAMES["udp4"], snap=2000, total=2000),
}


# Steps of fuzz_local_link.c, in the order of its enum.
(WRITE_ANY, WRITE_CELL, WRITE_WORD, ITS_BYTES, ITS_READS, ITS_DATAGRAM, POLL, CONNECT, ACCEPT, SEND, RECEIVE, SHUT, CLOSE, WAIT,
 LOOK, SLEEP, PUT, TAKE, CLOSE_LISTENER, DIED) = range(20)
OPEN, ACCEPTED, REFUSED, BYTES, ROOM, URGENT, SHUTDOWN, RESET, CLOSED = range(1, 10)
POLL_ALL = (POLL, 255, 0, 0)


def steps(side, *words):
    return bytes([side]) + b"".join(bytes((*word, 0, 0, 0))[:4] for word in words)


def opened(*words, side=1):
    """The other side's slot 0 (4 where we are side 0) is accepted, and held first."""
    return steps(side, (WRITE_CELL, OPEN, 4 * (1 - side), 0x41), POLL_ALL, (ACCEPT,), *words)


SEEDS["local_link"] = {
    "bytes": opened((ITS_BYTES, 0, 0, 200), (RECEIVE, 0, 0, 9), (RECEIVE, 0, 1, 99), (SEND, 0, 0, 99), (ITS_READS, 0, 0, 255)),
    "full": opened(*[(SEND, 0, 0, 255)] * 4, (WAIT, 0, 2), (ITS_READS, 0, 0, 255), (WRITE_CELL, ROOM), POLL_ALL),
    "waits": opened((WAIT, 0, 3), (ITS_BYTES, 0, 0, 5), (WRITE_CELL, BYTES), POLL_ALL, (LOOK,), (SLEEP,)),
    "urgent": opened((ITS_BYTES, 0, 0, 20), (WRITE_WORD, 0, 6 | 1 << 4, 10), (ITS_BYTES, 0, 0, 20), (WRITE_CELL, URGENT), POLL_ALL,
                     (RECEIVE, 0, 2, 1), (RECEIVE, 0, 0, 99), (LOOK, 0, 1), (RECEIVE, 0, 4, 99), (SEND, 0, 1, 7)),
    "shut": opened((WRITE_CELL, SHUTDOWN), POLL_ALL, (SEND, 0, 0, 9), (SHUT, 0, 3), (WRITE_CELL, CLOSED), POLL_ALL, (CLOSE,)),
    "reset": opened((ITS_BYTES, 0, 0, 9), (WRITE_CELL, RESET), POLL_ALL, (RECEIVE, 0, 0, 1), (LOOK, 0, 2), (CLOSE,)),
    "closed-unread": opened((ITS_BYTES, 0, 0, 9), (CLOSE,), (WRITE_CELL, CLOSED), POLL_ALL, (WRITE_CELL, OPEN, 0, 0x41), POLL_ALL),
    "listener": steps(1, (WRITE_CELL, OPEN, 0, 0x41), (WRITE_CELL, OPEN, 1, 0x41), POLL_ALL, (CLOSE_LISTENER,)),
    "dialled": steps(1, (CONNECT,), (SEND, 0, 0, 9), (WRITE_CELL, ACCEPTED, 4), POLL_ALL, (ITS_BYTES, 4, 0, 9), (RECEIVE, 0, 0, 99),
                     (WRITE_CELL, CLOSED, 4), POLL_ALL, (SEND, 0, 0, 9), (SEND, 0, 0, 9), (CLOSE,)),
    "refused": steps(0, (CONNECT, 3), (WRITE_CELL, REFUSED, 0, 111), POLL_ALL, (LOOK,), (RECEIVE, 0, 0, 1), (CLOSE,)),
    "many": steps(0, *[(CONNECT, 5)] * 6, *[(WRITE_CELL, OPEN, slot, 0x41) for slot in range(4, 8)], POLL_ALL, *[(ACCEPT,)] * 4),
    "deaf": steps(1, (DIED, 1), (WRITE_CELL, OPEN, 0, 0x41), POLL_ALL, (WRITE_CELL, CLOSED), POLL_ALL),
    "died": opened((ITS_BYTES, 0, 0, 9), (SEND, 0, 0, 9), (DIED, 255), (RECEIVE, 0, 0, 99), (RECEIVE, 0, 0, 1), (SEND, 0, 0, 9)),
    "bad-head": opened((WRITE_WORD, 0, 0x30, 1), (RECEIVE, 0, 0, 9), (WRITE_WORD, 0, 0x31, 1), (RECEIVE, 0, 0, 9)),
    "bad-tail": opened((WRITE_WORD, 0, 0x22, 1), (WRITE_WORD, 0, 0x23, 1), *[(SEND, 0, 0, 255)] * 3),
    "bad-ring": steps(1, (WRITE_CELL, OPEN, 0, 0xff), POLL_ALL),
    "datagrams": steps(0, (ITS_DATAGRAM, 1, 0, 0), (ITS_DATAGRAM, 2, 90, 0), (ITS_DATAGRAM, 3, 3, 0), (TAKE, 0, 9), (PUT, 0, 5, 9),
                       (SLEEP,), (PUT, 0, 255, 247), (ITS_DATAGRAM, 64, 0, 200)),
    "datagrams-around": steps(1, *[(ITS_DATAGRAM, 1, 250, 0), (TAKE, 0, 3), (PUT, 0, 250, 0)] * 12, (DIED, 255), (TAKE, 0, 9)),
    "datagrams-full": steps(1, *[(PUT, 0, 255, 0)] * 10, (ITS_DATAGRAM, 64, 0, 255), (PUT, 0, 0, 40), (DIED, 255)),
    "datagram-in-part": steps(0, (ITS_DATAGRAM, 1, 90, -16 & 255), (TAKE, 0, 9), (ITS_DATAGRAM, 1, 0, -100 & 255), (TAKE, 0, 9)),
    "datagram-too-long": steps(0, (ITS_DATAGRAM, 1, 255, 0), (TAKE, 0, 9), (PUT, 0, 0, 9)),
    "datagram-of-no-kind": steps(0, (PUT, 0, 0, 9), (ITS_DATAGRAM, 0, 3, 0), (TAKE, 0, 9)),
    "no-room": opened(*[(WAIT, 0, 1), (ITS_BYTES, 0, 0, 1)] * 3, (WRITE_WORD, 0, 12, 127), *[(CONNECT,), (CLOSE,)] * 100),
}


def main():
    here = pathlib.Path(__file__).parent / "corpus"
    if len(sys.argv) > 1:
        here = pathlib.Path(sys.argv[1])
    for noun, seeds in SEEDS.items():
        (here / noun).mkdir(parents=True, exist_ok=True)
        for name, data in seeds.items():
            (here / noun / f"seed-{name}").write_bytes(data)


if __name__ == "__main__":
    main()
