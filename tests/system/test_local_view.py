# SPDX-License-Identifier: BSD-2-Clause
"""
What can be seen of connections by links from outside: `fsock stat` and `fsock why`, as ss shows those of the kernel. See
hosts.py.
"""
import subprocess

import hosts
from hosts import run
from lab import fsock, proc

RINGS = 2 * 65536 # bytes of one connection's
# A program in a call on a socket brings its figures up to date; who sleeps in others does not.
UNTIL_LOOKED_AT = """
step(WHO + ".shown")
while not os.path.exists(FOLDER + "/looked"):
    ready(socks[0], 50, 0)
"""

SERVER = """
listener = listening(backlog=7)
step("listens")
socks = [taken(listener), taken(listener)]
whole(socks[0], 100)
socks[0].sendall(b"x" * 3000)
after("client.sent")
""" + UNTIL_LOOKED_AT + """
socks[1].close()
step("closed")
"""
CLIENT = """
socks = [called(), called(), called()] # one of them waits to be accepted
socks[0].sendall(b"y" * 100)
socks[1].sendall(b"z" * 500)
socks[1].shutdown(socket.SHUT_WR)
step("client.sent")
""" + UNTIL_LOOKED_AT + """
after("closed")
socks[1].setblocking(False)
until(lambda: tried(socks[1].recv, 1) != "EAGAIN")
step("is closed")
while not os.path.exists(FOLDER + "/looked.again"):
    ready(socks[0], 50, 0)
"""


def shown(pid):
    stack, = fsock.stat(pid)["stacks"]
    return stack


def by_links(stack):
    """What is open and goes by links, as ss would say it: (state, Recv-Q, Send-Q, peer's pid), and the listener's likewise."""
    return sorted((sock["state"], sock["recv_q"], sock["send_q"], sock.get("peer_pid", 0))
                  for sock in stack["sockets"] if sock["by"] == "link" and sock["fd"] >= 0)


def settles(look, want):
    """What @look() gives in the end, which should be @want: figures come late by up to a second."""
    proc.until(lambda: look() == want)
    return look()


def test_stat_shows_both_ends(place):
    """States, queues, who the peer is, what a link carried and how much memory it took; and the same after an end."""
    told = {}

    def watch(seen, folder):
        server, client = seen.pids["server"], seen.pids["client"]
        assert proc.until(lambda: all((folder / f"{who}.shown").exists() for who in hosts.ENDS))
        want = {server: [("CLOSE-WAIT", 500, 0, client), ("ESTAB", 0, 3000, client), ("LISTEN", 1, 7, 0)],
                client: [("ESTAB", 0, 0, server), ("ESTAB", 3000, 0, server), ("FIN-WAIT-2", 0, 500, server)]}
        carried = {server: (100, 3000), client: (0, 600)}
        for pid, peer in (server, client), (client, server):
            assert settles(lambda pid=pid: by_links(shown(pid)), want[pid]) == want[pid]
            link, = settles(lambda pid=pid: [(link["rx_bytes"], link["tx_bytes"]) for link in shown(pid)["links"]],
                            [carried[pid]])
            assert link == carried[pid]
            link, = shown(pid)["links"]
            assert (link["peer_pid"], link["dialled"], link["connections"]) == (peer, pid == client, 3)
            assert link["ring_bytes"] == 3 * RINGS < link["shared_bytes"]
            assert {sock["link"] for sock in shown(pid)["sockets"] if "link" in sock} == {link["link"]}
            told[pid] = [subprocess.run([fsock.tool(), word, str(pid)], capture_output=True, text=True, check=True).stdout
                         for word in ("stat", "why")]
        (folder / "looked").touch()
        assert proc.until(lambda: (folder / "is closed").exists())
        # It was closed with bytes unread: a reset, and one connection less at the side that closed.
        assert settles(lambda: by_links(shown(client))[-1], ("UNCONN", 0, 0, server)) == ("UNCONN", 0, 0, server)
        assert shown(client)["links"][0]["tx_bytes"] == 600
        (folder / "looked.again").touch()

    seen = run(place, (SERVER, CLIENT), (hosts.PROFILES["default"],) * 2, watch=watch)
    hosts.assert_linked(seen, least=2)
    for pid, (stat, why) in told.items():
        lines = [line.split() for line in stat.splitlines()]
        peer = seen.pids["client" if pid == seen.pids["server"] else "server"]
        assert [line[6] for line in lines if line[:1] == ["ESTAB"]].count(str(peer)) >= 1, stat
        assert f"through shared memory with process {peer} of this host" in why
    stat, why = told[seen.pids["server"]]
    assert [line.split()[:6] for line in stat.splitlines() if "LISTEN" in line] == [
        ["LISTEN", "1", "7", f"127.0.0.1:{hosts.PORT}", "*:*", "any"]], stat
    assert "takes accelerated programs of this host by links" in why and "kernel (loopback)" not in why


def test_stat_forgets_a_link_that_ended(place):
    """Its place is free, what it carried stays in the counters."""
    def watch(seen, folder):
        assert proc.until(lambda: (folder / "sent").exists())
        before = shown(seen.pids["server"])["links"]
        seen.lines["before"] = len(before)
        (folder / "seen").touch()
        assert settles(lambda: shown(seen.pids["server"])["links"], []) == []
        (folder / "done").touch()

    seen = run(place, ("""
listener = serving()
sock = taken(listener)
say(to_end(sock))
sock.close()
while not os.path.exists(FOLDER + "/done"):
    ready(listener, 50, 0)
""", """
sock = called()
sock.sendall(b"words")
step("sent")
after("seen")
os._exit(0)
"""), (hosts.PROFILES["default"],) * 2, watch=watch)
    assert seen.lines.pop("before") == 1
    assert seen.links["server"].bytes_in == 5
