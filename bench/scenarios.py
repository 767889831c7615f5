# SPDX-License-Identifier: BSD-2-Clause
"""
scenarios - what bench/run measures. Each scenario is a generator of rows; see Row.

All columns of a row come from one run: the rounds are interleaved, a round runs every column once, so
that a slow minute of the machine falls on all of them. A row holds the medians of the rounds. Figures
of different runs are not comparable; ratios are.
"""
import contextlib
import dataclasses
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

from lab import fsock, net, proc, sockperf

ENOUGH = 0.99
POINTS = ("50", "99", "99.9")
LATENCY = {"profile": "latency"}
PACKET = {"profile": "latency", "provider": "packet"}
DEFAULT = {}


class Failed(Exception):
    pass


@dataclasses.dataclass
class Row:
    """
    One line of the results. ratio says how much better fsock is than the better of the kernel's
    columns (above 1: better), of_floor how far it is from the floor (1: at it). against holds, for each
    of the kernel's columns, how much better fsock and the floor are: what the floor itself does not reach
    on this machine nothing above it can. n is the number of rounds, spread the distance of the outermost rounds of the fsock column over its median. failed
    tells why a row does not count.
    """
    scenario: str
    params: dict
    metric: str
    unit: str
    kernel_block: float = None
    kernel_spin: float = None
    fsock: float = None
    floor: float = None
    ratio: float = None
    of_floor: float = None
    against: dict = dataclasses.field(default_factory=dict)
    n: int = 0
    spread: float = None
    share: float = None
    failed: str = ""

    def finish(self, more_is_better):
        def better(value, base):
            return value / base if more_is_better else base / value
        for name in ("kernel_block", "kernel_spin"):
            base = getattr(self, name)
            if base:
                self.against[name] = {column: better(value, base) for column, value
                                      in (("fsock", self.fsock), ("floor", self.floor)) if value}
        ratios = [pair["fsock"] for pair in self.against.values() if "fsock" in pair]
        self.ratio = min(ratios, default=None)
        if self.floor and self.fsock:
            self.of_floor = self.floor / self.fsock if more_is_better else self.fsock / self.floor
        if self.share is not None and self.share < ENOUGH and not self.failed:
            self.failed = f"only {self.share * 100:.1f} % of the traffic took the fast path"
        return self


def median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def spread(values):
    values = [v for v in values if v is not None]
    middle = median(values)
    return (max(values) - min(values)) / middle if middle else None


def say(text):
    print("bench:", text, file=sys.stderr, flush=True)


# --- the wire itself --------------------------------------------------------------------------

def _mac(namespace):
    out = namespace.run(["cat", f"/sys/class/net/{net.LINK}/address"]).out
    return out.strip()


def _raw_argv(mode, mine, theirs, their_mac, cpu, tool="raw_pp", **more):
    tool = fsock.build_dir() / "bench" / tool
    words = dict(interface=net.LINK, local=mine, remote=theirs, mac=their_mac, cpu=cpu, **more)
    return [str(tool), mode, *(f"{key}={value}" for key, value in words.items())]


def raw(pair, size=64, count=200000, provider="xdp"):
    """
    Percentiles of raw frames on the same ring layer, in microseconds. A run with a stale reply had
    two frames in flight and says half of the truth: it is thrown away and repeated.
    """
    for _ in range(5):
        row = _raw_once(pair, size, count, provider)
        if not row.get("stale"):
            return {point: row["p" + point] / 1000 for point in POINTS}
    raise Failed("raw_pp: stale replies in five runs: more than one frame was in flight")


