# SPDX-License-Identifier: BSD-2-Clause
"""
Programs of one host whose datagrams take shared memory: what they see is what the kernel's UDP shows them on the same host,
and the way is what it should be. See hosts.py; column L of test_api.py has the calls one by one.
"""
import json
import subprocess

import pytest

import hosts
from hosts import run
from lab import fsock, proc

PROFILES = hosts.PROFILES

UDP = """
def bound(address=LISTEN, port=PORT):
    sock = socket.socket(family(address), socket.SOCK_DGRAM)
    sock.settimeout(GUARD)
    sock.bind((address, port))
    return sock
def serving():
    sock = bound()
    step("listens")
    return sock
def joined(address=CALL, port=PORT):
    sock = socket.socket(family(address), socket.SOCK_DGRAM)
    sock.settimeout(GUARD)
    sock.connect((address, port))
    return sock
def served(sock, n):
    for i in range(n):
        data, name = sock.recvfrom(70000)
        sock.sendto(data, name)
MET = 5
def meet(sock):
    "A flow begins with the kernel; from here on it goes by the link, where there is to be one."
    for i in range(MET):
        sock.send(b"%d" % i)
        assert sock.recv(10) == b"%d" % i
        time.sleep(0.01)
"""
MET = 5


def compared(place, server, client, profile="default", **how):
    """The outcome on fsock, after both said on it what they say on kernel sockets."""
    scripts = UDP + server, UDP + client
    truth = run(place, scripts, (None, None), **how)
    seen = run(place, scripts, (PROFILES[profile],) * 2, **how)
    assert seen.lines == truth.lines, f"on the kernel:\n{truth.told()}\non links:\n{seen.told()}"
    return seen


def datagrams(seen, who):
    """(sent, received) over links."""
    return tuple(seen.counters[who][f"local_datagrams_{way}"] for way in ("out", "in"))


def by_link(seen, out, into):
    """Of what the client sends and receives at least so much goes by the link, and little goes by the kernel."""
    client = seen.counters["client"]
    sent, received = datagrams(seen, "client")
    return (sent >= out and received >= into and client["tx_kernel_datagrams"] + client["rx_kernel_datagrams"] < 2 * MET
            and datagrams(seen, "server") == (received, sent))


# --- both ways --------------------------------------------------------------------------------

ECHO = """
sock = serving()
served(sock, MET)
say(sock.getsockname()[:2])
for i in range(5):
    data, name = sock.recvfrom(70000)
    sock.sendto(data, name)
say(name[0], sock.recv(10))
"""
ECHOED = """
sock = joined()
meet(sock)
say(sock.getsockname()[0], sock.getpeername()[:2])
for size in 0, 1, 1400, 9000, 65507:
    data = random.Random(size).randbytes(size)
    say(sock.send(data), sock.recv(70000) == data)
sock.send(b"over")
"""


