# SPDX-License-Identifier: BSD-2-Clause
"""
Processes and threads under the preload: forks, orphans and daemons, who takes over, who is woken, exec. Tests named
test_hazard_NN_ are rows of the hazards table.
"""
import json

import pytest

from lab import fsock, net
from life import Life


def test_hazard_09_parent_and_child_take_turns(pair, tmp_path):
    """Both receive from the inherited socket, both on the fast path."""
    Life(pair, tmp_path, """
sock = fresh()
ask(sock)
there, back = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    for turn in range(10):
        os.read(there[0], 1)
        ask(sock, 50)
        os.write(back[1], b"x")
    os._exit(0)
for turn in range(10):
    ask(sock, 50)
    os.write(there[1], b"x")
    os.read(back[0], 1)
assert os.waitpid(child, 0)[1] == 0
ask(sock)
say("well")
""").good().fast(least=2200)


def test_hazard_09_sleepers_of_both_processes_wake(pair, tmp_path):
    """A datagram wakes whoever waits for it, in poll and in receive, whichever process drives."""
    Life(pair, tmp_path, """
mine, other = fresh(), fresh()
ask(mine)
ask(other)
child = os.fork()
for turn in range(100):
    ask(mine if child else other, 1)
    time.sleep(0.001)
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
say("well")
""", options={"profile": "default", "client_datagrams": 0}).good()


# Two sockets and a thread asleep for one of them. The tool is asked what the stack counted; it is started
# by vfork(), which makes no process of ours.
RUNG = """
import json, subprocess, threading
def rung():
    time.sleep(0.02)
    told = subprocess.run([sys.argv[3], "stat", "--json", "--all", str(os.getpid())], capture_output=True,
                          env={}, check=True, close_fds=False)
    return json.loads(told.stdout)["stacks"][0]["counters"]["wakeups_rung"]
def drive(sock, count):
    "Polls the ports without ever sleeping."
    sock.setblocking(False)
    for i in range(count):
        sock.send(b"%d" % i)
        end = time.monotonic() + 20
        while True:
            try:
                assert sock.recv(100, socket.MSG_DONTWAIT) == b"%d" % i
                break
            except BlockingIOError:
                assert time.monotonic() < end
active, quiet = fresh(), fresh()
ask(active)
ask(quiet)
members = select.epoll()
members.register(quiet, select.EPOLLIN)
quiet.settimeout(None)
def waiter():
    return quiet.recv(100)
def set_waiter():
    return quiet.recv(100, socket.MSG_DONTWAIT) if members.poll(20) else None
def poll_waiter():
    return quiet.recv(100, socket.MSG_DONTWAIT) if select.select([members.fileno()], [], [], 20)[0] else None
def arrived():
    "A datagram of the quiet socket lies in the stack, whoever drove, or its reader has it."
    end = time.monotonic() + 20
    while time.monotonic() < end and not got:
        try:
            return quiet.recv(100, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass
got = []
def start(how):
    thread = threading.Thread(target=lambda: got.append(how()))
    thread.start()
    time.sleep(0.02)
    return thread
"""


@pytest.mark.parametrize("how", ["waiter", "set_waiter", "poll_waiter"])
def test_a_doorbell_rings_only_for_whom_it_concerns(pair, tmp_path, how):
    """A thread asleep for one socket is not rung for another's datagrams, and is for its own."""
    Life(pair, tmp_path, RUNG + f"""
for turn in range(20):
    got.clear()
    thread = start({how})
    if turn == 0:
        before = rung()
        drive(active, 1000)
        say(rung() - before)
    quiet.send(b"1")
    arrived()
    thread.join(20)
    assert got == [b"1"], (turn, got)
say("well")
""", options={"profile": "default", "client_datagrams": 0}, args=(fsock.tool(),)).good("0\nwell\n")


