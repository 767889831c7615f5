# SPDX-License-Identifier: BSD-2-Clause
"""
fsock - the built command, and what its statistics say about a program.

Counts come from `fsock stat --json PID` while the program lives, or from the records that it
appends to FSOCK_REPORT_FD when its sockets close (struct stats_sock of src/stats/format/stats.h).
"""
import collections
import fcntl
import json
import os
import pathlib
import re
import struct
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]

# struct stats_sock: see _layout() for the fields taken from it.
_SOCK = struct.Struct("=Q4BiIB1xHHH16s16s4x7Q2I8x96s")
assert _SOCK.size == 232

Counts = collections.namedtuple("Counts", "rx_fast rx_kernel tx_fast tx_kernel drops")
Counts.total = property(lambda c: c.rx_fast + c.rx_kernel + c.tx_fast + c.tx_kernel)
Counts.fast = property(lambda c: c.rx_fast + c.tx_fast)
Counts.kernel = property(lambda c: c.rx_kernel + c.tx_kernel)
Counts.share = property(lambda c: c.fast / c.total if c.total else 0.0)


def _all_fast(seen, least=1):
    """
    At least so many datagrams were counted, and none took the kernel's way, between stations that know
    each other (net.Pair.meet). But one full checksum in 65536 has the value that a kernel peer leaves
    for its device to complete, and such a datagram is the kernel's in generic mode: few, never a share.
    """
    return seen.total >= least and seen.tx_kernel == 0 and seen.rx_kernel <= 2 + seen.rx_fast // 8192


Counts.all_fast = _all_fast

# Every FSOCK_ setting of the caller is removed, so that a run measures what it says.
CLEAN = {name: None for name in os.environ if name.startswith("FSOCK_")}


def build_dir():
    return pathlib.Path(os.environ.get("FSOCK_BUILD", ROOT / "build"))


def tool():
    return build_dir() / "tools" / "fsock" / "fsock"


# Options of every run() that does not say otherwise: the tests' --provider puts one here.
DEFAULTS = {}


def run(argv, **options):
    """argv of @argv under `fsock run`; keyword client_datagrams=0 becomes --client_datagrams=0."""
    flags = [f"--{name}={value}" for name, value in {**DEFAULTS, **options}.items()]
    return [str(tool()), "run", *flags, "--", *map(str, argv)]


def stat(pid):
    """What `fsock stat --json PID` prints, None when there is nothing to see."""
    done = subprocess.run([str(tool()), "stat", "--json", str(pid)], capture_output=True, text=True,
                          check=False, timeout=60)
    try:
        return json.loads(done.stdout)
    except ValueError:
        return None


def sockets(report):
    """The socket records anywhere in a report, whatever it is wrapped in."""
    if isinstance(report, dict):
        if "rx_fast" in report:
            yield report
            return
        report = list(report.values())
    if isinstance(report, list):
        for item in report:
            yield from sockets(item)


def sum_counts(sockets):
    total = [0] * len(Counts._fields)
    for sock in sockets:
        for i, name in enumerate(Counts._fields):
            total[i] += int(sock.get(name, 0))
    return Counts(*total)


def counts(pid):
    """Datagrams of all sockets of the living process @pid, None when it has no stack."""
    report = stat(pid)
    return None if report is None else sum_counts(sockets(report))


def reasons(report):
    """The set of reason names in the socket records of @report."""
    return {str(sock.get("reason")) for sock in sockets(report) if sock.get("reason")}


def reason_name(number):
    """The name of a reason in the records of a Report."""
    table = (ROOT / "src" / "base" / "reasons.def").read_text()
    return re.findall(r"^REASON\((\w+)", table, re.M)[number]


class Report:
    """A file that takes the close records of one program. Pass .fd on and .env to it."""

    def __init__(self):
        memfd = os.memfd_create("fst-report")
        append = os.open(f"/proc/self/fd/{memfd}", os.O_APPEND | os.O_RDWR | os.O_CLOEXEC)
        # High, out of the way of the numbers that a program counts on.
        self.fd = fcntl.fcntl(append, fcntl.F_DUPFD_CLOEXEC, 900)
        os.close(append)
        os.close(memfd)
        self.env = {"FSOCK_REPORT_FD": str(self.fd)}

    def sockets(self):
        data = os.pread(self.fd, os.fstat(self.fd).st_size, 0)
        found = []
        for at in range(0, len(data) - _SOCK.size + 1, _SOCK.size):
            f = _SOCK.unpack_from(data, at)
            found.append({
                "cookie": f[0], "family": f[1], "protocol": f[2], "accelerated": f[3],
                "reason": f[4], "fd": f[5], "pid": f[6], "local_port": f[8], "remote_port": f[9],
                "rx_fast": f[13], "rx_kernel": f[14], "tx_fast": f[15], "tx_kernel": f[16],
                "rx_bytes": f[17], "tx_bytes": f[18], "drops": f[19],
                "detail": f[22].split(b"\0")[0].decode("utf-8", "replace")})
        return found

    def counts(self):
        return sum_counts(self.sockets())

    def close(self):
        os.close(self.fd)


def counters(pid):
    """Counters of all stacks of the living process @pid by name, drops among them."""
    total = collections.Counter()
    for stack in (stat(pid) or {}).get("stacks", []):
        total.update(stack.get("counters", {}))
        total.update(stack.get("drops", {}))
    return total


# Frames that a port lost. In copy mode, which is all that veth has, a frame for which there was no chunk is in
# kernel_rx_dropped as well as in kernel_fill_empty; rx_no_frame counts times and loses nothing by itself.
LOST = ("kernel_rx_dropped", "kernel_rx_ring_full", "rx_bad", "side_lost")


def steered(report):
    """What steering counted that is not 0, of all ports of a report: for the message of a test that failed."""
    total = collections.Counter()
    for stack in (report or {}).get("stacks", []):
        for port in stack["ports"]:
            total.update({name: n for name, n in port["counters"].items() if n and name.startswith("steer_")})
    return dict(total)


def drops_of(report):
    """Everything that stacks counted as lost on the way in: themselves and their ports."""
    total = 0
    for stack in (report or {}).get("stacks", []):
        total += sum(stack.get("drops", {}).values())
        total += sum(port["counters"].get(name, 0) for port in stack["ports"] for name in LOST)
    return total


def drops(pid):
    """drops_of() what @pid says now."""
    return drops_of(stat(pid))


def settled(pid, timeout=5):
    """What stat() says once the figures of ports stand still: a program that calls publishes them ten times a second."""
    def figures(report):
        return [(stack["ports"], stack.get("drops")) for stack in (report or {}).get("stacks", [])]

    end = time.monotonic() + timeout
    last = stat(pid)
    while True:
        time.sleep(0.25)
        report = stat(pid)
        if report is None or figures(report) == figures(last) or time.monotonic() > end:
            return report
        last = report


def port_counters(pid):
    """Counters of all ports of @pid by name, when they stand still."""
    total = collections.Counter()
    for stack in (settled(pid) or {}).get("stacks", []):
        for port in stack["ports"]:
            total.update(port["counters"])
    return dict(total)


def accelerated(pid):
    """True when a socket of @pid may take the fast path now."""
    report = stat(pid)
    return any(sock.get("accelerated") for sock in sockets(report)) if report else False
