# SPDX-License-Identifier: BSD-2-Clause
"""
state - what a run puts on the machine, written down before it is made.

A run is one python process. Its record is a directory of /run/fsock-lab named after pid and start
time, holding one file of lines 'kind word...': 'ns NAME' for a network namespace, 'proc PID START'
for a process. Ended runs delete their directory. sweep() removes what runs left that did not come
to their end (SIGKILL, power): it acts on records whose run is gone and on namespaces of ours whose
name holds the pid of a run that is gone, and on nothing else.
"""
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import time

STATE = pathlib.Path("/run/fsock-lab")
NAMES = re.compile(r"^(?:fsock-demo|fsock-bench|fst)-(\d+)-(\d+)-[a-z0-9-]+$")


def start_time(pid):
    """Start time of @pid in clock ticks since boot, None when there is no such process."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def namespaces():
    """Names of the network namespaces that `ip netns` knows."""
    try:
        return sorted(os.listdir("/run/netns"))
    except FileNotFoundError:
        return []


def pids_in(name):
    """Processes whose network namespace is @name."""
    try:
        want = os.stat(f"/run/netns/{name}")
    except FileNotFoundError:
        return []
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            have = os.stat(f"/proc/{pid}/ns/net")
        except OSError:
            continue
        if (have.st_dev, have.st_ino) == (want.st_dev, want.st_ino):
            found.append(int(pid))
    return found


def kill_exactly(pid, start):
    """SIGKILL @pid if it still is the process that started at @start."""
    if start is not None and start_time(pid) == start:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def drop_namespace(name):
    """Kill what runs in the namespace @name, which is ours, and remove it."""
    for _ in range(20):
        pids = [p for p in pids_in(name) if p != os.getpid()]
        if not pids:
            break
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.02)
    subprocess.run(["ip", "netns", "del", name], stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, check=False)


def _clear(directory):
    record = directory / "record"
    try:
        lines = record.read_text().splitlines()
    except FileNotFoundError:
        lines = []
    for words in map(str.split, lines):
        if words[:1] == ["proc"] and len(words) == 3:
            kill_exactly(int(words[1]), int(words[2]))
    for words in map(str.split, lines):
        if words[:1] == ["ns"] and len(words) == 2 and words[1] in namespaces():
            drop_namespace(words[1])
    record.unlink(missing_ok=True)
    try:
        directory.rmdir()
    except OSError:
        pass


def _alive(pid, start):
    return start_time(pid) == start


def _records():
    try:
        return sorted(STATE.iterdir())
    except FileNotFoundError:
        return []


def sweep():
    """Remove what former runs left. Returns the names of what was removed."""
    removed = []
    for directory in _records():
        pid, _, start = directory.name.partition("-")
        if not (pid.isdigit() and start.isdigit()) or _alive(int(pid), int(start)):
            continue
        removed.append(f"record of run {pid}")
        _clear(directory)
    for name in namespaces():
        hit = NAMES.match(name)
        if hit and start_time(int(hit[1])) is None:
            drop_namespace(name)
            removed.append(f"namespace {name}")
    return removed


class Record:
    """This run's record. One per process, made on first use by record()."""

    def __init__(self):
        self.pid = os.getpid()
        self.dir = STATE / f"{self.pid}-{start_time(self.pid)}"
        while not self.dir.is_dir():
            STATE.mkdir(mode=0o700, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # the end of another run took STATE away
                self.dir.mkdir(mode=0o700)
        self.file = open(self.dir / "record", "a", buffering=1, encoding="ascii")
        self.count = 0

    def name(self, prefix, role):
        """A namespace name no other run uses, written down before it exists."""
        self.count += 1
        name = f"{prefix}-{self.pid}-{self.count}-{role}"
        self.file.write(f"ns {name}\n")
        return name

    def process(self, pid):
        self.file.write(f"proc {pid} {start_time(pid) or 0}\n")

    def close(self):
        """Remove everything this run still has, then the record itself."""
        if self.pid != os.getpid():
            return
        self.file.close()
        _clear(self.dir)
        try:
            STATE.rmdir()
        except OSError:
            pass


_record = None


def record():
    global _record
    if _record is None or _record.pid != os.getpid():
        _record = Record()
    return _record


def close():
    """End of the run. Safe to call twice."""
    global _record
    if _record is not None:
        _record.close()
        _record = None


def end_on_signals():
    """Turn SIGTERM and SIGHUP into SystemExit, so that every `with` and `finally` runs."""
    def leave(number, _frame):
        raise SystemExit(128 + number)
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)
