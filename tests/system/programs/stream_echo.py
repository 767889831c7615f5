# SPDX-License-Identifier: BSD-2-Clause
"""
stream_echo.py ADDRESS PORT [TO TO_PORT] - accepts connections, makes one, and says what each says.

Each "!" among the bytes of a connection makes it compute for three seconds, without any call.
"""
import selectors
import socket
import sys
import time

COMPUTE = 3


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def compute():
    end, n = time.monotonic() + COMPUTE, 0
    while time.monotonic() < end:  # reads the clock without the kernel
        n += 1


def main(address, port, to=None, to_port=None):
    ready = selectors.DefaultSelector()
    listener = socket.create_server((address, int(port)), family=family(address), backlog=512)
    ready.register(listener, selectors.EVENT_READ)
    if to:
        client = socket.create_connection((to, int(to_port)), timeout=20)
        client.settimeout(None)
        ready.register(client, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in ready.select():
            if key.fileobj is listener:
                ready.register(listener.accept()[0], selectors.EVENT_READ)
                continue
            try:
                data = key.fileobj.recv(65536)
                for _ in range(data.count(b"!")):
                    compute()
                key.fileobj.sendall(data)
            except OSError as error:
                print("error", error.errno, flush=True)
                data = b""
            if not data:
                ready.unregister(key.fileobj)
                key.fileobj.close()


main(*sys.argv[1:])
