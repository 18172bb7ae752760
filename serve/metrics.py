"""Prometheus metrics of the server, exposed at ``/metrics``."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

FIRST_TOKEN_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
NEXT_TOKEN_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1)
REQUEST_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """Counters, histograms (in seconds) and gauges of one server, in a registry of their own."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()

        def prefixed(name: str) -> str:
            return f"gristmill_{name}"

        self.requests = Counter(
            prefixed("requests"), "Requests by route and status.", ["route", "status"], registry=registry
        )
        self.duration = Histogram(
            prefixed("request_duration_seconds"),
            "Time from a request's arrival to the end of its response.",
            ["route"],
            buckets=REQUEST_BUCKETS,
            registry=registry,
        )
        self.first_token = Histogram(
            prefixed("time_to_first_token_seconds"),
            "Time from a request's arrival to its first token.",
            buckets=FIRST_TOKEN_BUCKETS,
            registry=registry,
        )
        self.next_token = Histogram(
            prefixed("time_per_output_token_seconds"),
            "Mean time between the tokens of an answer.",
            buckets=NEXT_TOKEN_BUCKETS,
            registry=registry,
        )
        self.prompt_tokens = Counter(prefixed("prompt_tokens"), "Prompt tokens.", registry=registry)
        self.generated_tokens = Counter(prefixed("generated_tokens"), "Generated tokens.", registry=registry)
        self.answers = Counter(
            prefixed("answers"), "Answers by finish reason.", ["finish_reason"], registry=registry
        )
        self.feedback_lost = Counter(
            prefixed("feedback_lost"), "Answers and feedback that could not be stored.", registry=registry
        )
        self._running = Gauge(prefixed("requests_running"), "Requests that hold a slot.", registry=registry)
        self._waiting = Gauge(
            prefixed("requests_waiting"), "Requests that wait for a slot.", registry=registry
        )
        self._ready = Gauge(prefixed("ready"), "1 while the server accepts requests.", registry=registry)

    def set_gauges(
        self, running: Callable[[], int], waiting: Callable[[], int], ready: Callable[[], bool]
    ) -> None:
        """Set the functions that the gauges call on each scrape."""
        self._running.set_function(running)
        self._waiting.set_function(waiting)
        self._ready.set_function(ready)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)
