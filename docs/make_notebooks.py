"""Every page of docs/ with code as a Jupyter notebook, made from the page itself: there is no second source.

    python docs/make_notebooks.py [PAGE ...] [--out FOLDER] [--execute]

A page is named without its suffix (`lecture`); without names all pages are converted. Python blocks become cells, with
`>>>` prompts and expected outputs taken out, and commands become `!linprobe ...`. Pictures that a cell saves are shown
below it; other pictures are copied. A block that the tests do not run stays text, with the reason. `--execute` also
runs the notebooks in FOLDER and keeps their outputs; it needs nbclient and ipykernel.
"""

from __future__ import annotations

import argparse
import doctest
import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS / "_site"))

from blocks import FENCE, Block, blocks  # noqa: E402

Cell = dict[str, Any]

RUN = ("python", "sh", "console")
IMAGE = re.compile(r"!\[(?P<alt>[^\]]*)\]\(images/(?P<name>[\w-]+\.png)\)")
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<page>[\w/]+)\.md(?P<anchor>#[\w-]+)?\)")
SAVED = re.compile(r"\.save\(\"(?P<name>[\w-]+\.png)\"\)")
DATA = ("pictures/", "cat.jpg", "cifar10.zip", "CIFAR-10-C")
"""What the pages call their reader's own data."""


def pages() -> list[str]:
    """The pages with at least one block that runs."""
    found = sorted(DOCS.glob("*.md"))
    return [page.stem for page in found if any(_runs(block) for block in blocks(page.read_text()))]


def _runs(block: Block) -> bool:
    return block.language in RUN and block.reason is None


def notebook(name: str) -> tuple[dict[str, Any], list[str]]:
    """(the notebook of a page in format 4.5, the names of the pictures that it shows and does not draw)."""
    text = (DOCS / f"{name}.md").read_text()
    drawn = {picture for block in blocks(text) if _runs(block) for picture in SAVED.findall(block.code)}
    sources = _introduction(name, text)
    place = 0
    for match, block in zip(FENCE.finditer(text), blocks(text), strict=True):
        sources.append(("markdown", prose(text[place : match.start()], drawn)))
        sources += cells(block)
        place = match.end()
    sources.append(("markdown", prose(text[place:], drawn)))
    made = [_cell(kind, source, number) for number, (kind, source) in enumerate(sources) if source.strip()]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    shown = [found["name"] for found in IMAGE.finditer(text) if found["name"] not in drawn]
    return {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}, shown


def _introduction(name: str, text: str) -> list[tuple[str, str]]:
    """Where the notebook comes from, what data it needs, and the import that shows pictures."""
    code = "".join(block.code for block in blocks(text) if _runs(block))
    words = f"*Made from `docs/{name}.md` of linprobe by `make notebooks`.*"
    needed = [f"`{data}`" for data in DATA if data in code]
    if needed:
        words += f" *Put your own data into this folder first, with these names: {', '.join(needed)}.*"
    imported = "from IPython.display import Image, display" if SAVED.search(code) else ""
    return [("markdown", words), ("code", imported)]


def prose(text: str, drawn: set[str]) -> str:
    """Markdown between blocks: a picture that a cell draws is left to it, and links lead to notebooks or pages."""
    text = IMAGE.sub(lambda found: f"*{found['alt']}*" if found["name"] in drawn else found[0], text)
    return LINK.sub(_link, text).strip("\n")


def _link(found: re.Match[str]) -> str:
    page = found["page"]
    target = f"{page}.ipynb" if page in pages() else f"../../docs/{page}.md"
    return f"[{found['text']}]({target}{found['anchor'] or ''})"


def cells(block: Block) -> Iterator[tuple[str, str]]:
    """(kind, source) of the cells of one block."""
    if not _runs(block):
        why = f"Not run here: {block.reason}.\n\n" if block.reason else ""
        yield "markdown", f"{why}```{block.language}\n{block.code}```"
    elif block.language == "python":
        yield from (("code", source) for source in python_cells(block.code))
    else:
        yield "code", "\n".join(f"!{command}" for command in commands(block))


def python_cells(code: str) -> Iterator[str]:
    """The code of a block; of a session with prompts a cell for each output, as a notebook shows the last one only."""
    examples = doctest.DocTestParser().get_examples(code)
    if not examples:
        yield _showing(code)
        return
    source = ""
    for example in examples:
        source += example.source
        if example.want:
            yield _showing(source)
            source = ""
    if source:
        yield _showing(source)


def _showing(source: str) -> str:
    """`source`, and below it the pictures that it saves."""
    return source.rstrip("\n") + "".join(f'\ndisplay(Image("{name}"))' for name in SAVED.findall(source))


def commands(block: Block) -> list[str]:
    """The commands of a block, without their output."""
    lines = block.code.replace("\\\n", " ").splitlines()
    if block.language == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [shlex.join(words) for line in lines if (words := shlex.split(line, comments=True))]


def _cell(kind: str, source: str, number: int) -> Cell:
    made: Cell = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": source.splitlines(keepends=True)}
    return made | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def execute(path: Path) -> None:
    """Run the notebook in its folder and keep its outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed, or one of its commands did not end with 0.
    """
    import nbclient
    import nbformat
    from traitlets.config import Config

    made = nbformat.read(path, as_version=4)
    nbformat.validate(made)
    # a kernel talks over TCP by default, which others on this machine can hear
    config = Config({} if sys.platform == "win32" else {"KernelManager": {"transport": "ipc"}})
    folder = {"metadata": {"path": str(path.parent)}}
    client = nbclient.NotebookClient(made, timeout=600, resources=folder, config=config)
    client.on_cell_executed = _check_command
    client.execute()
    nbformat.write(made, path)


def _check_command(cell: Any, cell_index: int, execute_reply: Any) -> None:
    """A command that fails does not stop a notebook: its error is looked for in the outputs."""
    said = "".join(output.get("text", "") for output in cell.outputs)
    if cell.source.startswith("!") and re.search(r"^error: |command not found", said, re.MULTILINE):
        raise SystemExit(f"{cell.source}\n{said}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pages", nargs="*", default=pages(), help="their names without .md")
    parser.add_argument("--out", type=Path, default=DOCS.parent / "build" / "notebooks")
    parser.add_argument("--execute", action="store_true", help="run them, too")
    given = parser.parse_args()
    (given.out / "images").mkdir(parents=True, exist_ok=True)
    for name in given.pages:
        made, shown = notebook(name)
        for picture in shown:
            shutil.copy(DOCS / "images" / picture, given.out / "images" / picture)
        path = given.out / f"{name}.ipynb"
        path.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")
        if given.execute:
            execute(path)
        print(f"{len(made['cells']):4} cells  {path}")


if __name__ == "__main__":
    main()
