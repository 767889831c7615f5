#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""
check_exports.py - does the preloaded library take the place of every call it must, and of nothing else? Does
libfsock.so export what its header declares, and nothing else?

usage: check_exports.py LIBRARY VERSION_SCRIPT CC...           judge the preloaded library
       check_exports.py --api LIBRARY VERSION_SCRIPT HEADER    judge libfsock.so
       check_exports.py --tests FOLDER                         has every wrapped call a test below FOLDER that names it?
       check_exports.py --selftest CC...                       judge this check by libraries that break it

Fails when a call of the list below, or another name that the headers make of it (fortified, large
files), is not exported; when anything else is; when more than libc is needed; when the stack
would be executable or text relocated.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

# What the preload wraps: sockets, data, multiplexing, descriptors.
WRAPPED = """
socket bind connect listen accept accept4 getsockname getpeername shutdown setsockopt getsockopt
send sendto sendmsg sendmmsg write writev pwritev2
recv recvfrom recvmsg recvmmsg read readv preadv2
sendfile splice dprintf vdprintf
poll ppoll select pselect epoll_ctl epoll_wait epoll_pwait epoll_pwait2
close close_range closefrom fclose freopen fdopen dup dup2 dup3 pidfd_getfd fcntl ioctl sockatmark
vfork clone _exit _Exit daemon execve execv execvp execvpe fexecve execveat execl execlp execle
setuid setgid seteuid setegid setreuid setregid setresuid setresgid setgroups initgroups unshare setns
syscall prctl capset
""".split()

# By it libfsock.so finds that it is not alone (src/api/table.h).
PRIVATE = {"fsock_private_context_1"}

# Calls of the same families whose kernel answer on the shadow is the right one, and why.
SHADOWS = {
    "epoll_create": "an epoll descriptor is a real one",
    "epoll_create1": "likewise",
    "fdelt": "checks a number",
    "pread": "sockets have no position: ESPIPE",
    "pwrite": "likewise",
    "preadv": "likewise",
    "pwritev": "likewise",
    "tee": "between pipes only",
    "vmsplice": "between a pipe and memory only",
    "copy_file_range": "between files only",
    "fork": "pthread_atfork() tells",
    "quick_exit": "at_quick_exit() tells",
}

