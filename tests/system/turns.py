# SPDX-License-Identifier: BSD-2-Clause
"""
turns - several pytest processes that share one run: each takes the next test that nobody took.

All collect the same tests in the same order. What they agree on is in one folder: two counters, and a lock
that is held shared while tests run side by side, and alone by who runs those marked so after all the others.
"""
import fcntl
import os


class Turns:
    """Iterate over (test, the one after it in this process or None) of this process."""

    def __init__(self, folder, items):
        self.folder = folder
        self.alone = [item for item in items if item.get_closest_marker("alone")]
        self.beside = sorted((item for item in items if not item.get_closest_marker("alone")),
                             key=lambda item: item.get_closest_marker("early") is None)
        (folder / "collected").write_text(str(len(items)))

    def _claim(self, name, items):
        """The next of @items that no process has taken, again and again."""
        while True:
            fd = os.open(self.folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                taken = int(os.pread(fd, 20, 0) or b"0")
                if taken >= len(items):
                    return
                os.pwrite(fd, b"%d" % (taken + 1), 0)
            finally:
                os.close(fd)
            yield items[taken]

    @staticmethod
    def _pairs(items, last):
        item = next(items, None)
        while item is not None:
            following = next(items, None)
            yield item, following if following is not None else last
            item = following

    def __iter__(self):
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
            # With any test to come, whoever gets it, what lives as long as the session stays.
            yield from self._pairs(self._claim("beside", self.beside), self.alone[0] if self.alone else None)
            fcntl.flock(lock, fcntl.LOCK_UN)
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield from self._pairs(self._claim("alone", self.alone), None)
        finally:
            os.close(lock)
