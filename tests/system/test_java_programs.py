# SPDX-License-Identifier: BSD-2-Clause
"""
Java, unmodified: its servers and clients of three kinds, and processes that it starts (programs/Web.java). On kernel
sockets and on fsock, which has to have carried it (ends.py). For the long job named programs, which installs a JDK.
"""
import pathlib

import pytest

from ends import ends, pytest_generate_tests, tmp_path  # noqa: F401 (fixtures and a hook)
from lab import fsock, net, proc

SOURCE = pathlib.Path(__file__).resolve().parent / "programs" / "Web.java"
CHECKS = 40 + 10 + 20 + 8 + 22 + 1


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classes")
    with proc.Process(["javac", "-d", folder, SOURCE], env=fsock.CLEAN) as compiler:
        done = compiler.finish(300)
    assert done.status == 0, done.err
    return ["java", "-cp", folder, "Web"]


@pytest.mark.whole
def test_java(ends, web):
    with ends.server([*web, "serve", net.B4, 8080], 8080):
        assert ends.client([*web, "ask", net.B4, 8080]).out == f"{CHECKS}\n"
