"""Where nothing can be proved, a sentence names the property of the data and a next step that works."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from linprobe import LinearClassifier
from linprobe.errors import IncompatibleError
from linprobe.objective import Objective
from linprobe.optimizers import Exact, Status
from linprobe.optimizers.obstacles import OBSTACLE, obstacle


def made(shift=0.0, scale=1.0, **options):
    random = np.random.default_rng(0)
    y = np.arange(60) % 3
    X = shift + scale * (random.standard_normal((60, 4)) + random.standard_normal((3, 4))[y])
    return Objective(X, y, **({"loss": "softmax", "penalty": "l2", "reg": 1e-2, "engine": "reference"} | options))


def test_features_far_from_0_are_named_and_can_be_moved():
    objective = made(shift=1e15)
    solution = Exact().minimize(objective)
    assert solution.status is Status.STALLED
    assert "times its spread from 0" in solution.chosen[OBSTACLE]
    X = objective.examples.X
    moved = Objective(X - X[0], objective.examples.y, loss="softmax", penalty="l2", reg=1e-2, engine="reference")
    assert Exact().minimize(moved).status is Status.CERTIFIED


@pytest.mark.parametrize(
    ("options", "named", "advice"),
    [
        ({"shift": np.array([0.0, 0.0, 1e12, 0.0])}, "feature 2 (counted from 0)", "subtract one of the rows"),
        ({"scale": np.array([1e-6, 1.0, 1.0, 1e6])}, "scales of the features", "preprocess='standardize'"),
        ({"scale": 1e11}, "features spread over", "preprocess='standardize'"),
        ({"sample_weight": np.where(np.arange(60) < 3, 1e-15, 1.0)}, "sample weights", "leave out"),
        ({"reg": 1e-9}, "reg=1e-09", "increase reg"),
        ({"penalty": None, "reg": 0.0}, "no step decreased", "penalty='l2'"),
        ({"scale": 0.0}, "reg=0.01", "increase reg"),
    ],
)
def test_the_property_of_the_data_is_named_with_a_next_step(options, named, advice):
    found = obstacle(made(**options))
    assert named in found
    assert advice in found


@pytest.mark.parametrize("loss", ["softmax", "hinge", "squared-hinge"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_features_are_certified_or_told_to_be_standardised(loss, dtype):
    # a warning of NumPy fails the run
    objective = made()
    for size in (1e5, 1e11, 1e17, 1e20, 1e30):
        X, y = (objective.examples.X * size).astype(dtype), objective.examples.y
        classifier = LinearClassifier(loss=loss, reg=1e-2)
        if size < 1e11:
            assert classifier.fit(X, y).status_ is Status.CERTIFIED
        elif size > 1e18 and loss != "hinge":
            with pytest.raises(IncompatibleError, match="preprocess='standardize'"):
                classifier.fit(X, y)
        else:
            with pytest.warns(ConvergenceWarning, match="preprocess='standardize'"):
                classifier.fit(X, y)
        standardised = LinearClassifier(loss=loss, reg=1e-2, preprocess="standardize").fit(X, y)
        assert standardised.status_ is Status.CERTIFIED
