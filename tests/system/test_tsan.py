# SPDX-License-Identifier: BSD-2-Clause
"""
Threads on shared sockets under ThreadSanitizer: tests/tsan/front_door.c and tests/system/hand_offs.c are linked with the
preload's own sources, all built with -fsanitize=thread in a build folder of their own; and so are two threads at the ends
of a link.
"""
import fcntl
import os
import pathlib
import re
import subprocess

import pytest

from lab import fsock, net

ECHO = pathlib.Path(__file__).resolve().parent / "programs" / "echo_server.py"
OPTIONS = ["-Dbuildtype=debugoptimized", "-Db_sanitize=thread", "-Db_lundef=false",
           "-Dstack_base=0x7e9000000000ULL"]
TSAN = {"TSAN_OPTIONS": "exitcode=66 halt_on_error=0 history_size=4"}
SCENES = ("two readers", "reader and changer", "poll and send", "epoll and control",
          "close against recv", "fork beside threads")


def _done(argv):
    done = subprocess.run(argv, cwd=fsock.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False, env={**os.environ, "CC": "gcc"})
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.fixture(scope="module")
def sanitized():
    """
    The folder of the programs, beside the ordinary build folder: for 'build' that is ./check's build-tsan. Of several
    processes that share a run (turns.py) one builds, the others wait and find it done.
    """
    folder = pathlib.Path(str(fsock.build_dir()) + "-tsan")
    folder.mkdir(exist_ok=True)
    with open(folder / "tests.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "build.ninja").exists():
            _done(["meson", "setup", *OPTIONS, folder, fsock.ROOT])
        _done(["ninja", "-C", folder, "tests/tsan/front_door", "tests/tsan/hand_offs", "tests/tsan/local_stress"])
    return folder / "tests" / "tsan"


def races(text):
    """
    The reports that concern memory. The scene that closes a descriptor under a receive races for the number
    itself, as such a program does on plain sockets: where both calls reach libc's, the sanitizer says so.
    """
    reports = re.findall(r"^WARNING: ThreadSanitizer: .*?^SUMMARY: .*?$", text, re.M | re.S)
    return [one for one in reports if "Location is file descriptor" not in one
            or not all("libsanitizer" in top for top in re.findall(r"^ +#0 .*$", one, re.M))]


@pytest.mark.early
def test_threads_on_shared_sockets_do_not_race(pair, sanitized):
    report = fsock.Report()
    server = fsock.run(["/usr/bin/python3", ECHO, "socket", net.B4, 9000])
    with pair.b.popen(server, env=fsock.CLEAN) as echo:
        assert echo.wait_for("ready"), echo.err
        done = pair.a.run([sanitized / "front_door", net.B4, 9000], timeout=300, fds=(report.fd,), env={
            **fsock.CLEAN, **report.env, **TSAN, "FSOCK_CLIENT_DATAGRAMS": "0"})
    sockets = report.sockets()
    report.close()
    found = races(done.err)
    assert not found, f"{len(found)} reports:\n" + "\n".join(found)[:20000]
    assert done.status in (0, 66 if "ThreadSanitizer" in done.err else 0), done.out + done.err[-3000:]
    assert done.out.endswith("done\n"), done.out
    for scene in SCENES:
        assert int(re.search(f"{scene}: (\\d+) received", done.out)[1]) > 10, done.out
    seen = fsock.sum_counts(sockets)
    assert seen.fast > 1000, (seen, sockets)


@pytest.mark.early
@pytest.mark.parametrize("kind, trigger", [("tcp", "level"), ("udp", "edge"),
                                           pytest.param("tcp", "edge", marks=pytest.mark.whole),
                                           pytest.param("udp", "level", marks=pytest.mark.whole)])
def test_hand_offs_do_not_race(pair, sanitized, program, kind, trigger):
    """EP24: threads that sleep for sets of their own, spinning at first, and drive the stack for each other."""
    pair.meet()
    words = [kind, trigger, "threads", net.A4, 7410, 3, 4, 100, 1]
    with pair.a.popen([sanitized / "hand_offs", "take", *words], env={**fsock.CLEAN, **TSAN}, stdin=subprocess.PIPE) as taker:
        assert taker.wait_for("ready"), taker.err
        given = pair.b.run([program("hand_offs"), "give", *words], env=fsock.CLEAN, timeout=200)
        assert given.status == 0 and "given" in given.out, (given.err, taker.err)
        assert taker.wait_for("taken"), taker.err
        counted = fsock.counters(taker.pid)
        taker.child.stdin.close()
        ended = taker.finish()
    found = races(ended.err)
    assert not found, f"{len(found)} reports:\n" + "\n".join(found)[:20000]
    assert ended.status == 0, ended.err[-3000:]
    assert counted["tcp_segments_in" if kind == "tcp" else "rx_datagrams"] >= 0.9 * 3 * 4 * 100, counted


@pytest.mark.early
def test_ends_of_a_link_do_not_race(sanitized):
    """Each end's thread writes what the other reads, and tells it by flags: tests/system/local_stress.c."""
    done = subprocess.run([sanitized / "local_stress", "bytes=20000000", "threads"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False, timeout=300, env={**os.environ, **TSAN})
    assert not races(done.stderr), done.stderr[:20000]
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
