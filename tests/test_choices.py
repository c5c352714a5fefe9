"""The table of choices follows the registries, and a loss or penalty that is added at runtime is shown everywhere."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.base import clone

from linprobe import LinearClassifier, LinearClassifierCV
from linprobe.challenges import CHALLENGES
from linprobe.choices import KINDS, choices, table, title_of
from linprobe.classifiers.model import LinearModel
from linprobe.classifiers.model_file import load_model, save
from linprobe.cli import main
from linprobe.cli.train import train
from linprobe.engines.base import ENGINES
from linprobe.errors import IncompatibleError, ParameterError
from linprobe.features.parse import FEATURE_MAPS
from linprobe.features.pixels import PREPROCESS
from linprobe.lab.choices import page_table
from linprobe.lab.problem import ObjectiveRequest, loss_of, penalty_of
from linprobe.lab.protocol import read_request
from linprobe.lab.settings import SettingsRequest, settings_of
from linprobe.lab.sources import Source
from linprobe.losses import LOSSES, make_loss
from linprobe.losses.base import Loss, rounding_slack
from linprobe.optimizers import SCHEDULES, SGD, UPDATES, Exact, GradientDescent
from linprobe.optimizers.registry import OPTIMIZERS
from linprobe.parameters import Parameter
from linprobe.penalties import PENALTIES, make_penalty
from linprobe.penalties.base import Penalty
from linprobe.plain import plain
from linprobe.report.command import command_of
from linprobe.runs.folder import RunFolder
from linprobe.shapes import Floats, Labels, check_labels


@final
@dataclass(frozen=True)
class SquaredError(Loss):
    """Half the squared distance of the scores from the one-hot label: a loss that linprobe does not have."""

    target: float = 1.0
    name: ClassVar[str] = "squared-error"
    title: ClassVar[str] = "squared error of the scores"
    formula: ClassVar[str] = "L_i = Σ_j (s_j − t [j = y])^2 / 2"
    parameter_info: ClassVar[tuple[Parameter, ...]] = (Parameter("target", 1.0, "score asked of the label", low=0.0),)
    smooth: ClassVar[bool] = True

    def value_and_gradient(self, scores: Floats, y: Labels) -> tuple[Floats, Floats]:
        check_labels(y, scores)
        d = scores.copy()
        d[np.arange(len(y)), y] -= self.target
        return np.square(d).sum(axis=1) / 2.0, d

    def curvature(self, n_classes: int) -> float:
        return 1.0

    def conjugate(self, gradient: Floats, y: Labels) -> Floats:
        check_labels(y, gradient)
        assert (rounding_slack(gradient) >= 0.0).all()
        return np.square(gradient).sum(axis=1) / 2.0 + self.target * gradient[np.arange(len(y)), y]


@final
@dataclass(frozen=True)
class Charbonnier(Penalty):
    """sum 2 turning² (sqrt(1 + (W / turning)²) - 1): a penalty that linprobe does not have."""

    turning: float = 1.0
    momentum: int = 2
    name: ClassVar[str] = "charbonnier"
    title: ClassVar[str] = "Charbonnier"
    formula: ClassVar[str] = "R(W) = Σ 2 (√(1 + W^2) − 1)"
    parameter_info: ClassVar[tuple[Parameter, ...]] = (
        Parameter("turning", 1.0, "weight at which it turns linear", low=0.0, open_low=True),
        Parameter("momentum", 2, "a name that an option of SGD has", kind="whole", low=0, high=9),
    )
    smooth: ClassVar[bool] = True

    def value(self, W: Floats) -> float:
        return float(2.0 * self.turning**2 * (np.hypot(1.0, W / self.turning) - 1.0).sum(dtype=np.float64))

    def gradient(self, W: Floats) -> Floats:
        return 2.0 * W / np.hypot(W.dtype.type(1.0), W / W.dtype.type(self.turning))

    def prox(self, V: Floats, step: Floats | float) -> Floats:
        return V

    def conjugate(self, V: Floats, reg: float) -> float:
        return float("inf") if (np.abs(V) > 2.0 * reg * self.turning).any() else 0.0


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two, in the registries: what a line in losses/__init__.py and in penalties/__init__.py does."""
    monkeypatch.setitem(LOSSES, SquaredError.name, SquaredError)
    monkeypatch.setitem(PENALTIES, Charbonnier.name, Charbonnier)