def test_hazard_31_sendmmsg_starts_the_provider_once(pair, tmp_path):
    """Thirty-two datagrams in one call cost one kick, and arrive in order (bench/run has both floors, udp_tp)."""
    Life(pair, tmp_path, """
import json, struct, subprocess
def kicks():
    time.sleep(1.2) # published once a second by a program that calls
    sock.send(b"tell")
    sock.recv(100)
    told = subprocess.run([sys.argv[3], "stat", "--json", "--all", str(os.getpid())], capture_output=True,
                          env={}, check=True, close_fds=False)
    return sum(port["counters"]["kicks"] for port in json.loads(told.stdout)["stacks"][0]["ports"])
sock = fresh()
ask(sock)
words = [ctypes.create_string_buffer(b"%02d" % i, 2) for i in range(40)]
iov = (ctypes.c_ulong * 80)(*sum([[ctypes.addressof(w), 2] for w in words], []))
vec = (ctypes.c_char * (64 * 40))()
for i in range(40): # struct mmsghdr: name, its length, iov, number, control, length, flags, sent
    struct.pack_into("QIxxxxQQQQixxxxIxxxx", vec, 64 * i, 0, 0, ctypes.addressof(iov) + 16 * i, 1, 0, 0, 0, 99)
before = kicks()
for turn in range(20):
    assert libc.sendmmsg(sock.fileno(), vec, 32, 0) == 32
    assert [struct.unpack_from("I", vec, 64 * i + 56)[0] for i in range(33)] == [2] * 32 + [99]
    assert [sock.recv(100) for i in range(32)] == [b"%02d" % i for i in range(32)]
after = kicks()
assert after - before <= 20 * 2 + 10, after - before
assert libc.sendmmsg(sock.fileno(), vec, 40, 0) == 40
assert [sock.recv(100) for i in range(40)] == [b"%02d" % i for i in range(40)]
say("well")
""", options={"profile": "latency"}, args=(fsock.tool(),)).good().fast(least=1300)


@pytest.mark.alone
def test_who_makes_a_set_ready_wakes_its_sleepers(pair, tmp_path):
    """A member that is readable when it is added, or armed anew, ends the wait of another thread."""
    Life(pair, tmp_path, RUNG + """
members.unregister(quiet)
members.register(active, 0)
for how in members.register, members.modify:
    thread = start(lambda: len(members.poll(60)))
    quiet.send(b"1")
    assert arrived()
    time.sleep(0.02) # what woke the thread by the way is over
    how(quiet, select.EPOLLIN | select.EPOLLONESHOT)
    thread.join(30)
    assert not thread.is_alive() and got == [1], got
    got.clear()
say("well")
""", options={"profile": "default", "client_datagrams": 0}, args=(fsock.tool(),)).good()

# The client's last words but one: its stack's counters, as another process sees them.
SHOW_COUNTERS = f"""
import json, subprocess
def show():
    done = subprocess.run([{str(fsock.tool())!r}, "stat", "--json", str(os.getpid())], capture_output=True,
                          env={{}}, timeout=60)
    with open(sys.argv[2] + ".stat", "wb") as file:
        file.write(done.stdout)
def shown(name):
    show()
    with open(sys.argv[2] + ".stat", "rb") as file:
        return sum(stack["counters"].get(name, 0) for stack in json.load(file)["stacks"])
"""

# A parent that leaves at once, and the moment when nothing of it is left.
ORPHAN = """
def orphan(parent=None):
    parent = parent or os.getpid()
    if os.fork():
        os._exit(0)
    gone(parent)
def gone(pid):
    while os.path.exists(f"/proc/{pid}/fd/0"):
        time.sleep(0.01)
"""


# Until nobody of the client holds standard output any more: its children are gone, their records written.
TO_THE_LAST = ["sh", "-c", '"$@" | cat', "sh"]


