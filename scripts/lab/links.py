# SPDX-License-Identifier: BSD-2-Clause
"""
links - what two programs in one namespace said to each other through shared memory, and what through the kernel.

The first is the word of fsock's counters, the second the kernel's: whatever of the namespace's TCP is not on a link is
on its loopback interface. So nothing can be taken for fast that was not, and nothing is counted twice.
"""
import collections

from . import fsock

NAMES = ("opened", "accepted", "refused", "bytes_in", "bytes_out")
Counts = collections.namedtuple("Counts", NAMES)


def counts(pid):
    """What the living process @pid did over links: connections and bytes."""
    seen = fsock.counters(pid)
    return Counts(*(seen[f"local_{name}"] for name in NAMES))


def _kernel(side):
    """Bytes that the loopback of the namespace carried, and connections that its kernel accepted."""
    said = side.run(["sh", "-c", "cat /sys/class/net/lo/statistics/rx_bytes; grep ^Tcp: /proc/net/snmp"]).out.split("\n")
    names, values = (line.split()[1:] for line in said[1:3])
    return int(said[0]), int(dict(zip(names, values))["PassiveOpens"])


class Watch:
    """From its making on: the part of what passed in the namespace @side that took links."""

    def __init__(self, side):
        self.side = side
        self.before = _kernel(side)

    def kernel(self):
        """(bytes, connections) that were the kernel's."""
        return tuple(now - before for now, before in zip(_kernel(self.side), self.before))

    def bytes(self, pid):
        """Of all bytes, where @pid is one end of each connection. The kernel's count with their headers."""
        seen = counts(pid)
        fast = seen.bytes_in + seen.bytes_out
        return fast / (fast + self.kernel()[0]) if fast else 0.0

    def connections(self, pid):
        """Of all connections, where @pid is who accepted them."""
        fast = counts(pid).accepted
        return fast / (fast + self.kernel()[1]) if fast else 0.0
