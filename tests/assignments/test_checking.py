"""What the check says of right lines, of mistakes that are often made, and of lines that break or do not end."""

from __future__ import annotations

import importlib.util
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest

from linprobe.assignments import ASSIGNMENTS, Verdict, check_assignment, checking, make_assignment
from linprobe.assignments.checks_losses import Whole, _worst
from linprobe.assignments.handout import python_file
from linprobe.assignments.problems import Problem
from linprobe.assignments.trial import CHECKS
from linprobe.assignments.verdict import Wrong
from linprobe.errors import FormatError, SourceError
from linprobe.losses import MulticlassHinge


def changed(name: str, blank: str, old: str, new: str) -> str:
    """What the check says of an answer in which one piece is replaced; empty where it is right."""
    text = python_file(name, answers=True)
    start = text.index(f"def {blank}(")
    end = text.find("\ndef ", start)
    function = text[start : end if end > 0 else len(text)]
    assert old in function
    text = text.replace(function, function.replace(old, new))
    return of(name, blank, text)


def of(name: str, blank: str, text: str) -> str:
    """What the check says of a file, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location(f"student_{name}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        try:
            with np.errstate(all="ignore"):
                CHECKS[name][blank](module)
        except Wrong as wrong:
            return str(wrong)
    return ""


MISTAKES = [
    ("hinge", "scores", "X @ W.T + b", "X @ W.T", "b is missing"),
    ("hinge", "scores", "X @ W.T + b", "(X @ W.T + b).T", r"\(7, 4\); transpose it; it returns an array"),
    ("hinge", "scores", "X @ W.T + b", "np.array([W @ x + b for x in X])", "there is a loop in line"),
    ("hinge", "loss_by_loops", "total / len(X)", "total", "added up and not divided by N"),
    ("hinge", "loss_by_loops", "if j != label", "if True", "the correct class is counted, too"),
    ("hinge", "loss_by_loops", " + 1.0", "", "the margin of 1 is missing"),
    ("hinge", "loss_by_loops", "s[j] - s[label]", "s[label] - s[j]", "turned around"),
    ("hinge", "loss_by_loops", "W @ x + b", "W @ x", "b is missing in the scores"),
    ("hinge", "loss", "return float", "float", r"expected one number; it returns None; is there a return\?"),
    ("hinge", "loss", "return float", "return str", "expected one number; it returns a str"),
    ("hinge", "gradient", "return dS.T", "dS.T", "expected two arrays, dW and db; it returns None"),
    ("hinge", "loss", "+ reg * np.sum(W**2)", "", "reg times the sum of the squares of W is missing"),
    ("hinge", "loss", "+ reg *", "+ 0.5 * reg *", "a factor 1/2"),
    ("hinge", "loss", "margins.sum()", "(margins**2).sum()", "the margins are squared"),
    ("hinge", "loss", "margins.sum() / len(X) + reg", "margins.sum() + 0.5 * reg", "by N; and the penalty has a f"),
    ("hinge", "gradient_by_loops", "dW[label] -= x", "pass", "row y_i is missing|numbers are wrong"),
    ("hinge", "gradient", "-dS.sum(axis=1)", "0.0", "row y_i is missing"),
    ("hinge", "gradient", "-dS.sum(axis=1)", "-(dS.sum(axis=1) > 0).astype(float)", "once for each violated margin"),
    ("hinge", "gradient", " + 2.0 * reg * W", "", "2 reg W, is missing"),
    ("hinge", "gradient", "2.0 * reg", "reg", "2 reg W, and not reg W"),
    ("hinge", "gradient", "dS.T @ X / len(X) + 2.0 * reg * W, dS.sum(axis=0) / len(X)",
     "dS.T @ X + 2.0 * reg * W, dS.sum(axis=0)", "not divided by N"),
    ("hinge", "gradient", "return dS.T @ X", "return 1.1 * dS.T @ X", r"are wrong: dW\[.*by centred differences"),
    ("hinge", "gradient", "dS.T @ X / len(X) + 2.0 * reg * W,", "X.T @ dS / len(X),",
     r"shape \(5, 4\); expected shape \(4, 5\)"),
    ("hinge", "gradient", "S = X @ W.T + b", "W *= 1.5; S = X @ W.T + b", "it changes W"),
    ("softmax", "probabilities", "S - S.max(axis=1, keepdims=True)", "S", "NaN, as e.s overflows"),
    ("softmax", "probabilities", "E.sum(axis=1, keepdims=True)", "E.sum(axis=0)", "by itself, axis 1"),
    ("softmax", "loss_by_loops", "- s[label]", "", "s_{y_i} is not subtracted"),
    ("softmax", "loss", "np.log(", "np.log2(", "expected"),
    ("softmax", "loss", "losses.mean()", "-losses.mean()", "the minus of -log p is missing"),
    ("softmax", "gradient", "-= 1.0", "-= 0.0", "1 of the correct class is not subtracted"),
    ("softmax", "gradient", "-= 1.0", "+= 1.0", "1 is added for the correct class"),
    ("training", "predict", "argmax", "argmin", "the lowest score"),
    ("training", "predict", "X @ W.T + b", "X @ W.T", "b is missing"),
    ("training", "descend", "W -= learning_rate * dW", "W += learning_rate * dW", "with the gradient"),
    ("training", "descend", "W.copy(), b.copy()", "W, b", "it changes W"),
    ("training", "descend", "range(n_steps)", "range(n_steps + 1)", "7 gradients; expected 6"),
    ("training", "descend", "size=batch_size", "size=8", "a batch has 8 images; expected 4"),
    ("training", "descend", "y[rows]", "y[: len(rows)]", "take the same rows of X and y"),
    ("training", "descend", "b -= learning_rate * db", "b -= db", "b takes the same step"),
    ("training", "choose_reg", "max(regs", "min(regs", r"accuracies 0\.5, 0\.9, 0\.7 .*chooses 0.01; expected 0.1"),
    ("training", "choose_reg", "(accuracies[reg], reg)", "(accuracies[reg], -reg)", "of equal ones take the largest"),
    ("training", "choose_reg", "W, b = fit(reg)", "fit(reg); W, b = fit(reg)", "fit was called 6 times for 3 values"),
    ("neighbors", "distances_by_loops", "np.sqrt(np.sum((q - x) ** 2))", "np.sum((q - x) ** 2)", "the squares"),
    ("neighbors", "distances", "np.maximum(squares, 0.0)", "squares - 1e-12", "NaN, as rounding made a square"),
    ("neighbors", "distances", "np.sqrt(np.maximum(squares, 0.0))",
     "np.sqrt(np.sum((Q[:, None] - X[None]) ** 2, axis=2))", "all differences are there at once"),
    ("neighbors", "vote", "np.argsort(D", "np.argsort(-D", "votes of the farthest"),
    ("neighbors", "vote", "np.argmax(np.bincount(y[row], minlength=n_classes))", "y[row][0]", "k = 3"),
    ("neighbors", "choose_k", "distances(X[held], X[~held])", "distances(X[held], X)", "."),
    ("neighbors", "choose_k", "(-accuracies[k], k)", "(accuracies[k], k)", "mean accuracies"),
]  # fmt: skip
"""(exercise, blank, piece of the answer, in its place, what the check says)."""


@pytest.mark.parametrize(("name", "blank", "old", "new", "words"), MISTAKES)
def test_a_mistake_is_named(name: str, blank: str, old: str, new: str, words: str) -> None:
    said = "it raises"
    try:
        said = changed(name, blank, old, new)
    except IndexError:
        assert blank == "choose_k"
    assert re.search(words, said), said
    assert "\n" not in said


def test_kinks_are_left_out_and_counted() -> None:
    W, X = np.array([[2.0, 0.0], [1.0, 0.0], [0.5, -4.0]]), np.array([[1.0, 1.0], [0.3, 2.0]])
    loss = MulticlassHinge()
    problem = Problem("the first margin is exactly 0", W, np.zeros(3), X, np.array([0, 0]), 0.1)
    right = Whole().gradient(problem, lambda S, y: loss.value_and_gradient(S, y)[1])
    assert "at kinks were left out" in _worst(loss, problem, (right[0] + 1.0, right[1]))
    assert "the differences show nothing wrong" in _worst(loss, problem, right)


def test_a_folder_of_answers_is_right_and_one_of_blanks_is_empty(tmp_path: Path) -> None:
    for name in ASSIGNMENTS:
        make_assignment(name, tmp_path / "full", answers=True)
    full = check_assignment(tmp_path / "full")
    assert full.ok
    assert full.n_right == len(full.verdicts) == 16
    make_assignment("softmax", tmp_path / "blank")
    blank = check_assignment(tmp_path / "blank")
    assert [verdict.outcome for verdict in blank.verdicts] == ["empty"] * 4
    assert str(blank).splitlines()[-1] == "0 of 4 blanks are right"
    assert blank.as_dict()["ok"] is False


def test_lines_that_break_print_or_do_not_end_spoil_only_their_own_blank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "SECONDS", 3.0)
    text = python_file("hinge", answers=True)
    text = text.replace("    return X @ W.T + b\n", "    print('{}')\n    return X @ W.T + b\n", 1)
    text = text.replace("    total = 0.0\n", "    while True: pass\n", 1)
    text = text.replace("    rows = np.arange(len(X))\n    margins", "    rows = W[99]\n    margins", 1)
    text = text.replace("    dW, db = np.zeros_like(W), np.zeros_like(b)\n", "    import os\n    os._exit(0)\n", 1)
    (tmp_path / "hinge.py").write_text(text)
    verdicts = check_assignment(tmp_path).verdicts
    assert [verdict.outcome for verdict in verdicts] == ["right", "slow", "error", "error", "right"]
    assert verdicts[1].message == "there is no result after 3 s; look for a loop that does not end"
    line = text.splitlines().index("    rows = W[99]") + 1
    assert re.fullmatch(rf"line {line}: IndexError: .*", verdicts[2].message)
    assert verdicts[3] == Verdict(
        "hinge",
        "gradient_by_loops",
        "error",
        "the process that ran it ended; look for exit(), or an array that fills the memory",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def scores(:\n    pass\n", r"line 1: invalid syntax"),
        ("import nothing_of_that_name\n", r"line 1: ModuleNotFoundError: .*; mend it, and check again\.$"),
        ("import sys\nsys.exit(3)\n", r"line 2: SystemExit: 3; mend it"),
        ("x = 1\n", r"has no function scores; `linprobe assignment make hinge` writes it\.$"),
        ("\0", r"hinge\.py: .*null"),
    ],
)
def test_a_file_that_cannot_be_imported_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "hinge.py").write_text(text)
    with pytest.raises(FormatError, match=words) as caught:
        check_assignment(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_without_exercises_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"holds no assignment; expected one of hinge\.py, softmax\.py, "):
        check_assignment(tmp_path)
