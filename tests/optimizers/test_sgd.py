import dataclasses
import itertools

import numpy as np
import pytest
from sklearn.datasets import load_digits

from linprobe.engines.dropout import Dropout
from linprobe.errors import ParameterError
from linprobe.features import Pixels
from linprobe.objective import Objective
from linprobe.optimizers import SGD, UPDATES, State, Status
from linprobe.optimizers.sgd import plain_epoch
from linprobe.penalties import Penalty

LOSSES = ("softmax", "squared-hinge", "hinge")
PENALTIES = ("none", "l2", "l1", "elastic-net")


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize(("loss", "penalty"), list(itertools.product(LOSSES, PENALTIES)))
def test_the_automatic_rate_comes_close_to_the_minimum_that_scipy_finds(catalogue, loss, penalty, update):
    problem = catalogue(loss, penalty)
    solution = SGD(batch_size=8, epochs=150, update=update).minimize(problem.objective)
    value = problem.objective.value(solution.W, solution.b)
    assert solution.status is Status.COMPLETED
    assert problem.minimum - 1e-9 <= value <= 1.03 * problem.minimum


@pytest.fixture(scope="module")
def digits():
    """(loss, penalty, factor) -> training and test objective; with a factor, of float pixels times it."""
    pixels = load_digits()
    X, y = np.round(pixels.data * 255.0 / 16.0).astype(np.uint8), pixels.target
    order = np.random.default_rng(0).permutation(len(X))
    train, test = order[:1000], order[1000:]

    def build(loss, penalty, factor=None):
        images = X if factor is None else X * factor
        affine = Pixels().fit(images, train).affine if factor is None else None
        options = {"loss": loss, "penalty": penalty, "reg": 1e-3, "affine": affine, "engine": "reference"}
        return tuple(Objective(images, y[rows], rows=rows, **options) for rows in (train, test))

    return build


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize(("loss", "penalty"), list(itertools.product(LOSSES, PENALTIES)))
def test_the_automatic_rate_learns_digits(digits, loss, penalty, update):
    train, test = digits(loss, penalty)
    solution = SGD(epochs=4, update=update).minimize(train)
    assert test.evaluate(solution.W, solution.b).accuracy >= 0.9


@pytest.mark.parametrize("factor", [1.0 / 255.0, 1.0, 1e4])
@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("loss", LOSSES)
def test_the_automatic_rate_suits_features_of_any_size_and_mean(digits, loss, update, factor):
    train, test = digits(loss, "none", factor)
    solution = SGD(epochs=4, update=update).minimize(train)
    assert solution.status is Status.COMPLETED
    assert test.evaluate(solution.W, solution.b).accuracy >= 0.8


@pytest.mark.parametrize("batch_size", [1, 16, 64, 1000])
@pytest.mark.parametrize("reg", [1e-6, 1.0, 1e3])
@pytest.mark.parametrize("update", ["plain", "momentum", "adam"])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_automatic_rate_lowers_the_objective_for_any_batch_and_reg(digits, loss, update, reg, batch_size):
    train, _ = digits(loss, "l2")
    rows = train.examples.rows[:200]
    problem = Objective(
        train.examples.X,
        train.examples.y[:200],
        rows=rows,
        loss=loss,
        penalty="l2",
        reg=reg,
        affine=train.examples.affine,
        engine="reference",
    )
    solution = SGD(batch_size=batch_size, epochs=3, update=update).minimize(problem)
    assert solution.history[-1]["objective"] < solution.history[0]["objective"]


