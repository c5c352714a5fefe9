"""One who watches is told between two rows of the trace, and changes no bit."""

from __future__ import annotations

import numpy as np
import pytest

from linprobe.objective import Objective
from linprobe.optimizers import ADMM, LBFGS, SGD, UPDATES
from linprobe.optimizers import sgd as sgd_module
from linprobe.optimizers.base import Glimpse


def problem(engine: str = "threads", loss: str = "softmax", penalty: str = "elastic-net") -> Objective:
    """Three clouds of weighted rows."""
    random = np.random.default_rng(0)
    y = np.arange(120) % 3
    X = (random.normal(size=(120, 6)) + np.eye(3, 6)[y]).astype(np.float32)
    weight = random.uniform(0.5, 2.0, size=120)
    return Objective(X, y, loss=loss, penalty=penalty, reg=0.01, sample_weight=weight, engine=engine)


@pytest.mark.parametrize("engine", ["threads", "reference"])
@pytest.mark.parametrize("update", UPDATES)
def test_sgd_ends_at_the_same_bits_wherever_its_epochs_are_cut(monkeypatch, update, engine):
    optimizer = SGD(batch_size=7, epochs=4, update=update, average=True)
    alone = optimizer.minimize(problem(engine))
    for seconds in (0.0, 1e-4):  # after every batch, and now and then
        monkeypatch.setattr(sgd_module, "WATCH_SECONDS", seconds)
        glimpses: list[Glimpse] = []
        watched = optimizer.minimize(problem(engine), watch=glimpses.append)
        assert watched.W.tobytes() == alone.W.tobytes()
        assert watched.b.tobytes() == alone.b.tobytes()
        assert {name: array.tobytes() for name, array in watched.state.arrays.items()} == {
            name: array.tobytes() for name, array in alone.state.arrays.items()
        }
        assert {**watched.state.numbers, "seconds": 0.0} == {**alone.state.numbers, "seconds": 0.0}


def test_glimpses_of_sgd_say_how_far_the_epoch_is_and_what_its_batches_lost(monkeypatch):
    monkeypatch.setattr(sgd_module, "WATCH_SECONDS", 0.0)
    seen: list[tuple[float, float, bytes]] = []
    objective = problem()
    solution = SGD(batch_size=40, epochs=2).minimize(
        objective, watch=lambda glimpse: seen.append((glimpse.epoch, glimpse.data_loss, glimpse.W.tobytes()))
    )
    assert [epoch for epoch, _, _ in seen] == pytest.approx([1 / 3, 2 / 3, 4 / 3, 5 / 3])  # not at the rows themselves
    # all weights are 0 when the first batch is met: every class has a third
    assert seen[0][1] == pytest.approx(np.log(3))
    assert len({weights for _, _, weights in seen}) == 4
    assert solution.history[-1]["data_loss"] < seen[0][1]


@pytest.mark.parametrize("penalty", ["l2", "l1"])
def test_admm_ends_at_the_same_bits_watched_or_not(penalty):
    alone = ADMM(tol=1e-3).minimize(problem(loss="hinge", penalty=penalty))
    glimpses: list[tuple[float, float]] = []
    watched = ADMM(tol=1e-3).minimize(
        problem(loss="hinge", penalty=penalty),
        watch=lambda glimpse: glimpses.append((glimpse.epoch, glimpse.data_loss)),
    )
    assert watched.W.tobytes() == alone.W.tobytes()
    epochs = [epoch for epoch, _ in glimpses]
    assert epochs[:9] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    assert epochs == sorted(epochs)
    assert glimpses[0][1] == pytest.approx(2.0)  # at zero weights each of the two other classes lacks the whole margin


@pytest.mark.parametrize(("optimizer", "loss"), [(LBFGS(tol=1e-4), "softmax"), (ADMM(tol=1e-4), "hinge")])
def test_the_predicted_gap_of_each_row_falls_to_tol_and_the_proof_confirms_it(optimizer, loss):
    rows: list[tuple[float, float]] = []
    solution = optimizer.minimize(
        problem(loss=loss, penalty="l2"),
        callback=lambda epoch: rows.append((epoch.objective, epoch.state.numbers.get("predicted_gap", np.nan))),
    )
    predicted = [estimate for _, estimate in rows if np.isfinite(estimate)]
    assert len(predicted) >= 2
    assert predicted[-1] < predicted[0]
    assert predicted[-1] <= 1e-4 * rows[-1][0]
    assert solution.certificate.relative_gap <= 1e-4
