# SPDX-License-Identifier: BSD-2-Clause
"""
executes.py ADDRESS PORT [NAME=NUMBER]... - sockets of a program that executes programs, itself above all.

Does what lines of standard input say, and answers each with "done", or what went wrong:
  listen, accept, connect, datagrams                make the sockets listener, peer, peer, datagrams
  talk N                                            says back N times nine bytes of the peer's
  ask N                                             sends N times nine bytes by datagrams, which come back
  queue N                                           sends N random bytes to the peer, who does not read yet
  drain N                                           reads N bytes of the peer's and says their sum
  watch, event                                      makes the set, which has the peer in it; says back nine bytes when
                                                    that tells of them
  keep NAME, drop NAME                              the socket or set goes along from now on; or is closed
  become WHAT                                       is from then on another for the kernel, a little (see BECOME)
  execute [HOW]                                     this program again (bare: without LD_PRELOAD, off: with acceleration
                                                    switched off, threaded: while there is another thread, by: by
                                                    another thread, exec...: by that function of libc's, late FILE:
                                                    with FILE as another library to load, nameless: LD_PRELOAD without
                                                    a folder, doubled: an empty one behind it, listed: what ld.so would
                                                    load)
  echo [PROGRAM]                                    PROGRAM (python) with ECHO, which says back what the peer says
  static PROGRAM                                    the same with takes_over
  child [USER]                                      the same in a child (of another user), whose peer it is from then on
  spawn                                             runs a program in a child of vfork()
  fail KIND                                         an exec that fails, or only asks
  nothing
  numbers                                           which descriptors an executed program would have
  end
"""
import ctypes
import errno
import hashlib
import os
import random
import select
import socket
import subprocess
import sys
import threading

ADDRESS, PORT = sys.argv[1], int(sys.argv[2])
FAMILY = socket.AF_INET6 if ":" in ADDRESS else socket.AF_INET
TOO_LONG = "x" * (1 << 20)
ECHO = """
import socket, sys
peer = socket.socket(fileno=int(sys.argv[1]))
while data := peer.recv(65536):
    peer.sendall(data)
"""


def say(word):
    os.write(1, word.encode() + b"\n")


def line():
    """Without reading ahead: the rest is for whoever is executed."""
    got = b""
    while not got.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            sys.exit(0)
        got += byte
    return got.decode().split()


def exactly(sock, count):
    got = bytearray()
    while len(got) < count:
        data = sock.recv(count - len(got))
        assert data, "end of the stream"
        got += data
    return bytes(got)


# Past whatever stands before libc's own.
LIBC = ctypes.CDLL("libc.so.6", use_errno=True)
NOBODY = 65534
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
AT_EXECVE_CHECK = 0x10000
CLONE_NEWTIME = 0x80


class Filter(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("insns", ctypes.c_char_p)]


def confine():
    """By a filter that allows everything: BPF_RET with SECCOMP_RET_ALLOW."""
    allow = Filter(1, (6).to_bytes(2, sys.byteorder) + bytes(2) + 0x7fff0000.to_bytes(4, sys.byteorder))
    assert LIBC.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(allow)) == 0, os.strerror(ctypes.get_errno())


def own_time():
    assert LIBC.unshare(CLONE_NEWTIME) == 0, os.strerror(ctypes.get_errno())
    with open("/proc/self/timens_offsets", "w", encoding="ascii") as offsets:
        offsets.write("monotonic 1000 0")


BECOME = {
    "of another time": own_time,
    "confined": confine,
    "never more": lambda: LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
    "grouped": lambda: os.setgroups([NOBODY]),
    "of a saved user": lambda: os.setresuid(-1, -1, NOBODY),
    "nobody": lambda: os.setuid(NOBODY),
}


def strings(words):
    """As exec takes them."""
    return (ctypes.c_char_p * (len(words) + 1))(*map(os.fsencode, words))


def execute_by(function, argv, env):
    """Libc's @function; python itself knows execve() and execv() only."""
    folder, name = os.path.split(sys.executable)
    path, name, words = os.fsencode(sys.executable), os.fsencode(name), strings(argv)
    said = strings([f"{key}={value}" for key, value in env.items()])
    os.environ["PATH"] = folder # of those that search it
    arguments = {
        "execl": (path, *words), "execlp": (name, *words), "execle": (path, *words, said),
        "execv": (path, words), "execvp": (name, words), "execvpe": (name, words, said),
        "fexecve": (os.open(sys.executable, os.O_RDONLY), words, said),
        "execveat": (os.open(folder, os.O_RDONLY), name, words, said, 0)}[function]
    getattr(ctypes.CDLL(None), function)(*arguments)


def number_of(word):
    return int(word.split("=")[1])


