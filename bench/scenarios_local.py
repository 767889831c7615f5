# SPDX-License-Identifier: BSD-2-Clause
"""
scenarios_local - what bench/run measures of shared memory between two processes. Rows and rounds are those of
scenarios.py.
"""
import json
import subprocess

from lab import fsock, proc
from scenarios import Failed, Row, median, say, spread

# The ring that is used, with the connection and by itself, and the one that is not (docs/decisions/0037).
DESIGNS = {"connection": "conn", "count": "stream", "records": "records"}
# Metric, unit, what to read of the answer, words for the program, and whether more is better.
RUNS = {
    "pp 16 B": ("p50", "ns", "p50", ("pp", "size=16", "count=200000"), False),
    "pp 64 B": ("p50", "ns", "p50", ("pp", "size=64", "count=200000"), False),
    "rate": ("rate", "M msg/s", "per_second", ("rate", "size=64", "count=2000000"), True),
    "bulk": ("goodput", "Gbit/s", "gbit", ("bulk", "size=65536", "count=20000"), True),
}


def _run(kind, *words):
    tool = fsock.build_dir() / "bench" / "local_ring"
    argv = [str(tool), kind, *words, "cpu=" + ",".join(map(str, proc.cpus()[:2]))]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise Failed("local_ring: " + done.stderr.strip()[-300:]) from None


def local_ring(rounds):
    """byte rings in shared memory, both ends spinning; the floor is one cache line handed to and fro"""
    seen = {(name, design): [] for name in RUNS for design in DESIGNS}
    lines = []
    for n in range(rounds):
        say(f"local_ring, round {n + 1} of {rounds}")
        lines.append(_run("line", "pp", "count=200000")["p50"])
        for (name, design), values in seen.items():
            _, _, key, words, _ = RUNS[name]
            values.append(_run(DESIGNS[design], *words)[key])
    for (name, design), values in seen.items():
        metric, unit, key, words, more_is_better = RUNS[name]
        if key == "per_second":
            values = [value / 1e6 for value in values]
        yield Row("local_ring", {"design": design, "size": words[1].partition("=")[2]}, metric, unit, n=rounds,
                  fsock=median(values), floor=median(lines) if words[0] == "pp" else None,
                  spread=spread(values)).finish(more_is_better)


def local_link(rounds):
    """connections over a link that stands: begun, accepted and closed at both ends, one at a time, both spinning"""
    values = []
    for n in range(rounds):
        say(f"local_link, round {n + 1} of {rounds}")
        values.append(_run("conn", "connect", "count=500000")["per_second"] / 1e6)
    yield Row("local_link", {}, "rate", "M conn/s", fsock=median(values), n=rounds, spread=spread(values)).finish(True)


ALL = {job.__name__: job for job in (local_ring, local_link)}
