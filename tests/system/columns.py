# SPDX-License-Identifier: BSD-2-Clause
"""
columns - one API program in the columns K (kernel), N (loaded, switched off), A (accelerated), M
(accelerated, its peer on kernel sockets), P (accelerated by packet sockets), S (as M, with two stacks, where
what the peer sends comes to the queue of the second) and L (with its peer on the same host, over a link).

K is the truth; of L what the kernel shows on one host. N must print the same. A, M, P, S and L may differ only in
what deviations.txt lists.
"""
import difflib
import fnmatch
import os
import pathlib
import re
import select
import socket

from lab import fsock, proc

HERE = pathlib.Path(__file__).resolve().parent
CASE = re.compile(r"^CASE(?:_(FAST|BUT|PART|BY))?\((\w+)(?:, (\w+))?\)", re.M)
FAMILIES = ("v4", "v6", "mapped")

# Programs in which the address family makes no difference run in fewer of them; --families=all runs all.
FEWER = {"poll": ("v4", "v6"), "epoll": ("v4", "v6"), "opts": ("v4", "v6"), "fds": ("v4",),
         "groups": ("v4", "v6"), "stamp": ("v4", "v6"), "timeo": ("v4",), "signals": ("v4",), "process": ("v4",), "threads": ("v4",), "fortify": ("v4",),
         "jumps": ("v4",), "syscall": ("v4",),
         "pointers": ("v4",), "share": ("v4", "v6"),
         "style": ("v4", "v6")}

# Options of the accelerated columns that a program's cases count on.
OPTIONS = {"jumps": {"max_sockets": 16}}

# The accelerated peer: there from its first socket, too, but asleep while there is nothing to do.
PATIENT = {"profile": "default", "client_datagrams": 0}

CONTROL_FD = 3


def fortified():
    """Programs whose calls have fortified entry points in libc; they run once more built that way (P06)."""
    return (HERE / "api" / "fortified.list").read_text().split()


def by_syscall():
    """Programs that run once more with their calls made by syscall() (P02)."""
    return (HERE / "api" / "by_syscall.list").read_text().split()


def source(name):
    """The program of api/ that @name is a variant of."""
    return name.removesuffix("_fortified").removesuffix("_syscall")


def variants(among):
    """What runs once more of the programs @among, in one family."""
    return [name + "_fortified" for name in fortified() if name in among] + \
        [name + "_syscall" for name in by_syscall() if name in among]


def programs():
    return (HERE / "api" / "programs.list").read_text().split()


def cases(name):
    """(case, claim) of one program, in the order of its source; a claim is (kind, detail), see record.h."""
    text = (HERE / "api" / f"{source(name)}.c").read_text()
    return [(case, (kind, detail)) for kind, case, detail in CASE.findall(text)]


# Programs that run once more against a peer on kernel sockets, whose datagrams arrive through the shadow.
MIXED = ("send", "recv", "rw", "connect", "poll", "epoll", "control", "style")

# Programs that run once more on packet sockets; --packet=all runs all, in every family of theirs.
PACKET = ("send", "recv", "rw", "connect", "poll", "epoll", "process")


def on_packet(name, family, everything):
    return everything or (family == "v4" and name in PACKET) or (family == "v6" and name == "send")


def selection(everything):
    """What to run: (program, case, family, claim)."""
    plain = [(name, case, family, claim) for name in programs() for case, claim in cases(name)
             for family in (FAMILIES if everything else FEWER.get(name, FAMILIES))]
    return plain + [(name, case, "v4", claim) for name in variants(programs()) for case, claim in cases(name)]


# Programs that run once more with both ends on one host.
ONE_HOST = ("recv", "epoll")

# Cases of theirs in which all is the kernel's there: nobody is reached, or the peer has just looked for somebody else.
NOT_BY_LINKS = ("epoll/refused_port", "epoll/closing_removes")


def on_one_host():
    """What to run in column L: (program, case, kind of claim)."""
    return [(name, case, kind) for name in ONE_HOST for case, (kind, _) in cases(name)]


def claims_link(name, case):
    return not any(fnmatch.fnmatchcase(f"{name}/{case}", pattern) for pattern in NOT_BY_LINKS)


def title(name):
    """What the head comment of a program says it is about, without the numbers of pitfalls."""
    text = (HERE / "api" / f"{name}.c").read_text()
    head = re.sub(r"\s*\n \*/?\s*", " ", re.search(rf"{name}\.c - (.*?)\*/", text, re.S)[1])
    return re.sub(r"(\s*(P|EP)\d+(-(P|EP)?\d+)?[,.])+\s*$", "", head.partition(". ")[0].strip() + ".").rstrip(".")