def _raw_once(pair, size, count, provider):
    cpu = proc.cpus()
    a, b = _mac(pair.a), _mac(pair.b)
    pong = _raw_argv("pong", net.B4, net.A4, a, cpu[1], size=size, count=0, provider=provider)
    ping = _raw_argv("ping", net.A4, net.B4, b, cpu[0], size=size, count=count, provider=provider)
    with pair.b.popen(pong) as other:
        if not other.wait_for("ready", 10):
            raise Failed("raw_pp pong: " + other.err.strip())
        done = pair.a.run(ping, timeout=60)
    try:
        return json.loads(done.out.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise Failed("raw_pp ping: " + done.err.strip()) from None


# --- latency ----------------------------------------------------------------------------------

def udp_pp(rounds, size=64):
    """unmodified sockperf, ping-pong, half round trip"""
    columns = {
        "kernel_block": lambda p: sockperf.ping_pong(p, size=size),
        "kernel_spin": lambda p: sockperf.ping_pong(p, size=size, spin=True),
        "latency": lambda p: sockperf.ping_pong(p, size=size, options=LATENCY),
        "default": lambda p: sockperf.ping_pong(p, size=size, options=DEFAULT),
        "floor": lambda p: raw(p, size=size),
    }
    seen = {name: [] for name in columns}
    with net.Pair("fsock-bench") as pair:
        for n in range(rounds):
            for name, run in columns.items():
                say(f"udp_pp {size} B, round {n + 1} of {rounds}: {name}")
                seen[name].append(run(pair))
    for profile in ("latency", "default"):
        runs = seen[profile]
        share = min(min(r["share"], r["client_share"]) for r in runs)
        for point in POINTS:
            values = [r[point] for r in runs]
            yield Row("udp_pp", {"size": size, "profile": profile, "tool": "sockperf", "mtu": 1500},
                      "p" + point, "us", n=rounds, share=share, fsock=median(values),
                      kernel_block=median(r[point] for r in seen["kernel_block"]),
                      kernel_spin=median(r[point] for r in seen["kernel_spin"]),
                      floor=median(r[point] for r in seen["floor"]),
                      spread=spread(values)).finish(more_is_better=False)
    udp_pp.curves = {name: {point: median(r.get(point) for r in runs) for point in sockperf.POINTS}
                     for name, runs in seen.items() if name != "floor"}


def udp_pp_packet(rounds, size=64):
    """the same over packet sockets, beside raw frames on their rings"""
    columns = {
        "kernel_block": lambda p: sockperf.ping_pong(p, size=size),
        "kernel_spin": lambda p: sockperf.ping_pong(p, size=size, spin=True),
        "fsock": lambda p: sockperf.ping_pong(p, size=size, options=PACKET),
        "floor": lambda p: raw(p, size=size, provider="packet"),
    }
    seen = {name: [] for name in columns}
    with net.Pair("fsock-bench") as pair:
        for n in range(rounds):
            for name, run in columns.items():
                say(f"udp_pp_packet {size} B, round {n + 1} of {rounds}: {name}")
                seen[name].append(run(pair))
    for point in POINTS:
        values = [r[point] for r in seen["fsock"]]
        yield Row("udp_pp_packet", {"size": size, "profile": "latency", "provider": "packet",
                                    "tool": "sockperf", "mtu": 1500},
                  "p" + point, "us", n=rounds, fsock=median(values), spread=spread(values),
                  share=min(min(r["share"], r["client_share"]) for r in seen["fsock"]),
                  kernel_block=median(r[point] for r in seen["kernel_block"]),
                  kernel_spin=median(r[point] for r in seen["kernel_spin"]),
                  floor=median(r[point] for r in seen["floor"])).finish(more_is_better=False)


def udp_pp_raw(rounds):
    """raw frames on fsock's ring layer: the floor of udp_pp"""
    seen = []
    with net.Pair("fsock-bench") as pair:
        for n in range(rounds):
            say(f"udp_pp_raw, round {n + 1} of {rounds}")
            seen.append(raw(pair))
    for point in POINTS:
        values = [r[point] for r in seen]
        yield Row("udp_pp_raw", {"size": 64, "tool": "raw_pp", "mtu": 1500}, "p" + point, "us",
                  floor=median(values), n=rounds, spread=spread(values))


# --- throughput -------------------------------------------------------------------------------

_SENT = re.compile(r"Total of (\d+) messages sent in ([\d.]+) sec")
_HANDLED = re.compile(r"Total (\d+) messages received")


def throughput(pair, size, spin=False, options=None, rate="max", seconds=2):
    """Messages sent and received, counted by the receiver itself."""
    cpu = proc.cpus()

    def wrap(argv):
        return argv if options is None else fsock.run(argv, **options)
    common = ["-i", net.B4, "-p", "11111"] + (["--nonblocked"] if spin else [])
    row = {}
    with pair.b.popen(wrap(["sockperf", "sr", *common, "--dont-reply"]), cpu=cpu[1],
                      env=fsock.CLEAN) as sr:
        if not sr.wait_for("using ", 10):
            raise Failed("the sockperf server did not start: " + sr.err[-300:])
        report = fsock.Report() if options is not None else None
        done = pair.a.run(wrap(["sockperf", "tp", "-i", net.B4, "-p", "11111", "-t", seconds, "-m", size,
                                f"--mps={rate}"]), cpu=cpu[0], timeout=seconds + 20,
                          env={**fsock.CLEAN, **(report.env if report else {})},
                          fds=(report.fd,) if report else ())
        sent = _SENT.search(done.out)
        if done.status != 0 or not sent:
            raise Failed(f"the sockperf client ended with {done.status}: " + done.err[-300:])
        time.sleep(0.3)
        if options is not None:
            seen = fsock.counts(sr.pid)
            row["share"] = min(seen.share if seen else 0.0, report.counts().share)
            row["counted_drops"] = fsock.drops(sr.pid)
            report.close()
        handled = _HANDLED.search(sr.stop().out)
    if not handled:
        raise Failed("the sockperf server printed no count")
    row["sent"], row["received"] = int(sent[1]), int(handled[1])
    row["rate"] = row["received"] / float(sent[2])
    row["loss"] = max(0, row["sent"] - row["received"]) / max(1, row["sent"]) * 100
    return row


def raw_rate(pair, size, batch=1, seconds=2):
    """Raw frames a second on the same ring layer that arrive and are copied, @batch of them per kick."""
    cpu = proc.cpus()
    sink = _raw_argv("sink", net.B4, net.A4, _mac(pair.a), cpu[1], size=size)
    flood = _raw_argv("flood", net.A4, net.B4, _mac(pair.b), cpu[0], size=size, batch=batch, seconds=seconds)
    with pair.b.popen(sink) as end:
        if not end.wait_for("ready", 10):
            raise Failed("raw_pp sink: " + end.err.strip())
        done = pair.a.run(flood, timeout=seconds + 20)
        got = end.finish(20)
    try:
        sent, received = (json.loads(text.strip().splitlines()[-1]) for text in (done.out, got.out))
    except (ValueError, IndexError):
        raise Failed(f"raw_pp flood: {done.err.strip()} {got.err.strip()}") from None
    return received["n"] / sent["seconds"]


def _udp_tp(rounds, size, rate):
    columns = {
        "kernel_block": lambda p: throughput(p, size, rate=rate),
        "kernel_spin": lambda p: throughput(p, size, spin=True, rate=rate),
        "fsock": lambda p: throughput(p, size, options=LATENCY, rate=rate),
    }
    if rate == "max":
        columns["floor"] = lambda p: {"rate": raw_rate(p, size)}
        columns["floor_32"] = lambda p: {"rate": raw_rate(p, size, batch=32)}
    seen = {name: [] for name in columns}
    with net.Pair("fsock-bench") as pair:
        for n in range(rounds):
            for name, run in columns.items():
                say(f"udp_tp {size} B at {rate}, round {n + 1} of {rounds}: {name}")
                seen[name].append(run(pair))
    return seen


def udp_tp(rounds):
    """unmodified sockperf, one way, counted at the receiver; and the loss at an equal offered rate"""
    # The floor is raw frames with a system call for each, as sockperf sends; a row of its own has what 32
    # for each call reach.
    for size in (64, 1400):
        seen = _udp_tp(rounds, size, "max")
        params = {"size": size, "profile": "latency", "tool": "sockperf", "direction": "one way"}
        values = [r["rate"] for r in seen["fsock"]]
        yield Row("udp_tp", params, "received", "msg/s", n=rounds, fsock=median(values),
                  kernel_block=median(r["rate"] for r in seen["kernel_block"]),
                  kernel_spin=median(r["rate"] for r in seen["kernel_spin"]),
                  floor=median(r["rate"] for r in seen["floor"]),
                  share=min(r["share"] for r in seen["fsock"]),
                  spread=spread(values)).finish(more_is_better=True)
        values = [r["rate"] for r in seen["floor_32"]]
        yield Row("udp_tp", {"size": size, "tool": "raw_pp", "direction": "one way", "per_call": 32},
                  "received", "msg/s", n=rounds, floor=median(values), spread=spread(values))
        offered = int(min(median(r["rate"] for r in seen[c]) for c in ("kernel_block", "kernel_spin", "fsock")) * 0.8)
        seen = _udp_tp(rounds, size, offered)
        values = [r["loss"] for r in seen["fsock"]]
        row = Row("udp_tp", {**params, "offered": offered}, "loss", "%", n=rounds,
                  fsock=median(values), kernel_block=median(r["loss"] for r in seen["kernel_block"]),
                  kernel_spin=median(r["loss"] for r in seen["kernel_spin"]),
                  share=min(r["share"] for r in seen["fsock"]), spread=spread(values))
        for r in seen["fsock"]:
            missing = r["sent"] - r["received"] - r["counted_drops"]
            if missing > 0:
                row.failed = f"{missing} datagrams are lost without a counter saying so"
        yield row.finish(more_is_better=False)


# One flow of frames that look like TCP's: MTU, family, and how raw_stream makes them. The third has a segment in
# each chunk, as the engine lays its out.
_STREAMS = ((1500, "v4", {"size": 60000}), (1500, "v6", {"size": 60000, "mss": 1428}),
            (1500, "v4", {"size": 65160, "part": 1448}), (1500, "v4", {"size": 1448}),
            (9000, "v4", {"size": 8948, "mss": 8948}))


def raw_flow(pair, family, words, seconds=2):
    """Gbit/s that arrive, and CPU seconds per GB of both ends, which spin, together."""
    cpu, (a, b) = proc.cpus(), (pair.a.address(family), pair.b.address(family))
    sink = _raw_argv("sink", b, a, _mac(pair.a), cpu[1], "raw_stream", **words)
    send = _raw_argv("send", a, b, _mac(pair.b), cpu[0], "raw_stream", seconds=seconds, **words)
    with pair.b.popen(sink) as end:
        if not end.wait_for("ready", 10):
            raise Failed("raw_stream sink: " + end.err.strip())
        done = pair.a.run(send, timeout=seconds + 20)
        got = end.finish(20)
    try:
        sent, received = (json.loads(text.strip().splitlines()[-1]) for text in (done.out, got.out))
    except (ValueError, IndexError):
        raise Failed(f"raw_stream: {done.err.strip()} {got.err.strip()}") from None
    return {"gbit": sent["gbit"], "cpu": (sent["cpu"] + received["cpu"]) / received["bytes"] * 1e9}


def raw_stream(rounds):
    """raw frames of one TCP flow, super-frames and frame by frame, copied in and out: the floor of streams"""
    for mtu, family, words in _STREAMS:
        seen = []
        with net.Pair("fsock-bench", mtu=mtu) as pair:
            for n in range(rounds):
                say(f"raw_stream {family} mtu {mtu} {words['size']} B, round {n + 1} of {rounds}")
                seen.append(raw_flow(pair, family, words))
        for name, unit in (("gbit", "Gbit/s"), ("cpu", "s/GB")):
            values = [r[name] for r in seen]
            yield Row("raw_stream", {"tool": "raw_stream", "mtu": mtu, "family": family, **words},
                      {"gbit": "received", "cpu": "cpu"}[name], unit, floor=median(values), n=rounds,
                      spread=spread(values))


# --- groups -----------------------------------------------------------------------------------

GROUP = "239.77.0.1"


def _mcast(pair, size, receivers=2, spin=False, options=None, seconds=2):
    """Datagrams a second that the slower of the receivers saw; they are sockets of one process."""
    cpu = proc.cpus()
    tool = str(fsock.build_dir() / "bench" / "mcast_udp")

    def wrap(argv):
        return argv if options is None else fsock.run(argv, **options)
    wait = ["spin"] if spin else []
    with pair.b.popen(wrap([tool, "recv", GROUP, 12000, net.LINK, receivers, *wait]), cpu=cpu[1],
                      env=fsock.CLEAN) as receiver:
        if not receiver.wait_for("ready", 10):
            raise Failed("mcast_udp recv did not start: " + receiver.err[-300:])
        report = fsock.Report() if options is not None else None
        done = pair.a.run(wrap([tool, "send", GROUP, 12000, net.LINK, seconds, size]), cpu=cpu[0],
                          timeout=seconds + 20, env={**fsock.CLEAN, **(report.env if report else {})},
                          fds=(report.fd,) if report else ())
        time.sleep(0.3)
        row = {"share": 0.0}
        if options is not None:
            seen = fsock.counts(receiver.pid)
            row["share"] = min(seen.share if seen else 0.0, report.counts().share)
            report.close()
        out = receiver.stop().out
    try:
        sent, received = json.loads(done.out), json.loads(out)["received"]
    except ValueError:
        raise Failed(f"mcast_udp: {done.status} {done.err.strip()} {out}") from None
    row["rate"] = min(received) / sent["seconds"]
    return row


def udp_mcast(rounds):
    """one sender to a group, two members in one process at the other end, counted at the slower member"""
    for size in (64, 1400):
        columns = {"kernel_block": {}, "kernel_spin": {"spin": True}, "fsock": {"options": LATENCY}}
        seen = {name: [] for name in columns}
        with net.Pair("fsock-bench") as pair:
            for n in range(rounds):
                for name, how in columns.items():
                    say(f"udp_mcast {size} B, round {n + 1} of {rounds}: {name}")
                    seen[name].append(_mcast(pair, size, **how))
        cells = {name: [r["rate"] for r in rows] for name, rows in seen.items()}
        params = {"size": size, "profile": "latency", "tool": "mcast_udp", "receivers": 2}
        yield Row("udp_mcast", params, "received by each", "msg/s", n=rounds,
                  **{name: median(values) for name, values in cells.items()},
                  share=min(r["share"] for r in seen["fsock"]),
                  spread=spread(cells["fsock"])).finish(more_is_better=True)


# --- small calls ------------------------------------------------------------------------------

def _plain(pair, mode, port, *more, options=None, timeout=60):
    argv = [str(fsock.build_dir() / "bench" / "plain_udp"), mode, net.A4, port, *more]
    report = fsock.Report()
    if options is not None:
        argv = fsock.run(argv, **options)
    done = pair.a.run(argv, cpu=proc.cpus()[0], env={**fsock.CLEAN, **report.env}, fds=(report.fd,),
                      timeout=timeout)
    steered = any(sock["accelerated"] for sock in report.sockets())
    report.close()
    if options is not None and not steered:
        raise Failed(f"plain_udp {mode}: its socket was left to the kernel: {done.err.strip()}")
    try:
        return json.loads(done.out.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise Failed(f"plain_udp {mode}: {done.status} {done.err.strip()}") from None


def empty_recv(rounds):
    """a non-blocking receive that finds nothing"""
    seen = {"kernel": [], "latency": [], "default": []}
    with net.Pair("fsock-bench") as pair:
        for n in range(rounds):
            say(f"empty_recv, round {n + 1} of {rounds}")
            seen["kernel"].append(_plain(pair, "empty", 5001, 1000000)["ns"])
            seen["latency"].append(_plain(pair, "empty", 5001, 1000000, options=LATENCY)["ns"])
            seen["default"].append(_plain(pair, "empty", 5001, 1000000, options=DEFAULT)["ns"])
    for profile in ("latency", "default"):
        yield Row("empty_recv", {"profile": profile}, "call", "ns", fsock=median(seen[profile]),
                  kernel_spin=median(seen["kernel"]), n=rounds,
                  spread=spread(seen[profile])).finish(more_is_better=False)


def idle(rounds):
    """CPU time of a receiver that is blocked and gets nothing"""
    seen = {"kernel": [], "default": []}
    with net.Pair("fsock-bench") as pair:
        for n in range(rounds):
            say(f"idle, round {n + 1} of {rounds}")
            seen["kernel"].append(_plain(pair, "idle", 5001, 5)["percent"])
            seen["default"].append(_plain(pair, "idle", 5001, 5, options=DEFAULT)["percent"])
    yield Row("idle", {"profile": "default"}, "cpu", "% of a core", fsock=median(seen["default"]),
              kernel_block=median(seen["kernel"]), n=rounds, spread=spread(seen["default"]))


# Sockets beside the active one, and whether datagrams wait on them.
UNREAD = {"alone": (0, False), "beside empty": (1000, False), "beside full": (1000, True)}


def _echo_beside(pair, beside, spin=False, options=None, count=100000):
    """Percentiles of an echo on one socket of a program that holds others; share when on fsock."""
    tool, cpu = str(fsock.build_dir() / "bench" / "plain_udp"), proc.cpus()
    others, full = UNREAD[beside]
    how = ["spin"] if spin else []

    def wrap(*argv):
        return list(map(str, argv)) if options is None else fsock.run(argv, **options)
    with pair.b.popen(wrap(tool, "echo", net.B4, 9000, others, *how), cpu=cpu[1], env=fsock.CLEAN) as server:
        if not server.wait_for("ready", 20):
            raise Failed("plain_udp echo: " + server.err.strip())
        if full:
            done = pair.a.run(wrap(tool, "fill", net.B4, 20000, others), cpu=cpu[0], env=fsock.CLEAN,
                              timeout=60)
            if done.status != 0:
                raise Failed("plain_udp fill: " + done.err.strip())
        before = fsock.counts(server.pid) if options is not None else None
        done = pair.a.run(wrap(tool, "ask", net.B4, 9000, count, *how), cpu=cpu[0], env=fsock.CLEAN,
                          timeout=60)
        if done.status != 0:
            raise Failed("plain_udp ask: " + done.err.strip())
        row = json.loads(done.out.strip().splitlines()[-1])
        if options is not None:
            after = fsock.counts(server.pid)
            row["share"] = (after.fast - before.fast) / max(1, after.total - before.total)
    return row


def unread(rounds):
    """one socket alone, and beside a thousand that are empty or full and never read"""
    columns = {"kernel_block": {}, "kernel_spin": {"spin": True}, "fsock": {"options": LATENCY}}
    seen = {(column, beside): [] for column in columns for beside in UNREAD}
    with net.Pair("fsock-bench") as pair:
        pair.meet()
        for n in range(rounds):
            for column, beside in seen:
                say(f"unread, round {n + 1} of {rounds}: {column}, {beside}")
                count = 20000 if column == "kernel_block" else 100000
                seen[column, beside].append(_echo_beside(pair, beside, count=count, **columns[column]))
    params = {"size": 64, "profile": "latency", "tool": "plain_udp", "sockets": 1000}
    for point in ("50", "99"):
        for beside in UNREAD:
            cells = {column: [r["p" + point] for r in seen[column, beside]] for column in columns}
            yield Row("unread", {**params, "beside": beside}, "p" + point, "us", n=rounds,
                      **{column: median(values) for column, values in cells.items()},
                      share=min(r["share"] for r in seen["fsock", beside]),
                      spread=spread(cells["fsock"])).finish(more_is_better=False)
        # The kernel's own slowdown stands beside ours; each is a ratio within its column and round.
        slower = {column: [full["p" + point] / alone["p" + point] for full, alone
                           in zip(seen[column, "beside full"], seen[column, "alone"])] for column in columns}
        yield Row("unread", {**params, "beside": "full against alone"}, "p" + point, "x", n=rounds,
                  **{column: median(values) for column, values in slower.items()},
                  spread=spread(slower["fsock"])).finish(more_is_better=False)


def timed(argv, env=None):
    began = time.perf_counter()
    done = subprocess.run(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          stdin=subprocess.DEVNULL, check=False)
    took = (time.perf_counter() - began) * 1000
    if done.returncode != 0:
        raise Failed(f"{argv[-1]} ended with {done.returncode}")
    return took


def start(rounds):
    """how much later a program ends that opens no Internet socket, and dig and curl as short clients"""
    library = fsock.build_dir() / "src" / "preload" / "libfsock-preload.so"
    preloaded = {**os.environ, "LD_PRELOAD": str(library)}
    seen = {"kernel": [], "LD_PRELOAD": [], "fsock run": []}
    for _ in range(rounds * 40):
        seen["kernel"].append(timed(["/bin/true"]))
        seen["LD_PRELOAD"].append(timed(["/bin/true"], preloaded))
        seen["fsock run"].append(timed(fsock.run(["/bin/true"])))
    for way in ("LD_PRELOAD", "fsock run"):
        yield Row("start", {"program": "/bin/true", "by": way}, "run time", "ms", fsock=median(seen[way]),
                  kernel_block=median(seen["kernel"]), n=rounds * 40,
                  spread=spread(seen[way])).finish(more_is_better=False)
    yield from short_clients(rounds)


def short_clients(rounds):
    """programs that ask once, of servers on kernel sockets"""
    dig = ["dig", "+tries=1", "+time=2", f"@{net.B4}", "test.example"]
    curl = ["curl", "-sS", "-f", "-o", "/dev/null", f"http://{net.B4}:8080/"]
    names = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null",
             "--pid-file=", "--user=root", f"--listen-address={net.B4}", "--bind-interfaces",
             "--address=/test.example/192.0.2.7"]
    for client, name, options in ((dig, "udp:53 bypassed", {}), (dig, "nothing bypassed", {"bypass": "none"}),
                                  (curl, "default", {}), (curl, "latency", {"profile": "latency"})):
        seen = {"kernel": [], "fsock": []}
        with net.Pair("fsock-bench") as pair, tempfile.TemporaryDirectory(prefix="fsock-bench-") as empty:
            pages = ["python3", "-m", "http.server", "--bind", net.B4, "--directory", empty, "8080"]
            with pair.b.popen(names), pair.b.popen(pages):
                time.sleep(1)
                for _ in range(rounds * 8):
                    seen["kernel"].append(timed(pair.a.argv(client)))
                    seen["fsock"].append(timed(pair.a.argv(fsock.run(client, **options))))
        yield Row("start", {"program": client[0], "options": name}, "run time", "ms",
                  fsock=median(seen["fsock"]), kernel_block=median(seen["kernel"]),
                  n=rounds * 8, spread=spread(seen["fsock"])).finish(more_is_better=False)


@contextlib.contextmanager
def idle_steering(pair):
    """A program at either end of the link that has steering there, and does nothing."""
    hold = str(fsock.build_dir() / "bench" / "plain_udp")
    with pair.a.popen(fsock.run([hold, "hold", net.A4, 5001]), env=fsock.CLEAN) as a, \
            pair.b.popen(fsock.run([hold, "hold", net.B4, 5001]), env=fsock.CLEAN) as b:
        for side in (a, b):
            side.wait_for("ready", 5)
            if not fsock.accelerated(side.pid):
                raise Failed("no steering stands: " + side.err)
        yield


def bystander(rounds):
    """kernel to kernel: alone, and beside idle steering on both ends of the link"""
    seen = {"alone": [], "beside": []}
    with net.Pair("fsock-bench") as pair:
        for n in range(rounds):
            say(f"bystander, round {n + 1} of {rounds}")
            seen["alone"].append({**sockperf.ping_pong(pair, spin=True), **throughput(pair, 64)})
            with idle_steering(pair):
                seen["beside"].append({**sockperf.ping_pong(pair, spin=True), **throughput(pair, 64)})
    for metric, key, unit, more in (("p50", "50", "us", False), ("p99.9", "99.9", "us", False),
                                    ("received", "rate", "msg/s", True)):
        values = [r[key] for r in seen["beside"]]
        yield Row("bystander", {"size": 64, "tool": "sockperf", "fsock": "kernel beside idle steering"},
                  metric, unit, kernel_spin=median(r[key] for r in seen["alone"]), n=rounds,
                  fsock=median(values), spread=spread(values)).finish(more_is_better=more)


# --- the native interface ----------------------------------------------------------------------

def inplace(pair, mode, size, options=None, rounds=300):
    """ns per datagram of bursts that have arrived, and the share of them that took the fast path."""
    tool, cpu = str(fsock.build_dir() / "bench" / "inplace"), proc.cpus()
    argv = [tool, mode, net.B4, 5001, rounds]
    env = {**fsock.CLEAN, **({"FSOCK_PROFILE": "latency"} if mode == "native" else {})}
    if options is not None:
        argv = fsock.run(argv, **options)
    report = fsock.Report()
    with pair.b.popen(argv, cpu=cpu[1], env={**env, **report.env}, fds=(report.fd,)) as receiver:
        if not receiver.wait_for("ready", 10):
            raise Failed(f"inplace {mode}: " + receiver.err.strip())
        with pair.a.popen(fsock.run([tool, "send", net.B4, 5001, size], **LATENCY), cpu=cpu[0], env=fsock.CLEAN):
            done = receiver.finish(60)
    try:
        row = json.loads(done.out.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise Failed(f"inplace {mode}: {done.status} {done.err.strip()}") from None
    row["share"] = report.counts().share
    report.close()
    return row


def udp_inplace(rounds):
    """datagrams that have arrived, read in place by the native interface, and by recv() under the preload"""
    for size in (64, 1400):
        seen = {"native": [], "preload": [], "kernel": []}
        with net.Pair("fsock-bench") as pair:
            for n in range(rounds):
                say(f"udp_inplace {size} B, round {n + 1} of {rounds}")
                seen["native"].append(inplace(pair, "native", size))
                seen["preload"].append(inplace(pair, "plain", size, options=LATENCY))
                seen["kernel"].append(inplace(pair, "plain", size))
        for name in ("native", "preload"):
            values = [r["ns"] for r in seen[name]]
            row = Row("udp_inplace", {"size": size, "receiver": name}, "datagram", "ns", n=rounds, fsock=median(values),
                      kernel_block=median(r["ns"] for r in seen["kernel"]),
                      share=min(r["share"] for r in seen[name]), spread=spread(values))
            if name == "native":
                row.params["of_preload"] = round(median(r["ns"] for r in seen["preload"]) / median(values), 2)
            yield row.finish(more_is_better=False)


def _segments(pair, options=None, seconds=2):
    """Datagrams a second that arrive of what a sender cuts from 63,000 bytes a call."""
    tool = str(fsock.build_dir() / "bench" / "plain_udp")
    cpu = proc.cpus()
    reports = [fsock.Report(), fsock.Report()] if options is not None else []

    def wrap(argv):
        return argv if options is None else fsock.run(argv, **options)

    def more(i):
        return {"env": {**fsock.CLEAN, **(reports[i].env if reports else {})},
                "fds": (reports[i].fd,) if reports else ()}
    with pair.b.popen(wrap([tool, "sink", net.B4, 5001, seconds]), cpu=cpu[1], **more(0)) as end:
        if not end.wait_for("ready", 10):
            raise Failed("plain_udp sink: " + end.err.strip())
        sent = pair.a.run(wrap([tool, "segments", net.A4, 5001, seconds, net.B4]), cpu=cpu[0],
                          timeout=seconds + 20, **more(1))
        got = end.finish(seconds + 20)
    try:
        row = {**json.loads(sent.out.strip().splitlines()[-1]), **json.loads(got.out.strip().splitlines()[-1])}
    except (ValueError, IndexError):
        raise Failed(f"plain_udp: {sent.err.strip()} {got.err.strip()}") from None
    row["rate"] = row["received"] / row["seconds"] if row["seconds"] else 0.0
    if reports:
        row["share"] = min(report.counts().share for report in reports)
        for report in reports:
            report.close()
    return row


def udp_gso(rounds):
    """UDP_SEGMENT, 45 datagrams of 1400 B a call, counted at a receiver of plain datagrams"""
    seen = {"kernel": [], "fsock": []}
    with net.Pair("fsock-bench") as pair:
        for n in range(rounds):
            say(f"udp_gso, round {n + 1} of {rounds}")
            seen["kernel"].append(_segments(pair))
            seen["fsock"].append(_segments(pair, LATENCY))
    values = [r["rate"] for r in seen["fsock"]]
    yield Row("udp_gso", {"size": 1400, "profile": "latency", "segments": 45}, "received", "msg/s", n=rounds,
              fsock=median(values), kernel_block=median(r["rate"] for r in seen["kernel"]),
              share=min(r["share"] for r in seen["fsock"]),
              spread=spread(values)).finish(more_is_better=True)


PTP = """[global]
free_running 1
time_stamping software
tx_timestamp_timeout 200
logSyncInterval -4
logMinDelayReqInterval -4
logAnnounceInterval -1
"""


def _ptp(pair, options, seconds=12):
    """The delays of one pair of ptp4l, ns, and the share of event messages on the fast path."""
    reports = [fsock.Report(), fsock.Report()] if options is not None else []
    with tempfile.TemporaryDirectory() as where, contextlib.ExitStack() as stack:
        config = os.path.join(where, "config")
        with open(config, "w", encoding="ascii") as file:
            file.write(PTP)
        ends = []
        for i, (side, role) in enumerate(((pair.a, ("--masterOnly", "1")), (pair.b, ("-s",)))):
            argv = ["ptp4l", "-f", config, "-i", net.LINK, "-m", "-q", "-l", "7",
                    "--uds_address", os.path.join(where, f"{i}"), *role]
            more = {"env": dict(fsock.CLEAN)}
            if reports:
                argv = fsock.run(argv, bypass="none", interface=net.LINK, **options)
                more = {"env": {**fsock.CLEAN, **reports[i].env}, "fds": (reports[i].fd,)}
            ends.append(stack.enter_context(side.popen(argv, **more)))
        time.sleep(seconds)
        for end in ends:
            end.stop()
        raw = [int(ns) for ns in re.findall(r"delay +filtered +-?\d+ +raw +(-?\d+)", ends[1].out)]
        if not raw:
            raise Failed("ptp4l measured nothing: " + (ends[1].err or ends[1].out[-300:]).strip())
    events = fsock.sum_counts(sock for report in reports for sock in report.sockets()
                              if sock["local_port"] == 319)
    for report in reports:
        report.close()
    return raw, events.share if reports else None


def ptp(rounds):
    """the path's delay as linuxptp measures it with software stamps, 16 times a second"""
    columns = {"kernel": None, "xdp": DEFAULT, "packet": {"provider": "packet"}}
    seen = {name: [] for name in columns}
    share = {name: [] for name in columns}
    with net.Pair("fsock-bench") as pair:
        pair.meet()
        for side in (pair.a, pair.b):
            side.run(["ethtool", "-K", net.LINK, "tx", "off"])
        for n in range(rounds):
            for name, options in columns.items():
                say(f"ptp, round {n + 1} of {rounds}: {name}")
                raw, fast = _ptp(pair, options)
                seen[name].append(raw)
                share[name].append(fast)

    def point(name, part):
        return median(sorted(raw)[int(len(raw) * part)] / 1000 for raw in seen[name])
    for metric, part in (("p10", 0.1), ("p50", 0.5), ("p90", 0.9)):
        for name in ("xdp", "packet"):
            yield Row("ptp", {"provider": name, "profile": "default"}, f"path delay {metric}", "us", n=rounds,
                      fsock=point(name, part), kernel_block=point("kernel", part), share=min(share[name]),
                      spread=spread([median(raw) for raw in seen[name]])).finish(more_is_better=False)


# --- the engine alone -------------------------------------------------------------------------

ENGINE_CALLS = ("ip_input", "tcp_burst_end", "tcp_recv", "tcp_send")
ENGINE_LIMIT = 900  # instructions: DESIGN 7


def _instructions(rounds, size):
    """Instructions the engine spends in so many exchanges, and before them."""
    tool = fsock.build_dir() / "bench" / "engine_tcp_rr"
    with tempfile.TemporaryDirectory() as where:
        argv = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={where}/out",
                *(f"--toggle-collect={name}" for name in ENGINE_CALLS), str(tool), str(rounds), str(size)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not found:
        raise Failed("engine_tcp_rr: " + (done.stderr.strip().splitlines() or ["valgrind failed"])[-1])
    return int(found[1])


def engine_tcp_rr(rounds):
    """instructions of one 64-byte request and answer in one engine, by callgrind; the same every time"""
    say("engine_tcp_rr")
    few, many = 1000, 11000
    each = (_instructions(many, 64) - _instructions(few, 64)) / (many - few)
    yield Row("engine_tcp_rr", {"size": 64, "tool": "callgrind", "limit": ENGINE_LIMIT}, "in+out", "instructions",
              fsock=each, n=1, failed="" if each <= ENGINE_LIMIT else f"more than {ENGINE_LIMIT}")


# --- congestion control in virtual time ----------------------------------------------------------

def _world(name, *more):
    """What a written world of the simulator prints; it fails where its own bounds are not kept."""
    done = subprocess.run([str(fsock.build_dir() / "tests" / "sim" / "scenarios"), name, "100", *map(str, more)],
                          capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise Failed(f"{name}: " + (done.stderr.strip().splitlines() or ["it failed"])[0])
    return done.stdout


def sim_tcp(rounds):
    """fairness, goodput against the model, BBR beside CUBIC: in the simulator, the same every time"""
    say("sim_tcp")
    jain, share = map(float, re.search(r"Jain ([\d.]+), payload takes ([\d.]+) %", _world("fairness")).groups())
    world = {"flows": "4 cubic and 4 cubic", "queue": "drop-tail"}
    yield Row("sim_tcp", world, "fairness", "Jain", fsock=jain, n=1)
    yield Row("sim_tcp", world, "goodput", "% of the line", fsock=share, n=1)
    for name, loss, rtt, got in re.findall(r"(\w+) +loss ([\d.]+) % rtt +(\d+) ms:.*: ([\d.]+)$", _world("goodput"), re.M):
        yield Row("sim_tcp", {"algorithm": name, "loss": loss + " %", "rtt": rtt + " ms"}, "goodput", "x the model",
                  fsock=float(got), n=1)
    with tempfile.NamedTemporaryFile("r") as file:
        out = _world("side_by_side", file.name)
        blocks = file.read().split("\n\n")
    sim_tcp.curves = [[[float(word) for word in line.split()] for line in block.splitlines() if line[:1] != "#"]
                      for block in blocks if block.strip()]
    for world, cubic, bbr in re.findall(r"^(.*): CUBIC ([\d.]+) Mbit/s, BBR ([\d.]+)", out, re.M):
        for name, rate in (("cubic", cubic), ("bbr", bbr)):
            yield Row("sim_tcp", {"algorithm": name, "world": world}, "goodput", "Mbit/s of 50", fsock=float(rate), n=1)


ALL = {job.__name__: job for job in (udp_pp, udp_pp_raw, raw_stream, udp_pp_packet, udp_tp, udp_gso, udp_mcast,
                                     empty_recv, idle, unread, udp_inplace, ptp, engine_tcp_rr, sim_tcp, start, bystander)}
