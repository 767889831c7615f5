# SPDX-License-Identifier: BSD-2-Clause
"""The three-column tests: every case of every program of api/, in the families that matter to it."""
import concurrent.futures

import pytest

import columns
from lab import net


def agree(kernel, other, allowed=()):
    """Nothing differs but what may; why it may."""
    bad, used = columns.differences(kernel, other, allowed)
    assert not bad, "\n".join(bad) + f"\n{other.counts}\n" + other.err
    return used


def holds(on, kind, detail):
    """What the case claims about the fast path, see api/record.h."""
    seen = on.counts
    if kind in ("FAST", "BUT", "PART"):
        assert seen.fast > 0, f"no datagram took the fast path: {seen}, {on.reasons()}\n{on.err}"
    if kind == "FAST":
        assert seen.all_fast() and seen.rx_fast >= seen.rx_kernel, f"datagrams left to the kernel: {seen}"
    if kind == "BUT":
        assert seen.kernel <= int(detail) < seen.fast, f"more than {detail} left to the kernel: {seen}"
    if kind == "BY":
        assert detail in on.reasons(), f"not {detail}: {on.reasons()}"
    if kind == "FAST" and seen.rx_fast:
        there = on.peer_counts
        assert there.tx_fast and there.all_fast(), f"the peer left datagrams to the kernel: {there}\n{on.peers}"


def test_api(shared_pairs, program, request, outcomes, api_case):
    name, case, family, claim = api_case
    wanted = request.config.getoption("--columns")
    path, peer = program("api_" + name), program("api_peer")

    def run(pair, column):
        return columns.execute(pair, path, peer, case, family, column)

    # The two kernel columns side by side in namespaces of their own; the accelerated one, which
    # spins on both processors, alone.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        off = pool.submit(run, shared_pairs[1], "N") if "N" in wanted else None
        kernel = run(shared_pairs[0], "K")
    # A fortified call with a length beyond its object ends the program, in every column.
    aborts = case.startswith("aborts_") and name.endswith("_fortified")
    assert kernel.status == (-6 if aborts else 0), \
        f"on the kernel itself: {kernel.err}\n" + "\n".join(kernel.lines)
    assert aborts or kernel.lines[-1:] == ["end"]
    if off:
        agree(kernel, off.result())
    allowed = columns.deviations(name, case)
    if "M" in wanted and name in columns.MIXED and family == "v4":
        agree(kernel, run(shared_pairs[1], "M"), allowed)
    packet = columns.on_packet(name, family, request.config.getoption("--packet") == "all")
    for column in "A", "P":
        if column not in wanted or (column == "P" and not packet):
            continue
        on = run(shared_pairs[0], column)
        used = agree(kernel, on, allowed)
        holds(on, *claim)
        if column == "A":
            outcomes.append({"program": name, "case": case, "family": family, "claim": claim, "differs": used,
                             "checks": columns.checks(kernel.lines)})


@pytest.fixture(scope="module")
def one_host():
    """Two hosts, each with the addresses of both ends."""
    with net.Host() as one, net.Host() as two:
        yield one, two


@pytest.mark.parametrize("name, case, kind", columns.on_one_host())
def test_api_on_one_host(one_host, program, request, name, case, kind):
    """Column L: both ends on one host. What the cases claim of the fast path is about interfaces; here it is that datagrams
    went over links where any went."""
    if "L" not in request.config.getoption("--columns"):
        return
    path, peer = program("api_" + name), program("api_peer")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        run = pool.submit(columns.execute, one_host[1], path, peer, case, "v4", "L")
        kernel = columns.execute(one_host[0], path, peer, case, "v4", "K")
        on = run.result()
    assert kernel.lines[-1:] == ["end"], kernel.err
    agree(kernel, on, columns.deviations(name, case) + columns.deviations(name, case, "deviations_local.txt"))
    if kind in ("FAST", "BUT", "PART") and columns.claims_link(name, case):
        assert on.counts.fast > 0, f"no datagram over a link: {on.counts}, {on.reasons()}\n{on.err}"


@pytest.mark.parametrize("case", ["level", "edge", "mixed", "one_at_a_time", "neither_side_starves"])
def test_epoll_where_io_uring_is_denied(shared_pairs, program, monkeypatch, case):
    """The kernel's half of a set is then looked at every so often."""
    monkeypatch.setitem(columns.OPTIONS, "epoll", {"io_uring": "off"})
    kernel, on = (columns.execute(shared_pairs[0], program("api_epoll"), program("api_peer"), case, "v4", column)
                  for column in "KA")
    assert kernel.lines[-1:] == ["end"], kernel.err
    agree(kernel, on, columns.deviations("epoll", case))
