# SPDX-License-Identifier: BSD-2-Clause
"""
sockperf - Debian's unmodified latency tool, both ends, with or without fsock.

Latency is half the round trip, in microseconds, as sockperf prints it.
"""
import re

from . import fsock, proc

POINTS = ("25", "50", "75", "90", "99", "99.9", "99.99", "99.999")
_PERCENTILE = re.compile(r"percentile\s+([\d.]+)\s+=\s+([\d.]+)")
_SENT = re.compile(r"RunTime=([\d.]+) sec;.*?SentMessages=(\d+); ReceivedMessages=(\d+)")


class Failed(Exception):
    """A run that produced no figures; the text says why."""


def _wrap(argv, options):
    return argv if options is None else fsock.run(argv, **options)


def parse(out):
    """Percentiles (name -> us) and message counts of a client's output."""
    row = {}
    for point, value in _PERCENTILE.findall(out):
        row[point.rstrip("0").rstrip(".")] = float(value)
    hits = _SENT.findall(out)
    if not row or not hits:
        raise Failed("sockperf printed no percentiles")
    row["seconds"], row["sent"], row["received"] = \
        float(hits[-1][0]), int(hits[-1][1]), int(hits[-1][2])
    return row


def ping_pong(pair, seconds=1, size=64, spin=False, options=None, family="v4", port=11111,
              tcp=False, share=None, mps=None):
    """
    One race: server in pair.b, client in pair.a, each on its own processor. @options None means
    kernel sockets, else they go to `fsock run` at both ends. The row's 'share' is the part of the
    server's traffic that took the fast path, from fsock's own counters; @share(pid) says it of the living server instead.
    @mps: messages a second at most. Beyond a million sockperf gives up, having no numbers for them.
    """
    cpu = proc.cpus()
    address = pair.b.address(family)
    common = ["-i", address, "-p", str(port)] + (["--nonblocked"] if spin else [])
    common += ["--tcp"] if tcp else []
    server = _wrap(["sockperf", "sr", *common], options)
    client = _wrap(["sockperf", "pp", *common, "-t", str(seconds), "-m", str(size),
                    *(["--mps", str(mps)] if mps else [])], options)
    with pair.b.popen(server, cpu=cpu[1], env=fsock.CLEAN) as sr:
        if not sr.wait_for("to block on socket", 10) and not sr.wait_for("using ", 1):
            raise Failed("the sockperf server did not start: " + (sr.err or sr.out)[-300:])
        report = fsock.Report() if options is not None else None
        env = {**fsock.CLEAN, **(report.env if report else {})}
        done = pair.a.run(client, cpu=cpu[0], env=env, timeout=seconds + 20,
                          fds=(report.fd,) if report else ())
        if done.status != 0:
            raise Failed(f"the sockperf client ended with {done.status}: "
                         + (done.err or done.out)[-300:])
        row = parse(done.out)
        if options is not None:
            seen = fsock.counts(sr.pid)
            row["share"] = share(sr.pid) if share else seen.share if seen else 0.0
            row["client_share"] = report.counts().share
            report.close()
        sr.stop()
    return row
