# SPDX-License-Identifier: BSD-2-Clause
"""
Servers of several processes, unmodified: workers that share a listener, python's multiprocessing, programs that are given
their sockets by another one; and streams of event loops. On kernel sockets and on fsock, which has to have carried it (ends.py) or to say why not.
"""
import collections
import pathlib
import signal
import subprocess
import tempfile
import textwrap

import pytest

from ends import ends, pytest_generate_tests, tmp_path  # noqa: F401 (fixtures and a hook)
from lab import fsock, net, proc

PROGRAMS = pathlib.Path(__file__).resolve().parent / "programs"
PYTHON = "/usr/bin/python3"
WORKERS = 4

# A worker of gunicorn's says who it is, after a while in which others are asked.
APPLICATION = textwrap.dedent("""
    import os, time
    def application(environment, start):
        time.sleep(0.005)
        start("200 OK", [("Content-Type", "text/plain")])
        return [b"%d\\n" % os.getpid()]
""")

PREFORK = textwrap.dedent("""
    import os, socket, sys
    listener = socket.create_server((sys.argv[1], 9000), backlog=64)
    for worker in range(int(sys.argv[2])):
        if os.fork() == 0:
            while True:
                peer = listener.accept()[0]
                peer.sendall(b"%d" % worker)
                peer.close()
    os.wait()
""")

CALLER = textwrap.dedent("""
    import socket, sys
    for _ in range(int(sys.argv[2])):
        with socket.create_connection((sys.argv[1], 9000), 20) as peer:
            print(peer.recv(10).decode())
            assert peer.recv(10) == b""
""")


def test_gunicorn(ends, tmp_path):
    """Everyone of its workers serves some, before others take their places and after."""
    (tmp_path / "app.py").write_text(APPLICATION)
    server = ["gunicorn", "-w", WORKERS, "-b", f"{net.B4}:8000", "--chdir", tmp_path, "--worker-tmp-dir", "/dev/shm", "app"]

    def ask():
        urls = [f"http://{net.B4}:8000/{n}" for n in range(120)]
        done = ends.client(["curl", "-sS", "-f", "--parallel", "--parallel-immediate", "--parallel-max", 12, *urls])
        counted = collections.Counter(done.out.split())
        assert sum(counted.values()) == 120, done.out
        return counted

    with ends.server(server, 8000) as running:
        assert proc.until(lambda: running.err.count("Booting worker") == WORKERS), running.err
        before = ask()
        running.send(signal.SIGHUP)
        assert proc.until(lambda: running.err.count("Booting worker") == 2 * WORKERS), running.err
        assert proc.until(lambda: running.err.count("Worker exiting") == WORKERS), running.err
        after = ask()
    assert len(before) == len(after) == WORKERS and not before.keys() & after.keys(), (before, after)


APACHE = """
ServerRoot {folder}
ServerName test
Listen {address}:8080
LoadModule mpm_prefork_module /usr/lib/apache2/modules/mod_mpm_prefork.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
User nobody
Group nogroup
PidFile {folder}/pid
ErrorLog {folder}/errors
LogFormat "%P" child
CustomLog {folder}/children child
DocumentRoot {folder}/files
StartServers 4
MinSpareServers 4
MaxRequestWorkers 8
"""


