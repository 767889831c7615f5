# SPDX-License-Identifier: BSD-2-Clause
"""
pcapng - what a capture of Ethernet holds: each packet's sums are checked, and the streams of TCP are put together by their
sequence numbers, as whoever looks at the capture would.
"""
import collections
import struct

SECTION, INTERFACE, PACKET = 0x0a0d0d0a, 1, 6
LINKTYPE_ETHERNET = 1
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16

# source and destination: (address, port); out: as the capturing program sent it; cut: not all of the payload is there.
Packet = collections.namedtuple("Packet", "time out source destination seq ack flags payload cut")


def _sum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def _packet(data, whole, time, out):
    version = data[14] >> 4
    assert data[:14] == bytes(12) + {4: b"\x08\x00", 6: b"\x86\xdd"}[version]
    data, whole = data[14:], whole - 14
    if version == 4:
        head, length, protocol, names = (data[0] & 15) * 4, *struct.unpack(">2xH5xB", data[:10]), data[12:20]
        assert _sum(data[:head]) == 0xffff
    else:
        head, length, protocol, names = 40, 40 + struct.unpack(">4xH", data[:6])[0], data[6], data[8:40]
    assert (protocol, length) == (6, whole)
    tcp = data[head:]
    if len(data) == whole:
        assert _sum(names + struct.pack(">II", len(tcp), 6) + tcp) == 0xffff
    ports = struct.unpack(">HH", tcp[:4])
    seq, ack, offset, flags = struct.unpack(">IIBB", tcp[4:14])
    half = len(names) // 2
    return Packet(time, out, (names[:half], ports[0]), (names[half:], ports[1]), seq, ack, flags,
                  tcp[(offset >> 4) * 4:], len(data) < whole)


def packets(path):
    """All packets of the file, in its order."""
    with open(path, "rb") as file:
        data = file.read()
    at, found, kinds = 0, [], []
    while at < len(data):
        kind, length = struct.unpack_from("=II", data, at)
        assert length % 4 == 0 and struct.unpack_from("=I", data, at + length - 4) == (length,)
        body = data[at + 8:at + length - 4]
        kinds.append(kind)
        if kind == INTERFACE:
            assert struct.unpack("=H", body[:2]) == (LINKTYPE_ETHERNET,) and kinds[-2:-1] == [SECTION]
        if kind == PACKET:
            interface, high, low, kept, whole = struct.unpack("=5I", body[:20])
            options = body[20 + (kept + 3) // 4 * 4:]
            assert interface == 0 and struct.unpack("=HHIHH", options) in ((2, 4, 1, 0, 0), (2, 4, 2, 0, 0))
            found.append(_packet(body[20:20 + kept], whole, (high << 32 | low) / 1e9, options[4] == 2))
        at += length
    assert set(kinds) <= {SECTION, INTERFACE, PACKET} and at == len(data) and kinds[0] == SECTION
    return found


def talks(path):
    """
    Of each connection, in order of their beginnings, {direction: Stream} with two directions, who began first. Whatever
    does not follow from what came before fails: gaps, bytes twice, acknowledgements of what was not there.
    """
    open_now, done = {}, []
    for packet in packets(path):
        pair = frozenset((packet.source, packet.destination))
        if packet.flags & SYN and not packet.flags & ACK:
            open_now[pair] = {packet.source: Stream(), packet.destination: Stream()}
            done.append(open_now[pair])
        talk = open_now[pair]
        talk[packet.source].take(packet)
        other = talk[packet.destination]
        if packet.flags & ACK and other.start is not None:
            assert (packet.ack - other.start) % 2**32 <= (other.next - other.start) % 2**32, packet
    return done


class Stream:
    """One direction: .data, and by what it began and ended."""

    def __init__(self):
        self.start = self.next = None
        self.data, self.syn, self.fin, self.rst = b"", False, False, False

    def take(self, packet):
        if self.start is None:
            assert packet.flags & (SYN | RST), packet
            self.start = self.next = packet.seq
        assert packet.seq == self.next and not self.rst, packet
        assert not (self.fin and packet.payload), packet
        self.data += packet.payload
        self.syn |= bool(packet.flags & SYN)
        self.fin |= bool(packet.flags & FIN)
        self.rst |= bool(packet.flags & RST)
        self.next = (self.next + len(packet.payload) + bool(packet.flags & SYN) + bool(packet.flags & FIN)) % 2**32
