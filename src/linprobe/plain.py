"""Plain values: what JSON can hold, and text that any terminal can show."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn

__all__ = ["MOST_NAMES", "UNPRINTABLE", "cut_words", "few", "parse_json", "plain", "printable", "shell_word"]

UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""What a name may hold and a terminal must not get: control characters, ends of lines, marks that turn the direction
of text, and half surrogates, which are how Python reads bytes of a file name that are not UTF-8."""


def plain(value: Any) -> Any:
    """`value` as dicts, lists, strings and numbers; NaN and infinity, which JSON does not have, become None.

    NumPy arrays and numbers are unpacked at any depth. A dataclass becomes a dict of its fields, a member of an
    enumeration its name in lower case. A value of another type is returned unchanged.
    """
    kind = type(value)
    if kind is float:  # most of what is sent: first, since the tests below take longer than the rest
        return value if math.isfinite(value) else None
    if kind is int or kind is str or kind is bool or value is None:
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Enum):
        return value.name.lower()
    if hasattr(value, "tolist"):  # NumPy, without importing it here
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def printable(text: str, keep: str = "") -> str:
    r"""`text` with each unprintable character written as its escape: \n, \x1b, \u202e; \xe9 for a byte of a name.

    Args:
        text: a name or a message.
        keep: characters that are left as they are, such as "\n" where lines are meant.
    """
    return UNPRINTABLE.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


MOST_WORD, HEAD, TAIL = 300, 200, 80
"""Characters of a word in a message, from which on it is cut; and those of its beginning and its end that are kept. A
name in an archive may have 4,096."""

_LONG_WORD = re.compile(rf"\S{{{MOST_WORD},}}")


def cut_words(text: str) -> str:
    """`text` with the middle of each word of `MOST_WORD` characters or more left out."""
    return _LONG_WORD.sub(lambda word: f"{word[0][:HEAD]}...{word[0][-TAIL:]}", text)


MOST_NAMES = 8
"""Names in one message at most; the others are counted."""


def few(names: Sequence[str], most: int = MOST_NAMES, separator: str = ", ") -> str:
    """At most `most` of the names, and how many more there are.

    Example:
        >>> few(["cat", "dog", "owl"], 2)
        'cat, dog and 1 more'
    """
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return separator.join(names[:most]) + more


def shell_word(path: str | Path) -> str:
    """`path` as a shell takes it, to be copied from a message: quoted where it holds blanks or the like.

    Example:
        >>> shell_word("runs/my run")
        "'runs/my run'"
    """
    return shlex.quote(str(path))


def _escape(character: str) -> str:
    """The escape of one character; a byte that is not UTF-8 was read as U+DC00 plus its value."""
    code = ord(character)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else character.encode("unicode_escape").decode("ascii")


MOST_DEPTH = 64
"""Lists and objects of a JSON text, one inside the other, at most; the files of linprobe have 6."""

_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[{\]}]', re.DOTALL)
"""Texts, which may hold brackets, and brackets."""


def parse_json(text: str | bytes, *, with_infinity: bool = False) -> Any:
    """The value of a JSON text; the only error is a ValueError, whatever the text holds.

    Args:
        text: in UTF-8.
        with_infinity: also read NaN and infinity, as Python writes them.
    Raises:
        ValueError: it is not JSON in UTF-8, holds NaN or infinity, a whole number of thousands of digits, or lists and
            objects more than MOST_DEPTH deep.
    """
    if isinstance(text, bytes):
        text = text.decode()
    if text.count("[") + text.count("{") > MOST_DEPTH:
        depth = 0
        for match in _BRACKETS.finditer(text):
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
            if depth > MOST_DEPTH:
                raise ValueError(f"lists and objects more than {MOST_DEPTH} deep")
    return json.loads(text, parse_constant=None if with_infinity else _refuse)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
