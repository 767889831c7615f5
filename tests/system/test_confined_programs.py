# SPDX-License-Identifier: BSD-2-Clause
"""
Programs that confine themselves, unmodified (P31): chrony by a filter of system calls that kills. On kernel sockets and on
fsock, which leaves them to the kernel before the filter stands, and says so. sshd: test_tcp_programs.py.
"""
import contextlib
import pathlib
import tempfile

import pytest

from ends import ends, pytest_generate_tests, tmp_path  # noqa: F401 (fixtures and a hook)
from lab import fsock, net, proc

CHRONYD = """
local stratum 8
allow {network}/24
bindaddress {address}
port 1123
cmdport 0
pidfile {folder}/pid
"""


@pytest.fixture(name="folder")
def _folder():
    """One that a user without rights may enter, too."""
    with tempfile.TemporaryDirectory(prefix="fst-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        yield folder


@contextlib.contextmanager
def time_server(ends, config):
    with contextlib.closing(fsock.Report()) as report:
        argv, env = ends.how(ends.serve, ["chronyd", "-x", "-d", "-F", 1, "-f", config], report)
        with ends.pair.b.popen(argv, env=env, fds=(report.fd,)) as running:
            assert proc.until(lambda: ":1123 " in ends.pair.b.run(["ss", "-Hlun"]).out or not running.alive())
            assert running.alive(), running.out + running.err
            yield running
            assert running.alive(), running.out + running.err
            running.stop()
        if ends.serve == "fast":
            assert "confined" in {fsock.reason_name(sock["reason"]) for sock in report.sockets()}, report.sockets()


def test_chrony(ends, folder):
    """Both sides ask and answer by the kernel from their filter on."""
    config = folder / "config"
    config.write_text(CHRONYD.format(address=net.B4, network=net.A4, folder=folder))
    with time_server(ends, config):
        done = ends.client(["chronyd", "-Q", "-t", 40, "-F", 1, f"server {net.B4} port 1123 iburst", "cmdport 0",
                            f"pidfile {folder}/asks"], counted=False)
    assert "System clock wrong by" in done.out + done.err, done.out + done.err
