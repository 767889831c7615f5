# SPDX-License-Identifier: BSD-2-Clause
"""
asker.py HOST PORT PATH THREADS - asks for PATH over a connection for each request, until standard input ends. Says how
many good answers there were now and then, and at the end "N good, M bad"; the first bad ones on standard error.
"""
import hashlib
import http.client
import sys
import threading

host, port, path, threads = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
lock, over = threading.Lock(), threading.Event()
good, bad, digests = 0, 0, set()


def ask():
    connection = http.client.HTTPConnection(host, port, timeout=30)
    connection.request("GET", path, headers={"Connection": "close"})
    answer = connection.getresponse()
    digest = hashlib.sha256(answer.read()).hexdigest()
    connection.close()
    assert answer.status == 200, answer.status
    return digest


def run():
    global good, bad
    while not over.is_set():
        wrong = None
        try:
            digest = ask()
        except (OSError, http.client.HTTPException, AssertionError) as error:
            wrong = error
        with lock:
            if wrong is None:
                good += 1
                digests.add(digest)
                if good % 20 == 0:
                    print(good, flush=True)
            else:
                bad += 1
                if bad <= 5:
                    print(repr(wrong), file=sys.stderr, flush=True)


running = [threading.Thread(target=run) for _ in range(threads)]
for thread in running:
    thread.start()
sys.stdin.read()
over.set()
for thread in running:
    thread.join()
print(f"{good} good, {bad} bad", *digests)
sys.exit(bad != 0)
