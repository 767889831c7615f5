# SPDX-License-Identifier: BSD-2-Clause
"""
scenarios_programs - what bench/run measures of servers that people run: redis, memcached, nginx, postgres; and of what they do, fork.

Server and load are unmodified, each on a processor of its own, both on kernel sockets or both on fsock. None of these
programs spins, so the kernel has one column; its ordinary setting is the programs' own.
"""
import contextlib
import csv
import io
import os
import pathlib
import re
import signal
import tempfile

from lab import fsock, net, nginx as nginx_in, postgres, proc
from scenarios import DEFAULT, LATENCY, Failed, Row, idle_steering, median, say, spread
from scenarios_tcp import stream

# The load connects more than once; a client of one connection would stay with the kernel in the default profile.
PROFILES = {"latency": LATENCY, "default": {**DEFAULT, "client_connects": 1}}
SECONDS = 3
CONNECTIONS = 50


def _wrap(argv, options):
    return list(map(str, argv)) if options is None else fsock.run(argv, **options)


def _share(pid):
    """The part of what the server's connections carried that took the fast path."""
    seen = fsock.counts(pid)
    return seen.share if seen else 0.0


def _load(pair, what, server, port, argv, options, figure, ready=None, setup=None, as_user=(),
          stop=signal.SIGKILL, share=lambda pair: _share, alone=False):
    """
    The @figure of what @argv prints, which loads @server at @port; both with @options of fsock, None = kernel sockets; @alone:
    the server is, with all processors. Once @ready succeeds, @setup runs on kernel sockets. @as_user: what puts the server
    under a user of its own; @stop: what ends it, and its children. @share(pair) is called before the load begins, and what it
    returns with the server's pid behind its end: the part that took the fast path.
    """
    cpu = (None, None) if alone else proc.cpus()
    with pair.b.popen([*as_user, *_wrap(server, options)], cpu=cpu[1], env=fsock.CLEAN) as running:
        if not proc.until(lambda: f":{port} " in pair.b.run(["ss", "-Hltn"]).out, 30):
            raise Failed(f"{what}: the server did not listen: {running.err.strip()[-300:]}")
        if ready and not proc.until(lambda: pair.b.run(ready, env=fsock.CLEAN).status == 0, 30):
            raise Failed(f"{what}: the server is not ready: {running.err.strip()[-300:]}")
        if setup:
            done = pair.b.run(setup, env=fsock.CLEAN)
            if done.status:
                raise Failed(f"{what}: {done.err.strip()[-300:]}")
        look = share(pair)
        done = pair.a.run(_wrap(argv, None if alone else options), cpu=cpu[0], env=fsock.CLEAN)
        row = {"rate": figure(done.out)} if done.status == 0 else {}
        if options is not None:
            row["share"] = look(running.pid)
            row["parts"] = [one["counters"].get("tcp_segments_in", 0) for one in (fsock.stat(running.pid) or {}).get("stacks", [])]
        running.stop(number=stop)
    if not row.get("rate"):
        raise Failed(f"{what}: {done.err.strip()[-300:]} {done.out.strip()[-300:]}")
    return row


def rows_of_load(scenario, params, unit, rounds, run, profiles=None):
    """@run(options) gives one row; a row of results for each of @profiles (PROFILES)."""
    profiles = profiles or PROFILES
    columns = {"kernel": None, **profiles}
    seen = {name: [] for name in columns}
    for n in range(rounds):
        for name, options in columns.items():
            say(f"{scenario}{''.join(f' {value}' for value in params.values())}, round {n + 1} of {rounds}: {name}")
            seen[name].append(run(options))
    for profile in profiles:
        runs = seen[profile]
        rates = [r["rate"] for r in runs]
        yield Row(scenario, {**params, "profile": profile}, "rate", unit, n=rounds, fsock=median(rates), spread=spread(rates),
                  share=min(r["share"] for r in runs),
                  kernel_block=median(r["rate"] for r in seen["kernel"])).finish(more_is_better=True)


# --- key and value ----------------------------------------------------------------------------

REDIS_LOADS = {1: 100000, CONNECTIONS: 300000}  # connections, requests


def load_redis(connections, **how):
    def run(pair, options):
        with tempfile.TemporaryDirectory(prefix="fsock-bench-") as folder:
            server = ["redis-server", "--bind", pair.b.v4, "--protected-mode", "no", "--save", "", "--dir", folder]
            load = ["redis-benchmark", "-h", pair.b.v4, "-c", connections, "-n", REDIS_LOADS[connections], "-t", "get",
                    "--csv"]
            return _load(pair, "redis", server, 6379, load, options,
                         lambda out: float(list(csv.DictReader(io.StringIO(out)))[-1]["rps"]), **how)
    return run


