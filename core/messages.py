"""Wording shared by the messages of all programs."""

import difflib
from collections.abc import Iterable

USER_INFORMATION = (
    r"(?:(?<!abfs)(?<!abfss)(?<!wasb)(?<!wasbs)://[^/?#\s\"']+@"
    r"|://(?!arn:)[^/?#\s\"':@\[]*:(?!:|\d*(?:[/?#\s\"']|$))[^\s\"']*@)"
)
"""Pattern, for Python and Java, of ``://`` and a user, password or token in an address.

The name before ``@`` is no user in addresses of Azure, where it is the container. The second alternative
finds passwords with slashes, ``user:pa/ss@``: neither a port nor the ARN of an S3 access point.
"""


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return the valid name most similar to a mistyped one; ``valid`` must not be empty."""
    return difflib.get_close_matches(name, list(valid), n=1, cutoff=0.0)[0]


def counted(number: int, noun: str) -> str:
    """Format a number with its noun: ``1 task``, ``1,200 tasks``."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def first_line(error: Exception) -> str:
    """Return what an exception says, without the stack trace of Java; with its class unless it is ours."""
    line = next(iter(str(error).splitlines()), "")
    is_ours = type(error).__module__ == "core.errors"
    return line if is_ours else f"{type(error).__name__}: {line}"


def duration(seconds: float) -> str:
    """Format a duration: ``4.2 s``, ``12 min 34 s``, ``3 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
