"""The table: what is scored, with which interval, in which order; and the clusters inside the classes."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from scipy import stats
from tests.challenges.conftest import smooth

import linprobe.challenges.table as module
from linprobe.challenges import CHALLENGES, choose, run_challenges
from linprobe.challenges.intraclass import clusters_of, intraclass_variation, thumbnails
from linprobe.challenges.wilson import Change, Rate, wilson_interval
from linprobe.errors import ParameterError, ShapeError
from linprobe.shapes import Labels, Pixels

NAMES = ("dark", "light")


def by_light(pictures: Pixels) -> Labels:
    """0 for dark pictures, 1 for light ones."""
    return (pictures.reshape(len(pictures), -1).mean(axis=1) > 127).astype(np.int64)


@pytest.fixture
def pictures() -> tuple[Pixels, Labels]:
    """Forty pictures, labelled by how light they are."""
    images = smooth(40, 8, 8, 3)
    return images, by_light(images)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17, 1998, table I, method 3: the score method without correction
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_agrees_with_published_values(hits: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(hits, n) == pytest.approx((low, high), abs=5.1e-5)


def test_the_interval_agrees_with_scipy_and_stays_inside_0_and_1() -> None:
    for n in (1, 2, 7, 100, 10000):
        for hits in {0, 1, n // 3, n - 1, n}:
            expected = stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
            assert wilson_interval(hits, n) == pytest.approx((expected.low, expected.high), abs=1e-12)
            low, high = wilson_interval(hits, n)
            assert 0.0 <= low <= hits / n <= high <= 1.0
    assert wilson_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(ParameterError, match="hits = 3, n = 2"):
        wilson_interval(3, 2)


def test_the_interval_of_a_change_is_of_matched_pictures() -> None:
    # Agresti, An Introduction to Categorical Data Analysis, matched pairs: two answers of 1144 people in the General
    # Social Survey, 132 and 107 of them unlike; its Wald interval is 0.022 ± 1.96 * 0.0135 = (-0.004, 0.048)
    change = Change(lost=107, gained=132, n=1144)
    assert change.value == pytest.approx(0.022, abs=5e-4)
    assert change.interval == pytest.approx((-0.004, 0.048), abs=1e-3)  # a digit more than the book rounds to
    for few in (Change(0, 0, 1), Change(1, 0, 1), Change(0, 5, 5)):
        low, high = few.interval
        assert -1 <= low < high <= 1


def test_the_interval_of_a_change_holds_what_it_promises() -> None:
    random = np.random.default_rng(0)
    shares = np.array([0.5, 0.1, 0.05, 0.35])  # stays right, lost, gained, stays wrong
    tables = random.multinomial(200, shares, size=2000)
    held = [low <= -0.05 <= high for low, high in (Change(t[1], t[2], 200).interval for t in tables)]
    assert 0.93 < np.mean(held) < 0.97  # one deviation is 0.005


def test_every_kind_and_severity_has_a_cell(pictures: tuple[Pixels, Labels]) -> None:
    images, y = pictures
    table = run_challenges(by_light, images, y, NAMES)
    assert table.clean == Rate(40, 40)
    assert [(cell.kind, cell.severity) for cell in table.cells] == [
        (kind.name, severity) for challenge in CHALLENGES for kind in challenge.kinds for severity in range(1, 6)
    ]
    rates = {cell.kind: cell.rate for cell in table.cells}  # of severity 5
    assert rates["mirror"].accuracy == 1.0
    assert rates["contrast"].accuracy >= 0.9  # rounding only, where the mean is near 127
    assert rates["brightness"].accuracy < 1.0


def test_the_hits_are_those_of_the_pictures_that_apply_gives(pictures: tuple[Pixels, Labels]) -> None:
    images, y = pictures
    rows = np.array([3, 39, 7, 20, 1])
    table = run_challenges(by_light, images, y[rows], NAMES, (4,), 5, rows=rows, names=["illumination"])
    for cell in table.cells:
        changed = CHALLENGES[1].apply(images, cell.kind, 4, 5, rows=rows)
        hits = int((by_light(changed) == y[rows]).sum())
        assert cell.rate == Rate(hits, 5)
        assert cell.change == Change(5 - hits, 0, 5)  # all five are right as they are


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("numbers", [1, 8 * 8 * 3 * 7, 2**20])
def test_blocks_and_threads_give_the_same_table(
    pictures: tuple[Pixels, Labels], monkeypatch: pytest.MonkeyPatch, n_threads: int, numbers: int
) -> None:
    images, y = pictures
    seen: list[tuple[int, ...]] = []
    caller = threading.get_ident()

    def classify(block: Pixels) -> Labels:
        assert threading.get_ident() == caller  # a classifier need not be safe for threads
        seen.append((len(block), int(block.sum())))
        return by_light(block)

    expected = run_challenges(by_light, images, y, NAMES, seed=3)
    monkeypatch.setattr(module, "BLOCK_NUMBERS", numbers)
    table = run_challenges(classify, images, y, NAMES, seed=3, n_threads=n_threads)
    assert table.as_dict() == expected.as_dict()
    assert sum(n for n, _ in seen) == 40 * (1 + 11 * 5)
    assert len(seen) == (1 + 11 * 5) * max(1, -(-40 // max(1, numbers // 192)))


def test_names_choose_challenges_and_kinds_in_the_order_of_the_lecture() -> None:
    assert choose(["occlusion", "mirror", "patch"]) == ("mirror", "patch")
    assert choose(["intraclass"]) == ("intraclass",)
    assert choose([]) == ()
    assert len(choose(None)) == 12
    with pytest.raises(ParameterError, match=r"'blur'; expected one of viewpoint, .*intraclass, or of .*rotation"):
        choose(["blur"])


def test_severity_0_alone_scores_the_pictures_as_they_are(pictures: tuple[Pixels, Labels]) -> None:
    images, y = pictures
    table = run_challenges(by_light, images, y, NAMES, (0,), names=["viewpoint"])
    assert (table.clean, table.cells, table.intraclass) == (Rate(40, 40), (), None)


def test_the_record_is_json_with_the_meaning_of_each_severity(pictures: tuple[Pixels, Labels]) -> None:
    images, y = pictures
    table = run_challenges(by_light, images, y, NAMES, (1, 5), names=["rotation", "scale", "intraclass"])
    record = json.loads(json.dumps(table.as_dict(), allow_nan=False))
    assert record["clean"] == {"n_images": 40, "accuracy": 1.0, "low": wilson_interval(40, 40)[0], "high": 1.0}
    last = record["cells"][1]
    assert (last["challenge"], last["kind"], last["severity"], last["amount"]) == ("viewpoint", "rotation", 5, 30.0)
    means = {one["severity"]: one["accuracy"] for one in record["means"]}
    assert means[5] == pytest.approx(np.mean([cell["accuracy"] for cell in record["cells"] if cell["severity"] == 5]))


def test_progress_counts_every_picture(pictures: tuple[Pixels, Labels]) -> None:
    images, y = pictures
    told: list[tuple[str, int, int]] = []
    run_challenges(
        by_light, images, y, NAMES, (1, 2), names=["patch"], progress=lambda what, done, n: told.append((what, done, n))
    )
    assert told[-1] == ("pictures scored", 120, 120)


def test_what_cannot_be_scored_is_told(pictures: tuple[Pixels, Labels]) -> None:
    images, y = pictures
    with pytest.raises(ShapeError, match=r"y has shape \(39,\)"):
        run_challenges(by_light, images, y[1:], NAMES)
    with pytest.raises(ShapeError, match=r"classify gave shape \(40, 2\) for 40 pictures"):
        run_challenges(lambda block: np.zeros((len(block), 2), np.int64), images, y, NAMES)
    with pytest.raises(ParameterError, match="severity = 7"):
        run_challenges(by_light, images, y, NAMES, (7,))


def test_an_error_of_the_classifier_comes_through(pictures: tuple[Pixels, Labels]) -> None:
    def classify(block: Pixels) -> Labels:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        run_challenges(classify, *pictures, NAMES)


def test_k_means_finds_clusters_that_are_far_apart() -> None:
    random = np.random.default_rng(1)
    truth = np.repeat(np.arange(5), [40, 10, 25, 5, 20])
    points = random.normal(size=(5, 12))[truth] * 100 + random.normal(size=(100, 12))
    labels, centres = clusters_of(points, 5, np.random.default_rng(0))
    assert len(centres) == 5
    assert len({(a, b) for a, b in zip(truth, labels, strict=True)}) == 5
    assert centres[labels] == pytest.approx(points, abs=8)  # the noise has deviation 1


def test_k_means_gives_no_empty_cluster_for_points_that_are_few_or_equal() -> None:
    for points in (np.zeros((9, 3)), np.arange(6.0).reshape(2, 3), np.ones((1, 3))):
        labels, centres = clusters_of(points, 5, np.random.default_rng(0))
        assert len(centres) == len(np.unique(points, axis=0))
        assert np.array_equal(np.unique(labels), np.arange(len(centres)))


@pytest.mark.parametrize("shape", [(32, 32, 3), (5, 7, 1), (11, 8, 3)], ids=str)
def test_thumbnails_keep_the_mean_and_the_channels(shape: tuple[int, int, int]) -> None:
    images = smooth(6, *shape)
    found = thumbnails(images, np.array([5, 0]))
    small = np.moveaxis(found.reshape(2, shape[2], min(8, shape[0]), min(8, shape[1])), 1, 3)
    assert small.mean(axis=(1, 2)) == pytest.approx(images[[5, 0]].mean(axis=(1, 2)), abs=1e-3)
    if shape == (32, 32, 3):
        blocks = images[[5, 0]].reshape(2, 8, 4, 8, 4, 3).mean(axis=(2, 4))
        assert small == pytest.approx(blocks, abs=1e-3)


def test_a_classifier_that_knows_one_look_of_a_class_has_a_gap_beyond_chance() -> None:
    # class 0 comes in five colours, class 1 in one; red pictures of class 0 are always missed
    random = np.random.default_rng(3)
    colours = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200], [200, 200, 0], [0, 200, 200], [90, 90, 90]])
    look = np.repeat(np.arange(6), [30, 30, 30, 30, 30, 150])
    images = (colours[look][:, None, None] + random.integers(0, 20, (300, 8, 8, 3))).astype(np.uint8)
    y = np.where(look < 5, 0, 1)
    found = intraclass_variation(images, y, look != 0, ("many", "one"), seed=0)
    assert found.worst is not None
    assert found.worst.rate == Rate(0, 30)
    assert look[found.worst.example] == 0
    assert found.best is not None
    assert found.best.rate.accuracy == 1.0
    # class 1 is all hits: its clusters have no gap, whatever they are
    assert found.gap == pytest.approx(0.5)
    assert 0 < found.gap_by_chance < 0.25
    assert found == intraclass_variation(images, y, look != 0, ("many", "one"), seed=0)


def test_classes_too_small_to_compare_have_no_gap() -> None:
    images = smooth(12, 6, 6, 1)
    y = np.repeat([0, 2], [9, 3])
    found = intraclass_variation(images, y, np.ones(12, bool), ("a", "b", "c"))
    assert sum(cluster.rate.n for cluster in found.clusters) == 12
    assert (found.worst, found.best) == (None, None)
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["gap"] is None
