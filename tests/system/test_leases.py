# SPDX-License-Identifier: BSD-2-Clause
"""
test_leases - local ports of fsock's connections beside those of kernel programs in the same namespace (D3, hazard 15).

Ports are few, and both sides take many at the same time: nobody gets what the other has, and all are free afterwards.
"""
import contextlib
import errno
import pathlib
import re
import subprocess
import sys
import textwrap

import pytest

from lab import fsock, net, proc

PORT = 7350
EACH = 100
PORTS = 40000, 40399 # of the namespace

# What binds, names, connects or steers a socket of Internet protocols; the control plane asks the kernel in between.
# What a port or a flow of a connection asks of the kernel. Local addresses, whose entries replace any (BPF_ANY), follow
# what rtnetlink says of the interfaces, whenever it says so.
STEERING = re.compile(r"(bind|connect|getsockname)\(.*AF_INET|setsockopt\((?!.*SOL_NETLINK)"
                      r"|BPF_MAP_UPDATE_ELEM(?!.*BPF_ANY)|BPF_MAP_DELETE_ELEM")

ECHO = pathlib.Path(__file__).parent / "programs" / "stream_echo.py"

# Makes its connections, talks over each and tells their ports; talks again and ends when it is told to.
HOLDER = textwrap.dedent("""
    import socket, sys
    peers = [socket.create_connection((sys.argv[1], int(sys.argv[2]))) for _ in range(int(sys.argv[3]))]
    def talk():
        for peer in peers:
            word = b"%d" % peer.getsockname()[1]
            peer.sendall(word)
            assert peer.recv(100) == word
    talk()
    print("ports", *(peer.getsockname()[1] for peer in peers), flush=True)
    sys.stdin.readline()
    talk()
""")

BINDER = textwrap.dedent("""
    import socket, sys
    for port in sys.argv[2:]:
        with socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind((sys.argv[1], int(port)))
                print(0)
            except OSError as e:
                print(e.errno)
""")


@pytest.fixture(scope="module")
def pair():
    with net.Pair("fsock-lease") as pair:
        pair.a.run(["sh", "-c", "printf '%d %d' >/proc/sys/net/ipv4/ip_local_port_range" % PORTS])
        yield pair


def _ports(holder):
    assert holder.wait_for("ports"), holder.err
    return [int(word) for word in holder.out.split()[1:]]


def _bind(end, host, ports):
    return {int(word) for word in end.run([sys.executable, "-c", BINDER, host, *ports], env=fsock.CLEAN).out.split()}


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_kernel_clients_and_ours_share_the_ports(pair, family):
    host, here = pair.b.address(family), pair.a.address(family)
    argv = [sys.executable, "-c", HOLDER, host, PORT, EACH]
    with contextlib.ExitStack() as stack:
        def start(end, argv, **how):
            return stack.enter_context(end.popen(argv, stdin=subprocess.PIPE, **how))
        report = stack.enter_context(contextlib.closing(fsock.Report()))
        server = start(pair.b, [sys.executable, ECHO, host, PORT], env=fsock.CLEAN)
        assert server.wait_for("ready"), server.err
        ours = start(pair.a, fsock.run(argv, profile="default", client_connects=1), env={**fsock.CLEAN, **report.env},
                     fds=(report.fd,))
        theirs = start(pair.a, argv, env=fsock.CLEAN)
        mine, kernels = _ports(ours), _ports(theirs)
        assert (len({*mine}), len({*kernels}), {*mine} & {*kernels}) == (EACH, EACH, set())
        assert all(PORTS[0] <= port <= PORTS[1] for port in mine + kernels), (mine, kernels)
        assert _bind(pair.a, here, mine) == {errno.EADDRINUSE}
        for holder in (ours, theirs):
            holder.child.stdin.close()
            assert holder.finish().status == 0, holder.err
        assert sum(s["remote_port"] == PORT and s["tx_fast"] == 2 for s in report.sockets()) == EACH
        assert _bind(pair.a, here, mine) == {0}


# Eight ports whose connections wait in the kernel's backlog.
BACKLOG = textwrap.dedent("""
    import socket, sys
    listeners = [socket.create_server((sys.argv[1], int(sys.argv[2]) + i), backlog=64) for i in range(8)]
    print("ready", flush=True)
    sys.stdin.readline()
""")

# As case_ports of native_stream.c, by sockets.
CONNECTS = textwrap.dedent("""
    import os, socket, sys
    held = []
    for i in range(128):
        os.write(1, b"begin\\n")
        s = socket.socket()
        s.connect((sys.argv[2], int(sys.argv[3]) + i // 16))
        s.send(b"x")
        os.write(1, b"end\\n")
        held.append(s)
""")


@pytest.mark.parametrize("interface", ["sockets", "native"])
def test_hazard_15_no_system_call_for_the_port_of_a_connection(pair, program, tmp_path, interface):
    """
    The first connection pays for sixteen ports, which serve as many connections with each of eight ports of the peer: 127
    more bind, connect and steer nothing. The program's socket() makes a socket for each, the native interface none; of
    its connections 64 leave a record.
    """
    pair.meet()
    log = tmp_path / "calls"
    client, records = {"sockets": ([sys.executable, "-c", CONNECTS], 128),
                       "native": ([program("native_stream"), "ports"], 64)}[interface]
    argv = ["strace", "-f", "-qq", "-o", log, *fsock.run([*client, net.A4, net.B4, PORT, "fast"], profile="latency", helper=0)]
    with contextlib.closing(fsock.Report()) as report, \
         pair.b.popen([sys.executable, "-c", BACKLOG, net.B4, PORT], stdin=subprocess.PIPE, env=fsock.CLEAN) as server:
        assert server.wait_for("ready"), server.err
        done = pair.a.run(argv, env={**fsock.CLEAN, **report.env}, fds=(report.fd,))
        assert done.status == 0, done.err[-1000:]
        sockets = [s for s in report.sockets() if s["remote_port"]]
    assert len(sockets) == records and all(s["accelerated"] and s["tx_fast"] and not s["tx_kernel"] for s in sockets)
    assert len({s["local_port"] for s in sockets}) == 16
    first, *more = proc.calls_between(log)
    assert sum("bind(" in call and "AF_INET" in call for call in first) == 16 and len(more) == 127
    for calls in more:
        assert not [call for call in calls if STEERING.search(call)]
        assert sum("socket(AF_INET" in call for call in calls) == (interface == "sockets")
