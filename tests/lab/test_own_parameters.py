"""A loss with a parameter of its own has a control for it in the pages, and the answers follow it."""

from __future__ import annotations

import re

import pytest
from tests.test_choices import SquaredError

from linprobe.losses import LOSSES

from .conftest import number

PROBLEM = {"set": "three-modes", "n": 20, "seed": 0, "weights_seed": 0, "penalty": "l2", "beta": 0.5, "reg": 0.01}


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOSSES, SquaredError.name, SquaredError)


def test_a_request_sets_the_parameter_and_a_wrong_one_is_refused(talk):
    checked = [
        talk("gradient.check", **PROBLEM, loss="squared-error", delta=1, h=1e-5, **given)
        for given in ({}, {"loss_options": {"target": 1.0}}, {"loss_options": {"target": 3.0}})
    ]
    values = [[row["analytic"] for row in each["coordinates"]] for each in checked]
    assert values[0] == values[1] != values[2]
    for options, said in (
        ({"target": -1}, "target = -1; expected a finite number >= 0"),
        ({"width": 1}, "loss_options holds 'width'; the loss 'squared-error' has target."),
    ):
        assert said in talk.error("gradient.check", **PROBLEM, loss="squared-error", h=1e-5, loss_options=options)


@pytest.mark.parametrize("name", ["gradient", "playground", "train"])
def test_the_page_has_a_field_that_is_kept_in_the_address(lab_address, open_page, name):
    page = open_page(f"{lab_address}/#/{name}?loss=squared-error")
    field = page.get_by_label("target", exact=True)
    field.wait_for()
    assert field.input_value() == "1"
    field.fill("-3")  # outside its range
    field.press("Enter")
    assert field.input_value() == "1"
    field.fill("2.5")
    field.press("Enter")
    page.wait_for_url(re.compile("loss_options=target~2.5"))
    page.get_by_text("score asked of the label").wait_for()
    page.goto(f"{lab_address}/#/{name}?loss=softmax")
    field.wait_for(state="detached")


def test_the_gradient_page_shows_the_answers_of_the_parameter(lab_address, open_page, talk):
    page = open_page(f"{lab_address}/#/gradient?loss=squared-error&loss_options=target~3")
    expected = talk("gradient.check", **PROBLEM, loss="squared-error", delta=1, h=1e-5, loss_options={"target": 3.0})
    row = page.get_by_role("table", name="coordinates").locator("tbody tr").first
    row.filter(has_text=expected["coordinates"][0]["name"]).wait_for()
    cell = row.locator("th, td").nth(2).inner_text()
    assert abs(number(cell) - expected["coordinates"][0]["analytic"]) < 1e-8
