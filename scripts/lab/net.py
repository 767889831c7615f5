# SPDX-License-Identifier: BSD-2-Clause
"""
net - two namespaces and the veth pair between them, or a third one that joins them; or one alone.

The pair has the addresses below on both sides and the kernel's defaults everywhere else; IPv6
without duplicate address detection, or the first seconds would fail. Both ends of the pair are
named LINK inside their namespace.
"""
import contextlib
import ctypes
import errno
import os
import re
import socket
import subprocess

from . import proc, state

_LIBC = ctypes.CDLL(None, use_errno=True)
LINK = "fst0"
A4, B4 = "10.77.0.1", "10.77.0.2"
A6, B6 = "fd77::1", "fd77::2"


class Unable(Exception):
    """The machine lacks something; the text says what, in words for its user."""


def _ip(lines, namespace=None):
    where = ["-n", namespace] if namespace else []
    done = subprocess.run(["ip", *where, "-batch", "-"], input="\n".join(lines) + "\n", text=True,
                          capture_output=True, check=False)
    if done.returncode:
        raise Unable("ip failed: " + done.stderr.strip())


class Namespace:
    def __init__(self, name, v4, v6):
        self.name, self.v4, self.v6 = name, v4, v6

    def address(self, family):
        return {"v4": self.v4, "v6": self.v6, "mapped": "::ffff:" + self.v4}[family]

    @contextlib.contextmanager
    def inside(self):
        """Sockets that this thread makes in the block belong to the namespace and stay there."""
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            if _LIBC.setns(there, 0) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            yield
        finally:
            _LIBC.setns(home, 0)
            os.close(home)
            os.close(there)

    def set_up(self):
        """Its interface gets its addresses and works; so does the loopback."""
        _ip(["link set lo up", f"addr add {self.v4}/24 dev {LINK}", f"addr add {self.v6}/64 dev {LINK} nodad",
             f"link set {LINK} up"], self.name)

    def argv(self, argv):
        return ["ip", "netns", "exec", self.name, *map(str, argv)]

    def popen(self, argv, **options):
        """Start @argv inside; see proc.Process. It ends with the run at the latest."""
        return proc.Process(self.argv(argv), **options)

    def run(self, argv, timeout=proc.GUARD, **options):
        """Run @argv inside to its end; returns proc.Result."""
        with self.popen(argv, **options) as process:
            return process.finish(timeout)

    def send_by(self, queue):
        """What the kernel of this side sends from now on leaves by that transmit queue: in native mode it arrives at the
        other side's receive queue of the same number."""
        every = f"{(1 << max(proc.cpus()) + 1) - 1:x}"
        done = self.run(["sh", "-c", f"cd /sys/class/net/{LINK}/queues && for q in tx-*; do echo 0 >$q/xps_cpus; done && "
                         f"echo {every} >tx-{queue}/xps_cpus"])
        assert done.status == 0, done.err


class Pair:
    """Context manager: namespaces .a and .b. Removed on exit whatever happened inside."""

    def __init__(self, prefix="fst", mtu=None, queues=None):
        """@queues: (receive, transmit) queues of either end; None leaves it to the kernel."""
        self.prefix, self.mtu, self.queues = prefix, mtu, queues
        self.a = self.b = None

    def __enter__(self):
        record = state.record()
        self.a = Namespace(record.name(self.prefix, "a"), A4, A6)
        self.b = Namespace(record.name(self.prefix, "b"), B4, B6)
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _make(self):
        a, b = self.a.name, self.b.name
        _ip([f"netns add {a}", f"netns add {b}"])
        how = f"mtu {self.mtu} " if self.mtu else ""
        if self.queues:
            how += "numrxqueues %d numtxqueues %d " % self.queues
        _ip([f"link add {LINK} {how}netns {a} type veth peer name {LINK} {how}netns {b}"])
        for side in (self.a, self.b):
            side.set_up()

    def meet(self):
        """Each side knows the other's station, as after a first exchange: no datagram has to ask."""
        self._introduce((self.a.v4, self.a.v6, self.b.v4, self.b.v6), "reachable")

    def dropped(self):
        """Datagrams that the kernel counts as lost in both namespaces, on the links and at its UDP sockets."""
        total = 0
        for side in (self.a, self.b):
            said = side.run(["sh", "-c", f"cat /sys/class/net/{LINK}/statistics/[rt]x_dropped; "
                                         "grep -h ^Udp: /proc/net/snmp; cat /proc/net/snmp6"]).out
            words = said.split()
            names, values = (line.split()[1:] for line in said.splitlines() if line.startswith("Udp:"))
            total += int(words[0]) + int(words[1]) + int(dict(zip(names, values))["InErrors"])
            total += int(re.search(r"^Udp6InErrors\s+(\d+)", said, re.M)[1])
        return total

    def _introduce(self, addresses, state_of_entries):
        for side, other in ((self.a, self.b), (self.b, self.a)):
            station = other.run(["cat", f"/sys/class/net/{LINK}/address"]).out.strip()
            _ip([f"neigh replace {address} lladdr {station} dev {LINK} nud {state_of_entries}"
                 for address in addresses if address in (other.v4, other.v6)], side.name)

    def __exit__(self, *_):
        for side in (self.a, self.b):
            if side is not None:
                state.drop_namespace(side.name)


