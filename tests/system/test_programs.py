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
PATIENT = {"profile": "default", "client_datagrams": 0, "spin": 0}  # fast at once, and asleep until something comes
NOTHING_BYPASSED = {"profile": "latency", "bypass": "none"}

# server on fsock, client on fsock
SIDES = {"both": (True, True), "client": (False, True), "server": (True, False)}
CHOSEN = [pytest.param(name, marks=() if name == "both" else pytest.mark.whole) for name in SIDES]


@pytest.fixture
def pair(pair):
    """Both sides know each other's station: no first datagram has to take the kernel's way."""
    pair.meet()
    return pair


def wrap(argv, on, options):
    return fsock.run(argv, **options) if on else list(map(str, argv))


class Run:
    """
    One server and one client; .server and .client hold what their counters say, .sockets the records of
    the client's sockets. What an end on fsock sends must all go fast, and what it receives from another
    such end: @late datagrams of a client excepted, and all of those @by_kernel names, "client" or "server".
    """

    def __init__(self, pair, server, client, sides, options=None, ready=None, timeout=60,
                 stop=signal.SIGTERM, stdin=None, late=0, by_kernel=()):
        options = LATENCY if options is None else options
        serve, ask = sides
        cpu = proc.cpus()
        mine, other = fsock.Report(), fsock.Report()
        with contextlib.closing(mine), contextlib.closing(other), \
                pair.b.popen(wrap(server, serve, options), cpu=cpu[1], fds=(other.fd,),
                             env={**fsock.CLEAN, **other.env}) as running:
            if ready:
                assert running.wait_for(ready), running.out + running.err
            else:
                self._listening(pair, running)
            self.done = pair.a.run(wrap(client, ask, options), cpu=cpu[0], timeout=timeout,
                                   env={**fsock.CLEAN, **mine.env}, fds=(mine.fd,), stdin=stdin)
            self.client, self.sockets = mine.counts(), mine.sockets()
            report = fsock.settled(running.pid) if serve and running.alive() else None
            live = fsock.sum_counts(fsock.sockets(report)) if report else None
            self.drops = self.client.drops + fsock.drops_of(report)
            self.said = running.stop(number=stop)
            # A socket that is closed by now has left its record, one killed with the server has not.
            self.server = max(live or other.counts(), other.counts(), key=lambda seen: seen.total)
        assert self.done.status == 0, self.done.out[-2000:] + self.done.err[-2000:]
        for who, on in (("client", ask), ("server", serve)):
            if on and who not in by_kernel:
                self._fast(who, getattr(self, who), late, both=serve and ask and not by_kernel)

    @staticmethod
    def _fast(who, seen, late, both):
        if who == "client":
            assert seen.tx_kernel <= late, f"the client's datagrams: {seen}"
            seen = seen._replace(tx_kernel=0)
        if not both:
            # A kernel peer leaves its checksums to the device: the kernel's way, in generic mode.
            seen = seen._replace(rx_kernel=0)
        seen = seen._replace(rx_kernel=max(0, seen.rx_kernel - late))
        assert seen.all_fast(), f"the {who}'s datagrams: {seen}"

    @staticmethod
    def _listening(pair, running):
        """Until some UDP port is bound in pair.b."""
        for _ in range(100):
            if re.search(r":\d+\s", pair.b.run(["ss", "-Hlun"]).out) or not running.alive():
                return
        raise AssertionError("the server bound no port: " + running.err)


def udp_reasons(sockets):
    return {fsock.reason_name(sock["reason"]) for sock in sockets if sock["protocol"] == 17}


@pytest.mark.parametrize("sides", CHOSEN)
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


# --- loss -------------------------------------------------------------------------------------

PAIRS = 3  # of runs: one that somebody else's work fell into says nothing, a loss of ours is in each


class Loss:
    """
    A one-way load on kernel sockets, then on fsock, up to PAIRS times, until it loses no more than the kernel
    beside it but for 2 % of the datagrams, by which two runs of either differ. In each run, each lost one is in a
    counter, where the receiver's @counters can still be read. A receiver that spins is made to wait for
    its turn among others, one that slept gets it: the kernel's sleeps, and so does this one.
    """

    def __init__(self, pair, sides, load, counters=True):
        self.seen = []
        for _ in range(PAIRS):
            kernel_sent, by_kernel, _ = load((False, False))
            before = pair.dropped()
            self.sent, lost, run = load(sides)
            counted = run.drops + pair.dropped() - before
            assert not counters or lost <= counted, f"{lost} of {self.sent} lost, only {counted} of them counted"
            self.seen.append(f"{lost} of {self.sent} lost, {by_kernel} of {kernel_sent} on the kernel")
            if self.sent >= kernel_sent / 2 and lost <= by_kernel + self.sent // 50:
                return
        raise AssertionError("; ".join(self.seen))


