"""What the page Inspect is told are the library's own numbers: scores, probabilities, contributions, neighbours."""

from __future__ import annotations

import base64
import io
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linprobe.challenges import Clutter, Occlusion, Viewpoint
from linprobe.classifiers.model_file import load_model
from linprobe.classifiers.neighbors import NeighborModel
from linprobe.data.base import open_dataset
from linprobe.data.splits import train_validation_test
from linprobe.explain.contributions import contributions
from linprobe.lab import inspect
from linprobe.lab.inspector import Inspector
from linprobe.lab.protocol import Lab
from linprobe.lab.server import served
from linprobe.runs.evaluation import evaluate_source
from linprobe.runs.prediction import predict_pictures
from linprobe.runs.train import TrainSettings, train

from .conftest import Talk, talking
from .pictures import picture, png, write_source


class Place:
    """A lab with a trained run, and the same read with the library alone."""

    def __init__(self, folder: Path) -> None:
        self.source = str(write_source(folder / "things.zip"))
        self.lab = Lab((self.source,), folder / "runs")
        settings = TrainSettings(self.source, {"reg": 0.01}, seed=2, validation=0.2)
        self.run = train(settings, out=folder / "runs" / "things").path
        self.model = load_model(self.run / "model.safetensors")
        parts = train_validation_test(open_dataset(self.source), 0.2, 2)
        self.train, self.test = parts.train, parts.test
        self.rows = self.test.rows


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Trained once for all tests; a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LINPROBE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield Place(tmp_path_factory.mktemp("inspect"))


@pytest.fixture(scope="module")
def address(place: Place) -> Iterator[str]:
    """Where the lab is served."""
    with served(place.lab) as found:
        yield found


@pytest.fixture
def talk_to(address: str) -> Iterator[Talk]:
    """A WebSocket to it."""
    with talking(address) as found:
        yield found


def post_picture(address: str, content: bytes, name: str = "mine.png") -> tuple[int, dict[str, str]]:
    """Status and answer of a picture of one's own."""
    request = urllib.request.Request(f"{address}/inspect/picture?name={name}", data=content, method="POST")
    request.add_header("Origin", address)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def pixels_of(picture_: dict) -> np.ndarray:
    """The picture as the page draws it."""
    shape = (picture_["height"], picture_["width"], 3)
    return np.frombuffer(base64.b64decode(picture_["bytes"]), np.uint8).reshape(shape)


def test_scores_probabilities_and_loss_of_a_test_image_are_the_librarys(place, talk_to):
    found = talk_to("inspect.look", run="things", index=4, seed=0)
    image = place.test.images[place.rows[4]]
    expected = place.model.decision_function(image.reshape(1, -1))[0]
    np.testing.assert_allclose(found["scores"], expected, rtol=1e-6)
    np.testing.assert_allclose(found["probabilities"], place.model.predict_proba(image.reshape(1, -1))[0], rtol=1e-6)
    assert found["label"] == place.test.y[4]
    assert found["found"] == expected.argmax()
    assert found["loss"] == pytest.approx(-np.log(found["probabilities"][found["label"]]))
    assert (pixels_of(found["picture"]) == image).all()


def test_pictures_that_a_run_has_trained_on_are_not_its_test_images_when_the_source_grows(tmp_path):
    source = write_source(tmp_path / "things.zip")
    lab = Lab((str(source),), tmp_path / "runs")
    run = train(TrainSettings(str(source), {"reg": 0.01}, seed=2), out=tmp_path / "runs" / "things").path
    as_it_was = lab.service(Inspector).subject("things")
    assert (as_it_was.test.n_images, as_it_was.notes) == (12, ())
    lab.close()
    write_source(source, 24)
    grown = lab.service(Inspector).subject("things")
    evaluated = evaluate_source(run, str(source))
    assert grown.test.n_images == evaluated.performance.n_images == 24  # the 12 held out, and the 12 that came
    assert grown.train.n_images == 48
    assert float(np.mean(grown.scores().argmax(axis=1) == grown.y)) == evaluated.performance.accuracy
    assert "things.zip has changed since the training: 48 pictures" in grown.notes[-1]
    lab.close()


def test_pictures_that_chose_the_epoch_of_a_run_are_named_when_the_source_grows(tmp_path):
    source = write_source(tmp_path / "things.zip")
    lab = Lab((str(source),), tmp_path / "runs")
    early = {"optimizer": "sgd", "epochs": 2, "patience": 1}
    result = train(TrainSettings(str(source), early, validation=0.25, seed=2), out=tmp_path / "runs" / "things")
    n = result.metrics.n_validation
    assert n > 0
    write_source(source, 24)
    notes = lab.service(Inspector).subject("things").notes
    assert notes[-1].startswith(f"{n} of the test images are not new: they chose settings of the model")
    lab.close()