class Orphans(Life):
    """Clients whose first process leaves before the last one ends (which calls end())."""

    def __init__(self, pair, tmp_path, script, options=None):
        end = """
def end():
    show()
    say("well")
"""
        super().__init__(pair, tmp_path, SHOW_COUNTERS + ORPHAN + end + script, options=options,
                         around=TO_THE_LAST)
        stat = tmp_path / "said.stat"
        self.stacks = json.loads(stat.read_text())["stacks"] if stat.exists() else []

    def count(self, name):
        return sum(stack["counters"].get(name, 0) for stack in self.stacks)


def test_hazard_06_child_goes_on_after_its_parent(pair, tmp_path):
    """The parent leaves, the child's socket works on as fast as before, and so does a new one."""
    life = Orphans(pair, tmp_path, """
sock = fresh()
ask(sock)
orphan()
ask(sock, 500)
ask(fresh(), 500)
end()
""").good().fast_but(kernel=40, least=2000)
    assert life.count("ports_reopened") == 1


@pytest.mark.parametrize("bound", ["before", "after"])
def test_hazard_06_daemon(pair, tmp_path, bound):
    """daemon() after the socket was made and before it is bound, and the other way round."""
    life = Orphans(pair, tmp_path, f"""
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(20)
def use():
    sock.bind(("", 9100))
    sock.connect((sys.argv[1], 9000))
    ask(sock)
if {bound == "before"}:
    use()
assert libc.daemon(1, 1) == 0
if {bound == "after"}:
    use()
ask(sock, 500)
ask(fresh(), 500)
until = time.monotonic() + {20 if bound == "before" else 0}
while time.monotonic() < until and not shown("ports_adopted"):
    ask(sock)
end()
""").good().fast_but(kernel=40, least=2000)
    assert life.count("ports_adopted") == (bound == "before") and life.count("ports_reopened") == 0


def test_hazard_06_three_generations(pair, tmp_path):
    """Each takes over from its parent; what was queued when the parent died is read."""
    life = Orphans(pair, tmp_path, """
sock = fresh()
ask(sock)
for generation in range(3):
    sock.send(b"FIRST")
    assert select.select([sock], [], [], 20)[0]
    orphan()
    assert sock.recv(100) == b"FIRST"
    ask(sock, 200)
ask(fresh())
end()
""").good().fast_but(kernel=40, least=1600)
    assert life.count("ports_reopened") == 3


BLOCKED = {
    "recv": "return sock.recv(100)",
    "epoll": """
    ep = select.epoll()
    ep.register(sock, select.EPOLLIN)
    assert ep.poll(20) == [(sock.fileno(), select.EPOLLIN)]
    return sock.recv(100)""",
    "poll": "select.select([sock], [], [], 20); return sock.recv(100)",
}


@pytest.mark.af_xdp
@pytest.mark.parametrize("how", BLOCKED)
@pytest.mark.parametrize("profile", ["default", "latency"])
def test_owner_leaves_while_the_child_waits(pair, tmp_path, how, profile):
    """A child asleep learns of the owner's end by itself and adopts the port; no datagram wakes it."""
    life = Orphans(pair, tmp_path, f"""
def wait(sock):
    {BLOCKED[how]}
sock = fresh()
sock.settimeout(20)
ask(sock)
start, done = os.pipe(), os.pipe()
parent = os.getpid()
if os.fork():
    os.read(start[0], 1)
    time.sleep(0.3)
    os._exit(0)
ask(sock)
import threading
got = []
sleeper = threading.Thread(target=lambda: got.append(wait(sock)))
sleeper.start()
os.write(start[1], b"x")
gone(parent)
time.sleep(0.3)
links = subprocess.run(["ip", "-d", "link", "show", "dev", {net.LINK!r}], capture_output=True, env={{}}).stdout
say(b"prog/xdp" in links)
sock.send(b"LATE")
sleeper.join()
assert got == [b"LATE"], got
ask(sock, 500)
ask(fresh(), 500)
end()
""", options={"profile": profile, "client_datagrams": 0})
    life.good("True\nwell\n").fast_but(kernel=40, least=2000)
    assert life.count("ports_adopted") == 1 and life.count("ports_reopened") == 0


