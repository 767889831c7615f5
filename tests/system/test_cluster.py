# SPDX-License-Identifier: BSD-2-Clause
"""
A redis cluster of three masters, each on an interface of its own: made, checked, filled by a client that is sent from one
to the other, and given other slots while it is asked. On kernel sockets, with the library switched off, and on fsock.
"""
import contextlib
import signal

import pytest

from ends import ENOUGH, Ends, tmp_path  # noqa: F401 (a fixture)
from lab import fsock, net, proc

pytestmark = pytest.mark.whole
MASTERS, KEYS, PORT = 3, 300, 6379
OK = "[OK] All 16384 slots covered."


@contextlib.contextmanager
def started(way, side, argv):
    with contextlib.closing(fsock.Report()) as report:
        argv, env = Ends.how(way, argv, report)
        with side.popen(argv, env=env, fds=(report.fd,)) as running:
            assert proc.until(lambda: f":{PORT} " in side.run(["ss", "-Hltn"]).out or not running.alive())
            assert running.alive(), running.out + running.err
            yield running
            done = running.stop(number=signal.SIGTERM)
            assert done.status == 0, done.out[-2000:] + done.err


class Cluster:
    """Of masters at .sides[0] and on, with a client in the last side."""

    def __init__(self, way, star):
        self.way, self.sides, self.client = way, star.sides[:MASTERS], star.sides[MASTERS]
        self.nodes = [f"{side.v4}:{PORT}" for side in self.sides]

    def cli(self, *words, **more):
        with contextlib.closing(fsock.Report()) as report:
            argv, env = Ends.how(self.way, ["redis-cli", *words], report)
            done = self.client.run(argv, env=env, fds=(report.fd,), **more)
        assert done.status == 0, done.out + done.err
        return done.out

    def manage(self, *words):
        return self.cli("--cluster", *words)

    def each(self, side, lines, path):
        """One answer for each command, all of them asked of @side first."""
        path.write_text("\n".join(lines) + "\n")
        with path.open() as stdin:
            said = self.cli("-c", "-h", side.v4, stdin=stdin).splitlines()
        assert any(line.startswith("-> Redirected to slot") for line in said), said
        return [line for line in said if not line.startswith("-> ")]

    def agrees(self):
        said = self.manage("check", self.nodes[0])
        serve = all("cluster_state:ok" in self.cli("-h", side.v4, "cluster", "info") for side in self.sides)
        return serve and OK in said and "[OK] All nodes agree about slots configuration." in said


@pytest.mark.parametrize("way", ["kernel", "off", "fast"])
def test_redis_cluster(way, tmp_path):
    with net.Star(MASTERS + 1) as star, contextlib.ExitStack() as stack:
        cluster, masters = Cluster(way, star), []
        for number, side in enumerate(cluster.sides):
            (tmp_path / f"{number}").mkdir()
            masters.append(stack.enter_context(started(way, side, [
                "redis-server", "--bind", side.v4, "--protected-mode", "no", "--save", "", "--dir", tmp_path / f"{number}",
                "--cluster-enabled", "yes"])))
        assert OK in cluster.manage("create", *cluster.nodes, "--cluster-yes")
        assert proc.until(cluster.agrees)
        keys, values = [f"key:{n}" for n in range(KEYS)], [f"value:{n}" * (n + 1) for n in range(KEYS)]
        said = cluster.each(cluster.sides[0], map("set {} {}".format, keys, values), tmp_path / "set")
        assert said == ["OK"] * KEYS
        assert cluster.each(cluster.sides[2], map("get {}".format, keys), tmp_path / "get") == values
        sizes = [int(cluster.cli("-h", side.v4, "dbsize")) for side in cluster.sides]
        assert sum(sizes) == KEYS and min(sizes) > KEYS / 10, sizes
        ids = [cluster.cli("-h", side.v4, "cluster", "myid").strip() for side in cluster.sides]
        cluster.manage("reshard", cluster.nodes[1], "--cluster-from", ids[0], "--cluster-to", ids[2], "--cluster-slots", 300,
                       "--cluster-yes")
        assert proc.until(cluster.agrees)
        moved = [int(cluster.cli("-h", side.v4, "dbsize")) for side in cluster.sides]
        assert sum(moved) == KEYS and moved[1] == sizes[1] and moved[2] > sizes[2], (sizes, moved)
        assert cluster.each(cluster.sides[0], map("get {}".format, keys), tmp_path / "get") == values
        for master in masters:
            took_its_way(way, master)


def took_its_way(way, master):
    """What is open at the end: the listeners and the connections of the bus, to and from each of the others."""
    report = fsock.settled(master.pid)
    seen = fsock.sum_counts(fsock.sockets(report))
    if way == "off":
        assert seen.fast == 0, report
    elif way == "fast":
        assert seen.share >= ENOUGH, report
        counts = fsock.counters(master.pid)
        assert counts["tcp_opened_active"] >= MASTERS - 1 and counts["tcp_opened_passive"] >= MASTERS - 1, counts
