# SPDX-License-Identifier: BSD-2-Clause
"""
test_tcp_soak - connections come, talk and go over a link that loses, doubles and overtakes, for as long as is asked:
FSOCK_SOAK_SECONDS, a few in ./check, ten minutes in `./check --long tcp_soak`.

Every byte is compared, and took the fast path. Memory and descriptors of both programs are the same at the end as
after a third of the time; when all connections are closed, the server's port has the frames again that it had then, and
its stack no open one.
"""
import contextlib
import json
import os
import pathlib
import sys
import textwrap
import time

import pytest

from lab import emulator, fsock, net, proc

PORT = 7330
LAST = 8  # frames of the last segments
SECONDS = float(os.environ.get("FSOCK_SOAK_SECONDS", "9"))
LINK = {"delay_us": 500, "loss": 10000, "duplicate": 2000, "reorder": 5000, "reorder_us": 1000, "seed": 3}

SERVER = textwrap.dedent("""
    import selectors, socket, sys
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((sys.argv[1], int(sys.argv[2])))
    listener.listen(64)
    print("ready", flush=True)
    watch = selectors.EpollSelector()
    watch.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in watch.select():
            if key.fileobj is listener:
                peer = listener.accept()[0]
                watch.register(peer, selectors.EVENT_READ)
                continue
            data = key.fileobj.recv(65536)
            if data:
                key.fileobj.sendall(data)
            else:
                watch.unregister(key.fileobj)
                key.fileobj.close()
""")

CLIENT = textwrap.dedent("""
    import os, random, socket, sys, threading, time
    end, calls, bytes_, broken = time.monotonic() + float(sys.argv[3]), [0], [0], []
    def talk(seed):
        try:
            go_on(random.Random(seed))
        except OSError as error:
            broken.append(str(error))
    def go_on(draw):
        while time.monotonic() < end:
            peer = socket.create_connection((sys.argv[1], int(sys.argv[2])))
            for _ in range(draw.randrange(1, 6)):
                data, got = draw.randbytes(draw.randrange(1, 40000)), bytearray()
                peer.sendall(data)
                while len(got) < len(data):
                    more = peer.recv(65536)
                    if not more:
                        break
                    got += more
                if bytes(got) != data:
                    broken.append(len(got))
                    return
                bytes_[0] += len(data)
            peer.close()
            calls[0] += 1
    print("ready", flush=True)
    threads = [threading.Thread(target=talk, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(calls[0], bytes_[0], broken, flush=True)
    sys.stdin.read()
""")


def _free(pid):
    """Free frames of all ports."""
    return sum(port["frames_free"] for stack in fsock.stat(pid)["stacks"] for port in stack["ports"])


def _holds(pid):
    """(resident KiB, descriptors) of a process."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    rss = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))
    return rss, len(os.listdir(f"/proc/{pid}/fd"))


@pytest.fixture(scope="module")
def line():
    with net.Line("fsock-soak") as line:
        yield line


@pytest.mark.alone
@pytest.mark.whole
def test_tcp_soak(line):
    def start(side, code, *more, **options):
        report = stack.enter_context(contextlib.closing(fsock.Report()))
        argv = fsock.run([sys.executable, "-c", code, net.B4, PORT, *more], client_connects=1)
        return stack.enter_context(side.popen(argv, env={**fsock.CLEAN, **report.env}, fds=(report.fd,),
                                              **options)), report
    with contextlib.ExitStack() as stack:
        between = stack.enter_context(emulator.Emulator(line, LINK))
        server, served = start(line.b, SERVER)
        assert server.wait_for("ready"), server.err
        wait, end = os.pipe()
        stack.callback(os.close, wait)
        client, asked = start(line.a, CLIENT, SECONDS, stdin=wait)
        assert client.wait_for("ready"), client.err
        time.sleep(SECONDS / 3)
        early, free = {program.pid: _holds(program.pid) for program in (server, client)}, _free(server.pid)
        assert client.wait_for("]", SECONDS + 120), client.err
        late = {pid: _holds(pid) for pid in early}
        os.close(end)
        done = client.finish()
        # What was sent last is taken back with the next frame that is sent.
        assert proc.until(lambda: _free(server.pid) >= free - LAST), f"frames: {free}, at the end {_free(server.pid)}"
        # The last ends of streams may be lost, and sent again.
        assert proc.until(lambda: [s["fd"] for s in fsock.sockets(fsock.stat(server.pid)) if s["fd"] >= 0] == [3]), \
            fsock.stat(server.pid)
        engine, counts = fsock.counters(server.pid), [report.counts() for report in (served, asked)]
        lost = between.stop()["forward"]["lost"]
    assert done.status == 0, done.err
    calls, moved, broken = done.out.splitlines()[-1].split(maxsplit=2)
    assert broken == "[]" and int(calls) > 0 and int(moved) > 0, done.out
    assert lost > 0 and engine["tcp_opened_passive"] >= int(calls)
    assert all(seen.fast > 0 and seen.kernel == 0 for seen in counts), counts
    for pid, (rss, fds) in early.items():
        assert late[pid][0] < rss * 1.1 + 8192, f"memory grew from {rss} to {late[pid][0]} KiB"
        assert abs(late[pid][1] - fds) <= 16, f"descriptors went from {fds} to {late[pid][1]}"
    print(json.dumps({"calls": int(calls), "bytes": int(moved), "lost": lost, "early": list(early.values()),
                      "late": list(late.values())}))
