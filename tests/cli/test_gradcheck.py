"""`linprobe gradcheck`: a table, and exit code 1 for a wrong gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from linprobe.losses import LOSSES, MulticlassHinge


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("penalty", ["l2", "l1", "elastic-net", "none"])
def test_the_gradients_are_right(linprobe: Any, loss: str, penalty: str) -> None:
    answer = linprobe("gradcheck", "digits", "--loss", loss, "--penalty", penalty, "--coordinates", 40, "--json")
    assert answer.code == 0
    record = answer.record
    assert record["ok"] is True
    assert record["n_wrong"] == 0
    assert record["n_checked"] + record["n_kinks"] == len(record["coordinates"]) == 40


def test_the_table_ends_with_the_verdict(linprobe: Any) -> None:
    answer = linprobe("gradcheck", "planar:spiral", "--loss", "hinge", "--seed", 3)
    assert answer.code == 0
    assert "analytic" in answer.out
    assert answer.out.splitlines()[-1].startswith("right: ")


def test_a_wrong_gradient_ends_with_code_1(linprobe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    right = MulticlassHinge.value_and_gradient

    def wrong(self: MulticlassHinge, scores: Any, y: Any) -> tuple[Any, Any]:
        loss, gradient = right(self, scores, y)
        return loss, np.where(gradient > 0, 1.01 * gradient, gradient)

    monkeypatch.setattr(MulticlassHinge, "value_and_gradient", wrong)
    answer = linprobe("gradcheck", "digits", "--loss", "hinge", "--coordinates", 40)
    assert answer.code == 1
    assert answer.out.splitlines()[-1].startswith("WRONG: ")
    assert answer.err == ""


def test_kinks_are_counted_apart(linprobe: Any) -> None:
    # an interval of this length around scores of order 1 crosses the kink of some margin
    answer = linprobe("gradcheck", "digits", "--loss", "hinge", "--coordinates", 40, "--step", 0.05, "--json")
    assert answer.record["n_kinks"] > 0
    assert answer.record["n_wrong"] == 0
