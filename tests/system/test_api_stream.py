# SPDX-License-Identifier: BSD-2-Clause
"""The three-column tests of streams: every case of every stream program of api/, see streams.py."""
import concurrent.futures
import fnmatch
import socket

import pytest

import columns
import streams
from lab import fsock, net

# What goes to these addresses is lost: no station has that link address.
NOWHERE = ("10.77.0.99", "fd77::99")
SETTINGS = ("ipv4/icmp_ratelimit=0", "ipv6/icmp/ratelimit=0",
            # Ports of one column are free for the next.
            "ipv4/tcp_max_tw_buckets=0")


def prepare(side):
    side.run(["sh", "-c", ";".join(
        f"echo {setting.split('=')[1]} >/proc/sys/net/{setting.split('=')[0]}" for setting in SETTINGS)])
    for address in NOWHERE:
        side.run(["ip", "neigh", "replace", address, "lladdr", "02:00:00:00:00:99", "dev", net.LINK, "nud", "permanent"])


@pytest.fixture(scope="module")
def stream_pairs():
    """Three pairs for all tests of this module, the last with two queues."""
    with net.Pair() as one, net.Pair() as two, net.Pair(queues=(2, 2)) as spread:
        spread.b.send_by(1)
        for pair in (one, two, spread):
            pair.meet()
            prepare(pair.a)
            prepare(pair.b)
        yield one, two, spread


@pytest.fixture(scope="module")
def hosts():
    """Two hosts, each with the addresses of both ends."""
    with net.Host() as one, net.Host() as two:
        prepare(one.a)
        prepare(two.a)
        yield one, two


def holds(on, kind, detail):
    """What the case claims about the fast path; a record counts data, which a short connection may not have."""
    seen = on.counts
    if kind in ("FAST", "BUT", "PART"):
        assert seen.rx_fast or seen.tx_fast or any(sock["accelerated"] for sock in on.sockets), f"no stream on the fast path: {seen}, {on.reasons()}"
    if kind == "FAST":
        assert seen.kernel == 0, f"data left to the kernel: {seen}"
    if kind == "BY":
        assert detail in on.reasons(), f"not {detail}: {on.reasons()}"


def holds_there(on, kind):
    """The same of the other end, where it runs under fsock, too."""
    streams_there = [sock for sock in on.peers if sock["protocol"] == socket.IPPROTO_TCP]
    left = [fsock.reason_name(sock["reason"]) for sock in streams_there if not sock["accelerated"]]
    assert not left, f"connections of the peer's left to the kernel: {left}"
    if kind in ("FAST", "BUT"):
        assert streams_there, "the peer saw no connection"
        assert on.peer_counts.kernel == 0, f"data left to the kernel by the peer: {on.peer_counts}"


def judge(name, case, claim, kernel, other):
    """What is wrong with a case in one column: lines of text; and the reasons of what may differ."""
    column = other[case].column if case in other else None
    allowed = columns.deviations(name, case) if column != "N" else ()
    bad, used = streams.differences(case, kernel, other, allowed)
    if column != "N" and not bad:
        try:
            holds(other[case], *claim)
            if column == "A" and streams.claims_peer(name, case):
                holds_there(other[case], claim[0])
        except AssertionError as error:
            bad = [str(error).partition("\n")[0]]
    return bad, used


def test_api_stream(stream_pairs, program, request, outcomes, stream_program):
    name, family = stream_program
    wanted = request.config.getoption("--columns")
    claims = {case: claim for case, claim in columns.cases(name)
              if fnmatch.fnmatchcase(case, request.config.getoption("--cases"))}
    path, peer = program("api_" + name), program("api_stream_peer")

    def run(pair, column):
        return streams.execute(pair, path, peer, claims, family, column)

    # As in test_api: the two kernel columns side by side, the accelerated ones alone.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        off = pool.submit(run, stream_pairs[1], "N") if "N" in wanted else None
        kernel = run(stream_pairs[0], "K")
    for case, seen in kernel.items():
        assert seen.status == 0 and seen.lines[-1:] == ["end"], \
            f"on the kernel itself, {case}: {seen.status}\n" + "\n".join(seen.lines) + seen.err
    bad = []
    for column in "NMSA":
        if column not in wanted or (column == "S" and not streams.on_two_stacks(name, family)):
            continue
        other = off.result() if column == "N" else run(stream_pairs[2 if column == "S" else 0], column)
        ended = other.get("(end of the program)")
        if ended:
            bad.append(f"{column}, end of the program: status {ended.status}\n{ended.err}")
        for case, claim in claims.items():
            wrong, used = judge(name, case, claim, kernel, other)
            bad += [f"--- {case}, column {column}\n" + "\n".join(wrong)] if wrong else []
            if column in "MA" and not wrong:
                outcomes.append({"program": name, "case": case, "family": family, "claim": claim, "differs": used,
                                 "checks": columns.checks(kernel[case].lines)})
    assert not bad, f"{len(bad)} cases\n" + "\n".join(bad)


def test_api_stream_on_one_host(hosts, program, request, stream_program):
    """Column L: both ends on one host. What the cases claim of the fast path is about interfaces; here it is that bytes
    went over links where any went."""
    name, family = stream_program
    if "L" not in request.config.getoption("--columns") or not streams.on_one_host(name, family):
        return
    chosen = {case: kind for case, (kind, _) in columns.cases(name)
              if f"{name}/{case}" not in streams.NOT_ON_ONE_HOST and fnmatch.fnmatchcase(case, request.config.getoption("--cases"))}
    path, peer = program("api_" + name), program("api_stream_peer")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        run = pool.submit(streams.execute, hosts[1], path, peer, chosen, family, "L")
        kernel = streams.execute(hosts[0], path, peer, chosen, family, "K")
        other = run.result()
    bad = []
    for case, kind in chosen.items():
        allowed = columns.deviations(name, case) + columns.deviations(name, case, "deviations_local.txt")
        wrong, _ = streams.differences(case, kernel, other, allowed)
        if not wrong and streams.claims_link(name, case) and kind in ("FAST", "BUT", "PART") and \
                not any(sock["accelerated"] for sock in other[case].sockets):
            wrong = [f"no stream over a link: {other[case].reasons()}"]
        bad += [f"--- {case}, column L\n" + "\n".join(wrong)] if wrong else []
    assert not bad, f"{len(bad)} cases\n" + "\n".join(bad)
