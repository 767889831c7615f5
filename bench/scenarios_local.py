# SPDX-License-Identifier: BSD-2-Clause
"""
scenarios_local - what bench/run measures of shared memory between two processes: of the rings and links by themselves, and
of unmodified programs whose connections take them. Rows and rounds are those of scenarios.py.

Of programs, both run in one namespace that has a loopback and nothing else, each on a processor of its own, both on kernel
sockets or both on fsock. The part that took links, without which a row fails, is fsock's counters against what the
kernel's loopback carried meanwhile.
"""
import json
import subprocess

from lab import fsock, links, net, proc, sockperf
from scenarios import LATENCY, POINTS, Failed, Row, median, say, spread
from scenarios_programs import CONNECTIONS, load_nginx, load_redis, rows_of_load
from scenarios_tcp import calls, columns_of, echo, measure, native_calls, native_echo, rows_of, stream

# The ring that is used, with the connection and by itself, and the one that is not (docs/decisions/0037).
DESIGNS = {"connection": "conn", "count": "stream", "records": "records"}
# Metric, unit, what to read of the answer, words for the program, and whether more is better.
RUNS = {
    "pp 16 B": ("p50", "ns", "p50", ("pp", "size=16", "count=200000"), False),
    "pp 64 B": ("p50", "ns", "p50", ("pp", "size=64", "count=200000"), False),
    "rate": ("rate", "M msg/s", "per_second", ("rate", "size=64", "count=2000000"), True),
    "bulk": ("goodput", "Gbit/s", "gbit", ("bulk", "size=65536", "count=20000"), True),
}


def run_ring(kind, *words):
    """What local_ring says of @kind with @words, on two processors."""
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
        lines.append(run_ring("line", "pp", "count=200000")["p50"])
        for (name, design), values in seen.items():
            _, _, key, words, _ = RUNS[name]
            values.append(run_ring(DESIGNS[design], *words)[key])
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
        values.append(run_ring("conn", "connect", "count=500000")["per_second"] / 1e6)
    yield Row("local_link", {}, "rate", "M conn/s", fsock=median(values), n=rounds, spread=spread(values)).finish(True)


# --- programs ---------------------------------------------------------------------------------

PROFILES = {"latency": {**LATENCY, "local": 1}, "default": {"local": 1}}


def _by_bytes(place):
    """From now on: how much of what the server with some pid says and hears."""
    return links.Watch(place.b).bytes


def _by_connections(place):
    """From now on: how many of those that the server with some pid accepts."""
    return links.Watch(place.b).connections


def _cache_line():
    """A cache line to and fro, half of it, microseconds."""
    return {"50": run_ring("line", "pp", "count=200000")["p50"] / 1000}


PACE = 500000  # messages a second: beyond a million sockperf gives up


def _half_round_trips(scenario, tool, params, kernel, fast, rounds, profiles=None):
    """Rows of one tool of @scenario, by columns_of()'s @kernel and @fast."""
    profiles = profiles or PROFILES
    columns = columns_of(kernel, fast, profiles)
    columns["floor"] = _cache_line
    seen = measure(f"{scenario} {tool}", rounds, columns)
    for point in POINTS:
        runs = {name: column for name, column in seen.items() if point in column[0]}  # the floor has one point
        if runs.keys() >= profiles.keys():
            yield from rows_of(scenario, {**params, "tool": tool}, "p" + point, "us", rounds, runs, point,
                               more_is_better=False, profiles=profiles)


def local_pp(rounds, size=64):
    """
    ping-pong over TCP on 127.0.0.1, half a round trip; the floor is a cache line handed over: unmodified sockperf, paced,
    a plain program that is not, and the native interface
    """
    with net.Alone("fsock-bench") as place:
        def plain(spin):
            return echo(place, spin)
        for tool, params, kernel, fast in (
                ("sockperf", {"size": size, "mps": PACE},
                 lambda spin: sockperf.ping_pong(place, size=size, spin=spin, tcp=True, mps=PACE),
                 lambda options: sockperf.ping_pong(place, size=size, options=options, tcp=True, share=_by_bytes(place), mps=PACE)),
                ("plain_tcp", {"size": size}, plain, lambda options: echo(place, options=options, share=_by_bytes(place))),
                ("native_tcp", {"size": size}, plain, lambda options: native_echo(place, options))):
            yield from _half_round_trips("local_pp", tool, params, kernel, fast, rounds)


def local_udp_pp(rounds, size=64):
    """ping-pong over UDP on 127.0.0.1, half a round trip: unmodified sockperf, paced; the floor is a cache line handed over"""
    with net.Alone("fsock-bench") as place:
        yield from _half_round_trips(
            "local_udp_pp", "sockperf", {"size": size, "mps": PACE},
            lambda spin: sockperf.ping_pong(place, size=size, spin=spin, mps=PACE),
            lambda options: sockperf.ping_pong(place, size=size, options=options, share=_by_bytes(place), mps=PACE), rounds,
            PROFILES)


