"""What a plain word means: the core schema of YAML 1.2.2, section 10.3.2, and no more.

So `NO`, `on`, `22:22`, `52:54:00:12:34:56`, `1_000` and `2026-11-22` are text, `0755` is 755, `0o755` is 493. A number
that not everybody can carry (not finite, or an integer beyond 64 bits) is refused: somebody would read another one.
"""

from __future__ import annotations

import math
import re

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_MOST_DIGITS = 64
_MOST_EXACT = 1 << 53
"""Beyond this, a float no longer names one integer."""

Scalar = str | int | float | bool | None


def meant(word: str) -> Scalar:
    """What a plain scalar is. Raises ValueError, with the end of a sentence, for a number that nobody can carry."""
    if word in _NULL:
        return None
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    if word[0] not in "-+.0123456789":
        return word
    if _INT.fullmatch(word):
        return _integer(word)
    if _FLOAT.fullmatch(word):
        return real(word)
    if _NO_NUMBER.fullmatch(word):
        raise ValueError("a number has to be finite")
    return word


def real(word: str) -> int | float:
    """A number with a point or an exponent; 47.0 is the integer 47, as JSON Schema has it."""
    number = float(word)
    if not math.isfinite(number):
        raise ValueError("a number has to be finite")
    return int(number) if number.is_integer() and abs(number) < _MOST_EXACT else number


def _integer(word: str) -> int:
    if len(word) > _MOST_DIGITS:
        raise ValueError("an integer has to fit into 64 bits")
    base = {"0o": 8, "0x": 16}.get(word[:2], 10)
    number = int(word, base)
    if not -(1 << 63) <= number < 1 << 64:
        raise ValueError("an integer has to fit into 64 bits")
    return number