def test_more_pictures_at_a_time_than_the_memory_has_room_for_are_refused(place, address, monkeypatch):
    monkeypatch.setattr(inspect, "MOST_ARRIVING", 0)
    assert "wait until they have arrived" in post_picture(address, png(picture(0, 0)))[1]["error"]
    monkeypatch.undo()
    assert "own" in post_picture(address, png(picture(0, 0)))[1]
    assert place.lab.service(Inspector).arriving == 0


def test_the_grid_counts_what_evaluate_counts_and_names_the_wrong_ones(place, talk_to):
    accuracy = evaluate_source(place.run, place.source).performance.accuracy
    found = talk_to("inspect.grid", run="things", show="all", page=0, size=60)
    assert found["accuracy"] == accuracy
    assert [item["index"] for item in found["items"]] == list(range(place.test.n_images))
    for item in found["items"]:
        assert (pixels_of(item["picture"]) == place.test.images[place.rows[item["index"]]]).all()
    for show, share in (("right", accuracy), ("wrong", 1 - accuracy)):
        part = talk_to("inspect.grid", run="things", show=show, page=0, size=60)
        assert part["total"] == round(share * place.test.n_images)
        assert all((item["label"] == item["found"]) == (show == "right") for item in part["items"])
    of_class = talk_to("inspect.grid", run="things", show="all", label=1, page=0, size=2)
    assert {item["label"] for item in of_class["items"]} == {1}
    last = talk_to("inspect.grid", run="things", show="all", label=1, page=99, size=2)
    assert last["page"] == last["pages"] - 1


def test_challenges_change_the_picture_as_the_library_does_one_after_the_other(place, talk_to):
    number = place.rows[[3]]
    turned = Viewpoint().apply(place.test.images, "rotation", 4, 5, rows=number)
    found = talk_to("inspect.look", run="things", index=3, severities={"rotation": 4, "rim": 0}, seed=5)
    assert (pixels_of(found["picture"]) == turned[0]).all()
    np.testing.assert_allclose(found["scores"], place.model.decision_function(turned.reshape(1, -1))[0], rtol=1e-6)
    covered = Occlusion().apply_again(turned, "patch", 3, 5, numbers=number, source=place.test.images)
    cluttered = Clutter().apply_again(covered, "rim", 5, 5, numbers=number, source=place.test.images)
    found = talk_to("inspect.look", run="things", index=3, severities={"rim": 5, "rotation": 4, "patch": 3}, seed=5)
    assert (pixels_of(found["picture"]) == cluttered[0]).all()
    assert (pixels_of(found["original"]) == place.test.images[number[0]]).all()
    assert "severities.rim is 6; expected a whole number 0..5" in talk_to.error(
        "inspect.look", run="things", index=3, severities={"rim": 6}, seed=5
    )


def test_intraclass_variation_puts_others_of_the_class_in_its_place(place, talk_to):
    stand_ins = []
    for severity in range(1, 6):
        found = talk_to("inspect.look", run="things", index=3, severities={"intraclass": severity}, seed=0)
        stand_in = found["stand_in"]
        assert place.test.y[stand_in] == place.test.y[3] == found["label"]
        assert (pixels_of(found["picture"]) == place.test.images[place.rows[stand_in]]).all()
        stand_ins.append(stand_in)
    assert len(set(stand_ins)) > 1


def test_contributions_are_the_librarys_and_add_up_to_the_scores(place, talk_to):
    found = talk_to("inspect.look", run="things", index=1, first=2, second=0, seed=0)
    part = found["contributions"]
    maps = contributions(place.model, place.test.images[place.rows[1]])
    assert (part["first"], part["second"], part["why"]) == (2, 0, "")
    assert (part["height"], part["width"]) == (8, 8)
    np.testing.assert_allclose(part["sums"], [maps[2].sum(), maps[0].sum()])
    bias, scores = (np.array(found[name])[[2, 0]] for name in ("bias", "scores"))
    np.testing.assert_allclose(np.array(part["sums"]) + bias, scores, rtol=1e-6)  # scores of float32 products
    drawn = np.frombuffer(base64.b64decode(part["bytes"]), np.uint8).reshape(3, 8, 8).astype(float)
    expected = np.stack([maps[2], maps[0], maps[2] - maps[0]])
    inside = np.abs(expected) < part["limit"]
    shown = (drawn - 128) / 127 * part["limit"]
    assert np.abs(shown - expected)[inside].max() <= 0.51 * part["limit"] / 127
    ranked = np.argsort(-np.array(found["scores"]))
    free = talk_to("inspect.look", run="things", index=1, seed=0)["contributions"]
    assert [free["first"], free["second"]] == ranked[:2].tolist()


