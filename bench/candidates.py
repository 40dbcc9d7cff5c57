"""Who answers: forever200 and its parts, and what else one could put there. All at once, and measured in turns."""

import pathlib
import shutil
import sys

from system import Process, free_port

PROJECT = pathlib.Path(__file__).resolve().parent.parent
RELEASE = PROJECT / "target" / "release"

# Without what differs from candidate to candidate, haproxy.cfg's own settings.
HAPROXY = """
global
    maxconn 8000
    no strict-limits
defaults
    mode {mode}
    timeout connect 2s
    timeout client 15s
    timeout server 15s
frontend front
    bind 127.0.0.1:{port}
    {rest}
"""

NGINX = """
daemon off;
master_process on;
worker_processes auto;
error_log stderr;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log {log};
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    types {{ text/html html; application/json json; }}
    gzip_static on;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {folder};
        location = / {{ return 200; }}
        location /home {{ try_files $uri.html =404; }}
    }}
}}
"""


class Candidate:
    """Processes in the way of a request, and where it begins."""

    def __init__(self, folder, name):
        self.folder = pathlib.Path(folder) / name
        self.folder.mkdir()
        self.processes = []

    def run(self, command, address, **environment):
        process = Process([str(part) for part in command], address, self.folder / "log", self.folder, **environment)
        self.processes.append(process)

    def memcached(self):
        port = free_port()
        self.run(["memcached", "-u", "nobody", "-U", "0", "-l", "127.0.0.1", "-p", port], ("127.0.0.1", port))
        return port

    def haproxy(self, mode, rest):
        port = free_port()
        (self.folder / "haproxy.cfg").write_text(HAPROXY.format(mode=mode, port=port, rest=rest))
        self.run(["haproxy", "-W", "-db", "-f", "haproxy.cfg"], ("127.0.0.1", port))
        return port

    def nginx(self, log="off"):
        port = free_port()
        (self.folder / "nginx.conf").write_text(NGINX.format(folder=self.folder, port=port, log=log))
        self.run(["nginx", "-p", self.folder, "-e", "stderr", "-c", self.folder / "nginx.conf"], ("127.0.0.1", port))
        return port

    def pids(self):
        return [pid for process in self.processes for pid in process.pids()]

    def end(self):
        while self.processes:
            self.processes.pop().end()


class Responder(Candidate):
    """The responder and the memcached it records to."""

    title = "responder, TCP"

    def __init__(self, folder, name):
        super().__init__(folder, name)
        port = free_port()
        self.peer, socket = f"127.0.0.1:{port}", str(self.folder / "responder.sock")
        self.run(
            [RELEASE / "forever200-responder", "--listen", self.peer, "--socket", socket,
             "--memcached", f"127.0.0.1:{self.memcached()}"],
            socket,
        )
        self.socket = socket


class UnixResponder(Responder):
    title = "responder, Unix socket"

    def __init__(self, folder, name):
        super().__init__(folder, name)
        self.peer = self.socket


class Nginx(Candidate):
    title = "nginx `return 200`, no access log"
    log = "off"

    def __init__(self, folder, name):
        super().__init__(folder, name)
        self.peer = f"127.0.0.1:{self.nginx(self.log.format(folder=self.folder))}"


class LoggingNginx(Nginx):
    title = "nginx `return 200`, access log"
    log = "{folder}/access.log"


class HaproxyReturn(Candidate):
    title = "haproxy `http-request return`"

    def __init__(self, folder, name):
        super().__init__(folder, name)
        self.peer = f"127.0.0.1:{self.haproxy('http', 'http-request return status 200')}"


class Forever200(Candidate):
    """All of it, by the two configuration files as they are; `responders` more than one edits a copy of them."""

    title = "**forever200 as shipped**"

    def __init__(self, folder, name, responders=1):
        super().__init__(folder, name)
        port, self.viewer = free_port(), f"127.0.0.1:{free_port()}"
        self.peer, self.memcached_port = f"127.0.0.1:{port}", free_port()
        shutil.copytree(PROJECT / "haproxy", self.folder / "haproxy")
        conf = (PROJECT / "supervisord.conf").read_text()
        if responders > 1:
            lines = conf.splitlines()
            command = "command=setpriv --pdeathsig KILL forever200-responder --socket fd@0"
            at = lines.index(command)
            lines[at:at + 5] = [
                f"{command} --listen 127.0.1.%(process_num)s:{free_port()}",
                "process_name=responder_%(process_num)s", f"numprocs={responders}", "numprocs_start=1",
            ]
            conf = "\n".join(lines)
        (self.folder / "supervisord.conf").write_text(conf)
        run = self.folder / "run"
        run.mkdir(mode=0o700)
        self.run(
            ["supervisord", "--configuration", "supervisord.conf"], ("127.0.0.1", port),
            PATH=f"{RELEASE}:/usr/local/bin:/usr/bin:/bin:/usr/sbin", PYTHONPATH=str(PROJECT / "supervisor"),
            PYTHONDONTWRITEBYTECODE="1",
            FOREVER200_RUN=str(run), FOREVER200_BIND=self.peer, FOREVER200_VIEWER_LISTEN=self.viewer,
            FOREVER200_RESPONDER_SOCKET=str(run / "responder.sock"),
            FOREVER200_RESPONDER_LISTEN=f"127.0.0.1:{free_port()}",
            FOREVER200_MEMCACHED=f"127.0.0.1:{self.memcached_port}",
        )

    def pids_of(self, *names):
        """The processes with such names, as the kernel cuts them: 15 bytes."""
        return [pid for pid in self.pids() if (pathlib.Path(f"/proc/{pid}/comm").read_text().strip()) in names]


class TcpToNginx(Candidate):
    title = "haproxy `mode tcp`, nginx `return 200`"
    mode = "tcp"

    def __init__(self, folder, name):
        super().__init__(folder, name)
        rest = f"default_backend it\nbackend it\n    server it 127.0.0.1:{self.nginx()}"
        self.peer = f"127.0.0.1:{self.haproxy(self.mode, rest)}"


class HttpToNginx(TcpToNginx):
    title = "haproxy `mode http`, nginx `return 200`"
    mode = "http"


class Socketserver(Candidate):
    title = "2019: haproxy `mode http`, threaded Python"

    def __init__(self, folder, name):
        super().__init__(folder, name)
        port, memcached = free_port(), self.memcached()
        script = PROJECT / "bench" / "socketserver_2019.py"
        self.run([sys.executable, script, port, memcached], ("127.0.0.1", port))
        rest = f"default_backend it\nbackend it\n    server it 127.0.0.1:{port}"
        self.peer = f"127.0.0.1:{self.haproxy('http', rest)}"


class NodeEcho(Candidate):
    title = "Node echo server (express, morgan)"

    def __init__(self, folder, name):
        super().__init__(folder, name)
        port = free_port()
        self.run(["node", PROJECT / "bench" / "node" / "echo.js", port], ("127.0.0.1", port), NODE_ENV="production")
        self.peer = f"127.0.0.1:{port}"


ALL = [
    Responder, UnixResponder, Nginx, LoggingNginx, HaproxyReturn, Forever200, TcpToNginx, HttpToNginx, Socketserver, NodeEcho,
]
