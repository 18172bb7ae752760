"""Arithmetic of the parser function ``#expr``."""

import math
import operator
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

_TOKEN = re.compile(
    r"\s*(?:(\d+(?:\.\d*)?|\.\d+)|(<=|>=|!=|<>|[-+*/^()=<>]|[a-z]+))", re.IGNORECASE | re.ASCII
)
_MAX_TOKENS = 200
_CONSTANTS: Mapping[str, float] = MappingProxyType({"pi": math.pi, "e": math.e})
_UNARY: Mapping[str, Callable[[float], float]] = MappingProxyType(
    {
        "-": operator.neg,
        "+": operator.pos,
        "not": lambda value: float(not value),
        "abs": abs,
        "floor": math.floor,
        "ceil": math.ceil,
        "trunc": math.trunc,
        "sqrt": math.sqrt,
        "exp": math.exp,
        "ln": math.log,
        "sin": math.sin,
        "cos": math.cos,
        "tan": math.tan,
    }
)
_BINARY: Mapping[str, tuple[int, Callable[[float, float], float]]] = MappingProxyType(
    {
        "or": (1, lambda a, b: float(bool(a or b))),
        "and": (2, lambda a, b: float(bool(a and b))),
        "=": (3, operator.eq),
        "!=": (3, operator.ne),
        "<>": (3, operator.ne),
        "<": (3, operator.lt),
        ">": (3, operator.gt),
        "<=": (3, operator.le),
        ">=": (3, operator.ge),
        "round": (4, lambda a, b: _round(a, b)),
        "+": (5, operator.add),
        "-": (5, operator.sub),
        "*": (6, operator.mul),
        "/": (6, operator.truediv),
        "div": (6, operator.truediv),
        "mod": (6, math.fmod),
        "^": (7, math.pow),
        "e": (8, lambda a, b: a * math.pow(10.0, b)),
    }
)
"""Precedence and function of the operators."""


def evaluate(expression: str) -> str:
    """Return the value of an expression; an empty string for anything that is not one."""
    tokens = _tokens(expression.replace("−", "-").replace("&minus;", "-"))
    if not tokens or len(tokens) > _MAX_TOKENS:
        return ""
    try:
        value = _expression(tokens, 0)
    except (ArithmeticError, ValueError, IndexError):
        return ""
    if tokens or not math.isfinite(value):
        return ""
    return f"{float(value):.12g}" if abs(value) < 1e12 else f"{float(value):.0f}"


def _tokens(expression: str) -> list[str]:
    """Return the tokens, the first one last; none if there is anything else in the expression."""
    found: list[str] = []
    position = 0
    expression = expression.strip()
    while position < len(expression) and len(found) <= _MAX_TOKENS:
        token = _TOKEN.match(expression, position)
        if token is None:
            return []
        found.append(token[1] or token[2].lower())
        position = token.end()
    return found[::-1]


def _expression(tokens: list[str], precedence: int) -> float:
    """Parse operators that bind more tightly than ``precedence``."""
    value = _operand(tokens)
    while tokens and tokens[-1] in _BINARY and _BINARY[tokens[-1]][0] > precedence:
        level, function = _BINARY[tokens.pop()]
        value = float(function(value, _expression(tokens, level)))
    return value


def _operand(tokens: list[str]) -> float:
    token = tokens.pop()
    if token == "(":
        value = _expression(tokens, 0)
        if tokens.pop() != ")":
            raise ValueError(token)
        return value
    if token in _UNARY:
        return float(_UNARY[token](_operand(tokens)))
    return _CONSTANTS[token] if token in _CONSTANTS else float(token)


def _round(value: float, decimals: float) -> float:
    """Round half away from zero, as PHP does."""
    factor = math.pow(10.0, math.trunc(decimals))
    return math.copysign(math.floor(abs(value) * factor + 0.5) / factor, value)
