# SPDX-License-Identifier: BSD-2-Clause
"""
src/host against the kernel it asks: routes, links, addresses, neighbours, notifications.

host_probe (host_probe.c beside this file) asks one question in a namespace of the test's own; the answer
is compared with what a kernel socket does there and with what ip says.
"""
import itertools
import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from lab import state  # noqa: E402

PROBE = pathlib.Path(os.environ.get("FSOCK_BUILD", ROOT / "build")) / "tests/system/host_probe"
SYSTEM_PYTHON = "/usr/bin/python3"

# What a kernel UDP socket does with a destination: source, path MTU, or the error of connect().
ORACLE = """
import errno, json, socket, sys
q = json.loads(sys.argv[1])
v6 = ":" in q["dst"]
s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
if q.get("mark"): s.setsockopt(socket.SOL_SOCKET, 36, q["mark"])
if q.get("oif"): s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, q["oif"].encode())
if q.get("tos"): s.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, q["tos"])
if q.get("broadcast"): s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
if q.get("src"): s.bind((q["src"], q.get("sport", 0)))
elif q.get("sport"): s.bind(("", q["sport"]))
try:
    s.connect((q["dst"], q.get("dport", 9)))
    mtu = s.getsockopt(*((41, 24) if v6 else (0, 14)))
    print(json.dumps({"prefsrc": s.getsockname()[0], "mtu": mtu}))
except OSError as e:
    print(json.dumps({"error": errno.errorcode[e.errno]}))
"""


class Namespace:
    """One network namespace of this run."""

    def __init__(self, suffix):
        self.name = state.record().name("fst", suffix)
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.ip("link set lo up")

    def argv(self, argv, uid=None):
        drop = ["setpriv", f"--reuid={uid}", "--clear-groups", "--bounding-set=-all",
                "--inh-caps=-all"] if uid is not None else []
        return ["ip", "netns", "exec", self.name, *drop, *map(str, argv)]

    def run(self, *argv, uid=None, check=True):
        done = subprocess.run(self.argv(argv, uid), text=True, capture_output=True, timeout=20,
                              check=False)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(map(str, argv))}: {done.stderr or done.stdout}")
        return done.stdout

    def ip(self, *lines):
        """Each a command of ip, in order; those that begin with -6 of `ip -6`."""
        for six, group in itertools.groupby(lines, lambda line: line.startswith("-6 ")):
            argv = ["ip", *(["-6"] if six else []), "-n", self.name, "-batch", "-"]
            done = subprocess.run(argv, text=True, capture_output=True, check=False,
                                  input="".join(line.removeprefix("-6 ") + "\n" for line in group))
            assert not done.returncode, done.stderr

    def ip_json(self, *argv):
        return json.loads(subprocess.run(["ip", "-n", self.name, "-j", *argv], text=True, check=True,
                                         capture_output=True).stdout)

    def sysctl(self, path, value):
        self.run("sh", "-c", f"echo {value} > /proc/sys/net/{path}")

    def probe(self, command, uid=None, **arguments):
        out = self.run(PROBE, command, *(f"{k}={v}" for k, v in arguments.items()), uid=uid)
        return json.loads(out)

    def oracle(self, uid=None, **query):
        return json.loads(self.run(SYSTEM_PYTHON, "-c", ORACLE, json.dumps(query), uid=uid))

    def drop(self):
        state.drop_namespace(self.name)


