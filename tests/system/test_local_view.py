# SPDX-License-Identifier: BSD-2-Clause
"""
What can be seen of connections by links from outside: `fsock stat` and `fsock why`, as ss shows those of the kernel. See
hosts.py.
"""
import random
import shutil
import socket
import subprocess

import pytest

import hosts
import pcapng
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


# --- a capture ----------------------------------------------------------------------------------

# Three connections: one that talks both ways, first more than a ring has room for, then in sizes by
# chance, and ends in order, one that is closed with bytes unread,
# one that nobody listens for.
CAPTURED = ("""
listener = serving()
sock = taken(listener)
draw = random.Random(1)
for i in range(100):
    sock.sendall(draw.randbytes(draw.randrange(1, 100000) if i else 3000000))
    whole(sock, 1000)
sock.shutdown(socket.SHUT_WR)
say(to_end(sock))
sock.close()
sock = taken(listener)
after("unread")
sock.close()
step("closed")
after("client.over")
""", """
sock = called()
draw, mine = random.Random(1), random.Random(2)
for i in range(100):
    whole(sock, len(draw.randbytes(draw.randrange(1, 100000) if i else 3000000)))
    sock.sendall(mine.randbytes(1000))
say(to_end(sock))
sock.close()
sock = called()
sock.sendall(b"never read")
step("unread")
after("closed")
say(to_end(sock))
sock.close()
say(tried(called, CALL, PORT + 1))
""")


def said():
    """What both ends of the first connection of CAPTURED send: the server, the client."""
    draw, mine = random.Random(1), random.Random(2)
    return (b"".join(draw.randbytes(draw.randrange(1, 100000) if i else 3000000) for i in range(100)),
            b"".join(mine.randbytes(1000) for _ in range(100)))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.77.0.1"])
def test_capture_of_both_ends(place, tmp_path, address):
    """Each end's file has what was said, as TCP would have carried it, byte for byte."""
    files = [tmp_path / who for who in hosts.ENDS]
    seen = run(place, CAPTURED, [{**hosts.PROFILES["default"], "local_pcap": file} for file in files], listen=address,
               call=address)
    hosts.assert_linked(seen, least=2)
    theirs, ours = said()
    raw = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    for who, file in zip(hosts.ENDS, files):
        first, second = pcapng.talks(file)
        server = next(name for name in first if name[1] == hosts.PORT)
        assert server[0] == raw
        (client,) = first.keys() - {server}
        assert (first[server].data, first[client].data) == (theirs, ours), who
        assert all(way.syn and way.fin and not way.rst for way in first.values()), who
        assert second[server].syn and second[server].rst and not second[server].data
        assert file.stat().st_mode & 0o777 == 0o600
        packets = pcapng.packets(file)
        assert {packet.out for packet in packets if packet.source == server} == {who == "server"}
        assert [packet.time for packet in packets] == sorted(packet.time for packet in packets)
    # Both have the same numbers: in one file, each packet would be there twice, and nothing else be wrong.
    starts = [[{name: way.start for name, way in talk.items()} for talk in pcapng.talks(file)] for file in files]
    assert starts[0] == starts[1]
    # Who sent it has it; who closed without a look at it does not.
    second = pcapng.talks(files[1])[1]
    assert [way.data for name, way in second.items() if name[1] != hosts.PORT] == [b"never read"]


def test_capture_keeps_as_much_as_it_is_told(place, tmp_path):
    file = tmp_path / "cut"
    run(place, CAPTURED, ({**hosts.PROFILES["default"], "local_pcap": file, "local_pcap_snap": 128},
                          hosts.PROFILES["default"]))
    packets = pcapng.packets(file)
    assert any(packet.cut for packet in packets)
    assert {len(packet.payload) for packet in packets if packet.cut} == {128 - 14 - 40}


def test_capture_of_a_tree_of_processes(place, tmp_path):
    """Forked children, and a program that comes by exec, add to the same file; so do two ends that are given one."""
    file = tmp_path / "tree"
    options = {**hosts.PROFILES["default"], "local_pcap": file}
    run(place, ("""
listener = serving()
for i in range(3):
    sock = taken(listener)
    if os.fork() == 0:
        sock.sendall(b"from a child %d" % i)
        os._exit(0)
    sock.close()
    os.wait()
""", """
say(whole(called(), 14))
if os.fork() == 0:
    say(whole(called(), 14))
    os._exit(0)
os.wait()
if os.fork() == 0:
    os.execv(sys.executable, [sys.executable, "-c", "import socket; print(socket.create_connection((%r, %d)).recv(14))"
                              % (CALL, PORT)])
os.wait()
"""), (options, options))
    packets = pcapng.packets(file)
    for out in (True, False):
        assert sorted(packet.payload for packet in packets if packet.payload and packet.out == out) == [
            b"from a child %d" % i for i in range(3)]
    if shutil.which("tcpdump"): # whose library is particular about files with several sections
        done = subprocess.run(["tcpdump", "-nnttq", "-r", file], capture_output=True, text=True, check=True)
        assert len(done.stdout.splitlines()) == len(packets), done.stderr


@pytest.mark.parametrize("where", ["nowhere/file", "text", "pipe", "."])
def test_capture_that_cannot_be(place, tmp_path, where):
    """The program goes on without, its log has a word of it, and what is there stays as it is."""
    (tmp_path / "text").write_text("precious")
    subprocess.run(["mkfifo", tmp_path / "pipe"], check=True)
    options = {**hosts.PROFILES["default"], "local_pcap": tmp_path / where}
    seen = run(place, CAPTURED, (options, hosts.PROFILES["default"]))
    hosts.assert_linked(seen, least=2)
    assert "cannot add to local_pcap" in seen.err["server"]
    assert (tmp_path / "text").read_text() == "precious"


def test_capture_stops_where_the_file_may_not_grow(place, tmp_path):
    """RLIMIT_FSIZE: no signal ends the program, its connections go on, and what is in the file is whole."""
    file = tmp_path / "limited"
    server = CAPTURED[0].replace("draw =", """
signal.signal(signal.SIGXFSZ, signal.SIG_DFL) # which Python ignores
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
draw =""", 1)
    seen = run(place, (server, CAPTURED[1]), ({**hosts.PROFILES["default"], "local_pcap": file}, hosts.PROFILES["default"]))
    assert seen.lines == run(place, CAPTURED, (None, None)).lines
    assert seen.err["server"].count("takes no more") == 1
    assert 0 < file.stat().st_size <= 65536 and pcapng.packets(file)
