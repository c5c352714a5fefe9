"""Sizes of the code: lines of functions and files, depth of nesting, share of docstrings.

    python tools/figures.py

prints the figures of the side-by-side table in docs/architecture.md. tests/test_sizes.py holds the limits.
"""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHON = sorted((ROOT / "src" / "linprobe").rglob("*.py"))
NATIVE = sorted(path for path in (ROOT / "src" / "linprobe" / "native").iterdir() if path.suffix in (".cpp", ".hpp"))
AROUND = sorted(path for room in ("tests", "tools", "benchmarks") for path in (ROOT / room).rglob("*.py"))
NATIVE_TESTS = sorted(path for path in (ROOT / "tests" / "native").iterdir() if path.suffix in (".cpp", ".hpp"))
"""What is no part of the package, held to the same limits."""

BLOCKS = (ast.For, ast.AsyncFor, ast.While, ast.If, ast.With, ast.AsyncWith, ast.Try, ast.Match)
"""Statements that hold others; a function within a function starts anew."""

NO_FUNCTION = {"if", "for", "while", "switch", "catch", "else", "do", "return", "namespace", "struct", "class", "enum"}
"""First words of a line with an opening brace that is no function's."""

CONTROL = re.compile(r"\b(?:for|while|if|switch)\s*(?:constexpr\s*)?\(|\bdo\s*\{|\belse\b(?!\s*if)")
"""What holds other statements in C++."""

LAMBDA = re.compile(r"\[[&=\w., *]*\]\s*(?:\([^()]*\))?[^;]*\{$")
"""The beginning of a function within a function of C++."""


@dataclass(frozen=True)
class Function:
    """One function of the code.

    Attributes:
        where: file and line.
        name: its name.
        lines: of its body, without the docstring.
        depth: of the statements that hold others, one within the other.
        public: whether neither its name nor that of its file begins with an underscore.
        described: whether it has a docstring.
    """

    where: str
    name: str
    lines: int
    depth: int = 0
    public: bool = False
    described: bool = False


def python_functions(path: Path) -> Iterator[Function]:
    """The functions of a Python file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            described = ast.get_docstring(node) is not None
            body = node.body[1:] if described else node.body
            lines = (node.end_lineno or node.lineno) - body[0].lineno + 1 if body else 0
            public = not node.name.startswith("_") and not path.name.startswith("_")
            depth = max((_depth(statement, 0) for statement in body), default=0)
            yield Function(f"{path.relative_to(ROOT)}:{node.lineno}", node.name, lines, depth, public, described)


def _depth(node: ast.AST, depth: int) -> int:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        return depth
    here = depth + isinstance(node, BLOCKS)
    reached = here
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                # `elif` is an If in the else of an If: it stands no deeper than the first
                chained = field == "orelse" and isinstance(node, ast.If) and isinstance(child, ast.If)
                reached = max(reached, _depth(child, depth if chained else here))
    return reached


def native_functions(path: Path) -> Iterator[Function]:
    """The functions of a C++ file, as its layout shows them: from an opening brace at the end of a heading to the
    closing brace at the same indent."""
    lines = path.read_text(encoding="utf-8").splitlines()
    heading = 0
    for number, line in enumerate(lines):
        if (
            not line.strip()
            or line.rstrip().endswith((";", "}", ":"))
            or line.lstrip().startswith(("//", "#", "/*", "*"))
        ):
            heading = number + 1
            continue
        if not line.rstrip().endswith("{"):
            continue
        text = _without_template(" ".join(lines[heading : number + 1]))
        indent = re.match(r"\s*", lines[heading]).group()  # type: ignore[union-attr]
        words = re.findall(r"[A-Za-z_]\w*", text)
        name = re.search(r"([A-Za-z_]\w*)\s*\(", text)
        heading = number + 1
        if name is None or {words[0], name.group(1)} & NO_FUNCTION or "=" in text.split("(")[0] or "[&" in text:
            continue
        for end in range(number + 1, len(lines)):
            if lines[end].startswith(indent + "}"):
                depth = _native_depth(lines[number + 1 : end])
                yield Function(f"{path.relative_to(ROOT)}:{number + 1}", name.group(1), end - number - 1, depth)
                break


def _without_template(heading: str) -> str:
    """The heading of a function behind its `template <...>`, whose defaults hold "="."""
    begin = re.match(r"\s*template\s*<", heading)
    if begin is None:
        return heading
    opened = 1
    for at in range(begin.end(), len(heading)):
        opened += {"<": 1, ">": -1}.get(heading[at], 0)
        if opened == 0:
            return _without_template(heading[at + 1 :])
    return heading


def _native_depth(body: list[str]) -> int:
    """How deep the statements of the body of a C++ function hold others, by their indents.

    A lambda starts anew. A loop below `#pragma GCC unroll` is not counted: it is a vector statement of fixed length.
    """
    around: list[tuple[int, bool]] = []  # (indent, whether a lambda) of the statements that hold the line
    reached, unrolled = 0, False
    for line in body:
        code = re.sub(r'"(?:\\.|[^"\\])*"|//.*', "", line).rstrip()
        if not code.strip() or code.lstrip().startswith("#"):
            unrolled = code.lstrip().startswith("#pragma GCC unroll")
            continue
        indent = len(code) - len(code.lstrip())
        while around and indent <= around[-1][0]:
            around.pop()
        if not re.match(r"\s*\} while\b", code):
            around += [(indent, False)] * (len(CONTROL.findall(code)) - unrolled)
        unrolled = False
        if LAMBDA.search(code):
            around.append((indent, True))
        depth = 0
        for _, is_lambda in around:
            depth = 0 if is_lambda else depth + 1
        reached = max(reached, depth)
    return reached


def main() -> None:
    """Print the figures."""
    functions = [function for path in PYTHON for function in python_functions(path)]
    native = [function for path in NATIVE for function in native_functions(path)]
    for title, found in (("Python", functions), ("C++", native)):
        lines = sorted(function.lines for function in found)
        longest = max(found, key=lambda function: function.lines)
        print(
            f"{title}: {len(found):,} functions, lines: median {statistics.median(lines):g}, "
            f"p90 {lines[int(0.9 * len(lines))]}, max {longest.lines} ({longest.where} {longest.name})"
        )
        deepest = max(found, key=lambda function: function.depth)
        print(f"{title} nesting: at most {deepest.depth} ({deepest.where} {deepest.name})")
    for title, paths in (("Python", PYTHON), ("C++", NATIVE)):
        sizes = sorted(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)
        print(
            f"{title} files: {len(sizes)}, lines: {sum(sizes):,}, median {statistics.median(sizes):g}, max {sizes[-1]}"
        )
    public = [function for function in functions if function.public]
    described = sum(function.described for function in public)
    print(f"docstrings: {described} of {len(public)} public functions ({described / len(public):.0%})")
    source = "\n".join(path.read_text(encoding="utf-8") for path in PYTHON)
    print(f"dict[str, Any]: {source.count('dict[str, Any]')}, type: ignore: {source.count('type: ignore')}")
    tests = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "tests").rglob("*.py"))
    print(f"tests: {tests:,} lines, {tests / len(source.splitlines()):.2f} of the Python code")


if __name__ == "__main__":
    main()