@pytest.mark.parametrize(
    ("kind", "registry"),
    [
        ("loss", LOSSES),
        ("penalty", PENALTIES),
        ("optimizer", OPTIMIZERS),
        ("update", UPDATES),
        ("schedule", SCHEDULES),
        ("preprocess", PREPROCESS),
        ("engine", ENGINES),
        ("features", FEATURE_MAPS),
        ("challenge", [*(one.name for one in CHALLENGES), "intraclass"]),
    ],
)
def test_the_table_lists_the_registry_in_its_order(kind: str, registry: Any) -> None:
    assert list(choices(kind)) == list(registry)


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ParameterError, match="kind = 'colour'; expected one of loss, penalty"):
        choices("colour")


def test_what_linprobe_has_says_its_title_and_what_it_computes() -> None:
    for kind in ("loss", "penalty", "optimizer", "update", "schedule", "preprocess", "features", "challenge"):
        for one in choices(kind).values():
            assert one.title, one
            assert one.formula or one.meaning, one


def test_the_declared_parameters_are_those_of_the_constructors() -> None:
    for registry in (LOSSES, PENALTIES, {"exact": Exact, "sgd": SGD, "gd": GradientDescent}):
        for name, kind in registry.items():
            taken = {} if kind is None else inspect.signature(kind).parameters
            for parameter in getattr(OPTIMIZERS.get(name, kind), "parameter_info", ()):
                assert taken[parameter.name].default == parameter.default, (name, parameter.name)
    for loss in LOSSES:
        assert make_loss(loss).parameters.keys() == inspect.signature(LOSSES[loss]).parameters.keys()
    for penalty in PENALTIES:
        made = make_penalty(penalty)
        assert made is None or made.parameters.keys() == inspect.signature(type(made)).parameters.keys()


def test_the_parameters_of_the_optimizers_are_those_of_the_classifier_and_of_the_command_line() -> None:
    of_model = inspect.signature(LinearModel).parameters
    options = {option.name: option for option in train.params}
    for one in choices("optimizer").values():
        for parameter in one.parameters:
            assert of_model[parameter.name].default == parameter.default
            kind = options[parameter.name].type
            assert getattr(kind, "min", parameter.low) == parameter.low or parameter.name == "learning_rate"


def test_the_title_of_an_unregistered_name_is_the_name() -> None:
    assert title_of("loss", "of-another-machine") == "of-another-machine"


def test_the_table_is_json() -> None:
    assert json.loads(json.dumps(plain(table()), allow_nan=False)).keys() == KINDS.keys()


def test_an_added_loss_and_penalty_are_shown_by_the_command_line(added: None) -> None:
    for command in ("train", "sweep", "gradcheck"):
        text = " ".join(CliRunner().invoke(main, [command, "--help"]).output.split())
        assert "squared-error = sum_j (s_j - t [j = y])^2 / 2" in text, command
        assert "charbonnier = sum 2 (sqrt (1 + W^2) - 1)" in text, command


def test_an_added_loss_and_penalty_are_in_what_the_page_gets(added: None) -> None:
    page = plain(page_table())
    assert page["loss"][-1] == {
        "name": "squared-error",
        "title": "squared error of the scores",
        "formula": "L_i = Σ_j (s_j − t [j = y])^2 / 2",
        "meaning": "",
        "parameters": [plain(Parameter("target", 1.0, "score asked of the label", low=0.0))],
    }
    assert page["penalty"][-1]["title"] == "Charbonnier"