@pytest.mark.parametrize("joined", [True, False])
def test_owner_becomes_another_program(pair, tmp_path, joined):
    """Exec takes the attachment with it, though the process lives on: who is left attaches anew."""
    Life(pair, tmp_path, f"""
sock = fresh()
ask(sock)
ours, theirs = os.pipe()
parent = os.getpid()
if os.fork():
    os.read(ours, 1)
    os.execvp("sleep", ["sleep", "4"])
if {joined}:
    ask(sock)
os.write(theirs, b".")
while open(f"/proc/{{parent}}/comm").read() != "sleep\\n":
    time.sleep(0.01)
time.sleep(1.2)
ask(sock, 500)
say("well")
""").good().fast_but(kernel=100, least=500)


def test_owner_killed_in_traffic(pair, tmp_path):
    """kill -9 of the owner while both talk: the joined child goes on, its counters show the fast way."""
    life = Orphans(pair, tmp_path, """
import signal
sock = fresh()
ask(sock)
child = os.fork()
if child:
    mine = fresh()
    while True:
        ask(mine)
ask(sock)
sock.settimeout(3)
parent, lost = os.getppid(), 0
begin = time.monotonic()
turn = 0
while turn < 4000 or time.monotonic() < begin + 2:
    turn += 1
    if turn == 2000:
        os.kill(parent, signal.SIGKILL)
    word = b"T%d" % turn
    sock.send(word)
    try:
        while sock.recv(100) != word:
            pass
    except TimeoutError:
        lost += 1
assert lost <= 2, (turn, lost)
ask(fresh())
end()
""")
    life.good().fast_but(kernel=2000, least=3000)
    assert life.count("ports_adopted") == 1


def test_twenty_take_overs(pair, tmp_path):
    """Memory stays as it was, frames come back to the pool, and nobody's descriptors pile up."""
    life = Orphans(pair, tmp_path, """
def size():
    links = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in numbers() if fd > 100}
    return [os.stat(fd).st_size for fd, link in links.items() if link.startswith("/memfd:fsock-stack")]
sock = fresh()
ask(sock)
sizes, counts = [], []
for generation in range(21):
    sock.send(b"X")
    assert select.select([sock], [], [], 20)[0]
    orphan()
    assert sock.recv(100) == b"X"
    ask(sock, 30)
    sizes.append(size())
    counts.append(len(numbers()))
assert sizes[-1] == sizes[0], sizes
assert counts[-1] <= counts[1] + 1, counts
end()
""").good().fast_but(kernel=100, least=1000)
    assert life.count("ports_reopened") == 21
    ports = [port for stack in life.stacks for port in stack["ports"]]
    assert ports[0]["frames_free"] >= ports[0]["frames_total"] // 4, ports


def test_parent_closes_before_the_childs_first_use(pair, tmp_path):
    """The child finds socket, epoll set and what was queued as the parent left them at the fork."""
    Life(pair, tmp_path, """
sock, other = fresh(), fresh()
ask(sock)
ep = select.epoll()
ep.register(sock, select.EPOLLIN)
sock.send(b"QUEUED")
assert select.select([sock], [], [], 20)[0]
child = os.fork()
if child:
    number = sock.fileno()
    sock.close()
    ep.close()
    assert os.waitpid(child, 0)[1] == 0
    ask(other)
    say("well")
else:
    time.sleep(1.5)    # housekeeping has run
    assert ep.poll(20) == [(sock.fileno(), select.EPOLLIN)]
    assert sock.recv(100) == b"QUEUED"
    ask(sock, 300)
    os._exit(0)
""").good().fast(least=1000)


GHOST = """
import signal
def ports():
    "Local ports that somebody's record still calls accelerated."
    done = subprocess.run([TOOL, "stat", "--json", "--all", str(os.getpid())], capture_output=True, env={},
                          timeout=60, close_fds=False)
    socks = [sock for stack in json.loads(done.stdout)["stacks"] for sock in stack["sockets"]]
    return {int(sock["local"].rsplit(":", 1)[1]) for sock in socks
            if sock.get("accelerated") and sock["fd"] >= 0}
import json, subprocess
sock, other = fresh(), fresh()
ask(sock)
ask(other)
"""


