# SPDX-License-Identifier: BSD-2-Clause
"""iperf3 - Debian's unmodified throughput tool over TCP, both ends, with or without fsock."""
import json

from . import fsock, net, proc


class Failed(Exception):
    """A run that produced no figures; the text says why."""


def stream(pair, seconds=1, options=None):
    """
    One flow from pair.a to pair.b: {'gbit': what arrived, 10^9 bits a second}. @options None means kernel
    sockets, else they go to `fsock run` at both ends, and 'share' is the part of both ends' traffic that took
    the fast path, whichever is less.
    """
    cpu = proc.cpus()
    reports = [fsock.Report(), fsock.Report()]

    def how(argv, i):
        return {"argv": argv if options is None else fsock.run(argv, **options), "cpu": cpu[i],
                "env": {**fsock.CLEAN, **reports[i].env}, "fds": (reports[i].fd,)}
    try:
        with pair.b.popen(**how(["iperf3", "-s", "-1", "-B", net.B4, "--forceflush"], 1)) as server:
            if not server.wait_for("Server listening", 10):
                raise Failed("the iperf3 server did not start: " + (server.err or server.out)[-300:])
            done = pair.a.run(**how(["iperf3", "-c", net.B4, "-t", seconds, "-J"], 0), timeout=seconds + 20)
            server.finish(10)
        try:
            row = {"gbit": json.loads(done.out)["end"]["sum_received"]["bits_per_second"] / 1e9}
        except (ValueError, KeyError):
            raise Failed(f"the iperf3 client ended with {done.status}: " + (done.err or done.out)[-300:]) from None
        if options is not None:
            row["share"] = min(report.counts().share for report in reports)
        return row
    finally:
        for report in reports:
            report.close()
