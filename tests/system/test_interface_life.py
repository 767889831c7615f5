# SPDX-License-Identifier: BSD-2-Clause
"""
The interface under an accelerated program changes while it works: down, up, renamed, re-addressed, another
MTU, moved away, removed and made again. In another pair of namespaces the same program runs on kernel sockets
through the same events: what its calls return is compared, call by call. Counters say that the datagrams
before and after took the fast path.
"""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

from lab import fsock, net, proc, state

PYTHON = "/usr/bin/python3"
KINDS = {
    "generic": {"provider": "xdp", "xdp_mode": "generic"},
    "native": {"provider": "xdp", "xdp_mode": "native"},
    "packet": {"provider": "packet"},
}
CHOSEN = [pytest.param(kind, marks=() if kind == "native" else pytest.mark.whole) for kind in KINDS]
PEER, PORT = net.B4, 9000

ECHO = """
import socket, sys
sock = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[1], 9000))
print("ready", flush=True)
while True:
    data, peer = sock.recvfrom(65536)
    try:
        sock.sendto(data, peer)
    except OSError:
        pass
"""

# Reads orders, one a line, and prints what the calls returned. "ask" waits long for each answer, "miss" is for what
# gets none; "pump" sends until the next order.
AGENT = """
import errno, os, select, socket, sys, time
how, mine, peer = sys.argv[1:4]
sock = socket.socket(socket.AF_INET6 if ":" in peer else socket.AF_INET, socket.SOCK_DGRAM)
PATIENCE, A_WHILE = 20, 0.5
sock.settimeout(A_WHILE)
if how in ("bound", "both"):
    sock.bind((mine, 7000))
elif how == "any":
    sock.bind(("", 7000))
elif how == "device":
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"fst0")
    sock.bind(("", 7000))
if how in ("connected", "both"):
    sock.connect((peer, 9000))

def send(size):
    try:
        return "sent" if sock.sendto(b"x" * size, (peer, 9000)) == size else "short"
    except TimeoutError:
        return "EAGAIN"
    except OSError as error:
        return errno.errorcode[error.errno]

def miss(size, patience=A_WHILE):
    said = send(size)
    if said != "sent":
        return said
    sock.settimeout(patience)
    try:
        return "same" if sock.recv(65536) == b"x" * size else "other"
    except TimeoutError:
        return "lost"
    except OSError as error:
        return errno.errorcode[error.errno]
    finally:
        sock.settimeout(A_WHILE)

def ask(size):
    return miss(size, PATIENCE)

def wait(how):
    sock.settimeout(None)
    print("waiting", flush=True)
    if how == "epoll":
        with select.epoll() as sets:
            sets.register(sock, select.EPOLLIN)
            events = sets.poll(20)
        said = "events " + " ".join(str(what) for _, what in events)
    elif how == "select":
        said = "ready " + str(len(select.select([sock], [], [], 20)[0]))
    else:
        said = "received"
    said += " " + sock.recv(100).decode()
    sock.settimeout(A_WHILE)
    return said

def drain():
    # What was sent into the event may have been kept for its end.
    sock.setblocking(False)
    try:
        while True:
            sock.recv(65536)
    except OSError:
        sock.settimeout(A_WHILE)

def pump(size):
    seen = set()
    while not select.select([0], [], [], 0)[0]:
        said = send(int(size))
        if said not in seen:
            seen.add(said)
            print("saw", said, flush=True)
        drain()
    return " ".join(sorted(seen))

def many(order, times, size):
    drain()
    return " ".join(globals()[order](int(size)) for _ in range(int(times)))

print("ready", flush=True)
for line in sys.stdin:
    order, *rest = line.split()
    print("=", wait(*rest) if order == "wait" else pump(*rest) if order == "pump" else many(order, *rest), flush=True)
"""


def ip(namespace, *words):
    done = subprocess.run(["ip", "-n", namespace, *words], text=True, capture_output=True, check=False)
    assert done.returncode == 0, (words, done.stderr)


