# SPDX-License-Identifier: BSD-2-Clause
"""
hostile_name ID FOLDER VERSION - takes the name under which the Unix socket ID is met, without being that one, and makes
FOLDER/squats. Who calls is answered as by a listener. It says what it was told, and handed, in that order.
"""
import mmap
import os
import pathlib
import socket
import struct
import sys
import time

from hostile_caller import CELL, CELLS, PAGE

ACCEPTED = 2


def accept(fds):
    """The connection that is asked for by the memory of the link."""
    arena = mmap.mmap(fds[0], os.fstat(fds[0]).st_size)
    for _ in range(50):
        slot = struct.unpack_from("=I", arena, PAGE + 4)[0]
        struct.pack_into("=IIQ", arena, PAGE + CELLS * CELL + 4, slot, 0, 0)
        struct.pack_into("=I", arena, PAGE + CELLS * CELL, 1 << 8 | ACCEPTED)
        os.write(fds[1], struct.pack("Q", 1))
        time.sleep(0.02)


def main():
    id, folder, version = sys.argv[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.bind(f"\0fsock/{version}/unix/{id}")
        sock.listen(5)
        sock.settimeout(10)
        pathlib.Path(folder, "squats").touch()
        peer = sock.accept()[0]
        peer.settimeout(5)
        data, fds, _, _ = socket.recv_fds(peer, 100, 8)
        print("told", len(data), "bytes, handed", len(fds), flush=True)
        if fds:
            accept(fds)


if __name__ == "__main__":
    main()