@pytest.mark.parametrize("end", ["exec", "uses and exec", "dies", "closes"])
@pytest.mark.parametrize("asleep", [False, True])
def test_a_socket_no_child_will_use_is_let_go(pair, tmp_path, end, asleep):
    """The child execs, dies or closes what it inherited: within a second or so the port is nobody's."""
    ways = {"exec": "os.execvp('sleep', ['sleep', '20'])",
            "uses and exec": "ask(sock, 10); os.execvp('sleep', ['sleep', '20'])",
            "dies": "time.sleep(0.5); os._exit(0)",
            "closes": "os.close(sock.fileno()); time.sleep(20); os._exit(0)"}
    wait = "select.select([other], [], [], 3)" if asleep else """
for i in range(30):
    time.sleep(0.1)
    ask(other, 1)
"""
    Life(pair, tmp_path, f"TOOL = {str(fsock.tool())!r}\n" + GHOST + f"""
port = sock.getsockname()[1]
child = os.fork()
if child == 0:
    {ways[end]}
sock.close()
{wait}
seen = other.getsockname()[1] in ports(), port in ports()
assert seen == (True, False), (seen, port, ports())
# Whoever binds the port next has it, on the fast path.
again = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
again.settimeout(20)
again.bind(("", port))
again.connect((sys.argv[1], 9000))
ask(again, 300)
assert port in ports()
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
say("well")
""").good().fast(least=800)


@pytest.mark.parametrize("way", ["chroot(os.path.dirname(sys.argv[2]))", "setresuid(65534, 65534, 65534)"])
def test_a_child_that_its_parent_cannot_see(pair, tmp_path, way):
    """Where the parent may not look into /proc any more the port is the kernel's again, and nothing is lost."""
    life = Life(pair, tmp_path, f"""
sock, other = fresh(), fresh()
ask(sock)
ask(other)
for i in range(100):
    sock.send(b"queued")
ask(other, 1)    # the server answers in turn: all of those have come before
out = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND)
seen, told = os.pipe()
child = os.fork()
if child:
    sock.close()
    os.{way}
    for i in range(25):    # housekeeping runs
        time.sleep(0.1)
        ask(other, 4)
    os.write(told, b"x")
    assert os.waitpid(child, 0)[1] == 0
    os.write(out, b"well\\n")
else:
    os.read(seen, 1)
    for i in range(100):
        assert sock.recv(10) == b"QUEUED"
    ask(sock, 300)
    os._exit(0)
""").good()
    assert life.counts.fast >= 802, life.counts
    assert "join_denied" in life.reasons(), life.sockets


@pytest.mark.parametrize("how", ["recv", "epoll", "poll"])
def test_a_child_in_another_pid_namespace_takes_no_lock(pair, tmp_path, how):
    """Its numbers mean nothing to the others: what it uses is the kernel's, for both, with the reason."""
    life = Life(pair, tmp_path, f"""
def wait(sock):
    {BLOCKED[how]}
sock, other = fresh(), fresh()
ask(sock)
ask(other)
assert libc.unshare(0x20000000) == 0    # CLONE_NEWPID: for children
child = os.fork()
if child:
    def ready():
        members = select.epoll()
        members.register(other, select.EPOLLIN)
        return members.poll(0.2)
    ready()
    assert os.waitpid(child, 0)[1] == 0
    ask(other)
    while select.select([sock], [], [], 0.1)[0]:
        assert sock.recv(100) in (b"1", b"WORD")
    ask(sock)
    ask(fresh())    # the parent's stack goes on
    say("well")
else:
    assert os.getpid() == 1
    sock.send(b"1")
    time.sleep(0.1)
    for i in range(20):
        sock.send(b"WORD")
        assert wait(sock) in (b"1", b"WORD")
    ask(fresh())
    os._exit(0)
""").good()
    assert "pid_namespace" in life.reasons(), life.sockets
    assert life.counts.fast >= 600, life.counts


