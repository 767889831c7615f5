# SPDX-License-Identifier: BSD-2-Clause
"""
manager.py KIND HOST PORT OPTIONS - what a service manager does of socket activation: opens a socket, "stream" or
"datagram", sets OPTIONS, a list of (level, name, value), and gives it as number 3 to one program after the other. Each
line read is the argv of one, in JSON. When that and its children have ended it prints "ended STATUS" and what the
socket's description is like then.
"""
import ast
import ctypes
import fcntl
import json
import os
import socket
import struct
import sys

SO_ATTACH_FILTER = 26
kind, host, port, options = sys.argv[1], sys.argv[2], int(sys.argv[3]), ast.literal_eval(sys.argv[4])
made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET,
                     socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM)
all_pass = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0xffffffff))  # BPF_RET | BPF_K
for level, name, value in options:
    if (level, name) == (socket.SOL_SOCKET, SO_ATTACH_FILTER):
        value = struct.pack("HxxxxxxQ", 1, ctypes.addressof(all_pass))
    made.setsockopt(level, name, value)
made.bind((host, port))
if kind == "stream":
    made.listen(16)
print("opened", flush=True)
for line in sys.stdin:
    lives, ends = os.pipe()
    child = os.fork()
    if child == 0:
        os.set_inheritable(ends, True)
        os.dup2(made.fileno(), 3)
        os.set_inheritable(3, True)  # which it was already, perhaps
        os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
        argv = json.loads(line)
        os.execv(argv[0], argv)
    os.close(ends)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.read(lives, 1)  # until its children have ended, too
    os.close(lives)
    print("ended", status, "nonblock", bool(fcntl.fcntl(made, fcntl.F_GETFL) & os.O_NONBLOCK),
          "room", made.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF), flush=True)