def test_the_words_say_when_features_are_tiny_beside_the_bias(digits):
    for update in ("plain", "adam"):
        tiny, usual = (
            SGD(epochs=0, update=update).minimize(digits("softmax", "l2", factor)[0]).chosen["learning_rate"]
            for factor in (1e-6, 1.0 / 255.0)
        )
        assert "tiny compared with 1" in tiny
        assert "tiny" not in usual


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("average", [False, True])
def test_a_run_continued_from_a_state_has_the_same_bits(make_objective, held_out, update, average):
    optimizer = SGD(batch_size=7, epochs=9, update=update, average=average, patience=9, seed=3)
    states: list[State] = []
    problem, validation = make_objective("hinge", "l1"), held_out("hinge")
    whole = optimizer.minimize(problem, callback=lambda row: states.append(row.state), validation=validation)
    for state in (states[0], states[2], states[6], states[9]):
        again = optimizer.minimize(make_objective("hinge", "l1"), start=state, validation=validation)
        assert again.W.tobytes() == whole.W.tobytes()
        assert again.status is whole.status
        assert again.chosen == whole.chosen
        for name, array in whole.state.arrays.items():
            assert again.state.arrays[name].tobytes() == array.tobytes()
        assert [row["objective"] for row in again.history] == [row["objective"] for row in whole.history[state.epoch :]]


def test_the_same_seed_has_the_same_bits_and_another_has_others(make_objective):
    first, same, other = (SGD(epochs=2, seed=s).minimize(make_objective("softmax", "l2")).W for s in (0, 0, 1))
    assert first.tobytes() == same.tobytes()
    assert first.tobytes() != other.tobytes()


def test_a_start_is_not_changed(make_objective):
    start = State(0, {"W": np.ones((3, 3)), "b": np.ones(3)})
    SGD(epochs=1).minimize(make_objective("softmax", "l2"), start=start)
    assert (start.arrays["W"] == 1.0).all()
    assert not start.numbers


@pytest.mark.parametrize("update", UPDATES)
def test_l1_gives_exact_zeros(digits, update):
    solution = SGD(epochs=4, update=update).minimize(digits("softmax", "l1")[0])
    assert 0.02 < (solution.W == 0.0).mean() < 0.9


def test_each_epoch_visits_each_image_once(make_objective, monkeypatch):
    problem, seen = make_objective("softmax", "l2"), []
    run = problem.engine.loss_and_gradient

    def spy(W, b, loss, rows=None, **options):
        seen.extend([] if rows is None else rows.tolist())
        return run(W, b, loss, rows, **options)

    monkeypatch.setattr(problem.engine, "loss_and_gradient", spy)
    SGD(batch_size=7, epochs=2).minimize(problem)
    first, second = seen[:40], seen[40:]
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != second


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("update", UPDATES)
def test_an_engine_with_a_loop_of_its_own_gets_the_arrays_and_the_plan_of_the_plain_loop(
    make_objective, monkeypatch, update, average
):
    optimizer = SGD(batch_size=7, epochs=4, update=update, momentum=0.75, average=average)
    plain = optimizer.minimize(make_objective("softmax", "elastic-net"))
    problem, plans = make_objective("softmax", "elastic-net"), []

    def loop(arrays, loss, plan):
        plans.append((plan.l2, plan.l1, plan.averaged, set(arrays)))
        return plain_epoch(problem, arrays, plan)

    monkeypatch.setattr(problem.engine, "has_kernel", lambda loss: loss is problem.loss)
    monkeypatch.setattr(problem.engine, "sgd_epoch", loop)
    fused = optimizer.minimize(problem)
    assert fused.W.tobytes() == plain.W.tobytes()
    assert "the engine's own" in fused.chosen["loop"]
    l2, l1, averaged, names = plans[-1]
    assert l2 == 0.05
    assert l1 == 0.05 * (4.0 if update in ("momentum", "nesterov") else 1.0)  # see gradients_per_step
    assert averaged == (6 if average else -1)
    suffixes = {"", *(f"_{kept}" for kept in UPDATES[update].arrays)} | ({"_avg"} if average else set())
    assert names == {f"{name}{suffix}" for name in "Wb" for suffix in suffixes}


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.uint8, 1e-3), (np.float64, 1e-12)])
@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize(("loss", "penalty"), list(itertools.product(LOSSES, ("l2", "elastic-net"))))
def test_the_loop_of_the_native_engine_ends_where_the_plain_loop_does(digits, loss, penalty, update, dtype, tolerance):
    plain, _ = digits(loss, penalty, None if dtype is np.uint8 else 1.0 / 255.0)
    native = plain.with_engine("threads", n_threads=2)
    found, expected = (SGD(epochs=1, update=update, average=True).minimize(each) for each in (native, plain))
    assert "the engine's own" in found.chosen["loop"]
    assert "plain NumPy" in expected.chosen["loop"]
    np.testing.assert_allclose(found.W, expected.W, atol=tolerance * np.abs(expected.W).max(), rtol=0)