class Net:
    """
    a --- b --- c.  a has two links to b (fst0: 10.77.0.0/24, fst1: 10.77.1.0/24) and asks;
    b forwards; its link to c has MTU 1300.
    """

    def __init__(self):
        self.made = []

    def make(self):
        self.a, self.b, self.c = (self._add(s) for s in "abc")
        a, b, c = self.a, self.b, self.c
        for lines in (f"link add fst0 netns {a.name} type veth peer name fst0 netns {b.name}",
                      f"link add fst1 netns {a.name} type veth peer name fst1 netns {b.name}",
                      f"link add fst2 mtu 1300 netns {b.name} type veth peer name fst2 mtu 1300 "
                      f"netns {c.name}"):
            subprocess.run(["ip", *lines.split()], check=True)
        for side, n in ((a, 1), (b, 2)):
            side.ip(*(f"addr add 10.77.{i}.{n}/24 brd + dev fst{i}" for i in (0, 1)),
                    *(f"addr add fd77:{i}::{n}/64 dev fst{i} nodad" for i in (0, 1)),
                    "link set fst0 up", "link set fst1 up")
        b.ip("addr add 10.77.2.2/24 dev fst2", "addr add fd77:2::2/64 dev fst2 nodad", "link set fst2 up")
        c.ip("addr add 10.77.2.3/24 dev fst2", "addr add fd77:2::3/64 dev fst2 nodad",
             "link set fst2 up", "route add default via 10.77.2.2", "-6 route add default via fd77:2::2")
        b.sysctl("ipv4/ip_forward", 1)
        b.sysctl("ipv6/conf/all/forwarding", 1)

    def _add(self, suffix):
        self.made.append(Namespace("cp" + suffix))
        return self.made[-1]

    def drop(self):
        for namespace in self.made:
            namespace.drop()


@pytest.fixture(name="net")
def _net():
    made = Net()
    try:
        made.make()
        yield made
    finally:
        made.drop()


def agree(namespace, uid=None, **query):
    """The probe's route, after comparing it with a socket's and with ip's."""
    said = namespace.oracle(uid=uid, **query)
    asked = {k: v for k, v in query.items() if k != "broadcast"}
    route = namespace.probe("route", uid=uid, proto=17, connect=1, **asked)
    assert route.get("error") == said.get("error"), (query, route, said)
    if "error" in said:
        return route
    assert route["prefsrc"] == said["prefsrc"], (query, route, said)
    assert route["mtu"] == said["mtu"], (query, route, said)
    argv = ["route", "get", query["dst"], "from", route["prefsrc"]]
    for key in ("oif", "mark"):
        argv += [key, str(query[key])] if key in query else []
    if uid is not None:
        argv += ["uid", str(uid)]
    shown = namespace.ip_json(*argv)[0]
    assert route["dev"] == shown["dev"]
    via = shown.get("gateway") or shown.get("via", {}).get("host", "")
    assert route["gateway"] == via
    assert route["type"] == shown.get("type", "unicast")
    return route


# --- routes -----------------------------------------------------------------------------------

def test_hazard_25_plain_routes_equal_the_kernels(net):
    a = net.a
    a.ip("route add default via 10.77.0.2", "-6 route add default via fd77:0::2",
         "route add 10.99.0.0/16 via 10.77.1.2", "-6 route add fd99::/16 via fd77:1::2")
    assert agree(a, dst="10.77.0.2")["gateway"] == ""
    assert agree(a, dst="8.8.8.8")["gateway"] == "10.77.0.2"
    assert agree(a, dst="10.99.1.1")["dev"] == "fst1"
    assert agree(a, dst="fd77:1::2")["dev"] == "fst1"
    assert agree(a, dst="2001:db8::1")["gateway"] == "fd77::2"
    assert agree(a, dst="fd99::5")["gateway"] == "fd77:1::2"
    assert agree(a, dst="10.99.1.1", src="10.77.0.1")["prefsrc"] == "10.77.0.1"
    assert agree(a, dst="fd99::5", src="fd77::1")["prefsrc"] == "fd77::1"
    assert agree(a, dst="8.8.8.8", oif="fst1")["dev"] == "fst1"


def test_hazard_25_types_equal_the_kernels(net):
    a = net.a
    assert agree(a, dst="10.77.0.1")["type"] == "local"
    assert agree(a, dst="127.0.0.1")["dev"] == "lo"
    assert agree(a, dst="::1")["type"] == "local"
    assert agree(a, dst="fd77:1::1")["type"] == "local"
    assert agree(a, dst="10.77.0.255", broadcast=True)["type"] == "broadcast"
    assert agree(a, dst="239.1.2.3", oif="fst1")["type"] == "multicast"


