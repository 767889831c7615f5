# SPDX-License-Identifier: BSD-2-Clause
"""
agent.py - sockets by remote control: evaluates each line of standard input, answers in JSON.

A line is an expression over the functions below. The answer is {"value": ...} or {"errno": NUMBER}.
"""
import json
import os
import select
import socket
import struct
import sys
import time

# Numbers that Python's socket module lacks.
IP_MULTICAST_ALL, IPV6_MULTICAST_ALL, IP_RECVTTL, IP_PKTINFO = 49, 29, 12, 8
JOIN, BLOCK, UNBLOCK, LEAVE, JOIN_SOURCE, LEAVE_SOURCE = range(42, 48)

socks = {}


def is_v6(address):
    return ":" in address


def level(group):
    return socket.IPPROTO_IPV6 if is_v6(group) else socket.IPPROTO_IP


def storage(address):
    """struct sockaddr_storage of an address."""
    if is_v6(address):
        text = struct.pack("=HHI16sI", socket.AF_INET6, 0, 0, socket.inet_pton(socket.AF_INET6, address), 0)
    else:
        text = struct.pack("=HH4s", socket.AF_INET, 0, socket.inet_pton(socket.AF_INET, address))
    return text.ljust(128, b"\0")


def opened(name, v6=False, reuse=("ADDR",), only=True):
    sock = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
    socks[name] = sock
    sock.setblocking(False)
    if v6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(only))
    for word in reuse:
        sock.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_REUSE" + word), 1)


def bind(name, address, port, link=None):
    scope = (0, socket.if_nametoindex(link)) if link else ()
    socks[name].bind((address, port, *scope))


def udp(name, address, port, **options):
    opened(name, v6=is_v6(address), **options)
    bind(name, address, port)


def change(name, what, group, link, source=None):
    index = socket.if_nametoindex(link) if link else 0
    value = struct.pack("=II", index, 0) + storage(group) + (storage(source) if source else b"")
    socks[name].setsockopt(level(group), what, value)


def join(name, group, link="fst0", source=None):
    change(name, JOIN_SOURCE if source else JOIN, group, link, source)


def leave(name, group, link="fst0", source=None):
    change(name, LEAVE_SOURCE if source else LEAVE, group, link, source)


def block(name, group, source, link="fst0", undo=False):
    change(name, UNBLOCK if undo else BLOCK, group, link, source)


def own_only(name, on=True):
    """Receive no groups but those joined."""
    v6 = socks[name].family == socket.AF_INET6
    socks[name].setsockopt(level("::" if v6 else ""), IPV6_MULTICAST_ALL if v6 else IP_MULTICAST_ALL, int(not on))


def number(option):
    return getattr(socket, option) if isinstance(option, str) else option


def setopt(name, level_name, option, value):
    socks[name].setsockopt(getattr(socket, level_name), number(option), value)


def getopt(name, level_name, option):
    return socks[name].getsockopt(getattr(socket, level_name), number(option))


def leave_by(name, link="fst0"):
    """What @name sends to groups leaves by @link."""
    sock, index = socks[name], socket.if_nametoindex(link)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4sI", b"", b"", index))


def sender(name, v6=False, link="fst0", loop=None, hops=None):
    """A socket that sends to groups by @link."""
    opened(name, v6=v6, reuse=())
    leave_by(name, link)
    for value, option in ((loop, "MULTICAST_LOOP"), (hops, "MULTICAST_HOPS" if v6 else "MULTICAST_TTL")):
        if value is not None:
            socks[name].setsockopt(level("::" if v6 else ""), getattr(socket, ("IPV6_" if v6 else "IP_") + option), value)


def send(name, group, port, count=1, first=0, gap=0.0):
    """Datagrams that say which they are."""
    for i in range(first, first + count):
        socks[name].sendto(b"%s %d" % (group.encode(), i), (group, port))
        time.sleep(gap)


def got(name, count=1, quiet=0.2, names=False):
    """What arrives on @name: until @count did and then nothing for @quiet seconds."""
    sock, found = socks[name], []
    until = time.monotonic() + 20
    while True:
        left = quiet if len(found) >= count else until - time.monotonic()
        if left <= 0 or not select.select([sock], [], [], left)[0]:
            return found
        try:
            data, peer = sock.recvfrom(2048)
        except BlockingIOError:
            continue
        found.append([data.decode(), *peer] if names else data.decode())


def pktinfo(name):
    """Interface, own address and destination that came with the next datagram."""
    data, found, _, _ = socks[name].recvmsg(2048, 256)
    index, own, to = struct.unpack("=i4s4s", found[0][2])
    return [data.decode(), index, socket.inet_ntoa(own), socket.inet_ntoa(to)]


def hops(name):
    """TTL or hop limit of the next datagram on @name, whose receiver asked for it."""
    data, found, _, _ = socks[name].recvmsg(2048, 256)
    return [data.decode(), *(int.from_bytes(value[:4], "little") for _, _, value in found)]


def close(name):
    socks.pop(name).close()


def forked(line):
    """Evaluate @line in a child; its answer."""
    back, forth = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(forth, json.dumps(evaluate(line)).encode())
        os._exit(0)
    os.close(forth)
    with open(back, "rb") as pipe:
        answer = json.load(pipe)
    os.waitpid(pid, 0)
    return answer.get("value")


def evaluate(line):
    try:
        return {"value": eval(line)}  # the test's own words
    except OSError as error:
        return {"errno": error.errno}


if __name__ == "__main__":
    for request in sys.stdin:
        print(json.dumps(evaluate(request)), flush=True)
