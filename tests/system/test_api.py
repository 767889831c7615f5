# SPDX-License-Identifier: BSD-2-Clause
"""The three-column tests: every case of every program of api/, in every family."""
import pytest

import columns

# Programs whose calls have fortified entry points in libc; they run once more built that way (P06).
FORTIFIED = ("recv", "rw", "poll", "fortify")

ALL = [(name, case, fast, family)
       for name in columns.programs() for case, fast in columns.cases(name)
       for family in columns.FAMILIES]
ALL += [(name + "_fortified", case, fast, "v4")
        for name in FORTIFIED for case, fast in columns.cases(name)]


@pytest.mark.parametrize("name,case,fast,family", ALL,
                         ids=[f"{name}-{case}-{family}" for name, case, _, family in ALL])
def test_api(shared_pair, program, request, name, case, fast, family):
    wanted = request.config.getoption("--columns")
    path, peer = program("api_" + name), program("api_peer")
    kernel = columns.execute(shared_pair, path, peer, case, family, "K")
    # A fortified call with a length beyond its object ends the program, in every column.
    aborts = case.startswith("aborts_") and name.endswith("_fortified")
    assert kernel.status == (-6 if aborts else 0), f"on the kernel itself: {kernel.err}\n" + "\n".join(kernel.lines)
    assert aborts or kernel.lines[-1:] == ["end"]
    if "N" in wanted:
        off = columns.execute(shared_pair, path, peer, case, family, "N")
        bad = columns.differences(kernel, off)
        assert not bad, "loaded but off differs from the kernel:\n" + "\n".join(bad) + off.err
    if "A" in wanted:
        on = columns.execute(shared_pair, path, peer, case, family, "A")
        bad = columns.differences(kernel, on, columns.deviations(name.removesuffix("_fortified"), case))
        assert not bad, "accelerated differs from the kernel:\n" + "\n".join(bad) + on.err
        if fast:
            assert on.counts.fast > 0, f"no datagram took the fast path: {on.counts}"
            assert on.counts.share >= 0.99, f"datagrams left to the kernel: {on.counts}"