@pytest.mark.parametrize("update", UPDATES)
def test_the_native_engine_has_the_same_bits_for_any_number_of_threads_resumed_or_not(digits, update):
    reference, _ = digits("softmax", "l1")
    one, two = (reference.with_engine("threads", n_threads=n) for n in (1, 2))
    optimizer, states = SGD(epochs=3, update=update), []
    whole = optimizer.minimize(one, callback=lambda row: states.append(row.state))
    resumed = optimizer.minimize(two, start=states[1])
    assert resumed.W.tobytes() == whole.W.tobytes()
    assert resumed.b.tobytes() == whole.b.tobytes()


def test_a_penalty_that_the_engine_does_not_know_goes_through_the_plain_loop(make_objective, monkeypatch):
    class Unknown(Penalty):
        name, smooth = "unknown", True

        def value(self, W):
            return float(np.square(W).sum())

        def gradient(self, W):
            return 2.0 * W

        def prox(self, V, step):
            return V

        def conjugate(self, V, reg):
            return float("inf")

    problem = make_objective("softmax", Unknown())
    monkeypatch.setattr(problem.engine, "has_kernel", lambda loss: True)
    solution = SGD(epochs=2, learning_rate=0.1).minimize(problem)
    known = SGD(epochs=2, learning_rate=0.1).minimize(make_objective("softmax", "l2"))
    assert solution.chosen["loop"] == "plain NumPy, float64"
    np.testing.assert_allclose(solution.W, known.W, rtol=1e-12)


def test_the_average_is_the_mean_of_the_iterates_of_the_second_half(make_objective):
    # A batch of all images: one iterate per epoch, that of the state.
    options = {"batch_size": 40, "epochs": 6, "update": "plain", "schedule": "constant"}
    iterates: list[np.ndarray] = []
    problem = make_objective("softmax", "l2")
    SGD(**options).minimize(problem, callback=lambda row: iterates.append(row.state.arrays["W"]))
    averaged = SGD(**options, average=True).minimize(problem)
    np.testing.assert_allclose(averaged.W, np.mean(iterates[4:], axis=0), rtol=1e-12)
    assert averaged.state.numbers["averaged"] == 3


def test_one_batch_of_all_images_is_gradient_descent(make_objective):
    problem = make_objective("softmax", "elastic-net")
    solution = SGD(batch_size=100, epochs=1, update="plain", schedule="constant", learning_rate=0.3).minimize(problem)
    zero = np.zeros((3, 3))
    _, dW, db = problem.value_and_gradient(zero, np.zeros(3))
    np.testing.assert_allclose(solution.W, problem.prox(zero - 0.3 * dW, 0.3), atol=1e-15)
    np.testing.assert_allclose(solution.b, -0.3 * db, atol=1e-15)


def test_weights_of_images_count_like_repetitions_of_them(make_objective):
    # In one batch of all images: there a weight of 2 is the image twice, in SGD as in the objective.
    problem = make_objective("softmax", "l2")
    X, y = problem.examples.X, problem.examples.y
    weight = np.ones(40)
    weight[:10] = 2.0
    twice = np.concatenate([np.arange(40), np.arange(10)])
    common = {"loss": "softmax", "penalty": "l2", "reg": 0.05, "engine": "reference"}
    optimizer = SGD(batch_size=50, epochs=5, learning_rate=0.1)
    weighted = optimizer.minimize(Objective(X, y, sample_weight=weight, **common))
    repeated = optimizer.minimize(Objective(X[twice], y[twice], **common))
    np.testing.assert_allclose(weighted.W, repeated.W, rtol=1e-10, atol=1e-13)