def test_an_added_loss_and_penalty_are_accepted_from_the_page(added: None, tmp_path: Path) -> None:
    objective = {
        "loss": "squared-error",
        "loss_options": {"target": 2.0},
        "penalty_options": {"turning": 0.5, "momentum": 3},
        "penalty": "charbonnier",
        "reg": 0.01,
        "beta": 1.0,
        "delta": 1.0,
    }
    asked = {
        **objective,
        "optimizer": "gd",
        "tol": 1e-4,
        "max_iter": 10,
        "preprocess": "auto",
        "features": "pixels",
        "validation": 0.0,
        "seed": 0,
    }
    read = read_request(ObjectiveRequest, objective)
    assert loss_of(read) == SquaredError(target=2.0)
    assert penalty_of(read) == Charbonnier(turning=0.5, momentum=3)
    settings = settings_of(Source("digits", "digits", "built-in", "digits"), read_request(SettingsRequest, asked))
    assert settings.classifier["loss"] == "squared-error"
    assert settings.classifier["penalty"] == "charbonnier"
    assert settings.classifier["loss_options"] == {"target": 2.0}
    assert settings.classifier["penalty_options"] == {"turning": 0.5, "momentum": 3}
    for options in ({"target": -1.0}, {"target": "2"}, {"turning": 1.0}, {"target": True}):
        with pytest.raises(ParameterError):
            read_request(SettingsRequest, {**asked, "loss_options": options})


def test_an_added_loss_and_penalty_are_trained_with_and_reported(added: None, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["train", "digits", "--loss", "squared-error", "--penalty", "charbonnier", "--out", str(run), "--quiet"]
    ended = CliRunner().invoke(main, [*words, "--optimizer", "sgd", "--epochs", "2", "--no-report", "--json"])
    assert ended.exit_code == 0, ended.output
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["loss"], metrics["penalty"]) == ("squared-error", "charbonnier")
    made = CliRunner().invoke(main, ["report", str(run)])
    assert made.exit_code == 0, made.output
    page = (run / "report.html").read_text()
    assert "the squared error of the scores loss with the Charbonnier penalty of weight reg = 0.001" in page
    again = command_of(RunFolder.open(run).settings())
    assert again is not None
    assert again[again.index("--loss") + 1] == "squared-error"
    assert again[again.index("--penalty") + 1] == "charbonnier"


def test_the_parameters_of_an_added_loss_and_penalty_are_options_of_the_command_line(added: None) -> None:
    for command in ("train", "sweep", "gradcheck"):
        text = " ".join(CliRunner().invoke(main, [command, "--help"]).output.split())
        assert "--target, --loss-target F Of squared-error: score asked of the label. [default: 1.0]" in text
        assert "--turning, --penalty-turning F Of charbonnier: weight at which it turns linear. [default: 1.0]" in text
    # `train` has a --momentum of SGD, and keeps it
    text = CliRunner().invoke(main, ["train", "--help"]).output
    assert "--penalty-momentum" in text
    assert "--momentum, --penalty-momentum" not in text