# Uses each call so that headers can put their other names in: sizes known, lengths not.
CLIENT = r"""
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Of no header of libc's, or of no older one's. */
int capset(void *header, const void *data);
int pidfd_getfd(int pidfd, int fd, unsigned flags);
int __vfork(void);
int __clone(int (*begin)(void *), void *stack, int flags, void *arg, ...);

int use(int fd, size_t n, char **more, va_list args)
{
	char buf[64];
	struct pollfd fds[4];
	struct epoll_event events[4];
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct mmsghdr vec = { .msg_hdr = msg };
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	fd_set set;
	int sum = 0;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	sum += socket(AF_INET, SOCK_DGRAM, 0) + bind(fd, (void *)&name, len);
	sum += connect(fd, (void *)&name, len) + listen(fd, 1) + shutdown(fd, 0);
	sum += accept(fd, (void *)&name, &len) + accept4(fd, (void *)&name, &len, 0);
	sum += getsockname(fd, (void *)&name, &len) + getpeername(fd, (void *)&name, &len);
	sum += setsockopt(fd, 1, 1, buf, len) + getsockopt(fd, 1, 1, buf, &len);
	sum += send(fd, buf, n, 0) + sendto(fd, buf, n, 0, (void *)&name, len) + sendmsg(fd, &msg, 0);
	sum += sendmmsg(fd, &vec, 1, 0) + write(fd, buf, n) + writev(fd, &iov, 1);
	sum += recv(fd, buf, n, 0) + recvfrom(fd, buf, n, 0, (void *)&name, &len) + recvmsg(fd, &msg, 0);
	sum += recvmmsg(fd, &vec, 1, 0, NULL) + read(fd, buf, n) + readv(fd, &iov, 1);
	sum += pread(fd, buf, n, 0) + pwrite(fd, buf, n, 0) + preadv(fd, &iov, 1, 0) + pwritev(fd, &iov, 1, 0);
	sum += preadv2(fd, &iov, 1, -1, 0) + pwritev2(fd, &iov, 1, -1, 0);
	sum += sendfile(fd, fd, NULL, n) + splice(fd, NULL, fd, NULL, n, 0);
	sum += dprintf(fd, more[0], n) + vdprintf(fd, more[0], args);
	sum += poll(fds, n, 0) + ppoll(fds, n, NULL, NULL);
	sum += select(fd, &set, NULL, NULL, NULL) + pselect(fd, &set, NULL, NULL, NULL, NULL);
	sum += epoll_create(1) + epoll_create1(0) + epoll_ctl(fd, 1, fd, events);
	sum += epoll_wait(fd, events, n, 0) + epoll_pwait(fd, events, n, 0, NULL);
	sum += epoll_pwait2(fd, events, n, NULL, NULL);
	sum += dup(fd) + dup2(fd, fd) + dup3(fd, fd, 0) + pidfd_getfd(fd, fd, 0) + fcntl(fd, F_SETFL, 0);
	sum += ioctl(fd, FIONREAD, &sum) + sockatmark(fd);
	sum += close_range(3, 4, 0) + close(fd) + fork();
	sum += setuid(n) + setgid(n) + seteuid(n) + setegid(n) + setreuid(n, n) + setregid(n, n) + setresuid(n, n, n);
	sum += setresgid(n, n, n) + setgroups(0, NULL) + initgroups(buf, n) + unshare(0) + setns(fd, 0);
	sum += execve(buf, more, more) + execv(buf, more) + execvp(buf, more) + execvpe(buf, more, more);
	sum += fexecve(fd, more, more) + execveat(fd, buf, more, more, 0) + execl(buf, buf, NULL) + execlp(buf, buf, NULL);
	sum += execle(buf, buf, NULL, more);
	closefrom(3);
	sum += daemon(1, 1) + vfork() + clone(NULL, buf, 0, NULL) + __vfork() + __clone(NULL, buf, 0, NULL);
	sum += syscall(n, fd) + prctl(fd, n) + capset(buf, buf);
	sum += freopen("x", "r", stdin) == fdopen(fd, "r");
	fclose(stdin);
	if (sum == 1)
		_Exit(sum);
	if (sum == 2)
		quick_exit(sum);
	_exit(sum + buf[fd & 63]);
}
"""
VARIANTS = {
    "plain": ["-O2", "-U_FORTIFY_SOURCE"],
    "fortified 1": ["-O2", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=1"],
    "fortified 2": ["-O2", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"],
    "fortified 3": ["-O2", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=3"],
    "large files": ["-O2", "-U_FORTIFY_SOURCE", "-D_FILE_OFFSET_BITS=64"],
    "large files, fortified": ["-O2", "-U_FORTIFY_SOURCE", "-D_FILE_OFFSET_BITS=64", "-D_FORTIFY_SOURCE=3"],
}
LIBC = re.compile(r"libc\.so\.6|ld-linux-.*\.so\.\d+")


def run(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def symbols(*argv):
    """Names that nm prints, less their versions."""
    return {line.split()[-1].partition("@")[0] for line in run("nm", *argv).splitlines()}


def family(name):
    """__recv_chk -> recv, fcntl64 -> fcntl, preadv64v2 -> preadv2, __open_2 -> open."""
    if name in WRAPPED or name in SHADOWS:
        return name
    base = re.sub(r"(_chk|_2)$", "", name.removeprefix("__"))
    base = base.replace("64v2", "2").removesuffix("64")
    return base


def needed_names(cc, folder):
    """Undefined symbols of the clients that belong to a family of ours: name -> a variant."""
    source = os.path.join(folder, "client.c")
    with open(source, "w", encoding="ascii") as file:
        file.write(CLIENT)
    names = {}
    for variant, flags in VARIANTS.items():
        target = os.path.join(folder, "client.o")
        run(*cc, "-std=gnu17", "-D_GNU_SOURCE", "-w", *flags, "-c", source, "-o", target)
        for name in symbols("-u", target):
            names.setdefault(name, variant)
    return names


def listed(script):
    """Names after 'global:' of a version script."""
    with open(script, encoding="ascii") as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
    return set(re.search(r"global:(.*?)local:", text, re.S)[1].replace(";", " ").split())


def judge(library, script, cc):
    """List of what is wrong with the preloaded library."""
    bad = []
    exported = symbols("-D", "--defined-only", library)
    allowed = listed(script)
    bad += [f"{name} is not exported" for name in PRIVATE - exported]
    with tempfile.TemporaryDirectory() as folder:
        needed = needed_names(cc, folder)
    for name in WRAPPED:
        if name not in exported:
            bad.append(f"{name} is not exported")
        if name not in needed:
            bad.append(f"no client asks for {name}: the check is out of date")
    for name, variant in sorted(needed.items()):
        if family(name) in WRAPPED and name not in exported and name not in WRAPPED:
            bad.append(f"{name} is not exported; a client built '{variant}' calls it for {family(name)}")
    bad += [f"{name} is exported but is no call that is wrapped" for name in sorted(exported - PRIVATE)
            if family(name) not in WRAPPED]
    return bad + compare(exported, allowed) + hygiene(library)


def judge_api(library, script, header):
    """List of what is wrong with libfsock.so."""
    exported = {name for name in symbols("-D", "--defined-only", library) if not name.startswith("FSOCK_")}
    with open(header, encoding="ascii") as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
    declared = set(re.findall(r"\b(fsock_\w+)\(", text))
    bad = [f"{name} is declared and not exported" for name in sorted(declared - exported)]
    bad += [f"{name} is exported and not declared" for name in sorted(exported - declared)]
    return bad + compare(exported, listed(script)) + hygiene(library)


def judge_tests(folder):
    """List of the wrapped calls that nothing below @folder calls, in C or in python, or looks up by name."""
    files = [path for path in sorted(pathlib.Path(folder).rglob("*")) if path.suffix in (".c", ".h", ".py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    return [f"no test below {folder} calls {name}" for name in WRAPPED
            if not re.search(rf"""\b{name}\(|["'.]{name}\b""", text)]


def compare(exported, allowed):
    """With the version script."""
    return ([f"{name} is exported and not listed" for name in sorted(exported - allowed)] +
            [f"{name} is listed and not defined" for name in sorted(allowed - exported)])


def hygiene(library):
    """What holds for every library that goes into a program."""
    bad = []
    dynamic, headers = run("readelf", "-dW", library), run("readelf", "-lW", library)
    bad += [f"needs {name}" for name in re.findall(r"NEEDED.*\[(.+)\]", dynamic)
            if not LIBC.fullmatch(name)]
    if "TEXTREL" in dynamic:
        bad.append("has text relocations")
    if re.search(r"\((RPATH|RUNPATH)\)", dynamic):
        bad.append("names a search path")
    stack = re.search(r"GNU_STACK(.*)", headers)
    if not stack or "E" in re.sub(r"0x[0-9a-f]+", "", stack[1]):
        bad.append("asks for an executable stack")
    return bad


def selftest(cc):
    """A good library is passed, each broken one is found."""
    names = sorted(set(WRAPPED) | PRIVATE |
                   {"__sendmmsg", "__vfork", "__clone", "__read_chk", "__recv_chk", "__recvfrom_chk", "__poll_chk", "__ppoll_chk", "__dprintf_chk",
                    "__vdprintf_chk", "fcntl64", "freopen64", "sendfile64", "preadv64v2", "pwritev64v2"})
    cases = {
        None: (names, names, []),
        "recv is not exported": ([n for n in names if n != "recv"], names, []),
        "__recv_chk is not exported": ([n for n in names if n != "__recv_chk"], names, []),
        "fsock_private_context_1 is not exported": ([n for n in names if n not in PRIVATE], names, []),
        "fcntl64 is not exported": ([n for n in names if n != "fcntl64"], names, []),
        "malloc is exported": ([*names, "malloc"], names, []),
        "is listed and not defined": (names, [*names, "recv2"], []),
        "needs libm": (names, names, ["-Wl,--no-as-needed", "-lm"]),
        "executable stack": (names, names, ["-Wl,-z,execstack"]),
    }
    bad = []
    def said(want, found):
        if (want is None and found) or (want and not any(want in line for line in found)):
            bad.append(f"a library where {want or 'all is well'}: {found}")

    for want, (defined, told, flags) in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            library, script = make_library(cc, folder, defined, told, flags)
            said(want, judge(library, script, cc))
    calls = ["fsock_open", "fsock_recv"]
    for want, defined, told, declared in (
            (None, calls, calls, calls),
            ("fsock_recv is declared and not exported", calls[:1], calls[:1], calls),
            ("fsock_recv is exported and not declared", calls, calls, calls[:1]),
            ("fsock_recv is exported and not listed", calls, calls[:1], calls)):
        with tempfile.TemporaryDirectory() as folder:
            library, script = make_library(cc, folder, defined, told, [])
            header = os.path.join(folder, "a.h")
            with open(header, "w", encoding="ascii") as file:
                file.writelines(f"/* fsock_other() */ int {name}(void);\n" for name in declared)
            said(want, judge_api(library, script, header))
    for want, called in ((None, WRAPPED), ("calls recv", [name for name in WRAPPED if name != "recv"])):
        with tempfile.TemporaryDirectory() as folder:
            half = len(called) // 2
            pathlib.Path(folder, "a.c").write_text("\n".join(f"{name}(); /* recv */" for name in called[:half]), encoding="ascii")
            pathlib.Path(folder, "a.py").write_text(f"{called[half:]}", encoding="ascii")
            said(want, judge_tests(folder))
    return bad


def make_library(cc, folder, defined, told, flags):
    """(library, version script): what is @defined in it, what the script lists."""
    source, library, script = (os.path.join(folder, n) for n in ("a.c", "a.so", "a.map"))
    with open(source, "w", encoding="ascii") as file:
        file.writelines(f"void {name}(void) {{}}\n" for name in defined)
    with open(script, "w", encoding="ascii") as file:
        file.write("{ global: " + "".join(f"{name}; " for name in told) + "local: *; };\n")
    run(*cc, "-w", "-fno-builtin", "-fPIC", "-shared", source, "-o", library, *flags)
    return library, script


def main():
    if sys.argv[1] == "--selftest":
        bad = selftest(sys.argv[2:])
    elif sys.argv[1] == "--api":
        bad = judge_api(*sys.argv[2:])
    elif sys.argv[1] == "--tests":
        bad = judge_tests(sys.argv[2])
    else:
        bad = judge(sys.argv[1], sys.argv[2], sys.argv[3:])
    for line in bad:
        print("check_exports:", line)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
