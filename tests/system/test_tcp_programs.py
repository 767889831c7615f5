# SPDX-License-Identifier: BSD-2-Clause
"""
Unmodified Debian programs over TCP, between two namespaces: each test says what has to come out, whatever way
the bytes take, and is run on kernel sockets, with the library loaded and switched off, and on fsock at both
ends and at either.

What its way is, its counters have to say (ends.py). Bodies are small in ./check; --lengths=whole makes them as large
as users do.
"""
import contextlib
import csv
import io
import json
import pathlib
import shlex
import signal

import pytest

from ends import LATENCY, MIB, body, digest_of, shell
from ends import ends, pytest_generate_tests, tmp_path, whole  # noqa: F401 (fixtures and a hook)
from lab import fsock, net, nginx as lab_nginx, proc


# --- measuring programs -----------------------------------------------------------------------

def test_sockperf(ends):
    with ends.server(["sockperf", "sr", "--tcp", "-i", net.B4, "-p", 11111], 11111, stop=signal.SIGINT):
        done = ends.client(["sockperf", "pp", "--tcp", "-i", net.B4, "-p", 11111, "-t", 1, "-m", 64, "--data-integrity"])
    assert "# dropped messages = 0; # duplicated messages = 0; # out-of-order messages = 0" in done.out
    assert "percentile 99.900" in done.out


def test_sockperf_throughput(ends):
    with ends.server(["sockperf", "sr", "--tcp", "-i", net.B4, "-p", 11111], 11111, stop=signal.SIGINT):
        done = ends.client(["sockperf", "tp", "--tcp", "-i", net.B4, "-p", 11111, "-t", 1, "-m", 1000])
    assert "Total of " in done.out


@pytest.mark.parametrize("how", ["", "-R", "-P 8", "-6", "-6 -R -P 8"])
def test_iperf3(ends, whole, how):
    address = net.B6 if "-6" in how else net.B4
    length, least = (["-t", 10], 1) if whole else (["-n", "64M"], 64 * MIB)
    with ends.server(["iperf3", "-s", "-B", address, "--forceflush"], 5201):
        done = ends.client(["iperf3", "-c", address, *how.split(), *length, "-J"])
    said = json.loads(done.out)
    assert "error" not in said, said["error"]
    end = said["end"]
    # It stops counting what is received once all is sent.
    assert 0 < end["sum_received"]["bytes"] <= end["sum_sent"]["bytes"] >= least
    assert len(end["streams"]) == (8 if "-P" in how else 1)


# --- files ------------------------------------------------------------------------------------

SITE = """sendfile {sendfile};
    server {{ listen {v4}:8080; listen [{v6}]:8080; root {folder}/files; }}"""


def nginx(folder, sendfile="on", process=lab_nginx.ALONE):
    (folder / "files").mkdir()
    return lab_nginx.server(folder, SITE.format(folder=folder, v4=net.B4, v6=net.B6, sendfile=sendfile), process)


@pytest.mark.parametrize("family, sendfile", [("v4", "on"), ("v6", "off")])
def test_nginx_and_curl(ends, tmp_path, whole, family, sendfile):
    """Bodies of several sizes over one connection, and the same again over one each."""
    host = net.B4 if family == "v4" else f"[{net.B6}]"
    server = nginx(tmp_path, sendfile)
    sizes = (64 << 10, MIB, 64 * MIB) + ((1024 * MIB,) if whole else ())
    want = [body(tmp_path / "files" / str(size), size) for size in sizes]
    with ends.server(server, 8080):
        words = [word for size in sizes for word in ("-o", tmp_path / f"got-{size}", f"http://{host}:8080/{size}")]
        done = ends.client(["curl", "-sS", "-f", "-w", "%{num_connects} ", *words])
        assert done.out.split() == ["1"] + ["0"] * (len(sizes) - 1)
        assert [digest_of(tmp_path / f"got-{size}") for size in sizes] == want
        ends.client(["curl", "-sS", "-f", "-H", "Connection: close", "-o", tmp_path / "again",
                     f"http://{host}:8080/{sizes[1]}"])
        assert digest_of(tmp_path / "again") == want[1]


