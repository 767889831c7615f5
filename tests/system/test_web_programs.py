# SPDX-License-Identifier: BSD-2-Clause
"""
The web, unmodified: haproxy between two servers, nginx that reads its configuration anew or is replaced by a new binary
while it is asked, wget. On kernel sockets and on fsock, which has to have carried it (ends.py).
"""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess

from ends import MIB, body, digest_of
from ends import ends, pytest_generate_tests, tmp_path  # noqa: F401 (fixtures and a hook)
from lab import fsock, net, proc
from test_tcp_programs import nginx

ASKER = pathlib.Path(__file__).resolve().parent / "programs" / "asker.py"
PYTHON = "/usr/bin/python3"


# --- a proxy ----------------------------------------------------------------------------------

HAPROXY = """
global
    nbthread 2
defaults
    timeout connect 20s
    timeout client 60s
    timeout server 60s
    default-server check inter 100
frontend http
    mode http
    bind {b}:8080
    default_backend http
backend http
    mode http
    server one {a}:8081
frontend tcp
    mode tcp
    bind {b}:8090
    option splice-auto
    default_backend tcp
backend tcp
    mode tcp
    option splice-auto
    server one {a}:8081
"""


def test_haproxy(ends, tmp_path):
    """It asks a python in the other namespace, whose curl asks it: by HTTP, and by bytes that it splices."""
    (tmp_path / "files").mkdir()
    want = body(tmp_path / "files" / "a", 4 * MIB)
    config = tmp_path / "config"
    config.write_text(HAPROXY.format(a=net.A4, b=net.B4))
    origin = [PYTHON, "-m", "http.server", "-p", "HTTP/1.1", "-b", net.A4, "-d", tmp_path / "files", "8081"]
    with ends.living_client(origin, stop=signal.SIGINT) as running:
        assert proc.until(lambda: ":8081 " in ends.pair.a.run(["ss", "-Hltn"]).out or not running.alive()), running.err
        with ends.server(["haproxy", "-f", config, "-db"], 8090):
            for port in (8080, 8090):
                got = [tmp_path / f"{port}-{n}" for n in range(4)]
                words = [word for path in got for word in ("-o", path, f"http://{net.B4}:{port}/a")]
                done = ends.pair.a.run(["curl", "-sS", "-f", "--parallel", "--parallel-immediate", *words])
                assert done.status == 0, done.err
                assert [digest_of(path) for path in got] == [want] * 4
            ends.took(running.pid)


# --- a server that does not stop --------------------------------------------------------------

@contextlib.contextmanager
def asking(ends, path):
    """Four threads that ask for @path all the time, a connection each; none of them may have failed."""
    with ends.living_client([PYTHON, ASKER, net.B4, 8080, path, 4], stdin=subprocess.PIPE) as running:
        yield running
        running.child.stdin.close()
        running.finish()
    assert " 0 bad" in running.out and len(running.out.splitlines()[-1].split()) == 5, running.out[-300:] + running.err


def more(asker, count=60):
    """Until @asker had so many more answers."""
    def answers():
        lines = asker.out.splitlines()
        return int(lines[-1]) if lines else 0

    at = answers()
    assert proc.until(lambda: answers() >= at + count or not asker.alive()), asker.out[-300:] + asker.err
    assert asker.alive(), asker.out[-300:] + asker.err


def test_nginx_reload_under_load(ends, tmp_path):
    """Workers are replaced four times by others, on whose listeners they were."""
    server = nginx(tmp_path, process="worker_processes 2;")
    body(tmp_path / "files" / "a", 100000)
    with ends.server(server, 8080) as running, asking(ends, "/a") as asker:
        for _ in range(4):
            more(asker)
            running.send(signal.SIGHUP)
        more(asker)


def pid_in(path):
    with contextlib.suppress(FileNotFoundError, ValueError):
        return int(path.read_text())
    return 0


def test_nginx_binary_upgrade(ends, tmp_path):
    """
    A new binary takes over the listener, then the old one ends. It is executed with an environment of nginx's own, in
    which fsock is not: what comes after is the kernel's, and no request fails at the change.
    """
    words = nginx(tmp_path, process="worker_processes 2;")
    words[0] = shutil.which("nginx")  # executed without a search
    config = tmp_path / "config"
    config.write_text(config.read_text().replace("daemon off;", ""))
    body(tmp_path / "files" / "a", 100000)
    with contextlib.closing(fsock.Report()) as report, replaced(tmp_path / "pid") as pid:
        argv, env = ends.how(ends.serve, words, report)
        with ends.pair.b.popen(argv, cpu=proc.cpus()[1], env=env, fds=(report.fd,)) as start:
            assert start.child.wait(proc.GUARD) == 0 and proc.until(pid), start.err
            with asking(ends, "/a") as asker:
                more(asker)
                ends.took_its_way("server", ends.serve, report.counts())
                old = pid()
                os.kill(old, signal.SIGUSR2)
                assert proc.until(lambda: pid() not in (0, old))
                more(asker)
                if ends.serve == "fast":
                    assert proc.until(lambda: "executed" in fsock.reasons(fsock.stat(old))), fsock.stat(old)
                os.kill(old, signal.SIGQUIT)
                assert proc.until(lambda: not pathlib.Path(f"/proc/{old}").exists())
                more(asker)


@contextlib.contextmanager
def replaced(path):
    """What tells the process that @path names at the moment; that one ends with the block."""
    try:
        yield lambda: pid_in(path)
    finally:
        pid = pid_in(path)
        if pid:
            os.kill(pid, signal.SIGTERM)
            assert proc.until(lambda: not pathlib.Path(f"/proc/{pid}").exists())


# --- wget -------------------------------------------------------------------------------------

def test_wget(ends, tmp_path):
    """A tree by its indexes over one connection, the rest of a file of which there is a part, and what is not there."""
    server = nginx(tmp_path)
    config = tmp_path / "config"
    config.write_text(config.read_text().replace("root ", "autoindex on; root "))
    (tmp_path / "files" / "deep").mkdir()
    names = ["one", "two", "deep/three", "deep/four"]
    want = [body(tmp_path / "files" / name, size) for name, size in zip(names, (0, 1, 300000, 8 * MIB))]
    url = f"http://{net.B4}:8080/"
    with ends.server(server, 8080):
        ends.client(["wget", "-q", "-r", "-np", "-nH", "-P", tmp_path / "got", url])
        assert [digest_of(tmp_path / "got" / name) for name in names] == want
        with open(tmp_path / "part", "wb") as part, open(tmp_path / "files" / names[3], "rb") as file:
            shutil.copyfileobj(file, part)
            part.truncate(5 * MIB)
        ends.client(["wget", "-q", "-c", "-O", tmp_path / "part", url + names[3]])
        assert digest_of(tmp_path / "part") == want[3]
        ends.client(["wget", "-q", "-O", "/dev/null", url + "nothing"], status=8)
