"""Who is measured: the upstream itself, a plain nginx reverse proxy, an aiohttp forwarder. (The gateway: ``gateway_peer``.)"""

import sys
from collections.abc import Mapping
from typing import Protocol

import httpx

from loadtests.machine import TEST_CORE, Family, family
from loadtests.tools import BUILD, Running, find, free_port, wait_for_port
from loadtests.work import CHAT_PATH, SDK_HEADERS, Workload, forwarded_body


class Counted(Protocol):
    """What a peer may want to know of a run that ended."""

    answers: dict[str, int]


class Peer(Protocol):
    """A server that takes chat calls."""

    label: str
    url: str

    def family(self) -> Family:
        """Its processes now."""
        ...

    def body(self, work: Workload) -> bytes: ...

    def headers(self) -> Mapping[str, str]: ...

    def count(self, result: Counted) -> None:
        """Told of every run."""
        ...

    def stop(self) -> None: ...


class Upstream:
    """The fake upstream, on the load core. As a peer it is the floor: a call with nothing in between."""

    label = "direct"

    def __init__(self) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.url = self.base + CHAT_PATH
        self._running = Running("upstream", [BUILD / "upstream", str(self.port)])
        wait_for_port(self.port, self._running, 5)
        self._http = httpx.Client(base_url=self.base, trust_env=False)
        self.sizes: dict[str, int] = {}
        """Bytes of the body that the gateway sends upstream, by workload."""

    @property
    def pid(self) -> int:
        return self._running.pid

    def stats(self) -> dict[str, int]:
        return self._http.get("/stats").raise_for_status().json()

    def control(self, **settings: int) -> None:
        self._http.get("/control", params=settings).raise_for_status()

    def family(self) -> Family:
        return family(self.pid)

    def body(self, work: Workload) -> bytes:
        return forwarded_body(work, self.sizes[work.name])

    def headers(self) -> Mapping[str, str]:
        return {"authorization": "Bearer bench", **SDK_HEADERS}

    def count(self, result: Counted) -> None:
        """Nothing to keep."""

    def stop(self) -> None:
        self._http.close()
        self._running.stop()


class _Forwarder:
    """Passes bodies on unchanged, so it gets what the gateway would have sent upstream."""

    label: str

    def __init__(self, upstream: Upstream, port: int, running: Running) -> None:
        self.url = f"http://127.0.0.1:{port}{CHAT_PATH}"
        self._upstream = upstream
        self._running = running
        try:
            wait_for_port(port, running, 15)
        except RuntimeError:
            running.stop()
            raise

    def family(self) -> Family:
        return family(self._running.pid)

    def body(self, work: Workload) -> bytes:
        return self._upstream.body(work)

    def headers(self) -> Mapping[str, str]:
        return self._upstream.headers()

    def count(self, result: Counted) -> None:
        """Nothing to keep."""

    def stop(self) -> None:
        self._running.stop()


_NGINX = """
daemon off; master_process on; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; tcp_nodelay on; server_tokens off;
  client_body_temp_path {folder}/nginx-body; proxy_temp_path {folder}/nginx-proxy; fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi; scgi_temp_path {folder}/nginx-scgi;
  client_body_buffer_size 256k; keepalive_requests 1000000000; keepalive_timeout 600s;
  upstream fake {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://fake; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }}
  }}
}}
"""


class Nginx(_Forwarder):
    """A plain reverse proxy: what forwarding costs when nobody looks at what is forwarded."""

    label = "nginx"

    def __init__(self, upstream: Upstream) -> None:
        port = free_port()
        configuration = BUILD / "nginx.conf"
        configuration.write_text(_NGINX.format(folder=BUILD, upstream=upstream.port, port=port))
        program = find("nginx", "nginx-light")
        super().__init__(upstream, port, Running("nginx", [program, "-p", BUILD, "-c", configuration], core=TEST_CORE))


class Aiohttp(_Forwarder):
    """The usual Python forwarder."""

    label = "aiohttp"

    def __init__(self, upstream: Upstream) -> None:
        port = free_port()
        program = [sys.executable, "-m", "loadtests.forwarder_aiohttp", "--port", str(port), "--upstream", upstream.url]
        super().__init__(upstream, port, Running("aiohttp", program, core=TEST_CORE))