def test_early_stopping_keeps_the_weights_of_the_lowest_validation_loss(make_objective):
    # Labels drawn at random: what is learnt of them does not hold for others, so that the loss soon rises.
    random = np.random.default_rng(0)
    X, y = random.standard_normal((60, 20)), np.arange(60) % 2
    common = {"loss": "softmax", "penalty": None, "reg": 0.0, "engine": "reference"}
    train, validation = Objective(X[:30], y[:30], **common), Objective(X[30:], y[30:], **common)
    solution = SGD(epochs=200, patience=3).minimize(train, validation=validation)
    losses = [row["validation_loss"] for row in solution.history]
    best = int(np.argmin(losses))
    assert solution.status is Status.EARLY_STOPPED
    assert len(losses) == best + 3 + 1
    assert validation.value(solution.W, solution.b) == losses[best]
    assert f"after epoch {best}" in solution.chosen["weights"]


def test_patience_without_validation_images_is_refused(make_objective):
    with pytest.raises(ParameterError, match="no validation images"):
        SGD(patience=2).minimize(make_objective("softmax", "l2"))


@pytest.mark.parametrize(("loss", "rate"), [("squared-hinge", 1e3), ("hinge", 1e9), ("softmax", 1e300)])
def test_a_rate_too_high_diverges_and_keeps_the_last_good_weights(make_objective, loss, rate):
    problem = make_objective(loss, "l2")
    solution = SGD(learning_rate=rate).minimize(problem)
    assert solution.status is Status.DIVERGED
    assert np.isfinite(solution.W).all()
    assert problem.value(solution.W, solution.b) == solution.history[-1]["objective"]
    assert "learning_rate='auto'" in solution.status.value


def test_the_trace_has_a_row_per_epoch_and_the_start(make_objective, held_out):
    problem, rows = make_objective("softmax", "l2"), []
    solution = SGD(epochs=3).minimize(problem, callback=rows.append, validation=held_out("softmax"))
    assert [row.epoch for row in rows] == [0, 1, 2, 3] == [row["epoch"] for row in solution.history]
    assert rows[0].objective == pytest.approx(np.log(3.0))
    for row in rows:
        assert row.objective == problem.value(row.state.arrays["W"], row.state.arrays["b"])
        assert row.validation_loss > 0.0
    assert solution.passes == 3.0


def test_no_epochs_give_zero_weights(make_objective):
    solution = SGD(epochs=0).minimize(make_objective("softmax", "l2"))
    assert solution.status is Status.COMPLETED
    assert not solution.W.any()


def test_the_callback_stops_it(make_objective):
    solution = SGD().minimize(make_objective("softmax", "l2"), callback=lambda row: row.epoch == 2)
    assert solution.status is Status.STOPPED
    assert solution.state.epoch == 2


