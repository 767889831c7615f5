# SPDX-License-Identifier: BSD-2-Clause
"""
Unmodified Debian programs over UDP: fsock at both ends, and against kernel peers both ways.

Where both ends are fsock, at least 99 % of the datagrams must take the fast path, by fsock's own
counters. Results are compared with what the same programs give on the kernel alone.
"""
import contextlib
import json
import pathlib
import re
import signal

import pytest

from lab import fsock, net, proc

PROGRAMS = pathlib.Path(__file__).resolve().parent / "programs"
PYTHON = "/usr/bin/python3"
LATENCY = {"profile": "latency"}
NOTHING_BYPASSED = {"profile": "latency", "bypass": "none"}

# server on fsock, client on fsock
SIDES = {"both": (True, True), "client": (False, True), "server": (True, False)}


def wrap(argv, on, options):
    return fsock.run(argv, **options) if on else list(map(str, argv))


class Run:
    """One server and one client; .server and .client hold what their counters say."""

    def __init__(self, pair, server, client, sides, options=None, ready=None, timeout=30,
                 stop=signal.SIGTERM, stdin=None, short=False):
        """@short: a datagram or two, which may be over before the fast path is joined."""
        options = LATENCY if options is None else options
        serve, ask = sides
        cpu = proc.cpus()
        report, other = fsock.Report(), fsock.Report()
        with contextlib.closing(report), contextlib.closing(other), \
                pair.b.popen(wrap(server, serve, options), cpu=cpu[1], fds=(other.fd,),
                             env={**fsock.CLEAN, **other.env}) as running:
            if ready:
                assert running.wait_for(ready, 10), running.out + running.err
            else:
                self._listening(pair, running)
            self.done = pair.a.run(wrap(client, ask, options), cpu=cpu[0], timeout=timeout,
                                   env={**fsock.CLEAN, **report.env}, fds=(report.fd,), stdin=stdin)
            self.client = report.counts()
            live = fsock.counts(running.pid) if serve and running.alive() else None
            self.said = running.stop(number=stop)
            # A socket that is closed by now has left its record, one killed with the server has not.
            self.server = max(live or other.counts(), other.counts(), key=lambda seen: seen.total)
        assert self.done.status == 0, self.done.out[-2000:] + self.done.err[-2000:]
        if serve and ask and not short:
            assert self.client.share >= 0.99, f"the client's datagrams: {self.client}"
            assert self.server.share >= 0.99, f"the server's datagrams: {self.server}"

    @staticmethod
    def _listening(pair, running):
        """Until some UDP port is bound in pair.b."""
        for _ in range(100):
            if re.search(r":\d+\s", pair.b.run(["ss", "-Hlun"]).out) or not running.alive():
                return
        raise AssertionError("the server bound no port: " + running.err)


@pytest.mark.parametrize("sides", SIDES)
def test_sockperf_ping_pong(pair, sides):
    run = Run(pair, ["sockperf", "sr", "-i", net.B4, "-p", 11111],
              ["sockperf", "pp", "-i", net.B4, "-p", 11111, "-t", 1, "-m", 64, "--data-integrity"],
              SIDES[sides], ready="using ", stop=signal.SIGINT)
    assert "# dropped messages = 0; # duplicated messages = 0; # out-of-order messages = 0" in run.done.out
    assert "percentile 99.900" in run.done.out


@pytest.mark.parametrize("mux", ["select", "poll", "epoll"])
def test_sockperf_multiplexed(pair, tmp_path, mux):
    """Several sockets, served through select, poll and epoll."""
    feed = tmp_path / "feed"
    feed.write_text("".join(f"U:{net.B4}:{port}\n" for port in range(11111, 11115)))
    run = Run(pair, ["sockperf", "sr", "-f", feed, "-F", mux],
              ["sockperf", "pp", "-f", feed, "-F", mux, "-t", 1, "-m", 64],
              SIDES["both"], ready="using ", stop=signal.SIGINT)
    assert "# dropped messages = 0; # duplicated messages = 0" in run.done.out


@pytest.mark.parametrize("sides", SIDES)
def test_sockperf_throughput(pair, sides):
    run = Run(pair, ["sockperf", "sr", "-i", net.B4, "-p", 11111, "--dont-reply"],
              ["sockperf", "tp", "-i", net.B4, "-p", 11111, "-t", 1, "-m", 64, "--mps=2000"],
              SIDES[sides], ready="using ", stop=signal.SIGINT)
    sent = int(re.search(r"Total of (\d+) messages sent", run.done.out)[1])
    got = int(re.search(r"Total (\d+) messages received", run.said.out)[1])
    assert sent > 1000
    assert got >= sent * 0.9, f"{got} of {sent} arrived"


