"""Rules of the faulty proxy: which requests are disturbed, and how."""

import random
import re
import threading
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer instead of the server, with an error of S3. The request is read and is not forwarded."""

    status: int
    code: str
    message: str = "made by the test"

    def __str__(self) -> str:
        return f"{self.status} {self.code}"


@dataclass(frozen=True, slots=True)
class CutRequest:
    """Reset the connection after ``sent`` bytes of the request's body were forwarded.

    None: before anything is forwarded.
    """

    sent: int | None = None

    def __str__(self) -> str:
        return f"request cut after {self.sent} bytes" if self.sent is not None else "request cut at once"


@dataclass(frozen=True, slots=True)
class CutResponse:
    """Reset the connection after ``sent`` bytes of the response's body. The server has done its work.

    None: before the response's first byte. A body that ends earlier is cut before its last byte, and a
    response without a body before its first byte.
    """

    sent: int | None = None

    def __str__(self) -> str:
        return f"response cut after {self.sent} bytes" if self.sent is not None else "response lost"


@dataclass(frozen=True, slots=True)
class Delay:
    """Hold back the response for some seconds."""

    seconds: float

    def __str__(self) -> str:
        return f"delayed {self.seconds:g} s"


@dataclass(frozen=True, slots=True)
class Throttle:
    """Send the response's body at a rate in bytes per second."""

    rate: int

    def __str__(self) -> str:
        return f"throttled to {self.rate} bytes/s"


Action = Answer | CutRequest | CutResponse | Delay | Throttle

SLOW_DOWN = Answer(503, "SlowDown", "Please reduce your request rate.")
INTERNAL_ERROR = Answer(500, "InternalError", "We encountered an internal error. Please try again.")
EXPIRED_TOKEN = Answer(403, "ExpiredToken", "The provided token has expired.")
NO_SUCH_KEY = Answer(404, "NoSuchKey", "The specified key does not exist.")


@dataclass
class Rule:
    """Disturbs some of the requests that match a method and a path with its query, both regular expressions.

    Among the matching requests, counted from 1, those from ``first`` on, at most ``times`` of them, each with
    the probability ``share``, drawn with ``seed``.
    """

    action: Action
    method: str = ".*"
    path: str = ""
    first: int = 1
    times: int | None = None
    share: float = 1.0
    seed: int = 0
    seconds_after_put: float | None = None
    """Match only paths that were written through the proxy less than so many seconds before."""
    _matched: int = field(default=0, init=False)
    _done: int = field(default=0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def applies(self, method: str, target: str, seconds_since_put: float | None) -> bool:
        """Count a request if it matches, and return True if it is to be disturbed."""
        if not re.fullmatch(self.method, method) or not re.search(self.path, target):
            return False
        if self.seconds_after_put is not None and (
            seconds_since_put is None or seconds_since_put >= self.seconds_after_put
        ):
            return False
        with self._lock:
            self._matched += 1
            drawn = self._random.random() < self.share
            if self._matched < self.first or not drawn:
                return False
            if self.times is not None and self._done >= self.times:
                return False
            self._done += 1
            return True


@dataclass(frozen=True, slots=True)
class Handled:
    """A request that went through the proxy: when, its first line, and what was done to it, if anything."""

    at: float
    """Reading of :func:`time.monotonic`."""
    method: str
    target: str
    action: Action | None
