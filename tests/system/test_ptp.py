# SPDX-License-Identifier: BSD-2-Clause
"""
linuxptp's ptp4l with software stamps: a master at .a, a slave at .b that never touches the clock
(free_running: both sides share the machine's). Event messages leave and arrive on port 319.
"""
import re

import pytest

from lab import fsock, net, proc

ENDS = {"both": (True, True), "master": (True, False), "slave": (False, True)}
CONFIG = """[global]
free_running 1
time_stamping software
tx_timestamp_timeout 200
logSyncInterval -4
logMinDelayReqInterval -4
logAnnounceInterval -1
network_transport {transport}
"""
DELAY = re.compile(r"delay +filtered +-?\d+ +raw +(-?\d+)")
ENOUGH = 10  # delays measured
LIMIT = 1_000_000  # ns: any delay beyond is no delay of a veth pair, but a wrong stamp


def ptp4l(where, role, transport, fast, **options):
    config = where / transport
    config.write_text(CONFIG.format(transport=transport))
    argv = ["ptp4l", "-f", config, "-i", net.LINK, "-m", "-q", "-l", "7",
            "--uds_address", where / role, *(["-s"] if role == "slave" else ["--masterOnly", "1"])]
    return fsock.run(argv, bypass="none", interface=net.LINK, **options) if fast else list(map(str, argv))


def event_socket(pid):
    """The socket of event messages; a slave opens a new one when it finds its master."""
    found = [sock for sock in fsock.sockets(fsock.stat(pid)) if sock["local"].endswith(":319")]
    return max(found, key=lambda sock: sock["tx_fast"] + sock["tx_kernel"])


@pytest.mark.parametrize("ends, transport, profile", [
    *((ends, transport, "default") for ends in ENDS for transport in ("UDPv4", "UDPv6")),
    ("both", "UDPv4", "latency")])
def test_slave_measures_the_delay(pair, tmp_path, ends, transport, profile):
    pair.meet()
    for side in (pair.a, pair.b):  # what kernel peers send must be summed, see test_multicast.py
        side.run(["ethtool", "-K", net.LINK, "tx", "off"])
    for_master, for_slave = ENDS[ends]
    master = ptp4l(tmp_path, "master", transport, for_master, profile=profile)
    slave = ptp4l(tmp_path, "slave", transport, for_slave, profile=profile)
    with pair.a.popen(master, env=fsock.CLEAN) as first, pair.b.popen(slave, env=fsock.CLEAN) as second:
        proc.until(lambda: len(DELAY.findall(second.out)) >= ENOUGH, 20)
        raw = [int(ns) for ns in DELAY.findall(second.out)]
        assert len(raw) >= ENOUGH, second.out[-3000:] + second.err
        assert "LISTENING to UNCALIBRATED on RS_SLAVE" in second.out  # as far as one without servo gets
        for process in (first, second):
            assert "timed out" not in process.out and "bad message" not in process.out, process.out[-3000:]
        assert 0 < sorted(raw)[len(raw) // 2] < LIMIT, raw
        for process, fast in ((first, for_master), (second, for_slave)):
            if fast:
                events = event_socket(process.pid)
                assert events["accelerated"], events
                assert events["tx_fast"] >= ENOUGH and events["tx_kernel"] <= 1, events
                # The first may come before the group is steered.
                assert events["rx_fast"] >= ENOUGH and events["rx_kernel"] <= 2, events