def _by_opened(pid):
    """Did the one connection that the server @pid has come by a link? Of Unix sockets the kernel counts nothing."""
    return float(fsock.counters(pid)["local_accepted"] == 1)


def local_unix_pp(rounds):
    """ping-pong over a Unix socket, half a round trip: a plain program; the floor is a cache line handed over"""
    with net.Alone("fsock-bench") as place:
        def run(**how):
            return echo(place, address="@fsock-bench", **how)
        yield from _half_round_trips("local_unix_pp", "plain_unix", {"size": 64}, lambda spin: run(spin=spin),
                                     lambda options: run(options=options, share=_by_opened), rounds,
                                     {name: {**options, "local_unix": 1} for name, options in PROFILES.items()})


# Size and messages a call of a stream; None: blocks.
STREAMS = (None, (64, 1), (64, 16))


def local_stream(rounds):
    """one flow on 127.0.0.1: blocks of 128 KiB, messages of 64 B with TCP_NODELAY, one and sixteen a call"""
    for messages in STREAMS:
        with net.Alone("fsock-bench") as place:
            def flow(options, words=messages or (), place=place):
                return stream(place, options, options, words=words, share=_by_bytes(place))
            seen = measure(f"local_stream {messages or 'blocks'}", rounds, {
                "kernel_block": lambda flow=flow: flow(None),
                **{name: lambda flow=flow, options=options: flow(options) for name, options in PROFILES.items()}})
        if messages:
            params = {"size": messages[0], "batch": messages[1], "nodelay": 1}
            figures = (("messages", 1e9 / 8 / messages[0] / 1e6, "rate", "M msg/s", True),)
        else:
            params = {"block": "128 KiB"}
            figures = (("received", 1, "rate", "Gbit/s", True), ("cpu", 1, "cpu", "s/GB", False))
        for metric, scale, key, unit, more in figures:
            scaled = {name: [{**r, key: r[key] * scale} for r in runs] for name, runs in seen.items()}
            yield from rows_of("local_stream", {**params, "tool": "plain_tcp"}, metric, unit, rounds, scaled, key, more, PROFILES)


def local_connect(rounds):
    """
    connections on 127.0.0.1, begun, accepted and closed without a byte, one at a time and 16: those of a plain program, which
    have descriptors, and of the native interface, which have none. The kernel's are a plain program's
    """
    for parallel in (1, 16):
        with net.Alone("fsock-bench") as place:
            def plain(options, place=place, parallel=parallel):
                return calls(place, parallel, options=options, empty=True, share=_by_connections(place))

            def native(options, place=place, parallel=parallel):
                return native_calls(place, parallel, options, _by_connections(place))
            columns = columns_of(lambda spin, place=place, parallel=parallel: calls(place, parallel, spin, empty=True),
                                 plain, PROFILES)
            columns |= {f"native {name}": lambda options=options: native(options) for name, options in PROFILES.items()}
            seen = measure(f"local_connect {parallel}", rounds, columns)
        natives = {**seen, **{name: seen[f"native {name}"] for name in PROFILES}}
        for tool, runs in (("plain_tcp", seen), ("native_tcp", natives)):
            yield from rows_of("local_connect", {"parallel": parallel, "tool": tool, "closes": "server"}, "connections", "1/s",
                               rounds, runs, "rate", more_is_better=True, profiles=PROFILES)


def _load_rows(scenario, params, unit, rounds, run):
    with net.Alone("fsock-bench") as place:
        yield from rows_of_load(scenario, params, unit, rounds, lambda options: run(place, options), PROFILES)


def local_redis_c1(rounds):
    """redis-benchmark's GET on 127.0.0.1, one connection"""
    yield from _load_rows("local_redis_c1", {"command": "GET"}, "requests/s", rounds, load_redis(1, share=_by_bytes))


def local_redis_c50(rounds):
    """redis-benchmark's GET on 127.0.0.1, fifty connections"""
    yield from _load_rows("local_redis_c50", {"command": "GET"}, "requests/s", rounds, load_redis(CONNECTIONS, share=_by_bytes))


def local_nginx(rounds):
    """wrk with fifty connections on 127.0.0.1: a small file by keep-alive and by a connection each, and 64 KiB"""
    for params, run in (({"size": 612, "connections": "kept"}, load_nginx(612, share=_by_bytes)),
                        ({"size": 612, "connections": "one each"},
                         load_nginx(612, header=("-H", "Connection: close"), share=_by_bytes)),
                        ({"size": 65536, "sendfile": "on"}, load_nginx(65536, share=_by_bytes))):
        yield from _load_rows("local_nginx", params, "requests/s", rounds, run)


ALL = {job.__name__: job for job in (local_ring, local_link, local_pp, local_udp_pp, local_unix_pp, local_stream,
                                     local_connect, local_redis_c1, local_redis_c50, local_nginx)}
