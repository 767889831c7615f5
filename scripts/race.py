#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""
race.py [--json] [--rounds N] - what ./demo shows, after it has installed and built.

Between two network namespaces, unmodified: sockperf's ping-pong with 64 bytes over UDP and over TCP, and one
stream of iperf3's. Kernel sockets blocking and spinning, fsock at both ends in its two profiles. Rounds are
interleaved, so that a slow moment of the machine falls on all columns; the tables show the median of the rounds.
"""
import argparse
import json
import statistics
import sys

sys.dont_write_bytecode = True
from lab import iperf3, net, sockperf, state  # noqa: E402

VARIANTS = (
    ("kernel, blocking", dict(), None),
    ("kernel, spinning", dict(spin=True), None),
    ("fsock, default", dict(), {"client_connects": 1}),  # else a client's second connection; these make one
    ("fsock, latency", dict(), {"profile": "latency"}),
)
SHOWN = ("50", "99", "99.9")
ENOUGH = 0.99


def ping_pong(tcp):
    def run(pair, spin=False, options=None):
        row = sockperf.ping_pong(pair, spin=spin, options=options, tcp=tcp)
        if "share" in row:
            row["share"] = min(row["share"], row["client_share"])
        return row
    return run


# What is raced: how, the figures that are shown.
RACES = {"UDP": (ping_pong(False), SHOWN), "TCP": (ping_pong(True), SHOWN), "stream": (iperf3.stream, ("gbit",))}


def variants(race):
    """iperf3 has no spinning mode."""
    return [variant for variant in VARIANTS if race != "stream" or "spin" not in variant[1]]


def race(rounds, say):
    rows = {name: {variant: [] for variant, _, _ in variants(name)} for name in RACES}
    with net.Pair("fsock-demo") as pair:
        for n in range(rounds):
            for name, (run, _) in RACES.items():
                for variant, how, options in variants(name):
                    say(f"round {n + 1} of {rounds}: {name}, {variant}")
                    rows[name][variant].append(run(pair, options=options, **how))
    return rows


def summary(rows, shown):
    table = {}
    for name, runs in rows.items():
        table[name] = {point: statistics.median(run[point] for run in runs) for point in shown}
        if "share" in runs[0]:
            table[name]["share"] = min(run["share"] for run in runs)
    return table


def share(row):
    return f"{row['share'] * 100:10.1f}%" if "share" in row else f"{'-':>11}"


def show_latency(title, table):
    blocking, spinning = table["kernel, blocking"], table["kernel, spinning"]
    print()
    print(f"{title} ping-pong, 64 bytes, unmodified sockperf: half round trip in microseconds")
    print(f"{'':18}{'p50':>9}{'p99':>9}{'p99.9':>9}   "
          f"{'p50 vs blocking':>16}{'p50 vs spinning':>16}{'fast path':>11}")
    for name, row in table.items():
        cells = "".join(f"{row[point]:9.2f}" for point in SHOWN)
        ratios = "".join(f"{base['50'] / row['50']:14.2f} x" for base in (blocking, spinning))
        print(f"{name:18}{cells}   {ratios}{share(row)}")


def show_stream(table):
    kernel = table["kernel, blocking"]["gbit"]
    print()
    print("TCP, one stream, unmodified iperf3")
    print(f"{'':18}{'Gbit/s':>9}{'':21}{'vs kernel':>16}{'':16}{'fast path':>11}")
    for name, row in table.items():
        print(f"{name:18}{row['gbit']:9.2f}{'':21}{row['gbit'] / kernel:14.2f} x{'':16}{share(row)}")
    print()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    state.end_on_signals()
    note = sys.stderr if args.json else sys.stdout

    def say(text):
        print("demo:", text, file=note, flush=True)

    for what in state.sweep():
        say("removed what a former run left: " + what)
    missing = net.lacks()
    if missing:
        for what in missing:
            print("demo: cannot run here, missing", what, file=sys.stderr)
        return 2
    try:
        tables = {name: summary(rows, RACES[name][1]) for name, rows in race(args.rounds, say).items()}
    except (sockperf.Failed, iperf3.Failed, net.Unable) as error:
        print("demo:", error, file=sys.stderr)
        return 1
    slow = [(race_name, name, row["share"]) for race_name, table in tables.items() for name, row in table.items()
            if row.get("share", 1) < ENOUGH]
    if args.json:
        print(json.dumps({"unit": "us", "rounds": args.rounds, "rows": tables["UDP"], "tcp": tables["TCP"],
                          "stream": tables["stream"], "fast_path": not slow}, indent=1))
    else:
        show_latency("UDP", tables["UDP"])
        show_latency("TCP", tables["TCP"])
        show_stream(tables["stream"])
    for race_name, name, fast in slow:
        print(f"demo: {race_name}, {name}: only {fast * 100:.1f} % of the traffic took the fast path; "
              "`fsock why -- prog` tells why", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    try:
        status = main()
    except KeyboardInterrupt:
        status = 130
    finally:
        state.close()
    sys.exit(status)
