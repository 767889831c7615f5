# SPDX-License-Identifier: BSD-2-Clause
"""
scenarios_link - the scenarios of bench/run over a link that is long, narrow or lossy: bench/emulator between two
namespaces, fsock or the kernel sending, the kernel receiving. CUBIC on both sides.

All columns of a round are given the same seed. Only what is sent is lost and late, not its acknowledgements.
"""
import contextlib
import json

from lab import emulator, fsock, net, proc
from scenarios import DEFAULT, LATENCY, Failed, Row, median, say, spread

RATE = 100_000_000                       # bits per second: what a machine with two processors carries with ease
ONE_WAY = 10_000                         # microseconds
BDP = RATE // 8 * 2 * ONE_WAY // 10**6   # bytes under way in a round trip
LINK = {"rate": RATE, "delay_us": ONE_WAY, "queue": BDP}
PORT = 5001
LATE = 500                               # microseconds: no frame leaves the link so much late, on average
COLUMNS = {"kernel": None, "latency": LATENCY, "default": DEFAULT}


@contextlib.contextmanager
def _line():
    """Ends that remember nothing of one connection for the next."""
    with net.Line("fsock-bench") as line:
        for side in (line.a, line.b):
            side.run(["sysctl", "-qw", "net.ipv4.tcp_no_metrics_save=1"])
        yield line


