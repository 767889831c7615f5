# SPDX-License-Identifier: BSD-2-Clause
"""
rsync of a tree, unmodified, to a daemon of its own and through ssh; what arrives is compared byte by byte, by rsync too.
Files to and from vsftpd. On kernel sockets and on fsock, which has to have carried it (ends.py).
"""
import os
import pathlib
import shlex
import tempfile

import pytest

from ends import MIB, body, digest_of
from ends import ends, pytest_generate_tests, tmp_path  # noqa: F401 (fixtures and a hook)
from lab import net, proc
from test_tcp_programs import ssh  # noqa: F401 (a fixture)

RSYNCD = """use chroot = no
address = {address}
port = 8730
pid file = {folder}/pid
lock file = {folder}/lock
[tree]
path = {folder}/there
read only = no
munge symlinks = no
uid = root
gid = root
"""


# Its own filter of system calls kills its sessions on this C library, without fsock as well.
VSFTPD = """listen=YES
listen_address={address}
listen_port=2121
background=NO
anonymous_enable=YES
anon_root={folder}/files
anon_upload_enable=YES
anon_umask=022
write_enable=YES
no_anon_password=YES
secure_chroot_dir={folder}/empty
vsftpd_log_file={folder}/log
seccomp_sandbox=NO
"""


def tree(folder):
    """Files of many sizes in some folders, one that many name, a symbolic link."""
    for n in range(40):
        path = folder / f"{n % 5}" / f"{n}"
        path.parent.mkdir(parents=True, exist_ok=True)
        body(path, n * n * 100)
    body(folder / "large", 6 * MIB)
    (folder / "link").symlink_to("large")
    os.link(folder / "large", folder / "other name")


def contents(folder):
    """Every name below @folder with its kind, mode and digest."""
    return {str(path.relative_to(folder)): (path.lstat().st_mode, os.readlink(path) if path.is_symlink() else
                                            digest_of(path) if path.is_file() else None) for path in folder.rglob("*")}


def change(folder):
    """Bytes in the middle of the large file, a file that is new and one that is gone."""
    with open(folder / "large", "r+b") as file:
        file.seek(3 * MIB)
        file.write(b"something else")
    (folder / "new").write_text("new\n")
    (folder / "0" / "5").unlink()


def test_rsync_daemon(ends, tmp_path):
    """There, what changed since, and back."""
    for name in ("here", "there", "back"):
        (tmp_path / name).mkdir()
    tree(tmp_path / "here")
    config = tmp_path / "config"
    config.write_text(RSYNCD.format(address=net.B4, folder=tmp_path))
    url = f"rsync://{net.B4}:8730/tree/"
    with ends.server(["rsync", "--daemon", "--no-detach", f"--config={config}"], 8730):
        ends.client(["rsync", "-aH", f"{tmp_path}/here/", url])
        assert contents(tmp_path / "there") == contents(tmp_path / "here")
        change(tmp_path / "here")
        ends.client(["rsync", "-aHc", "--delete", f"{tmp_path}/here/", url])
        assert contents(tmp_path / "there") == contents(tmp_path / "here")
        ends.client(["rsync", "-aHz", url, f"{tmp_path}/back/"])
        assert contents(tmp_path / "back") == contents(tmp_path / "here")
        assert ends.client(["rsync", "-aHcni", "--delete", url, f"{tmp_path}/back/"]).out == ""
        ends.client(["rsync", "-a", f"rsync://{net.B4}:8730/nothing/", f"{tmp_path}/back/"], status=5, counted=False)


def child_of(pid, name):
    """The child of @pid that runs @name, 0 as long as there is none."""
    for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if pathlib.Path(f"/proc/{child}/comm").read_text().strip() == name:
            return int(child)
    return 0


@pytest.mark.alone  # /run/sshd
@pytest.mark.parametrize("ends", ["kernel", "off", "both", "client"], indirect=True)
def test_rsync_over_ssh(ends, tmp_path, ssh):
    """ssh, which rsync starts, is counted while the other side waits for us; sshd's connection goes on in the kernel."""
    (tmp_path / "there").mkdir()
    tree(tmp_path / "here")
    server, client = ssh
    remote = f"until test -e {tmp_path}/go; do sleep 0.05; done; rsync"
    words = ["rsync", "-aH", "-e", shlex.join(map(str, client[:-1])), f"--rsync-path={remote}", f"{tmp_path}/here/"]
    with ends.server(server, 2222, counted=False):
        with ends.living_client([*words, f"{client[-1]}:{tmp_path}/there/"]) as running:
            if ends.ask != "kernel":
                assert proc.until(lambda: child_of(running.pid, "ssh") or not running.alive()), running.err
                ends.took(child_of(running.pid, "ssh"))
            (tmp_path / "go").touch()
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_vsftpd(ends):
    """Two processes a session, one of them another user in another root; data connections both ways, up and down."""
    with tempfile.TemporaryDirectory(prefix="fst-") as name:
        folder = pathlib.Path(name)
        for path, mode in (("", 0o755), ("files", 0o755), ("empty", 0o555), ("files/in", 0o777)):
            path = folder / path
            path.mkdir(exist_ok=True)
            path.chmod(mode)
        body(folder / "files" / "large", 6 * MIB)
        body(folder / "up", 2 * MIB)
        config = folder / "config"
        config.write_text(VSFTPD.format(address=net.B4, folder=folder))
        url = f"ftp://{net.B4}:2121"
        with ends.server(["vsftpd", config], 2121):
            for n, how in enumerate(([], ["--ftp-port", "-"])):
                ends.client(["curl", "-sSf", *how, "-o", folder / "got", f"{url}/large"])
                assert digest_of(folder / "got") == digest_of(folder / "files" / "large")
                ends.client(["curl", "-sSf", *how, "-T", folder / "up", f"{url}/in/{n}"])
                assert digest_of(folder / "files" / "in" / f"{n}") == digest_of(folder / "up")
            assert "large" in ends.client(["curl", "-sSf", f"{url}/"]).out
            ends.client(["curl", "-sSf", f"{url}/nothing"], status=78, counted=False)
