"""The page "Inspect" in the browser: the scores that are shown are the model's, and follow the sliders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from linprobe.challenges import Illumination
from linprobe.classifiers.model_file import load_model
from linprobe.data.base import open_dataset
from linprobe.data.splits import train_validation_test
from linprobe.lab.protocol import Lab
from linprobe.lab.server import served
from linprobe.runs.prediction import predict_pictures
from linprobe.runs.train import TrainSettings, train

from .conftest import number
from .pictures import picture, png, write_source
from .test_labels_page import OUT_OF_REACH, UNSAID


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A lab with a trained run."""
    source = str(write_source(tmp_path / "things.zip"))
    train(TrainSettings(source, {"reg": 0.01}, seed=1), out=tmp_path / "runs" / "things")
    return Lab((source,), tmp_path / "runs")


@pytest.fixture
def address(lab: Lab) -> Iterator[str]:
    """Where it is served."""
    with served(lab) as found:
        yield found


def shown_scores(page) -> list[float]:
    """The scores in the table."""
    return [number(row.locator("td").nth(1).inner_text()) for row in page.locator("[data-test=scores] tbody tr").all()]


def wait_for_scores(page, expected: np.ndarray) -> None:
    """Wait until the table shows these."""
    text = f"{expected[0]:.3f}".replace("-", "−")
    page.locator("[data-test=scores] tbody tr").first.get_by_text(text, exact=True).wait_for()
    np.testing.assert_allclose(shown_scores(page), expected, atol=6e-4)


def test_scores_follow_the_image_the_slider_and_the_address(lab, address, open_page):
    model = load_model(lab.runs / "things" / "model.safetensors")
    test = train_validation_test(open_dataset(lab.sources[0]), 0.0, 1).test

    def scores(index: int, severity: int = 0) -> np.ndarray:
        rows = test.rows[[index]]
        changed = Illumination().apply(test.images, "contrast", severity, 0, rows=rows)
        return model.decision_function(changed.reshape(1, -1))[0]

    page = open_page(f"{address}/#/inspect")
    wait_for_scores(page, scores(0))
    page.get_by_role("button", name=re.compile("^test image 5: ")).click()
    wait_for_scores(page, scores(5))
    slider = page.get_by_role("slider", name="contrast")
    slider.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    wait_for_scores(page, scores(5, 4))
    assert slider.get_attribute("aria-valuetext") == "severity 4, 35% left"
    page.wait_for_url(re.compile("#/inspect.*index=5.*contrast.4"))
    other = open_page(page.url, width=390, theme="dark")
    wait_for_scores(other, scores(5, 4))
    assert other.get_by_role("slider", name="contrast").input_value() == "4"
    assert other.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="All back to 0").click()
    wait_for_scores(page, scores(5))
    assert page.locator("[data-test=neighbours] li").count() == 7
    page.get_by_role("radio", name="wrong").check()
    wrong = sum(scores(i).argmax() != test.y[i] for i in range(test.n_images))
    page.get_by_text(f"{wrong} of {test.n_images}, surest first").wait_for()


def test_a_picture_of_ones_own_is_asked_about(lab, address, open_page, tmp_path):
    (tmp_path / "mine.png").write_bytes(png(picture(2, 99, side=20)))
    expected = predict_pictures(lab.runs / "things", [tmp_path / "mine.png"], image_size=(8, 8)).predictions[0]
    page = open_page(f"{address}/#/inspect?run=things")
    page.get_by_label(re.compile("Drop a picture")).set_input_files(tmp_path / "mine.png")
    page.locator("[data-test=verdict]").get_by_text("taken for").wait_for()
    wait_for_scores(page, expected.scores)
    assert page.locator("[data-test=verdict]").inner_text() == f"taken for {expected.best(1)[0][0]}"
    assert page.get_by_role("slider", name="another one").is_disabled()
    (tmp_path / f"{'a_name_without_a_space' * 5}.png").write_bytes(png(picture(2, 99, side=20)))
    page.get_by_label(re.compile("Drop a picture")).set_input_files(tmp_path / f"{'a_name_without_a_space' * 5}.png")
    page.get_by_text("a_name_without_a_space").wait_for()
    own, challenged = (figure.bounding_box() for figure in page.locator(".pictures canvas").all())
    assert own["x"] + own["width"] < challenged["x"]  # side by side, however long its name
    (tmp_path / "text.png").write_bytes(b"no picture")
    with page.expect_response("**/inspect/picture?name=text.png"):
        page.get_by_label(re.compile("Drop a picture")).set_input_files(tmp_path / "text.png")
    page.get_by_role("alert").filter(has_text="text.png: cannot be read as a picture").wait_for()


def test_what_is_seen_has_a_name_and_a_long_name_of_a_class_stretches_nothing(address, open_page):
    page = open_page(f"{address}/#/inspect?run=things", width=390)
    page.locator("[data-test=neighbours] li").first.wait_for()
    page.get_by_role("table").locator("tbody tr").first.wait_for()
    assert page.evaluate(UNSAID) == []
    assert page.evaluate(OUT_OF_REACH) == []
    page.evaluate(
        "for (const e of document.querySelectorAll('.maps b, .scores th')) e.textContent = 'class_name_'.repeat(6)"
    )
    widths = page.evaluate("[...document.querySelectorAll('.maps canvas')].map((e) => e.clientWidth)")
    assert len(widths) == 3
    assert max(widths) - min(widths) <= 1
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