@pytest.mark.parametrize("metric", ["l2", "l1"])
def test_neighbours_are_those_of_the_search_in_the_training_images(place, talk_to, metric):
    found = talk_to("inspect.neighbours", run="things", index=2, k=5, metric=metric, seed=0)
    query = place.test.images[place.rows[[2]]].reshape(1, -1)
    model = NeighborModel(5, metric).fit_sets(place.train)
    distances, positions = model.nearest(query)
    assert [item["position"] for item in found["items"]] == positions[0].tolist()
    assert [item["distance"] for item in found["items"]] == distances[0].tolist()
    assert found["vote"] == str(model.classes_[model.labels_by_k(query, [5])[5][0]])
    first = found["items"][0]
    assert (pixels_of(first["picture"]) == place.train.images[place.train.rows[first["position"]]]).all()


def test_a_picture_of_ones_own_is_resized_and_scored_as_predict_does(place, address, talk_to, tmp_path):
    (tmp_path / "mine.png").write_bytes(png(picture(2, 77, side=30)))
    status, answer = post_picture(address, (tmp_path / "mine.png").read_bytes())
    assert status == 200
    found = talk_to("inspect.look", run="things", own=answer["own"], seed=0)
    expected = predict_pictures(place.run, [tmp_path / "mine.png"], image_size=(8, 8)).predictions[0]
    np.testing.assert_allclose(found["scores"], expected.scores, rtol=1e-9)
    assert found["label"] is found["loss"] is None
    assert found["name"] == "mine.png"
    challenged = talk_to("inspect.look", run="things", own=answer["own"], severities={"rim": 5, "rotation": 2}, seed=0)
    assert (pixels_of(challenged["picture"]) != pixels_of(found["picture"])).any()
    assert "expected index or own" in talk_to.error("inspect.look", run="things", seed=0)
    assert "severities.fog is no kind" in talk_to.error(
        "inspect.look", run="things", index=0, severities={"fog": 1}, seed=0
    )
    assert "class is unknown" in talk_to.error(
        "inspect.look", run="things", own=answer["own"], severities={"intraclass": 1}, seed=0
    )


def test_what_is_no_picture_is_refused_in_a_line_without_a_path(place, address, talk_to):
    for content in (b"", b"not a picture", png(picture(0, 0))[:60]):
        status, answer = post_picture(address, content)
        assert status == 200
        assert answer["error"].startswith("mine.png: cannot be read as a picture")
        assert str(place.lab.service(Inspector).uploads.folder) not in answer["error"]
    assert "drop it again" in talk_to.error("inspect.look", run="things", own="own:999", seed=0)


def test_a_picture_with_too_many_bytes_is_refused(address, monkeypatch):
    from linprobe.lab import inspect as inspect_module

    content = png(picture(0, 0))
    with monkeypatch.context() as patch:
        patch.setattr(inspect_module, "PICTURE_BYTES", len(content) - 1)
        assert "is larger than" in post_picture(address, content)[1]["error"]
    assert "own" in post_picture(address, content)[1]


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(address):
    content = io.BytesIO()
    Image.new("1", (5000, 5001)).save(content, "PNG")
    _, answer = post_picture(address, content.getvalue())
    assert "has 5000 x 5001 pixels; the lab takes pictures of up to 25 million pixels" in answer["error"]


def test_a_run_whose_source_was_not_named_answers_about_ones_own_pictures_alone(place, tmp_path):
    lab = Lab((), place.lab.runs)
    with served(lab) as address, talking(address) as talk:
        about = talk("inspect.open", run="things")
        assert about["n_test"] == 0
        assert "linprobe lab" in about["why"]
        assert "linprobe lab" in talk.error("inspect.look", run="things", index=0, seed=0)
        assert "linprobe lab" in talk.error("inspect.grid", run="things", show="all", page=0, size=8)
        own = post_picture(address, png(picture(1, 5)))[1]["own"]
        found = talk("inspect.look", run="things", own=own, severities={"rim": 3}, seed=0)
        assert len(found["scores"]) == 3
