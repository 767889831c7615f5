# SPDX-License-Identifier: BSD-2-Clause
"""postgres - a cluster of Debian's database in a folder of its own, under the user that its package makes."""
import contextlib
import pathlib
import tempfile

from . import net, proc

BIN = pathlib.Path("/usr/lib/postgresql/15/bin")
# As root a database would not run; what the fast path needs goes along, and the right to lock memory: where the machine is
# busy, what the run before had locked counts against the user for long.
_CAPS = "+net_admin,+net_raw,+bpf,+perfmon,+ipc_lock"
AS_POSTGRES = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", f"--inh-caps={_CAPS}", f"--ambient-caps={_CAPS}")


class Failed(Exception):
    """There is no cluster; the text says why."""


def _run(argv):
    with proc.Process(argv) as process:
        done = process.finish()
    if done.status:
        raise Failed(f"{argv[0]}: {done.err.strip()[-300:]}")


@contextlib.contextmanager
def cluster():
    """A folder with an empty cluster in data/, which trusts net.Pair's other side; room for its local socket, too."""
    with tempfile.TemporaryDirectory(prefix="fsock-postgres-") as name:
        folder = pathlib.Path(name)
        _run(["chown", "postgres:", folder])
        _run([*AS_POSTGRES, BIN / "initdb", "-D", folder / "data", "-A", "trust", "-N"])
        with (folder / "data" / "pg_hba.conf").open("a") as hba:
            hba.write(f"host all all {net.A4}/24 trust\n")
        yield folder


def server(folder):
    """Its argv, to be run under AS_POSTGRES; SIGINT ends it."""
    return [BIN / "postgres", "-D", folder / "data", "-k", folder, "-h", net.B4]


def ready(folder):
    """argv of what succeeds once it takes connections."""
    return [BIN / "pg_isready", "-h", folder]
