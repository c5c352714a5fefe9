"""The prose of the sources: short sentences, the words of the field, every constant explained.

Checked are docstrings, comments and texts in quotes (errors, logs, help), of Python and of the C++ in `native/`.
`python tests/test_prose.py` lists what to mend.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import linprobe

PACKAGE = Path(linprobe.__file__).parent
PYTHON = sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyi")])
NATIVE = sorted([*PACKAGE.rglob("*.hpp"), *PACKAGE.rglob("*.cpp")])

MOST_WORDS = 40
"""Words of a sentence, at most."""

NOT_USED = {
    r"thousand million": "billion",
    r"contestants?": "implementations",
    r"to the same bits?": "bit for bit, bit-identical",
    r"(?:is|are|was|were|be|been) asked for": "requested",
    r"asks? (?:of|for)": "require",
    r"what is left to gain": "the remaining gap",
    r"(?:goes|go|going|went) on (?:with|from|at|to the)": "resume, continue",
    r"in turns": "interleaved",
    r"the (?:sooner|quicker) way": "faster",
    r"looked at anew": "checked again",
    r"bends?": "curvature, curve",
    r"which no run writes": "not a valid value",
    r"nothing is left to tune": "no learning rate to tune",
    r"beside other": "compared with other",
    r"so that it does": "say what happens",
    r"as (?:it|they) lies?": "in place, without a copy",
    r"one behind the other": "contiguous",
}
"""Expressions that a reader from outside has to read twice, and what to write in their place."""

STARTS = re.compile(r"[-*] |\d+\. |\*{0,2}`?\w[\w, *`]*`?: |.*\S {3,}\S|.*[├└│]|[{\[(]")
"""Lines that begin a new paragraph: a bullet, a `name:`, a row of a table, a branch of a tree, a literal."""


def paragraphs(text: str) -> Iterator[str]:
    """The paragraphs of a docstring or a comment; examples are left out."""
    block: list[str] = []
    indent = 0
    for line in text.expandtabs().splitlines():
        bare = line.strip()
        here = len(line) - len(line.lstrip())
        if block and (not bare or STARTS.match(bare) or abs(here - indent) >= 4):
            yield " ".join(block)
            block = []
        indent = here
        if bare and not bare.startswith((">>>", "...", "|")):
            block.append(bare)
    if block:
        yield " ".join(block)


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of every string that stands alone as a statement: below a `def`, a constant, an attribute."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines = node.value.value.splitlines()
            indent = min((len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()), default=0)
            yield node.lineno, "\n".join([*lines[:1], *(line[indent:] for line in lines[1:])])


def joined(comments: Iterator[tuple[int, bool, str]]) -> Iterator[tuple[int, str]]:
    """(line, text) of comments (line, whether alone in its line, text); those alone in successive lines are one."""
    first, last, text = 0, -1, ""
    for line, alone, bare in comments:
        if alone and line == last + 1:
            text, last = f"{text}\n{bare}", line
            continue
        if text:
            yield first, text
        first, last, text = line, line if alone else -1, bare
    if text:
        yield first, text


def python_comments(source: str) -> Iterator[tuple[int, bool, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            alone = not token.line[: token.start[1]].strip()
            yield token.start[0], alone, token.string.lstrip("#").removeprefix(" ")


def native_comments(source: str) -> Iterator[tuple[int, bool, str]]:
    for line, text in enumerate(source.splitlines(), start=1):
        before, mark, bare = text.partition("//")
        if mark and before.count('"') % 2 == 0:
            yield line, not before.strip(), bare.lstrip("/").removeprefix(" ")


def python_texts(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of the strings of several words that are no docstrings."""
    nodes = list(ast.walk(ast.parse(source)))
    parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr | ast.Expr) for part in children(node)}
    for node in nodes:
        text = "" if id(node) in parts else text_of(node)
        if " " in text.strip():
            yield node.lineno, text  # type: ignore[attr-defined]


def children(node: ast.AST) -> list[ast.AST]:
    return list(ast.iter_child_nodes(node))