@pytest.mark.parametrize("kind,error", [("blackhole", "EINVAL"), ("unreachable", "EHOSTUNREACH"),
                                        ("prohibit", "EACCES"), ("throw", "ENETUNREACH")])
def test_hazard_25_refusing_routes_give_the_kernels_errno(net, kind, error):
    net.a.ip(f"route add {kind} 10.99.0.0/16")
    assert agree(net.a, dst="10.99.0.1") == {"error": error}


@pytest.mark.parametrize("kind,error", [("blackhole", "EINVAL"), ("unreachable", "EHOSTUNREACH"),
                                        ("prohibit", "EACCES")])
def test_hazard_25_refusing_v6_routes_give_the_kernels_errno(net, kind, error):
    net.a.ip(f"-6 route add {kind} fd99::/16")
    assert agree(net.a, dst="fd99::1") == {"error": error}


def test_hazard_25_no_route(net):
    assert agree(net.a, dst="8.8.8.8") == {"error": "ENETUNREACH"}
    assert agree(net.a, dst="2001:db8::1") == {"error": "ENETUNREACH"}


def test_hazard_25_rules_by_mark_uid_port_and_dscp(net):
    a = net.a
    a.ip("route add default via 10.77.0.2", "route add default via 10.77.1.2 table 100",
         "rule add fwmark 7 lookup 100", "rule add uidrange 65534-65534 lookup 100",
         "rule add ipproto udp dport 4242 lookup 100", "rule add tos 0x10 lookup 100",
         "-6 route add default via fd77:0::2", "-6 route add default via fd77:1::2 table 100",
         "-6 rule add fwmark 7 lookup 100")
    assert agree(a, dst="8.8.8.8")["dev"] == "fst0"
    assert agree(a, dst="8.8.8.8", mark=7)["dev"] == "fst1"
    assert agree(a, dst="2001:db8::1", mark=7)["dev"] == "fst1"
    assert agree(a, dst="8.8.8.8", uid=65534)["dev"] == "fst1"
    port = a.probe("route", dst="8.8.8.8", proto=17, sport=5000, dport=4242, connect=1)
    assert port["prefsrc"] == a.oracle(dst="8.8.8.8", sport=5000, dport=4242)["prefsrc"] == "10.77.1.1"
    tos = a.probe("route", dst="8.8.8.8", tos=0x13, connect=1)
    assert tos["prefsrc"] == a.oracle(dst="8.8.8.8", tos=0x10)["prefsrc"] == "10.77.1.1"
    # The owner of a socket named from outside, as for one that a privileged helper looks up.
    assert a.probe("route", dst="8.8.8.8", uid=65534)["dev"] == "fst1"


def test_hazard_25_route_mtu_and_lock(net):
    a = net.a
    a.ip("route add 10.98.0.0/16 via 10.77.0.2 mtu 1400",
         "route add 10.99.0.0/16 via 10.77.0.2 mtu lock 1200 hoplimit 9",
         "-6 route add fd99::/16 via fd77:0::2 mtu 1350")
    assert agree(a, dst="10.98.0.1")["mtu"] == 1400
    route = agree(a, dst="10.99.0.1")
    assert (route["mtu"], route["locked"], route["hop_limit"]) == (1200, 1, 9)
    assert agree(a, dst="fd99::1")["mtu"] == 1350
    a.ip("link set fst1 mtu 1444")
    assert agree(a, dst="10.77.1.2")["mtu"] == 1444
    a.sysctl("ipv6/conf/fst1/mtu", 1333)
    assert agree(a, dst="fd77:1::2")["mtu"] == 1333


