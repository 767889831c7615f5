# SPDX-License-Identifier: BSD-2-Clause
"""
Rows of the hazards table that no other file of tests is about: what children of another user see, what a web server's
settings change, what is left of a request's system calls. Which test holds which row: hazards.list.
"""
import contextlib
import hashlib
import re

import pytest

from lab import fsock, net, nginx, proc
from life import LATENCY, Life

SPAWNS = """
import subprocess
sock = fresh()
ask(sock)
held = subprocess.run(["sh", "-c", "ls -l /proc/$$/fd; cat /proc/$$/maps"], user=65534, group=65534, extra_groups=[],
                      capture_output=True, text=True, check=True).stdout
assert os.system("true") == 0
pid = os.posix_spawn("/bin/true", ["true"], os.environ)
assert os.waitpid(pid, 0)[1] == 0
ask(sock)
found = [line for line in held.splitlines() if "memfd:" in line or "anon_inode" in line or "socket:" in line]
say(*found or ["well"])
"""


def test_hazard_07_a_child_of_another_user_holds_nothing(pair, tmp_path):
    """Neither memory nor sockets of the stack; and what a program spawns takes no connection from the fast path."""
    Life(pair, tmp_path, SPAWNS).good().fast(200)


@contextlib.contextmanager
def serving(pair, folder, sendfile, around=()):
    """nginx on fsock in pair.b; its folder has the file `body`."""
    (folder / "body").write_bytes(bytes(range(256)) * 256)
    config = nginx.server(folder, f"sendfile {sendfile}; keepalive_requests 100000;"
                                  f"server {{ listen {net.B4}:8080; root {folder}; }}")
    pair.meet()
    with pair.b.popen([*around, *fsock.run(config, **LATENCY)], env=fsock.CLEAN) as running:
        assert proc.until(lambda: ":8080 " in pair.b.run(["ss", "-Hltn"]).out), running.err
        yield running


def get(pair, folder, times):
    """So many answers over one connection of the kernel's: their digests."""
    url = f"http://{net.B4}:8080/body?[1-{times}]"
    done = pair.a.run(["curl", "-sS", "-f", "-o", f"{folder}/got-#1", url])
    assert done.status == 0, done.err
    return {hashlib.sha256((folder / f"got-{n}").read_bytes()).hexdigest() for n in range(1, times + 1)}


@pytest.mark.parametrize("sendfile", ["on", "off"])
def test_hazard_32_nginx_with_either_setting(pair, tmp_path, sendfile):
    """What scenarios compare (bench/run nginx_64k shows both) is the same bytes, all by the fast path."""
    with serving(pair, tmp_path, sendfile) as running:
        assert get(pair, tmp_path, 20) == {hashlib.sha256((tmp_path / "body").read_bytes()).hexdigest()}
        assert fsock.counters(running.pid)["tcp_bytes_out"] >= 20 * 65536
        assert fsock.sum_counts(fsock.sockets(fsock.settled(running.pid))).kernel == 0


def test_hazard_33_what_is_left_of_a_request_is_the_programs_own(pair, tmp_path):
    """The bound of what acceleration gives: calls for the file, and to the wire. None receives bytes, or answers by a socket."""
    log = tmp_path / "calls"
    with serving(pair, tmp_path, "off", ["strace", "-f", "-qq", "-o", log]) as running:
        get(pair, tmp_path, 1)
        before = len(log.read_text().splitlines())
        get(pair, tmp_path, 200)
        calls = re.findall(r"^\d+ +(\w+)\(.* = [1-9]\d*$", "\n".join(log.read_text().splitlines()[before:]), re.M)
    count = {name: calls.count(name) for name in set(calls)}
    assert count["pread64"] >= 200, count
    assert sum(count.get(name, 0) for name in ("recvfrom", "recvmsg", "readv", "writev", "sendfile")) < 100, count