class Agent(proc.Process):
    def __init__(self, side, peer, how, options, script=AGENT):
        read, self.to = os.pipe()
        argv = [PYTHON, "-u", "-c", script, how, side.v6 if ":" in peer else side.v4, peer]
        argv = fsock.run(argv, **options) if options is not None else argv
        super().__init__(side.argv(argv), env=fsock.CLEAN, stdin=read)
        os.close(read)
        self.answers = 0
        assert self.wait_for("ready"), self.err

    def order(self, text):
        os.write(self.to, (text + "\n").encode())

    def answer(self, timeout=60):
        self.answers += 1
        proc.until(lambda: len(self._lines()) >= self.answers or not self.alive(), timeout)
        assert len(self._lines()) >= self.answers, (self.out, self.err)
        return self._lines()[self.answers - 1]

    def _lines(self):
        whole = self.out.rpartition("\n")[0]
        return [line[2:] for line in whole.split("\n") if line.startswith("= ")]

    def __call__(self, text):
        self.order(text)
        return self.answer()

    def __exit__(self, *_):
        os.close(self.to)
        super().__exit__()


class Scene:
    """A pair with an echo server in b and the agent in a, accelerated with @options or not at all (None)."""

    def __init__(self, stack, how="both", options=None, peer=PEER, queues=None):
        self.pair = stack.enter_context(net.Pair(queues=queues))
        self.pair.meet()
        self.fast = options is not None
        record = state.record()
        self.spare = record.name("fst", "spare")
        ip_netns("add", self.spare)
        stack.callback(state.drop_namespace, self.spare)
        argv = [PYTHON, "-u", "-c", ECHO, peer]
        argv = fsock.run(argv, **options) if self.fast else argv
        self.server = stack.enter_context(proc.Process(self.pair.b.argv(argv), env=fsock.CLEAN))
        assert self.server.wait_for("ready"), self.server.err
        self.agent = stack.enter_context(Agent(self.pair.a, peer, how, options))

    def ip(self, *words):
        ip(self.pair.a.name, *words)

    def settle(self):
        """Everything is as it was to begin with: neighbours known, and the program has heard of it."""
        self.pair.meet()
        time.sleep(0.05)

    def counts(self):
        return fsock.counts(self.agent.pid)


def ip_netns(*words):
    subprocess.run(["ip", "netns", *words], check=True, capture_output=True)


@contextlib.contextmanager
def scenes(options, **more):
    with contextlib.ExitStack() as stack:
        yield Scene(stack, options=options, **more), Scene(stack, **more)


def addresses(scene):
    scene.ip("addr", "replace", f"{net.A4}/24", "dev", net.LINK)
    scene.ip("addr", "replace", f"{net.A6}/64", "dev", net.LINK, "nodad")


# --- events: each says what to ask while it lasts, and how it ends ------------------------------

def down(scene):
    scene.ip("link", "set", net.LINK, "down")
    yield ["send 3 64", "send 2 1400"]
    scene.ip("link", "set", net.LINK, "up")
    addresses(scene)


def flap(scene):
    scene.ip("link", "set", net.LINK, "down")
    yield []
    scene.ip("link", "set", net.LINK, "up")


def peer_down(scene):
    """The carrier is lost: the kernel sends, and nothing arrives."""
    ip(scene.pair.b.name, "link", "set", net.LINK, "down")
    yield ["send 5 64", "send 2 1400"]
    ip(scene.pair.b.name, "link", "set", net.LINK, "up")
    ip(scene.pair.b.name, "addr", "replace", f"{net.B6}/64", "dev", net.LINK, "nodad")


def removed(scene):
    pair = scene.pair
    scene.ip("link", "del", net.LINK)
    yield ["send 3 64"]
    subprocess.run(["ip", "link", "add", net.LINK, "netns", pair.a.name, "type", "veth", "peer", "name",
                    net.LINK, "netns", pair.b.name], check=True)
    for side in (pair.a, pair.b):
        ip(side.name, "addr", "add", f"{side.v4}/24", "dev", net.LINK)
        ip(side.name, "addr", "add", f"{side.v6}/64", "dev", net.LINK, "nodad")
        ip(side.name, "link", "set", net.LINK, "up")


def moved(scene):
    scene.ip("link", "set", net.LINK, "netns", scene.spare)
    yield ["send 3 64"]
    ip(scene.spare, "link", "set", net.LINK, "netns", scene.pair.a.name)
    addresses(scene)
    scene.ip("link", "set", net.LINK, "up")
    scene.ip("addr", "replace", f"{net.A6}/64", "dev", net.LINK, "nodad")


