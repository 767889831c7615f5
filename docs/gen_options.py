#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""
gen_options.py TEMPLATE OUTPUT SOURCE_ROOT VERSION - fill a template from the tables of the code.

A line that holds only one of these words is replaced:
  @OPTIONS@   options.def as mdoc list items          @EXAMPLE@   the same as lines of fsock.conf
  @COUNTERS@  counters.def as mdoc list items         @REASONS@   reasons.def as mdoc list items
  @BASH_VALUES@, @ZSH_OPTIONS@, @ZSH_COMMANDS@        for the completions of the two shells
@VERSION@, @DATE@, @COMMANDS@ and @BASH_OPTIONS@ are replaced anywhere.
"""
import ast
import pathlib
import re
import sys
import textwrap

TABLES = {
    "options": ("src/context/options.def", r"OPT_(BOOL|U32|SIZE|ENUM|STR)"),
    "counters": ("src/base/counters.def", r"(CTR)"),
    "reasons": ("src/base/reasons.def", r"(REASON)"),
}
COMMANDS = {
    "run": "run a program with fsock in front of it",
    "why": "tell for each socket whether it is accelerated",
    "stat": "show ports, sockets and counters of a running program",
    "doctor": "find out what stands in the way",
    "providers": "list the ways to move frames, and which serves which interface",
    "handover": "move a socket of a running program to the kernel",
    "help": "describe a command",
}
# Of the manual pages: the day their text last changed in substance.
DATE = "November 30, 2026"


def table(root, which):
    """Rows of a .def file: (kind, name, argument...), strings without quotes, numbers as int."""
    path, kind = TABLES[which]
    rows = []
    for line in (root / path).read_text().splitlines():
        found = re.match(kind + r"\s*\(\s*(\w+)\s*,(.*)\)\s*$", line)
        if found:
            values = ast.literal_eval("(" + found[3].strip() + ",)")
            rows.append((found[1], found[2], *values))
    if not rows:
        sys.exit(f"gen_options.py: no rows in {path}")
    return rows


def size(value):
    for shift, letter in ((30, "G"), (20, "M"), (10, "K")):
        if value and value % (1 << shift) == 0:
            return f"{value >> shift}{letter}"
    return str(value)


def mdoc(text):
    """A line of plain text as mdoc: what would begin a macro does not."""
    return re.sub(r"^([.'])", r"\\&\1", text)


def wrapped(lines):
    """mdoc wants short lines and each sentence on its own; literal displays stay as they are."""
    out, literal = [], False
    for line in lines:
        if line.startswith((".Bd -literal", ".Ed")):
            literal = line.startswith(".Bd")
        if literal or line.startswith("."):
            out.append(line)
            continue
        for one in re.split(r"(?<=[.!?]) +(?=[A-Z])", line):
            out += [mdoc(part) for part in textwrap.wrap(one, 78, break_on_hyphens=False)]
    return out


def sentence(text):
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", ":")) else ".")


def describe(row):
    """(default, what values there are, help) of an option."""
    kind, _, default, *rest, text = row
    if kind == "BOOL":
        return str(default), "0 or 1", text
    if kind == "U32":
        low, high, unit = rest
        return str(default), f"{low} to {high} {unit}", text
    if kind == "SIZE":
        low, high = rest
        return size(default), f"{size(low)} to {size(high)} bytes", text
    if kind == "ENUM":
        choices = rest[0].split("|")
        return choices[default], " | ".join(choices), text
    return default, f"text of at most {rest[0]} bytes", text


def options_mdoc(root):
    lines = [".Bl -tag -width Ds"]
    for row in table(root, "options"):
        default, values, text = describe(row)
        lines += [f".It Cm {row[1]}", sentence(text), ".br",
                  f"Values: {values}." + (f" Default: {default}." if default else " Empty by default.")]
    return lines + [".El"]


def options_example(root):
    lines = []
    for row in table(root, "options"):
        default, values, text = describe(row)
        lines += ["", *textwrap.wrap(sentence(text), 98, initial_indent="# ", subsequent_indent="# "),
                  f"# Values: {values}.", f"#{row[1]} = {default}".rstrip()]
    return lines


def counters_mdoc(root):
    lines = [".Bl -tag -width Ds -compact"]
    for _, name, unit, text in table(root, "counters"):
        lines += [f".It Cm {name}", f"{sentence(text)} Unit: {unit}."]
    return lines + [".El"]


def reasons_mdoc(root):
    lines = [".Bl -tag -width Ds -compact"]
    for _, name, text, remedy in table(root, "reasons"):
        lines += [f".It Cm {name}", sentence(text) +
                  (f" Remedy: {remedy}." if remedy else "")]
    return lines + [".El"]


def providers(root):
    text = (root / "src/provider/providers.def").read_text()
    return re.findall(r"^PROVIDER\((\w+)\)", text, re.M)


def values(root, row):
    """What completion can offer as value of an option: words; none where only the user knows."""
    if row[1] == "provider":
        return ["auto", *providers(root)]
    return {"BOOL": ["0", "1"], "ENUM": row[-2].split("|") if row[0] == "ENUM" else []}.get(row[0], [])


def values_bash(root):
    return [f'--{row[1]}) echo "{" ".join(values(root, row))}" ;;'
            for row in table(root, "options") if values(root, row)]


def zsh_quoted(text):
    return text.replace("'", "'\\''").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")


def options_zsh(root):
    """One specification of _arguments each."""
    lines = []
    for row in table(root, "options"):
        action = {"interface": "_fsock_interfaces", "log_file": "_files", "local_pcap": "_files"}.get(
            row[1], f"({' '.join(values(root, row))})" if values(root, row) else " ")
        lines.append(f"'--{row[1]}=[{zsh_quoted(row[-1])}]:{row[1]}:{action}'")
    return lines


def commands_zsh(_):
    return [f"'{name}:{text}'" for name, text in COMMANDS.items()]


def main():
    template, output, root, version = sys.argv[1:5]
    root = pathlib.Path(root)
    filled = {"@OPTIONS@": options_mdoc, "@EXAMPLE@": options_example, "@COUNTERS@": counters_mdoc,
              "@REASONS@": reasons_mdoc, "@BASH_VALUES@": values_bash, "@ZSH_OPTIONS@": options_zsh,
              "@ZSH_COMMANDS@": commands_zsh}
    lines = []
    for line in pathlib.Path(template).read_text().splitlines():
        word = line.strip()
        indent = line[:len(line) - len(line.lstrip())]
        lines += [indent + one for one in filled[word](root)] if word in filled else [line]
    if template.endswith((".1.in", ".5.in")):
        lines = wrapped(lines)
    text = "\n".join(lines) + "\n"
    for word, value in (("@VERSION@", version), ("@DATE@", DATE), ("@COMMANDS@", " ".join(COMMANDS)),
                        ("@BASH_OPTIONS@", " ".join(f"--{row[1]}=" for row in table(root, "options")))):
        text = text.replace(word, value)
    pathlib.Path(output).write_text(text)


if __name__ == "__main__":
    main()
