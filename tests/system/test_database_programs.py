# SPDX-License-Identifier: BSD-2-Clause
"""
Servers that keep data, unmodified: memcached and its threads, postgres and its process for each connection, redis and
its replica. What comes out is the same on kernel sockets and on fsock, which has to have carried it (ends.py).
"""
import re
import signal

import pytest

from ends import MIB, body, digest_of
from ends import ends, pytest_generate_tests, tmp_path  # noqa: F401 (fixtures and a hook)
from lab import net, postgres, proc


# --- memcached --------------------------------------------------------------------------------

def test_memcached(ends, tmp_path):
    """Values that fill many segments, then sixteen connections over its four threads, each answer looked at."""
    want = body(tmp_path / "value", MIB - 1000)
    with ends.server(["memcached", "-u", "root", "-l", net.B4, "-t", 4], 11211):
        ends.client(["memccp", f"--servers={net.B4}", tmp_path / "value"])
        ends.client(["memccat", f"--servers={net.B4}", f"--file={tmp_path}/got", "value"])
        assert digest_of(tmp_path / "got") == want
        load = ends.client(["memcaslap", "-s", f"{net.B4}:11211", "-T", 2, "-c", 16, "-x", 10000, "-v", 1])
        ends.client(["memccat", f"--servers={net.B4}", "nothing"], status=1)
    for what in ("get_misses", "verify_misses", "verify_failed"):
        assert f"{what}: 0\n" in load.out, load.out


# --- postgres ---------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def cluster():
    with postgres.cluster() as folder:
        yield folder


# Of what pgbench did: sums of the accounts, the branches and the history, and how often.
SUMS = """select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history),
    (select sum(bbalance) from pgbench_branches) = (select sum(delta) from pgbench_history),
    (select count(*) from pgbench_history)"""


def test_postgres(ends, cluster):
    """Tables filled by COPY, transactions of four clients at once, each with a process of the server, and an error."""
    where = ["-h", net.B4, "-U", "postgres"]
    with ends.server(postgres.server(cluster), 5432, under=postgres.AS_POSTGRES, stop=signal.SIGINT):
        assert proc.until(lambda: ends.pair.b.run(postgres.ready(cluster)).status == 0)
        ends.client([postgres.BIN / "pgbench", *where, "-i", "-q", "postgres"])
        load = ends.client([postgres.BIN / "pgbench", *where, "-c", 4, "-j", 2, "-t", 50, "postgres"])
        sums = ends.client([postgres.BIN / "psql", *where, "-At", "-c", SUMS], counted=False)
        wrong = ends.client([postgres.BIN / "psql", *where, "-c", "select 1/0"], counted=False, status=1)
    assert "number of transactions actually processed: 200/200" in load.out
    assert sums.out == "t|t|200\n"
    assert wrong.err == "ERROR:  division by zero\n"


# --- redis ------------------------------------------------------------------------------------

def redis(address, folder, *words):
    folder.mkdir()
    return ["redis-server", "--bind", address, "--protected-mode", "no", "--save", "", "--dir", folder,
            "--unixsocket", folder / "cli", "--enable-debug-command", "yes", *words]


def test_redis_replicates_while_children_save(ends, tmp_path):
    """What is written by the hosts themselves goes to the replica by TCP, the first of it from a child; both save."""
    def ask(side, folder, *words):
        done = side.run(["redis-cli", "-s", tmp_path / folder / "cli", *words])
        assert done.status == 0, done.out + done.err
        return done.out.strip()

    def load(side):
        return side.popen(["redis-benchmark", "-s", tmp_path / "main" / "cli", "-n", 20000, "-r", 1000, "-d", 100, "-q",
                           "-t", "set,lpush,sadd"])

    a, b = ends.pair.a, ends.pair.b
    with ends.server(redis(net.B4, tmp_path / "main", "--repl-diskless-sync-delay", 0), 6379):
        ask(b, "main", "debug", "populate", "100000")
        with ends.living_client(redis(net.A4, tmp_path / "copy", "--replicaof", f"{net.B4} 6379"),
                                stop=signal.SIGTERM) as replica:
            with load(b) as loading:
                assert proc.until(lambda: "master_link_status:up" in a.run(
                    ["redis-cli", "-s", tmp_path / "copy" / "cli", "info"]).out), replica.out
                for side, folder in ((b, "main"), (a, "copy")):
                    assert "saving started" in ask(side, folder, "bgsave")
                assert loading.finish().status == 0, loading.err
            assert ask(b, "main", "wait", "1", "20000") == "1"
            digests = [ask(side, folder, "debug", "digest") for side, folder in ((b, "main"), (a, "copy"))]
            assert digests[0] == digests[1] and re.fullmatch("[0-9a-f]{40}", digests[0]) and set(digests[0]) != {"0"}
            for side, folder in ((b, "main"), (a, "copy")):
                assert proc.until(lambda: "rdb_bgsave_in_progress:0" in ask(side, folder, "info", "persistence"))
                assert "rdb_last_bgsave_status:ok" in ask(side, folder, "info", "persistence")
            ends.took(replica.pid)
