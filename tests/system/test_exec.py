# SPDX-License-Identifier: BSD-2-Clause
"""
Programs that execute programs. Where fsock is in the new one, too, it goes on with the sockets that it inherits, on the
fast path; where it is not, they go on in the kernel. In neither case a byte is lost, or a connection reset.
"""
import contextlib
import hashlib
import os
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest

from lab import fsock, net, proc
from test_tcp_faults import GUARD, PORT, PROGRAMS, PYTHON, Wire, connected, listening, stream
from test_tcp_faults import pair  # noqa: F401 (a fixture)
from test_tcp_heirs import NOTHING, left
from test_tcp_programs import nginx
from test_web_programs import replaced

SIZE = 300000
PLACES = 16 # of processes on a stack (STATS_MAX_PROCS)
DATAGRAMS = """
import socket, sys
sock = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    sock.sendto(*sock.recvfrom(1000))
"""


class Executing:
    """executes.py on fsock in pair.b, and its peer."""

    def __init__(self, pair, family="v4", where=None, env=None, fds=(), first=(), **options):
        """@first: words before those of `fsock run`, of a program that starts it in a child."""
        self.pair, self.address = pair, (where or pair.b).address(family)
        self.is_child = bool(first)
        argv = [*first, *fsock.run([PYTHON, PROGRAMS / "executes.py", self.address, PORT],
                                   **{"profile": "latency", **options})]
        self.stack = contextlib.ExitStack()
        self.wire = self.stack.enter_context(contextlib.closing(Wire(pair.a)))
        self.running = self.stack.enter_context(
            pair.b.popen(argv, env={**fsock.CLEAN, **(env or {})}, fds=fds, stdin=subprocess.PIPE))
        self.seen, self.peer = 0, None

    @property
    def pid(self):
        if not self.is_child:
            return self.running.pid
        with open(f"/proc/{self.running.pid}/task/{self.running.pid}/children", encoding="ascii") as children:
            return int(children.read())

    def begin(self, words):
        self.running.child.stdin.write(words.encode() + b"\n")
        self.running.child.stdin.flush()

    def answered(self):
        """What the program said since it was asked last, with "done" at the end."""
        def rest():
            return self.running.out.splitlines()[self.seen:]

        assert proc.until(lambda: any(line == "done" or "wrong" in line for line in rest()) or not self.running.alive(),
                          GUARD) and rest(), self.running.err
        lines = rest()
        self.seen += len(lines)
        assert lines[-1] == "done", (lines, self.running.err)
        return lines[:-1]

    def do(self, words):
        self.begin(words)
        return self.answered()

    def execute(self):
        """Until the new program is there."""
        self.begin("execute")
        self.do("nothing")

    def accept(self):
        """A connection, and the socket of its other end."""
        self.begin("accept")
        peer = self.stack.enter_context(contextlib.closing(connected(self.pair.a, self.address)))
        self.answered()
        return peer

    def talk(self, peer, count):
        self.begin(f"talk {count}")
        say(peer, count)
        self.answered()

    def serve(self, count, *kept):
        """A peer that connected and has heard @count things back; what is named in @kept goes along with exec."""
        self.do("listen")
        peer = self.accept()
        self.talk(peer, count)
        for name in kept:
            self.do(f"keep {name}")
        return peer

    def counters(self):
        return fsock.counters(self.pid)

    def close(self):
        self.stack.close()


def say(peer, count):
    for i in range(count):
        peer.sendall(b"%9d" % i)
        assert peer.recv(9, socket.MSG_WAITALL) == b"%9d" % i


@contextlib.contextmanager
def executing(*args, **options):
    with contextlib.closing(Executing(*args, **options)) as made:
        yield made
        assert made.wire.resets() == []
        made.begin("end")
        assert made.running.finish(GUARD).status == 0
        assert proc.until(lambda: left(made.pair.b) == NOTHING), left(made.pair.b)


def assert_resumed(made, times, segments):
    seen = made.counters()
    assert seen["programs_resumed"] == times and seen["moved_to_kernel"] == 0, seen
    assert seen["tcp_segments_in"] >= segments and seen["ports_reopened"] == 0, seen