@pytest.mark.parametrize("listen, call", [
    ("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "10.77.0.1"), ("::1", "::1"), ("::", "127.0.0.1")])
def test_client_is_connected(place, listen, call):
    """The server answers as it was asked; but for how they find each other, all that is said goes by the link."""
    seen = compared(place, ECHO, ECHOED, listen=listen, call=call)
    assert by_link(seen, 7, 6), seen.counters


ONCE = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect(("127.0.0.1", int(sys.argv[1])))
sock.send(b"x")
print(sock.recv(10))
"""


def test_one_datagram_makes_no_link(place, tmp_path):
    """Most programs that send one send no second: it costs no look at who might be there, and at no rules."""
    log = tmp_path / "calls"
    with place.a.popen([hosts.PYTHON, "-c", "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                        "s.bind(('127.0.0.1', 7400))\nprint('ready', flush=True)\ns.sendto(*s.recvfrom(10))"],
                       env=fsock.CLEAN) as server:
        assert server.wait_for("ready"), server.err
        done = place.a.run(["strace", "-f", "-o", log, *fsock.run([hosts.PYTHON, "-c", ONCE, 7400])], env=fsock.CLEAN)
    assert done.out == "b'x'\n", done.err[-1000:]
    calls = log.read_text()
    assert "sendto(" in calls and "AF_UNIX" not in calls and "BPF_PROG_QUERY" not in calls and "fsock-link" not in calls


LATE = """
import os, socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", 7401))
sock.setblocking(False)
def look(times):
    for i in range(times):
        try: sock.recv(10)
        except BlockingIOError: pass
look(1)
time.sleep(2)
look(50)
time.sleep(0.05)
look(50)
os.write(1, b"from here on")
look(500)
"""


def test_the_clock_is_known_soon_after_a_late_start(place, tmp_path):
    """The first thing that a program does may be a second after it started: the kernel is not asked for the time for another one."""
    log = tmp_path / "trace"
    done = place.a.run(["strace", "-o", log, "-e", "trace=clock_gettime,recvmsg,write", *fsock.run([hosts.PYTHON, "-c", LATE])],
                       env=fsock.CLEAN)
    assert done.out == "from here on", done.err[-1000:]
    calls = log.read_text().partition("from here on")[2]
    assert calls.count("recvmsg(") >= 500 and calls.count("clock_gettime(CLOCK_MONOTONIC") < 100, calls[-2000:]


def test_order_where_the_way_changes(place):
    """What went by the kernel is received before what goes by the link, also where nobody has read it yet."""
    seen = compared(place, """
first = serving()
served(first, MET)
late = bound(port=PORT + 1)
step("late")
after("sent")
say([late.recv(10) for i in range(4)], late.recv(10, socket.MSG_PEEK), [late.recv(10) for i in range(96)])
late.setblocking(False)
say(tried(late.recv, 10))
""", """
meet(joined())
after("late")
sock = joined(port=PORT + 1)
for i in range(100):
    sock.send(b"%d" % i)
    time.sleep(0.002 if i < 10 else 0)
step("sent")
""")
    assert by_link(seen, 90, 0) and seen.counters["server"]["rx_kernel_datagrams"] > 1, seen.counters


def test_length_of_the_next_where_the_way_changes(place):
    """FIONREAD is of the datagram that the next receive takes."""
    seen = compared(place, """
served(serving(), MET)
sock = bound(port=PORT + 1)
step("late")
after("sent")
def length():
    size = array.array("i", [0])
    fcntl.ioctl(sock, termios.FIONREAD, size)
    return size[0]
for i in range(40):
    say(ready(sock), length(), len(sock.recv(100)))
say(ready(sock), length())
""", """
meet(joined())
after("late")
sock = joined(port=PORT + 1)
for i in range(40):
    sock.send(bytes(40 - i))
    time.sleep(0.002 if i < 10 else 0)
step("sent")
""")
    assert datagrams(seen, "client")[0] >= 30 and seen.counters["server"]["rx_kernel_datagrams"] > 1, seen.counters


def test_order_with_control_messages(place):
    """Some take the kernel's way, one by one; what follows them by the link is received after them."""
    seen = compared(place, """
sock = serving()
served(sock, MET)
step("met")
after("sent")
say([sock.recv(10) for i in range(6)])
""", """
sock = joined()
meet(sock)
after("met")
source = (socket.IPPROTO_IP, 8, struct.pack("i4s4s", 0, socket.inet_aton(CALL), bytes(4))) # IP_PKTINFO
hops = (socket.IPPROTO_IP, socket.IP_TTL, struct.pack("i", 9))
for i, told in enumerate(([source], [source], [source], [], [hops], [])):
    sock.sendmsg([b"%d" % i], told)
step("sent")
""")
    assert by_link(seen, 4, 0) and seen.counters["client"]["tx_kernel_datagrams"] >= 4, seen.counters


def test_answer_from_another_address(place):
    """From the wildcard the kernel answers by 127.0.0.1, which is not who the client talks to."""
    seen = compared(place, """
sock = serving()
data, name = sock.recvfrom(100)
sock.sendto(data, name)
""", """
sock = joined()
sock.send(b"ask")
after("server.over")
sock.settimeout(0.1)
say(tried(sock.recv, 10))
""", listen="0.0.0.0", call="127.0.0.2")
    assert datagrams(seen, "client") == (0, 0), seen.counters


def test_nobody_is_connected(place):
    seen = compared(place, "served(serving(), 50)", """
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(GUARD)
for i in range(50):
    sock.sendto(b"%d" % i, (CALL, PORT))
    assert sock.recvfrom(100) == (b"%d" % i, (CALL, PORT))
    time.sleep(0.01 if i < MET else 0)
say(sock.getsockname()[0])
""")
    assert by_link(seen, 45, 45), seen.counters


def test_both_are_connected(place):
    """Each is connected to the other; what a third one sends is not theirs."""
    seen = compared(place, """
sock = bound()
sock.connect((LISTEN, PORT + 1))
step("listens")
for i in range(20):
    assert sock.recv(100) == b"%d" % i
    sock.send(b"%d" % i)
say(sock.recv(100))
""", """
sock = bound(port=PORT + 1)
sock.connect((CALL, PORT))
third = joined()
for i in range(20):
    tried(third.send, b"stranger")
    sock.send(b"%d" % i)
    assert sock.recv(100) == b"%d" % i
    time.sleep(0.01 if i < MET else 0)
sock.send(b"over")
""")
    assert datagrams(seen, "client")[0] >= 2 and datagrams(seen, "server")[0] >= 1, seen.counters
    assert seen.counters["client"]["local_datagrams_back"] >= 1, seen.counters


def test_within_a_program(place):
    """Both ends are sockets of one stack: there at once, as in the kernel."""
    seen = compared(place, "step('listens')", """
server, client = bound(port=PORT + 1), joined(port=PORT + 1)
for i in range(50):
    client.send(b"%d" % i)
    data, name = server.recvfrom(100, socket.MSG_DONTWAIT)
    assert name == client.getsockname() and data == b"%d" % i
    server.sendto(data, name)
    assert client.recv(100, socket.MSG_DONTWAIT) == data
server.close()
client.send(b"nobody")
say(tried(client.recv, 10))
""")
    assert datagrams(seen, "client") == (100, 100), seen.counters


def test_readiness(place):
    """poll, epoll with both triggers, and sleepers among other descriptors."""
    seen = compared(place, """
sock = serving()
served(sock, MET)
pipe = os.pipe()
level, edge = select.epoll(), select.epoll()
level.register(sock, select.EPOLLIN)
level.register(pipe[0], select.EPOLLIN)
edge.register(sock, select.EPOLLIN | select.EPOLLET)
say(ready(sock), level.poll(0), edge.poll(0))
step("idle")
say(level.poll(GUARD) == [(sock.fileno(), select.EPOLLIN)], len(edge.poll(GUARD)), len(edge.poll(0)))
say(ready(sock), sock.recv(10), ready(sock), level.poll(0))
step("again")
say(len(edge.poll(GUARD)), select.select([sock, pipe[0]], [], [], GUARD)[0] == [sock], sock.recvfrom(10, socket.MSG_PEEK)[0])
say(sock.recv(2, socket.MSG_TRUNC), sock.recvmsg(2)[2] == 0)
""", """
sock = joined()
meet(sock)
after("idle")
sock.send(b"one")
after("again")
sock.send(b"three")
sock.send(b"4")
say(ready(sock))
""")
    assert by_link(seen, 3, 1), seen.counters


# --- no room, nobody there --------------------------------------------------------------------

def test_full(place):
    """Who does not read loses the latest; who sends hears nothing of it."""
    seen = compared(place, """
sock = serving()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 100000)
served(sock, MET)
after("sent")
sock.settimeout(0.2)
got = []
while not isinstance(data := tried(sock.recv, 2000), str):
    got.append(int(data[:5]))
say(got[0], got == sorted(set(got)), 0 < len(got) < 5000)
""", """
sock = joined()
meet(sock)
for i in range(5000):
    assert sock.send(b"%05d" % i + bytes(995)) == 1000
step("sent")
""")
    lost = seen.counters["client"]["drop_local_full"] + seen.counters["server"]["drop_udp_rcvbuf"]
    assert lost > 0 and datagrams(seen, "client")[0] >= 5000, seen.counters


def test_refused(place):
    """The socket is closed while its program lives; then somebody else has the port."""
    seen = compared(place, """
sock = serving()
served(sock, MET)
sock.close()
step("closed")
after("heard")
sock = bound()
step("anew")
served(sock, 1)
""", """
sock = joined()
meet(sock)
after("closed")
say(sock.send(b"lost"), tried(sock.recv, 10), ready(sock))
say(sock.send(b"lost"), ready(sock, 1000), tried(sock.send, b"lost"), sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
step("heard")
after("anew")
sock.send(b"y")
say(sock.recv(10))
""")
    assert datagrams(seen, "client")[0] >= 1, seen.counters


def test_server_is_killed(place):
    seen = compared(place, """
sock = serving()
served(sock, MET)
step("served")
os.kill(os.getpid(), signal.SIGKILL)
""", """
sock = joined()
meet(sock)
after_death("served")
say(sock.send(b"lost"), tried(sock.recv, 10))
""", killed=("server",))
    assert datagrams(seen, "client")[0] >= 1, seen.counters


def test_client_is_killed(place):
    """Its server answers others, and it."""
    seen = compared(place, """
sock = serving()
served(sock, MET)
data, name = sock.recvfrom(10)
step("asked")
after_death("asked.client")
say(data, sock.sendto(b"late", name))
served(sock, 1)
""", """
if os.fork() == 0:
    sock = joined()
    meet(sock)
    sock.send(b"x")
    after("asked")
    step("asked.client")
    os.kill(os.getpid(), signal.SIGKILL)
os.wait()
sock = joined()
sock.send(b"y")
say(sock.recv(10))
""")
    assert datagrams(seen, "server")[1] >= 2, seen.counters


def test_fork(place):
    """A child serves on what it inherited, beside and after its parent."""
    seen = compared(place, """
sock = serving()
served(sock, MET)
child = os.fork()
if child == 0:
    served(sock, 2)
    os._exit(0)
say(os.waitpid(child, 0)[1])
served(sock, 1)
if os.fork() == 0:
    served(sock, 1)
    os._exit(0)
sock.close()
os.wait()
""", """
sock = joined()
meet(sock)
for i in range(4):
    sock.send(b"%d" % i)
    say(sock.recv(10))
""")
    assert by_link(seen, 5, 5), seen.counters


def test_given_to_a_program_without_fsock(place):
    """It inherits the socket by exec, and serves by the kernel."""
    compared(place, """
import subprocess
sock = serving()
served(sock, MET)
env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
child = subprocess.Popen([sys.executable, "-c", "import socket; s = socket.socket(fileno=%d); s.settimeout(40)\\n"
                          "for i in range(3): s.sendto(*s.recvfrom(99))" % sock.fileno()], pass_fds=[sock.fileno()], env=env)
sock.close()
step("given")
say(child.wait())
""", """
sock = joined()
meet(sock)
after("given")
for i in range(3):
    sock.send(b"%d" % i)
    say(sock.recv(10))
""")


@pytest.mark.parametrize("with_fsock", hosts.ENDS)
def test_other_end_without_fsock(place, with_fsock):
    scripts = UDP + ECHO, UDP + ECHOED
    truth = run(place, scripts, (None, None))
    seen = run(place, scripts, tuple(PROFILES["default"] if who == with_fsock else None for who in hosts.ENDS))
    assert seen.lines == truth.lines, seen.told()
    assert datagrams(seen, with_fsock) == (0, 0), seen.counters


# --- seen from outside ------------------------------------------------------------------------

def test_why(place):
    """Who shares its port is the kernel's, and says so."""
    told = {}

    def look(seen, folder):
        proc.until(lambda: (folder / "asked").exists())
        for who in hosts.ENDS:
            done = subprocess.run([fsock.tool(), "stat", "--json", str(seen.pids[who])], capture_output=True, text=True, check=True)
            told[who] = [(sock["local"], sock["by"], sock["reason"])
                         for stack in json.loads(done.stdout)["stacks"] for sock in stack["sockets"]]
        (folder / "looked").touch()
    run(place, (UDP + """
sock = serving()
served(sock, MET)
after("looked")
""", UDP + """
shared = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
shared.bind((CALL, PORT + 1))
sock = joined()
meet(sock)
step("asked")
after("looked")
"""), (PROFILES["default"],) * 2, watch=look)
    assert ("127.0.0.1:7400", "link", None) in told["server"], told
    assert ("127.0.0.1:7401", "kernel", "port_shared") in told["client"], told
    assert any(by == "link" for name, by, _ in told["client"]), told


def test_sockperf(place):
    """Unmodified, both ways over the link."""
    server = fsock.run(["sockperf", "server", "-i", "127.0.0.1", "-p", "7400"], **PROFILES["default"])
    client = fsock.run(["sockperf", "ping-pong", "-i", "127.0.0.1", "-p", "7400", "-t", "1"], **PROFILES["default"])
    with place.a.popen(server, env=fsock.CLEAN) as serving:
        proc.until(lambda: "Warmup" in serving.out or hosts.names(place))
        done = place.a.run(client, env=fsock.CLEAN)
        assert "Valid Duration" in done.out and "# dropped messages = 0" in done.out, done.out
        seen = fsock.counters(serving.pid)
    assert seen["local_datagrams_in"] > 100 and seen["local_datagrams_out"] > 100, seen
    assert seen["local_datagrams_in"] > 20 * seen["rx_kernel_datagrams"], seen


# --- users ------------------------------------------------------------------------------------

AS_ANOTHER = """
os.chmod(FOLDER, 0o777)
os.setuid(1234)
"""


def test_a_port_that_need_not_be_roots(place):
    """Whom the kernel would believe: what the other stack does not comes by the kernel."""
    start = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
    place.b.run(["sh", "-c", f"echo 0 >{start}"])
    try:
        compared(place, AS_ANOTHER + """
sock = serving()
say([sock.recvfrom(10) for i in range(5)])
""", AS_ANOTHER + """
sock = bound(CALL, 123)
for i in range(5):
    sock.sendto(b"%d" % i, (CALL, PORT))
    time.sleep(0.1)
""")
    finally:
        place.b.run(["sh", "-c", f"echo 1024 >{start}"])


def test_a_server_that_becomes_another_user(place):
    """Nobody's datagrams wait for a link with somebody else: not with who sends once, and not with who goes on."""
    compared(place, """
sock = bound()
os.chmod(FOLDER, 0o777)
os.setuid(1234)
sock.settimeout(0.01)
tried(sock.recv, 10) # it looks
sock.settimeout(GUARD)
step("listens")
say(sorted(sock.recv(10) for i in range(6)))
""", """
for i in range(5):
    joined().send(b"%d" % i)
    time.sleep(0.1)
os._exit(0) if os.fork() == 0 and joined().send(b"last") else os.wait()
""")


def test_users_that_name_each_other(place):
    """They share memory for connections alone: who sends datagrams says himself who he is."""
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    scripts = (UDP + """
import socket as s
listener = s.create_server((LISTEN, PORT))
sock = serving()
served(sock, 30)
say(listener.accept()[0].recv(10))
""", UDP + """
sock = joined()
for i in range(30):
    sock.send(b"%d" % i)
    say(sock.recv(10))
    if i == 10:
        other = socket.create_connection((CALL, PORT))
other.sendall(b"word")
""")
    seen = run(place, scripts, ({**PROFILES["default"], "local_users": "65534"}, {**PROFILES["default"], "local_users": "0"}),
               around=([], nobody))
    assert seen.lines == run(place, scripts, (None, None)).lines
    assert seen.links["client"].opened == seen.links["server"].accepted == 1, seen.told()
    assert all(datagrams(seen, who) == (0, 0) for who in hosts.ENDS), seen.counters
