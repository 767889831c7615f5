# SPDX-License-Identifier: BSD-2-Clause
"""
multi.py serve|ask HOST PORT - python's multiprocessing over TCP: connections that prove a key, each served by a process of
its own, and the queues of a manager one port further, which several processes of both sides fill and empty.
"""
import hashlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.managers
import os
import sys

KEY = b"a key"
how, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
multiprocessing.set_start_method("fork")


class Manager(multiprocessing.managers.BaseManager):
    """Of the queues that the serving side has."""


def digest(connection):
    """Answer every object by what it is."""
    with connection:
        try:
            while True:
                data = connection.recv()
                connection.send((len(data), hashlib.sha256(data).hexdigest()))
        except EOFError:
            pass


def double(tasks, results):
    for n in iter(tasks.get, None):
        results.put(2 * n)


def serve():
    tasks, results = multiprocessing.Queue(), multiprocessing.Queue()
    workers = [multiprocessing.Process(target=double, args=(tasks, results), daemon=True) for _ in range(3)]
    for worker in workers:
        worker.start()
    Manager.register("tasks", callable=lambda: tasks)
    Manager.register("results", callable=lambda: results)
    manager = Manager((host, port + 1), KEY)
    manager.start()
    with multiprocessing.connection.Listener((host, port), authkey=KEY) as listener:
        while True:
            connection = listener.accept()
            multiprocessing.Process(target=digest, args=(connection,), daemon=True).start()
            connection.close()


def send_and_compare(sizes):
    with multiprocessing.connection.Client((host, port), authkey=KEY) as connection:
        for size in sizes:
            data = os.urandom(size)
            connection.send(data)
            assert connection.recv() == (size, hashlib.sha256(data).hexdigest())


def put(manager, numbers):
    for n in numbers:
        manager.tasks().put(n)


def ask():
    sizes = [(0, 1, 1000, 100000), (3000000,), range(0, 60000, 6000)]
    Manager.register("tasks")
    Manager.register("results")
    manager = Manager((host, port + 1), KEY)
    manager.connect()
    children = [multiprocessing.Process(target=send_and_compare, args=(some,)) for some in sizes]
    children += [multiprocessing.Process(target=put, args=(manager, range(at, 30, 3))) for at in range(3)]
    for child in children:
        child.start()
    results = manager.results()
    got = sorted(results.get() for _ in range(30))
    for child in children:
        child.join()
    assert got == [2 * n for n in range(30)]
    assert all(child.exitcode == 0 for child in children), children
    print("well")


serve() if how == "serve" else ask()