def fsock_is_in(pid):
    """Descriptors of fsock's, or of what it may be made of."""
    names = [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
    return [name for name in names if re.search("fsock|bpf|xdp|event", name)]


def is_shown_fast(pid, count):
    """So many sockets of the process are on the fast path, and no record is one too many."""
    def shown():
        return [sock["accelerated"] for sock in fsock.sockets(fsock.stat(pid)) if sock["fd"] >= 0]

    return proc.until(lambda: shown() == count * [True]), fsock.stat(pid)


@pytest.mark.parametrize("family, provider", [("v4", "xdp"), ("v6", "xdp"), ("v4", "packet")])
def test_a_program_goes_on_with_what_it_was_passed(pair, family, provider):
    """Listener and connection, twice; alone on its stack, so that nobody else holds what it does."""
    with executing(pair, family, provider=provider) as made:
        peer = made.serve(50)
        for _ in range(2):
            made.do("keep listener")
            made.do("keep peer")
            made.begin("execute")
            made.talk(peer, 300)
        other = made.accept()
        made.talk(other, 100)
        assert_resumed(made, 2, 700)
        assert all(is_shown_fast(made.pid, 2)), fsock.stat(made.pid)
        peer.close()
        other.close()


@pytest.mark.parametrize("function", ["execl", "execlp", "execle", "execv", "execvp", "execvpe", "fexecve", "execveat"])
def test_each_function_passes_it_on(pair, function):
    with executing(pair) as made:
        peer = made.serve(50, "peer", "listener")
        made.begin(f"execute {function}")
        made.talk(peer, 50)
        assert_resumed(made, 1, 100)
        peer.close()


def test_who_connected_goes_on(pair):
    """A leased local port goes along, with what keeps it leased."""
    with contextlib.closing(listening(pair.a, net.A4, PORT)) as back, executing(pair, where=pair.a) as made:
        made.do("connect")
        peer = back.accept()[0]
        made.talk(peer, 50)
        made.do("keep peer")
        made.begin("execute")
        made.talk(peer, 300)
        made.do("connect")
        other = back.accept()[0]
        made.talk(other, 100)
        assert_resumed(made, 1, 450)
        peer.close()
        other.close()


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_datagrams_go_on(pair, family):
    with pair.a.popen([PYTHON, "-c", DATAGRAMS, pair.a.address(family), PORT], env=fsock.CLEAN) as echo, \
            executing(pair, family, where=pair.a, kernel_peers=0) as made:
        assert echo.wait_for("ready")
        made.do("datagrams")
        made.do("ask 50")
        made.do("keep datagrams")
        made.begin("execute")
        made.do("ask 300")
        seen = fsock.counts(made.pid)
        assert made.counters()["programs_resumed"] == 1 and seen.tx_fast == 350, fsock.stat(made.pid)


def test_a_set_goes_on(pair):
    """It tells of its members, as the program entered them, before and after."""
    with executing(pair) as made:
        made.do("listen")
        peer = made.accept()
        made.do("watch")
        made.do("keep peer")
        made.do("keep set")
        for i in range(2):
            for _ in range(20):
                made.begin("event")
                say(peer, 1)
                made.answered()
            if i == 0:
                made.execute()
        assert_resumed(made, 1, 40)
        peer.close()


@pytest.mark.parametrize("provider", ["xdp", "packet"])
def test_a_program_may_take_its_time_to_begin(pair, tmp_path, provider):
    """Longer than steering waits for who does not take frames otherwise: the dynamic linker does not come to the
    library's constructors before it has opened a pipe, which nobody writes to yet."""
    late = tmp_path / "late"
    os.mkfifo(late)
    with executing(pair, provider=provider) as made:
        peer = made.serve(50, "peer", "listener")
        made.begin(f"execute late {late}")
        made.begin("talk 20")
        peer.sendall(b"%9d" % 0)
        time.sleep(4) # of steering's seconds, in which the peer says it several times
        other = stream(pair.a, made.address)
        other.setblocking(False)
        other.connect_ex((made.address, PORT))
        assert select.select([], [other], [], 0.1)[1] == [] # the kernel's listener would have answered
        os.close(os.open(late, os.O_WRONLY))
        other.settimeout(GUARD)
        assert peer.recv(9, socket.MSG_WAITALL) == b"%9d" % 0
        say(peer, 19)
        made.answered()
        made.do("accept")
        made.talk(other, 20)
        assert_resumed(made, 1, 90)
        assert made.counters()["tcp_opened_passive"] == 2 and all(is_shown_fast(made.pid, 2)), fsock.stat(made.pid)
        assert fsock.port_counters(made.pid)["steer_passed_stale"] == 0
        peer.close()
        other.close()


# Before the library's own, which comes earlier in LD_PRELOAD.
EARLY = """
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
__attribute__((constructor)) static void early(void)
{
	close(socket(AF_INET, SOCK_DGRAM, 0));
}
"""


def test_another_librarys_constructor_has_a_socket_before(pair, tmp_path):
    """What was passed is taken up by then: the program has one stack, the former one's."""
    source, early = tmp_path / "early.c", tmp_path / "early.so"
    source.write_text(EARLY)
    subprocess.run(["gcc", "-shared", "-fPIC", source, "-o", early], check=True)
    with executing(pair) as made:
        peer = made.serve(50, "peer", "listener")
        made.begin(f"execute late {early}")
        made.talk(peer, 50)
        assert_resumed(made, 1, 100)
        assert all(is_shown_fast(made.pid, 2)), fsock.stat(made.pid)
        peer.close()


def test_what_is_queued_both_ways_arrives(pair):
    """Bytes that neither of the two had read in the moment of exec."""
    said = random.Random(2).randbytes(SIZE)
    with executing(pair) as made:
        made.do("listen")
        peer = made.accept()
        made.do(f"queue {SIZE}")
        sender = threading.Thread(target=peer.sendall, args=(said,))
        sender.start()
        assert proc.until(lambda: made.counters()["tcp_bytes_in"] >= 60000), made.counters()
        made.do("keep peer")
        made.begin("execute")
        assert made.do(f"drain {SIZE}") == [hashlib.sha256(said).hexdigest()]
        got = bytearray()
        while len(got) < SIZE:
            got += peer.recv(SIZE)
        assert bytes(got) == random.Random(1).randbytes(SIZE)
        sender.join()
        assert_resumed(made, 1, 40)
        peer.close()


def test_what_does_not_go_along_ends(pair):
    """By FIN, as the kernel closes it."""
    with executing(pair) as made:
        first = made.serve(10, "listener")
        made.begin("execute")
        assert first.recv(1) == b""
        first.close()
        other = made.accept()
        made.talk(other, 50)
        assert_resumed(made, 1, 60)
        assert all(is_shown_fast(made.pid, 2)), fsock.stat(made.pid)
        other.close()


def test_nothing_of_fsocks_is_left_open(pair):
    """What was passed on is close-on-exec again; another program has what this one keeps, a pipe, and ls's folder."""
    with executing(pair) as made:
        peer = made.serve(10, "peer")
        made.begin("execute")
        made.talk(peer, 50)
        assert len(made.do("numbers")[0].split()) == 3
        assert_resumed(made, 1, 60)
        peer.close()


# Where nothing is kept, what ends with the program is given to the kernel before an exec that may end it.
@pytest.mark.parametrize("kind, kept", [(kind, kept) for kept in (("peer", "listener"), ()) for kind in (
    "absent", "folder", "forbidden", "long", "check") if kept or kind != "long"])
def test_an_exec_that_fails_changes_nothing(pair, kind, kept):
    """Whether it is known before that it will, or only when all has been prepared."""
    with executing(pair) as made:
        peer = made.serve(50, *kept)
        before = made.do("numbers")
        for _ in range(3):
            made.do(f"fail {kind}")
            made.talk(peer, 50)
        assert made.do("numbers") == before
        other = made.accept()
        made.talk(other, 50)
        assert_resumed(made, 0, 250)
        peer.close()
        other.close()


def test_children_that_execute(pair):
    """A server that executes a program for each connection: their ends are not the server's, nor each other's."""
    with executing(pair) as made:
        made.do("listen")
        peers = []
        for _ in range(3):
            peers.append(made.accept())
            made.talk(peers[-1], 10)
            made.do("keep peer")
            made.do("child")
            say(peers[-1], 100)
        peers[0].shutdown(socket.SHUT_WR)
        assert peers[0].recv(1) == b""
        for peer in peers[1:]:
            say(peer, 100)
        last = made.accept()
        made.talk(last, 100)
        assert_resumed(made, 3, 600)
        for peer in [*peers, last]:
            peer.close()


@pytest.mark.parametrize("keeps_listener", [False, True])
def test_more_children_than_there_are_places(pair, keeps_listener):
    """Those for whom there is no place on the stack go on in the kernel, with what is theirs; nobody else does."""
    count = PLACES + 4
    with contextlib.closing(Executing(pair)) as made:
        made.do("listen")
        if keeps_listener:
            made.do("keep listener")
        peers = []
        for i in range(count):
            peers.append(made.accept())
            made.do("keep peer")
            made.do("child")
            say(peers[-1], 20)
            seen = made.counters()
            assert seen["programs_resumed"] == min(i + 1, PLACES - 1), seen
            if i + 1 < PLACES:
                assert seen["moved_to_kernel"] == 0, seen
        for peer in peers:
            say(peer, 20)
        seen = made.counters()
        if keeps_listener: # whom the kernel has accepted is served there
            assert seen["moved_to_kernel"] == 2, seen
        else:
            assert seen["moved_to_kernel"] == count - (PLACES - 1) and seen["tcp_opened_passive"] == count, seen
        for peer in peers:
            peer.shutdown(socket.SHUT_WR)
            assert peer.recv(1) == b""
        last = made.accept()
        made.talk(last, 20)
        assert made.wire.resets() == []
        for peer in [*peers, last]:
            peer.close()


def _as_someone_else(folder):
    """A copy of python that its file makes another user's."""
    path = os.path.join(folder, "python")
    shutil.copy(os.path.realpath(PYTHON), path)
    os.chown(path, 65534, 65534)
    os.chmod(path, 0o4755)
    return path


@pytest.mark.parametrize("target", ["static", "set-user-ID", "without LD_PRELOAD", "without a folder", "said twice", "listed"])
def test_what_fsock_cannot_enter_goes_on_in_the_kernel(pair, program, target):
    """And gets nothing of fsock's."""
    with tempfile.TemporaryDirectory(prefix="fst-") as folder, contextlib.closing(Executing(pair)) as made:
        os.chmod(folder, 0o755)
        peer = made.serve(50, "peer")
        if target == "static":
            made.begin(f"static {program('takes_over')}")
        elif target == "set-user-ID":
            made.begin(f"echo {_as_someone_else(folder)}")
        elif target == "listed":  # by the dynamic linker, which ends then
            made.begin("execute listed")
            assert made.running.finish(GUARD).status == 0
            peer.settimeout(GUARD)
            assert peer.recv(1) == b"" and made.wire.resets() == []
            return
        else:
            made.begin({"without LD_PRELOAD": "execute bare", "without a folder": "execute nameless",
                        "said twice": "execute doubled"}[target])
            made.begin("talk 100")
        say(peer, 100)
        assert fsock_is_in(made.pid) == []
        assert made.wire.resets() == []
        peer.close()


@pytest.mark.parametrize("what", ["confined", "never more", "grouped", "of a saved user", "of another time"])
def test_who_is_another_than_the_maker_of_the_stack_passes_nothing_on(pair, what):
    """Whether or not the library was told: connections go on in the kernel, and nothing of fsock's is left open."""
    with contextlib.closing(Executing(pair)) as made:
        peer = made.serve(50, "peer")
        made.do(f"become {what}")
        made.talk(peer, 50)
        made.execute()
        assert fsock_is_in(made.pid) == []
        made.talk(peer, 100)
        assert made.counters()["programs_resumed"] == 0 and made.wire.resets() == []
        peer.close()


def test_another_users_program_gets_nothing(pair):
    """Of a stack that root made; what it inherits is the kernel's, and serves."""
    with contextlib.closing(Executing(pair)) as made:
        made.do("listen")
        made.do("keep listener")
        made.do("become nobody")
        made.execute()
        assert fsock_is_in(made.pid) == []
        peer = made.accept()
        made.talk(peer, 50)
        assert made.counters()["programs_resumed"] == 0 and made.wire.resets() == []
        peer.close()


@pytest.mark.parametrize("forks", [False, True])
def test_who_became_another_user_after_exec_executes_again(pair, forks):
    """As setpriv, and runuser in a child, do on the way to the program: connections may not move any more then, and go
    before."""
    with contextlib.closing(Executing(pair)) as made:
        peer = made.serve(50, "peer")
        made.execute()
        made.talk(peer, 50)
        assert_resumed(made, 1, 100)
        if forks:
            made.do("child 65534")
        else:
            made.do("become nobody")
            made.talk(peer, 50)
            made.execute()
            assert fsock_is_in(made.pid) == []
            made.begin("talk 100")
        say(peer, 100)
        assert made.wire.resets() == []
        if forks:
            seen = made.counters()
            assert seen["programs_resumed"] == 1 and seen["moved_to_kernel"] == 1, seen
        peer.close()


def test_children_of_vfork_execute_untouched(pair):
    with executing(pair) as made:
        peer = made.serve(20, "peer", "listener")
        for _ in range(3):
            made.do("spawn")
            made.talk(peer, 20)
        assert_resumed(made, 0, 80)
        assert all(is_shown_fast(made.pid, 2)), fsock.stat(made.pid)
        peer.close()


def test_several_stacks_go_on_in_the_kernel():
    """What one of them has, the others pass frames to: none goes along alone."""
    with net.Pair(queues=(4, 4)) as pair:
        pair.meet()
        with contextlib.closing(Executing(pair, stacks=2, xdp_mode="native")) as made:
            made.do("listen")
            made.do("keep listener")
            for queue in (0, 3):
                pair.a.send_by(queue)
                peer = made.accept()
                made.talk(peer, 20)
                made.do("keep peer")
            assert len(fsock.stat(made.pid)["stacks"]) == 2, fsock.stat(made.pid)
            made.execute()
            assert fsock_is_in(made.pid) == []
            made.talk(peer, 50)
            other = made.accept()
            made.talk(other, 50)
            assert made.counters()["programs_resumed"] == 0 and made.wire.resets() == []
            peer.close()
            other.close()


@pytest.mark.parametrize("how, resumed", [("off", 1), ("threaded", 0), ("by", 0)])
def test_what_is_not_to_be_fast_goes_on_in_the_kernel(pair, how, resumed):
    """By options of the new program's, or because another thread may be in the middle of a change when exec ends it."""
    with contextlib.closing(Executing(pair)) as made:
        peer = made.serve(50, "peer")
        made.begin(f"execute {how}")
        made.talk(peer, 100)
        seen = made.counters()
        fast = [sock for sock in fsock.sockets(fsock.stat(made.pid)) if sock["fd"] >= 0 and sock["accelerated"]]
        assert seen["programs_resumed"] == seen["moved_to_kernel"] == resumed and not fast, (seen, fast)
        assert seen["tcp_segments_in"] < 100 and made.wire.resets() == []
        peer.close()


@pytest.mark.parametrize("told", ["junk", "1000", "0", "-1", "99999999999999999999", "nine", "", "9 "])
def test_a_record_that_is_none(pair, told):
    """Who is told of one, by somebody else, begins as without, and has the word in its environment no more."""
    with tempfile.TemporaryFile() as junk:
        junk.write(random.Random(3).randbytes(5000))
        junk.flush()
        word = str(junk.fileno()) if told == "junk" else told
        with executing(pair, env={"FSOCK_INHERITED": word}, fds=[junk.fileno()]) as made:
            peer = made.serve(20)
            assert_resumed(made, 0, 20)
            made.do("keep peer")
            made.begin("execute")
            made.talk(peer, 20)
            assert_resumed(made, 1, 40)
            peer.close()


def test_where_the_kernel_seals_memfds_itself(pair):
    """Against executing what is in them (vm.memfd_noexec, of a PID namespace): the record has one seal more then."""
    first = ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c",
             'echo 1 >/proc/sys/vm/memfd_noexec && exec "$@"', "sh"]
    if not os.path.exists("/proc/sys/vm/memfd_noexec"):
        pytest.skip("the kernel has no vm.memfd_noexec")
    with executing(pair, first=first) as made:
        peer = made.serve(50, "peer")
        made.execute()
        made.talk(peer, 50)
        assert_resumed(made, 1, 100)
        peer.close()


