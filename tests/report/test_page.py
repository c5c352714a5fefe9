"""The page: closed in itself, safe with any names, its figures those of the run, whole even where much is missing."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from linprobe.challenges.wilson import Change, wilson_interval
from linprobe.classifiers.model_file import read_model
from linprobe.data.base import open_dataset
from linprobe.data.splits import train_validation_test
from linprobe.errors import OutputError, ParameterError, RunError
from linprobe.printed import objective_text
from linprobe.report.page import write_report
from linprobe.runs.challenges import challenge_source
from linprobe.runs.folder import RunFolder
from linprobe.runs.sweep import SweepSettings, sweep
from linprobe.runs.train import TrainSettings, train

SECTIONS = ["certificate", "numbers", "curves", "templates", "geometry", "errors", "image", "reliability", "landscape"]


def report(run, closed, out=None):
    """The page of a run, taken apart."""
    return closed(write_report([run], out, cache=False))


@pytest.fixture(scope="module")
def run(source):
    """An exact softmax training with validation images."""
    return source.train("first", validation=0.2)


@pytest.fixture(scope="module")
def page(run, closed):
    return report(run, closed)


def test_the_page_has_every_part_and_stands_in_the_run_folder(page, run):
    assert page.sections() == [*SECTIONS, "reproduce"]
    assert (run / "report.html").stat().st_size < 1_000_000
    pictures = [a for tag, a in page.elements if tag == "svg"]
    assert len(pictures) == 18  # 6 curves, 2 templates, 1 plane, 2 of errors, 3 of images, 1 of trust, 3 cuts
    assert all(a["role"] == "img" and len(a["aria-label"]) > 20 for a in pictures)


def test_names_from_the_user_are_text_and_never_markup(page, source):
    for name in source.names:
        assert " ".join(name.split()) in page.words
    assert not [a for tag, a in page.elements if tag == "img" or a.get("src") == "x"]


def test_names_that_no_font_can_draw_and_no_file_can_hold_do_no_harm(tmp_path, closed, write_source):
    write_source(tmp_path / "source", ("ctl\x01\x1b", "bad\udcff", "猫"), n=8)
    trained = train(TrainSettings(str(tmp_path / "source"), {"tol": 1e-2}), out=tmp_path / "run", cache=False).path
    page = report(trained, closed)
    assert page.sections() == [*SECTIONS, "reproduce"]
    assert "bad\\xff" in page.words
    assert "猫" in page.words
    assert "missing here" not in page.words


def test_the_figures_are_those_of_the_run(page, run, source):
    metrics = json.loads((run / "metrics.json").read_text())
    model = read_model(run / "model.safetensors")
    test = train_validation_test(open_dataset(source.path, cache=False), 0.2).test
    predicted = model.scores(test.X[test.rows]).argmax(axis=1)
    hits = int((predicted == test.y).sum())
    low, high = wilson_interval(hits, len(test.y))
    assert f"test accuracy {hits / len(test.y):.1%} 95% interval: {low:.1%} to {high:.1%}" in page.words
    assert f"train accuracy {metrics['train_accuracy']:.1%}" in page.words
    assert f"{objective_text(metrics['objective'])} = loss {objective_text(metrics['data_loss'])}" in page.words
    for k, name in enumerate(model.class_names_):
        mine = test.y == k
        low, high = wilson_interval(int((predicted[mine] == k).sum()), int(mine.sum()))
        row = f"{' '.join(name.split())} {mine.sum()} {(predicted[mine] == k).mean():.1%} {low:.1%} to {high:.1%}"
        assert row in page.words


def test_what_it_takes_to_train_again_is_told(page, run):
    settings = json.loads((run / "settings.json").read_text())
    assert f"linprobe train {settings['source']} --loss softmax --penalty l2 --reg 0.001" in page.words
    for name in ("fingerprint", "linprobe_version", "numpy_version", "python_version"):
        assert str(settings[name]) in page.words
    assert settings["numpy_version"] == np.__version__


def test_it_follows_the_scheme_of_the_reader_and_prints(run):
    content = (run / "report.html").read_text()
    for wanted in ("@media (prefers-color-scheme: dark)", "@media print", "var(--ink, ", "@media (max-width: 40rem)"):
        assert wanted in content


@pytest.mark.parametrize("what", ["gone", "changed", "broken"])
def test_a_source_that_is_gone_or_changed_is_told_and_the_rest_is_shown(run, source, closed, tmp_path, what):
    copy = tmp_path / "copy"
    shutil.copytree(source.path, copy)
    trained = train(TrainSettings(str(copy), {"tol": 1e-2}), out=tmp_path / "run", cache=False).path
    if what == "gone":
        shutil.rmtree(copy)
    elif what == "changed":
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(copy / "plain" / "more.png")
    else:
        for file in (copy / "plain").iterdir():
            file.write_bytes(b"no picture")
    page = report(trained, closed)
    assert page.sections() == ["certificate", "numbers", "curves", "templates", "reproduce"]
    assert "No pictures of images, and no figures by class: " in page.words
    assert "test accuracy" in page.words


def test_a_run_whose_trace_is_damaged_has_no_curves_and_says_so(source, closed):
    trained = source.train("damaged")
    (trained / "trace.csv").write_text("epoch\n1\n")
    page = report(trained, closed)
    assert "curves" not in page.sections()
    assert "No learning curves: " in page.words


def test_a_hinge_has_no_probabilities_to_trust(source, closed):
    page = report(source.train("hinge", {"loss": "hinge", "penalty": "l1", "reg": 1e-2}), closed)
    assert page.sections() == [*(name for name in SECTIONS if name != "reliability"), "reproduce"]


def test_features_have_their_nearest_picture(source, closed):
    page = report(source.train("color", features="color"), closed)
    assert page.sections() == [*SECTIONS, "reproduce"]
    assert "color features" in page.words
    assert "--features color" in page.words


@pytest.mark.parametrize("features", ["pixels", "color"])
def test_a_run_that_has_just_ended_is_not_read_again(source, closed, tmp_path, monkeypatch, features):
    settings = TrainSettings(str(source.path), {"tol": 1e-2}, features=features)
    result = train(settings, out=tmp_path / "run", cache=False)
    later = write_report([result.path], tmp_path / "later.html", cache=False).read_text()

    def refuse(*_, **__):
        raise AssertionError("read again")

    for name in ("read_source", "train_validation_test", "map_images", "kept_features", "measure", "read_model"):
        monkeypatch.setattr(f"linprobe.report.record.{name}", refuse)
    for name in ("settings", "metrics", "read_trace"):
        monkeypatch.setattr(RunFolder, name, refuse)
    page = write_report([result], cache=False)
    assert closed(page).sections() == [*SECTIONS, "reproduce"]
    assert page.read_text() == later


def test_a_sweep_that_has_just_ended_gives_the_page_of_its_folder(source, closed, tmp_path):
    settings = SweepSettings(str(source.path), (1e-3, 1e-1), {"tol": 1e-2}, folds=2)
    result = sweep(settings, out=tmp_path / "run", cache=False)
    later = write_report([result.path], tmp_path / "later.html", cache=False).read_text()
    assert write_report([result], cache=False).read_text() == later


def test_vectors_have_no_pictures_of_images(tmp_path, closed):
    random = np.random.default_rng(0)
    y = np.arange(80) % 4
    np.savez(tmp_path / "vectors.npz", X=random.normal(size=(80, 6)) + y[:, None], y=y)
    settings = TrainSettings(str(tmp_path / "vectors.npz"), {"optimizer": "sgd", "epochs": 3})
    page = report(train(settings, out=tmp_path / "run").path, closed)
    assert page.sections() == [*(name for name in SECTIONS if name != "image"), "reproduce"]
    assert "This optimizer does not prove how close that is to the best possible" in page.words


def test_points_in_the_plane_have_their_regions(tmp_path, closed):
    page = report(train(TrainSettings("planar:shell", {"penalty": "none"}), out=tmp_path / "run").path, closed)
    assert "the regions of the classes" in page.words
    assert "For comparison, the regions of the 5 nearest training points" in page.words
    assert "Without a penalty there is no bound" in page.words


def test_a_sweep_has_its_path_and_templates_along_it(source, closed):
    settings = SweepSettings(str(source.path), (1e-3, 1e-2, 1e-1), {"tol": 1e-3}, folds=2)
    result = sweep(settings, out=source.runs / "sweep", cache=False)
    page = report(result.path, closed)
    assert page.sections() == ["certificate", "numbers", "path", *SECTIONS[3:], "reproduce"]
    assert f"{result.metrics.reg:.2g} (chosen)" in page.words
    assert "--reg-grid 0.001:0.1:3 --folds 2" in page.words
    assert "best of 3 values of reg, so slightly too high" in page.words
    (result.path / "path.safetensors").write_bytes(b"damaged")
    assert "No templates along the path: " in report(result.path, closed).words


def test_a_sweep_over_learning_rates_says_what_was_chosen(source, closed):
    settings = SweepSettings(
        str(source.path),
        (1e-3, 1e-1),
        {"optimizer": "sgd", "epochs": 3},
        validation=0.2,
        learning_rates=(0.01, 0.1, 1e9),
        schedules=("cosine", "step"),
        updates=("plain",),
    )
    result = sweep(settings, out=source.runs / "rates", cache=False)
    page = report(result.path, closed)
    assert "it was trained by stochastic gradient descent, its settings the best of 12 runs by validation images" in (
        page.words
    )
    assert page.sections() == ["certificate", "numbers", "rates", *SECTIONS[3:], "reproduce"]
    above = result.metrics.chosen_cell.above_optimum
    assert above > 0.0
    assert "The objective of the chosen run ended at most " in page.words
    assert "from the chosen one" in page.words
    assert "In brackets" not in page.words
    assert "best of 12 runs, so slightly too high" in page.words
    assert "--optimizer sgd --learning-rate-grid 0.01,0.1,1000000000.0 --reg-grid 0.001:0.1:2" in page.words
    assert "No templates along the path" not in page.words
    assert "schedules cosine, step" in page.words


def test_challenges_that_were_run_have_their_table_and_their_sheet(source, closed):
    trained = source.train("challenged")
    challenged = challenge_source(trained, str(source.path), names=("occlusion",), severities=(0, 3), cache=False)
    page = report(trained, closed)
    assert page.sections() == [*SECTIONS, "challenges", "reproduce"]
    cell = challenged.record["cells"][0]
    assert f"{cell['kind']} " in page.words
    assert f"{cell['accuracy']:.1%}" in page.words
    assert len([a for tag, a in page.elements if tag == "img"]) == 1
    (trained / "challenges.json").write_text('{"cells": [{}]}')
    assert "No challenges: " in report(trained, closed).words


def test_several_runs_are_set_beside_each_other(run, source, closed, tmp_path):
    other = source.train("sgd <b>", {"optimizer": "sgd", "epochs": 4}, validation=0.2)
    page = closed(write_report([run, other], tmp_path / "both.html", cache=False))
    assert page.sections() == ["certificate", "comparable", "numbers", "curves", "templates", "reproduce"]
    assert "optimizer exact sgd" in page.words
    assert "All were tested on the same" in page.words
    assert "All minimise the same function" in page.words
    assert "(first has proved the bound)" in page.words
    assert "sgd <b> : A linear classifier" in page.words
    assert "not tested on the same" not in page.words
    for trained in (run, other):
        metrics = json.loads((trained / "metrics.json").read_text())
        assert f"{metrics['test_accuracy']:.1%}" in page.words


def test_runs_on_other_images_are_not_compared_by_accuracy(run, closed, tmp_path):
    other = train(TrainSettings("planar:shell", {"tol": 1e-2}), out=tmp_path / "first").path
    page = closed(write_report([run, other], tmp_path / "both.html", cache=False))
    assert "They were not tested on the same images: the data are not the same." in page.words
    assert "On the same test images, one against one" not in page.words
    assert f"{tmp_path.name}/first" in page.words  # both folders are called first


def test_a_seed_that_draws_other_test_images_is_told(run, source, closed, tmp_path):
    other = source.train("reseeded", validation=0.2, seed=1)
    page = closed(write_report([run, other], tmp_path / "both.html", cache=False))
    assert "They were not tested on the same images: the seeds differ, and the seed draws them." in page.words
    assert "They do not minimise the same function; they differ in training images." in page.words
    assert "On the same test images, one against one" not in page.words


def test_two_runs_are_set_against_each_other_image_by_image(run, source, closed, tmp_path):
    other = source.train("strong", {"reg": 10.0}, validation=0.2)
    test = train_validation_test(open_dataset(source.path, cache=False), 0.2).test
    hits = [
        read_model(folder / "model.safetensors").scores(test.X[test.rows]).argmax(axis=1) == test.y
        for folder in (run, other)
    ]
    better, worse = sorted(hits, key=np.sum, reverse=True)
    change = Change(int((worse & ~better).sum()), int((better & ~worse).sum()), len(test.y))
    page = closed(write_report([run, other], tmp_path / "both.html", cache=False))
    low, high = (100.0 * end for end in change.interval)
    assert f"{100.0 * change.value:+.1f} {low:+.1f} to {high:+.1f} {change.gained} {change.lost} " in page.words
    assert "they differ in reg. A lower objective says nothing." in page.words


def test_sweeps_are_laid_over_each_other(source, closed, tmp_path):
    regs = (1e-3, 1e-2, 1e-1)
    folders = [
        sweep(
            SweepSettings(str(source.path), regs, {"tol": 1e-2, "penalty": penalty}, validation=0.2),
            out=source.runs / f"sweep-{penalty}",
            cache=False,
        ).path
        for penalty in ("l1", "l2")
    ]
    page = closed(write_report(folders, tmp_path / "both.html", cache=False))
    assert page.sections() == ["certificate", "comparable", "numbers", "path", "templates", "reproduce"]
    pictures = [a["aria-label"] for tag, a in page.elements if tag == "svg" and "reg values" in a["aria-label"]]
    assert len(pictures) == 4  # accuracy, gap, norm, zeros
    assert all("sweep-l1: 3 reg values" in alt and "sweep-l2: 3 reg values" in alt for alt in pictures)
    assert "The same images were held out." in page.words
    assert "One value of reg is not as strong in l1 and l2" in page.words


def test_what_cannot_be_reported_is_one_line(run, tmp_path):
    with pytest.raises(ParameterError, match="no run is named"):
        write_report([])
    with pytest.raises(ParameterError, match="named twice"):
        write_report([run, run / "."])
    with pytest.raises(RunError, match="no such run folder"):
        write_report([tmp_path / "nowhere"])
    with pytest.raises(OutputError, match=r"nowhere/page\.html: the report cannot be written"):
        write_report([run], tmp_path / "nowhere" / "page.html", cache=False)
    shutil.copytree(run, tmp_path / "copy")
    (tmp_path / "copy" / "metrics.json").write_text("{}")
    with pytest.raises(RunError, match=r"metrics\.json: loss is missing; expected text"):
        write_report([tmp_path / "copy"])
    metrics = json.loads((run / "metrics.json").read_text())
    for change, wanted in (
        ({"objective": "low"}, "objective is 'low'; expected a finite number or null"),
        ({"test_accuracy": []}, r"test_accuracy is \[\]; expected a finite number 0..1 or null"),
        ({"certificate": {}}, "certificate.objective is missing; expected a finite number"),
        ({"kind": "sweep", "grid": [{}]}, r"grid\[0\].reg is missing; expected a finite number >= 0"),
        ({"kind": "sweep", "grid": []}, r"grid is \[\]; expected the reg values of a sweep"),
    ):
        (tmp_path / "copy" / "metrics.json").write_text(json.dumps({**metrics, **change}))
        with pytest.raises(RunError, match=rf"metrics\.json: {wanted}"):
            write_report([tmp_path / "copy"])
    (tmp_path / "copy" / "metrics.json").unlink()
    with pytest.raises(RunError, match="is not finished; finish it with `linprobe train --resume"):
        write_report([tmp_path / "copy"])


def test_the_trace_reads_back_as_it_was_written(run):
    rows = RunFolder.open(run).read_trace()
    lines = (run / "trace.csv").read_text().splitlines()[1:]
    assert len(rows) == len(lines)
    assert ",".join(repr(value) for value in list(rows[-1].values())[1:]) == lines[-1].split(",", 1)[1]
