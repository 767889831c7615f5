# SPDX-License-Identifier: BSD-2-Clause
"""
proc - child processes that cannot outlive the run.

Each child leads a session of its own, is written down in the run's record, asks the kernel for
SIGKILL when the run dies, and is killed with its process group when its `with` block ends.
"""
import collections
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from . import state

_libc = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1

SETPRIV = shutil.which("setpriv")

GUARD = 60  # seconds after which a program hangs, however little of a processor it got

Result = collections.namedtuple("Result", "status out err seconds")


def die_with(parent):
    """For the child between fork and exec: SIGKILL when @parent, our caller, dies."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(127)


def cpus():
    """The processors we may use; [0, 0] on a machine with one, so that a pair can always be had."""
    have = sorted(os.sched_getaffinity(0))
    return have if len(have) > 1 else have * 2


def until(holds, timeout=GUARD):
    """Wait for @holds() to be true; what it said last."""
    end = time.monotonic() + timeout
    while True:
        said = holds()
        if said or time.monotonic() >= end:
            return said
        time.sleep(0.01)


def calls_between(log):
    """
    Of a program that writes "begin" and "end" to standard output around each of something, the system calls in between, by
    what strace wrote to @log.
    """
    found, within = [], None
    for line in log.read_text().splitlines():
        if 'write(1, "begin' in line:
            found.append(within := [])
        elif 'write(1, "end' in line:
            within = None
        elif within is not None:
            within.append(line)
    return found


@contextlib.contextmanager
def _pinned(cpu):
    """This thread, and whom it starts, on @cpu alone; None: as it is."""
    before = os.sched_getaffinity(0)
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        if cpu is not None:
            os.sched_setaffinity(0, before)


_renumbering = threading.Lock()


@contextlib.contextmanager
def _renumbered(numbers):
    """Descriptors have other numbers as well, by @numbers {number: descriptor}, instead of what is open there."""
    with _renumbering if numbers else contextlib.nullcontext():
        kept = {number: os.dup(number) for number in numbers}
        try:
            for number, fd in numbers.items():
                os.dup2(fd, number, inheritable=False)
            yield
        finally:
            for number, fd in kept.items():
                os.dup2(fd, number, inheritable=False)
                os.close(fd)


def _start(argv, preexec, **options):
    """
    A session of its own that dies with us. A fork copies what maps our memory, 20 ms for a run of two thousand tests, so
    there is one only for what has to be done in the child itself.
    """
    parent = os.getpid()

    def prepare():
        die_with(parent)
        # A run in the background of a shell ignores it, and what it starts would inherit that.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if preexec is not None:
            preexec()

    if preexec is None and SETPRIV and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        return subprocess.Popen([SETPRIV, "--pdeathsig", "KILL", "--", *argv], start_new_session=True, **options)
    return subprocess.Popen(argv, start_new_session=True, preexec_fn=prepare, **options)


class Process:
    """
    A running child. @cpu pins it; @env adds to our environment (None removes a name); output goes to unnamed files, so a
    chatty child never blocks. @fds are inherited under their numbers, those of @numbers {number: descriptor} under others,
    at which something is open here, too. @preexec is called in the child.
    """

    def __init__(self, argv, cpu=None, env=None, fds=(), stdin=None, cwd=None, preexec=None, numbers=None):
        full = dict(os.environ)
        # Where it is set, one print() is many write(), and a look at the output finds half a line.
        full.pop("PYTHONUNBUFFERED", None)
        for name, value in (env or {}).items():
            if value is None:
                full.pop(name, None)
            else:
                full[name] = str(value)
        self.argv = [str(word) for word in argv]
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self.began = time.monotonic()
        with _pinned(cpu), _renumbered(numbers or {}):
            self.child = _start(
                self.argv, preexec, stdin=stdin or subprocess.DEVNULL, stdout=self._out, stderr=self._err,
                env=full, cwd=cwd, pass_fds=(*fds, *(numbers or ())))
        self.pid = self.child.pid
        state.record().process(self.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def alive(self):
        return self.child.poll() is None

    def send(self, number):
        if self.alive():
            os.kill(self.pid, number)

    def kill(self):
        """SIGKILL to the group, and wait for its end: what is left of it holds ports and interfaces."""
        self._to_group(signal.SIGKILL)
        self.child.wait()
        until(lambda: not self._to_group(0))

    def _to_group(self, number):
        """False: nobody is left in it. Its number is ours as long as one member lives."""
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    @staticmethod
    def _read(file):
        # pread: the offset is shared with the child, which may still be writing.
        size = os.fstat(file.fileno()).st_size
        return os.pread(file.fileno(), size, 0).decode("utf-8", "replace")

    @property
    def out(self):
        return self._read(self._out)

    @property
    def err(self):
        return self._read(self._err)

    def wait_for(self, text, timeout=GUARD):
        """Until @text shows in the output. False when it ended or the time is up."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            if text in self.out or text in self.err:
                return True
            if not self.alive():
                return text in self.out or text in self.err
            time.sleep(0.01)
        return False

    def finish(self, timeout=GUARD):
        """Wait for the end; a child that does not come to one is killed and status is None."""
        try:
            status = self.child.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            status = None
        return Result(status, self.out, self.err, time.monotonic() - self.began)

    def stop(self, timeout=GUARD, number=signal.SIGINT):
        """Ask for the end with @number, then insist."""
        self.send(number)
        return self.finish(timeout)
