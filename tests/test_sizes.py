"""No function is too long to be read at a glance, or nested too deep."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location("figures", Path(__file__).parent.parent / "tools" / "figures.py")
assert SPEC is not None
assert SPEC.loader is not None
figures = importlib.util.module_from_spec(SPEC)
sys.modules["figures"] = figures
SPEC.loader.exec_module(figures)

MOST_LINES, MOST_DEPTH = 80, 4
"""Lines of a function's body, and statements that hold others one within the other."""


@pytest.mark.parametrize("path", figures.PYTHON + figures.AROUND, ids=lambda path: path.stem)
def test_functions_of_python_are_short_and_flat(path):
    found = list(figures.python_functions(path))
    assert [(f.where, f.name, f.lines) for f in found if f.lines >= MOST_LINES] == []
    assert [(f.where, f.name, f.depth) for f in found if f.depth > MOST_DEPTH] == []


@pytest.mark.parametrize("path", figures.NATIVE + figures.NATIVE_TESTS, ids=lambda path: path.stem)
def test_functions_of_the_core_are_short_and_flat(path):
    found = list(figures.native_functions(path))
    assert [(f.where, f.name, f.lines) for f in found if f.lines >= MOST_LINES] == []
    assert [(f.where, f.name, f.depth) for f in found if f.depth > MOST_DEPTH] == []


def test_the_depth_of_a_function_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    path = tmp_path / "deep.py"
    lines = ["def f(x):", "    'One.'", "    if x:", "        for i in x:", "            pass", "    elif i:"]
    path.write_text("\n".join([*lines, "        with x:", "            return"]))
    (found,) = figures.python_functions(path)
    assert (found.name, found.lines, found.depth, found.described) == ("f", 6, 2, True)


def test_a_function_of_the_core_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    path = tmp_path / "one.hpp"
    lines = [
        "// a comment",
        "template <class T, class U = std::vector<T>>",
        "void run(T x,",
        "         int y) {",
        "  for (;;) {",
        "    if (y > 1) y++;",
        "    else if (y < 0) y--;",
        "#pragma GCC unroll 8",
        "    for (;;)",
        "      while (y) y--;",
        "  }",
        "}",
    ]
    method = [
        "struct A {",
        "  int a;",
        " private:",
        "  int b() {",
        "    with([&](int i) {",
        "      if (i) a++;",
        "    });",
    ]
    path.write_text("\n".join([*lines, "", *method, "  }", "};"]))
    assert [(f.name, f.lines, f.depth) for f in figures.native_functions(path)] == [("run", 7, 2), ("b", 3, 1)]
