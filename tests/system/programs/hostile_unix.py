# SPDX-License-Identifier: BSD-2-Clause
"""
hostile_unix PATH SHOWN WANTED [PORT AS] - calls the Unix socket PATH of a program under fsock without fsock, shows the file
SHOWN ("-" = none) to be let in, and asks for a connection to the socket WANTED. With PORT for one to that of TCP: AS
"unix" from afar, as a Unix socket's all the same, AS "tcp" as TCP's. It says how it was answered: by nobody, accepted or
refused.
"""
import os
import socket
import struct
import sys
import time

import hostile_caller
from hostile_caller import CELL, CELLS, PAGE

AFAR, NEAR = (socket.inet_pton(socket.AF_INET6, address) for address in ("2001:db8::1", "::ffff:127.0.0.1"))
ANSWERS = {0: "nobody", 2: "accepted", 3: "refused"}


def known_by(path):
    """As local_unix_path() in src/context/local_name.c."""
    stat = os.stat(path)
    return struct.pack("=QQ", stat.st_dev, stat.st_ino)


def version_of(name):
    with open("/proc/net/unix", encoding="ascii") as file:
        return next(int(word.split("/")[1]) for word in file.read().split() if word.endswith(name))


def main():
    path, shown, wanted = sys.argv[1:4]
    ends, ports, is_unix = (bytes(16), known_by(wanted)), (0, 0), 1
    if sys.argv[4:]:
        is_unix = int(sys.argv[5] == "unix")
        ports = 22 if is_unix else 2000, int(sys.argv[4])
        ends = (AFAR, known_by(wanted)) if is_unix else (NEAR, NEAR)
    name = "/unix/" + known_by(path).hex()
    version = version_of(name)
    fd, arena = hostile_caller.memory(version=version)
    ours, theirs = (hostile_caller.eventfd(0, hostile_caller.EFD_NONBLOCK) for _ in range(2))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.connect(f"\0fsock/{version}{name}")
        files = [] if shown == "-" else [os.open(shown, os.O_PATH)]
        hostile_caller.hello(sock, [fd, ours, theirs, *files])
        args = struct.pack("=QII16s16sHHBBBB", 0, 0, 1, *ends, *ports, 12, 12, is_unix, 0)
        struct.pack_into("=I56s", arena, PAGE + 4, 0, args)
        struct.pack_into("=I", arena, PAGE, 1 << 8 | hostile_caller.LOCAL_OPEN)
        answer = 0
        for _ in range(50):
            os.write(theirs, struct.pack("Q", 1))
            time.sleep(0.02)
            answer = answer or struct.unpack_from("=I", arena, PAGE + CELLS * CELL)[0] & 0xff
    print("answered by" if answer == 0 else "answered", ANSWERS[answer], flush=True)


if __name__ == "__main__":
    main()
