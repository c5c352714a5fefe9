"""The learned features: the network against a plain twin, its training, what is refused, and models that hold it."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits

from linprobe import LinearClassifier, load_model
from linprobe.errors import IncompatibleError, LinprobeError, ParameterError, ShapeError
from linprobe.features import Net, feature_map
from linprobe.features.base import Supervision
from linprobe.features.net import NetMap
from linprobe.features.net_shape import Shape

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from linprobe.features import net_layers, net_training  # noqa: E402

RANDOM = np.random.default_rng(0)
DIGITS = load_digits()
PICTURES = (DIGITS.images * 15.9).astype(np.uint8)[..., None]
LABELS = DIGITS.target.astype(np.int64)


class Memory:
    """A place for the arrays of a training; the write `fails_at` raises KeyboardInterrupt after it has kept them."""

    def __init__(self, fails_at: int = 0) -> None:
        self.kept: dict[str, Any] | None = None
        self.n_writes, self.fails_at = 0, fails_at

    def read(self) -> dict[str, Any] | None:
        return self.kept

    def write(self, tensors: Mapping[str, Any]) -> None:
        self.kept = {name: tensor.copy() for name, tensor in tensors.items()}
        self.n_writes += 1
        if self.n_writes == self.fails_at:
            raise KeyboardInterrupt


def supervision(n: int = 300, n_validation: int = 100, **others: Any) -> Supervision:
    held_out = slice(n, n + n_validation)
    validation = (PICTURES[held_out], LABELS[held_out]) if n_validation else None
    return Supervision(LABELS[:n], 10, validation, n_threads=1, **others)


def fitted(n: int = 300, seed: int = 0, given: Supervision | None = None, **options: Any) -> NetMap:
    options = {"width": 4, "epochs": 2} | options
    made = NetMap(**options).fit(PICTURES[:n], seed, given or supervision(n))
    assert isinstance(made, NetMap)
    return made


# -- the layers, against a plain twin


def conv(x: np.ndarray, weight: np.ndarray, pad: int) -> np.ndarray:
    """(N, O, H', W') of x (N, C, H, W), place by place."""
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    side = weight.shape[2]
    windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), (2, 3))
    return np.einsum("nchwij,ocij->nohw", windows, weight)


def gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0)))


def pooled(x: np.ndarray, pooling: str) -> np.ndarray:
    h, w = x.shape[2] // 2, x.shape[3] // 2
    cells = x[:, :, : 2 * h, : 2 * w].reshape(*x.shape[:2], h, 2, w, 2)
    return cells.max((3, 5)) if pooling == "max" else cells.mean((3, 5))


def twin(weights: Mapping[str, np.ndarray], stem: np.ndarray, x: np.ndarray, shape: Shape) -> np.ndarray:
    """The features in float64, from weights with running statistics."""

    def normed(name: str, x: np.ndarray) -> np.ndarray:
        if shape.batch_norm:
            scale = 1.0 / np.sqrt(weights[f"{name}.variance"] + net_layers.NORM_FLOOR)
            x = (x - weights[f"{name}.mean"][:, None, None]) * scale[:, None, None]
        return x + weights[f"{name}.bias"][:, None, None]

    x = gelu(conv(x, stem, 0))
    for stage in range(len(shape.widths)):
        name = f"{stage}.0"
        x = gelu(normed(name, pooled(conv(x, weights[f"{name}.weight"], 1), shape.pooling)))
        for branch in range(shape.depth):
            name = f"{stage}.{branch + 1}"
            x = x + gelu(normed(name, conv(x, weights[f"{name}.weight"], 1)))
    return x.mean((2, 3)) if shape.pooling == "average" else x.max((2, 3))


def random_weights(shape: Shape) -> dict[str, np.ndarray]:
    made = net_layers.initial_weights(shape, 3, torch.Generator().manual_seed(0))
    found = {name: RANDOM.normal(size=tuple(part.shape)) * 0.4 for name, part in made.items()}
    return {name: np.exp(part) if name.endswith("variance") else part for name, part in found.items()}


SHAPES = [
    (Shape(1, (3, 5), 1, "max", True), (9, 7)),
    (Shape(3, (4,), 0, "average", True), (4, 5)),
    (Shape(3, (2, 3, 3), 2, "max", False), (17, 16)),
    (Shape(2, (3, 4), 1, "average", False), (8, 8)),
]


@pytest.mark.parametrize(("shape", "sides"), SHAPES)
def test_the_features_are_those_of_a_plain_twin(shape: Shape, sides: tuple[int, int]) -> None:
    weights = random_weights(shape)
    stem = RANDOM.normal(size=(8 * shape.channels, shape.channels, 2, 2))
    x = RANDOM.normal(size=(3, shape.channels, *sides))
    expected = twin(weights, stem, x, shape)
    tensors = {name: torch.from_numpy(part) for name, part in weights.items()}
    found = net_layers.features_of(tensors, torch.from_numpy(stem), torch.from_numpy(x), shape)
    assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5)
    flat = net_layers.features_of(net_layers.folded(tensors, shape), torch.from_numpy(stem), torch.from_numpy(x), shape)
    assert_allclose(flat.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_folded_weights_hold_no_statistics() -> None:
    shape = Shape(1, (3, 5), 1, "max", True)
    tensors = {name: torch.from_numpy(part) for name, part in random_weights(shape).items()}
    assert {name.rpartition(".")[2] for name in net_layers.folded(tensors, shape)} == {"weight", "bias"}


@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_gradient_is_that_of_central_differences(batch_norm: bool) -> None:
    shape = Shape(1, (3, 4), 1, "average", batch_norm)
    weights = {name: torch.from_numpy(part) for name, part in random_weights(shape).items()}
    stem, x = torch.from_numpy(RANDOM.normal(size=(8, 1, 2, 2))), torch.from_numpy(RANDOM.normal(size=(4, 1, 8, 8)))
    towards = torch.from_numpy(RANDOM.normal(size=(4, 4)))

    def value(weights: dict[str, Any]) -> Any:  # in training: the statistics of the batch depend on the weights
        copies = {n: p.clone() if n.endswith(("mean", "variance")) else p for n, p in weights.items()}
        return (net_layers.features_of(copies, stem, x, shape, 0.5).double() * towards).sum()

    for name in ("0.0.weight", "0.1.bias", "1.1.weight"):
        part = weights[name].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(value(weights | {name: part}), part)
        at = tuple(int(RANDOM.integers(n)) for n in part.shape)
        step = torch.zeros_like(part.detach())
        step[at] = 1e-3  # the features leave the network as float32
        moved = [float(value(weights | {name: part.detach() + sign * step})) for sign in (1, -1)]
        assert_allclose(float(gradient[at]), (moved[0] - moved[1]) / 2e-3, rtol=1e-2, atol=1e-3)


def test_the_stem_whitens_patches() -> None:
    patches = (RANDOM.normal(size=(500, 12)) @ RANDOM.normal(size=(12, 12))).astype(np.float32)
    stem = net_layers.stem_of(patches)
    assert stem.shape == (24, 12)
    assert_array_equal(stem[12:], -stem[:12])
    assert_allclose(
        np.cov(patches @ stem[:12].T, rowvar=False, bias=True), np.eye(12), atol=0.1
    )  # the floor keeps the smallest below 1


def test_initial_convolutions_pass_on_the_channels_that_they_can() -> None:
    shape = Shape(1, (3, 5), 0, "max", True)
    weights = net_layers.initial_weights(shape, 2, torch.Generator().manual_seed(0))
    x = torch.from_numpy(RANDOM.normal(size=(1, 3, 6, 6)).astype(np.float32))
    assert_allclose(torch.nn.functional.conv2d(x, weights["1.0.weight"], padding=1)[:, :3].numpy(), x.numpy())


def test_fractional_pooling_draws_in_training_only() -> None:
    shape = Shape(1, (3, 4), 0, "fractional", True)
    weights = {name: torch.from_numpy(part).float() for name, part in random_weights(shape).items()}
    stem = torch.from_numpy(RANDOM.normal(size=(8, 1, 2, 2)).astype(np.float32))
    x = torch.from_numpy(RANDOM.normal(size=(2, 1, 16, 16)).astype(np.float32))
    once, again = (net_layers.features_of(weights, stem, x, shape).numpy() for _ in range(2))
    assert_array_equal(once, again)
    torch.manual_seed(0)
    drawn = [net_layers.features_of(dict(weights), stem, x, shape, 0.0).numpy() for _ in range(2)]
    assert not np.array_equal(*drawn)


def trained_and_predicted(shape: Shape, side: int) -> tuple[np.ndarray, np.ndarray]:
    """(20,000, D) the features of one picture in training, each with its own draws; and (D,) those of prediction."""
    weights = {name: torch.from_numpy(part).float() for name, part in random_weights(shape).items()}
    stem = torch.from_numpy(RANDOM.normal(size=(8, 1, 2, 2)).astype(np.float32))
    x = torch.from_numpy(RANDOM.normal(size=(1, 1, side, side)).astype(np.float32)).expand(20_000, -1, -1, -1)
    torch.manual_seed(0)
    found = net_layers.features_of(weights, stem, x, shape, 0.0).numpy()
    return found, net_layers.features_of(weights, stem, x[:1], shape).numpy()[0]


def test_a_later_branch_is_left_out_more_often_and_the_mean_stays() -> None:
    shape = Shape(1, (3, 3), 2, "max", False, stochastic_depth=0.4)
    stays = [shape.survival(stage, branch) for stage in range(2) for branch in range(2)]
    assert_allclose(stays, [0.9, 0.8, 0.7, 0.6])
    one = Shape(1, (3,), 1, "average", False, stochastic_depth=0.4)
    found, expected = trained_and_predicted(one, side=8)
    assert len(np.unique(found[:, 0])) == 2  # with the branch, and without it
    assert_allclose(found.mean(0), expected, atol=0.03 * np.abs(found).max())


def test_dropout_leaves_out_features_and_keeps_their_mean() -> None:
    shape = Shape(1, (4,), 0, "max", False, dropout=0.25)
    found, expected = trained_and_predicted(shape, side=6)
    assert_allclose((found == 0).mean(0), 0.25, atol=0.02)
    assert_allclose(found.mean(0), expected, atol=0.03 * np.abs(found).max())


# -- the training


def test_a_step_is_one_of_pytorchs_sgd() -> None:
    shape = Shape(1, (3, 4), 1, "max", True)
    images, y = PICTURES[:24], LABELS[:24]
    training = net_training.Training(
        shape, RANDOM.normal(size=(8, 1, 2, 2)).astype(np.float32), np.full(1, 80, np.float32),
        np.full(1, 90, np.float32), False, 1, None, 5, 0,
    )  # fmt: skip
    loop = net_training._Loop(images, Supervision(y, 10), training)
    loop.bfloat = False
    weights = net_layers.initial_weights(shape, 10, torch.Generator().manual_seed(0))
    theirs = {name: part.clone() for name, part in weights.items()}
    state = net_training.Trained.begun(weights, 1)
    groups = []
    for name, part in theirs.items():
        if name.endswith(("weight", "bias")):
            own = net_training.BIAS_RATE if name.endswith("bias") else 1
            groups.append({"params": [part.requires_grad_()], "weight_decay": net_training.DECAY / own, "own": own})
    sgd = torch.optim.SGD(groups, lr=1.0, momentum=net_training.MOMENTUM, nesterov=True)
    for at in range(3):
        rows = np.arange(8 * at, 8 * at + 8)
        x = loop._batch(rows, 0, np.random.default_rng(at))
        loop.step(state, rows, 0, np.random.default_rng(at), at, 100)
        values = net_layers.features_of(theirs, loop.stem, x, shape, 1.0 - 0.6 ** (8 / 1024))
        scores = torch.nn.functional.linear(values, theirs["last.weight"]) / 9.0
        loss = torch.nn.functional.cross_entropy(scores, torch.from_numpy(y[rows]), label_smoothing=0.2)
        sgd.zero_grad()
        loss.backward()
        for group in sgd.param_groups:
            group["lr"] = net_training.RATE * 8 * net_training._part_of_peak(at / 100) * group["own"]
        sgd.step()
    for name, part in theirs.items():
        assert_allclose(state.weights[name].numpy(), part.detach().numpy(), rtol=1e-4, atol=1e-6, err_msg=name)


def test_the_rate_rises_to_its_peak_and_falls() -> None:
    assert net_training._part_of_peak(0.0) == net_training.BEGIN
    assert_allclose(net_training._part_of_peak(net_training.PEAK), 1.0)
    assert_allclose(net_training._part_of_peak(1.0), net_training.END)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    once, again, other = fitted(), fitted(), fitted(seed=1)
    for name, tensor in once.tensors().items():
        assert_array_equal(tensor, again.tensors()[name])
    assert not np.array_equal(once.weights["0.0.weight"], other.weights["0.0.weight"])


def test_the_generators_and_threads_of_pytorch_are_as_before() -> None:
    torch.manual_seed(3)
    threads, expected = torch.get_num_threads(), torch.rand(4)
    torch.manual_seed(3)
    fitted(epochs=1, dropout=0.2).transform(PICTURES[:4])
    assert torch.get_num_threads() == threads
    assert_array_equal(torch.rand(4).numpy(), expected.numpy())


@pytest.mark.parametrize("options", [{}, {"dropout": 0.3, "stochastic_depth": 0.3, "pooling": "fractional"}])
def test_a_training_that_is_stopped_goes_on_to_the_same_bits(options: dict[str, Any]) -> None:
    whole = fitted(epochs=3, **options)
    memory = Memory(fails_at=1)
    with pytest.raises(KeyboardInterrupt):
        fitted(epochs=3, given=supervision(store=lambda _: memory), **options)
    said: list[str] = []
    given = supervision(store=lambda _: memory, progress=lambda what, done, total: said.append(what))
    resumed = fitted(epochs=3, given=given, **options)
    assert said[0].startswith("training the network: epoch 2 of 3")
    for name, tensor in whole.tensors().items():
        assert_array_equal(tensor, resumed.tensors()[name], err_msg=name)
    n_writes = memory.n_writes
    again = fitted(epochs=3, given=given, **options)  # it is whole: nothing is trained
    assert memory.n_writes == n_writes
    assert_array_equal(again.weights["0.0.weight"], whole.weights["0.0.weight"])


@pytest.mark.parametrize("damage", ["lacks", "other shape", "other dtype", "past the end"])
def test_a_damaged_unfinished_training_begins_anew(damage: str) -> None:
    memory = Memory(fails_at=1)
    with pytest.raises(KeyboardInterrupt):
        fitted(given=supervision(store=lambda _: memory))
    assert memory.kept is not None
    name = "slow.0.0.weight"
    match damage:
        case "lacks":
            del memory.kept[name]
        case "other shape":
            memory.kept[name] = memory.kept[name][:-1]
        case "other dtype":
            memory.kept[name] = memory.kept[name].astype(np.float64)
        case _:
            memory.kept["epochs"] = np.array([3, 2], np.int64)
    memory.fails_at = 0
    found = fitted(given=supervision(store=lambda _: memory))
    assert_array_equal(found.weights["0.0.weight"], fitted().weights["0.0.weight"])


def test_the_description_tells_trainings_apart() -> None:
    said: list[str] = []

    def store(description: str) -> Memory:
        said.append(description)
        return Memory()

    for seed, options in ((0, {}), (1, {}), (0, {"dropout": 0.1}), (0, {"mirror": True})):
        fitted(seed=seed, given=supervision(store=store), epochs=1, **options)
    assert len(set(said)) == 4


def test_the_features_tell_the_digits_apart() -> None:
    features = NetMap(width=16, epochs=8).fit(PICTURES[:1000], 0, supervision(1000, 200))
    found = LinearClassifier(reg=1e-3).fit(features.transform(PICTURES[:1000]), LABELS[:1000])
    assert found.score(features.transform(PICTURES[1200:]), LABELS[1200:]) > 0.93  # 0.91 from the pixels
    assert features.history.shape == (8, 3)
    assert features.history[-1, 2] > 0.95


def test_the_training_ends_when_the_validation_loss_no_longer_falls() -> None:
    y = RANDOM.integers(0, 10, 200)  # labels that cannot be learnt: the validation loss rises
    given = Supervision(y[:100], 10, (PICTURES[100:200], y[100:]), n_threads=1)
    found = NetMap(width=4, epochs=60, patience=2).fit(PICTURES[:100], 0, given)
    losses = found.history[:, 1]
    assert len(losses) < 60
    assert losses[-2:].min() > losses[:-2].min()


def test_without_validation_pictures_the_last_weights_are_taken() -> None:
    found = fitted(given=supervision(n_validation=0))
    assert np.isnan(found.history[:, 1:]).all()
    assert np.isfinite(found.transform(PICTURES[:3])).all()


def test_minutes_decide_the_epochs() -> None:
    found = fitted(epochs=None, minutes=1e-6)
    assert len(found.history) == 1
    longer = fitted(n=40, given=supervision(40, 10), epochs=None, minutes=0.02)
    assert len(longer.history) > 1


@pytest.mark.parametrize("images", [PICTURES[:40], RANDOM.integers(0, 256, (40, 5, 4, 3), dtype=np.uint8)])
@pytest.mark.parametrize("mirror", [False, True])
def test_a_picture_and_its_mirror_image_have_the_same_features_only_with_flips(images: Any, mirror: bool) -> None:
    found = NetMap(width=2, epochs=1, mirror=mirror).fit(images, 0, Supervision(LABELS[:40], 10))
    same = np.allclose(found.transform(images), found.transform(images[:, :, ::-1]), atol=1e-5)
    assert same == mirror


def test_rows_do_not_depend_on_the_pictures_beside_them() -> None:
    found = fitted()
    assert_allclose(found.transform(PICTURES[:1])[0], found.transform(PICTURES[:300])[0], rtol=1e-5, atol=1e-6)


def test_a_network_without_batch_normalization_learns() -> None:
    features = NetMap(width=16, epochs=8, batch_norm=False).fit(PICTURES[:1000], 0, supervision(1000, 200))
    assert features.history[-1, 2] > 0.8


def test_joined_and_halved_networks_learn_from_labels_too() -> None:
    made = feature_map("net/2+hog", net_width=2, net_epochs=1)
    assert made.supervised
    pictures = np.repeat(np.repeat(PICTURES[:40], 2, 1), 2, 2)
    made.fit(pictures, 0, Supervision(LABELS[:40], 10, (pictures[:8], LABELS[:8])))
    assert made.transform(pictures[:3]).shape == (3, made.n_features)


def test_the_transformer_takes_labels_of_any_kind() -> None:
    names = np.array([f"digit {label}" for label in LABELS[:60]])
    made = Net(width=2, epochs=1, n_threads=1).fit(PICTURES[:60], names)
    expected = NetMap(width=2, epochs=1).fit(PICTURES[:60], 0, Supervision(LABELS[:60], 10, n_threads=1))
    assert_array_equal(made.transform(PICTURES[:5]), expected.transform(PICTURES[:5]))
    assert set(Net().get_params()) - {"random_state", "n_threads"} == {f.name for f in fields(NetMap) if f.init}
    with pytest.raises(ShapeError, match="y is missing"):
        Net().fit(PICTURES[:4])
    with pytest.raises(ShapeError, match="y holds 1 class"):
        Net().fit(PICTURES[:4], np.zeros(4))


def test_large_pictures_are_computed_in_smaller_parts() -> None:
    at_once = net_training._block_size
    assert at_once(np.empty((9, 32, 32, 3), np.uint8), 256, net_training.PIXELS) == 256
    assert at_once(np.empty((9, 224, 224, 3), np.uint8), 256, net_training.PIXELS) == 83
    assert at_once(np.empty((1, 4000, 4000, 3), np.uint8), 128, net_training.BLOCK_PIXELS) == 1
    images = RANDOM.integers(0, 256, (6, 40, 24, 3), dtype=np.uint8)
    found = NetMap(width=2, epochs=1).fit(images, 0, Supervision(np.arange(6) % 2, 2))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(net_training, "BLOCK_PIXELS", 2000)
        parts = found.transform(images)
    assert_allclose(parts, found.transform(images), rtol=1e-5, atol=1e-6)


# -- what is refused


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dropout": 1.0}, "dropout = 1.0"),
        ({"dropout": -0.1}, "dropout = -0.1"),
        ({"stochastic_depth": 1}, "stochastic_depth = 1"),
        ({"width": 0}, "width = 0"),
        ({"width": True}, "width = True"),
        ({"depth": -1}, "depth = -1"),
        ({"epochs": 0}, "epochs = 0"),
        ({"minutes": 0.0}, "minutes = 0"),
        ({"minutes": math.nan}, "minutes = nan"),
        ({"pooling": "median"}, "pooling = 'median'; expected one of average, max, fractional"),
        ({"batch_norm": 1}, "batch_norm = 1"),
        ({"patience": 0}, "patience = 0"),
    ],
)
def test_parameters_out_of_range_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        NetMap(**options)


def test_parameters_that_exclude_each_other_are_named() -> None:
    with pytest.raises(IncompatibleError, match="epochs = 3 and minutes = 2"):
        NetMap(epochs=3, minutes=2)
    with pytest.raises(IncompatibleError, match="depth = 0 has none; use depth >= 1"):
        NetMap(depth=0, stochastic_depth=0.1)


def test_pictures_that_are_too_small_are_named() -> None:
    with pytest.raises(ParameterError, match=r"the pictures are 3x8; the network needs 4x4 or more. Enlarge them"):
        NetMap().fit(np.zeros((4, 3, 8), np.uint8), 0, Supervision(LABELS[:4], 10))


def test_one_picture_is_named_and_two_are_enough() -> None:
    with pytest.raises(ShapeError, match="images has one picture; the network needs two or more"):
        NetMap().fit(PICTURES[:1], 0, Supervision(LABELS[:1], 10))
    found = NetMap(width=2, epochs=1).fit(PICTURES[:2], 0, Supervision(LABELS[:2], 10))
    assert np.isfinite(found.transform(PICTURES[:2])).all()


def test_labels_are_required_and_checked() -> None:
    with pytest.raises(ParameterError, match="net: these features learn from labels"):
        NetMap().fit(PICTURES[:4])
    with pytest.raises(ShapeError, match=r"y has shape \(3,\)"):
        NetMap().fit(PICTURES[:4], 0, Supervision(LABELS[:3], 10))
    with pytest.raises(ShapeError, match=r"y holds 0..3; expected 0..2"):
        NetMap().fit(PICTURES[:4], 0, Supervision(LABELS[:4], 3))
    with pytest.raises(ShapeError, match=r"y has shape \(0,\)"):
        NetMap().fit(PICTURES[:4], 0, Supervision(LABELS[:4], 10, (PICTURES[:0], LABELS[:0])))


def test_a_training_that_diverges_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(net_training, "RATE", 1e6)
    with pytest.raises(IncompatibleError, match="diverged"):
        fitted(batch_norm=False)


def test_a_missing_pytorch_is_named_with_the_command_that_installs_it() -> None:
    code = """
