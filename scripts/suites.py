# SPDX-License-Identifier: BSD-2-Clause
"""
suites - the test suites that others wrote for their programs, run on kernel sockets, with the library switched off, and on
fsock: each of their tests comes to the same outcome as on the kernel.

Every function yields (name, good, note) of a column that is compared. Where a suite talks to itself over the loopback,
TCP between what is under fsock takes links (the option `local`); the kernel has the rest, and Unix sockets: there the library
has to be no trouble. The suites of redis and memcached can also be told where their server is: then it is in another
namespace, and what passes is carried by the interface.
"""
import collections
import contextlib
import functools
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import xml.etree.ElementTree

from lab import fsock, net, proc

PYTHON = "/usr/bin/python3"
COLUMNS = {"kernel": (lambda argv: argv, {}),
           "off": (fsock.run, {"FSOCK_ACCELERATE": "0"}),
           "accelerated": (lambda argv: fsock.run(argv, profile="latency", local=1), {})}
WITH_AND_WITHOUT = ("kernel", "accelerated")
PORT = 7000
LEFT_OUT = {"the script": "skipped"}  # outcomes of one that says that it does not fit here


def differing(want, got):
    """By their names, the tests that came to another outcome in @got than on the kernel, and what they came to."""
    return {test: f"{test}: {got.get(test, 'not run')}, on the kernel {want.get(test, 'not run')}"
            for test in sorted(want.keys() | got.keys()) if got.get(test) != want.get(test)}


def compare(name, run, columns=COLUMNS, again=False):
    """
    @run(column) gives the outcome of each test by its name, and what was printed. With @again what differs is run a second
    time in both columns, and counts if it differs there too: for suites whose tests have limits of time.
    """
    found = {column: run(column) for column in columns}
    want, _ = found.pop("kernel")
    for column, (outcomes, said) in found.items():
        other, notes = differing(want, outcomes), []
        if other and again:
            notes = [f"differed the first time: {line}" for line in other.values()]
            second = differing(run("kernel")[0], run(column)[0])
            other = {test: line for test, line in second.items() if test in other}
        passed = sum(outcome == "passed" for outcome in outcomes.values())
        notes = [f"{passed} of {len(outcomes)} passed", *other.values(), *notes]
        yield (f"{name}, {column}", not other and (passed > 0 or outcomes == LEFT_OUT),
               "\n".join(notes + ([said[-6000:]] if other else [])))


def numbered(outcomes):
    """A dict of (name, outcome) in which the second of a name is another one."""
    found, seen = {}, collections.Counter()
    for name, outcome in outcomes:
        seen[name] += 1
        found[name if seen[name] == 1 else f"{name} ({seen[name]})"] = outcome
    return found


def by_name(outcomes):
    """A dict of (name, outcome) for a suite that draws by chance how often it runs a test: what that came to, each time."""
    found = collections.defaultdict(set)
    for name, outcome in outcomes:
        found[name].add(outcome)
    return {name: " and ".join(sorted(came)) for name, came in found.items()}


def run_in(column, argv, timeout, report=None, **options):
    """Run @argv in a namespace of its own, by the column's way: proc.Result. @report: an fsock.Report that it fills."""
    wrap, env = COLUMNS[column]
    if report:
        env, options = {**env, **report.env}, {**options, "fds": (report.fd,)}
    with net.Pair() as pair:
        return pair.a.run(wrap(argv), timeout=timeout, env={**fsock.CLEAN, **env}, **options)


# --- python -----------------------------------------------------------------------------------

PYTHON_MODULES = ("test_socket", "test_asyncore", "test_socketserver", "test_selectors", "test_epoll", "test_poll",
                  "test_select", "test_subprocess", "test_signal", "test_eintr", "test_asyncio", "test_ssl",
                  "test_ftplib", "test_httpservers", "test_smtplib", "test_os", "test_threading",
                  "test_multiprocessing_fork", "test_multiprocessing_spawn", "test_multiprocessing_forkserver",
                  "test_multiprocessing_main_handling")
