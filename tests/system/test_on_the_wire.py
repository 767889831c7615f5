# SPDX-License-Identifier: BSD-2-Clause
"""
What options do beyond getsockopt: bits in frames as the other end's kernel receives them, the route a mark
chooses, drops that are told, groups that are left to the kernel. Kernel sockets and fsock do the same.
"""
import pathlib
import subprocess

import pytest

from lab import fsock, net

PYTHON = "/usr/bin/python3"
NARROW = pathlib.Path(__file__).with_name("programs") / "narrow.py"
LATENCY = {"profile": "latency"}
COLUMNS = {"kernel": None, "fsock": LATENCY}

SNIFFER = """
import json, socket, sys
link, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
s.bind((link, 0x0800))
s.settimeout(20)
print("ready", flush=True)
while count:
    p = s.recv(2000)
    if p[9] == 17 and int.from_bytes(p[22:24], "big") == port:
        print(json.dumps({"df": bool(p[6] & 0x40), "id": int.from_bytes(p[4:6], "big"), "tos": p[1],
                          "ttl": p[8], "len": len(p) - 28}), flush=True)
        count -= 1
"""


class Sniffer:
    """The IPv4 datagrams to @port that reach @side's kernel by @link, as dicts."""

    def __init__(self, side, port, count, link=net.LINK):
        self.count = count
        self.process = side.popen([PYTHON, "-c", SNIFFER, link, str(port), str(count)])

    def __enter__(self):
        self.process.__enter__()
        assert self.process.wait_for("ready"), self.process.err
        return self

    def __exit__(self, *about):
        return self.process.__exit__(*about)

    def seen(self):
        done = self.process.finish()
        lines = done.out.replace("true", "True").replace("false", "False").splitlines()[1:]
        found = [eval(line, {}) for line in lines]  # noqa: S307 - our own sniffer's words
        assert len(found) == self.count, done.out + done.err
        return found


def send(side, options, script, kernel=0, args=()):
    """Run @script in @side; all but at most @kernel datagrams leave by the fast path."""
    argv = [PYTHON, "-c", "import socket, struct, sys\n" + script, *args]
    report = fsock.Report()
    done = side.run(fsock.run(argv, **options) if options is not None else argv,
                    env={**fsock.CLEAN, **report.env}, fds=(report.fd,))
    counts = report.counts()
    report.close()
    assert done.status == 0, done.err
    if options is not None:
        assert counts.tx_fast > 0 and counts.tx_kernel <= kernel, counts
    return done


@pytest.mark.parametrize("column", COLUMNS)
def test_dont_fragment_tos_and_ttl(pair, column):
    """IP_MTU_DISCOVER decides DF; without it a datagram has an identification; IP_TOS and IP_TTL are sent."""
    pair.meet()
    with Sniffer(pair.b, 9000, 4) as sniffer:
        send(pair.a, COLUMNS[column], f"""
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
to = ({net.B4!r}, 9000)
for discover in (2, 0, 1):            # IP_PMTUDISC_DO, DONT, WANT
    s.setsockopt(0, 10, discover)
    s.sendto(b"x" * 10, to)
s.setsockopt(0, socket.IP_TOS, 0x48)
s.setsockopt(0, socket.IP_TTL, 33)
s.sendto(b"y" * 11, to)
""")
        do, dont, want, styled = sniffer.seen()
    assert [p["df"] for p in (do, dont, want)] == [True, False, True]
    assert dont["id"] != 0
    assert (do["tos"], do["ttl"]) == (0, 64)
    assert (styled["tos"], styled["ttl"], styled["len"]) == (0x48, 33, 11)


@pytest.mark.parametrize("column", COLUMNS)
def test_a_mark_chooses_the_route(pair, column):
    """SO_MARK with a rule for it: the datagram leaves by the other link, before and after without."""
    for side, number in ((pair.a, 1), (pair.b, 2)):
        if number == 1:
            subprocess.run(["ip", "link", "add", "fst1", "netns", pair.a.name, "type", "veth", "peer", "name",
                            "fst1", "netns", pair.b.name], check=True)
        subprocess.run(["ip", "-n", side.name, "-batch", "-"], check=True, text=True, input="".join(
            line + "\n" for line in (f"addr add 10.78.0.{number}/24 dev fst1", "link set fst1 up")))
    subprocess.run(["ip", "-n", pair.a.name, "-batch", "-"], check=True, text=True, input=f"""\
rule add fwmark 7 lookup 100
route add {net.B4}/32 via 10.78.0.2 dev fst1 src 10.78.0.1 table 100
""")
    pair.meet()
    pair.a.run(["ping", "-c", "1", "-W", "2", "10.78.0.2"])  # the next hop's station is known
    options = COLUMNS[column]
    if options is not None:
        options = {**options, "interface": f"{net.LINK},fst1"}
    with Sniffer(pair.b, 9000, 2) as plain, Sniffer(pair.b, 9000, 5, "fst1") as marked:
        send(pair.a, options, f"""
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(b"1", ({net.B4!r}, 9000))
s.setsockopt(socket.SOL_SOCKET, 36, 7)
for i in range(5): s.sendto(b"22", ({net.B4!r}, 9000))
s.setsockopt(socket.SOL_SOCKET, 36, 0)
s.sendto(b"333", ({net.B4!r}, 9000))
""", kernel=1)  # the one for which the second interface is taken
        assert [p["len"] for p in plain.seen()] == [1, 3]
        assert [p["len"] for p in marked.seen()] == [2] * 5


