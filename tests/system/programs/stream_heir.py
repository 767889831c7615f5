# SPDX-License-Identifier: BSD-2-Clause
"""
stream_heir.py WAY ADDRESS PORT END CALLS GENERATIONS - a connection whose first process ends.

WAY: connect (to ADDRESS), accept (there) or prefork (a child accepts). END: exec, exit or kill. CALLS: joined (the heir
speaks before the end), fresh, closed (fresh, and the first process closes it before) or hasty (closed at once, with the heir
hardly born). GENERATIONS: 1, or 2 for a grandchild whose parent is gone. The peer says back what it
hears. Standard input tells the heir when to go on, "listen" first or "speak", and when to end.
"""
import os
import select
import signal
import socket
import sys
import time

WAY, ADDRESS, PORT, END, CALLS, GENERATIONS = sys.argv[1:]
UNASKED = b"unasked: "


def say(*words):
    print(*words, flush=True)


def ask(sock, count):
    for i in range(count):
        sock.sendall(b"%9d" % i)
        assert sock.recv(9, socket.MSG_WAITALL) == b"%9d" % i


def begin():
    """The listener, if there is one, and the connection."""
    if WAY == "connect":
        return None, socket.create_connection((ADDRESS, int(PORT)))
    listener = socket.create_server((ADDRESS, int(PORT)), family=socket.AF_INET6 if ":" in ADDRESS else socket.AF_INET)
    say("ready")
    return listener, listener.accept()[0] if WAY == "accept" else None


def end():
    if END == "exec":
        os.execvp("sleep", ["sleep", "60"])
    if END == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit(0)


def is_over(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return "(sleep)" in (text := file.read()) or text.rsplit(")", 1)[1].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def inherit(listener, sock, first, told):
    if not sock:
        sock = listener.accept()[0]
    if CALLS == "joined":
        ask(sock, 50)
    os.write(told, b".")
    while not is_over(first):
        time.sleep(0.01)
    say("over", os.getpid(), "")
    if sys.stdin.readline() == "listen\n":
        assert sock.recv(9, socket.MSG_WAITALL) == UNASKED
    ask(sock, 300)
    say("well")
    while not select.select([sys.stdin], [], [], 0.01)[0]:
        ask(sock, 1)
    if WAY == "prefork":
        sys.stdin.readline()
        ask(listener.accept()[0], 100)
        say("again")
        sys.stdin.readline()


def main():
    listener, sock = begin()
    if sock:
        ask(sock, 50)
    first = os.getpid()
    tells, told = os.pipe()
    if os.fork():
        if CALLS != "hasty":
            os.read(tells, 1)
        if CALLS in ("closed", "hasty"):
            sock.close()
        end()
    if GENERATIONS == "2" and os.fork():
        os._exit(0)
    inherit(listener, sock, first, told)


main()
