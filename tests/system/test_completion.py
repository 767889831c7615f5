# SPDX-License-Identifier: BSD-2-Clause
"""The completions of bash and zsh, asked as the shells ask them."""
import os
import pty
import re
import select
import subprocess
import time

import pytest
from lab import fsock

OPTIONS = {"--profile=", "--interface=", "--provider=", "--bypass=", "--xdp_mode="}


def bash(line):
    """What bash would offer behind @line, its last word unfinished."""
    words = re.findall(r"[=:]|[^\s=:]+", line) + ([""] if line[-1] in " =:" else [])
    script = f"""
        . /usr/share/bash-completion/bash_completion
        . "$1"; shift
        COMP_LINE=$1 COMP_POINT=${{#1}} COMP_CWORD={len(words) - 1}; shift
        COMP_WORDS=("$@")
        _fsock fsock 2>/dev/null
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script, "bash", fsock.build_dir() / "docs" / "fsock", line, *words],
                          capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def bash_offers(line, *expected):
    assert set(expected) <= bash(line), f"{line!r}: {bash(line)}"


def test_bash_commands():
    bash_offers("fsock ", "run", "why", "stat", "doctor", "help", "--version")
    assert bash("fsock st") == {"stat"}
    assert bash("fsock help do") == {"doctor"}


def test_bash_options():
    for command in ("run", "why", "doctor"):
        bash_offers(f"fsock {command} --", "--help", *OPTIONS)
    assert bash("fsock stat --") == {"--help", "--json", "--all", "--watch="}
    assert bash("fsock run --profile=la") == {"latency"}
    bash_offers("fsock run --provider=", "auto", "xdp")
    bash_offers("fsock run --interface=", *os.listdir("/sys/class/net"))


def test_bash_pids():
    assert str(os.getpid()) in bash("fsock stat ")
    assert str(os.getpid()) in bash("fsock why --json ")


@pytest.mark.parametrize("before", ["run ", "run -- ", "run --profile=latency ", "why --json -- ",
                                    "run --bypass=udp:53 --log=info -- "])
def test_bash_programs(before):
    """The program behind the options is completed as a command, its arguments as its own."""
    assert "timeout" in bash(f"fsock {before}timeou")
    assert "--kill-after=" in bash(f"fsock {before}timeout --kill-aft")


class Zsh:
    """A zsh with the completion, behind a terminal: typed at, then asked for its command line."""

    def __init__(self, folder):
        pid, self.fd = pty.fork()
        if pid == 0:
            os.environ.update(TERM="dumb", PS1="ready>", HOME=str(folder))
            os.execvp("zsh", ["zsh", "-f", "-i"])
        self.pid = pid
        self.type(f"fpath=({folder} $fpath); autoload -Uz compinit; compinit -u -d {folder}/dump; "
                  "show() { print -r -- \"<$BUFFER>\"; zle -I }; zle -N show; bindkey '^X' show; "
                  "bindkey '^I' complete-word; LISTMAX=1000; zstyle ':completion:*' insert-unambiguous yes; "
                  "print set''up\n", "setup")

    def type(self, text, until):
        """Type @text and read until the pattern @until shows."""
        os.write(self.fd, text.encode())
        seen, limit = "", time.monotonic() + 20
        while not re.search(until, seen):
            if not select.select([self.fd], [], [], max(0, limit - time.monotonic()))[0]:
                raise AssertionError(f"zsh did not show {until!r}: {seen!r}")
            seen += os.read(self.fd, 65536).decode("utf-8", "replace").replace("\r", "")
        return seen

    def complete(self, line):
        """@line as one TAB leaves it."""
        shown = self.type(f"\x15{line}\t\x18", r"<[^>]*>")
        return re.findall(r"<([^>]*)>", shown)[-1]

    def close(self):
        os.close(self.fd)
        os.waitpid(self.pid, 0)


@pytest.fixture
def zsh(tmp_path):
    (tmp_path / "_fsock").write_bytes((fsock.build_dir() / "docs" / "_fsock").read_bytes())
    shell = Zsh(tmp_path)
    yield shell
    shell.close()


@pytest.mark.parametrize("typed, completed", [
    ("fsock st", "fsock stat "),
    ("fsock help doc", "fsock help doctor "),
    ("fsock run --prof", "fsock run --profile="),
    ("fsock run --profile=la", "fsock run --profile=latency "),
    ("fsock doctor --xdp_mode=gen", "fsock doctor --xdp_mode=generic "),
    ("fsock stat --al", "fsock stat --all "),
    ("fsock why --outp", "fsock why --output="),
    ("fsock run -- timeou", "fsock run -- timeout "),
    ("fsock run --log=info timeou", "fsock run --log=info timeout "),
])
def test_zsh(zsh, typed, completed):
    assert zsh.complete(typed) == completed