# Whose tests connect over the loopback: links have to carry some of that.
PYTHON_TALKS = ("test_socket", "test_asyncore", "test_socketserver", "test_asyncio", "test_ssl", "test_ftplib",
                "test_httpservers", "test_smtplib", "test_multiprocessing_fork")
PYTHON_FAILED = re.compile(r"^(?:FAIL|ERROR): \S+ \(([\w.]+)\)", re.M)


def python_outcome(case):
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "skipped" if case.find("skipped") is not None else "passed"


def python_module(module, column):
    with tempfile.TemporaryDirectory(prefix="fsock-python-") as folder, contextlib.closing(fsock.Report()) as report:
        path = pathlib.Path(folder, "outcomes")
        # VSOCK needs a hypervisor on the other side and waits for ever without.
        done = run_in(column, [PYTHON, "-m", "test", "-v", "-u", "network", "-i", "*VSOCK*", "--junit-xml", path, module],
                      1200, report)
        said = done.out + done.err
        outcomes = {}
        if path.exists():
            cases = xml.etree.ElementTree.parse(path).iter("testcase")
            outcomes = {case.get("name"): python_outcome(case) for case in cases if case.get("name")}
        # The file knows nothing of parts of tests, and of what is made ready for a class.
        outcomes.update((name, "failed") for name in PYTHON_FAILED.findall(said))
        outcomes["the run"] = f"ended with {done.status}"
        if column == "accelerated" and module in PYTHON_TALKS and not any(sock["accelerated"] for sock in report.sockets()):
            outcomes["the run"] += ", nothing by links"
        return outcomes, said


def python(modules):
    for module in modules:
        yield from compare(f"python {module}", lambda column, module=module: python_module(module, column))


# --- sources of packages ----------------------------------------------------------------------

def source_lists():
    """Lines of apt's that name the sources of what Debian's configured archives have in binaries."""
    form = "$(ORIGIN)|deb-src $(REPO_URI) $(CODENAME) $(COMPONENT)"
    said = subprocess.run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"], check=True,
                          capture_output=True, text=True, timeout=60).stdout
    return sorted({line.partition("|")[2] for line in said.splitlines() if line.startswith("Debian|")})


def apt_for_sources(folder):
    """apt-get with lists of its own in @folder: those of sources, which the machine may lack."""
    (folder / "lists").mkdir()
    (folder / "sources").write_text("\n".join(source_lists()) + "\n")
    apt = ["apt-get", "-q", "-o", f"Dir::Etc::sourcelist={folder}/sources", "-o", "Dir::Etc::sourceparts=-",
           "-o", f"Dir::State::lists={folder}/lists", "-o", "APT::Sandbox::User=root"]
    subprocess.run([*apt, "update"], check=True, capture_output=True, text=True, timeout=600)
    return apt


