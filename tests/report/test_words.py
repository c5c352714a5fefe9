"""The sentences: never closer to the best possible than is proven, and plain where nothing is."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linprobe.optimizers.base import Status
from linprobe.report.words import certificate_sentence, counted, share, trained_sentence
from linprobe.runs.records import CertificateRecord, RunMetrics, RunSettings, TrainSettings

METRICS = RunMetrics(
    loss="hinge",
    penalty="l2",
    reg=0.1,
    status=Status.COMPLETED,
    seconds=1.0,
    passes=20.0,
    n_features=512,
    n_classes=10,
    n_train=50000,
    n_test=10000,
    objective=1.0,
)
"""Of a training that proves nothing."""


def certified(objective, bound, **changes):
    certificate = CertificateRecord(objective, bound, 0.25)
    return replace(METRICS, objective=objective, certificate=certificate, **changes)


def test_the_sentence_is_the_one_of_the_lecture_example():
    assert certificate_sentence(certified(1.68146, 1.68141)) == (
        "No linear classifier of this kind can have an objective below 1.68141; this one has 1.68146, "
        "so it is within 0.003% of the best possible."
    )


@given(st.floats(1e-6, 1e6), st.floats(0.0, 10.0))
def test_the_sentence_never_claims_more_than_is_proven(bound, relative):
    objective = bound * (1.0 + relative)
    text = certificate_sentence(certified(objective, bound))
    low, high, percent = map(
        float, re.findall(r"below ([\d.]+); this one has ([\d.]+), so it is within ([\d.]+)%", text)[0]
    )
    assert low <= bound
    assert high >= objective
    assert percent >= 100.0 * (objective - bound) / bound * (1.0 - 1e-12)
    if objective > bound * (1.0 + 1e-9) and bound > 1e-2:
        assert high > low


@pytest.mark.parametrize(
    ("metrics", "wanted"),
    [
        (METRICS, "does not prove how close"),
        (certified(1.0, 0.0, penalty="none"), "Without a penalty there is no bound"),
        (certified(1.0, 0.0), "the distance from the best possible is not known"),
        (replace(METRICS, objective=None), "diverged"),
    ],
)
def test_what_is_not_proven_is_said(metrics, wanted):
    assert wanted in certificate_sentence(metrics)


def test_a_bound_that_another_run_has_proved_is_named():
    text = certificate_sentence(METRICS, 0.5, "exact")
    assert "below 0.5" in text
    assert text.endswith("within 100% of the best possible (exact has proved the bound).")


def test_counts_and_shares_read_well():
    assert [counted(1), counted(45000), counted(2, "class")] == ["1 image", "45,000 images", "2 classes"]
    assert [share(0.4125), share(None), share(math.nan)] == ["41.2%", "–", "–"]


def test_the_first_sentence_says_what_was_trained_on_what():
    text = trained_sentence(RunSettings(TrainSettings("vectors", {"optimizer": "sgd"})), METRICS, "vectors.npz")
    assert text == (
        "A linear classifier, f(x) = Wx + b, of 10 classes, learnt from 50,000 training vectors of vectors.npz. It "
        "sees vectors of 512 numbers; it minimises the multiclass hinge (SVM) loss with the L2 penalty of weight "
        "reg = 0.1; it was trained by stochastic gradient descent."
    )
