"""A parameter that the chosen loss, penalty, optimizer or update does not take is refused, wherever it comes from."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from linprobe import LinearClassifier, load_model
from linprobe.classifiers.linear_cv import LinearClassifierCV
from linprobe.classifiers.unused import REGISTRIES, named_parameters, unused, unused_of
from linprobe.errors import ParameterError
from linprobe.losses import MulticlassHinge
from linprobe.runs.records import TrainSettings
from linprobe.runs.train import resume, train

X = np.random.default_rng(0).normal(size=(30, 3))
Y = np.arange(30) % 3

OTHER: dict[str, Any] = {
    "delta": 2.0, "beta": 2.0, "reg": 0.5, "tol": 1e-2, "max_iter": 3, "batch_size": 4, "epochs": 2,
    "learning_rate": 0.5, "schedule": "step", "update": "adam", "momentum": 0.5, "dropout": 0.5, "average": True,
    "patience": 2,
}  # fmt: skip
"""A value that is not the default for every parameter of a loss, penalty, optimizer or update."""


def refusals() -> list[tuple[str, str, str]]:
    """(kind, choice, parameter) of what only other choices of the kind take."""
    return [
        (kind, choice, parameter)
        for kind, registry in REGISTRIES.items()
        for choice in registry
        for parameter in sorted(named_parameters(kind))
        if unused_of(kind, choice, [parameter]) and parameter != "dropout"
    ]


def test_every_parameter_of_a_choice_has_a_value_here() -> None:
    named = set().union(*map(named_parameters, REGISTRIES))
    assert named == OTHER.keys()
    defaults = inspect.signature(LinearClassifier).parameters
    assert all(defaults[name].default != value for name, value in OTHER.items())
    assert {("optimizer", "sgd", "tol"), ("update", "plain", "momentum"), ("penalty", "none", "reg")} <= {*refusals()}


@pytest.mark.parametrize(("kind", "choice", "parameter"), refusals())
def test_the_classifier_warns_of_what_its_choices_do_not_take(kind: str, choice: str, parameter: str) -> None:
    chosen = {kind: choice, "random_state": 0, **({"optimizer": "sgd"} if kind == "update" else {})}
    classifier = LinearClassifier(**{**chosen, parameter: OTHER[parameter]})
    with pytest.warns(
        UserWarning, match=rf"^{parameter} = .* does nothing with {kind}='{choice}'; it only applies to {kind}="
    ):
        warned = classifier.fit(X, Y)
    plain = LinearClassifier(**chosen, max_iter=1000).fit(X, Y)  # a default may be given
    assert np.array_equal(warned.coef_, plain.coef_)


def test_a_search_over_optimizers_may_set_the_parameters_of_one() -> None:
    grid = {"optimizer": ["sgd", "exact"], "epochs": [3]}
    with pytest.warns(UserWarning, match="epochs = 3 does nothing with optimizer='exact'"):
        found = GridSearchCV(LinearClassifier(random_state=0), grid, cv=2, error_score="raise").fit(X, Y)
    assert found.best_params_["epochs"] == 3


def test_what_is_taken_is_not_refused() -> None:
    taken = {"loss": "hinge", "penalty": "elastic-net", "optimizer": "sgd", "update": "nesterov"}
    assert unused(OTHER.keys() - {"tol", "max_iter"}, taken) is None
    assert unused(["momentum"], {"loss": "softmax", "optimizer": "exact", "update": "adam"}) is not None
    assert unused(["delta"], {"loss": MulticlassHinge()}) is None


def test_a_loss_that_holds_its_own_parameters_takes_none_by_name() -> None:
    with pytest.raises(ParameterError, match=r"^delta = 3.0 is of a loss given by name; set it in the loss itself"):
        LinearClassifier(MulticlassHinge(delta=2.0), delta=3.0).fit(X, Y)


def test_a_sweep_warns_of_it_too() -> None:
    with pytest.warns(UserWarning, match="delta = 2"):
        LinearClassifierCV("0.1,1", folds=2, delta=2.0).fit(X, Y)


def test_a_run_may_hold_one_as_those_of_earlier_versions_do(tmp_path: Path) -> None:
    def stop(epoch: Any) -> None:
        if epoch.epoch == 1:
            raise KeyboardInterrupt

    settings = TrainSettings("digits", {"optimizer": "sgd", "epochs": 3, "tol": 0.5})
    with pytest.raises(KeyboardInterrupt):
        train(settings, out=tmp_path / "run", training=stop)
    resume(tmp_path / "run")
    assert load_model(tmp_path / "run").tol == 0.5


def test_a_reg_of_0_says_the_same_as_no_penalty() -> None:
    assert LinearClassifier(penalty="none", reg=0.0, tol=1e-2).fit(X, Y).classes_.tolist() == [0, 1, 2]
    with pytest.warns(UserWarning, match=r"reg = 0\.5 does nothing with penalty='none'"):
        LinearClassifier(penalty="none", reg=0.5, tol=1e-2).fit(X, Y)


@pytest.mark.parametrize("optimizer", ["exact", "gd"])
def test_dropout_is_refused_where_it_cannot_be_had(optimizer: str) -> None:
    with pytest.raises(ParameterError, match="has no closed form"):
        LinearClassifier(optimizer=optimizer, dropout=0.5).fit(X, Y)