def source(apt, package, into):
    """Folder of the source from which Debian built @package, the installed version where it is still to be had."""
    into.mkdir()
    query = ["dpkg-query", "-W", "-f", "${source:Package}=${source:Version}", package]
    built = subprocess.run(query, check=True, capture_output=True, text=True, timeout=60).stdout
    for version in (built, built.partition("=")[0]):
        done = subprocess.run([*apt, "source", version], cwd=into, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode == 0:
            break
    done.check_returncode()
    folder, = (path.parent.parent for path in into.glob("*/debian/control"))
    return folder


def stand_in(path, program, column):
    """An executable @path that becomes the installed @program, by the column's way."""
    wrap, env = COLUMNS[column]
    words = [f"{name}={value}" for name, value in env.items()] + wrap([shutil.which(program)])
    path.unlink(missing_ok=True)
    path.write_text("#!/bin/sh\nexec env " + " ".join(f"'{word}'" for word in words) + ' "$@"\n')
    path.chmod(0o755)


def at_a_distance(column, server, client, cwd, timeout):
    """
    Run @client in one namespace against @server, which listens at PORT, in another, both by the column's way:
    (outcome, proc.Result of the client). The outcome is failed where fsock was to carry what the server got and said, and did
    not carry 99 % of it.
    """
    wrap, env = COLUMNS[column]
    env = {**fsock.CLEAN, **env}
    with net.Pair() as pair, contextlib.closing(fsock.Report()) as report:
        pair.meet()
        with pair.a.popen(wrap(server), env={**env, **report.env}, fds=(report.fd,), cwd=cwd) as serving:
            up = proc.until(lambda: f":{PORT} " in pair.a.run(["ss", "-Hltn"]).out or not serving.alive())
            if not up or not serving.alive():
                return "failed", serving.stop()
            # memcached's scripts send SIGINT to the server that they would have started, and else to themselves.
            done = pair.b.run(wrap(client), env=env, cwd=cwd, timeout=timeout,
                              preexec=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
            serving.stop(number=signal.SIGTERM)
        seen = report.counts()
    carried = seen.share >= 0.99 and seen.total > 0 or column == "kernel"
    return "passed" if carried else "failed", done._replace(err=f"{done.err}\nthe server's sockets: {seen}\n")


# --- redis ------------------------------------------------------------------------------------

# Left out: what is about its data, its files and its memory alone. The far server has those, too.
REDIS_UNITS = ("unit/protocol", "unit/networking", "unit/info", "unit/pubsub", "unit/multi", "unit/limits", "unit/wait",
               "unit/shutdown", "unit/introspection", "unit/querybuf", "unit/client-eviction", "unit/other",
               "integration/block-repl", "integration/replication", "integration/replication-2", "integration/replication-3",
               "integration/replication-psync", "integration/psync2-reg", "integration/rdb", "integration/redis-cli",
               "integration/redis-benchmark")
REDIS_SAID = re.compile(r"^\[(ok|err|exception|ignore|skip)\]:? (.+?)(?: in tests/\S+)?(?: \(\d+ ms\))?$", re.M)
REDIS_OUTCOMES = {"ok": "passed", "err": "failed", "exception": "failed"}
REDIS_PROGRAMS = ("redis-server", "redis-cli", "redis-benchmark")
REDIS_TESTS = ("tclsh", "tests/test_helper.tcl", "--clients", "1", "--durable")


def redis_outcomes(done):
    said = re.sub(r"\x1b\[[\d;]*m", "", done.out + done.err)
    return by_name((test, REDIS_OUTCOMES.get(verdict, "skipped")) for verdict, test in REDIS_SAID.findall(said)), said


def redis_unit(folder, unit, column):
    for program in REDIS_PROGRAMS:
        stand_in(folder / "src" / program, program, column)
    return redis_outcomes(run_in("kernel", [*REDIS_TESTS, "--single", unit], 900, cwd=folder))


def redis_far(folder, column):
    """All that the suite asks of a server which it has not started and knows by its address."""
    for program in REDIS_PROGRAMS:
        stand_in(folder / "src" / program, program, "kernel")
    with tempfile.TemporaryDirectory(prefix="fsock-redis-far-") as data:
        server = ["redis-server", "--bind", net.A4, "--port", PORT, "--protected-mode", "no", "--save", "", "--dir", data]
        for what in ("debug-command", "protected-configs", "module-command"):
            server += [f"--enable-{what}", "yes"]
        client = [*REDIS_TESTS, "--host", net.A4, "--port", PORT, "--tags", "-slow"]
        carried, done = at_a_distance(column, server, client, folder, 1800)
    outcomes, said = redis_outcomes(done)
    return {**outcomes, "carried by its way": carried}, said


def redis(folder, wanted):
    for unit in filter(lambda unit: wanted(f"redis {unit}"), REDIS_UNITS):
        yield from compare(f"redis {unit}", functools.partial(redis_unit, folder, unit), WITH_AND_WITHOUT, again=True)
    if wanted("redis far"):
        yield from compare("redis far", functools.partial(redis_far, folder), WITH_AND_WITHOUT, again=True)


# --- memcached --------------------------------------------------------------------------------

# About the style of the source, about what only the build for its developers has, and about its files on a disk.
MEMCACHED_NOT = re.compile(r"whitespace|64bit|extstore")
# Tests an answer for each of its connections of which the server says at once that it was refused.
MEMCACHED_BY_CHANCE = ("maxconns",)
TAP_LINE = re.compile(r"^(not ok|ok) \d+ ?-? ?([^\n]*)$", re.M)


def memcached_outcomes(done, script):
    if done.status == 0 and re.match(r"1\.\.0 # skip", done.out, re.I):
        return dict(LEFT_OUT), done.out
    named = by_name if script.stem in MEMCACHED_BY_CHANCE else numbered
    outcomes = named((title, "skipped" if "# skip" in title.lower() else "passed" if verdict == "ok" else "failed")
                     for verdict, title in TAP_LINE.findall(done.out))
    outcomes["the run"] = f"ended with {done.status}"
    return outcomes, done.out + done.err


def memcached_script(folder, script, column):
    stand_in(folder / "memcached-debug", "memcached", column)
    return memcached_outcomes(run_in("kernel", ["perl", "-I", "t/lib", script], 600, cwd=folder), script)


def daemon_words(script):
    """What @script starts its daemon with. None: it starts several, or one that others cannot start or reach for it."""
    calls = re.findall(r"new_memcached\(([^)]*)\)", script.read_text(errors="replace"))
    said = re.fullmatch(r"\s*(?:(['\"])([^$'\"]*)\1)?\s*", calls[0]) if len(calls) == 1 else None
    words = re.sub(r"-l \S+", "", said[2] or "").split() if said else None
    return None if words is None or {"-s", "-S", "-d", "-e"} & set(words) else words


def memcached_far(folder, script, column):
    stand_in(folder / "memcached-debug", "memcached", "kernel")
    server = ["memcached", "-u", "root", "-l", net.A4, "-p", PORT, *daemon_words(script)]
    client = ["env", f"T_MEMD_USE_DAEMON={net.A4}:{PORT}", "perl", "-I", "t/lib", script]
    carried, done = at_a_distance(column, server, client, folder, 600)
    outcomes, said = memcached_outcomes(done, script)
    return outcomes if outcomes == LEFT_OUT else {**outcomes, "carried by its way": carried}, said


def memcached(folder, wanted):
    for script in (folder / "t" / "lib" / "MemcachedTest.pm", *folder.glob("t/*.t")):
        text = script.read_text(errors="surrogateescape")  # Debian's has no privileges that it gives up
        script.write_text(text.replace(" -o relaxed_privileges", ""), errors="surrogateescape")
    subprocess.run(["gcc", "-o", "timedrun", "timedrun.c"], cwd=folder, check=True, capture_output=True, text=True, timeout=60)
    for script in sorted(path for path in folder.glob("t/*.t") if not MEMCACHED_NOT.search(path.name)):
        for suffix, run in (("", memcached_script), (" far", memcached_far)):
            name = f"memcached {script.stem}{suffix}"
            if wanted(name) and (run is memcached_script or daemon_words(script) is not None):
                yield from compare(name, functools.partial(run, folder, script), WITH_AND_WITHOUT, again=True)


def servers(pattern):
    """redis' and memcached's suites, of them what the regular expression @pattern finds by its name."""
    def wanted(name):
        return re.search(pattern, name)

    with tempfile.TemporaryDirectory(prefix="fsock-servers-") as into:
        into = pathlib.Path(into)
        try:
            apt = apt_for_sources(into)
            yield from redis(source(apt, "redis-server", into / "redis"), wanted)
            yield from memcached(source(apt, "memcached", into / "memcached"), wanted)
        except subprocess.CalledProcessError as failed:
            yield "the sources of servers", False, f"{failed}\n{failed.stdout}{failed.stderr}"
