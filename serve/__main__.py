"""``python -m serve --model DIR [--host --port]``: an OpenAI-compatible server and a chat page."""

import ipaddress
import logging
import os
import signal
import socket
import sys
import threading
from argparse import Namespace
from collections.abc import Sequence

from core import config as configuration
from core import errors
from core.config import Config, ServeConfig
from core.errors import ConfigError
from model import loading
from serve.api import keys
from serve.api.app import create_app
from serve.api.keys import ApiKeys
from serve.feedback.store import FeedbackStore
from serve.safety.filter import SafetyFilter
from serve.server import Server, listen, url
from serve.service import ServedModel, Service

SWITCH_SECONDS = 0.0002
"""Time after which a thread must release the GIL if another waits: the model needs it often and briefly."""


def main(arguments: Sequence[str]) -> None:
    """Run the command line. ``--dry-run`` checks that the model exists, too."""
    options = _parse(arguments)
    loopback_only = _is_loopback(options.host)

    def validate(config: Config) -> None:
        _api_keys(config.serve, options.host, required=not loopback_only)
        SafetyFilter(config.serve)
        if options.dry_run:
            loading.find(options.model)

    config = configuration.from_options(options, validate)
    if config is None:
        return
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    api_keys = _api_keys(config.serve, options.host, required=not loopback_only)
    service = Service(config.serve, FeedbackStore(config.serve.feedback), SafetyFilter(config.serve))
    server = Server(create_app(service, api_keys, loopback_only=loopback_only), service)
    with listen(options.host, options.port, config.serve.request_seconds) as listener:
        _run(server, service, options.model, listener, needs_key=bool(api_keys))


def _run(server: Server, service: Service, model: str, listener: socket.socket, *, needs_key: bool) -> None:
    """Run HTTP in a thread, from the start on, and the model in this one."""

    def serve_http() -> None:
        try:
            server.run(sockets=[listener])
        finally:
            service.close()

    sys.setswitchinterval(SWITCH_SECONDS)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, server.handle_exit)
    http = threading.Thread(target=serve_http, name="http")
    http.start()
    try:
        served = service.load(model)
        _announce(url(listener), served, needs_key=needs_key)
        served.engine.run()
    finally:
        server.should_exit = True
        http.join()


def _parse(arguments: Sequence[str]) -> Namespace:
    parser = configuration.parser("Serve a model: an OpenAI-compatible API and a chat page.")
    parser.add_argument(
        "--model",
        required=True,
        help="folder of a training run, Hugging Face folder, adapter folder or .gguf file",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; 0: any free port (8000)")
    return parser.parse_args(arguments)


def _api_keys(settings: ServeConfig, host: str, *, required: bool) -> ApiKeys:
    """Return the configured API keys. Raises :class:`ConfigError` if keys are required and there are none."""
    api_keys = keys.load(settings.api_keys, os.environ)
    if required and not api_keys:
        raise ConfigError(
            f"--host {host}: a server that other machines can reach requires API keys; name a file with "
            f"--set serve.api_keys=FILE or set {keys.VARIABLE}, or listen on 127.0.0.1"
        )
    return api_keys


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _announce(address: str, served: ServedModel, *, needs_key: bool) -> None:
    """Print the server's address and an example request."""
    own = served.loaded.name
    name = served.name if served.name == own else f"{served.name} ({own})"
    print(f"{name}: chat page at {address}, OpenAI-compatible API at {address}/v1")
    if not served.can_chat:
        print("This is a base model: it has no chat template and cannot chat, it only continues text.")
    print(_example(address, served, needs_key=needs_key), flush=True)


def _example(address: str, served: ServedModel, *, needs_key: bool) -> str:
    """Return a request as a shell command."""
    key = ' -H "Authorization: Bearer $KEY"' if needs_key else ""
    path, prompt = "completions", '"prompt": "The capital of France is", "max_tokens": 16'
    if served.can_chat:
        path = "chat/completions"
        prompt = '"messages": [{"role": "user", "content": "What is the capital of France?"}]'
    body = f'{{"model": "{served.name}", {prompt}, "temperature": 0}}'
    return f"curl {address}/v1/{path} -H 'Content-Type: application/json'{key} -d '{body}'"


if __name__ == "__main__":
    errors.run(main)
