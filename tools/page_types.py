"""Write web/src/protocol.ts: what the page and the server of the lab send each other, from the records of linprobe.lab.

    .venv/bin/python tools/page_types.py [--check]

Each dataclass that a method takes or returns, or that an event carries, becomes an interface. With --check nothing is
written: the exit code is 1 if the file is not what would be written.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from committed import write_or_check

from linprobe.lab import inspect, train
from linprobe.lab.choices import page_table
from linprobe.lab.pages import PAGES
from linprobe.lab.protocol import Refused
from linprobe.lab.wire import Axes, ClassNumbers, Numbers, OneOf
from linprobe.typed_json import hints_of

SCRIPT = Path(__file__).resolve().parents[1] / "web" / "src" / "protocol.ts"

HEADING = "// What the page and the server of the lab send each other. Written by `make types`: do not edit.\n"

UPLOADS = (train.Uploaded, inspect.Kept, Refused)
"""Answers to what is posted, which no method returns."""

PLAIN = {str: "string", bool: "boolean", int: "number", float: "number", NoneType: "null", object: "unknown"}
"""Types that need no declaration."""


class Script:
    """The declarations of the types that are reached, in that order.

    Args:
        sent: whether they are sent by the page: their arrays are readonly, and what has a default may be left out.
        others: declarations that stand already.
    """

    def __init__(self, sent: bool, others: Mapping[str, str] | None = None) -> None:
        self.readonly, self.declared = "readonly " if sent else "", dict(others or {})
        self._of: dict[str, type] = {}

    def type_of(self, hint: Any) -> str:
        """A type in TypeScript; what it names is declared."""
        kind, arguments = get_origin(hint), get_args(hint)
        if kind is Annotated:
            return self._annotated(arguments[0], arguments[1])
        if kind in (Union, UnionType):
            return " | ".join(dict.fromkeys(map(self.type_of, arguments)))
        if kind is Literal:
            return " | ".join(map(json.dumps, arguments))
        if kind is tuple and arguments[1:] == (...,):
            return self._list(self.type_of(arguments[0]))
        if kind is tuple:
            return f"{self.readonly}[{', '.join(map(self.type_of, arguments))}]"
        if kind in (Mapping, dict):
            return f"Record<{self.type_of(arguments[0])}, {self.type_of(arguments[1])}>"
        if hint in PLAIN:
            return PLAIN[hint]
        if isinstance(hint, type) and is_dataclass(hint):
            return self._interface(hint)
        if isinstance(hint, type) and issubclass(hint, Enum):
            return " | ".join(json.dumps(name.lower()) for name in hint.__members__)
        raise TypeError(f"{hint!r} has no type in TypeScript; use a dataclass, or a type of linprobe.lab.wire.")

    def _annotated(self, hint: Any, rule: object) -> str:
        if isinstance(rule, Numbers):
            return self._array(rule.shape, "number")
        if isinstance(rule, ClassNumbers):
            return self._array((None,), "number")
        if isinstance(rule, Axes):
            return self._array((None,) * rule.number, "number | null" if rule.gaps else "number")
        if isinstance(rule, OneOf):
            self.declared[rule.title] = f"export type {rule.title} = {' | '.join(map(json.dumps, rule.names))};\n"
            return rule.title
        return self.type_of(hint)

    def _list(self, item: str) -> str:
        alone = " " not in item or (item[0] == "[" and " | " not in item)
        return f"{self.readonly}{item}[]" if alone else f"{self.readonly}({item})[]"

    def _array(self, shape: Sequence[int | None], item: str) -> str:
        """An array; an axis of a known length is a tuple."""
        for length in reversed(shape):
            item = self._list(item) if length is None else f"{self.readonly}[{', '.join([item] * length)}]"
        return item

    def _interface(self, kind: type) -> str:
        name = kind.__name__
        if self._of.setdefault(name, kind) is not kind:
            raise TypeError(f"two records are called {name}: of {kind.__module__} and {self._of[name].__module__}")
        if name not in self.declared:
            self.declared[name] = ""  # its place; what its fields name comes after it
            hints = hints_of(kind)  # type: ignore[arg-type]  # a type is hashable
            lines = [self._field(each, hints[each.name]) for each in fields(kind)]
            about = (kind.__doc__ or "").strip().splitlines()[0]
            body = "{\n" + "".join(lines) + "}" if lines else "{}"
            declaration = f"interface {name} {body}" if lines else f"type {name} = Record<string, never>;"
            self.declared[name] = f"/** {about} */\nexport {declaration}\n"
        return name

    def _field(self, each: Field[Any], hint: Any) -> str:
        kind = self.type_of(hint)
        if isinstance(each.default, float) and not math.isfinite(each.default):
            kind += " | null"  # JSON has no infinity
        optional = each.default is not MISSING or each.default_factory is not MISSING
        return f"  {each.name}?: {kind} | undefined;\n" if optional and self.readonly else f"  {each.name}: {kind};\n"


def generated() -> str:
    """The script."""
    methods = {f"{page.name}.{name}": method for page in PAGES for name, method in page.methods.items()}
    sent = Script(sent=True)
    requests = {name: sent.type_of(method.request) for name, method in methods.items()}
    received = Script(sent=False, others=sent.declared)
    answers = {
        name: received.type_of(get_type_hints(method.handler, include_extras=True)["return"])
        for name, method in methods.items()
    }
    events = {"choices": received.type_of(get_type_hints(page_table, include_extras=True)["return"])}
    events |= {f"{page.name}.{name}": received.type_of(kind) for page in PAGES for name, kind in page.events.items()}
    for kind in UPLOADS:
        received.type_of(kind)
    lines = [f'  "{name}": [{requests[name]}, {answers[name]}];\n' for name in methods]
    declarations = [
        *received.declared.values(),
        "/** The parameters and the answer of each method. */\nexport interface Methods {\n" + "".join(lines) + "}\n",
        "/** What the server sends of its own accord. */\nexport interface Events {\n"
        + "".join(f'  "{name}": {kind};\n' for name, kind in events.items())
        + "}\n",
    ]
    return "\n".join([HEADING, *declarations])


if __name__ == "__main__":
    sys.exit(write_or_check(SCRIPT, generated()))
