# SPDX-License-Identifier: BSD-2-Clause
"""
kills_who_answers.py ADDRESS PORT CPU [BYTES] - asks a server of workers.py who it is, then says so many bytes and kills it at
the first that come back.

On the processor of the server and before it in turn (SCHED_FIFO): it runs as soon as the answer is there, in the middle of the
call that sent it. Standard output has the number of the process that was killed.
"""
import os
import signal
import socket
import sys

ADDRESS, PORT, CPU, BYTES = (sys.argv[1:] + ["2"])[:4]


def line(sock, say):
    sock.sendall(say)
    data = b""
    while not data.endswith(b"\n"):
        data += sock.recv(100)
    return data


def main():
    os.sched_setaffinity(0, {int(CPU)})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    sock = socket.create_connection((ADDRESS, int(PORT)))
    server = int(line(sock, b"who\n"))
    sock.sendall(b"x" * (int(BYTES) - 1) + b"\n")
    sock.recv(100)
    os.kill(server, signal.SIGKILL)
    print(server, flush=True)


main()
