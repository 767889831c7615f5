# SPDX-License-Identifier: BSD-2-Clause
"""
asker.py HOST PORT PATH THREADS - asks for PATH over a connection for each request, until standard input ends. Says how
many good answers there were now and then, and at the end "N good, M bad"; the first bad ones on standard error.
"""
import hashlib
import http.client
import sys
import threading

import until_end

host, port, path, threads = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
digests = set()


def ask():
    connection = http.client.HTTPConnection(host, port, timeout=30)
    connection.request("GET", path, headers={"Connection": "close"})
    answer = connection.getresponse()
    digest = hashlib.sha256(answer.read()).hexdigest()
    connection.close()
    assert answer.status == 200, answer.status
    digests.add(digest)


tally = until_end.Tally()
tally.run([threading.Thread(target=tally.keep_on, args=(ask,)) for _ in range(threads)])
print(f"{tally.good} good, {tally.bad} bad", *digests)
sys.exit(tally.bad != 0)
