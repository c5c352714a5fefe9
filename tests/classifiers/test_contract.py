"""The contract of scikit-learn's estimators, by its own checks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from linprobe.classifiers.linear import LinearClassifier

ORDER = (
    "a repeated row is visited twice in an epoch and a weight scales one step, in another order: "
    "SGD reaches the same minimum, not the same bits"
)
"""Why mini-batch SGD treats weights as repetitions in its objective only."""


def expected_failures(classifier: LinearClassifier) -> dict[str, str]:
    """The checks that an estimator may fail, each with its reason."""
    if classifier.optimizer != "sgd":
        return {}
    return {"check_sample_weight_equivalence_on_dense_data": ORDER}


ESTIMATORS = [
    LinearClassifier(),
    LinearClassifier(loss="hinge", penalty="elastic-net", preprocess="standardize"),
    LinearClassifier(optimizer="gd", loss="squared-hinge"),
    LinearClassifier(engine="reference", preprocess="standardize"),
]


# gradient descent gets max_iter=5 from the checks, and says that it is not enough
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_the_classifier_keeps_the_contract_of_scikit_learn(
    estimator: LinearClassifier, check: Callable[[LinearClassifier], None]
) -> None:
    check(estimator)