class Host(Pair):
    """A Pair whose ends are both in one namespace, with the addresses of both: .a and .b. It has LINK, too, to nobody."""

    def __enter__(self):
        super().__enter__()
        self.beyond, self.b = self.b, self.a
        _ip([f"addr add {B4}/32 dev lo", f"addr add {B6}/128 dev lo nodad"], self.a.name)
        return self

    def __exit__(self, *_):
        super().__exit__()
        if self.a is not self.b:
            return
        state.drop_namespace(self.beyond.name)


class Alone:
    """
    Context manager: one namespace, which has a loopback and no other interface. It is .a as well as .b, so that what runs
    between two runs within one. @more: addresses of the loopback, beside 127.0.0.0/8 and ::1.
    """

    def __init__(self, prefix="fst", more=()):
        self.a = self.b = Namespace(state.record().name(prefix, "l"), "127.0.0.1", "::1")
        self.more = more

    def __enter__(self):
        try:
            _ip([f"netns add {self.a.name}"])
            _ip(["link set lo up", *(f"addr add {address} dev lo" for address in self.more)], self.a.name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        state.drop_namespace(self.a.name)


class Line(Pair):
    """
    A Pair whose ends are joined in a namespace between them, .m, by whatever runs there between ENDS; nothing
    passes before. The stations are known to each other for good: with IPv4 alone no frame is on the line but the ends'
    own, with @v6 the kernel's announcements are.
    """
    ENDS = ("end0", "end1")

    def __init__(self, prefix="fst", v6=False):
        super().__init__(prefix)
        self.m, self.v6 = None, v6

    def __enter__(self):
        self.m = Namespace(state.record().name(self.prefix, "m"), None, None)
        return super().__enter__()

    def _make(self):
        _ip([f"netns add {side.name}" for side in (self.a, self.b, self.m)])
        _ip([f"link add {LINK} netns {side.name} type veth peer name {end} netns {self.m.name}"
             for side, end in zip((self.a, self.b), self.ENDS)])
        for side, links in ((self.m, self.ENDS), (self.a, ("lo", LINK)), (self.b, ("lo", LINK))):
            v6 = [side.v6] if self.v6 and side.v6 else []
            if not v6:
                side.run(["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"])
            addresses = [f"addr add {side.v4}/24 dev {LINK}"] if side.v4 else []
            addresses += [f"addr add {address}/64 dev {LINK} nodad" for address in v6]
            _ip([f"link set {link} up" for link in links] + addresses, side.name)
        self._introduce((A4, B4, A6, B6) if self.v6 else (A4, B4), "permanent")

    def __exit__(self, *_):
        super().__exit__()
        state.drop_namespace(self.m.name)


class Star:
    """Context manager: namespaces .sides, @n of them, which a bridge in one more joins. Each has LINK and an address."""

    def __init__(self, n, prefix="fst"):
        record = state.record()
        self.sides = [Namespace(record.name(prefix, f"s{i}"), f"10.77.0.{i + 1}", f"fd77::{i + 1:x}") for i in range(n)]
        self.middle = record.name(prefix, "m")

    def __enter__(self):
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _make(self):
        _ip([f"netns add {name}" for name in (self.middle, *(side.name for side in self.sides))])
        _ip(["link add bridge type bridge", "link set bridge up"], self.middle)
        for i, side in enumerate(self.sides):
            _ip([f"link add {LINK} netns {side.name} type veth peer name end{i} netns {self.middle}"])
            _ip([f"link set end{i} master bridge", f"link set end{i} up"], self.middle)
            side.set_up()

    def __exit__(self, *_):
        for name in (*(side.name for side in self.sides), self.middle):
            state.drop_namespace(name)


def resets(side):
    """RSTs that the kernel of a namespace sent, and connections that one ended there."""
    rows = [line.split()[1:] for line in side.run(["cat", "/proc/net/snmp"]).out.splitlines() if line.startswith("Tcp:")]
    figures = dict(zip(*rows))
    return int(figures["OutRsts"]), int(figures["EstabResets"])


def lacks(af_xdp=True):
    """What this machine lacks for two namespaces and AF_XDP between them: a list of sentences."""
    if os.geteuid() != 0:
        return ["root rights: network namespaces and AF_XDP need them"]
    missing = []
    try:
        with Pair("fst"):
            pass
    except FileNotFoundError:
        return ["the command ip (package iproute2)"]
    except Unable as error:
        text = str(error)
        if "netns" in text or "mount" in text:
            missing.append("network namespaces: " + text)
        elif "Unknown device type" in text or "not supported" in text:
            missing.append("veth: this kernel cannot make a veth pair (CONFIG_VETH)")
        else:
            missing.append("a veth pair between two namespaces: " + text)
    if af_xdp:
        try:
            socket.socket(44, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0).close()
        except OSError as error:
            if error.errno in (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT):
                missing.append("AF_XDP: this kernel was built without CONFIG_XDP_SOCKETS")
            elif error.errno in (errno.EPERM, errno.EACCES):
                missing.append("CAP_NET_RAW: opening an AF_XDP socket is forbidden here")
            else:
                missing.append(f"AF_XDP: {error.strerror}")
    return missing