def test_apache(ends):
    """Children of its prefork serve a page, give up root, and make room for others when it is told to begin anew."""
    with tempfile.TemporaryDirectory(prefix="fst-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        (folder / "files").mkdir()
        (folder / "files" / "page").write_text("page " * 2000)
        (folder / "config").write_text(APACHE.format(folder=folder, address=net.B4))

        def ask():
            (folder / "children").write_text("")
            done = ends.client(["curl", "-sS", "-f", "--parallel", "--parallel-immediate", "--parallel-max", 8,
                                "-H", "Connection: close", "-w", "%{size_download}\\n", "-o", "/dev/null",
                                f"http://{net.B4}:8080/page?[1-200]"])
            assert done.out.split() == ["10000"] * 200, done.out
            return set((folder / "children").read_text().split())

        def ask_several():
            """Until more than one has answered: the first may do it all while the others begin."""
            seen = ask()
            proc.until(lambda: len(seen) > 1 or seen.update(ask()))
            return seen

        with ends.server(["apache2", "-DFOREGROUND", "-f", folder / "config"], 8080) as running:
            before = ask_several()
            running.send(signal.SIGUSR1)
            assert proc.until(lambda: (folder / "errors").read_text().count("resuming normal operations") == 2)
            after = ask_several()
        assert len(before) > 1 and len(after) > 1 and not before & after, (before, after)


def test_prefork(ends):
    """Children that wait in accept() of one listener all get some of the connections."""
    with ends.server([PYTHON, "-c", PREFORK, net.B4, WORKERS], 9000):
        done = ends.client([PYTHON, "-c", CALLER, net.B4, 200])
    counted = collections.Counter(done.out.split())
    assert sum(counted.values()) == 200 and len(counted) == WORKERS, counted


def test_multiprocessing(ends):
    """Connections of three processes to three, and a manager's queues, filled by three and emptied by three others."""
    with ends.server([PYTHON, PROGRAMS / "multi.py", "serve", net.B4, 9000], 9000):
        assert ends.client([PYTHON, PROGRAMS / "multi.py", "ask", net.B4, 9000]).out == "well\n"


@pytest.mark.parametrize("program", [("node", "net.js"), (PYTHON, "async_streams.py")], ids=["node", "asyncio"])
def test_event_loop(ends, program):
    """A loop's own streams: 58 connections whose bytes come back whole after their half-close, 18 MiB each way."""
    name, script = program
    with ends.server([name, PROGRAMS / script, "serve", net.B4, 9000], 9000):
        assert ends.client([name, PROGRAMS / script, "ask", net.B4, 9000]).out == "58\n"


# --- sockets that another program opened ------------------------------------------------------

ACTIVATED = textwrap.dedent("""
    import os, socket
    assert (os.environ["LISTEN_FDS"], os.environ["LISTEN_PID"]) == ("1", str(os.getpid()))
    listener = socket.socket(fileno=3)
    while True:
        with listener.accept()[0] as peer:
            while data := peer.recv(65536):
                peer.sendall(data.upper())
""")

LINES = "a line for a program\n" * 2000


def talk(ends, path, times=3):
    """What is sent comes back in capitals, over so many connections one after the other."""
    path.write_text(LINES)
    for _ in range(times):
        with path.open() as stdin:
            done = ends.client(["socat", "-t", 20, "-", f"TCP4:{net.B4}:9000"], stdin=stdin)
        assert done.out == LINES.upper()


def test_socket_activation(ends, tmp_path):
    """
    systemd's tool is fast while it waits; the program that it executes at the first connection, in its own place, finds
    that one waiting and goes on in the kernel.
    """
    server = ["systemd-socket-activate", "-l", f"{net.B4}:9000", PYTHON, "-c", ACTIVATED]
    with ends.server(server, 9000, counted=False) as running:
        if ends.serve == "fast":
            assert proc.until(lambda: fsock.accelerated(running.pid)), fsock.stat(running.pid)
        talk(ends, tmp_path / "lines")
        assert not fsock.accelerated(running.pid)


ACTIVATED_DATAGRAMS = textwrap.dedent("""
    import socket
    sock = socket.socket(fileno=3)
    while True:
        data, peer = sock.recvfrom(65536)
        sock.sendto(data.upper(), peer)
""")


def activated(pair, program, *options):
    """The tool itself not under fsock, but the program that it executes."""
    return pair.b.popen(["systemd-socket-activate", *options, "-l", f"{net.B4}:9000",
                         *fsock.run([PYTHON, "-c", program], profile="latency")], env=fsock.CLEAN)


def test_an_activated_listener_is_taken(pair, tmp_path):
    """The connection that the program was started for is the kernel's, those that come after take the fast path."""
    path = tmp_path / "lines"
    path.write_text(LINES)
    pair.meet()
    with activated(pair, ACTIVATED) as running:
        assert proc.until(lambda: "Listening on" in running.err), running.err
        for _ in range(3):
            with path.open() as stdin:
                done = pair.a.run(["socat", "-t", 20, "-", f"TCP4:{net.B4}:9000"], env=fsock.CLEAN, stdin=stdin)
            assert done.out == LINES.upper(), running.err
        report = fsock.settled(running.pid)
        assert any(sock["fd"] == 3 and sock["accelerated"] for sock in fsock.sockets(report)), report
        assert fsock.counters(running.pid)["tcp_opened_passive"] == 2, report


def test_an_activated_datagram_socket_is_taken(pair):
    pair.meet()
    pair.a.run(["ethtool", "-K", net.LINK, "tx", "off"])  # whole sums: what lacks them the kernel has at first
    with activated(pair, ACTIVATED_DATAGRAMS, "--datagram") as running:
        assert proc.until(lambda: "Listening on" in running.err), running.err
        done = pair.a.run([PYTHON, PROGRAMS / "echo_client.py", "socket", net.B4, 9000, 100], env=fsock.CLEAN)
        assert done.status == 0 and done.out.startswith("100 "), done.out + done.err + running.err
        seen = fsock.sum_counts(fsock.sockets(fsock.settled(running.pid)))
    assert seen.rx_kernel >= 1 and seen.rx_fast >= 90 and seen.total == 200, seen


# Opens a listener of options and executes the program of its arguments with it; what that one finds.
ACTIVATES = textwrap.dedent("""
    import os, socket, sys
    listener = socket.create_server((sys.argv[1], 9000), backlog=7)
    for level, name, value in ((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
                               (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 77), (socket.SOL_SOCKET, socket.SO_RCVBUF, 50000),
                               (socket.IPPROTO_IP, socket.IP_TOS, 16)):
        listener.setsockopt(level, name, value)
    os.dup2(os.dup(listener.fileno()), 3)
    os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
    os.execv(sys.argv[2], sys.argv[2:])
""")
FINDS = textwrap.dedent("""
    import socket, struct, time
    listener = socket.socket(fileno=3)
    print("ready", flush=True)
    peer = listener.accept()[0]
    for sock in listener, peer:
        print(*[sock.getsockopt(level, name) for level, name in (
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE), (socket.IPPROTO_TCP, socket.TCP_NODELAY),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), (socket.SOL_SOCKET, socket.SO_RCVBUF),
            (socket.IPPROTO_IP, socket.IP_TOS), (socket.SOL_SOCKET, socket.SO_REUSEADDR))])
    print("backlog", struct.unpack_from("I", listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 28)[0], flush=True)
    peer.recv(1)
""")


def test_an_activated_listener_keeps_its_options(pair):
    """Its own and those of the connections that it hands out, as on the kernel."""
    found = []
    pair.meet()
    for program in [PYTHON, "-c", FINDS], fsock.run([PYTHON, "-c", FINDS], profile="latency"):
        with pair.b.popen([PYTHON, "-c", ACTIVATES, net.B4, *program], env=fsock.CLEAN) as running:
            assert running.wait_for("ready"), running.err
            with pair.a.popen(["socat", "-", f"TCP4:{net.B4}:9000"], stdin=subprocess.PIPE, env=fsock.CLEAN) as peer:
                assert running.wait_for("backlog"), running.out + running.err
                fast = len(found) == 1 and fsock.counters(running.pid)["tcp_opened_passive"]
                peer.child.stdin.close()
            found.append(running.out.replace("ready\n", ""))
    assert found[0] == found[1] and fast == 1, found


@pytest.mark.parametrize("how", ["systemd", "inetd"])
def test_a_program_for_each_connection(ends, tmp_path, how):
    """A child that executes tr has the connection for standard input and output, by the kernel, whoever accepted it."""
    config = tmp_path / "config"
    config.write_text(f"{net.B4}:9000 stream tcp nowait root /usr/bin/tr tr a-z A-Z\n")
    server = {"inetd": ["inetd", "-i", config],
              "systemd": ["systemd-socket-activate", "-l", f"{net.B4}:9000", "--accept", "--inetd", "tr", "a-z", "A-Z"]}[how]
    with ends.server(server, 9000, counted=False) as running:
        talk(ends, tmp_path / "lines")
        if ends.serve == "fast":
            assert fsock.accelerated(running.pid), fsock.stat(running.pid)
            assert fsock.counters(running.pid)["moved_to_kernel"] == 3
