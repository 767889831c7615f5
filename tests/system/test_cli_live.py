# SPDX-License-Identifier: BSD-2-Clause
"""
The command on programs that are really accelerated, between two namespaces: what `why` and `stat` say
agrees with what the programs did, and each way to lose the fast path is named.
"""
import json
import subprocess
import textwrap
import time

import pytest
from lab import fsock, net, proc

LATENCY = {"profile": "latency"}
ECHO = textwrap.dedent("""
    import socket, sys
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((sys.argv[1], int(sys.argv[2])))
    print("ready", flush=True)
    while True:
        data, peer = s.recvfrom(2048)
        s.sendto(data, peer)
""")
PING = textwrap.dedent("""
    import socket, sys
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(20)
    s.connect((sys.argv[1], int(sys.argv[2])))
    for _ in range(int(sys.argv[3])):
        s.send(b"x" * 64)
        s.recv(2048)
    print("done", flush=True)
    if len(sys.argv) > 4:
        sys.stdin.read() if sys.argv[4] == "wait" else None
""")


def python(code, *args):
    return ["/usr/bin/python3", "-c", code, *map(str, args)]


def tool(*args):
    done = subprocess.run([str(fsock.tool()), *map(str, args)], capture_output=True, text=True,
                          timeout=60, check=False)
    return done


def why(side, argv, options=None, prefix=()):
    """Sockets of a program run under `fsock why --json --`, and its result."""
    flags = [f"--{k}={v}" for k, v in (options or {}).items()]
    done = side.run([*prefix, fsock.tool(), "why", "--json", *flags, "--", *argv], env=fsock.CLEAN)
    assert done.out, done.err
    report = json.loads(done.out.splitlines()[-1])
    return report["sockets"], report, done


def settled(pid):
    """`stat` once the stack has published."""
    until = time.monotonic() + proc.GUARD
    while True:
        stat = json.loads(tool("stat", "--json", pid).stdout)
        stack = stat["stacks"][0]
        port, sock = stack["ports"][0]["counters"], stack["sockets"][0]
        if (sock["rx_fast"] == stack["counters"].get("rx_datagrams") and
                port["rx_frames"] >= sock["rx_fast"]) or time.monotonic() > until:
            return stat
        time.sleep(0.05)


@pytest.fixture(scope="module")
def echo(shared_pair):
    """An echo server on kernel sockets in .b, port 7000."""
    with shared_pair.b.popen(python(ECHO, net.B4, 7000), env=fsock.CLEAN) as server:
        assert server.wait_for("ready")
        yield net.B4, 7000


def test_why_and_stat__agree_with_the_traffic(pair):
    server_argv = fsock.run(python(ECHO, net.B4, 7000), **LATENCY)
    with pair.b.popen(server_argv, env=fsock.CLEAN) as server:
        assert server.wait_for("ready")
        sockets, report, done = why(pair.a, python(PING, net.B4, 7000, 500), LATENCY)
        assert report["status"] == 0, done.err
        stat = settled(server.pid)
        seen = json.loads(tool("why", "--json", server.pid).stdout)
        text = tool("why", server.pid).stdout
    client, = sockets
    assert client["accelerated"] and client["reason"] is None
    assert client["remote"] == f"{net.B4}:7000"
    assert client["rx_fast"] + client["rx_kernel"] == 500
    assert client["tx_fast"] + client["tx_kernel"] == 500
    assert client["rx_fast"] + client["tx_fast"] >= 990

    bound, = seen["sockets"]
    assert seen["loaded"] and bound["accelerated"]
    assert (bound["provider"], bound["interface"], bound["queues"]) == ("xdp", net.LINK, 1)
    assert bound["local"] == f"{net.B4}:7000" and bound["remote"] is None
    assert f"accelerated by xdp on {net.LINK}, generic, 1 of 1 queues" in text

    stack, = stat["stacks"]
    assert stack["owner_pid"] == server.pid and stack["profile"] == "latency"
    assert stack["counters"]["rx_datagrams"] == bound["rx_fast"]
    assert stack["counters"]["tx_datagrams"] == bound["tx_fast"]
    assert stack["ports"][0]["interface"] == net.LINK and stack["ports"][0]["error"] == 0
    assert stack["ports"][0]["counters"]["rx_frames"] >= bound["rx_fast"]
    assert 0 < stack["ports"][0]["frames_free"] <= stack["ports"][0]["frames_total"]


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "os.kill(os.getpid(), 15)", "os.abort()",
                                 "ctypes.CDLL('libc.so.6')._Exit(0)",
                                 "os.execv('/bin/true', ['true'])"])
def test_why__program_that_ends_without_a_word(shared_pair, echo, end):
    """Nothing of fsock's runs at its end (libc's own _Exit() is one, too): its stack tells of the sockets that were open."""
    body = PING + f"import ctypes, os\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()\n{end}\n"
    sockets, _, done = why(shared_pair.a, python(body, *echo, 100), LATENCY)
    assert len(sockets) == 2, done.err
    opened, = (s for s in sockets if s["remote"])
    assert opened["accelerated"] and opened["provider"] == "xdp" and opened["interface"] == net.LINK, opened


def test_stat__is_right_about_a_program_that_sleeps(pair):
    """It makes no call any more that could publish what its ports counted at last."""
    pair.meet()
    with pair.b.popen(fsock.run(python(ECHO, net.B4, 7000)), env=fsock.CLEAN) as server:
        assert server.wait_for("ready")
        for turn in range(1, 6):
            done = pair.a.run(fsock.run(python(PING, net.B4, 7000, 200), **LATENCY), env=fsock.CLEAN)
            assert done.status == 0, done.err
            # The sender's are complete sums, but one in 65,536 looks partial and comes by the shadow.
            assert proc.until(lambda: rx_frames(server.pid) == fsock.counts(server.pid).rx_fast), turn
        assert fsock.counts(server.pid).rx_fast > 900