class Program:
    def __init__(self, words):
        self.socks = {word.split("=")[0]: socket.socket(fileno=number_of(word)) for word in words if word[:4] != "set="}
        self.socks.update({"set": select.epoll.fromfd(number_of(word)) for word in words if word[:4] == "set="})

    def nothing(self):
        pass

    def listen(self):
        self.socks["listener"] = socket.create_server((ADDRESS, PORT), family=FAMILY)

    def accept(self):
        self.socks["peer"] = self.socks["listener"].accept()[0]

    def connect(self):
        self.socks["peer"] = socket.create_connection((ADDRESS, PORT))

    def datagrams(self):
        self.socks["datagrams"] = sock = socket.socket(FAMILY, socket.SOCK_DGRAM)
        sock.connect((ADDRESS, PORT))

    def talk(self, count):
        for _ in range(int(count)):
            self.socks["peer"].sendall(exactly(self.socks["peer"], 9))

    def ask(self, count):
        for i in range(int(count)):
            self.socks["datagrams"].send(b"%9d" % i)
            assert self.socks["datagrams"].recv(100) == b"%9d" % i

    def queue(self, count):
        sock = self.socks["peer"]
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * int(count))
        sock.sendall(random.Random(1).randbytes(int(count)))

    def drain(self, count):
        say(hashlib.sha256(exactly(self.socks["peer"], int(count))).hexdigest())

    def watch(self):
        self.socks["set"] = select.epoll()
        self.socks["set"].register(self.socks["peer"], select.EPOLLIN)

    def event(self):
        assert self.socks["set"].poll() == [(self.socks["peer"].fileno(), select.EPOLLIN)]
        self.talk(1)

    def keep(self, name):
        os.set_inheritable(self.socks[name].fileno(), True)

    def become(self, *words):
        BECOME[" ".join(words)]()

    def drop(self, name):
        self.socks.pop(name).close()

    def _argv(self):
        kept = [f"{name}={sock.fileno()}" for name, sock in self.socks.items() if os.get_inheritable(sock.fileno())]
        return [sys.executable, sys.argv[0], ADDRESS, str(PORT), *kept]

    def execute(self, *words):
        env = dict(os.environ)
        assert not [name for name in env if "INHERIT" in name], env
        if "bare" in words:
            del env["LD_PRELOAD"]
        if "off" in words:
            env["FSOCK_ACCELERATE"] = "0"
        if "late" in words:
            env["LD_PRELOAD"] += ":" + words[-1]
        if "listed" in words:
            env["LD_TRACE_LOADED_OBJECTS"] = "1"
        if "nameless" in words:
            folder, env["LD_PRELOAD"] = os.path.split(env["LD_PRELOAD"])
            os.chdir(folder)
        if "doubled" in words:
            said = [f"{name}={value}" for name, value in env.items()] + ["LD_PRELOAD="]
            ctypes.CDLL(None).execve(sys.executable.encode(), strings(self._argv()), strings(said))
        if words and "exec" in words[0]:
            execute_by(words[0], self._argv(), env)
        if "threaded" in words:
            threading.Thread(target=threading.Event().wait, daemon=True).start()
        if "by" in words:
            by = threading.Thread(target=os.execve, args=(sys.executable, self._argv(), env))
            by.start()
            by.join()
        os.execve(sys.executable, self._argv(), env)

    def echo(self, program=sys.executable):
        os.execv(program, [program, "-c", ECHO, str(self.socks["peer"].fileno())])

    def static(self, program):
        """takes_over, which says back as well."""
        os.execv(program, [program, str(self.socks["peer"].fileno()), "1", "0"])

    def child(self, user=None):
        if os.fork() == 0:
            if user:
                os.setuid(int(user))
            self.echo()
        self.drop("peer")

    def spawn(self):
        subprocess.run([sys.executable, "-c", ""], close_fds=False, check=True)

    def fail(self, kind):
        if kind == "check": # which executes nothing, whatever it says
            argv, envp = (ctypes.c_char_p * 2)(b"x"), (ctypes.c_char_p * 1)()
            ctypes.CDLL(None).execveat(-1, sys.executable.encode(), argv, envp, AT_EXECVE_CHECK)
            return
        path, argv, wanted = {
            "absent": ("/nowhere/at/all", ["x"], errno.ENOENT),
            "folder": ("/tmp", ["x"], errno.EACCES),
            "forbidden": (sys.argv[0], ["x"], errno.EACCES), # which nobody may execute
            "long": (sys.executable, ["x", TOO_LONG], errno.E2BIG),
        }[kind]
        try:
            os.execv(path, argv)
        except OSError as error:
            assert error.errno == wanted, error

    def numbers(self):
        """Through libc's own posix_spawn(), which does not pass by the library."""
        out, into = os.pipe()
        os.set_inheritable(into, True)
        child = os.posix_spawn("/bin/ls", ["ls", "/proc/self/fd"], {}, file_actions=[(os.POSIX_SPAWN_DUP2, into, 1)])
        os.close(into)
        with open(out, encoding="ascii") as listed:
            say(" ".join(number for number in listed.read().split() if int(number) > 2))
        os.waitpid(child, 0)

    def run(self):
        while (words := line()) != ["end"]:
            try:
                getattr(self, words[0])(*words[1:])
                say("done")
            except (OSError, AssertionError) as error:
                say(f"{words} went wrong: {error!r}")


Program(sys.argv[3:]).run()
