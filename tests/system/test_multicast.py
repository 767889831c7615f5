# SPDX-License-Identifier: BSD-2-Clause
"""
Groups and broadcast: sockets under the preload at .b, kernel members beside them and at .a, and senders
of either kind. What is said to be fast is read from fsock's counters. The sums over what kernel sockets
send are complete here (transmit checksum offload is off), or generic XDP would leave it to the kernel.
"""
import errno
import json
import os
import pathlib
import subprocess
import time

import pytest

from lab import fsock, net, state

PROGRAMS = pathlib.Path(__file__).resolve().parent / "programs"
PYTHON = "/usr/bin/python3"
LATENCY = {"profile": "latency"}
PORT = 5000
G4, OTHER4 = "239.77.1.1", "239.77.1.2"
G6, OTHER6 = "ff15::77:1", "ff15::77:2"
ANY = {"v4": "0.0.0.0", "v6": "::"}
GROUP = {"v4": G4, "v6": G6}
SECOND = {"v4": OTHER4, "v6": OTHER6}


class Agent:
    """A process of agent.py in @side; @fast under the preload."""

    def __init__(self, side, fast=True, **options):
        argv = [PYTHON, PROGRAMS / "agent.py"]
        if fast:
            argv = fsock.run(argv, **{**LATENCY, **options})
        env = {name: value for name, value in os.environ.items() if name not in fsock.CLEAN}
        self.child = subprocess.Popen(side.argv(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      text=True, env=env)
        self.pid = self.child.pid
        state.record().process(self.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()
        self.child.stdin.close()
        self.child.stdout.close()

    def __call__(self, line):
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()
        answer = json.loads(self.child.stdout.readline())
        if "errno" in answer:
            raise OSError(answer["errno"], f"{errno.errorcode.get(answer['errno'])}: {line}")
        return answer["value"]

    def all(self, *lines):
        return [self(line) for line in lines]

    def counts(self):
        return fsock.counts(self.pid)

    def sockets(self, port=PORT):
        """What fsock says of the sockets on @port: (accelerated, reason)."""
        return [(sock["accelerated"], sock["reason"]) for sock in fsock.sockets(fsock.stat(self.pid))
                if sock["local"].endswith(f":{port}")]

    def took(self, line, fast=0, kernel=0):
        """The answer to @line, by which so many datagrams came by either way."""
        before = self.counts()
        value = self(line)
        after = self.counts()
        ways = (after.rx_fast - before.rx_fast, after.rx_kernel - before.rx_kernel)
        assert ways == (fast, kernel), (line, value, ways)
        return value


def words(group, *numbers):
    return [f"{group} {n}" for n in numbers]


@pytest.fixture(name="wire", scope="module")
def _wire(shared_pair):
    for side in (shared_pair.a, shared_pair.b):
        side.run(["ethtool", "-K", net.LINK, "tx", "off"])
    return shared_pair


@pytest.fixture(name="far")
def _far(wire):
    """A kernel process at .a with senders s4 and s6."""
    with Agent(wire.a, fast=False) as agent:
        agent.all("sender('v4')", "sender('v6', v6=True)")
        yield agent


@pytest.fixture(name="near")
def _near(wire):
    """A kernel process at .b: somebody else on the host of the fast sockets."""
    with Agent(wire.b, fast=False) as agent:
        yield agent


@pytest.fixture(name="ours")
def _ours(wire):
    with Agent(wire.b) as agent:
        yield agent


BOTH = pytest.mark.parametrize("family", ["v4", "v6"])


@BOTH
@pytest.mark.parametrize("where", ["wildcard", "group"])
@pytest.mark.parametrize("order", ["bind first", "join first"])
def test_any_source(ours, far, family, where, order):
    """One member, bound to the port or to the group, whatever the order: fast from the first datagram."""
    group = GROUP[family]
    local = ANY[family] if where == "wildcard" else group
    ours(f"opened('r', v6={family == 'v6'})")
    steps = [f"bind('r', '{local}', {PORT})", f"join('r', '{group}')"]
    ours.all(*(steps if order == "bind first" else steps[::-1]))
    far(f"send('{family}', '{group}', {PORT}, count=20)")
    assert ours.took("got('r', 20)", fast=20) == words(group, *range(20))
    far(f"send('{family}', '{SECOND[family]}', {PORT})")
    assert ours.took("got('r', 0)") == []
    ours(f"leave('r', '{group}')")
    far(f"send('{family}', '{group}', {PORT})")
    assert ours.took("got('r', 0)") == []


@BOTH
def test_several_in_one_process(ours, far, family):
    """Each member of one group on one port has its copy."""
    group = GROUP[family]
    for name in "abc":
        ours.all(f"udp('{name}', '{ANY[family]}', {PORT})", f"join('{name}', '{group}')")
    far(f"send('{family}', '{group}', {PORT}, count=10)")
    for name in "abc":
        assert ours.took(f"got('{name}', 10)", fast=10) == words(group, *range(10))
    ours("close('b')")
    far(f"send('{family}', '{group}', {PORT}, count=10)")
    for name in "ac":
        assert ours.took(f"got('{name}', 10)", fast=10) == words(group, *range(10))


@BOTH
def test_each_its_own_groups(ours, far, family):
    """Sockets on one port that want only what they joined, and one that takes all that is joined."""
    one, two = GROUP[family], SECOND[family]
    for name in "abc":
        ours(f"udp('{name}', '{ANY[family]}', {PORT})")
    ours.all(f"join('a', '{one}')", f"join('b', '{two}')", "own_only('a')", "own_only('b')")
    far.all(f"send('{family}', '{one}', {PORT})", f"send('{family}', '{two}', {PORT}, first=1)")
    assert ours.took("got('a')", fast=1) == words(one, 0)
    assert ours.took("got('b')", fast=1) == words(two, 1)
    assert ours.took("got('c', 2)", fast=2) == words(one, 0) + words(two, 1)
    ours("own_only('a', False)")
    far(f"send('{family}', '{two}', {PORT})")
    assert ours.took("got('a')", fast=1) == words(two, 0)


@BOTH
def test_source_specific(wire, ours, far, family):
    """Two senders: filters of either mode, changed while it runs."""
    group = GROUP[family]
    one, two = ("10.77.0.1", "10.77.0.7") if family == "v4" else ("fd77::1", "fd77::7")
    v6 = family == "v6"
    wire.a.run(["ip", "addr", "add", two + ("/64" if v6 else "/24"), "dev", net.LINK, *(["nodad"] if v6 else [])])
    try:
        for name, source in (("one", one), ("two", two)):
            far.all(f"sender('{name}', v6={v6})", f"bind('{name}', '{source}', 0)")

        def both(name, *expected):
            far.all(f"send('one', '{group}', {PORT}, first=1)", f"send('two', '{group}', {PORT}, first=2)")
            assert ours.took(f"got('{name}', {len(expected)})", fast=len(expected)) == words(group, *expected)

        ours.all(f"udp('r', '{ANY[family]}', {PORT})", f"join('r', '{group}', source='{one}')")
        both("r", 1)
        ours(f"join('r', '{group}', source='{two}')")
        both("r", 1, 2)
        ours(f"leave('r', '{group}', source='{one}')")
        both("r", 2)
        ours.all(f"leave('r', '{group}')", f"join('r', '{group}')", f"block('r', '{group}', '{two}')")
        both("r", 1)
        ours(f"block('r', '{group}', '{two}', undo=True)")
        both("r", 1, 2)
    finally:
        wire.a.run(["ip", "addr", "del", two + ("/64" if v6 else "/24"), "dev", net.LINK])


def test_across_fork(ours, far):
    """A child reads the socket it inherited, and joins with one of its own."""
    ours.all(f"udp('r', '0.0.0.0', {PORT})", f"join('r', '{G4}')")
    far(f"send('v4', '{G4}', {PORT}, count=5)")
    assert ours.took("""forked("got('r', 5)")""", fast=5) == words(G4, *range(5))
    line = f"[udp('c', '0.0.0.0', {PORT}), join('c', '{G4}'), print('joined', flush=True), got('c', 5)][-1]"
    ours.child.stdin.write(f"forked({line!r})\n")
    ours.child.stdin.flush()
    assert ours.child.stdout.readline() == "joined\n"
    before = ours.counts()
    far(f"send('v4', '{G4}', {PORT}, count=5)")
    assert json.loads(ours.child.stdout.readline()) == {"value": words(G4, *range(5))}
    assert ours("got('r', 5)") == words(G4, *range(5))
    assert ours.counts().rx_fast - before.rx_fast == 10
    far(f"send('v4', '{G4}', {PORT}, count=5)")
    assert ours.took("got('r', 5)", fast=5) == words(G4, *range(5))


@BOTH
@pytest.mark.parametrize("member", [True, False], ids=["member", "bound only"])
def test_hazard_16_foreigner_first(ours, near, far, family, member):
    """Somebody else has the port: both receive everything, by the kernel; a join after it left is fast."""
    group = GROUP[family]
    near(f"udp('n', '{ANY[family]}', {PORT})")
    if member:
        near(f"join('n', '{group}')")
    ours.all(f"udp('r', '{ANY[family]}', {PORT})", f"join('r', '{group}')")
    far(f"send('{family}', '{group}', {PORT}, count=10)")
    assert ours.took("got('r', 10)", kernel=10) == words(group, *range(10))
    assert near("got('n', 10)") == words(group, *range(10))
    assert ours.sockets() == [(False, "port_shared")]
    near("close('n')")
    ours.all(f"leave('r', '{group}')", f"join('r', '{group}')")
    far(f"send('{family}', '{group}', {PORT}, count=10)")
    assert ours.took("got('r', 10)", fast=10) == words(group, *range(10))


@BOTH
def test_hazard_16_foreigner_later(ours, near, far, family):
    """A foreigner that comes later misses what comes before the next look, and nothing after it."""
    group = GROUP[family]
    ours.all(f"udp('r', '{ANY[family]}', {PORT})", f"join('r', '{group}')")
    far(f"send('{family}', '{group}', {PORT}, count=10)")
    assert ours.took("got('r', 10)", fast=10) == words(group, *range(10))
    near.all(f"udp('n', '{ANY[family]}', {PORT})", f"join('n', '{group}')")
    time.sleep(1.1)
    ours("got('r', 0)")  # the program calls at all: that is when it is looked for
    far(f"send('{family}', '{group}', {PORT}, count=50)")
    assert near("got('n', 50)") == words(group, *range(50))
    assert ours.took("got('r', 50)", kernel=50) == words(group, *range(50))


def test_hazard_16_other_groups_stay(ours, near, far):
    """A foreigner bound to one group takes that one from the fast path, not its neighbours."""
    near.all(f"udp('n', '{G4}', {PORT})", f"join('n', '{G4}')")
    for name, group in (("one", G4), ("two", OTHER4)):
        ours.all(f"udp('{name}', '{group}', {PORT})", f"join('{name}', '{group}')")
    far.all(f"send('v4', '{G4}', {PORT})", f"send('v4', '{OTHER4}', {PORT})")
    assert ours.took("got('one')", kernel=1) == words(G4, 0)
    assert ours.took("got('two')", fast=1) == words(OTHER4, 0)
    assert near("got('n')") == words(G4, 0)


def test_left_to_the_kernel(ours, far):
    """Two members, one of which sets what only the kernel carries: both still receive everything."""
    for name in "ab":
        ours.all(f"udp('{name}', '0.0.0.0', {PORT})", f"join('{name}', '{G4}')")
    ours("setopt('a', 'SOL_SOCKET', 'SO_RCVLOWAT', 1)")
    far(f"send('v4', '{G4}', {PORT}, count=10)")
    for name in "ab":
        assert ours(f"got('{name}', 10)") == words(G4, *range(10))
    ours("close('a')")
    ours.all(f"leave('b', '{G4}')", f"join('b', '{G4}')")
    far(f"send('v4', '{G4}', {PORT}, count=10)")
    assert ours.took("got('b', 10)", fast=10) == words(G4, *range(10))


def test_like_mdns(ours, near, far):
    """Port 5353, both families, several sockets with SO_REUSEADDR and SO_REUSEPORT; then a real neighbour."""
    both = "reuse=('ADDR', 'PORT')"
    groups = {"v4": "224.0.0.251", "v6": "ff02::fb"}
    for i in range(3):
        for family, group in groups.items():
            ours.all(f"udp('{family}{i}', '{ANY[family]}', 5353, {both})", f"join('{family}{i}', '{group}')")
    for family, group in groups.items():
        far(f"send('{family}', '{group}', 5353, count=3)")
        for i in range(3):
            assert ours.took(f"got('{family}{i}', 3)", fast=3) == words(group, 0, 1, 2)
    # Unicast to the port reaches one of them, as ever.
    far(f"send('v4', '{net.B4}', 5353)")
    assert sum(len(ours(f"got('v4{i}', 0)")) for i in range(3)) == 1
    for family, group in groups.items():
        near.all(f"udp('{family}', '{ANY[family]}', 5353, {both})", f"join('{family}', '{group}')")
    time.sleep(1.1)
    ours("got('v40', 0)")
    for family, group in groups.items():
        far(f"send('{family}', '{group}', 5353, count=3)")
        for i in range(3):
            assert ours.took(f"got('{family}{i}', 3)", kernel=3) == words(group, 0, 1, 2)
        assert near(f"got('{family}', 3)") == words(group, 0, 1, 2)
    # What ours say to the group reaches the neighbour, themselves and the other end.
    far.all(f"udp('m', '0.0.0.0', 5353, {both})", "join('m', '224.0.0.251')")
    ours("leave_by('v40')")
    ours("send('v40', '224.0.0.251', 5353)")
    for agent, name in ((ours, "v40"), (ours, "v41"), (near, "v4"), (far, "m")):
        assert agent(f"got('{name}')") == words("224.0.0.251", 0)


def test_like_ptp(ours, far):
    """Event and general messages of one group on two ports, answered by a member at the other end."""
    group = "224.0.1.129"
    for port in (319, 320):
        for agent in (ours, far):
            agent.all(f"udp('p{port}', '0.0.0.0', {port})", f"join('p{port}', '{group}')",
                      f"leave_by('p{port}')", f"setopt('p{port}', 'IPPROTO_IP', 'IP_MULTICAST_LOOP', 0)")
    for port in (319, 320):
        far(f"send('p{port}', '{group}', {port}, count=10)")
        assert ours.took(f"got('p{port}', 10)", fast=10) == words(group, *range(10))
        ours(f"send('p{port}', '{group}', {port}, count=10)")
        assert far(f"got('p{port}', 10)") == words(group, *range(10))
        assert ours("got('p319', 0)") == []


def test_like_market_data(ours, far):
    """Hundreds of groups on one port: each of many sockets gets its own groups and no other."""
    sockets, each = 20, 15
    groups = [f"239.78.{i // 200}.{i % 200 + 1}" for i in range(sockets * each)]
    far("__import__('pathlib').Path('/proc/sys/net/ipv4/igmp_max_memberships').write_text('1000')")
    ours("__import__('pathlib').Path('/proc/sys/net/ipv4/igmp_max_memberships').write_text('1000')")
    for i in range(sockets):
        ours.all(f"udp('s{i}', '0.0.0.0', {PORT})", f"own_only('s{i}')",
                 f"[join('s{i}', g) for g in {groups[i::sockets]!r}]")
    far(f"[send('v4', g, {PORT}, gap=0.0005) for g in {groups!r}]")
    before = ours.counts()
    for i in range(sockets):
        # A datagram that came by the shadow may stand anywhere among those of the fast path.
        assert sorted(ours(f"got('s{i}', {each}, quiet=0.02)")) == \
            sorted(word for g in groups[i::sockets] for word in words(g, 0))
    assert ours.counts().rx_fast - before.rx_fast >= 0.99 * len(groups)


def test_broadcast(ours, near, far):
    """Limited and of the subnet: every socket on the port has a copy, whoever it belongs to."""
    for agent, name in ((ours, "a"), (ours, "b"), (near, "n")):
        agent(f"udp('{name}', '0.0.0.0', {PORT})")
    far.all("opened('u')", "setopt('u', 'SOL_SOCKET', 'SO_BROADCAST', 1)", "bind('u', '10.77.0.1', 0)",
            "setopt('u', 'SOL_SOCKET', 'SO_BINDTODEVICE', b'fst0')")
    for address in ("10.77.0.255", "255.255.255.255"):
        far(f"send('u', '{address}', {PORT}, count=3)")
        for agent, name in ((ours, "a"), (ours, "b"), (near, "n")):
            assert agent(f"got('{name}', 3)") == words(address, 0, 1, 2)
    with pytest.raises(PermissionError):
        ours(f"send('a', '10.77.0.255', {PORT})")
    ours("setopt('a', 'SOL_SOCKET', 'SO_BROADCAST', 1)")
    far(f"udp('f', '0.0.0.0', {PORT})")
    ours(f"send('a', '10.77.0.255', {PORT})")
    for agent, name in ((far, "f"), (near, "n"), (ours, "a"), (ours, "b")):
        assert agent(f"got('{name}')") == words("10.77.0.255", 0)


def test_names_of_link_local_senders(wire, ours, far):
    """The scope of a link-local sender is in its name, in both ways' answers alike."""
    shown = wire.a.run(["ip", "-6", "-j", "addr", "show", "dev", net.LINK, "scope", "link"]).out
    address = next(found["local"] for link in json.loads(shown) for found in link.get("addr_info", []) if found)
    index = ours("socket.if_nametoindex('fst0')")
    ours.all(f"udp('r', '::', {PORT})", "join('r', 'ff02::77')")
    far.all("sender('l', v6=True)", "bind('l', %r, 6000, link='fst0')" % address)
    far(f"send('l', 'ff02::77', {PORT})")
    assert ours.took("got('r', names=True)", fast=1) == [["ff02::77 0", address, 6000, 0, index]]


def test_pktinfo(ours, far):
    """The group, the interface, and whom an answer would come from."""
    ours.all(f"udp('r', '0.0.0.0', {PORT})", "setopt('r', 'IPPROTO_IP', IP_PKTINFO, 1)", f"join('r', '{G4}')")
    far(f"send('v4', '{G4}', {PORT})")
    index = ours("socket.if_nametoindex('fst0')")
    assert ours.took("select.select([socks['r']], [], [], 2) and pktinfo('r')", fast=1) == \
        [f"{G4} 0", index, net.B4, G4]


def sent(agent, line, fast=0, kernel=0):
    """@line sends so many by either way."""
    before = agent.counts()
    agent(line)
    after = agent.counts()
    ways = (after.tx_fast - before.tx_fast, after.tx_kernel - before.tx_kernel)
    assert ways == (fast, kernel), (line, ways)


@BOTH
def test_sending(ours, far, family):
    """To a group with no member here: fast, with the hop limit set, whole, and called by the right name."""
    group, v6 = GROUP[family], family == "v6"
    source = net.B6 if v6 else net.B4
    far.all(f"udp('m', '{ANY[family]}', {PORT})", f"join('m', '{group}')")
    far("setopt('m', 'IPPROTO_IPV6', 'IPV6_RECVHOPLIMIT', 1)" if v6 else
        "setopt('m', 'IPPROTO_IP', IP_RECVTTL, 1)")
    level, option = ("IPPROTO_IPV6", "IPV6_MULTICAST_HOPS") if v6 else ("IPPROTO_IP", "IP_MULTICAST_TTL")
    ours(f"sender('s', v6={v6})")
    for value, expected in ((None, 1), (7, 7), (255, 255), (-1, 1)):
        if value is not None:
            ours(f"setopt('s', '{level}', '{option}', {value})")
        sent(ours, f"send('s', '{group}', {PORT})", fast=1)
        assert far("select.select([socks['m']], [], [], 2) and hops('m')") == [f"{group} 0", expected]
    # What is set for unicast is not for groups.
    ours("setopt('s', 'IPPROTO_IPV6', 'IPV6_UNICAST_HOPS', 9)" if v6 else "setopt('s', 'IPPROTO_IP', 'IP_TTL', 9)")
    sent(ours, f"send('s', '{group}', {PORT})", fast=1)
    assert far("select.select([socks['m']], [], [], 2) and hops('m')") == [f"{group} 0", 1]
    sent(ours, f"send('s', '{group}', {PORT}, count=20)", fast=20)
    assert [found[1] for found in far("got('m', 20, names=True)")] == [source] * 20
    ours(f"socks['s'].connect(('{group}', {PORT}))")
    sent(ours, "[socks['s'].send(b'connected') for _ in range(5)]", fast=5)
    assert far("got('m', 5)") == ["connected"] * 5
    # What becomes of hop limit 0 is the kernel's to say.
    ours(f"setopt('s', '{level}', '{option}', 0)")
    sent(ours, "socks['s'].send(b'none')", kernel=1)


@BOTH
@pytest.mark.parametrize("who", ["foreign", "own"])
def test_sending_with_members_here(ours, near, far, family, who):
    """With a member on this host the kernel sends and loops back; not if the sender wants no loop."""
    group, v6 = GROUP[family], family == "v6"
    far.all(f"udp('m', '{ANY[family]}', {PORT})", f"join('m', '{group}')")
    ours(f"sender('s', v6={v6})")
    sent(ours, f"send('s', '{group}', {PORT})", fast=1)
    assert far("got('m')") == words(group, 0)
    member = near if who == "foreign" else ours
    member.all(f"udp('n', '{ANY[family]}', {PORT})", f"join('n', '{group}')")
    if who == "foreign":
        time.sleep(1.1)  # what was learned of a destination holds so long
    sent(ours, f"send('s', '{group}', {PORT}, count=3)", kernel=3)
    assert member("got('n', 3)") == far("got('m', 3)") == words(group, 0, 1, 2)
    ours("setopt('s', 'IPPROTO_IPV6', 'IPV6_MULTICAST_LOOP', 0)" if v6 else
         "setopt('s', 'IPPROTO_IP', 'IP_MULTICAST_LOOP', 0)")
    sent(ours, f"send('s', '{group}', {PORT}, count=3)", fast=3)
    assert far("got('m', 3)") == words(group, 0, 1, 2)
    assert member("got('n', 0)") == []


def test_two_interfaces(wire, far):
    """One group on two interfaces: each member hears its own, the sender chooses, one goes away."""
    a, b = wire.a.name, wire.b.name
    subprocess.run(["ip", "link", "add", "fst1", "netns", a, "type", "veth", "peer", "name", "fst1",
                    "netns", b], check=True)
    try:
        for side, last in ((wire.a, 1), (wire.b, 2)):
            side.run(["ip", "addr", "add", f"10.78.0.{last}/24", "dev", "fst1"])
            side.run(["ip", "link", "set", "fst1", "up"])
            side.run(["ethtool", "-K", "fst1", "tx", "off"])
        with Agent(wire.b) as ours:
            far("sender('other', link='fst1')")
            for name, link in (("one", "fst0"), ("two", "fst1")):
                ours.all(f"udp('{name}', '0.0.0.0', {PORT})", f"join('{name}', '{G4}', link='{link}')",
                         f"own_only('{name}')")
            far.all(f"send('v4', '{G4}', {PORT})", f"send('other', '{G4}', {PORT}, first=1)")
            assert ours.took("got('one')", fast=1) == words(G4, 0)
            assert ours.took("got('two')", fast=1) == words(G4, 1)
            far(f"udp('m', '0.0.0.0', {PORT})")
            far(f"join('m', '{OTHER4}', link='fst1')")
            ours("sender('s', link='fst1')")
            sent(ours, f"send('s', '{OTHER4}', {PORT})", fast=1)
            ours("leave_by('s', 'fst0')")
            sent(ours, f"send('s', '{OTHER4}', {PORT}, first=1)", fast=1)
            assert far("got('m', names=True)") == [[f"{OTHER4} 0", "10.78.0.2",
                                                    ours("socks['s'].getsockname()[1]")]]
            wire.b.run(["ip", "link", "del", "fst1"])
            time.sleep(0.1)
            assert ours("got('two', 0)") == []
            far(f"send('v4', '{G4}', {PORT}, first=2)")
            # The other socket's shadow has the port now, so this one's group is the kernel's, too.
            assert ours("got('one')") == words(G4, 2)
    finally:
        wire.b.run(["ip", "link", "del", "fst1"])