def renamed(scene):
    scene.ip("link", "set", net.LINK, "down")
    scene.ip("link", "set", net.LINK, "name", "fst9")
    scene.ip("link", "set", "fst9", "up")
    yield ["send 1 64"]
    if scene.fast:
        assert names_of_ports(scene.agent.pid) == ["fst9"]
    scene.ip("link", "set", "fst9", "down")
    scene.ip("link", "set", "fst9", "name", net.LINK)
    scene.ip("link", "set", net.LINK, "up")
    addresses(scene)


def readdressed(scene):
    scene.ip("addr", "add", "10.77.0.9/24", "dev", net.LINK)
    scene.ip("addr", "del", f"{net.A4}/24", "dev", net.LINK)
    scene.ip("addr", "replace", "10.77.0.9/24", "dev", net.LINK)  # as a secondary it went, too
    yield ["send 3 64"]
    scene.ip("addr", "del", "10.77.0.9/24", "dev", net.LINK)
    addresses(scene)


def smaller_mtu(scene):
    scene.ip("link", "set", net.LINK, "mtu", "1000")
    ip(scene.pair.b.name, "link", "set", net.LINK, "mtu", "1000")
    yield ["ask 3 64", "ask 2 1472", "ask 2 972"]
    scene.ip("link", "set", net.LINK, "mtu", "1500")
    ip(scene.pair.b.name, "link", "set", net.LINK, "mtu", "1500")


def enslaved(scene):
    """To a bridge that is down: nothing comes through it."""
    scene.ip("link", "add", "br9", "type", "bridge")
    scene.ip("link", "set", net.LINK, "master", "br9")
    yield ["send 1 64", "miss 2 64"]
    if scene.fast:
        assert fsock.reasons(fsock.stat(scene.agent.pid)) == {"interface_kind"}
    scene.ip("link", "set", net.LINK, "nomaster")
    scene.ip("link", "del", "br9")


def other_station(scene):
    scene.ip("link", "set", net.LINK, "address", "02:00:5e:77:00:01")
    scene.pair.meet()
    yield ["ask 3 64"]


EVENTS = [down, peer_down, removed, moved, renamed, readdressed, smaller_mtu, enslaved, other_station]
CLOSING = 4  # of them cost the port: removed, moved, enslaved, other_station


def names_of_ports(pid):
    return [port["interface"] for stack in fsock.stat(pid)["stacks"] for port in stack["ports"]]


def asks_fast(scene, times=20, after=None):
    """So many exchanges, all of them by the fast path."""
    scene.settle()
    before, served = scene.counts(), fsock.counts(scene.server.pid)
    assert set(scene.agent(f"ask {times} 64").split()) == {"same"}, (after, scene.agent.err)
    served = fsock.counts(scene.server.pid).fast - served.fast
    assert served >= 2 * times - 4, (after, served, fsock.stat(scene.server.pid))
    after = scene.counts()
    assert after.tx_fast - before.tx_fast == times, (before, after, fsock.stat(scene.agent.pid))
    assert after.rx_fast - before.rx_fast >= times - 2, (before, after)


def runs_through(ours, kernel, event):
    """Both through @event, with the same results."""
    events = event(ours), event(kernel)
    orders = [next(e) for e in events][0]
    time.sleep(0.05)
    for order in orders:
        ours.agent.order(order)
        said = kernel.agent(order)
        assert ours.agent.answer() == said, (event.__name__, order, ours.agent.err)
    for e in events:
        assert next(e, None) is None
    kernel.settle()
    assert set(kernel.agent("ask 3 64").split()) == {"same"}


@pytest.mark.parametrize("kind", CHOSEN)
def test_events_as_on_the_kernel(kind):
    """Every event in turn: the kernel's results while it lasts, the fast path before and after."""
    with scenes({"profile": "latency", **KINDS[kind]}) as (ours, kernel):
        asks_fast(ours)
        for event in EVENTS:
            runs_through(ours, kernel, event)
            asks_fast(ours, after=event.__name__)
        counters = fsock.counters(ours.agent.pid)
        assert counters["ports_lost"] == CLOSING, counters
        assert counters["moved_to_kernel"] == 0, counters


