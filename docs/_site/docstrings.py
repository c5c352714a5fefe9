"""From the docstrings of the package, which are plain text with formulas, to what Sphinx and napoleon read.

A docstring of linprobe is written to be read in the editor: `sum |W|` and `coef_` stand as they are, and a formula is
a block that is indented further. In reStructuredText such bars and underscores are markup, and that block a quotation.
"""

from __future__ import annotations

import re

from sphinx.application import Sphinx

SECTION = re.compile(r"^(Args|Attributes|Example|Raises|Returns|Source):$")
CODE = re.compile(r"(`[^`]+`)")
OPTION = re.compile(r"(?<![\w-])--\w[\w-]*")
CLASS = re.compile(r"`([A-Z]\w*)`")
ALIAS = re.compile(r"TypeAliasForwardRef\('(\w+)'\)")
ARRAY = re.compile(r"~?numpy\.ndarray\[tuple\[~?typing\.Any, \.\.\.\], ~?numpy\.dtype\[([^\[\]]+(?:\[[^\[\]]+\])?)\]\]")
ARRAY_LIKE = re.compile(
    r"~?[\w.]*\b_Buffer \| ~?[\w.]*_SupportsArray\[[^|]+ \| ~?[\w.]*_NestedSequence\[[^|]+ "
    r"\| complex \| bytes \| str \| ~?[\w.]*_NestedSequence\[complex \| bytes \| str\]"
)
MARKUP = re.compile(r"[*|\\]|_(?!\w)|(?<!\w)_")


def prose(line: str) -> str:
    """`line` with the characters that are markup escaped, but for what stands between backticks.

    The name of a class is looked for in all modules, any other in the class or module that the docstring belongs to.
    What begins with a dot is a suffix and no name.
    """
    parts = CODE.split(line)
    return "".join(code(part) if part.startswith("`") else plain(part) for part in parts)


def plain(text: str) -> str:
    """Text without code: markup escaped, and `--name` set as code, whose two dashes would become one."""
    return OPTION.sub(r"``\g<0>``", MARKUP.sub(r"\\\g<0>", text))


def code(text: str) -> str:
    """What stands between backticks, backticks included."""
    return f"`{text}`" if text.startswith("`.") else CLASS.sub(r"`~.\1`", text)


def field(line: str) -> str:
    """A line of Args or Raises: the names before the colon are napoleon's business, the rest is prose."""
    names, colon, rest = line.partition(": ")
    if not colon or names.lstrip().startswith("`"):
        return prose(line)
    return f"{names}: {prose(rest)}"


def indent(line: str) -> int:
    """How many blanks `line` begins with."""
    return len(line) - len(line.lstrip())


def restructured(lines: list[str]) -> list[str]:
    """The lines of a docstring, without the indentation that all share, as reStructuredText for napoleon."""
    made: list[str] = []
    section, literal = None, False
    for number, line in enumerate(lines):
        head = SECTION.match(line)
        if head:
            section, literal = head[1], False
            made += ["", line] if made and made[-1] else [line]
        elif not line.strip():
            made.append(line)
        elif section in ("Args", "Attributes", "Raises"):
            made.append(field(line) if indent(line) == 4 else prose(line))
        elif section == "Example":
            made.append(line)
        elif section is None and indent(line) >= 4:
            before = lines[number - 1] if number else ""
            if not literal and not before.strip():
                made += ["::", ""]
                literal = True
            made.append(line if literal else prose(line))
        else:
            literal = False
            made.append(prose(line))
    return made


def translate(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    lines[:] = restructured(lines)


def skip(app: Sphinx, what: str, name: str, obj: object, skipped: bool, options: object) -> bool | None:
    """True for what scikit-learn puts into every estimator, which its own documentation explains."""
    return True if name.startswith("set_") and name.endswith("_request") else None


def readable(signature: str | None) -> str | None:
    """A signature with the short names of the array types, and dots for a default that is made afresh each time."""
    if signature is None:
        return None
    short = ARRAY_LIKE.sub("ArrayLike", ALIAS.sub(r"\1", signature))
    return ARRAY.sub(r"NDArray[\1]", short).replace("<factory>", "...")


def sign(
    app: Sphinx, what: str, name: str, obj: object, options: object, arguments: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    return readable(arguments), readable(returns)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", translate, priority=400)  # before napoleon, whose priority is 500
    app.connect("autodoc-process-signature", sign)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
