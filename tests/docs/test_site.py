"""The site builds without a warning, says what the docstrings say, and its reference leaves out no public name."""

from __future__ import annotations

import html
import importlib
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import docstrings

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
REFERENCE = {page.stem: page.read_text() for page in DOCS.glob("api/*.md")}
ROOMS = (
    "linprobe",
    "linprobe.certificate",
    "linprobe.challenges",
    "linprobe.data",
    "linprobe.errors",
    "linprobe.features",
    "linprobe.gradcheck",
    "linprobe.losses",
    "linprobe.objective",
    "linprobe.optimizers",
    "linprobe.penalties",
    "linprobe.scores",
)
DIRECTIVE = re.compile(r"^\.\. auto(?P<kind>\w+):: (?P<name>[\w.]+)$", re.MULTILINE)
DOCUMENTED = [match.group("kind", "name") for text in REFERENCE.values() for match in DIRECTIVE.finditer(text)]


def look_up(name: str) -> object:
    """The object behind a dotted name."""
    home, _, last = name.rpartition(".")
    try:
        return importlib.import_module(name)
    except ImportError:
        return getattr(importlib.import_module(home), last)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site."""
    out = tmp_path_factory.mktemp("site")
    # the sources as pages are a third of the time, and no test reads them
    kept = [name for name in runpy.run_path(str(DOCS / "conf.py"))["extensions"] if name != "sphinx.ext.viewcode"]
    command = ["-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-D", f"extensions={','.join(kept)}"]
    command += ["-d", out / "doctrees", DOCS, out / "html"]
    built = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stderr
    return out / "html"


def shown(page: Path) -> str:
    """The text of a page, without tags."""
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text()))


def test_the_site_has_every_page_and_shows_formulas_and_trailing_underscores_as_they_are(site):
    pages = {page.relative_to(DOCS).with_suffix(".html") for page in DOCS.rglob("*.md")}
    assert pages <= {page.relative_to(site) for page in site.rglob("*.html")}
    objective = shown(site / "api" / "objective.html")
    assert "L_i = sum_{j != y_i} max(0, s_j - s_{y_i} + delta)" in objective
    assert "sum |W|" in objective
    assert "decision_function(X) = X @ coef_.T + intercept_" in shown(site / "api" / "classifiers.html")
    assert "system-message" not in (site / "api" / "objective.html").read_text()


def test_a_page_of_the_site_asks_for_nothing_from_elsewhere(site):
    loads = re.compile(r"<(?:script|img|iframe)[^>]+src=\"(https?:[^\"]*)|<link[^>]+href=\"(https?:[^\"]*)")
    assert not [found for page in site.rglob("*.html") for found in loads.findall(page.read_text())]


@pytest.mark.parametrize("room", ROOMS)
def test_the_reference_names_every_public_name_of_the_room(room):
    module = importlib.import_module(room)
    documented = [look_up(name) for kind, name in DOCUMENTED if kind != "module"]
    whole = [look_up(name) for kind, name in DOCUMENTED if kind == "module"]
    public = {name: getattr(module, name) for name in module.__all__ if name != "__version__"}
    rooms = {name for name, value in public.items() if getattr(value, "__name__", "") in ROOMS}
    missing = {
        name
        for name, value in public.items()
        if name not in rooms and not any(value is other for other in documented) and module not in whole
    }
    missing -= {name for name in missing if any(name in vars(other) for other in whole)}
    assert not missing, f"give them a place in docs/api/: {sorted(missing)}"


def test_what_is_markup_elsewhere_is_escaped_in_prose_and_left_alone_in_code():
    assert (
        docstrings.prose("sum |W| of coef_, `a_ * b`, n_images * 2") == r"sum \|W\| of coef\_, `a_ * b`, n_images \* 2"
    )


def test_suffixes_and_options_are_code_and_classes_are_found_in_all_modules():
    assert docstrings.prose("`.png` by `SGD`, the ink --ink-2") == "``.png`` by `~.SGD`, the ink ``--ink-2``"


def test_a_formula_becomes_a_literal_block_and_a_section_keeps_its_names():
    text = ["Sum.", "", "    L = a_ * b", "", "with a_.", "", "Args:", "    coef_: sum |W|,", "        and more_."]
    assert docstrings.restructured(text) == [
        *["Sum.", "", "::", "", "    L = a_ * b", "", r"with a\_.", ""],
        *["Args:", r"    coef_: sum \|W\|,", r"        and more\_."],
    ]


def test_array_types_in_signatures_are_written_short():
    whole = "(W: ~numpy.ndarray[tuple[~typing.Any, ...], ~numpy.dtype[~numpy.int64]] | None = <factory>)"
    assert docstrings.readable(whole) == "(W: NDArray[~numpy.int64] | None = ...)"
    assert docstrings.readable(None) is None
    home = "~numpy._typing._array_like."
    arrays = f"{home}_SupportsArray[~numpy.dtype[~typing.Any]]"
    nested = "~numpy._typing._nested_sequence._NestedSequence"
    whole = f"{home}_Buffer | {arrays} | {nested}[{arrays}] | complex | bytes | str | {nested}[complex | bytes | str]"
    assert docstrings.readable(f"(weight: {whole} | None = None)") == "(weight: ArrayLike | None = None)"


def test_the_reference_names_every_picture():
    names = {name for _, name in DOCUMENTED}
    for path in (ROOT / "src" / "linprobe" / "explain").glob("[!_]*.py"):
        module = importlib.import_module(f"linprobe.explain.{path.stem}")
        drawn = {f"{module.__name__}.{name}" for name in module.__all__ if name.endswith("_picture")}
        assert drawn <= names, f"give them a place in docs/api/explain.md: {sorted(drawn - names)}"
