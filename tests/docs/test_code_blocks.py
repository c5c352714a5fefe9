"""Every python block of the README and of docs/ runs, and prints what the page says it prints.

Blocks of one page share their names, from top to bottom. A block with `>>>` prompts is compared with its
output; any other is executed, and its assertions must hold. A fence that opens with ```python no-run is only
shown.
"""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"^```python[ ]*(?P<mark>.*?)\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)#\s]+)(?:#[^)]*)?\)")


def blocks(text: str) -> list[tuple[int, str]]:
    """(line of the first line of code, code) of each python block that is to be run."""
    return [
        (text.count("\n", 0, match.start("code")) + 1, match["code"])
        for match in FENCE.finditer(text)
        if match["mark"] != "no-run"
    ]


def run(page: Path, text: str) -> None:
    """Run the blocks of one page, in order, in one namespace."""
    names: dict[str, object] = {"__name__": "__docs__"}
    for line, code in blocks(text):
        if ">>>" not in code:
            # with this file's __future__ imports the page would be another program than the one a reader runs
            exec(compile("\n" * (line - 1) + code, str(page), "exec", dont_inherit=True), names)
            continue
        example = doctest.DocTestParser().get_doctest(code, names, page.name, str(page), line - 1)
        example.globs = names  # the parser copies them, and later blocks would not see this one's
        said: list[str] = []
        failed, _ = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=said.append, clear_globs=False)
        assert not failed, "".join(said)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page.read_text())], ids=lambda page: str(page.relative_to(ROOT))
)
def test_the_python_blocks_of_the_page_run_and_print_what_it_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(page, page.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_the_page_lead_to_files_that_are_there(page):
    targets = [match["target"] for match in LINK.finditer(page.read_text())]
    missing = [t for t in targets if not t.startswith(("http:", "https:")) and not (page.parent / t).exists()]
    assert not missing


def test_a_page_whose_code_prints_something_else_fails():
    with pytest.raises(AssertionError, match=r"Expected:\s+3\s+Got:\s+2"):
        run(Path("page.md"), "```python\n>>> 1 + 1\n3\n```\n")


def test_a_page_whose_assertion_does_not_hold_fails_at_its_line():
    with pytest.raises(AssertionError) as caught:
        run(Path("page.md"), "words\n\n```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n")
    assert caught.traceback[-1].lineno + 1 == 8


def test_blocks_of_a_page_share_their_names_and_marked_ones_are_not_run():
    run(
        Path("page.md"),
        "```python\n>>> x = 1\n```\n```python\nassert x == 1\n```\n```python no-run\n1 / 0\n```\n",
    )