@pytest.mark.parametrize("kind", CHOSEN)
@pytest.mark.parametrize("event", [down, moved])
def test_events_in_traffic(kind, event):
    """Under a program that sends without a pause: no result that the kernel's program does not see."""
    with scenes({"profile": "latency", **KINDS[kind]}) as both:
        asks_fast(both[0])
        said = []
        for scene in both:
            scene.agent.order("pump 64")
            assert scene.agent.wait_for("saw sent"), scene.agent.err
            steps = event(scene)
            next(steps)
            assert scene.agent.wait_for("saw ENETUNREACH"), scene.agent.err
            assert next(steps, None) is None
            scene.agent.order("send 1 64")
            # While a neighbour is asked for, what waits for it may fill the send buffer.
            said.append(set(scene.agent.answer().split()) - {"EAGAIN"})
            scene.agent.answer()
        assert said[0] == said[1] == {"sent", "ENETUNREACH"}, both[0].agent.err
        asks_fast(both[0])


@pytest.mark.parametrize("how", ["bound", "any", "connected"])
def test_events_by_kind_of_socket(how):
    with scenes({"profile": "latency"}, how=how) as (ours, kernel):
        for event in (down, removed, readdressed):
            runs_through(ours, kernel, event)
            asks_fast(ours)


def test_bound_to_a_device_that_is_another_now():
    """SO_BINDTODEVICE names one interface, not whichever has its name."""
    with scenes({"profile": "latency"}, how="device") as both:
        said = []
        for scene in both:
            for event in (down, removed):
                steps = event(scene)
                next(steps)
                said.append([scene.agent("send 2 64")])
                next(steps, None)
                scene.settle()
                said[-1].append(scene.agent(f"{'ask' if event is down else 'miss'} 2 64"))
            if scene.fast:
                assert fsock.counters(scene.agent.pid)["ports_lost"] == 1
        assert said[:2] == said[2:], both[0].agent.err
        assert said[0][1] == "same same" and "same" not in said[1][1]


def test_address_moves_to_another_interface():
    """The socket follows its address, and the fast path with it."""
    with contextlib.ExitStack() as stack:
        scene = Scene(stack, options={"profile": "latency"})
        asks_fast(scene)
        pair = scene.pair
        subprocess.run(["ip", "link", "add", "fst1", "netns", pair.a.name, "type", "veth", "peer", "name", "fst1",
                        "netns", pair.b.name], check=True)
        for side in (pair.a, pair.b):
            ip(side.name, "link", "set", "fst1", "up")
            ip(side.name, "addr", "del", f"{side.v4}/24", "dev", net.LINK)
            ip(side.name, "addr", "add", f"{side.v4}/24", "dev", "fst1")
        assert set(scene.agent("ask 5 64").split()) == {"same"}
        before = scene.counts()
        assert set(scene.agent("ask 20 64").split()) == {"same"}
        after = scene.counts()
        assert (after.tx_fast - before.tx_fast, after.rx_fast - before.rx_fast) == (20, 20), scene.agent.err
        assert names_of_ports(scene.agent.pid) == [net.LINK, "fst1"]


def test_events_ipv6():
    """An IPv6 address goes when its interface is down, and is the user's to bring back."""
    with scenes({"profile": "latency"}, how="bound", peer=net.B6) as (ours, kernel):
        for event in (down, moved):
            runs_through(ours, kernel, event)
            asks_fast(ours)


@pytest.mark.parametrize("kind", CHOSEN)
def test_events_with_several_queues(kind):
    with scenes({"profile": "latency", **KINDS[kind]}, queues=(3, 3)) as (ours, kernel):
        for event in (down, moved):
            runs_through(ours, kernel, event)
            asks_fast(ours)


@pytest.mark.parametrize("kind", CHOSEN)
def test_larger_mtu(kind):
    """The port grows with the interface, or says why it cannot; large datagrams arrive either way."""
    with scenes({"profile": "latency", **KINDS[kind]}) as (ours, kernel):
        for scene in (ours, kernel):
            for side in (scene.pair.b, scene.pair.a):
                subprocess.run(["ip", "-n", side.name, "link", "set", net.LINK, "mtu", "9000"],
                               check=False, capture_output=True)
        large = [mtu(scene) for scene in (ours, kernel)]
        assert set(kernel.agent("ask 3 8000").split()) == {"same"}
        assert set(ours.agent("ask 3 8000").split()) == {"same"}, (large, ours.agent.err)
        proc.until(lambda: fsock.accelerated(ours.agent.pid))
        asks_fast(ours)
        if large[0] == 9000:
            before = ours.counts()
            assert set(ours.agent("ask 5 8000").split()) == {"same"}
            assert ours.counts().tx_fast - before.tx_fast == 5


def mtu(scene):
    links = json.loads(scene.pair.a.run(["ip", "-json", "link", "show", net.LINK]).out)
    return links[0]["mtu"]


