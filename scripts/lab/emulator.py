# SPDX-License-Identifier: BSD-2-Clause
"""emulator - a running bench/emulator between the ends of a net.Line."""
import json

from . import fsock, proc

# What an emulator that had too little time or memory counts, and no link of its kind does.
FAILINGS = ("missed", "strange", "no_chunk", "refused", "unsent")


class Failed(Exception):
    pass


class Emulator:
    """
    Context manager: .a and .b of @line see each other over a link of these @settings, as `emulator --help`
    names them, forward being from .a to .b.
    """

    def __init__(self, line, settings):
        argv = [fsock.build_dir() / "bench" / "emulator", *line.ENDS,
                *(f"{key}={value}" for key, value in settings.items())]
        self.process = line.m.popen(argv, env=fsock.CLEAN)

    def __enter__(self):
        if not self.process.wait_for("ready", proc.GUARD):
            self.process.kill()
            raise Failed("emulator: " + self.process.err.strip())
        return self

    def __exit__(self, *_):
        self.process.kill()

    def stop(self):
        """End it; what it counted. Failed: it was not the link it was to be."""
        done = self.process.stop()
        try:
            counted = json.loads(done.out)
        except ValueError:
            raise Failed(f"emulator: {done.status} {done.err.strip()}") from None
        for way in ("forward", "back"):
            for name in FAILINGS:
                if counted[way][name]:
                    raise Failed(f"emulator: {counted[way][name]} frames {way} {name}")
        return counted
