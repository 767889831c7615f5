# SPDX-License-Identifier: BSD-2-Clause
"""
scenarios_tcp - what bench/run measures of TCP. Rows and rounds are those of scenarios.py.

Processor time per gigabyte counts what both programs used, in themselves and in the kernel, and what the two
processors' ksoftirqd did meanwhile. A kernel that has no clock of its own for interrupts (TICK_CPU_ACCOUNTING)
books the rest of the network's soft interrupts on the program they interrupt, which here is one of the two.
"""
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from lab import fsock, net, proc, sockperf
from scenarios import DEFAULT, LATENCY, POINTS, Failed, Row, median, raw, raw_flow, say, spread, timed

# The default profile takes a client's second connection; these programs make one.
PROFILES = {"latency": LATENCY, "default": {**DEFAULT, "client_connects": 1}}


def _tool(*words):
    return [str(fsock.build_dir() / "bench" / "plain_tcp"), *map(str, words)]


def wrap(argv, options):
    """@argv on kernel sockets, None, or with @options under fsock."""
    return argv if options is None else fsock.run(argv, **options)


def last_of(done, what):
    """The JSON that a program ended with, or is at."""
    try:
        return json.loads(done.out.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise Failed(f"{what}: {done.err.strip()[-300:]}") from None


def started(process, what, text="ready", timeout=60):
    """Wait until the program has said @text."""
    if not process.wait_for(text, timeout):
        raise Failed(f"{what}: " + process.err.strip()[-300:])


def _share(*pids):
    """The smallest part of the traffic that took the fast path, of living processes."""
    seen = [fsock.counts(pid) for pid in pids]
    return min(one.share if one else 0.0 for one in seen)


def columns_of(kernel, fast, profiles=None):
    """Columns of a row: the kernel's by @kernel(spin), one for each of @profiles (PROFILES) by @fast(options)."""
    return {"kernel_block": lambda: kernel(False), "kernel_spin": lambda: kernel(True),
            **{profile: lambda options=options: fast(options) for profile, options in (profiles or PROFILES).items()}}


def measure(what, rounds, columns):
    seen = {name: [] for name in columns}
    for n in range(rounds):
        for name, run in columns.items():
            say(f"{what}, round {n + 1} of {rounds}: {name}")
            seen[name].append(run())
    return seen


def rows_of(scenario, params, metric, unit, rounds, seen, key, more_is_better, profiles=None):
    """One row for each of @profiles (PROFILES); @key is the figure within what a run returned."""
    cells = {name: median(r[key] for r in runs) for name, runs in seen.items()}
    fixed = {name: cells[name] for name in ("kernel_block", "kernel_spin", "floor") if name in cells}
    for profile in profiles or PROFILES:
        runs = seen[profile]
        yield Row(scenario, {**params, "profile": profile}, metric, unit, n=rounds, fsock=cells[profile],
                  share=min(r["share"] for r in runs), spread=spread([r[key] for r in runs]),
                  **fixed).finish(more_is_better)


# --- latency ----------------------------------------------------------------------------------

def _sockperf(pair, **how):
    row = sockperf.ping_pong(pair, tcp=True, **how)
    if "share" in row:
        row["share"] = min(row["share"], row["client_share"])
    return row


@contextlib.contextmanager
def _pair(**how):
    """
    Two ends whose connections are not paced: the congestion control is Reno, in both, whatever the machine presets.
    CUBIC, which is Linux's default, a namespace may not choose where the machine has another one.
    """
    with net.Pair("fsock-bench", **how) as pair:
        for side in (pair.a, pair.b):
            side.run(["sh", "-c", "printf reno > /proc/sys/net/ipv4/tcp_congestion_control"])
        yield pair


def tcp_pp(rounds, size=64):
    """unmodified sockperf over TCP, ping-pong, half round trip; the floor is udp_pp_raw's"""
    with _pair() as pair:
        columns = columns_of(lambda spin: _sockperf(pair, size=size, spin=spin),
                           lambda options: _sockperf(pair, size=size, options=options))
        columns["floor"] = lambda: raw(pair, size=size)
        seen = measure(f"tcp_pp {size} B", rounds, columns)
    for point in POINTS:
        yield from rows_of("tcp_pp", {"size": size, "tool": "sockperf", "mtu": 1500, "cc": "reno"}, "p" + point, "us", rounds, seen,
                         point, more_is_better=False)


# --- one stream -------------------------------------------------------------------------------

def _softirq_seconds():
    """What the ksoftirqd of the processors in use did so far."""
    names = {f"ksoftirqd/{cpu}" for cpu in proc.cpus()[:2]}
    ticks = 0
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            head, _, rest = path.read_text().rpartition(")")
            if head.partition("(")[2] in names:
                ticks += sum(map(int, rest.split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def stream(pair, sender=None, receiver=None, seconds=2, words=(), share=None):
    """
    Gbit/s that one flow delivers, and the processor seconds per GB; each end on the kernel or by its options. @words:
    what plain_tcp's pour is told. @share(pid) says of the living receiver what part took the fast path, instead of both.
    """
    cpu = proc.cpus()
    reports = [fsock.Report(), fsock.Report()]
    with contextlib.ExitStack() as stack:
        for report in reports:
            stack.callback(report.close)

        def more(i):
            return {"cpu": cpu[i], "env": {**fsock.CLEAN, **reports[i].env}, "fds": (reports[i].fd,)}
        soft = _softirq_seconds()
        sink = _tool("sink", pair.b.v4, 5001, *(["stay"] if share else []))
        end = stack.enter_context(pair.b.popen(wrap(sink, receiver), **more(1)))
        started(end, "plain_tcp sink")
        sent = last_of(pair.a.run(wrap(_tool("pour", pair.b.v4, 5001, seconds, *words), sender), timeout=seconds + 30, **more(0)),
                     "plain_tcp pour")
        if share:
            started(end, "plain_tcp sink", "done", 30)
        got = last_of(end if share else end.finish(30), "plain_tcp sink")
        soft = _softirq_seconds() - soft
        if got["bytes"] != sent["bytes"]:
            raise Failed(f"{sent['bytes']} bytes were sent, {got['bytes']} arrived")
        fast = [report.counts().share for report, options in zip(reports, (sender, receiver)) if options is not None]
        if share and receiver is not None:
            fast = [share(end.pid)]
    row = {"rate": got["bytes"] * 8 / got["seconds"] / 1e9, "cpu": (sent["cpu"] + got["cpu"] + soft) / got["bytes"] * 1e9}
    return {**row, "share": min(fast)} if fast else row


# (sender, receiver) on fsock; its ratio is against kernel to kernel in all of them.
STREAM_ENDS = {"both": (True, True), "sender": (True, False), "receiver": (False, True)}


def _frame_by_frame(rounds):
    """Each segment a frame of its own, at both ends fsock, beside the floor of raw frames."""
    options = {**LATENCY, "super_frames": 0}
    for mtu, words in ((1500, {"size": 1448}), (9000, {"size": 8948, "mss": 8948})):
        with net.Pair("fsock-bench", mtu=mtu) as pair:
            seen = measure(f"tcp_stream frame by frame {mtu}", rounds, {
                "fsock": lambda: stream(pair, options, options), "floor": lambda: raw_flow(pair, "v4", words)})
        for metric, key, raw_key, unit, more in (("received", "rate", "gbit", "Gbit/s", True),
                                                 ("cpu", "cpu", "cpu", "s/GB", False)):
            values = [r[key] for r in seen["fsock"]]
            yield Row("tcp_stream", {"mtu": mtu, "block": "128 KiB", "cc": "cubic", "profile": "latency", "super_frames": 0,
                                     "on fsock": "both"},
                      metric, unit, n=rounds, fsock=median(values), floor=median(r[raw_key] for r in seen["floor"]),
                      share=min(r["share"] for r in seen["fsock"]), spread=spread(values)).finish(more)


def tcp_stream(rounds):
    """one flow at MTU 1500 and default offloads: both ends fsock, one of them; frame by frame; Gbit/s, processor time"""
    def ends(name):
        return [LATENCY if fast else None for fast in STREAM_ENDS[name]]
    with net.Pair("fsock-bench") as pair:
        seen = measure("tcp_stream", rounds, {
            "kernel_block": lambda: stream(pair),
            **{name: lambda name=name: stream(pair, *ends(name)) for name in STREAM_ENDS}})
    for metric, key, unit, more in (("received", "rate", "Gbit/s", True), ("cpu", "cpu", "s/GB", False)):
        kernel = median(r[key] for r in seen["kernel_block"])
        params = {"mtu": 1500, "block": "128 KiB", "cc": "cubic"}
        for name in STREAM_ENDS:
            values = [r[key] for r in seen[name]]
            yield Row("tcp_stream", {**params, "profile": "latency", "on fsock": name}, metric, unit, n=rounds,
                      fsock=median(values), kernel_block=kernel, share=min(r["share"] for r in seen[name]),
                      spread=spread(values)).finish(more)
    yield from _frame_by_frame(rounds)


# --- short connections ------------------------------------------------------------------------

def calls(pair, parallel, spin=False, options=None, seconds=2, empty=False, share=None):
    """
    Connections a second: connect, 64 bytes, 64 bytes back, close; @empty: no bytes. The server closes first, so that
    TIME-WAIT, of which the kernel keeps as many as it likes, is its own, and the client never waits for a port number.
    @share(pid) says of the server what part took the fast path, instead of what each end says.
    """
    cpu = proc.cpus()
    how = (["empty"] if empty else []) + (["spin"] if spin else [])
    with pair.b.popen(wrap(_tool("serve", pair.b.v4, 5002, *how), options), cpu=cpu[1], env=fsock.CLEAN) as server:
        started(server, "plain_tcp serve")
        with pair.a.popen(wrap(_tool("call", pair.b.v4, 5002, seconds, parallel, *how), options), cpu=cpu[0],
                          env=fsock.CLEAN) as client:
            started(client, "plain_tcp call", "done", seconds + 30)
            row = last_of(client, "plain_tcp call")
            row["rate"] = row["calls"] / row["seconds"]
            if options is not None:
                row["share"] = share(server.pid) if share else _share(server.pid, client.pid)
    return row


def tcp_cps(rounds):
    """connect, one request, answer, close: connections a second, one at a time and 16"""
    for parallel in (1, 16):
        with _pair() as pair:
            seen = measure(f"tcp_cps {parallel}", rounds, columns_of(
                lambda spin: calls(pair, parallel, spin), lambda options: calls(pair, parallel, options=options)))
        yield from rows_of("tcp_cps", {"size": 64, "parallel": parallel, "tool": "plain_tcp", "closes": "server"},
                         "connections", "1/s", rounds, seen, "rate", more_is_better=True)


# --- many connections -------------------------------------------------------------------------

IDLE = 100000
EACH = 15000  # idle connections of one program: descriptors are limited, and ports


def _start(stack, side, cpu, mode, address, port, *more, options=None):
    end = stack.enter_context(side.popen(wrap(_tool(mode, address, port, *more), options), cpu=cpu, env=fsock.CLEAN))
    started(end, f"plain_tcp {mode}")
    return end


@contextlib.contextmanager
def _idle(pair, count):
    """So many connections that do nothing, of programs that do nothing else."""
    cpu = proc.cpus()
    with contextlib.ExitStack() as stack:
        for i, first in enumerate(range(0, count, EACH)):
            some = min(EACH, count - first)
            _start(stack, pair.b, cpu[1], "keep", net.B4, 9001 + i, some)
            _start(stack, pair.a, cpu[0], "hold", net.B4, 9001 + i, some)
        yield


def echo(pair, spin=False, count=50000, options=None, share=None, address=None):
    """
    Percentiles of an echo on one connection. @options: as for stream(), of both ends; @share(pid): of the echo's way.
    @address: where, else than at the server's.
    """
    cpu = proc.cpus()
    address = address or pair.b.v4
    how = ["spin"] if spin else []
    with contextlib.ExitStack() as stack:
        server = _start(stack, pair.b, cpu[1], "echo", address, 9000, *how, options=options)
        asked = wrap(_tool("ask", address, 9000, count, *how), options)
        said = last_of(pair.a.run(asked, cpu=cpu[0], env=fsock.CLEAN, timeout=60), "plain_tcp ask")
        row = {point: said["p" + point] for point in ("50", "99", "99.9")}
        return {**row, "share": share(server.pid)} if share and options is not None else row


PORTS = 128  # of the server that native connections are spread over


def _native(pair, options, served, asked, share=None):
    """
    One program at either end on the native interface, with these words before and after the addresses: what the client says.
    @share(pid) says of the server what part took the fast path; without it the client does.
    """
    cpu = proc.cpus()
    env = {**fsock.CLEAN, **{"FSOCK_" + name.upper(): str(value) for name, value in options.items()}}
    tool = str(fsock.build_dir() / "bench" / "native_tcp")
    with pair.b.popen([tool, served[0], pair.b.v4, *served[1:]], cpu=cpu[1], env=env) as server:
        started(server, f"native_tcp {served[0]}")
        done = pair.a.run([tool, asked[0], pair.a.v4, pair.b.v4, *asked[1:]], cpu=cpu[0], env=env, timeout=300)
        row = last_of(done, f"native_tcp {asked[0]}")
        return {**row, "share": share(server.pid) if share else 1.0}


def _native_conns(pair, options):
    """Half round trips alone and among idle connections, bytes of each."""
    return _native(pair, options, ("echo", 9000, PORTS), ("idle", 9000, PORTS, IDLE, 50000))


def native_echo(pair, options, count=50000):
    """Percentiles of an echo on one connection of the native interface, which says itself that the kernel has it not."""
    return {**_native(pair, options, ("answer", 9000), ("idle", 9000, 1, 1, count))["alone"], "share": 1.0}


def native_calls(pair, parallel, options, share, seconds=2):
    """As calls() without a byte, on the native interface."""
    row = _native(pair, options, ("serve", 5002), ("call", 5002, seconds, parallel), share)
    return {**row, "rate": row["calls"] / row["seconds"]}


def _native_rows(rounds):
    """The same by the native interface, whose connections have no descriptor; each says that it takes the fast path."""
    with net.Pair("fsock-bench") as pair:
        for profile in PROFILES:
            runs = []
            for n in range(rounds):
                say(f"tcp_conns, round {n + 1} of {rounds}: native, {profile}")
                runs.append(_native_conns(pair, PROFILES[profile]))
            params = {"size": 64, "tool": "native_tcp", "profile": profile}
            for point in POINTS[:2]:
                for idle, key in ((0, "alone"), (IDLE, "among")):
                    values = [r[key][point] for r in runs]
                    yield Row("tcp_conns", {**params, "idle": idle}, "p" + point, "us", n=rounds, fsock=median(values),
                              spread=spread(values), share=1.0)
                values = [r["among"][point] / r["alone"][point] for r in runs]
                yield Row("tcp_conns", {**params, "idle": "many against none"}, "p" + point, "x", n=rounds,
                          fsock=median(values), spread=spread(values), share=1.0)
            for key in ("stack", "private"):
                values = [r[key] for r in runs]
                yield Row("tcp_conns", {**params, "idle": IDLE, "memory": key}, "a connection", "bytes", n=rounds,
                          fsock=median(values), spread=spread(values), share=1.0)


def tcp_conns(rounds):
    """one active connection alone, and beside 100,000 that are idle; on the native interface what these take, too"""
    columns = {"kernel_block": False, "kernel_spin": True}
    seen = {(column, idle): [] for column in columns for idle in (0, IDLE)}
    with net.Pair("fsock-bench") as pair:
        for n in range(rounds):
            for idle in (0, IDLE):
                with _idle(pair, idle):
                    for column, spin in columns.items():
                        say(f"tcp_conns, round {n + 1} of {rounds}: {column}, {idle} idle")
                        seen[column, idle].append(echo(pair, spin))
    params = {"size": 64, "tool": "plain_tcp"}
    for point in ("50", "99"):
        cells = {key: median(r[point] for r in runs) for key, runs in seen.items()}
        for idle in (0, IDLE):
            yield Row("tcp_conns", {**params, "idle": idle}, "p" + point, "us", n=rounds,
                      **{column: cells[column, idle] for column in columns})
        yield Row("tcp_conns", {**params, "idle": "many against none"}, "p" + point, "x", n=rounds,
                  **{column: cells[column, IDLE] / cells[column, 0] for column in columns})
    yield from _native_rows(rounds)


# --- a short client ---------------------------------------------------------------------------

WEB = """daemon off;
master_process off;
error_log stderr;
pid {folder}/pid;
events {{ }}
http {{ access_log off; server {{ listen {address}:8080; location / {{ return 200 "ok"; }} }} }}
"""


@contextlib.contextmanager
def _web_server(pair):
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, "config")
        config.write_text(WEB.format(folder=folder, address=net.B4))
        with pair.b.popen(["nginx", "-p", folder, "-c", config], env=fsock.CLEAN) as server:
            if not proc.until(lambda: ":8080" in pair.b.run(["ss", "-Hltn"]).out):
                raise Failed("nginx did not start: " + server.err.strip()[-300:])
            yield


def curl(rounds):
    """how much later curl ends that fetches one small page"""
    seen = {"kernel": [], "fsock": []}
    with net.Pair("fsock-bench") as pair, _web_server(pair):
        argv = ["curl", "-s", "-o", "/dev/null", f"http://{net.B4}:8080/"]
        for _ in range(rounds * 8):
            seen["kernel"].append(timed(pair.a.argv(argv)))
            seen["fsock"].append(timed(pair.a.argv(fsock.run(argv))))
    yield Row("curl", {"program": "curl", "profile": "default"}, "run time", "ms", fsock=median(seen["fsock"]),
              kernel_block=median(seen["kernel"]), n=rounds * 8,
              spread=spread(seen["fsock"])).finish(more_is_better=False)


# --- the helper thread ------------------------------------------------------------------------

# Takes one connection, and then does something else, without a call of sockets: computes, or sleeps.
BUSY = """
import os, socket, sys, time
listener = socket.create_server((sys.argv[1], 5003))
listener.setsockopt(socket.SOL_SOCKET, 33, 8 << 20) # SO_RCVBUFFORCE: nobody reads
peer = listener.accept()[0]
assert peer.recv(1) == b"x"
before, end = time.process_time(), time.monotonic() + float(sys.argv[3])
print("busy", flush=True)
if sys.argv[2] == "sleeps":
    time.sleep(float(sys.argv[3]))
while sys.argv[2] == "computes" and time.monotonic() < end:
    pass
print((time.process_time() - before) / float(sys.argv[3]) * 100, flush=True)
"""

# Three segments at a time, which are to be acknowledged at once; how long that takes, in milliseconds.
BURSTS = """
import fcntl, json, socket, sys, time
peer = socket.create_connection((sys.argv[1], 5003))
peer.sendall(b"x")
sys.stdin.readline()
took = []
for _ in range(int(sys.argv[2])):
    began = time.monotonic()
    peer.sendall(bytes(4344))
    while int.from_bytes(fcntl.ioctl(peer, 0x5411, bytes(4)), "little"): # SIOCOUTQ
        assert time.monotonic() < began + 10
    took.append((time.monotonic() - began) * 1000)
    time.sleep(0.004)
print(json.dumps(took))
"""

# Takes connections that are to be kept alive, each by a timer of one second, and computes.
KEEPER = """
import socket, sys, time
listener = socket.create_server((sys.argv[1], 5003), backlog=256)
for level, name, value in ((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1),
                           (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)):
    listener.setsockopt(level, name, value)
peers = [listener.accept()[0] for _ in range(int(sys.argv[2]))]
print("busy", flush=True)
end = time.monotonic() + 5
while time.monotonic() < end:
    pass
print("done", flush=True)
sys.stdin.readline()
"""

# Connects every 10 ms, so that timers are spread over the second, and tells how much later than a second after the last
# one each probe came, in milliseconds, by the times that the kernel has stamped on frames. What came while the program
# was still accepting does not count.
PROBED = """
import json, socket, struct, sys, time
wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
wire.setsockopt(socket.SOL_SOCKET, 35, 1) # SO_TIMESTAMPNS
wire.settimeout(0.5)
peers = []
for _ in range(int(sys.argv[2])):
    peers.append(socket.create_connection((sys.argv[1], 5003)))
    time.sleep(0.01)
began, last, late = time.time(), {}, []
while time.time() < began + 4.5:
    try:
        packet, (control,), _, _ = wire.recvmsg(128, 64)
    except TimeoutError:
        continue
    source, port = struct.unpack_from("!HH", packet, 20)
    if packet[9] != 6 or source != 5003:
        continue
    seconds, ns = struct.unpack("qq", control[2])
    at = seconds + ns / 1e9
    if last.get(port, 0) > began:
        late.append((at - last[port] - 1) * 1000)
    last[port] = at
print(json.dumps(late), flush=True)
"""


def _percentiles(values):
    values = sorted(values)
    return {"p50": values[len(values) // 2], "p99": values[int(len(values) * 0.99)], "max": values[-1]}


def _kept_alive(pair, options, count=100):
    """Percentiles of how late the timers of a program that computes are."""
    cpu = proc.cpus()
    with pair.b.popen(wrap([sys.executable, "-c", KEEPER, net.B4, count], options), cpu=cpu[1], env=fsock.CLEAN,
                      stdin=subprocess.PIPE) as server:
        if not proc.until(lambda: ":5003" in pair.b.run(["ss", "-Hltn"]).out):
            raise Failed("helper, timers: " + server.err.strip()[-300:])
        with pair.a.popen([sys.executable, "-c", PROBED, net.B4, count], cpu=cpu[0]) as client:
            late = last_of(client.finish(), "helper, timers")
        started(server, "helper, timers", "done")
        if len(late) < 2 * count:
            raise Failed(f"helper, timers: only {len(late)} probes of {count} connections")
        row = _percentiles(late)
        if options is not None:
            row["share"] = min(1.0, fsock.counters(server.pid)["tcp_keepalives"] / len(late))
        return row


def _acknowledged(pair, options, count=300):
    """Percentiles of the time until a program that computes has acknowledged three segments."""
    cpu = proc.cpus()
    with pair.b.popen(wrap([sys.executable, "-c", BUSY, net.B4, "computes", 4], options), cpu=cpu[1],
                      env=fsock.CLEAN) as server:
        if not proc.until(lambda: ":5003" in pair.b.run(["ss", "-Hltn"]).out):
            raise Failed("helper: " + server.err.strip()[-300:])
        with pair.a.popen([sys.executable, "-c", BURSTS, net.B4, count], cpu=cpu[0], stdin=subprocess.PIPE) as client:
            started(server, "helper", "busy")
            client.child.stdin.close()
            row = _percentiles(last_of(client.finish(), "helper"))
        if options is not None:
            row["share"] = fsock.counters(server.pid)["tcp_bytes_in"] / (1 + count * 4344)
        return row


def _sleeper(pair, options):
    """Percent of a processor that a program with an open connection uses while it sleeps, all its threads together."""
    with pair.b.popen(wrap([sys.executable, "-c", BUSY, net.B4, "sleeps", 4], options), env=fsock.CLEAN) as server:
        if not proc.until(lambda: ":5003" in pair.b.run(["ss", "-Hltn"]).out):
            raise Failed("helper: " + server.err.strip()[-300:])
        with pair.a.popen([sys.executable, "-c", BURSTS, net.B4, 0], stdin=subprocess.PIPE):
            return float(server.finish().out.split()[-1])


def _late_rows(what, rounds, seen):
    for point in ("p50", "p99", "max"):
        values = [r[point] for r in seen["fsock"]]
        yield Row("helper", {"program": "computes", "profile": "default"}, f"{what} {point}", "ms", fsock=median(values),
                  n=rounds, kernel_block=median(r[point] for r in seen["kernel"]), spread=spread(values),
                  share=min(r["share"] for r in seen["fsock"])).finish(more_is_better=False)


def helper(rounds):
    """ACKs and timers of a program that computes; processor time of one that sleeps, with the thread and without"""
    options = PROFILES["default"]
    with net.Pair("fsock-bench") as pair:
        seen = measure("helper", rounds, {"kernel": lambda: _acknowledged(pair, None),
                                           "fsock": lambda: _acknowledged(pair, options)})
        kept = measure("helper, timers", rounds, {"kernel": lambda: _kept_alive(pair, None),
                                                   "fsock": lambda: _kept_alive(pair, options)})
        idle = measure("helper, idle", rounds, {
            "kernel": lambda: _sleeper(pair, None), "fsock": lambda: _sleeper(pair, options),
            "without": lambda: _sleeper(pair, {**options, "helper": 0})})
    yield from _late_rows("ACK", rounds, seen)
    yield from _late_rows("timer late", rounds, kept)
    for name, words in (("fsock", {}), ("without", {"helper": 0})):
        yield Row("helper", {"program": "sleeps", "profile": "default", **words}, "cpu", "% of a core", fsock=median(idle[name]),
                  kernel_block=median(idle["kernel"]), n=rounds, spread=spread(idle[name]))


ALL = {job.__name__: job for job in (tcp_pp, tcp_stream, tcp_cps, tcp_conns, curl, helper)}