@pytest.mark.parametrize("how", ["receive", "epoll", "select"])
def test_sleepers_across_an_event(how):
    """Who sleeps sleeps on, as on the kernel, and wakes for what comes when the interface is back."""
    with scenes({"client_datagrams": 0}) as (ours, kernel):  # the latency profile would spin
        asks_fast(ours)
        said = []
        for scene in (ours, kernel):
            scene.agent.order(f"wait {how}")
            assert scene.agent.wait_for("waiting")
            for event in (down, moved):
                steps = event(scene)
                next(steps)
                before = cpu_time(scene.agent.pid)
                time.sleep(0.3)
                assert cpu_time(scene.agent.pid) - before < 0.1, "awake while the interface is away"
                assert next(steps, None) is None
            scene.settle()
            time.sleep(0.2)
            done = scene.pair.b.run([PYTHON, "-c", ANSWER])
            assert done.status == 0, done.err
            said.append(scene.agent.answer())
        assert said[0] == said[1], ours.agent.err
        asks_fast(ours)


def cpu_time(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# From the port that the agent is connected to.
ANSWER = f"""
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
packet = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
import struct
packet.sendto(struct.pack("!HHHH", 9000, 7000, 12, 0) + b"wake", ("{net.A4}", 0))
"""


# --- nothing is left behind ---------------------------------------------------------------------

A_BATCH = 128  # frames that may be on their way back from a ring
ONCE = 3  # what is opened when a thread first spins, or sleeps, is not opened again: a leak is there each time


def holdings(pid):
    """What the program holds: descriptors, and BPF programs among them."""
    links = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            links.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    port, = (port for stack in fsock.stat(pid)["stacks"] for port in stack["ports"])
    return {"descriptors": len(links), "bpf": sum("bpf" in link for link in links), "size": pages(pid),
            "frames": port["frames_total"], "free": port["frames_free"]}


def pages(pid):
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[0])


def published(scene):
    """Figures are brought up to date once a second, by whoever calls."""
    time.sleep(1.1)
    scene.agent("ask 2 64")
    return holdings(scene.agent.pid)


def happens(scene, event, times):
    for _ in range(times):
        steps = event(scene)
        next(steps)
        scene.agent("send 1 64")
        next(steps, None)
        scene.agent("send 1 64")
    asks_fast(scene)


@pytest.mark.parametrize("kind", CHOSEN)
def test_flapping_leaves_nothing_behind(kind):
    with contextlib.ExitStack() as stack:
        scene = Scene(stack, options={"profile": "latency", **KINDS[kind]})
        asks_fast(scene)
        for event, times in ((flap, 10 if kind == "native" else 50), (moved, 1), (moved, 4)):
            for _ in range(ONCE):
                before = published(scene)
                happens(scene, event, times)
                after = published(scene)
                if after | {"free": 0} == before | {"free": 0}:
                    break
            if (event, times) != (moved, 1):  # the first time memory may be made for what stays
                assert after | {"free": 0} == before | {"free": 0}, (event.__name__, before, after)
                assert abs(after["free"] - before["free"]) < A_BATCH, (event.__name__, before, after)
        assert fsock.counters(scene.agent.pid)["moved_to_kernel"] == 0


# --- groups -------------------------------------------------------------------------------------

GROUP = "239.9.9.9"
LISTENER = f"""
import errno, socket, struct, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("", 7001))
group = socket.inet_aton("{GROUP}")

def change(option):
    index = socket.if_nametoindex("{net.LINK}")
    try:
        sock.setsockopt(socket.IPPROTO_IP, option, struct.pack("=4s4si", group, bytes(4), index))
        return "ok"
    except OSError as error:
        return errno.errorcode[error.errno]

def heard(least):
    n = 0
    try:
        while True:
            sock.settimeout(20 if n < int(least) else 0.3)
            sock.recv(100)
            n += 1
    except TimeoutError:
        return str(n)

change(socket.IP_ADD_MEMBERSHIP)
print("ready", flush=True)
orders = {{"heard": heard, "join": lambda: change(socket.IP_ADD_MEMBERSHIP),
          "leave": lambda: change(socket.IP_DROP_MEMBERSHIP)}}
for line in sys.stdin:
    order, *rest = line.split()
    print("=", orders[order](*rest), flush=True)
"""

SPEAK = f"""
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("{net.B4}"))
for _ in range(5):
    sock.sendto(b"hello", ("{GROUP}", 7001))
"""