def rx_frames(pid):
    return fsock.stat(pid)["stacks"][0]["ports"][0]["counters"]["rx_frames"]


@pytest.mark.parametrize("options,reason", [
    ({"accelerate": 0}, "disabled"),
    ({"bypass": "udp:7000"}, "bypass"),
    ({"interface": "other0"}, "no_interface"),
    ({"profile": "default"}, "short_lived"),
])
def test_why__options_that_keep_a_socket_in_the_kernel(shared_pair, echo, options, reason):
    sockets, report, done = why(shared_pair.a, python(PING, *echo, 3), {**LATENCY, **options})
    assert report["status"] == 0, done.err
    assert [s["reason"] for s in sockets] == [reason], done.err
    assert sockets[0]["rx_fast"] == sockets[0]["tx_fast"] == 0
    assert sockets[0]["text"]


def test_why__tcp_and_untouched_sockets(shared_pair, echo):
    code = "import socket; a = socket.socket(2, 1); b = socket.socket(2, 2); c = socket.socket(1, 2)"
    sockets, _, _ = why(shared_pair.a, python(code))
    # The unix socket is none of ours and has no record.
    assert [s["reason"] for s in sockets] == ["pending", "pending"]


def test_why__names_of_tcp_sockets(shared_pair, echo):
    code = """if True:
        import socket
        a = socket.socket(); a.bind(("", 7654)); a.listen()
        b = socket.socket(); b.connect(("127.0.0.1", 7654))
        c = socket.socket(); c.setblocking(False); c.connect_ex(("127.0.0.1", 7654))
        d = socket.socket(socket.AF_INET6); d.bind(("::1", 7655))
        e = socket.socket()
        f = socket.socket(); f.listen()
        print(f.getsockname()[1])
    """
    sockets, _, done = why(shared_pair.a, python(code))
    names = {(s["local"] if ":765" in s["local"] else "?", s["remote"]) for s in sockets}
    assert names == {("*:7654", None), ("?", "127.0.0.1:7654"), ("[::1]:7655", None), ("?", None)}, sockets
    assert sum(s["local"] == "*:0" for s in sockets) == 1, sockets
    assert f"*:{done.out.split()[0]}" in [s["local"] for s in sockets], sockets  # f got it by listen()


def test_why__bypassed_port_says_bypass_whatever_was_set_before(shared_pair, echo):
    code = "import socket; s = socket.socket(2, 2); s.setsockopt(17, 100, 0); s.connect(('10.9.9.9', {}))"
    pair = shared_pair.a
    pair.run(["ip", "route", "add", "10.9.9.9", "dev", "lo"])
    for port, reason in (53, "bypass"), (54, "option"):
        sockets, _, _ = why(pair, python(code.format(port)))
        assert [s["reason"] for s in sockets] == [reason], sockets


def test_why__program_that_got_no_stack(shared_pair, echo):
    code = """if True:
        import ctypes, socket
        mmap = ctypes.CDLL(None).mmap
        mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
        for slot in range(16):
            mmap(0x200000000000 + slot * (64 << 30), 4096, 0, 0x100022, -1, 0)
        a, b = socket.socket(2, 2), socket.socket(2, 1)
    """
    sockets, _, done = why(shared_pair.a, python(code))
    assert [s["reason"] for s in sockets] == ["address_space"], done.err
    done = shared_pair.a.run([fsock.tool(), "why", "--", *python(code)], env=fsock.CLEAN)
    assert "every socket of pid" in done.err and "remedy" in done.err, done.err


def test_why__loopback(shared_pair, echo):
    code = "import socket; s = socket.socket(2, 2); s.sendto(b'x', ('127.0.0.1', 9))"
    sockets, _, _ = why(shared_pair.a, python(code), LATENCY)
    assert [s["reason"] for s in sockets] == ["loopback"]


def test_why__policy(pair):
    rules = "table inet t { chain c { type filter hook output priority 0; udp dport 9 drop; }; }"
    subprocess.run(pair.a.argv(["nft", "-f", "-"]), input=rules, text=True, check=True)
    with pair.b.popen(python(ECHO, net.B4, 7000), env=fsock.CLEAN) as server:
        assert server.wait_for("ready")
        sockets, report, done = why(pair.a, python(PING, net.B4, 7000, 20), LATENCY)
        assert report["status"] == 0, done.err
        assert [s["reason"] for s in sockets] == ["policy"]
        assert sockets[0]["detail"]
        sockets, _, done = why(pair.a, python(PING, net.B4, 7000, 20), {**LATENCY, "policy": "ignore"})
        assert sockets[0]["accelerated"], done.err


def test_why__without_privilege_the_program_runs_and_one_line_says_why(shared_pair, echo):
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    sockets, report, done = why(shared_pair.a, python(PING, *echo, 3), LATENCY, prefix=nobody)
    assert report["status"] == 0, done.err
    assert [s["reason"] for s in sockets] == ["privilege"]
    assert len(done.err.splitlines()) == 1, done.err


def test_why__interface_in_use(shared_pair, echo):
    argv = fsock.run(python(PING, *echo, 1, "wait"), **LATENCY)
    with shared_pair.a.popen(argv, env=fsock.CLEAN, stdin=subprocess.PIPE) as first:
        assert first.wait_for("done"), first.err
        sockets, report, done = why(shared_pair.a, python(PING, *echo, 3), LATENCY)
    assert report["status"] == 0, done.err
    assert [s["reason"] for s in sockets] == ["interface_busy"]