def deviations(name, case, table="deviations.txt"):
    """(kernel line, accelerated line, reason) patterns that this case may differ in."""
    allowed = []
    for line in (HERE / table).read_text().splitlines():
        line = line.partition("#")[0].strip()
        if not line:
            continue
        cells = [cell.strip() for cell in line.split(" | ")]
        if len(cells) != 4 or not cells[3]:
            raise ValueError(f"{table}: a row is 'case | kernel | accelerated | reason': {line}")
        if fnmatch.fnmatchcase(f"{source(name)}/{case}", cells[0]):
            allowed.append((cells[1], cells[2], cells[3]))
    return allowed


def command(column, argv, **options):
    """argv and environment of a program in one column."""
    if column == "K":
        return list(argv), dict(fsock.CLEAN)
    if column == "N":
        return fsock.run(argv), {**fsock.CLEAN, "FSOCK_ACCELERATE": "0"}
    if column == "P":
        options["provider"] = "packet"
    if column == "L":
        options.update(profile="default", client_datagrams=0)
    else:
        options.setdefault("local", 0)  # they are about interfaces
    if column == "S":
        options.update(stacks=2, xdp_mode="native")
    return fsock.run(argv, **{"profile": "latency", **options}), dict(fsock.CLEAN)


def checks(lines):
    """How many of the lines compared are what a call returned, with errno and, in a grid, readiness."""
    return sum(" = " in line for line in lines)


class Outcome:
    """What one column said; @sockets are the records of the program's sockets, @peers those of its peer's."""

    def __init__(self, column, lines, status, err, sockets, peers):
        self.column, self.lines, self.status = column, lines, status
        self.err, self.sockets, self.counts = err, sockets, fsock.sum_counts(sockets)
        self.peers, self.peer_counts = peers, fsock.sum_counts(peers)

    def reasons(self):
        return {fsock.reason_name(sock["reason"]) for sock in self.sockets}


def _reserve_control_fd():
    """Keep CONTROL_FD taken here, or a pipe that subprocess opens could get the number."""
    try:
        os.fstat(CONTROL_FD)
    except OSError:
        spare = os.open("/dev/null", os.O_RDWR)
        if spare != CONTROL_FD:
            os.dup2(spare, CONTROL_FD)
            os.close(spare)


def execute(pair, path, peer_path, case, family, column, timeout=60):
    """Run one case in one column."""
    _reserve_control_fd()
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    report, peer_report = fsock.Report(), fsock.Report()
    cpu = proc.cpus()
    peer_family = "v6" if family == "v6" else "v4"
    peer_argv, peer_env = command(column if column in "APL" else "K", [peer_path, peer_family], **PATIENT)
    argv, env = command(column, [path, case, family], **OPTIONS.get(source(pathlib.Path(path).name[4:]), {}))
    with mine, theirs, pair.b.popen(peer_argv, env={**peer_env, **peer_report.env}, cpu=cpu[1],
                                    fds=(peer_report.fd,), numbers={CONTROL_FD: theirs.fileno()}) as peer:
        theirs.close()  # so that a peer that dies is seen at once
        # No settimeout() here: it would make the program's end non-blocking, too.
        mine.send(b"ready")
        try:
            started = select.select([mine], [], [], 60)[0] and mine.recv(64) == b"1"
        except ConnectionResetError:
            started = False
        if not started:
            raise AssertionError(f"the peer did not start: {peer.err}")
        done = pair.a.run([*argv], env={**env, **report.env}, cpu=cpu[0], timeout=timeout,
                          fds=(report.fd,), numbers={CONTROL_FD: mine.fileno()})
        mine.close()  # the peer ends now, and reports what it had open
        proc.until(lambda: not peer.alive())
    sockets, peers = report.sockets(), peer_report.sockets()
    report.close()
    peer_report.close()
    return Outcome(column, done.out.splitlines(), done.status, done.err, sockets, peers)


def differences(kernel, other, allowed=()):
    """Lines in which two outcomes differ and that no deviation allows; the reasons of those one does."""
    bad, used = [], []
    truth = kernel.lines + [f"status {kernel.status}"]
    seen = other.lines + [f"status {other.status}"]
    for tag, i, j, k, m in difflib.SequenceMatcher(None, truth, seen, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        want, have = truth[i:j], seen[k:m]
        for n in range(max(len(want), len(have))):
            left = want[n] if n < len(want) else "-"
            right = have[n] if n < len(have) else "-"
            why = [reason for a, b, reason in allowed
                   if fnmatch.fnmatchcase(left, a) and fnmatch.fnmatchcase(right, b)]
            used += [reason for reason in why[:1] if reason not in used]
            if not why:
                bad.append(f"{kernel.column}: {left}\n{other.column}: {right}")
    return bad, used
