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

host, port = sys.argv[1], int(sys.argv[2])
lock, over = threading.Lock(), threading.Event()
GUARD = 60
connections, bad, bodies = 0, 0, {}


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


def run(way, seed):
    global connections, bad
    draw = random.Random(seed)
    while not over.is_set():
        wrong = None
        try:
            WAYS[way](draw)
        except (OSError, http.client.HTTPException, AssertionError) as error:
            wrong = error
        with lock:
            connections += 1
            if connections % 20 == 0:
                print(connections, flush=True)
            if wrong is not None:
                bad += 1
                if bad <= 5:
                    print(way, repr(wrong), file=sys.stderr, flush=True)


running = [threading.Thread(target=run, args=(way, seed)) for seed, way in enumerate(sys.argv[3:])]
for thread in running:
    thread.start()
sys.stdin.read()
over.set()
for thread in running:
    thread.join()
print(f"{connections} connections, {bad} bad")
sys.exit(bad != 0)
