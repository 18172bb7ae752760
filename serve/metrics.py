"""What ``GET /metrics`` tells Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SHORT = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Seconds to a first token."""
TOKEN = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1)
"""Seconds from one token to the next."""
LONG = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
"""Seconds of a whole request."""


class Metrics:
    """The figures of one server."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()

        def named(name: str) -> str:
            return f"gristmill_{name}"

        self.requests = Counter(
            named("requests"), "Requests by route and status.", ["route", "status"], registry=registry
        )
        self.duration = Histogram(
            named("request_duration_seconds"),
            "From a request's arrival to the end of its answer.",
            ["route"],
            buckets=LONG,
            registry=registry,
        )
        self.first_token = Histogram(
            named("time_to_first_token_seconds"),
            "From a request's arrival to its first token.",
            buckets=SHORT,
            registry=registry,
        )
        self.next_token = Histogram(
            named("time_per_output_token_seconds"),
            "Mean time between an answer's tokens.",
            buckets=TOKEN,
            registry=registry,
        )
        self.tokens_in = Counter(named("prompt_tokens"), "Tokens of prompts.", registry=registry)
        self.tokens_out = Counter(named("generated_tokens"), "Tokens of answers.", registry=registry)
        self.finished = Counter(
            named("answers"), "Answers by what ended them.", ["finish_reason"], registry=registry
        )
        self._running = Gauge(named("requests_running"), "Requests that hold a slot.", registry=registry)
        self._waiting = Gauge(named("requests_waiting"), "Requests that wait for a slot.", registry=registry)
        self._ready = Gauge(named("ready"), "1 while requests are taken.", registry=registry)

    def watch(
        self, running: Callable[[], int], waiting: Callable[[], int], ready: Callable[[], bool]
    ) -> None:
        """Where the gauges are read from, each time that they are asked for."""
        self._running.set_function(running)
        self._waiting.set_function(waiting)
        self._ready.set_function(ready)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry)