def test_hazard_25_learned_mtu(net):
    a = net.a
    a.ip("route add 10.77.2.0/24 via 10.77.0.2", "-6 route add fd77:2::/64 via fd77:0::2")
    send = ("import socket,sys\ns=socket.socket(int(sys.argv[1]),socket.SOCK_DGRAM)\n"
            "s.setsockopt(*eval(sys.argv[3]))\ns.sendto(b'x'*1400,(sys.argv[2],9))\n")
    for family, dst, option in ((2, "10.77.2.3", "0,10,2"), (10, "fd77:2::3", "41,23,2")):
        assert agree(a, dst=dst)["mtu"] == 1500
        until = time.monotonic() + 5
        # Again and again: the first datagrams may fall into the time before IPv6 is up on the link.
        while a.probe("route", dst=dst)["mtu"] == 1500 and time.monotonic() < until:
            a.run(SYSTEM_PYTHON, "-c", send, family, dst, option, check=False)
            time.sleep(0.05)
        route = agree(a, dst=dst)
        assert route["mtu"] == 1300
        assert 0 < route["expires_ms"] <= 600000


def test_hazard_25_multipath_and_nexthop_objects(net):
    a = net.a
    a.sysctl("ipv4/fib_multipath_hash_policy", 1)
    a.ip("route add 10.97.0.0/16 nexthop via 10.77.0.2 nexthop via 10.77.1.2",
         "nexthop add id 1 via 10.77.0.2 dev fst0", "nexthop add id 2 via 10.77.1.2 dev fst1",
         "nexthop add id 3 group 1/2", "nexthop add id 4 via fd77:1::2 dev fst1",
         "route add 10.98.0.0/16 nhid 2", "route add 10.99.0.0/16 nhid 3", "route add 10.96.0.0/16 nhid 4")
    assert agree(a, dst="10.98.0.1")["gateway"] == "10.77.1.2"
    assert agree(a, dst="10.96.0.1")["gateway"] == "fd77:1::2"
    for net16 in (97, 99):
        used = set()
        for i in range(1, 9):
            query = {"dst": f"10.{net16}.0.{i}", "sport": 5000 + i, "dport": 7}
            route = a.probe("route", proto=17, connect=1, **query)
            assert route["prefsrc"] == a.oracle(**query)["prefsrc"]
            used.add(route["dev"])
        assert used == {"fst0", "fst1"}


def test_route_get__takes_microseconds(net):
    net.a.ip("route add default via 10.77.0.2")
    assert net.a.probe("route", dst="8.8.8.8", repeat=500)["ns"] < 200_000


# --- links and addresses ----------------------------------------------------------------------

def test_link__veth_and_loopback(net):
    link = net.a.probe("link", dev="fst0")
    shown = net.a.ip_json("-d", "link", "show", "dev", "fst0")[0]
    assert link["kind"] == "veth" and link["driver"] == "veth" and link["ethernet"] == 1
    assert (link["ifindex"], link["mac"], link["mtu"]) == (shown["ifindex"], shown["address"],
                                                          shown["mtu"])
    assert link["operstate"] == 6 and link["role"] == "none"
    assert (link["rx_queues"], link["tx_queues"]) == (1, 1)
    assert net.a.probe("link", dev="lo")["kind"] == "loopback"
    assert net.a.probe("link", dev="nothere") == {"error": "ENODEV"}
    assert net.a.probe("link", dev="x" * 16) == {"error": "ENODEV"}


def test_link__queues_in_use(net):
    net.a.ip("link add fstq numtxqueues 4 numrxqueues 4 type veth peer name fstr numtxqueues 2 "
             "numrxqueues 2")
    assert net.a.probe("link", dev="fstq")["rx_queues"] == 4
    assert net.a.probe("link", dev="fstr")["tx_queues"] == 2


def test_hazard_2_members_of_a_bridge_are_told(net):
    net.b.ip("link add fstbr type bridge", "link set fst1 master fstbr")
    link = net.b.probe("link", dev="fst1")
    assert (link["role"], link["master"]) == ("bridge", "fstbr")
    assert net.b.probe("link", dev="fstbr")["kind_name"] == "bridge"


