"""``python -m serve --model DIR [--host --port]``: an OpenAI-compatible server and a chat page."""

import ipaddress
import logging
import os
import signal
import socket
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Sequence
from types import FrameType

import uvicorn

from core import config as configuration
from core import errors
from core.config import ServeConfig
from core.errors import ConfigError, InputError
from serve import keys
from serve.app import build
from serve.feedback import Journal
from serve.safety import Safety
from serve.service import Service

SWITCH_SECONDS = 0.0002
"""How long one thread may keep Python's lock from the other: the model wants it often, and for moments."""
LAST_SECONDS = 2
"""For responses that are cut off at the end of the drain to be closed."""


def main(arguments: Sequence[str]) -> None:
    """The command line."""
    options = _parse(arguments)
    config = configuration.from_options(options)
    if config is None:
        return
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    service = _service(config.serve, options.host)
    with _listen(options.host, options.port) as listener:
        _run(service, options.model, listener)


def _run(service: Service, model: str, listener: socket.socket) -> None:
    """HTTP in a thread of its own, at once; the model in this one."""
    server = Server(service)

    def answer() -> None:
        try:
            server.run(sockets=[listener])
        finally:
            service.close()

    sys.setswitchinterval(SWITCH_SECONDS)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, server.handle_exit)
    answering = threading.Thread(target=answer, name="http")
    answering.start()
    try:
        ready = service.open(model)
        _tell(listener, ready.loaded.name, keyed=bool(service.keys))
        ready.engine.run()
    finally:
        server.should_exit = True
        answering.join()


def _parse(arguments: Sequence[str]) -> Namespace:
    parser = configuration.parser("Serve a model: an OpenAI-compatible API and a chat page.")
    parser.add_argument(
        "--model", required=True, help="a run's folder, a Hugging Face folder, a .gguf file or an adapter"
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="0: any that is free (8000)")
    return parser.parse_args(arguments)


def _service(settings: ServeConfig, host: str) -> Service:
    """All but the model. Raises :class:`ConfigError` for an open door without keys."""
    admitted, local = keys.load(settings.api_keys, os.environ), _is_loopback(host)
    if not admitted and not local:
        raise ConfigError(
            f"--host {host}: others could reach this server, so that it needs API keys; name a file with "
            f"--set serve.api_keys=FILE or set {keys.VARIABLE}, or listen on 127.0.0.1"
        )
    return Service(settings, admitted, Journal(settings.feedback), Safety(settings), local)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        raise InputError(f"{host}:{port}: cannot listen there ({error}); choose another --port") from None


class Server(uvicorn.Server):
    """Lets running requests finish when it is told to stop."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._drained_by = 0.0
        super().__init__(
            uvicorn.Config(
                build(service),
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=LAST_SECONDS,
                lifespan="off",
                ws="none",
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal, stop at the second."""
        if self._service.state == "draining":
            super().handle_exit(sig, frame)
        self._service.state = "draining"
        self._drained_by = time.monotonic() + self._service.settings.drain_seconds

    async def on_tick(self, counter: int) -> bool:
        """Several times a second: whether to stop now."""
        if self._service.state == "draining":
            late = time.monotonic() > self._drained_by
            self.should_exit = self.should_exit or late or not self._service.active
        return await super().on_tick(counter)


def _tell(listener: socket.socket, name: str, *, keyed: bool) -> None:
    """Say where the model answers, and how to ask."""
    host, port = listener.getsockname()[:2]
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    print(f"{name}: a chat page at {address}, an OpenAI-compatible API at {address}/v1")
    print(_example(address, name, keyed=keyed), flush=True)


def _example(address: str, name: str, *, keyed: bool) -> str:
    """A request as a line for a shell."""
    key = ' -H "Authorization: Bearer $KEY"' if keyed else ""
    messages = '[{"role": "user", "content": "What is the capital of France?"}]'
    body = f'{{"model": "{name}", "messages": {messages}, "temperature": 0}}'
    return f"curl {address}/v1/chat/completions -H 'Content-Type: application/json'{key} -d '{body}'"


if __name__ == "__main__":
    errors.run(main)
