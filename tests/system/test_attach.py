# SPDX-License-Identifier: BSD-2-Clause
"""
test_attach - when a program's streams take the fast path (DESIGN D4): listeners and bound sockets at once, clients at
their first connect in the latency profile or where a port is attached already, else from their second on.
"""
import contextlib
import pathlib
import sys
import textwrap

import pytest

from lab import fsock, net

PORT, OWN = 7360, 7370
ECHO = pathlib.Path(__file__).parent / "programs" / "stream_echo.py"
NONE = "none"

# Does what its words say, then talks over every connection it made: one line per connection, its own port.
CLIENT = textwrap.dedent("""
    import socket, sys
    host, port, own, peers, listeners = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), [], []
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    def talk():
        for peer in peers:
            word = b"%d" % peer.getsockname()[1]
            peer.sendall(word)
            assert peer.recv(100) == word
    for word in sys.argv[4:]:
        made = socket.socket(family)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if word == "listen":
            made.bind(("", own))
            made.listen()
            listeners.append(made)
            continue
        if word == "bound":
            made.bind(("", own + 1))
        elif word == "chosen":
            made.bind(("", 0))
        made.connect((host, port))
        peers.append(made)
        talk()
    print(*(peer.getsockname()[1] for peer in peers))
""")


@pytest.fixture(scope="module")
def pair():
    with net.Pair("fsock-attach") as pair:
        pair.meet()
        yield pair


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("profile, words, reasons", [
    ("default", ["plain"], ["short_lived"]),
    ("default", ["plain", "plain", "plain"], ["short_lived", NONE, NONE]),
    ("default", ["chosen", "plain"], ["short_lived", NONE]),
    ("default", ["bound"], [NONE]),
    ("default", ["listen", "plain"], [NONE]),
    ("latency", ["plain", "plain"], [NONE, NONE])], ids=lambda value: value if isinstance(value, str) else "-".join(value))
def test_when_streams_attach(pair, family, profile, words, reasons):
    """And who began in the kernel stays there, though it talks on beside others."""
    host = pair.b.address(family)
    with contextlib.closing(fsock.Report()) as report, \
            pair.b.popen([sys.executable, ECHO, host, PORT], env=fsock.CLEAN) as server:
        assert server.wait_for("ready"), server.err
        done = pair.a.run(fsock.run([sys.executable, "-c", CLIENT, host, PORT, OWN, *words], profile=profile),
                          env={**fsock.CLEAN, **report.env}, fds=(report.fd,))
        assert done.status == 0, done.err
        records = {s["local_port"]: s for s in report.sockets() if s["remote_port"] == PORT}
    seen = [records[int(port)] for port in done.out.split()]
    assert [fsock.reason_name(s["reason"]) for s in seen] == reasons
    for i, s in enumerate(seen):
        talks = 0 if s["reason"] else len(seen) - i
        assert (s["tx_fast"], s["accelerated"]) == (talks, int(talks > 0)), s
