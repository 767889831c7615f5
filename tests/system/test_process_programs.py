# SPDX-License-Identifier: BSD-2-Clause
"""
Servers of several processes, unmodified: workers that share a listener, python's multiprocessing, programs that are given
their sockets by another one. On kernel sockets and on fsock, which has to have carried it (ends.py) or to say why not.
"""
import collections
import pathlib
import signal
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


@pytest.mark.parametrize("ends", ["kernel", "off", "server"], indirect=True)
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
