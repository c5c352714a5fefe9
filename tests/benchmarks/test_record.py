"""Ratios, turns, figures in words, and records that are never half written."""

from __future__ import annotations

import pytest
from benchmarks.record import (
    ROOT,
    compared,
    digits,
    image_archive,
    interleaved,
    machine,
    spoken,
    spread,
    text_table,
    warning,
    why_absent,
    write_aside,
)


def test_a_ratio_is_taken_pair_by_pair_and_not_of_the_medians():
    result = compared({"linprobe": [1.0, 2.0, 4.0], "other": [3.0, 2.0, 4.0]}, "linprobe")
    assert result["ratios"]["other"] == {"median": 1.0, "min": 1.0, "max": 3.0, "all": [3.0, 1.0, 1.0]}
    assert result["seconds"]["other"]["median"] == 3.0  # of the medians it would be 1.5


def test_ours_has_no_ratio_to_itself():
    assert list(compared({"linprobe": [1.0], "numpy": [1.0], "torch": [2.0]}, "linprobe")["ratios"]) == [
        "numpy",
        "torch",
    ]


def test_implementations_take_turns_in_an_order_that_rotates_and_the_first_repetition_is_not_counted():
    ran: list[str] = []
    implementations = {name: (lambda name=name: ran.append(name)) for name in "abc"}
    times = interleaved(implementations, 3, before=lambda: ran.append("-"))
    assert "".join(ran) == "-a-b-c-b-c-a-c-a-b-a-b-c"
    assert {name: len(values) for name, values in times.items()} == {"a": 3, "b": 3, "c": 3}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0, "0"),
        (0.00672, "0.00672"),
        (0.9996, "1.00"),
        (9.82, "9.82"),
        (9.999, "10.0"),
        (71.64, "71.6"),
        (12345, "12345"),
    ],
)
def test_figures_have_three_digits(value, told):
    assert digits(value) == told


def test_a_spread_is_told_as_median_and_range():
    assert spoken(spread([0.001, 0.002, 0.004]), "ms", 1e3) == "2.00 ms (1.00–4.00)"


def test_a_run_beside_other_work_or_with_a_slowed_blas_carries_a_warning():
    assert warning(0.01, {"OPENBLAS_NUM_THREADS": "2"}) is None
    assert "12% of the cores" in str(warning(0.12, {}))
    assert "OPENBLAS_CORETYPE" in str(warning(0.0, {"OPENBLAS_CORETYPE": "Prescott"}))
    assert "not known" in str(warning(None, {}))


def test_the_machine_is_told_without_its_name_or_paths():
    about = machine()
    assert about["cores"] >= 1
    assert about["memory"] > 0
    assert about["processor"]
    assert set(about) == {"processor", "cores", "caches", "memory", "system"}


def test_a_table_leaves_out_columns_that_are_empty():
    assert text_table(("a", "b", "c"), [("x", "", "1"), ("yy", "", "10")]) == "a    c\nx    1\nyy  10"


def test_a_record_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "results" / "engine.json"
    write_aside(path, b"old")
    with pytest.raises(TypeError):
        write_aside(path, "not bytes")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_the_archive_is_named_by_the_environment_or_lies_beside_the_repository(monkeypatch, tmp_path):
    monkeypatch.delenv("LINPROBE_CIFAR10", raising=False)
    assert image_archive() == ROOT.parent / "shared" / "data" / "cifar10.zip"
    monkeypatch.setenv("LINPROBE_CIFAR10", str(tmp_path / "mine.zip"))
    assert image_archive() == tmp_path / "mine.zip"
    assert "mine.zip is not there" in str(why_absent(image_archive()))
    image_archive().touch()
    assert why_absent(image_archive()) is None
