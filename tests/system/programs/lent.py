# SPDX-License-Identifier: BSD-2-Clause
"""
lent.py END - a service that a manager gave a listener, and that never accepts: it sleeps until SIGUSR1 and then ENDs, each
way one of those in which the listener goes.
"""
import os
import select
import signal
import socket
import sys

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
listener, end = socket.socket(fileno=3), sys.argv[1]
inherits = end in ("child", "heir", "brothers")
lives, ends = os.pipe()  # read: it ends with whoever has the other end
called, calls = os.pipe()
child = os.fork() if inherits else None
if child == 0:
    os.close(ends)
    if end != "heir":
        select.select([listener], [], [], 0)  # its first call
    os.write(calls, b"x")
    os.read(lives, 1)
    os._exit(0)
if inherits:
    os.read(called, 1)
print("sleeps", os.getpid(), flush=True)
signal.sigwait({signal.SIGUSR1})
if end == "close":
    listener.close()
elif end == "replace":
    os.dup2(0, 3)
elif end == "execute":
    os.set_inheritable(3, False)
    os.execv("/bin/true", ["true"])
elif end == "child":  # has it alone, and is the last
    listener.close()
    os.close(ends)
    os.waitpid(child, 0)
elif end == "_exit":
    os._exit(0)
listener.detach()  # or python would close it
