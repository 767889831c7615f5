# SPDX-License-Identifier: BSD-2-Clause
"""
holdings - what a program with a stack holds at a moment in which nobody asks anything of it, and what of it grew since
another one: memory, descriptors, frames, open sockets, local ports and entries of the steering's maps.
"""
import collections
import ctypes
import json
import mmap
import os
import pathlib
import re
import struct
import subprocess

from lab import fsock

_LIBC = ctypes.CDLL(None, use_errno=True)
SYS_PIDFD_GETFD = 438  # of every architecture

# struct steer_shared: src/steer/maps.h.
SLOTS_AT, SLOTS, SHARED_BYTES = 64 + 64 * 64 + 64 * 128, 2 * 65536, 0x110000

# private and stack are KiB; processes: how many.
Holdings = collections.namedtuple("Holdings", "processes private descriptors stack frames sockets ports entries")

# By how much each may grow, as (share, amount): heaps breathe, and the last segments' frames are taken back with the
# next that are sent.
ALLOWED = Holdings(processes=(0, 0), private=(0.1, 8192), descriptors=(0, 4), stack=(0.1, 2048), frames=(0, 16),
                   sockets=(0, 0), ports=(0, 0), entries=(0, 0))


def tree(pid):
    """@pid and all that came of it and live."""
    found = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += tree(int(child))
    return found


def _private(pid):
    """KiB that it shares with no file and no stack."""
    return int(re.search(r"^RssAnon:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1])


def _descriptors(pid):
    """What each leads to, by number."""
    return {int(path.name): os.readlink(path) for path in pathlib.Path(f"/proc/{pid}/fd").iterdir()}


def _stack(pid):
    """KiB of its stacks: pages of theirs that were ever written."""
    files = [number for number, target in _descriptors(pid).items() if target.startswith("/memfd:fsock-stack-")]
    return sum(os.stat(f"/proc/{pid}/fd/{number}").st_blocks // 2 for number in files)


def _maps(pid):
    """(name, id, descriptor) of the maps of BPF that it has."""
    for number, target in _descriptors(pid).items():
        if target == "anon_inode:bpf-map":
            info = pathlib.Path(f"/proc/{pid}/fdinfo/{number}").read_text()
            ident = re.search(r"^map_id:\s+(\d+)", info, re.M)[1]
            yield _bpftool("map", "show", "id", ident)["name"], ident, number


def _bpftool(*words):
    return json.loads(subprocess.run(["bpftool", "-j", *words], capture_output=True, check=True, timeout=60).stdout)


def _taken_ports(pid, number):
    """Local ports, of either protocol, that the map behind the descriptor has anything for."""
    process = os.pidfd_open(pid)
    ours = _LIBC.syscall(SYS_PIDFD_GETFD, process, number, 0)
    os.close(process)
    if ours < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    with mmap.mmap(ours, SHARED_BYTES, mmap.MAP_SHARED, mmap.PROT_READ) as shared:
        os.close(ours)
        return sum(slot != 0 for slot, in struct.iter_unpack("=Q", shared[SLOTS_AT:SLOTS_AT + 8 * SLOTS]))


def holdings(pid):
    """Of the program that @pid began, which owns its stack's ports."""
    pids, report = tree(pid), fsock.stat(pid)
    stack, = report["stacks"]
    maps = {name: (ident, number) for name, ident, number in _maps(pid)}
    return Holdings(
        len(pids), sum(map(_private, pids)), sum(len(_descriptors(each)) for each in pids), _stack(pid),
        sum(port["frames_total"] - port["frames_free"] for port in stack["ports"]),
        sum(sock["fd"] != -1 for sock in stack["sockets"]) + stack["without_fd"], _taken_ports(pid, maps["fsock_shared"][1]),
        sum(len(_bpftool("map", "dump", "id", maps[name][0])) for name in ("fsock_flows", "fsock_addrs")))


def grown(early, late, allowed=ALLOWED):
    """What of @late is more than @early and what is allowed: a list of sentences."""
    return [f"{name} went from {before} to {after}"
            for name, before, after, (share, amount) in zip(Holdings._fields, early, late, allowed)
            if after > before * (1 + share) + amount]