@pytest.mark.alone
@pytest.mark.parametrize("sides", CHOSEN)
def test_sockperf_throughput(pair, sides):
    def load(ends):
        # What a kernel peer sends comes the kernel's way, and this server answers nothing.
        run = Run(pair, ["sockperf", "sr", "-i", net.B4, "-p", 11111, "--dont-reply"],
                  ["sockperf", "tp", "-i", net.B4, "-p", 11111, "-t", 1, "-m", 64, "--mps=10000"], ends, PATIENT,
                  ready="using ", stop=signal.SIGINT, late=1, by_kernel=("server",) if ends == SIDES["server"] else ())
        sent = int(re.search(r"Total of (\d+) messages sent", run.done.out)[1])
        return sent, sent - int(re.search(r"Total (\d+) messages received", run.said.out)[1]), run

    assert Loss(pair, SIDES[sides], load).sent > 5000


@pytest.mark.alone
@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("sides", CHOSEN)
def test_iperf3_udp(pair, sides, direction):
    """In reverse the server sends; the receiver has ended then, and its stack's counters with it."""
    reverse = direction == "reverse"

    def load(ends):
        run = Run(pair, ["iperf3", "-s", "-B", net.B4, "--forceflush"],
                  ["iperf3", "-u", *(["-R"] if reverse else []), "-c", net.B4, "-b", "50M", "-l", 1400, "-t", 1,
                   "-J"], ends, PATIENT, ready="Server listening")
        end = json.loads(run.done.out)["end"]["sum"]
        return end["packets"], end["lost_packets"], run

    assert Loss(pair, SIDES[sides], load, counters=not reverse).sent > 1000


# --- answers ----------------------------------------------------------------------------------

@pytest.mark.af_xdp # packet sockets take what a kernel server leaves unsummed, too
@pytest.mark.parametrize("sides", CHOSEN)
def test_dig_and_dnsmasq(pair, sides):
    server = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null",
              "--pid-file=", "--user=root", f"--listen-address={net.B4}", "--bind-interfaces",
              "--address=/test.example/192.0.2.7", "--txt-record=t.example," + "x" * 200]
    for name, kind, want in (("test.example", "A", "192.0.2.7"), ("t.example", "TXT", "x" * 200)):
        run = Run(pair, server, ["dig", "+short", "+tries=1", "+time=20", f"@{net.B4}", name, kind],
                  SIDES[sides], options=NOTHING_BYPASSED, by_kernel=("client",))
        assert want in run.done.out
        if SIDES[sides][1]:
            # The first answer of a server on kernel sockets has a partial checksum and comes by the shadow.
            assert (run.client.rx_fast, run.client.tx_fast) == (SIDES[sides][0], 1), run.sockets


def test_dig_bypasses_by_default(pair):
    """UDP 53 is on the default bypass list: the resolver stays with the kernel and says why, though it binds first."""
    server = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null",
              "--pid-file=", "--user=root", f"--listen-address={net.B4}", "--bind-interfaces",
              "--address=/test.example/192.0.2.7"]
    run = Run(pair, server, ["dig", "+short", "+tries=1", "+time=20", f"@{net.B4}", "test.example"],
              (False, True), by_kernel=("client",))
    assert "192.0.2.7" in run.done.out
    assert run.client.fast == 0 and udp_reasons(run.sockets) == {"pending", "bypass"}, run.sockets


@pytest.mark.parametrize("sides", CHOSEN)
def test_socat_echo(pair, sides, tmp_path):
    text = tmp_path / "text"
    text.write_text("one line\n")
    with text.open() as stdin:
        run = Run(pair, ["socat", f"UDP4-LISTEN:9000,bind={net.B4}", "PIPE"],
                  ["socat", "-t", "3", "-", f"UDP4:{net.B4}:9000"], SIDES[sides], stdin=stdin)
    assert run.done.out == "one line\n"


@pytest.mark.parametrize("sides", CHOSEN)
def test_socat_forks_for_each_datagram(pair, sides, tmp_path):
    text = tmp_path / "text"
    text.write_text("a datagram for a child\n")
    with text.open() as stdin:
        run = Run(pair, ["socat", f"UDP4-RECVFROM:9000,bind={net.B4},fork", "SYSTEM:tr a-z A-Z"],
                  ["socat", "-t", "3", "-", f"UDP4:{net.B4}:9000"], SIDES[sides], stdin=stdin)
    assert run.done.out == "A DATAGRAM FOR A CHILD\n"


@pytest.mark.parametrize("sides", CHOSEN)
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
              SIDES["both"], options={"profile": profile}, ready="ready",
              late=16 if profile == "default" else 0)
    assert run.client.fast >= 19980 * 2
