"""HOG, ColorHistogram and OnnxEmbedding among scikit-learn's own."""

from __future__ import annotations

import inspect
import pickle
from dataclasses import fields

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union

from linprobe import LinearClassifier
from linprobe.errors import ParameterError, ShapeError
from linprobe.features import HOG, ColorHistogram, Net, OnnxEmbedding, Patches
from linprobe.features.color import ColorMap
from linprobe.features.hog import HogMap
from linprobe.features.net import NetMap
from linprobe.features.onnx import OnnxMap
from linprobe.features.patches import PatchesMap

RANDOM = np.random.default_rng(0)
OWN = ("n_threads", "random_state")
PICTURES = RANDOM.integers(0, 256, (600, 16, 16, 3), dtype=np.uint8)


def bars(n_images: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (N, 16, 16) of one bright bar at a random place, and whether it lies or stands."""
    y = np.arange(n_images) % 2
    pictures = RANDOM.integers(0, 60, (n_images, 16, 16), dtype=np.uint8)
    for picture, stands in zip(pictures, y, strict=True):
        at = RANDOM.integers(2, 12)
        (picture.T if stands else picture)[at : at + 3] = 220
    return pictures, np.array(["lies", "stands"])[y]


@pytest.mark.parametrize(
    ("transformer", "kind"),
    [(HOG, HogMap), (ColorHistogram, ColorMap), (OnnxEmbedding, OnnxMap), (Patches, PatchesMap), (Net, NetMap)],
)
def test_parameters_and_their_defaults_are_those_of_the_map(transformer, kind):
    signature = inspect.signature(transformer)
    own = {
        name: entry.default for name, entry in signature.parameters.items() if name not in ("n_threads", "random_state")
    }
    assert own.keys() == {f.name for f in fields(kind) if f.init}
    for f in fields(kind):
        if f.init and own[f.name] is not inspect.Parameter.empty:
            assert own[f.name] == f.default


@pytest.mark.parametrize(("transformer", "kind"), [(HOG, HogMap), (ColorHistogram, ColorMap)])
@pytest.mark.parametrize("n_threads", [None, 1, 3])
def test_a_transformer_gives_what_the_map_gives(transformer, kind, n_threads):
    found = transformer(n_threads=n_threads).fit_transform(PICTURES)
    assert_array_equal(found, kind().fit(PICTURES).transform(PICTURES))


def test_patches_draw_by_their_seed():
    one, two = (Patches(patches=10, size=3, random_state=seed).fit_transform(PICTURES) for seed in (0, 1))
    assert_array_equal(one, PatchesMap(patches=10, size=3).fit(PICTURES, seed=0).transform(PICTURES))
    assert not np.array_equal(one, two)


def test_a_pipeline_learns_the_direction_of_a_bar_wherever_it_is():
    X, y = bars(120)
    pipeline = make_pipeline(HOG(scales=1), LinearClassifier(reg=1e-3)).fit(X[:80], y[:80])
    assert pipeline.score(X[80:], y[80:]) == 1.0


def test_maps_join_in_a_union_and_parameters_are_searched():
    X, y = bars(60)
    X = np.repeat(X[..., None], 3, axis=3)
    union = make_union(HOG(scales=1), ColorHistogram())
    search = GridSearchCV(
        make_pipeline(union, LinearClassifier()), {"featureunion__hog__orientations": [4, 6]}, cv=2
    ).fit(X, y)
    assert search.best_score_ > 0.9


def test_clone_and_pickle_and_names():
    fitted = HOG(orientations=4, scales=1).fit(PICTURES)
    fresh = clone(fitted)
    assert fresh.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        fresh.transform(PICTURES)
    assert_array_equal(pickle.loads(pickle.dumps(fitted)).transform(PICTURES[:3]), fitted.transform(PICTURES[:3]))
    names = fitted.get_feature_names_out()
    assert list(names[:2]) == ["hog0", "hog1"]
    assert len(names) == fitted.map_.n_features
    frame = ColorHistogram(grid=1).set_output(transform="pandas").fit_transform(PICTURES)
    assert frame.shape == (600, 50)
    assert frame.columns[49] == "color49"


def test_bad_input_is_refused_in_one_line():
    with pytest.raises(ParameterError, match=r"^hog: the pictures are 4x4, smaller than a block"):
        HOG().fit(PICTURES[:, :4, :4])
    with pytest.raises(ShapeError, match=r"dtype float64; expected .* uint8"):
        HOG().fit(PICTURES / 255.0)
    with pytest.raises(ParameterError, match="n_threads = 0; expected a whole number >= 1"):
        ColorHistogram(n_threads=0).fit(PICTURES)
    with pytest.raises(ShapeError, match="fitted to 16x16x3"):
        ColorHistogram().fit(PICTURES).transform(PICTURES[:, :8])
