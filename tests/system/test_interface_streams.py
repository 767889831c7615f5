# SPDX-License-Identifier: BSD-2-Clause
"""
test_interface_streams - connections and listeners whose interface goes, returns and changes: the kernel's connections
survive it, and so do ours, on the fast path again afterwards.
"""
import contextlib
import pathlib
import re
import textwrap
import time

import pytest

from lab import fsock, net, proc
from test_interface_life import (Agent, CHOSEN, KINDS, Scene, down, moved, other_station, removed, smaller_mtu)

OPTIONS = {"profile": "latency"}

SERVER = textwrap.dedent("""
    import socket, sys, threading
    listener = socket.create_server((sys.argv[1], 9001), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
    print("ready", flush=True)
    def serve(peer):
        while data := peer.recv(65536):
            peer.sendall(data)
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
""")

# One connection from a leased port, one from a port of its own, and new ones.
CALLER = textwrap.dedent("""
    import errno, socket, sys
    how, mine, peer = sys.argv[1:4]
    def call(port=0):
        sock = socket.socket(socket.AF_INET6 if ":" in peer else socket.AF_INET)
        sock.settimeout(30)
        if port:
            sock.bind((mine, port))
        sock.connect((peer, 9001))
        return sock
    calls = [call(), call(7001)]
    def ask(sock, size):
        try:
            sock.sendall(b"x" * size)
            left = size
            while left:
                got = sock.recv(left)
                if not got:
                    return "end"
                left -= len(got)
            return "same"
        except TimeoutError:
            return "lost"
        except OSError as error:
            return errno.errorcode[error.errno]
    print("ready", flush=True)
    for line in sys.stdin:
        order, *rest = line.split()
        if order == "ask":
            print("=", *(ask(sock, int(rest[1])) for sock in calls for _ in range(int(rest[0]))), flush=True)
        elif order == "new":
            with call() as fresh:
                print("=", ask(fresh, 1000), flush=True)
        else: # of the events: what datagrams are told then
            print("=", flush=True)
""")


class Streams(Scene):
    def __init__(self, stack, options=None, **more):
        super().__init__(stack, options=options, **more)
        self.agent.kill()
        self.server.kill()
        argv = ["/usr/bin/python3", "-u", "-c", SERVER, net.B4]
        self.server = stack.enter_context(proc.Process(
            self.pair.b.argv(fsock.run(argv, **options) if self.fast else argv), env=fsock.CLEAN))
        assert self.server.wait_for("ready", proc.GUARD), self.server.err
        self.agent = stack.enter_context(Agent(self.pair.a, net.B4, "", options, CALLER))


def segments(scene):
    """Segments of the engine's at both ends."""
    return [fsock.counters(pid)["tcp_segments_in"] for pid in (scene.agent.pid, scene.server.pid)]


def talks(scene, what):
    """All connections, and a new one, on the fast path."""
    before = segments(scene)
    assert scene.agent("ask 10 1000").split() == ["same"] * 20, (what, scene.agent.err, scene.server.err)
    assert scene.agent("new") == "same", what
    gained = [after - then for then, after in zip(before, segments(scene))]
    assert min(gained) >= 20, (what, gained, scene.agent.err)
    # What is owed is sent: a segment that comes between the interface and its port is the kernel's, which resets.
    time.sleep(0.3)


@pytest.mark.parametrize("kind", CHOSEN)
@pytest.mark.parametrize("event", [down, removed, moved, smaller_mtu, other_station])
def test_connections_survive(kind, event):
    with contextlib.ExitStack() as stack:
        for scene in (Streams(stack, {**OPTIONS, **KINDS[kind]}), Streams(stack)):
            if scene.fast:
                talks(scene, "before")
            for _ in range(2):
                steps = event(scene)
                next(steps)
                assert next(steps, None) is None
                scene.settle()
                if scene.fast:
                    talks(scene, event.__name__)
                else:
                    assert set(scene.agent("ask 1 1000").split()) == {"same"}, event.__name__


# What steers, among the programs that a process has attached; another one keeps the kernel's answers back.
STEERING = {"xdp": r"^link_type:\s+xdp$", "packet": r"^attach_type:\s+46\b"}  # tcx ingress


def take_off(end, pid, provider):
    """The steering program of process @pid is detached by somebody who is not fsock."""
    said = [path.read_text() for path in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir()]
    ids = [re.search(r"^link_id:\s+(\d+)$", text, re.M)[1] for text in said if re.search(STEERING[provider], text, re.M)]
    assert len(ids) == 1, said
    done = end.run(["bpftool", "link", "detach", "id", ids[0]])
    assert done.status == 0, done.err


@pytest.mark.parametrize("provider", ["xdp", "packet"])
def test_steering_that_somebody_takes_off(provider):
    """Frames are the kernel's then, and so are the connections, unnoticed by either end."""
    with contextlib.ExitStack() as stack:
        scene = Streams(stack, options={**OPTIONS, "provider": provider})

        def ours():
            return [sock for sock in fsock.sockets(fsock.settled(scene.agent.pid)) if sock["remote"]]
        assert scene.agent("ask 1 1000") == "same same"
        assert [sock["accelerated"] for sock in ours()] == [True, True]
        take_off(scene.pair.a, scene.agent.pid, provider)
        assert proc.until(lambda: scene.agent("ask 1 10") == "same same" and not any(sock["accelerated"] for sock in ours()))
        assert {sock["reason"] for sock in ours()} == {"detached"}
        assert scene.agent("ask 3 100000") == " ".join(["same"] * 6)
