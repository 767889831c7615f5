# SPDX-License-Identifier: BSD-2-Clause
"""
The native interface: the cases of native.c and the examples, with a library of their own and under the
preload, on the fast path, on the kernel's, and without privilege.
"""
import contextlib
import os
import re
import subprocess

import pytest

from lab import fsock, net, proc

PORT = 9000
LATENCY = {"FSOCK_PROFILE": "latency"}
CASES = ["args", "echo", "inplace", "batch", "peek", "timeout", "hold_max", "close_held", "fork", "close_forked", "crash_held",
         "group", "threads", "foreign_loop", "large"]
NO_CAPS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]


def example(name):
    return str(fsock.build_dir() / "examples" / f"example_{name}")


@contextlib.contextmanager
def echo_server(pair, accelerated=True):
    """example_echo at the other end."""
    env = {**fsock.CLEAN, **LATENCY, "FSOCK_ACCELERATE": "1" if accelerated else "0"}
    with pair.b.popen([example("echo"), net.B4, PORT], env=env, cpu=proc.cpus()[1]) as server:
        assert server.wait_for("ready"), server.err
        assert ("ready, none: accelerated" in server.err) == accelerated, server.err
        yield server


def run_case(pair, program, case, fast=True, wrap=lambda argv: argv, env=None, timeout=60):
    argv = [program("native"), case, net.A4, net.B4, PORT, *(["fast"] if fast else [])]
    report = fsock.Report()
    with contextlib.closing(report):
        done = pair.a.run(wrap(argv), timeout=timeout, cpu=proc.cpus()[0], fds=(report.fd,),
                          env={**fsock.CLEAN, **LATENCY, **report.env, **(env or {})})
        assert (done.status, done.err.splitlines()[-1:]) == (0, ["well"]), done.out + done.err
        return done, report.counts()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("way", ["own", "preloaded"])
def test_case_on_the_fast_path(pair, program, way, case):
    wrap = {"own": lambda argv: argv, "preloaded": lambda argv: fsock.run(argv, profile="latency")}[way]
    with echo_server(pair):
        _, counts = run_case(pair, program, case, wrap=wrap)
    # Until the neighbour is known datagrams are the kernel's to send.
    if case not in ("args", "large"):
        assert counts.rx_kernel == 0 and counts.tx_kernel <= 3 and counts.rx_fast >= 2, counts


@pytest.mark.parametrize("case", CASES)
def test_case_on_the_kernel(pair, program, case):
    """The same calls where nothing is accelerated, against a kernel peer."""
    with echo_server(pair, accelerated=False):
        _, counts = run_case(pair, program, case, fast=False, env={"FSOCK_ACCELERATE": "0"})
    assert counts.fast == 0


@pytest.mark.parametrize("case", ["echo", "batch", "group", "timeout"])
def test_case_without_a_stack(pair, program, case):
    """No descriptors for the stack: the kernel's sockets, by the same calls."""
    with echo_server(pair, accelerated=False):
        argv = ["prlimit", "--nofile=12:12", program("native"), case, net.A4, net.B4, PORT]
        done = pair.a.run(argv, env=fsock.CLEAN)
        assert done.status == 0 and done.err.endswith("well\n"), done.err
        assert "no stack" in done.err


def test_kernel_peers_both_ways(pair, program):
    """A channel on the fast path, the kernel at the other end: what it sends comes by either way."""
    with echo_server(pair, accelerated=False):
        argv = [program("native"), "threads", net.A4, net.B4, PORT]
        # The kernel's partial checksums take the kernel's way on veth; see the hazards, number 3.
        done = pair.a.run(["ethtool", "-K", net.LINK, "tx", "off"])
        pair.b.run(["ethtool", "-K", net.LINK, "tx", "off"])
        done = pair.a.run([*argv, "fast"], env={**fsock.CLEAN, **LATENCY})
        assert done.status == 0, done.err


def test_no_privilege_says_why(pair, program):
    with echo_server(pair, accelerated=False):
        done, _ = run_case(pair, program, "reason", fast=False, env={"FSOCK_LOCAL": "0"}, wrap=lambda argv: [*NO_CAPS, *argv])
    assert done.out.startswith("privilege: "), done.out
    with echo_server(pair, accelerated=False):
        done, _ = run_case(pair, program, "reason", fast=False, env={"FSOCK_LOCAL": "0", "FSOCK_INTERFACE": "nowhere0"})
    assert done.out.startswith("no_interface: "), done.out


def test_preload_and_library_share_one_stack(pair, program):
    """A plain socket and a channel of one process: one stack, and both on the fast path."""
    argv = fsock.run([program("native"), "both", net.A4, net.B4, PORT, "fast"], profile="latency")
    wait, end = os.pipe()
    with echo_server(pair), pair.a.popen(argv, env=fsock.CLEAN, stdin=wait) as both:
        assert both.wait_for("ready"), both.err
        report = fsock.stat(both.pid)
        os.close(end)
        assert both.finish().status == 0
    os.close(wait)
    assert len(report["stacks"]) == 1
    sockets = list(fsock.sockets(report))
    assert len(sockets) == 2 and all(s["accelerated"] and s["rx_fast"] >= 45 for s in sockets), sockets


