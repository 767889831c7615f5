# SPDX-License-Identifier: BSD-2-Clause
"""
test_hand_offs - a million tokens handed from one program to another that waits for them by epoll: no wake-up is lost (EP24, EP25).

The taker is under fsock, threads or children with sets of their own, which drive the stack for each other; the giver is not.
FSOCK_HAND_OFFS multiplies the tokens. The long job epoll_stress does that.
"""
import os
import random
import subprocess

import pytest

from lab import fsock, net

PORT = 7410
TIMES = int(os.environ.get("FSOCK_HAND_OFFS", "1"))
# Workers, sockets of each, tokens of each socket: batches of events, and each event by itself.
SHAPES = {"many": (2, 16, 3600), "one": (4, 1, 3000)}
# Unhelped: no helper thread looks after the sleepers, so what they are not woken for stays.
WAITS = {"sleeping": {"spin": 0}, "spinning": {"spin": 50}, "unhelped": {"spin": 0, "helper": 0}}


@pytest.mark.parametrize("who", ["threads", "children"])
@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("trigger", ["level", "edge"])
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_no_wake_up_is_lost(pair, program, kind, trigger, wait, who):
    pair.meet()
    pair.b.run(["ethtool", "-K", net.LINK, "tx", "off"])  # whole sums: what lacks them children leave to the kernel
    for workers, sockets, each in SHAPES.values():
        tokens = workers * sockets * each * TIMES // 3
        words = [kind, trigger, who, net.A4, PORT, workers, sockets, each * TIMES // 3, random.SystemRandom().randrange(10**9)]
        taker = fsock.run([program("hand_offs"), "take", *words], **WAITS[wait])
        with pair.a.popen(taker, env=fsock.CLEAN, stdin=subprocess.PIPE) as taker:
            assert taker.wait_for("ready"), taker.err
            given = pair.b.run([program("hand_offs"), "give", *words], env=fsock.CLEAN, timeout=120 + tokens // 2000)
            assert given.status == 0 and "given" in given.out, (words, given.err, taker.err)
            assert taker.wait_for("taken"), (words, taker.err)
            counted = fsock.counters(taker.pid)
            taker.child.stdin.close()
            assert taker.finish().status == 0, (words, taker.err)
        came = counted["tcp_segments_in" if kind == "tcp" else "rx_datagrams"]
        assert came >= 0.9 * tokens, counted
        waited = counted["spins_missed"] + counted["spins_hit"] if wait == "spinning" else counted["sleeps"]
        assert waited > 0, counted
