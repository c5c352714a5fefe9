"""Seeded mutations of bytes, texts and JSON values: the same seed makes the same case on every machine."""

from __future__ import annotations

import copy
import json
import random
import re
from typing import Any

NUMBERS = (0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 511, 512, 1024, 4095, 32767, 32768, 65535, 65536, 2**24, 2**27)
LARGE = (2**30, 2**31 - 1, 2**31, 2**32 - 512, 2**32 - 1, 2**40, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 512, 2**64 - 1)
"""Numbers at which sizes, counts and signs change their meaning."""

HOSTILE = (
    *(None, True, False, 0, 1, -1, 2, 0.5, -0.5, 1e-300, 1e300, 2**31, 2**53 + 1, 2**63, 10**30, 10**400),
    *("", "a", "\0", "\ud800", "é", "../..", "x" * 300, "nan", "1e5", [], {}, [[]], [None], [[1, 2], [3]], {"": None}),
    *([0] * 1000, [[0.0] * 3] * 3, {"a": {"a": {"a": 1}}}, ["a", 1, None], [1, "a"], -(2**63), "W", "softmax"),
)
"""Values of JSON that stand where others are expected."""


def mutated_bytes(content: bytes, chance: random.Random) -> bytes:
    """The content after one to four mutations."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 4))):
        _mutate(data, chance)
    return bytes(data)


def _mutate(data: bytearray, chance: random.Random) -> None:
    """One mutation, half of them in the first or last 300 bytes, where formats keep their structure."""
    size = len(data)
    if not size:
        data += bytes([chance.randrange(256)])
        return
    near = min(size, 300)
    at = chance.choice((chance.randrange(size), chance.randrange(near), size - 1 - chance.randrange(near)))
    match chance.randrange(10):
        case 0:
            data[at] ^= 1 << chance.randrange(8)
        case 1:
            data[at] = chance.randrange(256)
        case 2 | 3:
            width = chance.choice((1, 2, 4, 8))
            number = chance.choice((*NUMBERS, *LARGE)) % 256**width
            data[at : at + width] = number.to_bytes(width, chance.choice(("little", "big")))
        case 4:
            del data[at : at + chance.choice((1, 2, 4, 16, 100, size))]
        case 5:
            piece = data[at : at + chance.choice((1, 2, 4, 16, 64, 512))]
            data[at:at] = piece * chance.choice((1, 2, 20))
        case 6:
            data[at:at] = chance.randbytes(chance.choice((1, 2, 4, 16, 64)))
        case 7:
            data[at:at] = bytes([chance.choice((0, 0x28, 0x2D, 0x5B, 0x7B, 0x85, 0xFF))]) * chance.choice((4, 64, 5000))
        case 8:
            other, length = chance.randrange(size), chance.choice((1, 4, 16, 64))
            data[at : at + length] = data[other : other + length]
        case 9:
            numbers = list(re.finditer(rb"\d+", data))
            if numbers:
                found = chance.choice(numbers)
                data[found.start() : found.end()] = str(chance.choice((*NUMBERS, *LARGE, -1, 10**30))).encode()


def mutated_json(value: Any, chance: random.Random) -> str:
    """A JSON text of the value after one to three mutations of its structure, or of its text."""
    value = copy.deepcopy(value)
    if chance.random() < 0.15:
        return mutated_bytes(json.dumps(value).encode(), chance).decode("utf-8", "replace")
    for _ in range(chance.choice((1, 1, 2, 3))):
        value = mutated_value(value, chance)
    text = json.dumps(value)
    if chance.random() < 0.05:
        text = text.replace("1", chance.choice(("NaN", "-Infinity", "1e999", "1" * 5000, "[" * 200)), 1)
    return text


def mutated_value(value: Any, chance: random.Random) -> Any:
    """The value, changed in place at a place drawn at random; another value where it is changed itself."""
    places = list(_places(value))
    if not places or chance.random() < 0.02:
        return copy.deepcopy(chance.choice(HOSTILE))
    inside, key = chance.choice(places)
    new = copy.deepcopy(chance.choice(HOSTILE))
    match chance.randrange(8):
        case 0:
            del inside[key]
        case 1 if isinstance(inside, dict):
            inside[chance.choice(("x" * 50, "", "__class__", str(key) + "_"))] = new
        case 1 | 2 if isinstance(inside, list):
            inside[key:key] = [copy.deepcopy(inside[key])] * chance.choice((1, 3, 200))
        case 2:
            other, name = chance.choice(places)
            inside[key] = copy.deepcopy(other.get(name) if isinstance(other, dict) else other[name])
        case 3 if isinstance(inside[key], int | float):
            factor, shift = chance.choice((-1, 0, 10, 1e-9, 1e9, 1e300)), chance.choice((0, 1, -1, 0.5))
            try:
                inside[key] = inside[key] * factor + shift
            except OverflowError:  # a whole number that an earlier mutation made larger than any float
                inside[key] = -inside[key]
        case _:
            inside[key] = new
    return value


def _places(value: Any) -> Any:
    """(container, key) of every value inside of this one."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield value, key
            yield from _places(item)
