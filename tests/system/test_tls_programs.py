# SPDX-License-Identifier: BSD-2-Clause
"""
TLS and HTTP/2, unmodified: openssl's own ends, nginx and curl, nghttpd and its clients. On kernel sockets and on fsock,
which has to have carried it (ends.py).
"""
import re
import subprocess

import pytest

from ends import MIB, body, digest_of
from ends import ends, pytest_generate_tests, tmp_path  # noqa: F401 (fixtures and a hook)
from lab import net, proc
from test_tcp_programs import nginx


@pytest.fixture
def keys(tmp_path):
    """(certificate, key) of pair.b's addresses, files."""
    certificate, key = tmp_path / "certificate", tmp_path / "key"
    with proc.Process(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                       "-days", 2, "-subj", "/CN=fsock", "-addext", f"subjectAltName=IP:{net.B4},IP:{net.B6}",
                       "-keyout", key, "-out", certificate]) as process:
        done = process.finish()
    assert done.status == 0, done.err
    return certificate, key


@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
def test_openssl(ends, keys, version):
    """Lines that the server turns around, one after the other; both ends name the version they agreed on."""
    certificate, key = keys
    server = ["openssl", "s_server", "-accept", f"{net.B4}:4433", "-cert", certificate, "-key", key, "-rev", f"-{version}"]
    client = ["openssl", "s_client", "-connect", f"{net.B4}:4433", "-CAfile", certificate, "-verify_return_error", "-brief",
              "-ign_eof"]
    with ends.server(server, 4433), ends.living_client(client, stdin=subprocess.PIPE) as running:
        for n in range(50):
            running.child.stdin.write(b"line %d\n" % n)
            running.child.stdin.flush()
            assert running.wait_for(f"line {n}"[::-1] + "\n"), running.out + running.err
        ends.took(running.pid)
        running.child.stdin.write(b"CLOSE\n")  # what s_server's -rev ends at
        running.child.stdin.close()
        running.finish()
        assert running.out == "".join(f"line {n}"[::-1] + "\n" for n in range(50))
        assert f"Protocol version: {version.upper().replace('TLS', 'TLSv').replace('_', '.')}\n" in running.err


TLS = """listen {v4}:8443 ssl http2; listen [{v6}]:8443 ssl http2;
        ssl_certificate {certificate}; ssl_certificate_key {key}; """


@pytest.mark.parametrize("http", ["--http1.1", "--http2"])
def test_nginx_and_curl(ends, tmp_path, keys, http):
    """Four bodies at once, by HTTP/2 over one connection, and one that goes up and is refused."""
    server = nginx(tmp_path, process="worker_processes 2;")
    config = tmp_path / "config"
    listen = TLS.format(v4=net.B4, v6=net.B6, certificate=keys[0], key=keys[1])
    config.write_text(config.read_text().replace("server { ", "server { " + listen))
    want = body(tmp_path / "files" / "a", 4 * MIB)
    curl = ["curl", "-sS", http, "--cacert", keys[0]]
    url = f"https://{net.B4}:8443/a"
    with ends.server(server, 8443):
        got = [tmp_path / f"got-{n}" for n in range(4)]
        words = [word for path in got for word in ("-o", path, url)]
        done = ends.client([*curl, "-f", "--parallel", "-w", "%{http_version} %{num_connects}\n", *words])
        assert [digest_of(path) for path in got] == [want] * 4
        versions, connects = zip(*(line.split() for line in done.out.splitlines()))
        assert set(versions) == {http[6:]} and (http == "--http1.1" or sum(map(int, connects)) == 1)
        done = ends.client([*curl, "-T", tmp_path / "files" / "a", "-o", "/dev/null", "-w", "%{http_code}", url])
        assert done.out == "413"
        ends.client(["curl", "-sS", "-o", "/dev/null", url], status=60, counted=False)  # nobody vouches for the certificate


@pytest.mark.parametrize("secure", [True, False], ids=["tls", "plain"])
def test_nghttp2(ends, tmp_path, keys, secure):
    """A body whole, and two thousand requests of ten connections, many on each at a time; two threads serve."""
    want = body(tmp_path / "a", 2 * MIB)
    (tmp_path / "b").write_text("small\n")
    certificate, key = keys
    how, scheme = ([key, certificate], "https") if secure else (["--no-tls"], "http")
    server = ["nghttpd", f"--address={net.B4}", "-d", tmp_path, "-n", 2, 8443, *how]
    with ends.server(server, 8443):
        done = ends.client(["nghttp", "--no-verify-peer", "-nvs", f"{scheme}://{net.B4}:8443/a"])
        assert re.search(r"\b200\b", done.out), done.out[-500:]
        ends.client(["sh", "-c", f"nghttp --no-verify-peer {scheme}://{net.B4}:8443/a >{tmp_path}/got"])
        assert digest_of(tmp_path / "got") == want
        done = ends.client(["h2load", "-n", 2000, "-c", 10, "-m", 10, f"{scheme}://{net.B4}:8443/b"])
        assert "2000 succeeded, 0 failed, 0 errored, 0 timeout" in done.out, done.out