def test_nginx_is_replaced_on_the_fast_path(pair, tmp_path):
    """A new binary that is left LD_PRELOAD takes the listeners over, and the interface when the old one ends."""
    words = nginx(tmp_path, process="worker_processes 2; env LD_PRELOAD; env FSOCK_PROFILE;")
    words[0] = shutil.which("nginx")
    config = tmp_path / "config"
    config.write_text(config.read_text().replace("daemon off;", ""))
    (tmp_path / "files" / "a").write_bytes(bytes(100000))

    def ask():
        done = pair.a.run(["curl", "-sS", "-f", "-w", "%{size_download}\\n", "-o", "/dev/null",
                           f"http://{net.B4}:8080/a?[1-30]"], env=fsock.CLEAN)
        assert done.out.split() == 30 * ["100000"], done

    with contextlib.closing(Wire(pair.a)) as wire, replaced(tmp_path / "pid") as pid:
        with pair.b.popen(fsock.run(words, profile="latency"), env=fsock.CLEAN) as start:
            assert start.child.wait(GUARD) == 0 and proc.until(pid), start.err
            # The end of the block takes all with it that have no session of their own yet.
            assert proc.until(lambda: os.getsid(pid()) == pid())
        ask()
        old = pid()
        before = fsock.counters(old) # it became a daemon, at which the port was opened anew
        os.kill(old, signal.SIGUSR2)
        assert proc.until(lambda: pid() not in (0, old))
        ask()
        os.kill(old, signal.SIGQUIT)
        assert proc.until(lambda: not os.path.exists(f"/proc/{old}"))
        ask()
        seen = fsock.counters(pid())
        assert seen["programs_resumed"] == 1 and seen["moved_to_kernel"] == 0, seen
        assert seen["tcp_opened_passive"] == before["tcp_opened_passive"] + 2, (before, seen)
        assert seen["ports_reopened"] == before["ports_reopened"], (before, seen)
        assert wire.resets() == []
