#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""
race.py [--json] [--rounds N] - what ./demo shows, after it has installed and built.

Unmodified sockperf, UDP ping-pong with 64 bytes between two network namespaces: kernel sockets
blocking, kernel sockets spinning, fsock at both ends in its two profiles. Rounds are interleaved,
so that a slow moment of the machine falls on all columns; the table shows the median of the rounds.
"""
import argparse
import json
import statistics
import sys

sys.dont_write_bytecode = True
from lab import fsock, net, sockperf, state  # noqa: E402

VARIANTS = (
    ("kernel, blocking", dict(), None),
    ("kernel, spinning", dict(spin=True), None),
    ("fsock, default", dict(), {}),
    ("fsock, latency", dict(), {"profile": "latency"}),
)
SHOWN = ("50", "99", "99.9")
ENOUGH = 0.99


def race(rounds, say):
    rows = {name: [] for name, _, _ in VARIANTS}
    with net.Pair("fsock-demo") as pair:
        for n in range(rounds):
            for name, how, options in VARIANTS:
                say(f"round {n + 1} of {rounds}: {name}")
                rows[name].append(sockperf.ping_pong(pair, options=options, **how))
    return rows


def summary(rows):
    table = {}
    for name, runs in rows.items():
        table[name] = {point: statistics.median(run[point] for run in runs) for point in SHOWN}
        if "share" in runs[0]:
            table[name]["share"] = min(min(run["share"], run["client_share"]) for run in runs)
    return table


def show(table):
    blocking, spinning = table["kernel, blocking"], table["kernel, spinning"]
    print()
    print("UDP ping-pong, 64 bytes, unmodified sockperf: half round trip in microseconds")
    print(f"{'':18}{'p50':>9}{'p99':>9}{'p99.9':>9}   "
          f"{'p50 vs blocking':>16}{'p50 vs spinning':>16}{'fast path':>11}")
    for name, row in table.items():
        cells = "".join(f"{row[point]:9.2f}" for point in SHOWN)
        ratios = "".join(f"{base['50'] / row['50']:14.2f} x" for base in (blocking, spinning))
        share = f"{row['share'] * 100:10.1f}%" if "share" in row else f"{'-':>11}"
        print(f"{name:18}{cells}   {ratios}{share}")
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
        table = summary(race(args.rounds, say))
    except (sockperf.Failed, net.Unable) as error:
        print("demo:", error, file=sys.stderr)
        return 1
    slow = [name for name, row in table.items() if row.get("share", 1) < ENOUGH]
    if args.json:
        print(json.dumps({"unit": "us", "rounds": args.rounds, "rows": table,
                          "fast_path": not slow}, indent=1))
    else:
        show(table)
    for name in slow:
        print(f"demo: {name}: only {table[name]['share'] * 100:.1f} % of the datagrams took the fast "
              "path; `fsock why -- prog` tells why", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    try:
        status = main()
    except KeyboardInterrupt:
        status = 130
    finally:
        state.close()
    sys.exit(status)