@pytest.mark.parametrize("sides", SIDES)
def test_iperf3_udp(pair, sides):
    run = Run(pair, ["iperf3", "-s", "-1", "-B", net.B4, "--forceflush"],
              ["iperf3", "-u", "-c", net.B4, "-b", "5M", "-l", "1400", "-t", 1, "-J"],
              SIDES[sides], ready="Server listening")
    end = json.loads(run.done.out)["end"]["sum"]
    assert end["packets"] > 300
    assert end["lost_percent"] < 10, end


@pytest.mark.parametrize("sides", SIDES)
def test_iperf3_reverse(pair, sides):
    """The server sends."""
    run = Run(pair, ["iperf3", "-s", "-1", "-B", net.B4, "--forceflush"],
              ["iperf3", "-u", "-R", "-c", net.B4, "-b", "5M", "-l", "1400", "-t", 1, "-J"],
              SIDES[sides], ready="Server listening")
    end = json.loads(run.done.out)["end"]["sum"]
    assert end["packets"] > 300
    assert end["lost_percent"] < 10, end


@pytest.mark.parametrize("sides", SIDES)
def test_dig_and_dnsmasq(pair, sides):
    server = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null",
              "--pid-file=", "--user=root", f"--listen-address={net.B4}", "--bind-interfaces",
              "--address=/test.example/192.0.2.7", "--txt-record=t.example," + "x" * 200]
    for name, kind, want in (("test.example", "A", "192.0.2.7"), ("t.example", "TXT", "x" * 200)):
        run = Run(pair, server, ["dig", "+short", "+tries=1", "+time=3", f"@{net.B4}", name, kind],
                  SIDES[sides], options=NOTHING_BYPASSED, short=True)
        assert want in run.done.out


def test_dig_bypasses_by_default(pair):
    """UDP 53 is on the default bypass list: the resolver stays with the kernel and says why."""
    server = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null",
              "--pid-file=", "--user=root", f"--listen-address={net.B4}", "--bind-interfaces",
              "--address=/test.example/192.0.2.7"]
    run = Run(pair, server, ["dig", "+short", "+tries=1", "+time=3", f"@{net.B4}", "test.example"],
              (False, True))
    assert "192.0.2.7" in run.done.out
    assert run.client.fast == 0


@pytest.mark.parametrize("sides", SIDES)
def test_socat_echo(pair, sides, tmp_path):
    text = tmp_path / "text"
    text.write_text("one line\n")
    with text.open() as stdin:
        run = Run(pair, ["socat", f"UDP4-LISTEN:9000,bind={net.B4}", "PIPE"],
                  ["socat", "-t", "1", "-", f"UDP4:{net.B4}:9000"], SIDES[sides], stdin=stdin,
                  short=True)
    assert run.done.out == "one line\n"


@pytest.mark.parametrize("sides", SIDES)
def test_socat_forks_for_each_datagram(pair, sides, tmp_path):
    text = tmp_path / "text"
    text.write_text("a datagram for a child\n")
    with text.open() as stdin:
        run = Run(pair, ["socat", f"UDP4-RECVFROM:9000,bind={net.B4},fork", "SYSTEM:tr a-z A-Z"],
                  ["socat", "-t", "1", "-", f"UDP4:{net.B4}:9000"], SIDES[sides], stdin=stdin,
                  short=True)
    assert run.done.out == "A DATAGRAM FOR A CHILD\n"


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("kind", ["socket", "asyncio"])
def test_python_echo(pair, kind, family, sides):
    address = net.B4 if family == "v4" else net.B6
    server = [PYTHON, PROGRAMS / "echo_server.py", kind, address, 9000]
    client = [PYTHON, PROGRAMS / "echo_client.py", kind, address, 9000, 300]
    kernel = Run(pair, server, client, (False, False), ready="ready")
    run = Run(pair, server, client, SIDES[sides], ready="ready")
    assert run.done.out == kernel.done.out


@pytest.mark.parametrize("profile", ["default", "latency"])
def test_default_profile_moves_a_client(pair, profile):
    """A client that keeps talking ends on the fast path in either profile."""
    run = Run(pair, [PYTHON, PROGRAMS / "echo_server.py", "socket", net.B4, 9000],
              [PYTHON, PROGRAMS / "echo_client.py", "socket", net.B4, 9000, 20000],
              SIDES["both"], options={"profile": profile}, ready="ready")
    assert run.client.fast >= 19800 * 2