def redis(rounds):
    """redis-benchmark's GET, one connection and fifty"""
    with net.Pair("fsock-bench") as pair:
        for connections in REDIS_LOADS:
            run = load_redis(connections)
            yield from rows_of_load(f"redis_c{connections}", {"command": "GET"}, "requests/s", rounds,
                                    lambda o, run=run: run(pair, o))


def memcached(rounds):
    """memcaslap's nine reads for each write, one connection and fifty"""
    def run(pair, connections, options):
        server = ["memcached", "-u", "root", "-l", net.B4, "-t", "1"]
        load = ["memcaslap", "-s", f"{net.B4}:11211", "-T", "1", "-c", connections, "-t", f"{SECONDS}s", "-X", 64]
        return _load(pair, "memcached", server, 11211, load, options,
                     lambda out: float(re.findall(r"TPS: (\d+)", out)[-1]))
    with net.Pair("fsock-bench") as pair:
        for connections in (1, CONNECTIONS):
            yield from rows_of_load(f"memcached_c{connections}", {}, "operations/s", rounds,
                                    lambda o, connections=connections: run(pair, connections, o))


def stacks(rounds):
    """memcached with two threads on two queues, one stack and two, loaded by the kernel's sockets: what several stacks cost; what
    they gain needs more processors than the two threads and the load have on a machine of two"""
    columns = {0: None, **{n: {**LATENCY, "xdp_mode": "native", "stacks": n} for n in (1, 2)}}
    server = ["memcached", "-u", "root", "-l", net.B4, "-t", "2"]
    load = ["memcaslap", "-s", f"{net.B4}:11211", "-T", "1", "-c", CONNECTIONS, "-t", f"{SECONDS}s", "-X", 64]
    seen = {n: [] for n in columns}
    with net.Pair("fsock-bench", queues=(2, 2)) as pair:
        pair.meet()
        for turn in range(rounds):
            for n, options in columns.items():
                say(f"stacks, round {turn + 1} of {rounds}: {f'{n} of fsock' if n else 'kernel'}")
                seen[n].append(_load(pair, "memcached", server, 11211, load, options,
                                     lambda out: float(re.findall(r"TPS: (\d+)", out)[-1]), alone=True))
    for n in (1, 2):
        rates = [r["rate"] for r in seen[n]]
        row = Row("stacks", {"stacks": n, "profile": "latency"}, "rate", "operations/s", n=rounds, fsock=median(rates),
                  spread=spread(rates), share=min(r["share"] for r in seen[n]),
                  kernel_block=median(r["rate"] for r in seen[0])).finish(more_is_better=True)
        parts = [r["parts"] for r in seen[n]]
        if any(len(part) != n or min(part) < sum(part) / 10 for part in parts):
            row.failed = f"the stacks did not share the segments: {parts}"
        yield row


# --- the web ----------------------------------------------------------------------------------

NGINX = """sendfile {sendfile}; keepalive_requests 100000000;
    server {{ listen {address}:8080; root {folder}/files; }}"""


def load_nginx(size, sendfile="on", header=(), **how):
    def run(pair, options):
        with tempfile.TemporaryDirectory(prefix="fsock-bench-") as name:
            folder = pathlib.Path(name)
            folder.chmod(0o755)
            (folder / "files").mkdir()
            (folder / "files" / "file").write_bytes(b"x" * size)
            server = nginx_in.server(folder, NGINX.format(folder=folder, sendfile=sendfile, address=pair.b.v4))
            load = ["wrk", "-t", 1, "-c", CONNECTIONS, "-d", f"{SECONDS}s", *header, f"http://{pair.b.v4}:8080/file"]
            return _load(pair, "nginx", server, 8080, load, options, _wrk, **how)
    return run


def _wrk(out):
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    if errors and any(int(n) for n in errors.groups()) or "Non-2xx" in out:
        raise Failed("wrk: " + out.strip()[-300:])
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])


def _best(rows, **params):
    """Of the rows of several settings one for each profile: the better setting on fsock beside the kernel's better one."""
    for profile in PROFILES:
        of = [row for row in rows if row.params["profile"] == profile]
        best = max(of, key=lambda row: row.fsock)
        yield Row(best.scenario, {**params, "profile": profile}, best.metric, best.unit, n=best.n, fsock=best.fsock,
                  spread=best.spread, share=best.share,
                  kernel_block=max(row.kernel_block for row in of)).finish(more_is_better=True)


def nginx(rounds):
    """wrk with fifty connections: a small file by keep-alive and by a connection each, and 64 KiB"""
    with net.Pair("fsock-bench") as pair:
        def rows(scenario, params, run):
            return rows_of_load(scenario, params, "requests/s", rounds, lambda options: run(pair, options))
        yield from rows("nginx_ka", {"size": 612}, load_nginx(612))
        yield from rows("nginx_close", {"size": 612}, load_nginx(612, header=("-H", "Connection: close")))
        large = [row for sendfile in ("on", "off")
                 for row in rows("nginx_64k", {"size": 65536, "sendfile": sendfile}, load_nginx(65536, sendfile))]
        yield from large
        yield from _best(large, size=65536, sendfile="the better")


