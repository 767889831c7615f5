# SPDX-License-Identifier: BSD-2-Clause
"""
scenarios_paper - the tables of "High-Performance Local Area Communication With Fast Sockets" (Rodrigues, Anderson,
Culler; USENIX 1997, measured in 1996), measured once more over links.

Fast Sockets : TCP : Active Messages becomes fsock : the kernel's TCP : the raw link. The paper's TCP slept in calls;
the kernel's is shown sleeping and spinning, since fsock, in the latency profile, and the raw link spin. The raw link is
bench/local_ring: src/local driven by one program over rings of the size that fsock takes, without sockets, descriptors,
files and the look for other connections. It is no floor of a flow of short messages: its reader takes each as it comes,
where slower ones find several. Figures of 1996 and of now have nothing in common but that they have ratios.
"""
import collections

import fit
from lab import fsock, links, net, proc
from scenarios import Row, median, spread
from scenarios_local import PROFILES, run_ring
from scenarios_tcp import last_of, measure, started, stream, wrap

OPTIONS = PROFILES["latency"]
ORDER = 16  # of a byte ring, as fsock's (stream_local.c)
PORT, SECONDS = 5004, 0.15

KIB, MIB = 1 << 10, 1 << 20
SHORT = (1, 64, 128, 256, 384, 512, 640, 768, 896)
TRIPS = (*SHORT, *(KIB << i for i in range(7)))
FLOWS = (16, 64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB)
FILES = (1, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB)
WAYS = ("read", "sendfile")  # how the server's file goes
REQUEST = 64                 # bytes, and the answer
FITS = {"short": (SHORT, "below 1 KiB"), "long": (TRIPS, "to 64 KiB")}

# What the paper says of Fast Sockets, TCP over Myrinet, Active Messages, on UltraSPARC 1 with Solaris 2.5: its fits of
# round trips in us, those of Active Messages to 4 KB where the others go to 64; of one flow, MB/s and bytes.
ONE_BYTE = (57.8, 533.0, 45.0)
SHORT_START, SHORT_EACH = (61.4, 533.0, 45.4), (0.124, 0.223, 0.123)
LONG_START, LONG_EACH = (157.8, 736.4, 38.9), (0.068, 0.076, 0.129)
RATE, HALF = (32.9, 29.6, 39.2), (441, 2098, 372)


def _file_of_1996(size):
    """What its pictures of ftp show, by words."""
    if size <= 4 * KIB:
        return "even: the connection decides"
    return "Fast Sockets faster" if size <= 2 * MIB else "the closer the larger"


# --- one column, one round: figures by key ----------------------------------------------------

def _tool(*words):
    return [str(fsock.build_dir() / "bench" / "paper_tcp"), *map(str, words)]


def _sizes(sizes):
    return ",".join(map(str, sizes))


def _programs(place, options, spin=False):
    """Both programs on kernel sockets, or both under fsock with @options; us."""
    how = ["spin"] if spin else []
    cpu = proc.cpus()

    def ask(mode, *words):
        argv = wrap(_tool(mode, place.b.v4, PORT, SECONDS, *words, *how), options)
        rows = last_of(place.a.run(argv, cpu=cpu[0], env=fsock.CLEAN), f"paper_tcp {mode}")
        return {row["size"]: row["p50"] for row in rows}
    with place.b.popen(wrap(_tool("serve", place.b.v4, PORT, *how), options), cpu=cpu[1], env=fsock.CLEAN) as server:
        started(server, "paper_tcp serve")
        watch = links.Watch(place.b)
        found = {("trip", size): us for size, us in ask("trips", _sizes(TRIPS)).items()}
        found["call"] = ask("calls")[REQUEST]
        for way in WAYS:
            found.update({(way, size): us for size, us in ask("fetch", _sizes(FILES), way).items()})
        if options is not None:
            found["share"] = min(watch.bytes(server.pid), watch.connections(server.pid))
    return found


def _flows(place, options=None):
    """One flow of messages of each size, MB/s."""
    found = {}
    for size in FLOWS:
        row = stream(place, options, options, seconds=2 * SECONDS, words=(size, 1), share=links.Watch(place.b).bytes)
        found["flow", size] = row["rate"] * 1e9 / 8 / 1e6
        if options is not None:
            found["flow share"] = min(found.get("flow share", 1.0), row["share"])
    return found