def test_the_words_say_that_the_hinge_has_a_stand_in(make_objective):
    chosen = SGD(epochs=0).minimize(make_objective("hinge", "l2")).chosen
    assert "a stand-in" in chosen["learning_rate"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_size": 0},
        {"epochs": -1},
        {"learning_rate": float("nan")},
        {"learning_rate": "fast"},
        {"schedule": "linear"},
        {"update": "lion"},
        {"momentum": 1.0},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"rho": -0.1},
        {"beta1": 1.0},
        {"beta2": 2.0},
        {"epsilon": 0.0},
        {"warmup": -1.0},
        {"final_rate": 0.0},
        {"patience": 0},
        {"seed": -1},
    ],
)
def test_arguments_outside_their_range_are_named(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        SGD(**wrong)


def shifted(seed=0):
    """Two classes of 60 rows of deviation 20; that they differ in number is all that there is to learn."""
    X = 20.0 * np.random.default_rng(seed).standard_normal((60, 2))
    return Objective(
        X, (np.arange(60) % 10 == 0).astype(int), loss="softmax", penalty="l2", reg=1e-3, engine="reference"
    )


@pytest.mark.parametrize("update", ["plain", "momentum", "nesterov"])
def test_the_bias_learns_beside_features_that_are_far_larger_than_1(update):
    objective = shifted()
    solution = SGD(update=update, epochs=20).minimize(objective)
    assert solution.b[0] - solution.b[1] > 0.8 * np.log(9)  # of the odds 54 to 6
    assert "times as much for the bias" in solution.chosen["learning_rate"]
    given = SGD(update=update, epochs=20, learning_rate=solution.state.numbers["learning_rate"]).minimize(objective)
    assert given.b[0] - given.b[1] < 0.2 * np.log(9)  # a rate that is given is that of the bias too


def test_a_checkpoint_without_a_rate_of_the_bias_goes_on_as_it_began():
    objective = shifted()
    rate = SGD(epochs=4).minimize(objective).state.numbers["learning_rate"]
    states = []
    SGD(epochs=4, learning_rate=rate).minimize(objective, callback=lambda epoch: states.append(epoch.state))
    old = State(states[2].epoch, states[2].arrays, {k: v for k, v in states[2].numbers.items() if k != "bias_rate"})
    found = SGD(epochs=4).minimize(objective, start=old)
    assert found.W.tobytes() == SGD(epochs=4, learning_rate=rate).minimize(objective).W.tobytes()


@pytest.mark.parametrize("update", UPDATES)
def test_single_steps_are_the_plain_epochs_bit_by_bit_and_continue_from_any_state(update):
    random = np.random.default_rng(3)
    X, y = random.normal(size=(23, 4)), random.integers(0, 3, 23)
    objective = Objective(X, y, loss="hinge", penalty="l1", reg=0.01, engine="reference")
    sgd = SGD(batch_size=5, epochs=3, update=update, seed=7)
    expected = sgd.minimize(objective)
    assert "plain NumPy" in expected.chosen["loop"]
    seen = list(itertools.islice(sgd.steps(objective), 7))  # ends inside the second epoch
    seen += list(sgd.steps(objective, seen[-1].state))
    assert len(seen) == 3 * 5 + 1
    assert [step.status for step in seen[:-1]] == [None] * 15
    assert seen[-1].status is Status.COMPLETED
    assert np.array_equal(seen[-1].state.arrays["W"], expected.W)
    assert np.array_equal(seen[-1].state.arrays["b"], expected.b)
    assert [len(step.rows) for step in seen[:5]] == [5, 5, 5, 5, 3]
    assert seen[14].objective == expected.history[-1]["objective"]


def test_single_steps_end_before_the_one_that_diverges():
    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    objective = Objective(X, y, loss="squared-hinge", penalty="l2", reg=0.01, n_threads=1)
    seen = list(SGD(batch_size=5, update="plain", learning_rate=1e4).steps(objective))
    assert seen[-1].status is Status.DIVERGED
    assert np.isfinite(seen[-1].state.arrays["W"]).all()


@pytest.mark.parametrize("settings", [{"average": True}, {"patience": 2}])
def test_single_steps_refuse_what_counts_whole_epochs(settings):
    objective = Objective(np.eye(4), np.arange(4) % 2, loss="hinge", penalty="l2", reg=0.01, n_threads=1)
    with pytest.raises(ParameterError, match="no average and no patience"):
        next(SGD(**settings).steps(objective))


def masked_epochs(problem, *, share, seed, epochs, batch_size, rate):
    """Mini-batch descent with dropout, written out once more: plain steps, in float64."""
    X, y = problem.examples.mapped(slice(None)), problem.examples.y
    W, b = np.zeros((problem.n_classes, problem.n_features)), np.zeros(problem.n_classes)
    for epoch in range(epochs):
        order = np.random.Generator(np.random.PCG64([seed, epoch])).permutation(len(X))
        masks = Dropout.of_epoch(share, seed, epoch).masks(np.arange(len(X)), X.shape[1])
        for first in range(0, len(X), batch_size):
            rows = order[first : first + batch_size]
            inputs = X[rows] * masks[rows]
            dS = problem.loss.value_and_gradient(inputs @ W.T + b, y[rows])[1] / len(rows)
            W = W - rate * (dS.T @ inputs + problem.reg * problem.penalty.gradient(W))
            b = b - rate * dS.sum(axis=0)
    return W, b


@pytest.mark.parametrize("loss", ["softmax", "squared-hinge"])
@pytest.mark.parametrize("engine", ["reference", "threads"])
def test_dropout_masks_the_inputs_of_every_step(digits, loss, engine):
    train, _ = digits(loss, "l2")
    examples = train.examples
    problem = Objective(
        examples.X, examples.y, rows=examples.rows, affine=examples.affine, loss=loss, penalty="l2", reg=1e-3,
        engine=engine,
    )  # fmt: skip
    given = {"epochs": 3, "batch_size": 32, "seed": 4}
    optimizer = SGD(update="plain", schedule="constant", learning_rate=0.01, dropout=0.3, **given)
    solution = optimizer.minimize(problem)
    W, b = masked_epochs(problem, share=0.3, rate=0.01, **given)
    atol = 1e-10 if engine == "reference" else 1e-4  # the loop of the core is float32
    np.testing.assert_allclose(solution.W, W, atol=atol)
    np.testing.assert_allclose(solution.b, b, atol=atol)
    assert "0.3 of the inputs" in solution.chosen["dropout"]
    assert "dropout" not in SGD(epochs=0).minimize(problem).chosen


def test_dropout_counts_the_weights_of_images_by_the_plain_loop():
    random = np.random.default_rng(2)
    X, y, weight = random.standard_normal((30, 4)), np.arange(30) % 3, random.random(30) + np.arange(30)
    problem = Objective(X, y, loss="hinge", penalty="l2", reg=0.1, sample_weight=weight, engine="reference")
    order, mask = np.arange(problem.n_images), Dropout(0.5, 3)
    plan = SGD(update="plain", dropout=0.5)._plan(order, np.array([0.1]), 0, 0)
    W, b = random.standard_normal((3, 4)), random.standard_normal(3)
    arrays = {"W": W.copy(), "b": b.copy()}
    loss = plain_epoch(problem, arrays, dataclasses.replace(plan, batch_size=problem.n_images, dropout=mask))
    masked = Objective(
        X * mask.masks(order, 4), y, loss="hinge", penalty="l2", reg=0.1, sample_weight=weight, engine="reference"
    )
    assert loss == pytest.approx(masked.evaluate(W, b).data_loss)
    _, dW, db = masked.value_and_gradient(W, b)
    np.testing.assert_allclose(arrays["W"], W - 0.1 * dW)
    np.testing.assert_allclose(arrays["b"], b - 0.1 * db)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_watched_run_with_dropout_has_the_same_bits(digits, share):
    train, _ = digits("softmax", "l2")
    optimizer, glimpses = SGD(epochs=3, dropout=share, batch_size=5), []
    watched = optimizer.minimize(train, watch=glimpses.append)
    assert watched.W.tobytes() == optimizer.minimize(train).W.tobytes()
    steps = list(SGD(epochs=3, dropout=share, batch_size=5).steps(train))
    assert steps[-1].state.arrays["W"].astype(np.float64).tobytes() == watched.W.tobytes()


def test_the_automatic_rate_learns_digits_with_dropout(digits):
    for share in (0.2, 0.5, 0.9):
        train, test = digits("softmax", "l2")
        solution = SGD(epochs=8, dropout=share).minimize(train)
        assert test.evaluate(solution.W, solution.b).accuracy >= 0.9
