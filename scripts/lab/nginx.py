# SPDX-License-Identifier: BSD-2-Clause
"""nginx - a web server whose every file is in a folder of its own."""

ALONE = "master_process off;"  # one process, which serves

_CONFIG = """daemon off;
{process}
user root;
error_log stderr;
pid {folder}/pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/client;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    {http}
}}
"""


def server(folder, http, process=ALONE):
    """Write folder/config with @http, what stands in its http block, and @process before it; returns the argv that serves it."""
    config = folder / "config"
    config.write_text(_CONFIG.format(folder=folder, http=http, process=process))
    return ["nginx", "-p", folder, "-c", config, "-e", "stderr"]