def test_nginx_with_workers(ends, tmp_path):
    """The ordinary way: a master that only listens, workers that accept, and a reload in between."""
    server = nginx(tmp_path, process="worker_processes 2;")
    want = body(tmp_path / "files" / "a", 4 * MIB)
    with ends.server(server, 8080) as running:
        for turn in ("before", "after"):
            got = [tmp_path / f"{turn}-{n}" for n in range(4)]
            words = [word for path in got for word in ("-o", path, f"http://{net.B4}:8080/a")]
            ends.client(["curl", "-sS", "-f", "--parallel", "--parallel-immediate", *words])
            assert [digest_of(path) for path in got] == [want] * 4
            if turn == "before":
                running.send(signal.SIGHUP)


# --- an event loop of its own ------------------------------------------------------------------

HTTP_JS = pathlib.Path(__file__).resolve().parent / "programs" / "http.js"


def test_node(ends):
    """One connection after another and eight at once, bodies of many sizes both ways."""
    with ends.server(["node", HTTP_JS, "serve", net.B4, 8080], 8080):
        assert ends.client(["node", HTTP_JS, "ask", net.B4, 8080]).out == "164\n"


def test_node_with_rings(pair):
    """P03: a libuv that submits through io_uring, which is one of 1.45 or later; its sockets are the kernel's and say why."""
    version = pair.a.run(["node", "-p", "process.versions.uv"]).out
    rings = tuple(map(int, version.split(".")[:2])) >= (1, 45)
    pair.meet()
    env = {**fsock.CLEAN, "UV_USE_IO_URING": "1"}
    with pair.b.popen(fsock.run(["node", HTTP_JS, "serve", net.B4, 8080], **LATENCY), cpu=proc.cpus()[1], env=env) as server:
        assert proc.until(lambda: ":8080 " in pair.b.run(["ss", "-Hltn"]).out or not server.alive(), 20)
        done = pair.a.run(fsock.run(["node", HTTP_JS, "ask", net.B4, 8080], **LATENCY), cpu=proc.cpus()[0], env=env, timeout=60)
        assert done.out == "164\n", done.out + done.err
        assert not rings or "io_uring" in fsock.reasons(fsock.stat(server.pid))


# --- a database -------------------------------------------------------------------------------

@pytest.mark.parametrize("family", ["v4", "v6"])
def test_redis(ends, tmp_path, whole, family):
    """Commands, a value of some MiB, a child that saves, and the load that comes with it."""
    host = ends.pair.b.address(family)
    value = tmp_path / "value"
    want = body(value, 8 * MIB)
    cli = ["redis-cli", "-h", host]
    server = ["redis-server", "--bind", host, "--protected-mode", "no", "--save", "", "--dir", tmp_path]
    with ends.server(server, 6379):
        assert ends.client([*cli, "SET", "name", "value"]).out == "OK\n"
        with value.open() as stdin:
            assert ends.client([*cli, "-x", "SET", "large"], stdin=stdin).out == "OK\n"
        ends.client(shell(shlex.join([*cli, "--raw", "GET", "large"]) + f" | head -c {8 * MIB} >{tmp_path}/got"),
                    counted=False)
        assert digest_of(tmp_path / "got") == want
        assert "saving started" in ends.client([*cli, "BGSAVE"]).out
        load = ends.client(["redis-benchmark", "-h", host, "-n", 200000 if whole else 20000, "-c", 50, "-P", 16,
                            "-t", "set,get,lpush,lrange_100", "--csv"])
        assert proc.until((tmp_path / "dump.rdb").exists, 20)
        assert ends.client([*cli, "GET", "name"]).out == "value\n"
    rows = list(csv.DictReader(io.StringIO(load.out)))
    assert len(rows) >= 4 and all(float(row["rps"]) > 0 for row in rows), load.out


# --- a shell far away -------------------------------------------------------------------------

SSHD = """Port 2222
ListenAddress {address}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
"""