def _json(done):
    try:
        return json.loads(done.out.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise Failed(f"bulk_tcp: {done.status} {done.err.strip()}") from None


class Bulk:
    """Some flows from .a to .b on a port of their own, sent by the kernel or under fsock with @options."""

    def __init__(self, line, stack, port, flows, seconds, skip, options):
        tool, cpu = fsock.build_dir() / "bench" / "bulk_tcp", proc.cpus()
        self.report = fsock.Report() if options is not None else None
        self.guard = skip + seconds + 30
        self.sink = stack.enter_context(line.b.popen([tool, "sink", net.B4, port, flows, seconds, skip],
                                                     cpu=cpu[1], env=fsock.CLEAN))
        if not self.sink.wait_for("ready", proc.GUARD):
            raise Failed("bulk_tcp: " + self.sink.err.strip())
        argv, env, fds = [tool, "send", net.B4, port, flows, self.guard], fsock.CLEAN, ()
        if self.report:
            stack.callback(self.report.close)
            argv, env, fds = fsock.run(argv, **options), {**env, **self.report.env}, (self.report.fd,)
        self.sender = stack.enter_context(line.a.popen(argv, cpu=cpu[0], env=env, fds=fds))

    def finish(self):
        """Bits per second of each flow, and the share of segments that took the fast path, None in the kernel."""
        got = self.sink.finish(self.guard)
        sent = self.sender.finish(self.guard)
        _json(sent)
        if got.status != 0:
            raise Failed(f"bulk_tcp: a flow ended early: {got.err.strip()} {sent.err.strip()}")
        counted = _json(got)
        share = self.report.counts().share if self.report else None
        return [bytes_ * 8 / counted["seconds"] for bytes_ in counted["bytes"]], share


def _once(line, settings, seconds, skip, groups):
    with emulator.Emulator(line, settings) as between, contextlib.ExitStack() as stack:
        bulks = [Bulk(line, stack, PORT + i, flows, seconds, skip, options)
                 for i, (flows, options) in enumerate(groups)]
        found = [bulk.finish() for bulk in bulks]
        counted = between.stop()
    return found, max(counted[way]["late_us"]["mean"] for way in ("forward", "back"))


def _run(line, settings, seconds, skip, groups):
    """
    Groups of flows, (number, options) each, at once over one link; what Bulk.finish() says of each. Where the
    emulator got no processor the link was another one: such a run is thrown away and repeated.
    """
    for _ in range(3):
        found, late = _once(line, settings, seconds, skip, groups)
        if late < LATE:
            return found
        say(f"the link was late by {late:.0f} us: once more")
    raise Failed(f"the emulator was late by {late:.0f} us in three runs: the machine is busy")


# --- loss -------------------------------------------------------------------------------------

OVERTAKEN = {"forward.reorder": 10000, "forward.reorder_us": 4000}
WORLDS = {"0.1 %": {"forward.loss": 1000}, "1 %": {"forward.loss": 10000}, "5 %": {"forward.loss": 50000},
          "1 %, 1 % late by 4 ms": {"forward.loss": 10000, **OVERTAKEN}}
ENOUGH_ROUNDS, ENOUGH_GOODPUT = 10, 0.95


def tcp_loss(rounds, seconds=5):
    """goodput of one flow under random loss, 20 ms round trip, 100 Mbit/s (--seconds: how long a run is)"""
    for world, settings in WORLDS.items():
        seen = {name: [] for name in COLUMNS}
        with _line() as line:
            for n in range(rounds):
                for name, options in COLUMNS.items():
                    say(f"tcp_loss {world}, round {n + 1} of {rounds}: {name}")
                    (rates, share), = _run(line, {**LINK, **settings, "seed": n + 1}, seconds, 0, [(1, options)])
                    seen[name].append((rates[0] / 1e6, share))
        for profile in ("latency", "default"):
            yield _loss_row(world, profile, seconds, seen)


def _loss_row(world, profile, seconds, seen):
    ours, theirs = ([rate for rate, _ in seen[name]] for name in (profile, "kernel"))
    row = Row("tcp_loss", {"loss": world, "rtt_ms": 20, "seconds": seconds, "profile": profile,
                           "pairs": round(median(a / b for a, b in zip(ours, theirs)), 3)},
              "goodput", "Mbit/s", kernel_block=median(theirs), fsock=median(ours), n=len(ours), spread=spread(ours),
              share=min(share for _, share in seen[profile])).finish(more_is_better=True)
    if not row.failed and row.n >= ENOUGH_ROUNDS and row.ratio < ENOUGH_GOODPUT:
        row.failed = f"less than {ENOUGH_GOODPUT} x the kernel's"
    return row


# --- fairness ---------------------------------------------------------------------------------

FLOWS, SETTLE = 4, 5  # on either side; seconds before it counts
ENOUGH_JAIN, ENOUGH_USE = 0.8, 85


def _jain(rates):
    return sum(rates) ** 2 / (len(rates) * sum(rate ** 2 for rate in rates))


def tcp_fair(rounds, seconds=20):
    """4 flows of fsock beside 4 of the kernel through one queue, against 8 of the kernel (3 rounds at most)"""
    rounds = min(rounds, 3)
    seen = {name: [] for name in COLUMNS}
    with _line() as line:
        for n in range(rounds):
            for name, options in COLUMNS.items():
                say(f"tcp_fair, round {n + 1} of {rounds}: {name}")
                groups = _run(line, {**LINK, "seed": n + 1}, seconds, SETTLE, [(FLOWS, None), (FLOWS, options)])
                rates = [rate for flows, _ in groups for rate in flows]
                seen[name].append({"jain": _jain(rates), "use": sum(rates) * 100 / RATE, "share": groups[1][1],
                                   "ours": sum(groups[1][0]) / sum(rates)})
    for profile in ("latency", "default"):
        for metric, key, unit, least in (("fairness", "jain", "Jain", ENOUGH_JAIN),
                                         ("payload", "use", "% of the line", ENOUGH_USE)):
            values = [r[key] for r in seen[profile]]
            row = Row("tcp_fair", {"flows": "4 and 4 of the kernel", "rtt_ms": 20, "seconds": seconds,
                                   "profile": profile, "ours": round(median(r["ours"] for r in seen[profile]), 3)},
                      metric, unit, kernel_block=median(r[key] for r in seen["kernel"]), fsock=median(values),
                      n=rounds, spread=spread(values),
                      share=min(r["share"] for r in seen[profile])).finish(more_is_better=True)
            if not row.failed and row.fsock < least:
                row.failed = f"less than {least}"
            yield row


ALL = {job.__name__: job for job in (tcp_loss, tcp_fair)}