def test_another_program_takes_the_interface_first(pair, tmp_path):
    """The owner died, a second program attached: the orphan's sockets are the kernel's, with the reason."""
    life = Orphans(pair, tmp_path, f"""
sock = fresh()
ask(sock)
parent = os.getpid()
if os.fork():
    os._exit(0)
gone(parent)
other = subprocess.Popen([{str(fsock.tool())!r}, "run", "--profile=latency", "--", sys.executable, "-c",
    "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 9200));"
    "print('up', flush=True); sys.stdin.read()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
assert other.stdout.readline() == b"up\\n"
ask(sock)
ask(fresh())
other.stdin.close()
other.wait()
end()
""")
    life.good()
    assert "interface_busy" in life.reasons(), life.sockets


def test_hazard_09_epoll_of_an_orphan_keeps_the_programs_data(pair, tmp_path):
    """Where a child may not drive the stack its epoll set still answers with what the program gave."""
    Life(pair, tmp_path, """
sock = fresh()
ask(sock)
ep = select.epoll()
ep.register(sock, select.EPOLLIN)
sock.send(b"1")
assert ep.poll(20) == [(sock.fileno(), select.EPOLLIN)]
assert sock.recv(10) == b"1"
parent = os.getpid()
if os.fork():
    os._exit(0)
while os.path.exists(f"/proc/{parent}/fd/0"):
    time.sleep(0.01)
time.sleep(0.1)
sock.send(b"2")
assert ep.poll(20) == [(sock.fileno(), select.EPOLLIN)]
assert sock.recv(10) == b"2"
readable, _, _ = select.select([ep], [], [], 0.1)
assert readable == []
say("well")
""", around=TO_THE_LAST).good()


def test_a_vfork_child_leaves_its_parent_alone(pair, tmp_path):
    """subprocess closes and replaces descriptors in a child that shares the parent's memory."""
    life = Life(pair, tmp_path, """
import subprocess
sock = fresh()
ask(sock)
for i in range(5):
    assert subprocess.run(["echo", "word"], capture_output=True).stdout == b"word\\n"
    try:
        subprocess.run(["/does/not/exist"])
    except FileNotFoundError:
        pass
    assert os.system("true") == 0
    ask(sock)
say("well")
""").good().fast(least=1100)
    assert len([s for s in life.sockets if s["rx_fast"]]) == 1, life.sockets


def test_exec_with_an_inherited_socket(pair, tmp_path):
    """The new program knows the number only: the kernel's socket is complete."""
    Life(pair, tmp_path, """
if len(sys.argv) > 3 and sys.argv[3].isdigit():
    sock = socket.socket(fileno=int(sys.argv[3]))
    sock.settimeout(20)
    ask(sock)
    ask(fresh())
    say("well")
else:
    sock = fresh()
    ask(sock)
    os.set_inheritable(sock.fileno(), True)
    os.execv(sys.executable, [sys.executable, "-c", os.environ["SCRIPT"], *sys.argv[1:3], str(sock.fileno())])
""".replace('os.environ["SCRIPT"]', 'open("/proc/self/cmdline").read().split("\\0")[2]')).good()


def test_threads_come_and_go(pair, tmp_path):
    """A thread that slept in a call leaves no descriptor behind."""
    Life(pair, tmp_path, """
import threading
sock = fresh()
sock.settimeout(None)
ask(sock)
def turn():
    thread = threading.Thread(target=sock.recv, args=(100,))
    thread.start()
    time.sleep(0.004)
    sock.send(b"1")
    thread.join()
for i in range(5):
    turn()
before = len(numbers())
for i in range(40):
    turn()
assert len(numbers()) <= before + 2, len(numbers()) - before
say("well")
""", options={"profile": "default", "client_datagrams": 0}).good()
