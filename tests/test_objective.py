"""L(W, b) = (1/N) sum L_i + reg R(W): against loops, peers, duplicates and its own dual."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from tests.oracles.pixels import MAPPED, WEIGHT, B, D, K, N, W, Y, make
from tests.oracles.smooth import minimum

from linprobe.errors import IncompatibleError, LabelError, ParameterError, ShapeError
from linprobe.gradcheck import check_gradient
from linprobe.losses import LOSSES, Loss, MulticlassHinge, SoftmaxCrossEntropy, SquaredHinge
from linprobe.objective import Evaluation, Objective
from linprobe.penalties import L2, PENALTIES


def naive_objective(loss, penalty, reg, rows, labels, weights):
    """L(W, b), image by image."""
    total = 0.0
    for x, label, weight in zip(rows, labels, weights, strict=True):
        s = [float(W[k] @ x + B[k]) for k in range(K)]
        if loss == "softmax":
            value = -np.log(np.exp(s[label]) / sum(np.exp(s_j) for s_j in s))
        else:
            power = 2 if loss == "squared-hinge" else 1
            value = sum(max(0.0, s[j] - s[label] + 1.0) ** power for j in range(K) if j != label)
        total += weight * value
    terms = {
        "l2": lambda w: w * w,
        "l1": abs,
        "elastic-net": lambda w: w * w + abs(w),
        "none": lambda w: 0.0,
    }
    return total / sum(weights) + reg * sum(terms[penalty](w) for w in W.ravel())


@pytest.mark.parametrize("loss", ["softmax", "hinge", "squared-hinge"])
@pytest.mark.parametrize("penalty", ["l2", "l1", "elastic-net", "none"])  # those of the naive loop above
@pytest.mark.parametrize("weighted", [False, True])
def test_the_value_is_that_of_a_naive_loop(loss, penalty, weighted):
    objective = make(loss, penalty, sample_weight=WEIGHT if weighted else None)
    expected = naive_objective(loss, penalty, 0.1, MAPPED, Y, WEIGHT if weighted else np.ones(N))
    assert_allclose(objective.value(W, B), expected, rtol=1e-12)
    assert_allclose(objective.value_and_gradient(W, B)[0], expected, rtol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("weighted", [False, True])
def test_every_loss_with_every_penalty_passes_the_gradient_check(loss, penalty, weighted):
    result = check_gradient(make(loss, penalty, sample_weight=WEIGHT if weighted else None))
    assert result.ok, str(result)
    assert result.n_checked >= 0.8 * (K * D + K)


@pytest.mark.parametrize("loss", LOSSES)
def test_whole_weights_count_like_repetitions(loss):
    repeated = np.repeat(np.arange(N), WEIGHT.astype(int))
    weighted = make(loss, sample_weight=WEIGHT)
    copies = make(loss, y=Y[repeated], rows=repeated)
    assert_allclose(weighted.value(W, B), copies.value(W, B), rtol=1e-13)
    for ours, theirs in zip(weighted.value_and_gradient(W, B)[1:], copies.value_and_gradient(W, B)[1:], strict=True):
        assert_allclose(ours, theirs, rtol=1e-11, atol=1e-13)
    each_once = make(loss, rows=np.flatnonzero(WEIGHT), y=Y[WEIGHT > 0])  # an accuracy is of images, not of weights
    assert_allclose(weighted.evaluate(W, B).accuracy, each_once.evaluate(W, B).accuracy, rtol=1e-13)
    assert_allclose(weighted.statistics.moments().curvature, copies.statistics.moments().curvature, rtol=1e-3)
    assert_allclose(weighted.statistics.moments().square_norm, copies.statistics.moments().square_norm, rtol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_batches_of_an_epoch_average_to_the_full_gradient(weighted):
    objective = make(sample_weight=WEIGHT if weighted else None)
    batches = np.random.default_rng(3).permutation(N).reshape(5, 8)
    values, dWs, dbs = zip(*(objective.value_and_gradient(W, B, batch) for batch in batches), strict=True)
    value, dW, db = objective.value_and_gradient(W, B)
    assert_allclose(np.mean(values), value, rtol=1e-13)
    assert_allclose(np.mean(dWs, axis=0), dW, rtol=1e-11, atol=1e-13)
    assert_allclose(np.mean(dbs, axis=0), db, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_an_evaluation_is_the_objective_in_parts_with_the_norm_of_its_gradient(penalty):
    objective = make("softmax", penalty)
    found = objective.evaluate(W, B)
    data_loss = make("softmax", None).value(W, B)
    _, dW, db = objective.value_and_gradient(W, B)
    if penalty in ("l1", "elastic-net"):
        dW = dW + 0.1 * np.sign(W)
    norm = np.sqrt((dW**2).sum() + (db**2).sum())
    hits = ((MAPPED @ W.T + B).argmax(axis=1) == Y).mean()
    value = objective.value(W, B)
    expected = Evaluation(value, data_loss, value - data_loss, hits, norm)
    for name in ("objective", "data_loss", "penalty", "accuracy", "gradient_norm"):
        assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-10, atol=1e-13, err_msg=name)


def test_an_evaluation_takes_one_pass_over_the_images(monkeypatch):
    objective = make()
    passes = []
    plain = objective.engine.loss_and_gradient
    monkeypatch.setattr(objective.engine, "loss_and_gradient", lambda *a, **k: passes.append(1) or plain(*a, **k))
    objective.evaluate(W, B)
    assert passes == [1]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", ["softmax", "hinge", "squared-hinge"])
def test_the_gradient_at_zero_weights_is_that_of_a_pass(loss, weighted):
    random = np.random.default_rng(5)
    X, y = random.normal(size=(40, 7)), random.integers(0, 3, 40)  # of a fourth class there is none
    weight = random.uniform(0, 2, 40) if weighted else None
    objective = Objective(X, y, loss=loss, penalty="l2", reg=0.1, n_classes=4, sample_weight=weight)
    b = random.normal(size=4)
    found, wanted = objective.gradient_at_zero(b), objective.data_gradient(np.zeros((4, 7)), b)
    assert_allclose(found.dW, wanted.dW, atol=1e-14)
    assert_allclose(found.db, wanted.db, atol=1e-14)
    assert found.loss == pytest.approx(wanted.loss, rel=1e-14)
    assert found.accuracy == pytest.approx(wanted.accuracy, rel=1e-14)


def test_the_bias_is_not_penalised():
    objective = make("softmax", "elastic-net", reg=10.0)
    _, _, db = objective.value_and_gradient(W, B)
    _, _, without = make("softmax", None).value_and_gradient(W, B)
    assert_allclose(db, without, rtol=1e-14)
    assert objective.evaluate(W, B + 100.0).penalty == objective.evaluate(W, B).penalty


def test_the_prox_of_the_objective_is_that_of_its_penalty_with_reg_in_the_step():
    V = np.array([[0.5, -0.05]])
    assert_allclose(make(penalty="l1", reg=0.2).prox(V, 0.5), [[0.4, 0.0]])
    assert_allclose(make(penalty="l1", reg=0.2).prox(V, np.array([[0.5, 0.05]])), [[0.4, -0.04]])
    assert make(penalty="l2").prox(V, 0.5) is V
    assert make(penalty=None).prox(V, 0.5) is V


@pytest.mark.parametrize("scale", [1e-310, 1e-30, 1e30, 1e306])
@pytest.mark.parametrize("loss", LOSSES)
def test_only_the_ratios_of_sample_weights_count(loss, scale):
    weight = np.array([0.5, 1.0, 2.0, 4.0])[np.arange(N) % 4]
    usual, other = (make(loss, sample_weight=given) for given in (weight, weight * scale))
    assert_allclose(other.value(W, B), usual.value(W, B), rtol=1e-12)
    assert_allclose(other.value_and_gradient(W, B)[1], usual.value_and_gradient(W, B)[1], rtol=1e-10, atol=1e-14)
    assert_allclose(other.statistics.moments().curvature, usual.statistics.moments().curvature, rtol=1e-9)
    assert_allclose(other.given_weight, weight.sum() * scale, rtol=1e-12)


def centred(G, weight):
    """G with its weighted columns made to sum to 0; rows well inside the simplex stay there."""
    return G - (weight[:, None] * G).sum(axis=0) / weight.sum()


@pytest.mark.parametrize("loss", [name for name, kind in LOSSES.items() if kind.conjugate is not Loss.conjugate])
@pytest.mark.parametrize("penalty", ["l2", "elastic-net"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_dual_value_lies_below_the_objective_everywhere(loss, penalty, weighted):
    weight = WEIGHT if weighted else None
    objective = make(loss, penalty, sample_weight=weight)
    shares = np.ones(N) if weight is None else weight
    random = np.random.default_rng(4)
    finite = 0
    for _ in range(20):
        # c (1/K - e_y) / (weight of the class): rows feasible for every loss, columns that sum to 0
        totals = np.array([shares[label == Y].sum() for label in range(K)])
        c = random.uniform(0.1, 1.0) * totals.min()
        G = c * (np.full((K, K), 1.0 / K) - np.eye(K))[Y] / totals[Y][:, None]
        dual = objective.dual_value(G)
        finite += np.isfinite(dual)
        size = 10 ** random.uniform(-3, 1)
        here = objective.value(size * random.normal(size=(K, D)), size * random.normal(size=K))
        assert dual <= here
    assert finite == 20


def test_the_dual_value_at_the_gradient_of_the_minimum_is_the_minimum():
    for weight in (None, WEIGHT):
        objective = make("softmax", "l2", reg=0.05, sample_weight=weight)
        best, W_best, b_best = minimum(objective)
        S = objective.engine.scores(W_best, b_best)
        G = centred(SoftmaxCrossEntropy().value_and_gradient(S, Y)[1], np.ones(N) if weight is None else weight)
        dual = objective.dual_value(G)
        assert dual <= best + 1e-12
        assert_allclose(dual, best, rtol=1e-9)


def test_a_dual_whose_columns_do_not_sum_to_0_bounds_nothing():
    objective = make()
    G = SoftmaxCrossEntropy().value_and_gradient(MAPPED @ W.T + B, Y)[1]
    assert objective.dual_value(G) == -np.inf


def test_a_dual_that_is_not_feasible_for_the_loss_bounds_nothing():
    G = np.zeros((N, K))
    G[0], G[1] = [0.5, 0.5, -1.0], [-0.5, -0.5, 1.0]
    assert make(y=np.zeros(N, int)).dual_value(G) == -np.inf


def test_an_image_of_weight_zero_may_have_any_dual():
    weight = np.ones(N)
    weight[0] = 0.0
    objective = make(sample_weight=weight)
    G = np.zeros((N, K))
    G[0] = 17.0
    assert objective.dual_value(G) == make(sample_weight=weight).dual_value(np.zeros((N, K))) == 0.0


def test_without_a_penalty_only_a_dual_orthogonal_to_the_pixels_bounds_anything():
    objective = make("softmax", None)
    assert objective.dual_value(np.zeros((N, K))) == 0.0
    G = np.zeros((N, K))
    G[np.flatnonzero(Y == 0)[0]] = [-0.5, 0.5, 0.0]
    G[np.flatnonzero(Y == 1)[0]] = [0.5, -0.5, 0.0]
    assert objective.dual_value(G) == -np.inf


def test_the_data_loss_curves_no_more_than_loss_curvature_times_feature_curvature():
    objective = make("squared-hinge", None)
    bound = SquaredHinge().curvature(K) * objective.statistics.moments().curvature * 1.01
    random = np.random.default_rng(6)
    for _ in range(50):
        W1, W2 = random.normal(size=(2, K, D))
        b1, b2 = random.normal(size=(2, K))
        _, dW1, db1 = objective.value_and_gradient(W1, b1)
        _, dW2, db2 = objective.value_and_gradient(W2, b2)
        moved = np.sqrt(((dW1 - dW2) ** 2).sum() + ((db1 - db2) ** 2).sum())
        assert moved <= bound * np.sqrt(((W1 - W2) ** 2).sum() + ((b1 - b2) ** 2).sum())


def test_a_user_written_loss_runs_like_one_of_ours():
    class Twice(Loss):
        name, smooth = "twice", True

        def value_and_gradient(self, scores, y):
            value, dscores = SoftmaxCrossEntropy().value_and_gradient(scores, y)
            return 2 * value, 2 * dscores

    assert_allclose(make(Twice(), None).value(W, B), 2 * make("softmax", None).value(W, B), rtol=1e-14)
    with pytest.raises(IncompatibleError, match="Twice has no conjugate"):
        make(Twice()).dual_value(np.zeros((N, K)))


def test_weights_that_diverged_are_evaluated_without_a_warning():
    for penalty in PENALTIES:
        found = make("softmax", penalty).evaluate(np.full((K, D), np.inf), B)
        assert not np.isfinite(found.objective)
        make("softmax", penalty).evaluate(1e200 * W, B)


def test_instances_and_names_of_loss_and_penalty_mean_the_same():
    by_name, by_instance = make("hinge", "l2"), make(MulticlassHinge(), L2())
    assert by_name.loss == by_instance.loss
    assert by_name.penalty == by_instance.penalty
    assert make("hinge", "none").penalty is None


def test_labels_alone_tell_the_number_of_classes():
    assert make(n_classes=None).n_classes == K
    assert (make().n_images, make().n_features) == (N, D)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"reg": -1.0}, ParameterError, "reg = -1.0; expected a finite number >= 0"),
        ({"reg": float("nan")}, ParameterError, "reg = nan"),
        (
            {"y": np.zeros(N, int), "n_classes": None},
            ParameterError,
            "n_classes = 1; a classifier needs at least 2",
        ),
        ({"n_classes": 2}, LabelError, "y holds labels 0..2; with 2 classes"),
        ({"y": Y[:-1]}, ShapeError, r"y has shape \(39,\) but 40 rows of X are used"),
        ({"loss": "log"}, ParameterError, "loss = 'log'; expected one of"),
        ({"penalty": "ridge"}, ParameterError, "penalty = 'ridge'; expected one of"),
        ({"engine": "gpu"}, ParameterError, "engine = 'gpu'"),
        ({"sample_weight": -WEIGHT}, ParameterError, r"sample_weight\[0\] = -"),
        ({"sample_weight": 0 * WEIGHT}, ParameterError, "sample_weight is zero for every image"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_at_the_door(options, error, message):
    with pytest.raises(error, match=message):
        make(**options)


def test_a_dual_of_the_wrong_shape_is_refused():
    with pytest.raises(ShapeError, match=r"G has shape \(40, 2\); expected \(n_images, n_classes\) = \(40, 3\)"):
        make().dual_value(np.zeros((N, 2)))