def test_links__lists_all_and_says_how_many(net):
    names = {link["ifname"] for link in net.b.ip_json("link")}
    listed = net.b.probe("links")
    assert {link["name"] for link in listed["links"]} == names
    assert listed["count"] == len(names)
    few = net.b.probe("links", room=1)
    assert few["count"] == len(names) and len(few["links"]) == 1


def test_addrs__usable_ones_only(net):
    a = net.a
    a.sysctl("ipv6/conf/fst0/dad_transmits", 200)
    a.ip("addr add fd77:dad::1/64 dev fst0", "addr add 10.5.5.5 peer 10.5.5.6 dev fst0",
         "addr add fd77:0dd::1/64 dev fst0 nodad preferred_lft 0")
    found = {x["addr"]: x for x in a.probe("addrs", dev="fst0")["addrs"]}
    assert {"10.77.0.1", "fd77::1", "10.5.5.5", "fd77:dd::1"} <= set(found)
    assert "fd77:dad::1" not in found and "10.5.5.6" not in found
    assert found["fd77:dd::1"]["deprecated"] == 1 and found["fd77::1"]["deprecated"] == 0
    assert found["10.77.0.1"]["broadcast"] == "10.77.0.255" and found["10.77.0.1"]["prefix"] == 24
    everywhere = {x["dev"] for x in a.probe("addrs")["addrs"]}
    assert everywhere == {"lo", "fst0", "fst1"}


def test_default_route__any_table_either_family(net):
    a = net.a

    def devices():
        return [dev for dev in ("fst0", "fst1") if a.probe("default", dev=dev)["default"]]

    assert devices() == []
    a.ip("route add default via 10.77.0.2 table 55")
    assert devices() == ["fst0"]
    a.ip("route del default table 55", "-6 route add default via fd77:1::2")
    assert devices() == ["fst1"]
    a.ip("-6 route del default", "route add default nexthop via 10.77.0.2 nexthop via 10.77.1.2")
    assert devices() == ["fst0", "fst1"]
    a.ip("route del default", "nexthop add id 9 via 10.77.1.2 dev fst1", "route add default nhid 9")
    assert devices() == ["fst1"]
    a.ip("route replace unreachable default")
    assert devices() == []


def test_netns__initial_or_not(net):
    inode = os.stat(f"/run/netns/{net.a.name}").st_ino
    assert net.a.probe("netns") == {"inode": inode, "initial": 0}
    other = net.b.probe("netns")
    assert other["inode"] != inode and not other["initial"]


# --- neighbours -------------------------------------------------------------------------------

def wait_neigh(namespace, wanted, **query):
    until = time.monotonic() + 5
    while True:
        neigh = namespace.probe("neigh", **query)
        if wanted(neigh) or time.monotonic() > until:
            return neigh
        time.sleep(0.05)


@pytest.mark.parametrize("dst", ["10.77.0.2", "fd77::2"])
def test_neigh_use__resolves(net, dst):
    query = {"dev": "fst0", "dst": dst}
    net.a.ip("neigh flush dev fst0")
    assert net.a.probe("neigh", **query) == {"error": "ENOENT"}
    assert net.a.probe("use", **query) == {}
    neigh = wait_neigh(net.a, lambda n: n.get("usable"), **query)
    assert neigh["mac"] == net.b.probe("link", dev="fst0")["mac"]
    assert neigh["confirmed"] == 1 and neigh["addr"] == dst


def test_neigh_use__moves_a_stale_entry_on(net):
    mac = net.b.probe("link", dev="fst0")["mac"]
    net.a.ip(f"neigh replace 10.77.0.2 lladdr {mac} dev fst0 nud stale")
    neigh = net.a.probe("neigh", dev="fst0", dst="10.77.0.2")
    assert neigh["usable"] == 1 and neigh["confirmed"] == 0 and neigh["state"] == 0x04
    net.a.probe("use", dev="fst0", dst="10.77.0.2")
    assert net.a.probe("neigh", dev="fst0", dst="10.77.0.2")["state"] & (0x08 | 0x10 | 0x02)