def hears(scene, least):
    done = scene.pair.b.run([PYTHON, "-c", SPEAK])
    assert done.status == 0, done.err
    return scene.agent(f"heard {least}")


def test_groups_end_with_their_interface():
    """Down and up keeps a membership, as on the kernel; who went away has to be joined again."""
    with contextlib.ExitStack() as stack:
        both = [Scene(stack, options=options) for options in
                ({"profile": "latency", "xdp_mode": "native"}, None)]
        said = []
        for scene in both:
            scene.agent.kill()
            scene.agent = stack.enter_context(Agent(
                scene.pair.a, PEER, "none", {"profile": "latency", "xdp_mode": "native"} if scene.fast else None,
                LISTENER))
            answers = [hears(scene, 5)]
            for event in (down, moved, removed):
                steps = event(scene)
                next(steps)
                next(steps, None)
                scene.settle()
                before = scene.counts()
                scene.agent("heard 0")  # it learns of the event
                kept = 5 if event is down else 0
                answers += [event.__name__, hears(scene, kept), *map(scene.agent, ("join", "leave", "join")),
                            hears(scene, 5)]
                if scene.fast:
                    assert scene.counts().rx_fast - before.rx_fast == (10 if event is down else 5), scene.agent.err
            said.append(answers)
        assert said[0] == said[1], both[0].agent.err
        assert said[0][:3] == ["5", "down", "5"]


# --- others -------------------------------------------------------------------------------------

def test_another_program_takes_the_interface_meanwhile():
    """It has it until it ends; then the first has it again."""
    with contextlib.ExitStack() as stack:
        scene = Scene(stack, options={"profile": "latency"})
        asks_fast(scene)
        scene.agent.send(signal.SIGSTOP)
        steps = removed(scene)
        next(steps)
        next(steps, None)
        scene.settle()
        other = stack.enter_context(Agent(scene.pair.a, PEER, "none", {"profile": "latency"}))
        assert set(other("ask 5 64").split()) == {"same"}
        assert fsock.accelerated(other.pid)
        scene.agent.send(signal.SIGCONT)
        assert set(scene.agent("ask 5 64").split()) == {"same"}
        assert fsock.reasons(fsock.stat(scene.agent.pid)) == {"interface_busy"}
        other.kill()
        assert proc.until(lambda: "same" in scene.agent("ask 1 64") and fsock.accelerated(scene.agent.pid)), \
            (fsock.stat(scene.agent.pid), scene.agent.err)
        asks_fast(scene)


def test_bound_while_the_interface_is_down():
    """A server that starts before its interface is up gets the fast path with it."""
    with contextlib.ExitStack() as stack:
        pair = stack.enter_context(net.Pair())
        ip(pair.b.name, "link", "set", net.LINK, "down")
        argv = fsock.run([PYTHON, "-u", "-c", ECHO, PEER], profile="latency")
        server = stack.enter_context(proc.Process(pair.b.argv(argv), env=fsock.CLEAN))
        assert server.wait_for("ready"), server.err
        assert fsock.reasons(fsock.stat(server.pid)) == {"interface_down"}
        ip(pair.b.name, "link", "set", net.LINK, "up")
        pair.meet()
        agent = stack.enter_context(Agent(pair.a, PEER, "both", {"profile": "latency"}))
        assert proc.until(lambda: fsock.accelerated(server.pid)), fsock.stat(server.pid)
        before = fsock.counts(server.pid)
        assert set(agent("ask 20 64").split()) == {"same"}
        assert fsock.counts(server.pid).fast - before.fast >= 38


FORKED = AGENT.replace('print("ready", flush=True)\n', """
if os.fork():
    os.wait()
    os._exit(0)
print("ready", flush=True)
""", 1)


def test_a_child_brings_back_what_its_parent_opened():
    """The owner sleeps in wait(); the interface goes and returns under its child."""
    with contextlib.ExitStack() as stack:
        scene = Scene(stack, options={"profile": "latency"})
        scene.agent.kill()
        scene.agent = stack.enter_context(Agent(scene.pair.a, PEER, "both", {"profile": "latency"}, FORKED))
        asks_fast(scene)
        for _ in range(3):
            steps = removed(scene)
            next(steps)
            assert scene.agent("send 2 64") == "ENETUNREACH ENETUNREACH"
            next(steps, None)
            asks_fast(scene)
