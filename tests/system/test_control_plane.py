# SPDX-License-Identifier: BSD-2-Clause
"""
src/host against the kernel it asks: routes, links, addresses, neighbours, notifications, policy, ports.

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
from lab import proc, state  # noqa: E402

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
        done = subprocess.run(self.argv(argv, uid), text=True, capture_output=True, timeout=60,
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
        until = time.monotonic() + proc.GUARD
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


def test_route_get__asks_once(net, tmp_path):
    """One question and one answer, however many routes there are: nothing is dumped."""
    net.a.ip("route add default via 10.77.0.2", *(f"route add 10.99.{i}.0/24 via 10.77.0.2" for i in range(200)))
    counts = []
    for repeat in (1, 101):
        log = tmp_path / str(repeat)
        net.a.run("strace", "-o", log, "-e", "trace=%net,read,write", PROBE, "route", "dst=8.8.8.8", f"repeat={repeat}")
        counts.append(len(log.read_text().splitlines()))
    assert 100 <= counts[1] - counts[0] <= 400, counts


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
    here = json.loads(subprocess.run([PROBE, "netns"], text=True, check=True,
                                     capture_output=True).stdout)
    assert here["inode"] == os.stat("/proc/self/ns/net").st_ino
    if here["inode"] == 0xeffffff9:
        assert here["initial"] == 1


# --- neighbours -------------------------------------------------------------------------------

def wait_neigh(namespace, wanted, use=False, **query):
    until = time.monotonic() + proc.GUARD
    while True:
        if use:
            namespace.probe("use", **query)
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
    # Used again and again: the first solicitations may fall into the time before IPv6 is up.
    neigh = wait_neigh(net.a, lambda n: n.get("usable"), use=True, **query)
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


# --- policy (DESIGN D14) ----------------------------------------------------------------------

NFTABLES, IPTABLES, XFRM, CGROUP, QDISC, FILTER, XDP = (1 << i for i in range(7))

# Load a program that returns a constant, attach it by a link, print its id, hold it until stdin ends.
HOLD = """
import ctypes, json, os, platform, socket, struct, sys
q = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
def bpf(cmd, attr):
    buf = ctypes.create_string_buffer(attr.ljust(128, b"\\0"), 128)
    r = libc.syscall({"x86_64": 321, "aarch64": 280}[platform.machine()], cmd, buf, 128)
    if r < 0: sys.exit(f"bpf {cmd}: {os.strerror(ctypes.get_errno())}")
    return r
code = ctypes.create_string_buffer(struct.pack("<BBhiBBhi", 0xb7, 0, 0, q["value"], 0x95, 0, 0, 0), 16)
gpl = ctypes.create_string_buffer(b"GPL")
prog = bpf(5, struct.pack("<IIQQIIQII16sII", q["type"], 2, ctypes.addressof(code),
                          ctypes.addressof(gpl), 0, 0, 0, 0, 0, b"fst", 0, q["attach"]))
info = ctypes.create_string_buffer(256)
bpf(15, struct.pack("<IIQ", prog, 256, ctypes.addressof(info)))
target = socket.if_nametoindex(q["dev"]) if "dev" in q else os.open(q["cgroup"], os.O_RDONLY)
bpf(28, struct.pack("<IIII", prog, target, q["attach"], q.get("flags", 0)))
print(struct.unpack_from("<I", info.raw, 4)[0], flush=True)
sys.stdin.read()
"""

# Legacy iptables without its tool: read the table `filter` (which makes it), write it changed.
LEGACY = """
import ctypes, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
v6, change = sys.argv[1] == "6", sys.argv[2]
s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_RAW, 255)
level = 41 if v6 else 0
def call(what, name, buf):
    if what == "set": r = libc.setsockopt(s.fileno(), level, name, buf, len(buf))
    else: r = libc.getsockopt(s.fileno(), level, name, buf, ctypes.byref(ctypes.c_int(len(buf))))
    if r: sys.exit(f"{what} {name}: errno {ctypes.get_errno()}")
info = ctypes.create_string_buffer(b"filter", 84)
call("get", 64, info)
hooks, *rest = struct.unpack_from("<I5I5III", info.raw, 32)
entry, under, number, size = rest[0:5], rest[5:10], rest[10], rest[11]
got = ctypes.create_string_buffer(struct.pack("<32sI4x", b"filter", size), 40 + size)
call("get", 65, got)
entries = bytearray(got.raw[40:])
first = entries[:entry[2]]
counters = ctypes.create_string_buffer(16 * number)
old = number
if change == "drop":
    struct.pack_into("<i", entries, under[1] + len(first) - 8, -1)