def _count(size, most):
    return max(80, min(most, 64 * MIB // size))


def _raw():
    """Bytes through a ring for what keeps its connection, connections over a link for what does not."""
    def ring(*words):
        return run_ring(*words, f"order={ORDER}")
    found = {}
    for size in TRIPS:
        half = ring("stream", "pp", f"size={size}", f"count={_count(size, 200000)}")["p50"]
        found["trip", size] = 2 * half / 1000
    for size in FLOWS:
        row = ring("stream", "bulk", f"size={size}", f"read={128 * KIB}", f"count={_count(size // 8, 2000000)}")
        found["flow", size] = row["gbit"] * 1e9 / 8 / 1e6
    for size in (REQUEST, *FILES):
        us = ring("conn", "call", f"size={REQUEST}", f"answer={size}", f"count={_count(size, 20000)}")["p50"] / 1000
        found.update({(way, size): us for way in WAYS})
    found["call"] = found[WAYS[0], REQUEST]
    return found


# The paper's TCP slept; a flow's ends are never asked to spin, and the kernel's spinning column has none.
COLUMNS = {
    "kernel_block": lambda place: {**_programs(place, None), **_flows(place)},
    "kernel_spin": lambda place: _programs(place, None, spin=True),
    "fsock": lambda place: {**_programs(place, OPTIONS), **_flows(place, OPTIONS)},
    "floor": lambda place: _raw(),
}


# --- figures ----------------------------------------------------------------------------------

# What is read of a round by @key; @words: a row's parameters, @paper: three figures of 1996, or words of what it shows.
Figure = collections.namedtuple("Figure", "key words metric unit more paper", defaults=(False, ""))


def _figures():
    for size in TRIPS:
        words = {"table": "round trip", "size": size}
        yield Figure(("trip", size), words, "p50", "us", paper=ONE_BYTE if size == 1 else "")
    for to, start, each in (("short", SHORT_START, SHORT_EACH), ("long", LONG_START, LONG_EACH)):
        words = {"table": "round trip", "fit": FITS[to][1]}
        yield Figure(("start", to), words, "start-up", "us", paper=start)
        yield Figure(("each", to), words, "each byte", "ns", paper=each)
    for size in FLOWS:
        yield Figure(("flow", size), {"table": "flow", "size": size}, "received", "MB/s", more=True)
    yield Figure("rate", {"table": "flow", "fit": "n1/2"}, "rate", "MB/s", True, RATE)
    yield Figure("half", {"table": "flow", "fit": "n1/2"}, "half power", "bytes", paper=HALF)
    words = {"table": "request-response", "size": REQUEST}
    yield Figure("kept", {**words, "connection": "kept"}, "rate", "1/s", True, "Fast Sockets faster")
    yield Figure("one each", {**words, "connection": "one each"}, "rate", "1/s", True, "nothing gained")
    for way in WAYS:
        for size in FILES:
            words = {"table": "file", "size": size, "by": way}
            yield Figure((way, size), words, "p50", "us", paper=_file_of_1996(size))


def derived(found):
    """What fits and rates add to the figures of one round. None: a line that begins below zero, or falls."""
    more = {"kept": 1e6 / found["trip", REQUEST], "one each": 1e6 / found["call"]}
    for to, (sizes, _) in FITS.items():
        start, each = fit.line([(size, found["trip", size]) for size in sizes])
        more["start", to], more["each", to] = (value if value > 0 else None for value in (start, each * 1000))
    if ("flow", FLOWS[0]) in found:
        more["rate"], more["half"] = fit.half_power([(size, found["flow", size]) for size in FLOWS])
    return more


def ratios(values):
    """Each of @values by the first: "1 : 9.22 : 0.779"."""
    first = values[0]
    return " : ".join("-" if value is None or not first else f"{value / first:.3g}" for value in values)


def _row(figure, seen):
    cells = {name: median(r.get(figure.key) for r in runs) for name, runs in seen.items()}
    share = "flow share" if figure.words["table"] == "flow" else "share"
    paper = figure.paper if isinstance(figure.paper, str) else ratios(figure.paper)
    return Row("paper1996", {**figure.words, **({"paper": paper} if paper else {})}, figure.metric, figure.unit,
               n=len(seen["fsock"]), **cells, spread=spread([r[figure.key] for r in seen["fsock"]]),
               share=min(r[share] for r in seen["fsock"])).finish(figure.more)


def rows_of(seen):
    """The rows of @seen: column -> rounds, each figures by key with what is derived of them."""
    return (_row(figure, seen) for figure in _figures())


def table(rows):
    """The lines of the table: of each row that has the paper's word beside it, ratios of figures to fsock's."""
    rows = [row for row in rows if "paper" in row.params]
    if not rows:
        return
    yield "paper1996: figures by fsock's, those of 1996 by Fast Sockets'; kernel: sleeping, spinning"
    yield f"{'':44} {'fsock : kernel, spinning : raw link':38} Fast Sockets : TCP : Active Messages"
    for row in rows:
        name = " ".join(str(value) for key, value in row.params.items() if key != "paper")
        ours = ratios((row.fsock, row.kernel_block, row.kernel_spin, row.floor)) if not row.failed else "FAILED"
        yield f"{name + ', ' + row.metric + ', ' + row.unit:44} {ours:38} {row.params['paper']}"


def paper1996(rounds):
    """the tables of the Fast Sockets paper on links, the kernel's TCP and the raw link; ratios beside the paper's"""
    with net.Alone("fsock-bench") as place:
        seen = measure("paper1996", rounds, {name: lambda run=run: run(place) for name, run in COLUMNS.items()})
    seen = {name: [{**found, **derived(found)} for found in runs] for name, runs in seen.items()}
    yield from rows_of(seen)


paper1996.table = table
ALL = {paper1996.__name__: paper1996}
