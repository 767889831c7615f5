# SPDX-License-Identifier: BSD-2-Clause
"""
churn.py HOST PORT WAY... - a thread for each WAY, which opens connections, asks, looks at every answer and closes, until
standard input ends. Says how many connections there were now and then, and at the end "N connections, M bad"; the first
bad ones on standard error.

close      GET /file, a connection each
keep       GET /file up to fifty times on a connection, which the server may end between two
proxied    GET /far/file, a connection each
redis      SET and GET up to two hundred times on a connection
redis-once SET and GET, a connection each
"""
import http.client
import random
import socket
import sys
import threading

import until_end

host, port = sys.argv[1], int(sys.argv[2])
GUARD = 60
bodies = {}


def get(connection, path, how):
    connection.request("GET", path, headers={"Connection": how})
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200 and bodies.setdefault(path, body) == body, (answer.status, len(body))


def once(path):
    connection = http.client.HTTPConnection(host, port, timeout=GUARD)
    get(connection, path, "close")
    connection.close()


def keep(draw):
    connection = http.client.HTTPConnection(host, port, timeout=GUARD)
    connection.connect()
    connection.auto_open = False
    for turn in range(draw.randrange(1, 51)):
        try:
            get(connection, "/file", "keep-alive")
        except (http.client.NotConnected, http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            if turn == 0:
                raise
            break  # its worker ended when nothing was asked, or before it saw what was
    connection.close()


def redis(draw, times):
    with socket.create_connection((host, port), GUARD) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(times):
            key, value = b"%d:%d" % (threading.get_ident(), draw.randrange(100)), draw.randbytes(draw.randrange(1, 3000))
            talk(peer, (b"SET", key, value), b"+OK\r\n")
            talk(peer, (b"GET", key), b"$%d\r\n%s\r\n" % (len(value), value))


def talk(peer, words, want):
    peer.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
    got = b""
    while len(got) < len(want):
        more = peer.recv(65536)
        assert more, "the end within an answer"
        got += more
    assert got == want, got[:100]


WAYS = {"close": lambda draw: once("/file"), "keep": keep, "proxied": lambda draw: once("/far/file"),
        "redis": lambda draw: redis(draw, draw.randrange(1, 201)), "redis-once": lambda draw: redis(draw, 1)}


tally = until_end.Tally()
tally.run([threading.Thread(target=tally.keep_on, args=(WAYS[way], random.Random(seed)), kwargs={"name": way})
           for seed, way in enumerate(sys.argv[3:])])
print(f"{tally.good + tally.bad} connections, {tally.bad} bad")
sys.exit(tally.bad != 0)
