#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""
fill_readme.py RESULT.json - put the rows of a kept bench run into README.md, between its markers.

RESULT.json is what `bench/run --keep` writes below bench/results. Rows that did not count say so;
nothing is left out. check_docs.py regenerates the block and compares.
"""
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- bench:begin -->\n", "<!-- bench:end -->"
COLUMNS = (("kernel_block", "kernel, blocking"), ("kernel_spin", "kernel, spinning"),
           ("fsock", "fsock"), ("floor", "raw frames"))


def number(value):
    if value is None:
        return "-"
    if abs(value) >= 10000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def against(row, column):
    """How much better fsock is than a kernel column, and behind it the floor where there is one."""
    pair = row.get("against", {}).get(column, {})
    if "fsock" not in pair:
        return "-"
    return f"{pair['fsock']:.2f}" + (f" ({pair['floor']:.2f})" if "floor" in pair else "")


def block(path):
    """The text between the markers for the result file @path, relative to the root."""
    report = json.loads((ROOT / path).read_text())
    machine = report["machine"]
    lines = [f"{machine['model']}, {machine['cpus']} processors, Linux {machine['kernel']}, "
             f"{report['date'][:10]}; medians of {report['rounds']} rounds. The last columns say how "
             "many times better fsock is than kernel sockets that block and that spin; in brackets what raw "
             "frames reach, the most that this machine has to give. "
             f"Source: [{path}]({path}).", "",
             "| scenario | parameters | metric | unit | "
             + " | ".join(title for _, title in COLUMNS) + " | x blocking | x spinning |",
             "|---|---|---|---|" + "---:|" * (len(COLUMNS) + 2)]
    for row in report["rows"]:
        params = ", ".join(f"{key} {value}" for key, value in row["params"].items())
        cells = " | ".join(number(row.get(name)) for name, _ in COLUMNS)
        ratio = " | ".join(against(row, column) for column in ("kernel_block", "kernel_spin"))
        if row.get("failed"):
            ratio = "not counted: " + row["failed"].replace("|", "/").replace("\n", " ") + " | -"
        lines.append(f"| {row['scenario']} | {params} | {row['metric']} | {row['unit']} | {cells} | {ratio} |")
    return "\n".join(lines) + "\n"


def split(readme):
    """The text up to, between and after the markers."""
    head, rest = readme.split(BEGIN)
    middle, tail = rest.split(END)
    return head, middle, tail


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip().splitlines()[0])
    path = pathlib.Path(sys.argv[1]).resolve().relative_to(ROOT).as_posix()
    readme = ROOT / "README.md"
    head, _, tail = split(readme.read_text())
    readme.write_text(head + BEGIN + block(path) + END + tail)


if __name__ == "__main__":
    main()