def test_the_parameters_of_an_added_loss_and_penalty_reach_run_report_and_command(added: None, tmp_path: Path) -> None:
    run, again = tmp_path / "run", tmp_path / "again"
    words = ["train", "digits", "--loss", "squared-error", "--penalty", "charbonnier", "--optimizer", "sgd"]
    words += ["--epochs", "1", "--target", "2.5", "--turning", "0.5", "--penalty-momentum", "3", "--quiet"]
    ended = CliRunner().invoke(main, [*words, "--out", str(run)])
    assert ended.exit_code == 0, ended.output
    settings = RunFolder.open(run).settings()
    assert settings.request.classifier["loss_options"] == {"target": 2.5}
    assert settings.request.classifier["penalty_options"] == {"turning": 0.5, "momentum": 3}
    model = load_model(run)
    assert (model.loss_, model.penalty_) == (SquaredError(target=2.5), Charbonnier(turning=0.5, momentum=3))
    page = " ".join((run / "report.html").read_text().split())
    for name, value in (("target", "2.5"), ("turning", "0.5"), ("penalty momentum", "3"), ("momentum", "0.9")):
        assert re.search(rf"<t[hd][^>]*>{name}</t[hd]> ?<t[hd][^>]*>{value}</t", page), name
    command = command_of(settings)
    assert command is not None
    assert CliRunner().invoke(main, [*command[1:], "--out", str(again), "--quiet", "--no-report"]).exit_code == 0
    assert (again / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    for changed, ok in ((["--target", "2.5"], True), (["--target", "2"], False)):
        ended = CliRunner().invoke(main, ["train", "--resume", str(run), *changed])
        assert ("cannot be given to a run that is resumed" in ended.output) != ok, ended.output


def test_a_parameter_of_another_loss_or_out_of_range_is_refused_before_anything_is_read(added: None) -> None:
    for words, said in (
        (
            ["--target", "2"],
            "--target only applies to --loss squared-error (got softmax); choose that, or leave --target",
        ),
        (["--loss", "squared-error", "--target", "-1"], "Invalid value for '--target'"),
        (["--penalty", "charbonnier", "--penalty-momentum", "2.5"], "'2.5' is not a valid integer range"),
    ):
        for command in ("train", "sweep"):
            ended = CliRunner().invoke(main, [command, "digits", *words])
            assert ended.exit_code != 0
            assert said in f"{ended.output}{ended.exception}", (command, words)


@pytest.mark.parametrize("kind", [LinearClassifier, LinearClassifierCV])
def test_the_classifiers_take_the_parameters_of_a_loss_and_penalty_by_name(added: None, kind: Any) -> None:
    options = {"loss": "squared-error", "loss_options": {"target": 2.0}}
    X, y = np.random.default_rng(0).normal(size=(30, 3)), np.arange(30) % 2
    refused: dict[str, dict[str, Any]] = {
        "penalty_options holds beta; give it as beta=2.0": {"penalty_options": {"beta": 2.0}},
        "the penalty 'l2' has no parameter 'turning'": {"penalty_options": {"turning": 1.0}},
        "loss_options = 3; expected a dict": {"loss_options": 3},
        "target = 'big'; expected a number": {"loss_options": {"target": "big"}},
        "target = -1": {"loss_options": {"target": -1}},
        "set them in the loss itself": {"loss": SquaredError()},
    }
    for message, changed in refused.items():
        with pytest.raises(ParameterError, match=message):
            kind(**{**options, **changed}).fit(X, y)
    assert clone(kind(**options)).get_params()["loss_options"] == {"target": 2.0}


def test_a_model_file_holds_the_parameters_of_an_added_loss(added: None, tmp_path: Path) -> None:
    X, y = np.random.default_rng(0).normal(size=(30, 3)), np.arange(30) % 2
    given: dict[str, Any]
    for given in ({"loss": SquaredError(target=2.0)}, {"loss": "squared-error", "loss_options": {"target": 2.0}}):
        model = LinearClassifier(**given, optimizer="sgd", epochs=1, random_state=0).fit(X, y)
        save(model, tmp_path / "model.safetensors")
        read = load_model(tmp_path / "model.safetensors")
        assert read.loss_ == SquaredError(target=2.0)
        np.testing.assert_array_equal(read.coef_, model.coef_)
    plain = LinearClassifier(loss="hinge", optimizer="sgd", epochs=1, random_state=0).fit(X, y)
    save(plain, tmp_path / "plain.safetensors")
    assert b"penalty_options" not in (tmp_path / "plain.safetensors").read_bytes()


def test_a_parameter_that_is_not_declared_is_not_lost_in_a_model_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(SquaredError, "parameter_info", ())
    monkeypatch.setitem(LOSSES, SquaredError.name, SquaredError)
    X, y = np.random.default_rng(0).normal(size=(30, 3)), np.arange(30) % 2
    model = LinearClassifier(loss=SquaredError(target=2.0), optimizer="sgd", epochs=1).fit(X, y)
    with pytest.raises(IncompatibleError, match="parameter_info does not declare"):
        save(model, tmp_path / "model.safetensors")


def test_an_added_loss_of_a_refused_range_is_refused_by_its_own_words(added: None) -> None:
    with pytest.raises(ParameterError, match="target = -1"):
        SquaredError.parameter_info[0].check(-1.0)
