# SPDX-License-Identifier: BSD-2-Clause
"""
hostile_caller ADDRESS PORT HOW [FILE] - calls a listener of a program under fsock as a program that means it ill: without fsock,
by what it knows of src/context/local_name.c and src/local/format.h. It says "called", and stays until it is killed.
"""
import array
import ctypes
import fcntl
import mmap
import os
import re
import socket
import struct
import sys
import time

F_ADD_SEALS, SEALS = 1033, 1 | 2 | 4
SO_NETNS_COOKIE = 71
HELLO_MAGIC, LOCAL_MAGIC, LOCAL_OPEN = 0x4f4c4846, 0x4b4c5346, 1
PAGE, CELL, CELLS, SLOT, SLOTS, UNITS, DATAGRAMS = 4096, 64, 256, 384, 64, 64, 1 << 19
LEN = PAGE + 2 * CELLS * CELL + 2 * SLOTS * SLOT + 2 * UNITS * PAGE + 2 * DATAGRAMS
ASLEEP = 64  # offset of the caller's flag
EFD_NONBLOCK = os.O_NONBLOCK
_LIBC = ctypes.CDLL(None, use_errno=True)


def eventfd(count=0, flags=0):
    return _LIBC.eventfd(count, flags)


def version_of(port):
    """That of the names in this namespace, so that this file need not know it."""
    with open("/proc/net/unix", encoding="ascii") as file:
        return int(re.search(rf"@fsock/(\d+)/tcp/4/[0-9a-f]+/{port}/0", file.read())[1])


def memory(sealed=True, **words):
    said = {"magic": LOCAL_MAGIC, "version": 0, "len": LEN, "slots": SLOTS, "units": UNITS, **words}
    fd = os.memfd_create("hostile", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, LEN)
    if sealed:
        fcntl.fcntl(fd, F_ADD_SEALS, SEALS)
    arena = mmap.mmap(fd, LEN)
    struct.pack_into("=IIQII", arena, 0, *said.values())
    return fd, arena


def netns_cookie():
    with socket.socket() as sock:
        return struct.unpack("Q", sock.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8))[0]


def hello(sock, fds, magic=HELLO_MAGIC, cookie=None):
    cookie = netns_cookie() if cookie is None else cookie
    sock.sendmsg([struct.pack("=IIQ", magic, 0, cookie)],
                 [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])


def provoke(arena, theirs, port):
    """Asks for a connection to @port of the loopback, and waits to be told: the answer rings our bell."""
    local = bytes(10) + b"\xff\xff" + bytes((127, 0, 0, 1))
    struct.pack_into("=I", arena, ASLEEP, 1)
    args = struct.pack("=QII16s16sHHBBBB", 0, 0, 1, local, local, 2000, port, 12, 12, 0, 0)
    struct.pack_into("=I56s", arena, PAGE + 4, 0, args)
    struct.pack_into("=I", arena, PAGE, 1 << 8 | LOCAL_OPEN)
    os.write(theirs, struct.pack("Q", 1))


def full():
    fd = eventfd(0, EFD_NONBLOCK)
    os.write(fd, struct.pack("Q", (1 << 64) - 2))
    return fd


def bell_of(how):
    """What we call our bell."""
    if how == "pipe_without_reader":
        reader, writer = os.pipe2(os.O_NONBLOCK)
        os.close(reader)
        return writer
    if how == "file":
        return os.open(sys.argv[4], os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o600)
    if how == "full_and_blocking":
        fd = full()
        fcntl.fcntl(fd, fcntl.F_SETFL, 0)
        return fd
    return full() if how == "full_and_blocking_later" else eventfd(0, EFD_NONBLOCK)


def from_beyond(name, port, cookie):
    """By the file @name of a directory, as a process of the namespace with @cookie, to the loopback of the listener's."""
    fd, arena = memory(version=int(os.path.basename(name).split("-")[1]))
    ours, theirs = eventfd(0, EFD_NONBLOCK), eventfd(0, EFD_NONBLOCK)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.connect(name)
        hello(sock, [fd, ours, theirs], cookie=cookie)
        provoke(arena, theirs, port)
        for _ in range(20):
            os.write(theirs, struct.pack("Q", 1))
            time.sleep(0.05)
        said = struct.unpack_from("=I", arena, PAGE + CELLS * CELL)[0] & 0xff
    print("called, answered", said, flush=True)


def main():
    if sys.argv[3] == "from_beyond":
        from_beyond(sys.argv[1], int(sys.argv[2]), int(sys.argv[4]) or netns_cookie())
        return
    address, port, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    version = version_of(port)
    name = f"\0fsock/{version}/tcp/4/{socket.inet_aton(address).hex()}/{port}/0"
    socks = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(100 if how == "silent" else 1)]
    for sock in socks:
        sock.connect(name)
    sock, theirs = socks[0], eventfd(0, EFD_NONBLOCK)
    ours = bell_of(how)
    words = {"other_version": {"version": version + 1}, "huge": {"slots": 1 << 30, "units": 1 << 30},
             "unsealed": {"sealed": False}}
    fd, arena = memory(**{"version": version, **words.get(how, {})})
    if how == "gone":
        sock.close()
    elif how == "too_many":
        hello(sock, [fd, ours, theirs] + [theirs] * 200)
    elif how == "too_few":
        hello(sock, [fd])
    elif how == "no_hello":
        hello(sock, [fd, ours, theirs], magic=1)
    elif how != "silent":
        hello(sock, [fd, ours, theirs])
        # It is taken, if it is, when the listener's program looks; then it asks to be rung.
        for _ in range(500):
            if struct.unpack_from("=I", arena, ASLEEP + 192)[0] == 1:
                break
            time.sleep(0.002)
        if how == "full_and_blocking_later":
            fcntl.fcntl(ours, fcntl.F_SETFL, 0)
        if how == "spoilt":
            arena[PAGE:] = os.urandom(LEN - PAGE)
        provoke(arena, theirs, port + 9)  # where nobody listens
        time.sleep(0.05)
    print("called", flush=True)
    while True:
        time.sleep(1)


if __name__ == "__main__":
    main()
