# SPDX-License-Identifier: BSD-2-Clause
"""until_end - threads that do the same again and again until standard input ends, and what they say of it meanwhile."""
import http.client
import sys
import threading


class Tally:
    """Of all threads: how often it went well (.good) and how often not (.bad); the first bad ones on standard error."""

    def __init__(self):
        self.good = self.bad = 0
        self.lock, self.over = threading.Lock(), threading.Event()

    def keep_on(self, what, *arguments, name=""):
        """Call @what until the end; every twentieth good call prints how many there were."""
        while not self.over.is_set():
            try:
                what(*arguments)
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self._count(f"{name} {error!r}".lstrip())
            else:
                self._count(None)

    def _count(self, wrong):
        with self.lock:
            if wrong is None:
                self.good += 1
                if self.good % 20 == 0:
                    print(self.good, flush=True)
            else:
                self.bad += 1
                if self.bad <= 5:
                    print(wrong, file=sys.stderr, flush=True)

    def run(self, threads):
        """Start @threads, which keep_on(), and wait for the end."""
        for thread in threads:
            thread.start()
        sys.stdin.read()
        self.over.set()
        for thread in threads:
            thread.join()
