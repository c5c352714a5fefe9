"""Every code block of the README and of docs/ runs, prints what the page says it prints, and draws its pictures.

Blocks of one page run from top to bottom, in the folder of the fixture `reader`:

    python      share their names. With `>>>` prompts the output is compared; without, the assertions must hold.
    sh          lines of `linprobe ...`, which must end with exit code 0; trainings leave no report, to save seconds.
    console     lines of `$ linprobe ...`, each with the output it must print; `...` stands for any text.

A block that cannot run here has `<!-- not run: REASON -->` in the line above. Its Python must compile, and its commands
must name targets, modules and options that exist. Other languages are only shown: text, and {eval-rst}, which
`test_site.py` builds.
"""

from __future__ import annotations

import doctest
import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from blocks import FENCE, Block, blocks
from drawings import ALIKE, IMAGES, difference, kind_of
from linprobe.cli import main

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)#\s]+)(?:#[^)]*)?\)")
RUN = ("python", "sh", "console")
SHOWN = ("text", "{eval-rst}")
SERVERS = ("lab", "serve")
"""Commands that run until they are stopped."""
EXACTLY = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def run(page: Path, text: str) -> None:
    """Run the blocks of one page, in order."""
    names: dict[str, object] = {"__name__": "__docs__"}
    for block in blocks(text):
        if block.reason is None and block.language == "python":
            run_python(page, block, names)
        elif block.reason is None and block.language in ("sh", "console"):
            run_commands(page, block)


def run_python(page: Path, block: Block, names: dict[str, object]) -> None:
    """Execute the block in `names`, or compare what it prints."""
    if ">>>" not in block.code:
        # with this file's __future__ imports the page would be another program than the one a reader runs
        exec(compile("\n" * (block.line - 1) + block.code, str(page), "exec", dont_inherit=True), names)
        return
    example = doctest.DocTestParser().get_doctest(block.code, names, page.name, str(page), block.line - 1)
    example.globs = names  # the parser copies them, and later blocks would not see this one's
    said: list[str] = []
    failed, _ = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=said.append, clear_globs=False)
    assert not failed, "".join(said)


def commands(block: Block) -> list[tuple[str, str | None]]:
    """(command, the output it must print or None for any) of each command of the block."""
    code = block.code.replace("\\\n", " ")
    if block.language == "sh":
        return [(line, None) for line in code.splitlines() if shlex.split(line, comments=True)]
    parts = re.split(r"^\$ ([^\n]*)\n", code, flags=re.MULTILINE)
    assert not parts[0].strip(), "a console block begins with `$ ` and a command"
    return list(zip(parts[1::2], parts[2::2], strict=True))


def run_commands(page: Path, block: Block) -> None:
    """Run the commands of the block, and compare what they print."""
    for command, expected in commands(block):
        program, *arguments = shlex.split(command, comments=True)
        ends = program == "linprobe" and arguments[0] not in SERVERS
        assert ends, f"{page.name}, line {block.line}: {command}: needs <!-- not run: reason --> above"
        if expected is None and arguments[0] in ("train", "sweep"):
            arguments.append("--no-report")
        result = CliRunner().invoke(main, arguments, prog_name="linprobe")
        said = f"{page.name}, line {block.line}: {command}\n{result.output}"
        assert result.exit_code == 0, said
        if expected is not None:
            same = doctest.OutputChecker().check_output(expected, result.stdout, EXACTLY)
            assert same, f"{said}\nExpected:\n{expected}"


def named(page: Path) -> str:
    """The page's path in the repository."""
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize(
    "page", [p for p in PAGES if any(b.language in RUN and not b.reason for b in blocks(p.read_text()))], ids=named
)
def test_the_blocks_of_the_page_run_print_what_it_says_and_draw_its_pictures(page, reader):
    run(page, page.read_text())
    for drawn in sorted(reader.glob("*.png")):
        kept = IMAGES / drawn.name
        if kept.exists() and kind_of(drawn.name) is None:
            found = difference(drawn, kept)
            assert found < ALIKE, f"{kept} is not of the present code ({found:.1f}): run `python docs/make_pictures.py`"


def check_command(command: str) -> None:
    """Raise unless the command exists and takes these options; nothing is run."""
    program, *arguments = shlex.split(command, comments=True)
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {a for a in arguments if "=" not in a} <= set(targets), command
    elif program.endswith("linprobe"):
        name, *options = arguments
        known = main.get_command(click.Context(main), name)
        assert known is not None, command
        known.make_parser(click.Context(known)).parse_args(options)
    elif program == "python":
        path = ROOT.joinpath(*arguments[1].split(".")).with_suffix(".py")
        code = path.read_text()
        assert all(f'"{option}"' in code for option in arguments if option.startswith("--")), command
    elif program == "pip":
        extras = re.findall(r"[\w-]+", command.partition("[")[2].partition("]")[0])
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert arguments == ["install", f".[{','.join(extras)}]"], command
        assert set(extras) <= set(project["optional-dependencies"]), command
    else:
        assert command.startswith("source .venv/bin/activate"), f"{command}: of no known kind"


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(block, id=f"{named(page)}:{block.line}")
        for page in PAGES
        for block in blocks(page.read_text())
        if block.reason
    ],
)
def test_a_block_that_is_not_run_could_be_run_elsewhere(block):
    if block.language == "python":
        code = "".join(example.source for example in doctest.DocTestParser().get_examples(block.code)) or block.code
        compile(code, "block", "exec")
        return
    for command, _ in commands(block):
        check_command(command)


@pytest.mark.parametrize(
    "command",
    [
        "linprobe train x --no-such-option 1",
        "linprobe fly",
        "make no-such-target",
        "python -m benchmarks.none",
        "pip install linprobe",
        "pip install .[fly]",
    ],
)
def test_a_command_that_does_not_exist_is_found_without_running_it(command):
    with pytest.raises((AssertionError, click.UsageError, OSError)):
        check_command(command)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_no_code_of_the_page_is_left_out(page):
    text = page.read_text()
    assert {block.language for block in blocks(text)} <= {*RUN, *SHOWN}
    assert not [match for match in FENCE.finditer(text) if match["indent"]], "a fence begins at the margin"
    assert len(re.findall(r"^<!-- not run", text, re.MULTILINE)) == sum(b.reason is not None for b in blocks(text))
    rest = FENCE.sub("", text)
    assert not re.findall(r"^[ ]{4,}(?:>>> |\$ |linprobe )", rest, re.MULTILINE), "code stands in a fence"


@pytest.mark.parametrize("page", PAGES, ids=named)
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
        "```python\n>>> x = 1\n```\n```python\nassert x == 1\n```\n<!-- not run: it fails -->\n```python\n1 / 0\n```\n",
    )


def test_a_command_that_fails_fails_its_page(reader):
    with pytest.raises(AssertionError, match="nowhere"):
        run(Path("page.md"), "```sh\nlinprobe info nowhere/   # there is no such folder\n```\n")


def test_the_output_of_a_console_block_is_compared(reader):
    run(Path("page.md"), "```console\n$ linprobe --version\nlinprobe...\n```\n")
    with pytest.raises(AssertionError, match=r"Expected:\s+something else"):
        run(Path("page.md"), "```console\n$ linprobe --version\nsomething else\n```\n")


@pytest.mark.parametrize("command", ["rm -r everything", "linprobe lab", "linprobe serve runs/digits-softmax-1"])
def test_another_program_and_one_that_does_not_end_must_be_marked(command):
    with pytest.raises(AssertionError, match="not run: reason"):
        run(Path("page.md"), f"```sh\n{command}\n```\n")
