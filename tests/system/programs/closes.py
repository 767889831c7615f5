# SPDX-License-Identifier: BSD-2-Clause
"""closes.py ADDRESS PORT N - accept N connections, close the listener, say back what they say. Says "ready", "closed"."""
import selectors
import socket
import sys

listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
ready = selectors.DefaultSelector()
print("ready", flush=True)
for _ in range(int(sys.argv[3])):
    ready.register(listener.accept()[0], selectors.EVENT_READ)
listener.close()
print("closed", flush=True)
while True:
    for key, _ in ready.select():
        data = key.fileobj.recv(65536)
        if data:
            key.fileobj.sendall(data)
        else:
            ready.unregister(key.fileobj)
            key.fileobj.close()
