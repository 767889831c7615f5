# SPDX-License-Identifier: BSD-2-Clause
"""
confined.py kill|refuse COMMAND... - COMMAND under a filter of system calls that stands before it begins, as service managers
set them: what it knows of bpf and io_uring (x86-64's numbers) kills, or is refused with EPERM.
"""
import ctypes
import os
import sys

BPF, IO_URING_SETUP = 321, 425
ALLOW, KILL, REFUSE = 0x7fff0000, 0x80000000, 0x00050001
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, FILTER = 22, 38, 2


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]


def step(code, yes, no, value):
    return code.to_bytes(2, "little") + bytes((yes, no)) + value.to_bytes(4, "little")


code = step(0x20, 0, 0, 0)  # the number of the call
for number in (BPF, IO_URING_SETUP):
    code += step(0x15, 0, 1, number) + step(6, 0, 0, KILL if sys.argv[1] == "kill" else REFUSE)
code += step(6, 0, 0, ALLOW)
program = Program(len(code) // 8, ctypes.cast(ctypes.c_char_p(code), ctypes.c_void_p))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, ctypes.get_errno()
assert libc.prctl(PR_SET_SECCOMP, FILTER, ctypes.byref(program), 0, 0) == 0, ctypes.get_errno()
os.execvp(sys.argv[2], sys.argv[2:])