def test_another_version_is_refused(program):
    done = subprocess.run([program("native"), "args", net.A4, net.B4, str(PORT)], capture_output=True, text=True,
                          env={**os.environ, "LD_PRELOAD": program("other_preload.so")}, check=False)
    assert done.returncode == 1 and "fsock_init(FSOCK_API_VERSION)" in done.stderr
    assert "cannot share a stack" in done.stderr and "99.0" in done.stderr, done.stderr


# --- the examples ---


def feed(pair, script, *args):
    done = pair.b.run(["/usr/bin/python3", "-c", script, *args])
    assert done.status == 0, done.err


SEQUENCE = """
import socket, struct, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 9000))
for i in range(1000 * int(sys.argv[2])):
    if i % 1000 != 500:
        s.send(struct.pack(">Q", i) + b"x" * 100)
    if i % 50 == 0:
        time.sleep(0.002)
"""


@pytest.mark.parametrize("sender", ["kernel", "fsock"])
def test_counter(pair, sender):
    wrap = (lambda argv: fsock.run(argv, profile="latency")) if sender == "fsock" else list
    # A kernel peer's by the shadow alone: when packet sockets are opened for them, a burst may be too much.
    env = {**fsock.CLEAN, **LATENCY, "FSOCK_KERNEL_PEERS": "0"}
    with pair.a.popen([example("counter"), net.A4, 9000, 999], env=env) as counter:
        assert counter.wait_for("ready"), counter.err
        # Until neighbours know each other datagrams take the kernel's way, and later ones overtake them.
        pair.b.run(["sh", "-c", f"echo hello | socat -t 0.1 - UDP4:{net.A4}:9009"])
        done = pair.b.run(wrap(["/usr/bin/python3", "-c", SEQUENCE, net.A4, 1]), env=fsock.CLEAN)
        assert done.status == 0, done.err
        said = counter.finish().out
    assert said == "999 datagrams, 107892 bytes, 1 gaps\n"


def test_channels_keep_the_queue(pair):
    """A channel that asks for no stamps: its datagrams stay in the queue."""
    with pair.a.popen([example("counter"), net.A4, 9000], env={**fsock.CLEAN, **LATENCY}) as counter:
        assert counter.wait_for("ready"), counter.err

        def total(name):
            return sum(port["counters"][name] for stack in fsock.stat(counter.pid)["stacks"]
                       for port in stack["ports"])

        sender = fsock.run(["/usr/bin/python3", "-c", SEQUENCE, net.A4, 1000], profile="latency")
        with pair.b.popen(sender, env=fsock.CLEAN) as running:
            assert proc.until(lambda: total("rx_frames") > 900, 60), running.err
            assert running.alive(), running.err
            # One full checksum in 65,536 looks partial.
            assert total("side_frames") <= 2


GROUP = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(sys.argv[1]))
for i in range(3):
    s.sendto(b"price", ("239.7.7.7", 9000))
"""


@pytest.mark.parametrize("source", [(), (net.B4,), ("10.77.0.99",)], ids=["any", "it", "another"])
def test_multicast(pair, source):
    argv = [example("multicast"), "239.7.7.7", 9000, net.LINK, *source]
    with pair.a.popen(argv, env={**fsock.CLEAN, **LATENCY}) as receiver:
        assert receiver.wait_for("ready"), receiver.err
        feed(pair, GROUP, net.B4)
        if source == ("10.77.0.99",):
            assert not receiver.wait_for("bytes", 0.3)
            return
        assert receiver.wait_for("bytes"), receiver.err
        line = receiver.out.splitlines()[0]
        assert re.fullmatch(rf"\d{{10}}\.\d{{9}} 5 bytes from {net.B4} by {net.LINK}", line), line


WORDS = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(60):
    s.sendto(b"%d" % i, (sys.argv[1], 9000 + i % 3))
    if i % 4 == 0:
        time.sleep(0.003)
"""


@pytest.mark.parametrize("sender", ["kernel", "fsock"])
def test_events_in_a_foreign_loop(pair, sender):
    wait, end = os.pipe()
    wrap = (lambda argv: fsock.run(argv, profile="latency")) if sender == "fsock" else list
    argv = [example("events"), net.A4, 9000, 9001, 9002]
    with pair.a.popen(argv, env={**fsock.CLEAN, **LATENCY}, stdin=wait) as events:
        assert events.wait_for("ready"), events.err
        done = pair.b.run(wrap(["/usr/bin/python3", "-c", WORDS, net.A4]), env=fsock.CLEAN)
        assert done.status == 0, done.err
        events.wait_for("9002: 59\n")
        counts = fsock.counts(events.pid)
        os.close(end)
        said = events.finish()
    os.close(wait)
    assert sorted(said.out.splitlines()) == sorted(f"{9000 + i % 3}: {i}" for i in range(60))
    if sender == "fsock":
        assert counts.fast >= 57, counts


def test_events_sleeps_when_idle(pair):
    """The group's descriptor is quiet where there is nothing: the loop takes no processor time."""
    wait, end = os.pipe()
    with pair.a.popen([example("events"), net.A4, 9000], env={**fsock.CLEAN, **LATENCY}, stdin=wait) as events:
        assert events.wait_for("ready"), events.err
        pair.a.run(["sleep", "1"])
        with open(f"/proc/{events.pid}/stat", encoding="ascii") as file:
            ticks = file.read().rsplit(")", 1)[1].split()
        os.close(end)
        assert events.finish().status == 0
    os.close(wait)
    assert int(ticks[11]) + int(ticks[12]) < 20, ticks