def text_of(node: ast.AST) -> str:
    """A string; of an f-string each value is a word; "" for other nodes."""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "value" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def native_texts(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of string literals with spaces; neighbours are one, also with values between them."""
    literal = r'"(?:[^"\\\n]|\\.)*"'
    code = "\n".join("" if line.lstrip().startswith("//") else line for line in source.splitlines())
    for found in re.finditer(rf"{literal}(?:\s*(?:\+\s*[\w.:()]+\s*\+\s*)?{literal})*", code):
        text = "".join(re.findall(r'"((?:[^"\\\n]|\\.)*)"', found.group(0)))
        if " " in text.strip():
            yield code.count("\n", 0, found.start()) + 1, text


def prose(source: str, native: bool = False) -> Iterator[tuple[int, str]]:
    """(line, paragraph) of all docstrings, comments and texts in quotes."""
    comments = joined(native_comments(source) if native else python_comments(source))
    texts = native_texts(source) if native else [*docstrings(source), *python_texts(source)]
    for line, text in [*texts, *comments]:
        for block in paragraphs(text):
            yield line, re.sub(r"`[^`]*`", "`code`", block)


def n_words(sentence: str) -> int:
    return sum(1 for word in sentence.split() if re.search(r"[A-Za-z]", word))


def long_sentences(source: str, native: bool = False) -> list[str]:
    """Sentences of more than MOST_WORDS words; a full stop inside a word, as in 0.5, ends none."""
    return [
        f"line {line}: {n_words(sentence)} words: {sentence[:100]}"
        for line, block in prose(source, native)
        for sentence in re.split(r"(?<=[.!?])[)\"]?\s+(?=[A-Z`\"(0-9])", block)
        if n_words(sentence) > MOST_WORDS
    ]


def unusual_words(source: str, native: bool = False) -> list[str]:
    """Expressions of NOT_USED."""
    return [
        f"line {line}: {found.group(0)!r}: write {better!r}"
        for line, block in prose(source, native)
        for pattern, better in NOT_USED.items()
        for found in re.finditer(rf"\b{pattern}\b", block, re.IGNORECASE)
    ]


def bare_constants(source: str) -> list[str]:
    """Upper-case names of literals without a docstring below, or a comment above or in the line."""
    lines, body, found = source.splitlines(), ast.parse(source).body, []
    for node, following in zip(body, [*body[1:], None], strict=True):
        if not isinstance(node, ast.Assign | ast.AnnAssign) or isinstance(node.value, ast.Call | None):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        each = [n for t in targets for n in (t.elts if isinstance(t, ast.Tuple) else [t])]
        names = [n.id for n in each if isinstance(n, ast.Name) and n.id.isupper()]
        explained = (
            isinstance(following, ast.Expr)
            or lines[node.lineno - 2].lstrip().startswith("#")
            or any("#" in line for line in lines[node.lineno - 1 : node.end_lineno])
        )
        if not explained:
            found += [f"line {node.lineno}: {name}" for name in names if len(name) > 1]
    return found


def named(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_no_sentence_is_longer_than_forty_words():
    sources = [(path, path.read_text()) for path in PYTHON + NATIVE]
    assert not [f"{named(p)}: {fault}" for p, source in sources for fault in long_sentences(source, p in NATIVE)]


def test_the_words_are_those_of_the_field():
    sources = [(path, path.read_text()) for path in PYTHON + NATIVE]
    assert not [f"{named(p)}: {fault}" for p, source in sources for fault in unusual_words(source, p in NATIVE)]


def test_every_constant_is_explained():
    modules = [path for path in PYTHON if path.suffix == ".py"]
    assert not [f"{named(path)}: {fault}" for path in modules for fault in bare_constants(path.read_text())]


def test_each_fault_is_found_where_it_is():
    words = " ".join(["word"] * 41)
    assert long_sentences(f'"""Short. {words.capitalize()}.\n\nShort."""')[0].startswith("line 1: 41 words")
    assert not long_sentences(f'"""{words[:150]}. {words[:150].capitalize()}."""')
    assert long_sentences(f"# {words[:100]}\n# {words[:104]}\n")
    assert not long_sentences('"""A table:\n\n' + "    name   what it is\n" * 30 + '"""')
    assert unusual_words('x = 1  # it goes on from there\n"""Is asked for."""') == [
        "line 2: 'Is asked for': write 'requested'",
        "line 1: 'goes on from': write 'resume, continue'",
    ]
    assert unusual_words('fail(f"{n} rows are " "asked for")') == ["line 1: 'are asked for': write 'requested'"]
    assert not unusual_words('f("are asked", "for")')
    assert unusual_words(
        'x = 1;  // it bends\nthrow Error("the rows " + name + " are " "asked for");', native=True
    ) == [
        "line 2: 'are asked for': write 'requested'",
        "line 1: 'bends': write 'curvature, curve'",
    ]
    assert long_sentences(f'throw Error("{words}");', native=True)
    assert bare_constants("SIZE = 3\nOTHER: int = 4\n") == ["line 1: SIZE", "line 2: OTHER"]
    assert not bare_constants('SIZE = 3\n"""Rows."""\n\n# rows\nOTHER = 4\n\nMADE = make(3)\n')


if __name__ == "__main__":
    for path in PYTHON + NATIVE:
        source, native = path.read_text(), path in NATIVE
        faults = long_sentences(source, native) + unusual_words(source, native)
        faults += bare_constants(source) if path.suffix == ".py" else []
        print("".join(f"{named(path)}: {fault}\n" for fault in faults), end="")