@pytest.fixture
def ssh(request, tmp_path):
    """(server, client): argv of an sshd and of an ssh with keys of their own, over the family that the test says or IPv4."""
    host = net.B6 if getattr(request, "param", "v4") == "v6" else net.B4
    for name in ("host", "user"):
        done = proc.Process(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name]).finish()
        assert done.status == 0, done.err
    config = tmp_path / "sshd_config"
    config.write_text(SSHD.format(address=host, folder=tmp_path))
    separate = pathlib.Path("/run/sshd")
    made = not separate.exists()
    separate.mkdir(mode=0o755, exist_ok=True)
    yield (["/usr/sbin/sshd", "-D", "-e", "-f", config],
           ["ssh", "-F", "none", "-i", tmp_path / "user", "-p", 2222, "-o", "StrictHostKeyChecking=no", "-o",
            f"UserKnownHostsFile={tmp_path}/known", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes", f"root@{host}"])
    if made:
        with contextlib.suppress(OSError):
            separate.rmdir()


def there_and_back(ends, tmp_path, ssh, size):
    """
    A command, a large copy there and one back. ssh begins by closing all descriptors, that of the report among them,
    and is counted while it lives. sshd starts itself anew for each connection, which so goes on in the kernel.
    """
    want = body(tmp_path / "file", size)
    server, client = ssh
    with ends.server(server, 2222, counted=False) as running:
        assert ends.client([*client, "echo", "$((6 * 7))"], counted=False).out == "42\n"
        there, go = tmp_path / "there", tmp_path / "go"
        command = f"cat >{there}; until test -e {go}; do sleep 0.05; done"
        with (tmp_path / "file").open() as stdin, ends.living_client([*client, command], stdin=stdin) as copier:
            assert proc.until(lambda: there.exists() and there.stat().st_size == size, 600), copier.err
            if ends.ask != "kernel":
                ends.took(copier.pid)
            if ends.serve == "fast":
                assert "executed" in fsock.reasons(fsock.stat(running.pid)), "it was the kernel's from the start"
            go.touch()
        assert digest_of(there) == want
        ends.client(shell(f"exec {shlex.join(map(str, client))} cat {tmp_path}/there >{tmp_path}/back"),
                    counted=False)
    assert digest_of(tmp_path / "back") == want


@pytest.mark.alone  # all of them need /run/sshd, and remove it
def test_ssh(ends, tmp_path, whole, ssh):
    there_and_back(ends, tmp_path, ssh, 1024 * MIB if whole else 32 * MIB)


@pytest.mark.alone
@pytest.mark.parametrize("ends, ssh", [("both", "v6")], indirect=True)
def test_ssh_over_ipv6(ends, tmp_path, ssh):
    there_and_back(ends, tmp_path, ssh, 8 * MIB)


# --- plumbing ---------------------------------------------------------------------------------

@pytest.mark.parametrize("family", ["v4", "v6"])
def test_socat_copies(ends, tmp_path, whole, family):
    want = body(tmp_path / "file", (256 if whole else 16) * MIB)
    version, host = ("4", net.B4) if family == "v4" else ("6", f"[{net.B6}]")
    with ends.server(["socat", "-u", f"TCP{version}-LISTEN:9000,bind={host}", f"CREATE:{tmp_path}/got"], 9000) as running:
        ends.client(["socat", "-u", f"FILE:{tmp_path}/file", f"TCP{version}:{host}:9000"])
        assert running.finish().status == 0
    assert digest_of(tmp_path / "got") == want


def test_socat_forks_for_each_connection(ends, tmp_path):
    """A child for each, a half that is closed, and the answer after it."""
    text = tmp_path / "text"
    text.write_text("a line for a child\n" * 1000)
    with ends.server(["socat", f"TCP4-LISTEN:9000,bind={net.B4},fork,reuseaddr", "SYSTEM:tr a-z A-Z"], 9000):
        for _ in range(3):
            with text.open() as stdin:
                done = ends.client(["socat", "-t", 10, "-", f"TCP4:{net.B4}:9000"], stdin=stdin)
            assert done.out == "A LINE FOR A CHILD\n" * 1000


@pytest.mark.parametrize("direction, family", [("there", "v4"), ("back", "v4"), ("there", "v6"), ("back", "v6")])
def test_netcat(ends, tmp_path, whole, direction, family):
    """The file goes from the client, or from the server, which has to be told to end after it."""
    host = ends.pair.b.address(family)
    want = body(tmp_path / "file", (256 if whole else 16) * MIB)
    take, give = f">{tmp_path}/got", f"<{tmp_path}/file"
    server, client = (take, "-N " + give) if direction == "there" else ("-N " + give, take)
    with ends.server(shell(f"exec nc -l {host} 9000 {server}"), 9000) as running:
        ends.client(shell(f"exec nc {host} 9000 {client}"))
        assert running.finish().status == 0
    assert digest_of(tmp_path / "got") == want