def test_drops_are_told(pair):
    """SO_RXQ_OVFL: every datagram is received or in the count that the last one carries."""
    pair.meet()
    receiver = """
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 10000)
s.setsockopt(socket.SOL_SOCKET, 40, 1)
s.bind((sys.argv[1], 9000))
s.settimeout(20)
print("ready", flush=True)
sys.stdin.readline()
received = dropped = 0
while True:
    data, control, _, _ = s.recvmsg(2000, 100)
    received += 1
    for level, kind, value in control:
        if (level, kind) == (socket.SOL_SOCKET, 40):
            dropped = struct.unpack("=I", value)[0]
    if data == b"last":
        break
    if received == 5:
        print("reading", flush=True)
        sys.stdin.readline()
print("sum", received + dropped, dropped > 0, flush=True)
sys.stdin.readline()
"""
    with pair.b.popen(fsock.run([PYTHON, "-c", receiver, net.B4], **LATENCY), env=fsock.CLEAN,
                      stdin=subprocess.PIPE) as running:
        assert running.wait_for("ready"), running.err
        send(pair.a, LATENCY, f"""
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(({net.B4!r}, 9000))
for i in range(500): s.send(b"x" * 100)
""")
        running.child.stdin.write(b"\n")
        running.child.stdin.flush()
        assert running.wait_for("reading"), running.err
        send(pair.a, LATENCY, f"""
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(b"last", ({net.B4!r}, 9000))
""")
        running.child.stdin.write(b"\n")
        running.child.stdin.flush()
        assert running.wait_for("sum"), running.out + running.err
        assert "sum 501 True" in running.out, running.out
        seen = fsock.counts(running.pid)
        assert seen.rx_kernel == 0 and seen.drops > 0, seen


def test_a_group_spread_by_bpf_is_the_kernels(pair):
    """SO_ATTACH_REUSEPORT_CBPF: the program decides, which only the kernel can run; the socket says so."""
    script = f"""
import ctypes, socket, struct, sys
class Filter(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint)]
socks = []
for i in range(2):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind(({net.B4!r}, 9000))
    s.settimeout(20)
    socks.append(s)
code = (Filter * 1)(Filter(0x06, 0, 0, 1))       # always the second
socks[0].setsockopt(socket.SOL_SOCKET, 51, struct.pack("@HxxxxxxP", 1, ctypes.addressof(code)))
print("ready", flush=True)
for i in range(20): assert socks[1].recv(100) == b"to the second"
print("all", flush=True)
sys.stdin.readline()
"""
    pair.meet()
    with pair.b.popen(fsock.run([PYTHON, "-c", script], **LATENCY), env=fsock.CLEAN,
                      stdin=subprocess.PIPE) as running:
        assert running.wait_for("ready"), running.err
        send(pair.a, LATENCY, f"""
for i in range(20):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.sendto(b"to the second", ({net.B4!r}, 9000))
""")
        assert running.wait_for("all"), running.out + running.err
        records = list(fsock.sockets(fsock.stat(running.pid)))
        assert len(records) == 2 and not any(r["accelerated"] for r in records), records


# sys.argv: address, connect or not. Says what came of datagrams that fill the first MTU, the next, and less.
NARROWED = """
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
level, discover, header = (41, 23, 48) if family == socket.AF_INET6 else (0, 10, 28)
s = socket.socket(family, socket.SOCK_DGRAM)
s.setsockopt(level, discover, 2) # IP_PMTUDISC_DO
s.settimeout(20)
to = (sys.argv[1], 9000)
if sys.argv[2] == "connected":
    s.connect(to)
def ask(data):
    try:
        s.sendto(data, to)
        return len(s.recv(2000))
    except OSError as error:
        return errno.errorcode[error.errno]
assert [ask(b"%d" % i) for i in range(50)].count("EMSGSIZE") == 0
said = [ask(b"z" * (1500 - header))]
got = ask(b"mtu 1300")
if sys.argv[2] == "connected": # the error comes before the answer
    said += [got, len(s.recv(100))]
    said += [ask(b"z" * (1301 - header))]
else: # nobody tells: it is known when it was asked for anew
    until = time.monotonic() + 30
    while (got := ask(b"z" * (1301 - header))) != "EMSGSIZE" and time.monotonic() < until:
        time.sleep(0.02)
    said.append(got)
said += [ask(b"z" * (1300 - header)), ask(b"z")]
print(said)
"""


@pytest.mark.parametrize("how", ["connected", "unconnected"])
@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("column", COLUMNS)
def test_hazard_19_fragmentation_needed(pair, column, family, how):
    """A router says that the path takes less than before: the next datagrams keep to it."""
    pair.meet()
    with pair.b.popen([PYTHON, NARROW, pair.b.address(family), 9000]) as router:
        assert router.wait_for("ready"), router.err
        done = send(pair.a, COLUMNS[column], "import errno, time\n" + NARROWED, kernel=1,
                    args=(pair.b.address(family), how))
    size = 48 if family == "v6" else 28
    told = ["EMSGSIZE", len("mtu 1300")] if how == "connected" else []
    assert done.out.strip() == str([1500 - size, *told, "EMSGSIZE", 1300 - size, 1])