import sys
sys.modules["torch"] = None
import numpy as np
from linprobe.errors import IncompatibleError
from linprobe.features.base import Supervision
from linprobe.features.net import NetMap
from linprobe.features.net_shape import Shape
try:
    NetMap().fit(np.zeros((4, 8, 8), np.uint8), 0, Supervision(np.arange(4), 4))
except IncompatibleError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.startswith("net: needs PyTorch, which is not installed; run: pip install ")
    assert said.count("\n") == 1


# -- what is kept of it


def test_a_model_file_holds_the_network(tmp_path: Any) -> None:
    features = fitted(dropout=0.1)
    model = LinearClassifier(reg=1e-2).fit(features.transform(PICTURES[:300]), LABELS[:300])
    model.features_ = features
    model.save(tmp_path / "m.safetensors")
    read = load_model(tmp_path / "m.safetensors")
    assert isinstance(read, LinearClassifier)
    assert read.features_ == features
    assert_array_equal(read.features_.transform(PICTURES[300:310]), features.transform(PICTURES[300:310]))


def spoilt(name: str, tensor: Any) -> dict[str, Any]:
    return fitted(epochs=1).tensors() | {name: tensor}


@pytest.mark.parametrize(
    ("name", "tensor", "words"),
    [
        ("version", np.array([2], np.int64), "net: the network is of version 2; this linprobe reads version 1"),
        ("version", np.array([], np.int64), "net: the network is of version"),
        ("mean", np.zeros(2, np.float32), "mean has shape"),
        ("deviation", np.zeros(1, np.float32), "deviation holds numbers <= 0"),
        ("stem", np.full((8, 1, 2, 2), np.nan, np.float32), "stem has shape"),
        ("history", np.zeros((1, 2)), "history has shape"),
        ("weights.0.0.weight", np.zeros((4, 8, 3, 2), np.float32), "weights.0.0.weight has shape"),
        ("weights.0.0.bias", np.zeros(4), "weights.0.0.bias has shape"),
        ("weights.7.0.bias", np.zeros(4, np.float32), "the tensor weights.7.0.bias is not one of the network"),
    ],
)
def test_tensors_that_are_no_network_are_named(name: str, tensor: Any, words: str) -> None:
    with pytest.raises(LinprobeError) as caught:
        NetMap.restored({"width": 4, "epochs": 1}, (8, 8, 1), spoilt(name, tensor))
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)


def test_a_network_that_lacks_a_tensor_is_named() -> None:
    tensors = fitted(epochs=1).tensors()
    del tensors["weights.1.0.bias"]
    with pytest.raises(ShapeError, match=r"the tensor weights\.1\.0\.bias is missing"):
        NetMap.restored({"width": 4, "epochs": 1}, (8, 8, 1), tensors)
