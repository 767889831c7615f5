# SPDX-License-Identifier: BSD-2-Clause
"""
streams - the stream programs of api/ in the columns K, N, A, M and S of columns.py.

A stream program runs many cases in one process (api/stream.h), so that 300 cases take a minute. Where one ends
it, by a crash or because it hung, the rest is run by another process.
"""
import fnmatch
import pathlib
import re

import columns

HERE = pathlib.Path(__file__).resolve().parent

# Programs in which the address family makes no difference; others run in all. Of linked() in api/stream.h
# the program is the client in v4, the server in v6.
ALL_FAMILIES = ("stream_connect", "stream_listen")
FEWER = ("v4", "v6")

# Cases whose peer asks for what only the kernel's connection has (a filter, TCP_REPAIR), and so takes it there.
PEER_TO_KERNEL = ("stream_rare/unreachable_host*",)

# Cases that the fast path of interfaces serves and links do not: what is listened or connected so is the kernel's.
NOT_BY_LINKS = ("*/bind_without_a_port", "*/refused_then_success", "*/fast_open_waits_for_data", "*/disconnect_resets",
                "*/moves_after_its_number_is_closed", "*/unreachable_host*", "grid_*/refused",
                "grid_*/was_refused")

# Cases that make no sense on one host: they hang there on the kernel, too.
NOT_ON_ONE_HOST = ("stream_opts/bind_to_device",)

RECORD = 232  # bytes of one record in the marks on stderr
RESTARTS = 20


def programs():
    return (HERE / "api" / "streams.list").read_text().split()


def selection(everything):
    """What to run: (program, family)."""
    plain = [(name, family) for name in programs()
             for family in (columns.FAMILIES if everything or name in ALL_FAMILIES else FEWER)]
    return plain + [(name, "v4") for name in columns.variants(programs())]


def on_two_stacks(name, family):
    """Does it run in column S? Of linked() the program is the client in v4, the server in v6."""
    return family in FEWER and name == columns.source(name)


def on_one_host(name, family):
    """Does it run in column L? As above; what the family is matters where names are looked for."""
    return on_two_stacks(name, family) and (family == "v4" or name in ALL_FAMILIES + ("stream_ends", "grid_turns"))


def claims_peer(name, case):
    """Does a peer on fsock have to keep its connections on the fast path?"""
    return not any(fnmatch.fnmatchcase(f"{name}/{case}", pattern) for pattern in PEER_TO_KERNEL)


def claims_link(name, case):
    """Has it connections that links carry, where it claims the fast path?"""
    return not any(fnmatch.fnmatchcase(f"{name}/{case}", pattern) for pattern in NOT_BY_LINKS)


def split(done):
    """(case, Outcome) of each case that a process began, in order, and whether it ended well after the last."""
    marks = [(0, 0)] + [(int(mine) // RECORD, int(theirs) // RECORD)
                        for mine, theirs in re.findall(r"^records (\d+) (\d+)$", done.err, re.M)]
    parts = []
    for line in done.lines:
        if line.startswith("case "):
            parts.append((line[5:], []))
        elif parts:
            parts[-1][1].append(line)
    found = []
    for number, (case, lines) in enumerate(parts):
        over = number + 1 < len(marks)
        mine, theirs = (slice(begin, end) for begin, end in
                        zip(marks[number], marks[number + 1] if over else (None, None)))
        found.append((case, columns.Outcome(done.column, lines, 0 if over else done.status, done.err,
                                            done.sockets[mine], done.peers[theirs])))
    return found, done.status == 0 or len(marks) <= len(parts)


def execute(pair, path, peer_path, names, family, column):
    """Outcomes of the cases @names by name, in one column."""
    found, left = {}, list(names)
    if not left:
        return found
    for _ in range(RESTARTS):
        done = columns.execute(pair, path, peer_path, ",".join(left), family, column, timeout=120)
        parts, well = split(done)
        found.update(parts)
        left = left[len(parts):]
        if not parts or not well:
            found["(end of the program)"] = done
        if not left or not parts:
            break
    return found


def differences(case, kernel, other, allowed=()):
    """What one case shows in another column than it should, as text."""
    if case not in other:
        return ["did not run"], []
    return columns.differences(kernel[case], other[case], allowed)
