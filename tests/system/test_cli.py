# SPDX-License-Identifier: BSD-2-Clause
"""
The command fsock(1): run, why, stat, doctor, providers, on programs it can and cannot help.

A fake stack (fake_stack.c) stands for an accelerated program, a copy of libm for the library, so that
nothing here depends on acceleration itself.
"""
import contextlib
import glob
import json
import os
import pathlib
import shutil
import stat
import struct
import subprocess
import tempfile

import pytest
from lab import fsock

NOBODY = 65534
COMMANDS = ("run", "why", "stat", "doctor", "providers")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A build folder with the real command and a harmless library: /…/tools/fsock/fsock."""
    top = tmp_path_factory.mktemp("cli")
    (top / "tools" / "fsock").mkdir(parents=True)
    (top / "src" / "preload").mkdir(parents=True)
    shutil.copy(fsock.tool(), top / "tools" / "fsock" / "fsock")
    libm = glob.glob("/lib/*/libm.so.6") + glob.glob("/lib64/libm.so.6")
    shutil.copy(libm[0], top / "src" / "preload" / "libfsock-preload.so")
    for folder in (top, *top.parents):
        if str(folder).startswith("/tmp/"):
            folder.chmod(folder.stat().st_mode | 0o755)
    return top


@pytest.fixture(scope="module")
def library(place):
    return str(place / "src" / "preload" / "libfsock-preload.so")


@pytest.fixture(scope="module")
def cli(place):
    """cli(ARG...): run the command with a clean environment; env adds to it."""
    def run(*args, env=None, prefix=(), **options):
        clean = {k: v for k, v in os.environ.items()
                 if not k.startswith("FSOCK_") and k not in ("LD_PRELOAD", "XDG_CONFIG_HOME")}
        clean["HOME"] = "/nonexistent"
        clean.update(env or {})
        tool = str(place / "tools" / "fsock" / "fsock")
        return subprocess.run([*prefix, tool, *map(str, args)], env=clean, capture_output=True,
                              text=True, timeout=60, check=False, **options)
    return run


@contextlib.contextmanager
def living(argv, **options):
    """A fake stack that runs until the block ends."""
    child = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             text=True, **options)
    try:
        assert child.stdout.readline() == "ready\n"
        yield child
    finally:
        child.stdin.close()
        child.wait(10)
        child.stdout.close()


# --- the command as such ---


def test_help__lists_every_command(cli):
    done = cli("--help")
    assert done.returncode == 0
    for name in COMMANDS:
        assert f"fsock {name}" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_help__describes_each_command(cli, name):
    by_word, by_option = cli("help", name), cli(name, "--help")
    assert by_word.returncode == by_option.returncode == 0
    assert by_word.stdout == by_option.stdout
    assert by_word.stdout.startswith(f"usage: fsock {name} ")
    assert "xit status" in by_word.stdout


def test_version(cli):
    done = cli("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("fsock ") and done.stdout.count(".") == 2


@pytest.mark.parametrize("args", [(), ("nonsense",), ("help", "nonsense"), ("why",), ("why", "x"),
                                  ("why", "--"), ("why", "1", "2"), ("stat",), ("stat", "-1"),
                                  ("stat", "--watch=0", "1"), ("stat", "--watch=x", "1"),
                                  ("stat", "--nonsense", "1"), ("doctor", "nonsense"),
                                  ("doctor", "--nonsense=1")])
def test_usage__wrong_words_give_2_and_a_line(cli, args):
    done = cli(*args)
    assert done.returncode == 2
    assert done.stderr and not done.stdout


# --- run ---


def environment(done):
    assert done.returncode == 0, done.stderr
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def test_run__sets_preload_and_options(cli, program, library):
    env = environment(cli("run", "--profile=latency", "--umem-size=2M", "--bypass=none", "--",
                          program("fake_stack"), "--report-env"))
    assert env["LD_PRELOAD"] == library
    assert env["FSOCK_PROFILE"] == "latency"
    assert env["FSOCK_UMEM_SIZE"] == "2M"
    assert env["FSOCK_FROM_RUN"] == "profile,umem_size,bypass"


def test_run__needs_no_dashes_and_keeps_the_arguments(cli):
    assert cli("run", "echo", "--profile=x", "a b").stdout == "--profile=x a b\n"


def test_run__keeps_what_else_is_preloaded(cli, program, library):
    other = glob.glob("/lib/*/libdl.so.2")[0]
    env = environment(cli("run", program("fake_stack"), "--report-env", env={"LD_PRELOAD": other}))
    assert env["LD_PRELOAD"] == f"{library}:{other}"


def test_run__twice_does_not_preload_twice(cli, program, library, place):
    env = environment(cli("run", "--spin=1", place / "tools" / "fsock" / "fsock", "run", "--log=info",
                          program("fake_stack"), "--report-env"))
    assert env["LD_PRELOAD"] == library
    assert env["FSOCK_FROM_RUN"] == "spin,log"


@pytest.mark.parametrize("status", [0, 1, 42])
def test_run__exit_status_is_the_programs(cli, status):
    assert cli("run", "--", "sh", "-c", f"exit {status}").returncode == status


def test_run__missing_program_is_127(cli):
    for name in ("no-such-program-anywhere", "/no/such/program"):
        done = cli("run", "--", name)
        assert done.returncode == 127
        assert "No such file" in done.stderr


def test_run__not_executable_is_126(cli, tmp_path):
    file = tmp_path / "data"
    file.write_text("text")
    done = cli("run", "--", file)
    assert done.returncode == 126
    assert "Permission denied" in done.stderr


@pytest.mark.parametrize("option,complaint", [
    ("--spinn=1", "no such option"), ("--spin", "a value must follow"), ("-x", "no such option"),
    ("--spin=lots", "not a number from 0 to 1000000 us"), ("--profile=fast", "none of")])
def test_run__wrong_options_are_125(cli, option, complaint):
    done = cli("run", option, "--", "true")
    assert done.returncode == 125
    assert complaint in done.stderr


def test_run__no_program_is_125(cli):
    assert cli("run").returncode == cli("run", "--").returncode == 125


def test_run__missing_library_is_said(place, tmp_path):
    alone = tmp_path / "tools" / "fsock" / "fsock"
    alone.parent.mkdir(parents=True)
    shutil.copy(place / "tools" / "fsock" / "fsock", alone)
    done = subprocess.run([alone, "run", "true"], capture_output=True, text=True, check=False)
    assert done.returncode == 125
    assert "libfsock-preload.so was not found" in done.stderr


def one_line(done, *words):
    """The program ran, and one line on standard error holds all @words."""
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    for word in ("fsock run: not accelerated: ", *words):
        assert word in done.stderr


def test_run__ordinary_program_gives_no_line(cli):
    assert cli("run", "true").stderr == ""


def test_run__static_program_runs_with_a_line(cli, program):
    one_line(cli("run", program("fake_stack_static"), "--report-env"), "statically linked")


def test_run__setuid_program_runs_with_a_line(cli, place):
    copy = place / "setuid-true"
    shutil.copy("/bin/true", copy)
    os.chown(copy, NOBODY, NOBODY)
    copy.chmod(0o4755)
    one_line(cli("run", copy), "is set-user-ID")
    copy.chmod(0o2755)
    one_line(cli("run", copy), "is set-group-ID")
    # Without a change of identity the bit means nothing.
    os.chown(copy, 0, 0)
    copy.chmod(0o4755)
    assert cli("run", copy).stderr == ""


def test_run__file_capabilities_run_with_a_line(cli, place):
    copy = place / "capable-true"
    shutil.copy("/bin/true", copy)
    # VFS_CAP_REVISION_2 with CAP_NET_RAW permitted and effective.
    os.setxattr(copy, "security.capability", struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0))
    assert cli("run", copy).stderr == ""
    as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    one_line(cli("run", copy, prefix=as_nobody), "has file capabilities")
    one_line(cli("run", "/bin/su", "--version", prefix=as_nobody), "is set-user-ID")


def test_run__script_is_judged_by_its_interpreter(cli, program, tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)
    assert cli("run", script).stderr == ""
    # One line of the interpreter's arguments only: the script itself is its second argument.
    script.write_text(f"#!{program('fake_stack_static')} --report-env\n")
    one_line(cli("run", script), "fake_stack_static is statically linked")
    script.write_text("#!/usr/bin/env fake_stack_static\n")
    path = f"{os.path.dirname(program('fake_stack_static'))}:{os.environ['PATH']}"
    done = cli("run", script, env={"PATH": path})
    assert "fake_stack_static is statically linked" in done.stderr


def test_run__script_without_a_first_line(cli, tmp_path):
    script = tmp_path / "script"
    script.write_text("exit 7\n")
    script.chmod(0o755)
    done = cli("run", script)
    assert (done.returncode, done.stderr) == (7, "")


def test_run__other_c_library_is_said_and_not_preloaded(cli, tmp_path):
    """Another dynamic linker, as musl has: the library would not link there, and the program not start. P09"""
    own = b"/lib64/ld-linux-x86-64.so.2" if os.uname().machine == "x86_64" else b"/lib/ld-linux-aarch64.so.1"
    folder = tempfile.mkdtemp(dir="/tmp", prefix="f") # its name has to be as short as that of the real one
    try:
        other, image = f"{folder}/ld.so", pathlib.Path("/bin/true").read_bytes()
        shutil.copy(own, other)
        assert image.count(own + b"\0") == 1 and len(other) <= len(own)
        copy = tmp_path / "other"
        copy.write_bytes(image.replace(own + b"\0", other.encode().ljust(len(own) + 1, b"\0")))
        copy.chmod(0o755)
        one_line(cli("run", copy), "another C library", other)
    finally:
        shutil.rmtree(folder)


def test_run__other_machine_is_said_and_not_preloaded(cli, tmp_path):
    copy = tmp_path / "foreign"
    image = bytearray(pathlib.Path("/bin/true").read_bytes())
    struct.pack_into("<H", image, 18, 243)  # e_machine: RISC-V
    copy.write_bytes(image)
    copy.chmod(0o755)
    done = cli("run", copy)
    assert "is a program for riscv" in done.stderr


# --- why ---


def test_why__explains_each_socket(cli, program):
    with living([program("fake_stack")]) as child:
        done = cli("why", child.pid)
    assert done.returncode == 0, done.stderr
    assert "3 sockets, 1 accelerated" in done.stdout
    assert "udp 10.0.0.1:5000 > 10.0.0.2:6000" in done.stdout
    assert "accelerated by xdp on veth0, generic, 1 of 2 queues; 1990 of 2000 datagrams" in done.stdout
    assert "udp6 [::1]:53" in done.stdout
    assert "kernel (bypass): the port is on the bypass list" in done.stdout
    assert "remedy: remove it from the option bypass" in done.stdout
    assert "closed tcp *:0" in done.stdout
    assert "\033" not in done.stdout


def test_why__json(cli, program):
    with living([program("fake_stack")]) as child:
        report = json.loads(cli("why", "--json", child.pid).stdout)
    assert report["pid"] == child.pid and report["loaded"] is True
    fast, bypassed, newer = report["sockets"]
    assert fast["accelerated"] is True and fast["reason"] is None
    assert (fast["provider"], fast["interface"], fast["queues"]) == ("xdp", "veth0", 1)
    assert (fast["local"], fast["remote"]) == ("10.0.0.1:5000", "10.0.0.2:6000")
    assert (fast["rx_fast"], fast["rx_kernel"], fast["drops"]) == (990, 10, 3)
    assert bypassed["reason"] == "bypass" and bypassed["provider"] is None
    assert bypassed["detail"] == "udp:53?[31m"
    assert newer["reason"] == "unknown-250" and newer["fd"] == -1


def test_why__program_without_fsock(cli):
    child = subprocess.Popen(["sleep", "60"])
    try:
        done = cli("why", child.pid)
        report = json.loads(cli("why", "--json", child.pid).stdout)
    finally:
        child.kill()
        child.wait()
    assert done.returncode == 1
    assert "runs without fsock" in done.stdout
    assert "remedy: start it with: fsock run -- sleep" in done.stdout
    assert report["loaded"] is False and report["sockets"] == []


def test_why__program_with_the_library_and_no_socket(cli, library):
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          env={"LD_PRELOAD": library}) as child:
        child.stdin.write(b"x\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"x\n"
        done = cli("why", child.pid)
        child.stdin.close()
    assert done.returncode == 0
    assert "has opened no Internet socket so far" in done.stdout


def test_why__static_program(cli, program):
    """It holds no stack this version can read; then its file is looked at."""
    with living([program("fake_stack_static"), "none"]) as child:
        done = cli("why", child.pid)
    assert done.returncode == 1
    assert "runs without fsock" in done.stdout and "statically linked" in done.stdout
    assert "remedy: link it dynamically" in done.stdout


def test_why__no_such_process(cli):
    done = cli("why", 2**22 + 1)
    assert done.returncode == 1
    assert "no such process" in done.stderr


def test_why__foreign_process_is_refused_politely(cli, program):
    with living([program("fake_stack")]) as child:
        done = cli("why", child.pid,
                   prefix=["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"])
    assert done.returncode == 1
    assert "belongs to another user" in done.stderr


def test_why__program_reports_at_its_end(cli, program):
    done = cli("why", "--", program("fake_stack"), "--report", "2")
    assert done.returncode == 3
    assert done.stdout == ""
    assert "2 sockets, 1 accelerated" in done.stderr
    assert "accelerated; 1990 of 2000 datagrams took the fast path" in done.stderr
    assert "kernel (bypass)" in done.stderr


def test_why__program_json_is_the_last_line(cli, program):
    done = cli("why", "--json", "--spin=3", "--", program("fake_stack"), "--report", "1")
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["status"] == 3
    assert [s["accelerated"] for s in report["sockets"]] == [True]


def test_why__program_output_to_a_file(cli, program, tmp_path):
    out = tmp_path / "report"
    done = cli("why", "--json", f"--output={out}", "--", program("fake_stack"), "--report", "1")
    assert (done.stdout, done.stderr) == ("", "")
    assert len(json.loads(out.read_text())["sockets"]) == 1


def test_why__program_without_sockets(cli):
    done = cli("why", "--", "true")
    assert done.returncode == 0
    assert "no Internet socket was opened" in done.stderr


def test_why__program_that_cannot_be_helped(cli, program):
    done = cli("why", "--", program("fake_stack_static"), "--report", "0")
    assert done.returncode == 3
    assert "statically linked" in done.stderr


def test_why__missing_program_is_127_and_signals_count(cli):
    assert cli("why", "--", "no-such-program-anywhere").returncode == 127
    assert cli("why", "--", "sh", "-c", "kill -9 $$").returncode == 137


# --- stat ---


def test_stat__shows_ports_sockets_counters_and_drops(cli, program):
    with living([program("fake_stack")]) as child:
        done = cli("stat", child.pid)
        everything = cli("stat", "--all", child.pid)
    assert done.returncode == everything.returncode == 0
    assert "stack 1 of fake_stack" in done.stdout and "profile latency" in done.stdout
    assert "driven by 1 process\n" in done.stdout
    for words in (["veth0", "1", "of", "2", "xdp", "generic", "up", "4096", "4000"],
                  ["veth0", "has", "less", "than", "it", "could:", "the", "option", "queues"],
                  ["5", str(child.pid), "udp", "10.0.0.1:5000"],
                  ["rx_datagrams", "990", "datagrams"], ["drop_udp_rcvbuf", "3", "datagrams"]):
        assert any(line.split()[:len(words)] == words for line in done.stdout.splitlines()), words
    assert "drop_udp_checksum" not in done.stdout
    assert "drop_udp_checksum" in everything.stdout and "guard_dropped" in everything.stdout


def test_stat__and_why_take_options_on_either_side(cli, program):
    with living([program("fake_stack")]) as child:
        assert "guard_dropped" in cli("stat", child.pid, "--all").stdout
        assert json.loads(cli("stat", "--all", child.pid, "--json").stdout)["stacks"]
        assert json.loads(cli("why", child.pid, "--json").stdout)["sockets"]
        assert cli("stat", child.pid, "--help").stdout.startswith("usage: fsock stat")
    assert cli("run", "sh", "-c", "echo $1", "x", "--help").stdout == "--help\n"
    assert cli("why", "1", "--", "true").returncode == cli("stat", "1", "2").returncode == 2


def test_stat__json_is_exact(cli, program):
    with living([program("fake_stack")]) as child:
        report = json.loads(cli("stat", "--json", child.pid).stdout)
    stack, = report["stacks"]
    assert stack["counters"] == {"rx_datagrams": 990, "rx_bytes": 2**60 + 1}
    assert stack["drops"] == {"drop_udp_rcvbuf": 3}
    assert stack["processes"] == [child.pid]
    assert stack["ports"][0]["counters"]["tx_frames"] == 1000
    assert len(stack["sockets"]) == 3


def test_stat__shows_links_and_what_goes_over_them(cli, program):
    with living([program("fake_stack"), "linked"]) as child:
        lines = [line.split() for line in cli("stat", child.pid).stdout.splitlines()]
        reasons = cli("why", child.pid).stdout
        stack, = json.loads(cli("stat", "--json", child.pid).stdout)["stacks"]
    assert ["2", "4711", "peer", "other", "3", str(2**60 + 1), "5000", str(2**17), str(2**28)] in lines
    assert ["CLOSE-WAIT", "11", "22", "127.0.0.1:80", "127.0.0.2:40000", "2", "4711", "7", str(child.pid), "333",
            "444"] in lines
    assert ["LISTEN", "2", "128", "*:80", "*:*", "any", "-", "8", str(child.pid), "0", "0"] in lines
    assert sum(str(child.pid) in line for line in lines) == 5, lines # and three sockets that use no link, once each
    assert stack["links"] == [{"link": 2, "peer_pid": 4711, "dialled": False, "other_netns": True, "connections": 3,
                               "rx_bytes": 2**60 + 1, "tx_bytes": 5000, "ring_bytes": 2**17, "shared_bytes": 2**28}]
    fast, kernel, closed, connection, listener = stack["sockets"]
    assert [s["by"] for s in stack["sockets"]] == ["interface", "kernel", "kernel", "link", "link"]
    assert {name: connection[name] for name in ("state", "recv_q", "send_q", "link", "peer_pid", "accelerated")} == {
        "state": "CLOSE-WAIT", "recv_q": 11, "send_q": 22, "link": 2, "peer_pid": 4711, "accelerated": True}
    assert (listener["state"], listener["recv_q"], listener["send_q"]) == ("LISTEN", 2, 128)
    assert listener["accelerated"] is True and listener["reason"] == "loopback"
    assert not {"link", "peer_pid"} & (fast.keys() | kernel.keys() | closed.keys() | listener.keys())
    assert "5 sockets, 3 accelerated" in reasons
    assert "accelerated by link 2, through shared memory with process 4711 of this host" in reasons
    assert "takes accelerated programs of this host by links" in reasons and "kernel (loopback)" not in reasons


def test_stat__json_all_names_every_counter(cli, program):
    text = (fsock.ROOT / "src" / "base" / "counters.def").read_text()
    names = {line.split("(")[1].split(",")[0] for line in text.splitlines() if line.startswith("CTR(")}
    with living([program("fake_stack")]) as child:
        stack, = json.loads(cli("stat", "--json", "--all", child.pid).stdout)["stacks"]
    assert set(stack["counters"]) | set(stack["drops"]) == names


@pytest.mark.parametrize("how", ["magic", "version", "offset", "socks", "links", "short"])
def test_stat__broken_segments_are_refused(cli, program, how):
    with living([program("fake_stack"), how]) as child:
        for command in ("stat", "why"):
            done = cli(command, child.pid)
            assert "statistics cannot be read" in done.stdout
            assert done.returncode in (0, 1)
        report = json.loads(cli("stat", "--json", child.pid).stdout)
    assert report["stacks"] == [] and report["note"]


def test_stat__watch_gives_rates_until_the_end(place, program):
    tool = str(place / "tools" / "fsock" / "fsock")
    with living([program("fake_stack")]) as child:
        watch = subprocess.Popen([tool, "stat", "--json", "--watch=0.05", str(child.pid)],
                                 stdout=subprocess.PIPE, text=True)
        first = json.loads(watch.stdout.readline())["stacks"][0]
        assert "rates" not in first
        child.stdin.write("\n")
        child.stdin.flush()
        rates = {}
        for _ in range(100):
            rates = json.loads(watch.stdout.readline())["stacks"][0]["rates"]
            if rates:
                break
        assert 0 < rates["rx_datagrams"] <= 1000 / 0.05
    rest, _ = watch.communicate(timeout=60)
    assert watch.returncode == 0


def test_stat__nothing_to_show_is_1(cli):
    assert cli("stat", os.getpid()).returncode == 1
    assert cli("stat", 2**22 + 1).returncode == 1


# --- doctor ---


def doctor(cli, *args, **options):
    done = cli("doctor", "--json", *args, **options)
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report["ok"] else 1)
    return report


def levels(report, area):
    return {f["name"]: f["level"] for f in report["findings"] if f["area"] == area}


def test_doctor__text_has_every_part(cli):
    done = cli("doctor")
    for word in ("INTERFACE", "options", "privileges", "kernel", "limits", "interfaces", "values",
                 "af_xdp", "memlock", "umem_size"):
        assert word in done.stdout


def test_doctor__every_wrong_finding_says_what_to_run(cli):
    report = doctor(cli, "--accelerate=0", "--interface=nowhere0",
                    prefix=["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                            "--bounding-set=-all"])
    wrong = [f for f in report["findings"] if f["level"] == "wrong"]
    assert {f["name"] for f in wrong} >= {"accelerate", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_BPF",
                                          "CAP_PERFMON", "af_xdp", "bpf", "nowhere0"}
    assert all(f["mend"] for f in wrong)


def test_doctor__values_and_their_sources(cli, tmp_path):
    config = tmp_path / "fsock.conf"
    config.write_text("spin = 7\nkernel_look = 8\nspinn = 9\n")
    report = doctor(cli, "--profile=latency",
                    env={"FSOCK_CONFIG": str(config), "FSOCK_KERNEL_LOOK": "9"})
    values = {o["name"]: (o["value"], o["source"]) for o in report["options"]}
    assert values["spin"] == ("7", "user file")
    assert values["kernel_look"] == ("9", "environment")
    assert values["profile"] == ("latency", "command line")
    assert values["umem_size"] == ("16777216", "default")
    config_findings = [f for f in report["findings"] if f["name"] == "config"]
    assert config_findings[0]["text"] == f"{config}:3: unknown option 'spinn'"
    assert not report["ok"]


def test_doctor__limits(cli, pair):
    inside = ["ip", "netns", "exec", pair.a.name]
    assert doctor(cli, prefix=inside)["ok"]
    report = doctor(cli, prefix=[*inside, "prlimit", "--nofile=30:30"])
    assert levels(report, "limits")["nofile"] == "wrong"
    report = doctor(cli, prefix=[*inside, "prlimit", "--memlock=65536:65536", "setpriv",
                                 "--bounding-set=-ipc_lock"])
    assert levels(report, "limits")["memlock"] == "wrong"


def test_doctor__interfaces(cli, pair):
    inside = ["ip", "netns", "exec", pair.a.name]

    def look(*args):
        return {i["name"]: i for i in doctor(cli, *args, prefix=inside)["interfaces"]}

    veth = look()["fst0"]
    assert veth["listed"] and veth["accelerated"] and veth["driver"] == "veth"
    assert (veth["provider"], veth["xdp_mode"], veth["bystanders"]) == ("xdp", "generic", "0 to 15 %")
    assert look()["lo"]["reason"] == "loopback"
    assert look("--xdp-mode=native")["fst0"]["bystanders"] == "up to half"
    assert look("--interface=other0")["fst0"]["reason"] == "no_interface"
    assert look("--provider=nonsense")["fst0"]["accelerated"] is False

    subprocess.run([*inside, "ip", "link", "add", "fstbr0", "type", "bridge"], check=True)
    subprocess.run([*inside, "ip", "link", "set", "fst0", "master", "fstbr0"], check=True)
    assert look()["fst0"]["reason"] == "interface_kind"
    subprocess.run([*inside, "ip", "link", "set", "fst0", "nomaster", "down"], check=True)
    assert look()["fst0"]["reason"] == "interface_down"


def test_doctor__policy_of_the_host(cli, pair):
    inside = ["ip", "netns", "exec", pair.a.name]

    def look(*args):
        return {i["name"]: i for i in doctor(cli, *args, prefix=inside)["interfaces"]}["fst0"]

    assert look()["accelerated"]
    rules = "table inet t { chain c { type filter hook input priority 0; udp dport 9 drop; }; }"
    subprocess.run([*inside, "nft", "-f", "-"], input=rules, text=True, check=True)
    assert look()["reason"] == "policy" and look()["detail"]
    assert look("--policy=ignore")["accelerated"]


def test_doctor__changes_nothing(cli, pair):
    inside = ["ip", "netns", "exec", pair.a.name]

    def state():
        shown = subprocess.run([*inside, "ip", "-d", "link"], capture_output=True, check=True).stdout
        return shown, subprocess.run([*inside, "tc", "qdisc"], capture_output=True, check=True).stdout

    before = state()
    doctor(cli, prefix=inside)
    assert state() == before


# --- providers ---


def providers(cli, side, *args, prefix=(), status=0):
    done = cli("providers", "--json", *args, prefix=["ip", "netns", "exec", side.name, *prefix])
    assert done.returncode == status, done.stderr
    return [p for p in json.loads(done.stdout) if p["interface"] == "fst0"]


def test_providers__ranked_and_chosen(cli, pair):
    xdp, packet = providers(cli, pair.a)
    assert (xdp["provider"], xdp["rank"], xdp["can"], xdp["chosen"], xdp["mode"]) == \
        ("xdp", 1, True, True, "generic")
    assert (packet["provider"], packet["rank"], packet["can"], packet["chosen"], packet["mode"]) == \
        ("packet", 2, True, False, "tap")
    xdp, packet = providers(cli, pair.a, "--provider=packet")
    assert (xdp["can"], xdp["allowed"], xdp["chosen"]) == (True, False, False)
    assert "provider" in xdp["why_not"] and packet["chosen"] and packet["why_not"] is None


def test_providers__say_why_not(cli, pair):
    found = providers(cli, pair.a, prefix=["setpriv", "--bounding-set=-net_raw"], status=1)
    assert [p["can"] for p in found] == [False, False]
    assert all("CAP_NET_RAW" in p["why_not"] for p in found)
    subprocess.run(["ip", "-n", pair.a.name, "link", "set", "fst0", "down"], check=True)
    assert [p["can"] for p in providers(cli, pair.a)] == [True, True]


def test_providers__text(cli, pair):
    done = cli("providers", prefix=["ip", "netns", "exec", pair.a.name])
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0][:5] == ["INTERFACE", "RANK", "PROVIDER", "MODE", "VERDICT"]
    assert ["fst0", "1", "xdp", "generic", "first", "choice", "-"] in lines
    assert ["fst0", "2", "packet", "tap", "can", "-"] in lines
    assert not any(line[0] == "lo" for line in lines[1:])


# --- installed ---


def test_install__works_wherever_the_prefix_stands(tmp_path):
    subprocess.run(["meson", "install", "-C", fsock.build_dir(), "--no-rebuild", "--quiet",
                    "--destdir", tmp_path], check=True, capture_output=True, timeout=60)
    files = {path.name: path for path in tmp_path.rglob("*") if path.is_file()}
    assert set(files) >= {"fsock", "libfsock-preload.so", "fsock.1", "fsock.conf.5", "fsock.conf",
                          "fsock.pc", "version.h", "fsock.h", "api.h", "types.h", "libfsock.so.0.1.0", "fsock.3",
                          "echo.c"}
    assert not files["fsock"].stat().st_mode & (stat.S_ISUID | stat.S_ISGID)
    done = subprocess.run([files["fsock"], "run", "sh", "-c", "echo $LD_PRELOAD"], text=True,
                          capture_output=True, check=True)
    assert done.stdout.strip() == str(files["libfsock-preload.so"])
    shown = subprocess.run(["pkg-config", "--modversion", "fsock"], text=True, capture_output=True,
                           env={**os.environ, "PKG_CONFIG_PATH": str(files["fsock.pc"].parent)},
                           check=True).stdout.strip()
    version = subprocess.run([files["fsock"], "--version"], text=True, capture_output=True, check=True)
    assert version.stdout == f"fsock {shown}\n"
    header = files["version.h"].read_text()
    assert f'"{shown}"' in header


def test_install__an_example_compiles_against_it(tmp_path):
    """As a user's build would: pkg-config, installed headers and library, and nothing of the source tree."""
    subprocess.run(["meson", "install", "-C", fsock.build_dir(), "--no-rebuild", "--quiet",
                    "--destdir", tmp_path], check=True, capture_output=True, timeout=60)
    found = {path.name: path for path in tmp_path.rglob("*")}
    assert (found["libfsock.so"].resolve(), found["libfsock.so.0"].resolve()) == (found["libfsock.so.0.1.0"],) * 2
    env = {**os.environ, "PKG_CONFIG_PATH": str(found["fsock.pc"].parent), "PKG_CONFIG_SYSROOT_DIR": str(tmp_path)}
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "fsock"], text=True, capture_output=True, env=env,
                           check=True).stdout.split()
    for compiler, options in (("cc", ["-std=c11", "-D_DEFAULT_SOURCE", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]),):
        program = tmp_path / "echo"
        subprocess.run([compiler, *options, found["echo.c"], "-o", program, *flags], check=True)
        done = subprocess.run([program], capture_output=True, text=True, check=False,
                              env={**os.environ, "LD_LIBRARY_PATH": str(found["libfsock.so"].parent)})
        assert (done.returncode, done.stderr) == (2, "usage: echo ADDRESS PORT\n")