if change == "rule":
    entries = bytearray(first) + entries
    under = [under[0], under[1] + len(first), under[2] + len(first), under[3] + len(first), under[4]]
    entry = [entry[0], entry[1], entry[2] + len(first), entry[3] + len(first), entry[4]]
    number += 1
if change != "make":
    head = struct.pack("<32sIII5I5IIQ", b"filter", hooks, number, len(entries), *entry, *under, old,
                       ctypes.addressof(counters))
    call("set", 64, ctypes.create_string_buffer(head + bytes(entries), len(head) + len(entries)))
"""


class Holder:
    """A BPF program attached in @namespace (None: here) while the context lasts; .prog is its id."""

    def __init__(self, namespace, **query):
        argv = [SYSTEM_PYTHON, "-c", HOLD, json.dumps(query)]
        self.process = subprocess.Popen(
            namespace.argv(argv) if namespace else argv, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        self.prog = int(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.communicate()


def looked(namespace, **arguments):
    """What the look found, its sentence; everything could be looked at."""
    result = namespace.probe("policy", **{"dev": "fst0", **arguments})
    assert result["unchecked"] == 0
    assert result["ret"] == (1 if result["found"] else 0)
    assert bool(result["what"]) == bool(result["found"])
    return result["found"], result["what"]


def test_hazard_10_clean_namespace_has_no_policy(net):
    assert looked(net.a) == (0, "")
    assert looked(net.a, proto=6) == (0, "")
    assert looked(net.c, dev="fst2") == (0, "")


@pytest.mark.parametrize("hook", ["prerouting", "input", "output", "postrouting"])
@pytest.mark.parametrize("family", ["ip", "ip6", "inet"])
def test_hazard_10_nft_rule_is_found(net, family, hook):
    net.a.run("nft", f"add table {family} t; add chain {family} t c {{ type filter hook {hook} "
                     f"priority 0; }}")
    assert looked(net.a) == (0, ""), "a chain without rules is no policy"
    net.a.run("nft", f"add rule {family} t c meta l4proto 17 drop")
    found, what = looked(net.a)
    assert found == NFTABLES and what == f"nftables chain t c at hook {hook}"
    # Dual-stack sockets are asked about above; the other family alone is not concerned.
    other = {"ip": "6", "ip6": "4"}.get(family)
    if other:
        assert looked(net.a, family=other) == (0, "")
    assert looked(net.a, ignore=NFTABLES) == (0, "")
    net.a.run("nft", "flush ruleset")
    assert looked(net.a) == (0, "")


def test_hazard_10_nft_policy_drop_is_found(net):
    net.a.run("nft", "add table inet t; add chain inet t c { type filter hook input priority 0; "
                     "policy drop; }")
    assert looked(net.a)[0] == NFTABLES


def test_hazard_10_nft_what_cannot_touch_us_is_passed_over(net):
    net.a.run("nft", "add table inet t; add chain inet t f { type filter hook forward priority 0; }; "
                     "add rule inet t f drop; add chain inet t loose; add rule inet t loose drop; "
                     "add table netdev n; add chain netdev n i { type filter hook ingress device fst1 "
                     "priority 0; }; add rule netdev n i drop; add set inet t s { type inet_service; }")
    assert looked(net.a) == (0, "")
    assert looked(net.a, dev="fst1") == (NFTABLES, "nftables chain n i at hook ingress")
    net.a.run("nft", "add chain netdev n e { type filter hook egress devices = { fst1, fst0 } "
                     "priority 0; }; add rule netdev n e drop")
    assert looked(net.a) == (NFTABLES, "nftables chain n e at hook egress")


@pytest.mark.parametrize("family", ["4", "6"])
def test_hazard_10_legacy_iptables(net, family):
    a, six = net.a, "6" if family == "6" else ""
    a.run(SYSTEM_PYTHON, "-c", LEGACY, family, "make")
    assert "filter" in a.run("cat", f"/proc/net/ip{six}_tables_names")
    assert looked(a) == (0, ""), "a table that accepts everything is no policy"
    a.run(SYSTEM_PYTHON, "-c", LEGACY, family, "rule")
    assert looked(a) == (IPTABLES, f"ip{six}tables table filter, chain INPUT")
    assert looked(a, family="4" if six else "6") == (0, "")


@pytest.mark.parametrize("family", ["4", "6"])
def test_hazard_10_legacy_iptables_policy_drop(net, family):
    net.a.run(SYSTEM_PYTHON, "-c", LEGACY, family, "drop")
    assert looked(net.a)[0] == IPTABLES


def test_hazard_10_xfrm_policy(net):
    net.a.ip("xfrm policy add src 10.0.0.0/8 dst 10.88.0.0/16 dir fwd action block")
    assert looked(net.a) == (0, "")
    net.a.ip("xfrm policy add src 10.0.0.0/8 dst 10.88.0.0/16 dir out action block")
    found, what = looked(net.a)
    assert found == XFRM and what == "0 inbound and 1 outbound IPsec policies (xfrm)"


def test_hazard_10_xfrm_default_block(net):
    net.a.ip("xfrm policy setdefault out block")
    assert looked(net.a) == (XFRM, "the default IPsec policy (xfrm) blocks")


def test_hazard_10_qdisc(net):
    net.a.run(*"tc qdisc add dev fst0 root pfifo_fast".split(), check=False)
    net.a.run(*"tc qdisc replace dev fst0 root pfifo".split())
    assert looked(net.a) == (0, "")
    net.a.run(*"tc qdisc replace dev fst0 root tbf rate 1mbit burst 10k latency 10ms".split())
    assert looked(net.a) == (QDISC, "queueing discipline tbf on fst0")
    assert looked(net.a, dev="fst1") == (0, "")


def test_hazard_10_qdisc_below_a_multiqueue_one(net):
    a = net.a
    a.ip("link add fstq numtxqueues 2 numrxqueues 2 type veth peer name fstr", "link set fstq up")
    a.run(*"tc qdisc replace dev fstq root handle 1: mq".split())
    assert looked(a, dev="fstq") == (0, "")
    a.run(*"tc qdisc replace dev fstq parent 1:2 tbf rate 1mbit burst 10k latency 10ms".split())
    assert looked(a, dev="fstq") == (QDISC, "queueing discipline tbf on fstq")


@pytest.mark.parametrize("side", ["ingress", "egress"])
def test_hazard_10_tc_filter(net, side):
    net.a.run(*"tc qdisc add dev fst0 clsact".split())
    assert looked(net.a) == (0, "")
    net.a.run(*f"tc filter add dev fst0 {side} protocol ip u32 match u32 0 0 flowid 1:1".split())
    assert looked(net.a) == (FILTER, "tc filter of kind u32 on fst0")
    assert looked(net.a, dev="fst1") == (0, "")


def test_hazard_10_tc_classic_bpf_filter(net):
    net.a.run(*"tc qdisc add dev fst0 ingress".split())
    net.a.run(*"tc filter add dev fst0 ingress bpf bytecode".split(), "1,6 0 0 0", "flowid", "1:1")
    assert looked(net.a) == (FILTER, "tc filter with BPF program 0 on fst0")


@pytest.mark.parametrize("attach", [46, 47])
def test_hazard_10_tcx_program(net, attach):
    with Holder(net.a, type=3, value=-1 & 0x7fffffff, attach=attach, dev="fst0") as held:
        assert looked(net.a) == (FILTER, f"tcx program {held.prog} on fst0")
        assert looked(net.a, own=held.prog) == (0, "")
    assert looked(net.a) == (0, "")


@pytest.mark.parametrize("flags,mode", [(2, 2), (4, 1)])
def test_hazard_10_foreign_xdp_program(net, flags, mode):
    with Holder(net.a, type=6, value=2, attach=37, dev="fst0", flags=flags) as held:
        assert looked(net.a) == (XDP, f"XDP program {held.prog} on fst0")
        assert looked(net.a, own=f"1,{held.prog}") == (0, "")
        link = net.a.probe("link", dev="fst0")
        assert link["xdp_modes"] == mode and held.prog in link["xdp_prog"]
    assert looked(net.a) == (0, "")


@pytest.fixture(name="cgroup")
def _cgroup(tmp_path):
    """A version 2 cgroup of the test's own."""
    mounts = [line.split() for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
    found = [fields[1] for fields in mounts if fields[2] == "cgroup2"]
    if not found:
        subprocess.run(["mount", "-t", "cgroup2", "none", tmp_path], check=True)
    path = pathlib.Path(found[0] if found else tmp_path) / f"fst-{os.getpid()}"
    path.mkdir()
    try:
        yield path
    finally:
        path.rmdir()
        if not found:
            subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("prog_type,attach,family,proto,name", [
    (8, 0, "4", 17, "ingress"), (8, 1, "6", 6, "egress"), (18, 10, "4", 17, "connect"),
    (18, 14, "4", 17, "sendmsg"), (18, 20, "6", 17, "recvmsg"), (18, 8, "4", 6, "bind")])
def test_hazard_10_cgroup_program(net, cgroup, prog_type, attach, family, proto, name):
    def look(**arguments):
        # ip netns exec covers the mount of the hierarchy, nsenter does not: both find the cgroup.
        options = [f"{k}={v}" for k, v in {"family": family, "proto": proto, **arguments}.items()]
        results = []
        for enter in (["ip", "netns", "exec", net.a.name], ["nsenter", f"--net=/run/netns/{net.a.name}"]):
            argv = ["sh", "-c", f"echo $$ > {cgroup}/cgroup.procs && exec \"$@\"", "sh", *enter, PROBE,
                    "policy", "dev=fst0", *options]
            out = subprocess.run(argv, text=True, check=True, capture_output=True, timeout=60).stdout
            results.append(json.loads(out))
        assert results[0] == results[1] and results[0]["unchecked"] == 0
        return results[0]["found"], results[0]["what"]

    assert look() == (0, "")
    with Holder(None, type=prog_type, value=1, attach=attach, cgroup=str(cgroup)) as held:
        assert look() == (CGROUP, f"cgroup program {held.prog} ({name})")
        assert look(own=held.prog) == (0, "")
        if name in ("connect", "sendmsg", "recvmsg", "bind"):
            assert look(family="6" if family == "4" else "4") == (0, "")
        if name in ("sendmsg", "recvmsg"):
            assert look(proto=6) == (0, "")


def test_policy_check__says_what_it_may_not_look_at(net):
    result = net.a.probe("policy", uid=65534, dev="fst0")
    assert result["found"] == 0 and result["ret"] == 0
    assert result["unchecked"] & (NFTABLES | XFRM) == NFTABLES | XFRM


def test_policy_check__without_an_interface_looks_at_the_host(net):
    net.a.run(*"tc qdisc replace dev fst0 root tbf rate 1mbit burst 10k latency 10ms".split())
    assert net.a.probe("policy")["found"] == 0
    net.a.run("nft", "add table inet t; add chain inet t c { type filter hook input priority 0; "
                     "policy drop; }; add table netdev n; add chain netdev n i { type filter hook "
                     "ingress device fst1 priority 0; policy drop; }")
    assert net.a.probe("policy")["found"] == NFTABLES


class Watch:
    """host_probe that looks again at each call."""

    def __init__(self, namespace):
        self.process = subprocess.Popen(namespace.argv([PROBE, "policy", "dev=fst0", "stay=1"]),
                                        text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.first = json.loads(self.process.stdout.readline())

    def again(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        result = json.loads(self.process.stdout.readline())
        return result["changed"], result["found"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.communicate()


def test_hazard_10_changes_are_noticed(net):
    with Watch(net.a) as watch:
        assert (watch.first["changed"], watch.first["found"]) == (0, 0)
        assert watch.again() == (0, 0)
        net.a.run("nft", "add table inet t; add chain inet t c { type filter hook input priority 0; "
                         "policy drop; }")
        assert watch.again() == (1, NFTABLES)
        assert watch.again() == (0, NFTABLES)
        net.a.run("nft", "flush ruleset")
        assert watch.again() == (1, 0)
        net.a.ip("xfrm policy add src 10.0.0.0/8 dst 10.88.0.0/16 dir in action block")
        assert watch.again() == (1, XFRM)
        net.a.ip("xfrm policy flush")
        assert watch.again() == (1, 0)
        # A ruleset larger than the socket's queue: lost news are news.
        net.a.run("nft", "add table inet t; " + "; ".join(
            f"add chain inet t c{i}; add rule inet t c{i} drop" for i in range(1500)))
        assert watch.again() == (1, 0)
        assert watch.again() == (0, 0)


def test_policy_check__is_cheap(net):
    assert net.a.probe("policy", dev="fst0", repeat=100)["ns"] < 5_000_000


# --- shared ports -----------------------------------------------------------------------------

# Bind the sockets named in argv (JSON lists), print their cookies, hold them until stdin ends.
BINDER = """
import json, socket, struct, sys
kept = []
for spec in json.loads(sys.argv[1]):
    six = ":" in spec["addr"]
    s = socket.socket(socket.AF_INET6 if six else socket.AF_INET,
                      socket.SOCK_STREAM if spec.get("tcp") else socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if six: s.setsockopt(41, 26, spec.get("only", 0))
    if "dev" in spec: s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, spec["dev"].encode())
    s.bind((spec["addr"], 5353))
    if "peer" in spec: s.connect((spec["peer"], 9))
    if spec.get("tcp"): s.listen()
    kept.append(s)
print(json.dumps([struct.unpack("Q", s.getsockopt(1, 57, 8))[0] for s in kept]), flush=True)
sys.stdin.read()
"""


class Binder:
    def __init__(self, namespace, *specs):
        self.process = subprocess.Popen(
            namespace.argv([SYSTEM_PYTHON, "-c", BINDER, json.dumps(specs)]), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.cookies = json.loads(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.communicate()


@pytest.mark.parametrize("theirs,asked,shared", [
    ({"addr": "0.0.0.0"}, {"family": "4"}, 1),
    ({"addr": "0.0.0.0"}, {"family": "6"}, 0),
    ({"addr": "0.0.0.0"}, {"family": "46"}, 1),
    ({"addr": "::"}, {"family": "4"}, 1),
    ({"addr": "::", "only": 1}, {"family": "4"}, 0),
    ({"addr": "::", "only": 1}, {"family": "6"}, 1),
    ({"addr": "10.77.0.1"}, {"family": "4", "addr": "10.77.1.1"}, 0),
    ({"addr": "10.77.0.1"}, {"family": "4", "addr": "10.77.0.1"}, 1),
    ({"addr": "10.77.0.1"}, {"family": "4"}, 1),
    ({"addr": "::ffff:10.77.0.1"}, {"family": "4", "addr": "10.77.0.1"}, 1),
    ({"addr": "fd77::1"}, {"family": "6", "addr": "fd77::1"}, 1),
    ({"addr": "fd77::1"}, {"family": "4"}, 0),
    ({"addr": "10.77.0.1", "peer": "10.77.0.2"}, {"family": "4"}, 1),
    ({"addr": "0.0.0.0", "dev": "fst1"}, {"family": "4", "dev": "fst0"}, 0),
    ({"addr": "0.0.0.0", "dev": "fst1"}, {"family": "4"}, 1),
    ({"addr": "0.0.0.0", "tcp": 1}, {"family": "4"}, 0),
    ({"addr": "0.0.0.0", "tcp": 1}, {"family": "4", "proto": 6}, 1),
])
def test_hazard_16_foreign_socket_on_the_port(net, theirs, asked, shared):
    assert net.a.probe("shared", port=5353, **asked) == {"shared": 0}
    with Binder(net.a, theirs) as binder:
        assert net.a.probe("shared", port=5353, **asked) == {"shared": shared}
        assert net.a.probe("shared", port=5354, **asked) == {"shared": 0}
        assert net.a.probe("shared", port=5353, own=binder.cookies[0], **asked) == {"shared": 0}
        assert net.b.probe("shared", port=5353, family="46") == {"shared": 0}


def test_hazard_16_own_sockets_do_not_count(net):
    with Binder(net.a, {"addr": "0.0.0.0"}, {"addr": "10.77.0.1"}, {"addr": "::"}) as binder:
        one, two, three = binder.cookies
        query = {"port": 5353, "family": "46"}
        assert net.a.probe("shared", own=f"{one},{two},{three}", **query) == {"shared": 0}
        assert net.a.probe("shared", own=f"{one},{three}", **query) == {"shared": 1}


# --- privileges -------------------------------------------------------------------------------

def test_caps__of_root_and_of_nobody(net):
    root = net.a.probe("caps")
    assert root["net_admin"] == 1 and root["net_raw"] == 1 and root["bpf_load"] == 0
    assert root["kernel"] == os.uname().release
    assert root["version"][0] == int(os.uname().release.split(".")[0])
    assert root["cpus"] == len(os.sched_getaffinity(0))
    nobody = net.a.probe("caps", uid=65534)
    assert nobody["effective"] == 0 and nobody["net_admin"] == 0
    assert nobody["af_xdp"] == -1, "AF_XDP needs CAP_NET_RAW"


def test_caps__limits(net):
    limited = ["prlimit", "--memlock=65536:65536", "--as=8000000000", "--nofile=500"]
    caps = json.loads(net.a.run(*limited, PROBE, "caps"))
    assert (caps["memlock"], caps["address_space"], caps["descriptors"]) == (65536, 8000000000, 500)
    confined = json.loads(net.a.run("setpriv", "--no-new-privs", PROBE, "caps"))
    assert confined["no_new_privs"] == 1
    assert net.a.probe("caps")["no_new_privs"] == 0