def bystander_tcp(rounds):
    """the kernel's TCP, a stream and nginx: alone, and beside idle steering on both ends of the link"""
    loads = {("stream", "Gbit/s"): lambda pair: stream(pair)["rate"],
             ("nginx kept 612 B", "requests/s"): lambda pair, run=load_nginx(612): run(pair, None)["rate"],
             ("nginx kept 64 KiB", "requests/s"): lambda pair, run=load_nginx(65536, "off"): run(pair, None)["rate"]}
    with net.Pair("fsock-bench") as pair:
        for (name, unit), run in loads.items():
            alone, beside = [], []
            for n in range(rounds):
                say(f"bystander_tcp {name}, round {n + 1} of {rounds}")
                alone.append(run(pair))
                with idle_steering(pair):
                    beside.append(run(pair))
            yield Row("bystander_tcp", {"load": name, "fsock": "kernel beside idle steering"}, "rate", unit, n=rounds,
                      kernel_block=median(alone), fsock=median(beside), spread=spread(beside)).finish(more_is_better=True)


# --- a database -------------------------------------------------------------------------------

def pgbench(rounds):
    """pgbench's select, one client, over TCP"""
    def run(pair, folder, options):
        load = ["pgbench", "-h", net.B4, "-U", "postgres", "-S", "-n", "-c", 1, "-T", SECONDS, "postgres"]
        fill = ["pgbench", "-h", folder, "-U", "postgres", "-i", "-q", "postgres"]
        return _load(pair, "pgbench", postgres.server(folder), 5432, load, options,
                     lambda out: float(re.search(r"tps = ([\d.]+)", out)[1]), ready=postgres.ready(folder), setup=fill,
                     as_user=postgres.AS_POSTGRES, stop=signal.SIGINT)
    with net.Pair("fsock-bench") as pair, postgres.cluster() as folder:
        yield from rows_of_load("pgbench_select", {}, "transactions/s", rounds, lambda o: run(pair, folder, o))


# --- processes --------------------------------------------------------------------------------

FORKS = 400
# A server with connections that makes a child which ends at once, until it is over; the median in us, and its stack's word.
FORKING = """
import os, socket, statistics, sys, time
listener = socket.create_server((sys.argv[1], 9000), backlog=100)
print("ready", flush=True)
socks = [listener.accept()[0] for _ in range(int(sys.argv[2]))]
for sock in socks:
    sock.sendall(sock.recv(1))
took = []
for _ in range(int(sys.argv[3])):
    began = time.perf_counter()
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    took.append((time.perf_counter() - began) * 1e6)
print("median", statistics.median(took), flush=True)
sys.stdin.readline()
"""
CALLING = """
import socket, sys
socks = [socket.create_connection((sys.argv[1], 9000)) for _ in range(int(sys.argv[2]))]
for sock in socks:
    sock.sendall(b"x")
    assert sock.recv(1) == b"x"
print("done", flush=True)
sys.stdin.readline()
"""


def _forks(pair, options):
    with contextlib.ExitStack() as stack:
        def run(side, *argv, options=None):
            wait, hold = os.pipe()
            stack.callback(os.close, hold)
            with open(wait, "rb") as stdin:
                return stack.enter_context(side.popen(_wrap(["python3", "-c", *argv], options), env=fsock.CLEAN, stdin=stdin))
        server = run(pair.b, FORKING, net.B4, CONNECTIONS, FORKS, options=options)
        if not server.wait_for("ready", 30) or not run(pair.a, CALLING, net.B4, CONNECTIONS).wait_for("done", 30) or \
                not server.wait_for("median", 60):
            raise Failed("fork: " + server.err.strip()[-300:])
        return {"us": float(re.search(r"median ([\d.]+)", server.out)[1]), **({} if options is None else {"share": _share(server.pid)})}


def fork(rounds):
    """fork() of a server with fifty connections, and the end of a child that does nothing; bound: 1.2 x the kernel's"""
    seen = {"kernel": [], "fsock": []}
    with net.Pair("fsock-bench") as pair:
        pair.meet()
        for n in range(rounds):
            for name, options in (("kernel", None), ("fsock", LATENCY)):
                say(f"fork, round {n + 1} of {rounds}: {name}")
                seen[name].append(_forks(pair, options))
    times = [r["us"] for r in seen["fsock"]]
    yield Row("fork", {"connections": CONNECTIONS, "profile": "latency"}, "p50", "us", n=rounds, fsock=median(times),
              spread=spread(times), share=min(r["share"] for r in seen["fsock"]),
              kernel_block=median(r["us"] for r in seen["kernel"])).finish(more_is_better=False)


ALL = {job.__name__: job for job in (redis, memcached, stacks, nginx, pgbench, fork, bystander_tcp)}