def test_neigh__failed_entry_is_not_usable(net):
    net.a.probe("use", dev="fst0", dst="10.77.0.99")
    first = net.a.probe("neigh", dev="fst0", dst="10.77.0.99")
    assert not first["usable"]
    neigh = wait_neigh(net.a, lambda n: n.get("failed"), dev="fst0", dst="10.77.0.99")
    assert neigh["failed"] == 1 and neigh["usable"] == 0


def test_hazard_25_without_privilege_asking_works_and_refreshing_says_so(net):
    net.a.ip("route add default via 10.77.0.2")
    assert agree(net.a, uid=65534, dst="8.8.8.8")["dev"] == "fst0"
    use = net.a.probe("use", uid=65534, dev="fst0", dst="10.77.0.2")
    assert use == {"error": "EPERM"}


# --- notifications ----------------------------------------------------------------------------

LINK, ADDR, ROUTE, NEIGH, TC, LOST = (1 << i for i in range(6))


class Monitor:
    def __init__(self, namespace, **arguments):
        argv = [PROBE, "monitor", *(f"{k}={v}" for k, v in arguments.items())]
        self.process = subprocess.Popen(namespace.argv(argv), text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.opened = json.loads(self.process.stdout.readline())

    def drain(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def test_monitor__tells_each_kind(net):
    a = net.a
    index = a.probe("link", dev="fst1")["ifindex"]
    with Monitor(a) as monitor:
        assert monitor.opened["fd"] >= 300
        assert monitor.drain() == {"changes": [], "mask": 0}
        a.ip("link set fst1 mtu 1400")
        seen = monitor.drain()
        assert seen["mask"] & LINK
        assert any(c["kind"] == LINK and c["ifindex"] == index for c in seen["changes"])
        a.ip("addr add 10.9.9.9/32 dev fst1")
        seen = monitor.drain()
        assert seen["mask"] == ADDR | ROUTE
        assert [(c["addr"], c["gone"], c["ifindex"]) for c in seen["changes"]] == [("10.9.9.9", 0, index)]
        a.ip("addr del 10.9.9.9/32 dev fst1")
        assert [c["gone"] for c in monitor.drain()["changes"]] == [1]
        a.ip("neigh add 10.77.1.50 lladdr 02:00:00:00:00:50 dev fst1 nud permanent")
        seen = monitor.drain()
        assert seen["mask"] == NEIGH
        assert seen["changes"][0]["neigh"]["mac"] == "02:00:00:00:00:50"
        assert seen["changes"][0]["neigh"]["confirmed"] == 1
        a.run("tc", "qdisc", "add", "dev", "fst1", "clsact")
        seen = monitor.drain()
        assert seen["mask"] == TC and seen["changes"][0]["ifindex"] == index
        for lines in (["rule add fwmark 5 lookup 55"], ["-6 rule add fwmark 5 lookup 55"],
                      ["route add 10.88.0.0/16 via 10.77.1.2"], ["-6 route add fd88::/16 via fd77:1::2"],
                      ["nexthop add id 5 via 10.77.1.2 dev fst1"]):
            a.ip(*lines)
            assert monitor.drain() == {"changes": [], "mask": ROUTE}, lines
        a.ip("link del fst1")
        seen = monitor.drain()
        assert any(c["kind"] == LINK and c["gone"] and c["ifindex"] == index for c in seen["changes"])


def test_monitor__loss_means_everything_changed(net):
    with Monitor(net.a, rcvbuf=1) as monitor:
        net.a.ip(*(f"route add 10.88.{i}.0/24 via 10.77.0.2" for i in range(200)))
        assert monitor.drain()["mask"] == LINK | ADDR | ROUTE | NEIGH | TC | LOST
        assert monitor.drain()["mask"] == 0
