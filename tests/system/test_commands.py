# SPDX-License-Identifier: BSD-2-Clause
"""./demo and what ./check is made of: nothing remains, whatever happens on the way."""
import errno
import json
import os
import shutil
import signal
import subprocess
import time

import pytest

import race
from lab import fsock, net, proc, state

PYTHON = "/usr/bin/python3"
RACE = str(fsock.ROOT / "scripts" / "race.py")
# race.py finds the build the tests run with through FSOCK_BUILD.
WHERE = {**fsock.CLEAN, "FSOCK_BUILD": str(fsock.build_dir())}


def shell(text, tmp_path, **more):
    """Run @text with scripts/lib.sh loaded and the policy file moved into tmp_path."""
    prelude = f"""
        self=test root={fsock.ROOT}
        . {fsock.ROOT}/scripts/lib.sh
        policy={tmp_path}/policy-rc.d
        policy_saved=$policy.fsock-saved
    """
    return subprocess.run(["bash", "-c", prelude + text], capture_output=True, text=True, check=False,
                          **more)


def left(tmp_path):
    return {path.name: path.read_text() for path in tmp_path.iterdir()}


def test_services_are_held_and_released(tmp_path):
    done = shell("hold_services; $policy dnsmasq start; echo $?; release_services", tmp_path)
    assert done.stdout == "101\n", done.stderr
    assert not left(tmp_path)


def test_a_foreign_policy_comes_back(tmp_path):
    (tmp_path / "policy-rc.d").write_text("#!/bin/sh\nexit 0\n")
    done = shell("hold_services; $policy dnsmasq start; echo $?; release_services", tmp_path)
    assert done.stdout == "101\n", done.stderr
    assert left(tmp_path) == {"policy-rc.d": "#!/bin/sh\nexit 0\n"}


@pytest.mark.parametrize("foreign", [False, True])
@pytest.mark.parametrize("number", ["INT", "TERM", "KILL"])
def test_interrupted_while_installing(tmp_path, foreign, number):
    """After SIGKILL the next run mends it; after INT and TERM the run itself does."""
    if foreign:
        (tmp_path / "policy-rc.d").write_text("theirs\n")
    shell(f"""
        is_installed() {{ false; }}
        apt_quietly() {{ kill -{number} $$; sleep 1; }}
        need_packages something
    """, tmp_path)
    if number == "KILL":
        assert "fsock" in left(tmp_path)["policy-rc.d"]
        shell("is_installed() { true; }; need_packages something", tmp_path)
    assert left(tmp_path) == ({"policy-rc.d": "theirs\n"} if foreign else {})


def test_a_foreign_policy_written_meanwhile_stays(tmp_path):
    shell("hold_services; echo newer >$policy; release_services", tmp_path)
    assert left(tmp_path) == {"policy-rc.d": "newer\n"}


def test_nothing_is_asked_of_apt_when_all_is_there(tmp_path):
    done = shell("apt_quietly() { echo apt; }; need_packages bash coreutils; echo done", tmp_path)
    assert done.stdout == "done\n"


@pytest.mark.parametrize("command", ["demo", "check"])
def test_without_root_the_sudo_form_is_offered(command):
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                           "bash", "-s", "--", "-k", "x"], input=f"""
        id() {{ echo 65534; }}
        self={command}
        . {fsock.ROOT}/scripts/lib.sh
        set -- "$@"
        need_root "$@"
    """, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "sudo" in done.stderr and "root" in done.stderr


def lacking(error):
    """In place of a call that the kernel cannot serve."""
    def call(*_, **__):
        raise error
    return call


@pytest.mark.parametrize("place,error,said", [
    (net.Pair, net.Unable("ip failed: Error: Unknown device type."), "veth: this kernel cannot make a veth pair"),
    (net.Pair, net.Unable('ip failed: mount --make-shared /run/netns failed'), "network namespaces: "),
    (net.Pair, FileNotFoundError("ip"), "the command ip (package iproute2)"),
    (net.socket, OSError(errno.EAFNOSUPPORT, ""), "AF_XDP: this kernel was built without CONFIG_XDP_SOCKETS"),
    (net.socket, OSError(errno.EPERM, ""), "CAP_NET_RAW: opening an AF_XDP socket is forbidden here"),
])
def test_what_is_missing_is_said_plainly(monkeypatch, capsys, place, error, said):
    monkeypatch.setattr(place, "__enter__" if place is net.Pair else "socket", lacking(error))
    monkeypatch.setattr(state, "end_on_signals", lambda: None)
    monkeypatch.setattr(state, "sweep", lambda: [])
    monkeypatch.setattr("sys.argv", ["demo"])
    assert race.main() == 2
    assert "demo: cannot run here, missing " + said in capsys.readouterr().err


def test_an_archive_needs_no_git(tmp_path):
    """Configured, and one of each kind of file made, where there is neither a repository nor git."""
    tree, bin_dir = tmp_path / "fsock-1", tmp_path / "bin"
    shutil.copytree(fsock.ROOT, tree, ignore=shutil.ignore_patterns(".git", "build*", "results", "corpus"))
    bin_dir.mkdir()
    (bin_dir / "git").write_text("#!/bin/sh\nexit 127\n")
    (bin_dir / "git").chmod(0o755)
    where = {**os.environ, "PATH": f"{bin_dir}:{os.environ['PATH']}"}
    for argv in (["meson", "setup", "build"], ["ninja", "-C", "build", "docs/fsock.1", "src/stats/libfs_stats.a",
                                            "src/steer/steer_insns.h"]):
        done = subprocess.run(argv, cwd=tree, env=where, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stdout[-3000:]


def demo_leftovers(pid):
    return [name for name in state.namespaces() if name.startswith(f"fsock-demo-{pid}-")]


@pytest.mark.whole
def test_demo_race(program):
    """One round: all rows, the fast path taken, nothing left."""
    with proc.Process([PYTHON, RACE, "--json", "--rounds", "1"], env=WHERE) as race:
        done = race.finish(120)
    assert done.status == 0, done.err
    table = json.loads(done.out)
    assert table["fast_path"] is True
    for rows in (table["rows"], table["tcp"]):
        assert len(rows) == 4
        for row in rows.values():
            assert 0 < row["50"] <= row["99"] <= row["99.9"]
    assert len(table["stream"]) == 3 and all(row["gbit"] > 0 for row in table["stream"].values())
    assert not demo_leftovers(race.pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo_interrupted(number):
    with proc.Process([PYTHON, RACE], env=WHERE) as race:
        assert race.wait_for("round 1"), race.err
        time.sleep(1)
        assert demo_leftovers(race.pid)
        race.send(number)
        done = race.finish()
    assert done.status == 128 + number, done.err
    assert not demo_leftovers(race.pid)
    assert not os.path.exists(f"/run/fsock-lab/{race.pid}-")


@pytest.mark.alone
def test_demo_killed_then_run_again():
    with proc.Process([PYTHON, RACE], env=WHERE) as race:
        assert race.wait_for("round 1"), race.err
        time.sleep(1)
        race.send(signal.SIGKILL)
        race.child.wait()
    assert demo_leftovers(race.pid)
    with proc.Process([PYTHON, RACE], env=WHERE) as again:
        assert again.wait_for("removed what a former run left"), again.out
        again.stop()
    assert not demo_leftovers(race.pid)
