"""LinearClassifier: f(x, W) = Wx + b as a scikit-learn classifier."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from linprobe.classifiers.model import BAD_ENDS, LinearModel
from linprobe.classifiers.rows import Rows
from linprobe.classifiers.savable import Savable
from linprobe.errors import LabelError, ParameterError
from linprobe.losses import LOSSES, Loss
from linprobe.optimizers.base import Solution, State, Status
from linprobe.optimizers.obstacles import OBSTACLE
from linprobe.optimizers.sgd import SGDState
from linprobe.plain import few
from linprobe.printed import gap_text
from linprobe.shapes import Floats, Labels, check_rows

__all__ = ["LinearClassifier", "gives_probabilities"]

DTYPES = (np.float64, np.float32, np.float16, np.uint8)
"""Dtypes that an engine reads without conversion; X of another dtype becomes the first, float64."""

Fitted = TypeVar("Fitted", bound="LinearClassifier")


class _HasLoss(Protocol):
    loss: str | Loss


def gives_probabilities(classifier: _HasLoss) -> bool:
    """True where the loss declares `gives_probabilities`.

    Raises:
        AttributeError: it does not, as `available_if` expects.
    """
    kind = LOSSES.get(classifier.loss) if isinstance(classifier.loss, str) else classifier.loss
    if getattr(kind, "gives_probabilities", False):
        return True
    raise AttributeError(
        f"predict_proba requires loss='softmax'; the scores of loss={classifier.loss!r} are not probabilities. "
        "Use decision_function."
    )


def _is_sgd(classifier: LinearClassifier) -> bool:
    if classifier.optimizer == "sgd":
        return True
    raise AttributeError(
        f"partial_fit requires optimizer='sgd'; found optimizer={classifier.optimizer!r}. Use fit, or optimizer='sgd'."
    )


class LinearClassifier(ClassifierMixin, BaseEstimator, LinearModel, Savable):  # type: ignore[misc]  # scikit-learn has no types
    """Linear classifier of images or vectors, the class of the highest score of f(x, W) = W x' + b.

        L(W, b) = (1 / sum_i w_i) sum_i w_i L_i(W x'_i + b, y_i) + reg R(W)

    x' = scale * x + shift is the mapped input (see `preprocess`), and the bias is not penalised. X is (N, D): uint8
    pixels 0..255, which are never copied to floats, or float16, float32 or float64 vectors. Other dtypes are
    converted to float64. Labels may be of any type that sorts. Sparse X raises an error.

    Args:
        loss: "softmax", "hinge", "squared-hinge", or a Loss.
        penalty: "l2" = sum W², "l1" = sum |W|, "elastic-net" = sum (beta W² + |W|), "none", or a Penalty.
        reg: weight of the penalty, lambda, >= 0.
        beta: weight of the squares in the elastic net, >= 0.
        optimizer: "exact" (the optimum, with a certificate: `Exact`), "sgd" (mini-batches) or "gd" (gradient
            descent on all rows, with a line search).
        delta: required margin of the correct class, > 0, for the two hinge losses.
        batch_size, epochs, learning_rate, schedule, update, momentum, dropout, average: of SGD, as in `SGD`.
        patience: stop SGD when the validation loss has not decreased for this many epochs, and keep the weights with
            the lowest validation loss; None for no early stopping. Requires validation rows.
        validation_fraction: share of each class that `fit` holds out for the trace and for `patience`, in [0, 1).
        preprocess: the map of the input, applied as rows are read.
            "none": x' = x. "unit": uint8 divided by 255. "center": "unit", minus the mean of the training rows.
            "standardize": each feature to mean 0 and standard deviation 1. "auto": "center" for uint8, else "none".
            Features whose scale is far from 1 train faster with "standardize".
        class_weight: dict from label to weight, "balanced" (N / (K n_k)), or None. Weights decide the objective alone:
            accuracies and validation losses count each row of weight above 0 once.
        engine: "threads" (native code) or "reference" (NumPy).
        max_iter: maximum number of iterations of "exact" and "gd".
        tol: relative duality gap to reach with "exact", gradient norm with "gd".
        random_state: seed of the order of the rows and of the held-out rows; results for one int are bit-identical.
            "exact" uses it only for held-out rows.
        n_threads: number of threads; None for one per core. At most four per core are used (16 on fewer than four
            cores). The result does not depend on it.
        loss_options, penalty_options: dict from parameter to value, for parameters other than delta and beta of a loss
            or penalty given by name; None for their defaults.
    Attributes:
        classes_: (K,) the labels, sorted (class names in their own order after `fit_sets`).
        coef_, intercept_: (K, D) and (K,), for raw input: decision_function(X) = X @ coef_.T + intercept_.
            For two classes (1, D) and (1,), as in scikit-learn: the difference of the two classes.
        weights_, bias_: (K, D) and (K,) float64, W and b for the mapped input: what is penalised.
        affine_: the map of the input, or None for none.
        image_shape_: (height, width, channels) after `fit_sets` on images, else None.
        loss_, penalty_: the Loss and the Penalty (None for "none").
        n_features_in_, n_iter_: D, and the number of epochs or iterations (for ADMM, rounds of several iterations).
        certificate_: the certificate of weights_ and bias_: objective, lower_bound, gap, relative_gap, gradient_norm,
            passes, seconds; None after "sgd" and "gd", which prove nothing.
        status_: why the optimizer ended; its value is a sentence.
        history_: a dict per epoch, the start included.
        chosen_: the values chosen from the data, as sentences by name.
        solution_: the Solution of the optimizer; a model read from a file has none.
    Source:
        CS231n notes, linear-classify.
    Example:
        >>> X = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 2.0], [2.0, 0.0]])
        >>> y = ["up", "right", "up", "right"]
        >>> classifier = LinearClassifier(random_state=0).fit(X, y)
        >>> classifier.predict(np.array([[0.0, 3.0]]))
        array(['up'], dtype='<U5')
    """

    def fit(self: Fitted, X: Any, y: Any, sample_weight: npt.ArrayLike | None = None) -> Fitted:
        """The classifier itself, trained from W = 0, b = 0.

        Args:
            X: (N, D), as above; also a data frame.
            y: (N,) labels, at least two different ones.
            sample_weight: (N,) weights >= 0 that count like repetitions, or None for all ones.
        Raises:
            ParameterError, LabelError, ShapeError, SplitError: a parameter, label or weight cannot be used.
            ValueError, TypeError: raised by scikit-learn if X is not a finite, dense table.
        """
        self.check_parameters()
        self.warn_unused()
        X, labels, weight = self.checked(self, X, y, sample_weight)
        self._train(Rows(X, labels, None, weight))
        self._warn_unless_good()
        return self

    def checked(
        self, estimator: BaseEstimator, X: Any, y: Any, sample_weight: npt.ArrayLike | None
    ) -> tuple[npt.NDArray[Any], Labels, Floats | None]:
        """(X for the engine, labels 0..K-1, row weights or None) of the arguments of `fit`; sets `classes_`.

        Args:
            estimator: gets the attributes `n_features_in_` and `feature_names_in_`: this one, or one that wraps it.
        """
        check_rows(X)
        X, y = validate_data(estimator, X, y, dtype=list(DTYPES))
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        self._check_two_classes(labels)
        weight = self.row_weights(sample_weight, labels)
        self.image_shape_ = None
        return X, labels.astype(np.int64), weight

    def checked_more(self, X: Any, y: Any) -> Rows:
        """Rows with the features and classes of those that `checked` has seen, to choose by; each counts once.

        Raises:
            ParameterError, LabelError: there are none, or a label is not among the classes.
        """
        if len(y) == 0:
            raise ParameterError("there are no validation rows to choose by; expected at least one.")
        X, y = validate_data(self, X, y, dtype=list(DTYPES), reset=False)
        return Rows(X, self._positions(y, "Leave those rows out, or add their classes to the training rows."))

    @available_if(_is_sgd)  # type: ignore[untyped-decorator]
    def partial_fit(
        self: Fitted,
        X: Any,
        y: Any,
        classes: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
    ) -> Fitted:
        """The classifier itself after one epoch of SGD over these rows only: for streams.

        The learning rate is constant; "auto" chooses it, and `preprocess` its map, from the rows of the first
        call. After `fit`, or on a model read from a file, training continues from its weights.

        Args:
            X, y, sample_weight: as for `fit`; one class, or one row, is enough.
            classes: all labels that will occur; required in the first call only.
        Raises:
            ParameterError: the first call has no `classes`, or a later call has different ones.
            LabelError: a label is not in `classes`.
        """
        self.check_parameters()
        self.warn_unused()
        if self.class_weight == "balanced":
            raise ParameterError(
                "class_weight='balanced' requires all labels at once, but partial_fit gets a part of them; "
                "use a dict from label to weight."
            )
        if self.validation_fraction or self.patience is not None:
            raise ParameterError("partial_fit holds nothing out; set validation_fraction=0 and patience=None.")
        first = not hasattr(self, "weights_")
        X, y = validate_data(self, X, y, dtype=list(DTYPES), reset=first)
        check_classification_targets(y)
        self._check_classes(classes, first)
        labels = self._positions(y)
        weight = self.row_weights(sample_weight, labels)
        rows = Rows(X, labels, None, weight)
        if first:
            self.image_shape_ = None
            self.affine_ = self._fit_affine(rows)
        objective = self.objective_of(rows)
        start = None if first else self._stream_state()
        epochs = 1 if start is None else start.epoch + 1
        optimizer = self._sgd(self.drawn_seed(), epochs=epochs, schedule="constant")
        self.keep(optimizer.minimize(objective, start), objective)
        self._warn_unless_good()
        return self

    def decision_function(self, X: Any) -> npt.NDArray[np.float64]:
        """Scores S = X @ coef_.T + intercept_, (N, K) float64; for two classes S[:, 1] - S[:, 0], (N,)."""
        S = self.scores(X)
        return S[:, 1] - S[:, 0] if len(self.classes_) == 2 else S

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """(N,) labels with the highest score; the first of equal scores."""
        S = self.scores(X)
        labels: npt.NDArray[Any] = self.classes_[S.argmax(axis=1)]
        return labels

    @available_if(gives_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """(N, K) probabilities: with loss="softmax" the softmax of the scores; else where the loss gives them."""
        S = self.scores(X)
        return self.loss_.probabilities(S).astype(np.float64)

    @available_if(gives_probabilities)  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """(N, K) log probabilities, computed from the scores: finite where a probability rounds to 0."""
        S = self.scores(X)
        return self.loss_.log_probabilities(S).astype(np.float64)

    def scores(self, X: Any) -> npt.NDArray[np.float64]:
        """Scores S = W x' + b, (N, K) float64, with two columns for two classes; X is not copied."""
        check_is_fitted(self, "weights_")
        return super().scores(validate_data(self, X, dtype=list(DTYPES), reset=False))

    def _stream_state(self) -> State:
        """The state from which `partial_fit` continues: the last state of SGD, or the weights alone."""
        solution: Solution | None = getattr(self, "solution_", None)
        saved = None if solution is None else SGDState.of(solution.state)
        if saved is None:  # read from a file, or found by another optimizer
            return State(0, {"W": self.weights_, "b": self.bias_})
        if self.learning_rate != "auto":  # a rate set since then takes precedence
            saved = replace(saved, learning_rate=math.nan)
        return saved.to_state()

    def _check_classes(self, classes: npt.ArrayLike | None, first: bool) -> None:
        """Set classes_ in the first `partial_fit`, and compare with it in the others."""
        if classes is None:
            if first:
                raise ParameterError("classes = None; the first call of partial_fit requires all labels.")
            return
        given = np.unique(np.asarray(classes))
        if first:
            if len(given) < 2:
                raise LabelError("classes holds fewer than 2 classes; a classifier needs at least 2.")
            self.classes_ = given
        elif not np.array_equal(given, np.sort(self.classes_)):
            raise ParameterError(
                f"classes = {few(tuple(map(str, given)))}, but training began with {few(self.class_names_)}; "
                "pass the same classes, or leave them out."
            )

    def _positions(
        self, y: npt.NDArray[Any], remedy: str = "Pass all labels as classes in the first call."
    ) -> npt.NDArray[np.int64]:
        """Each label as its position in classes_; `remedy` ends the message for one that has none."""
        found, inverse = np.unique(y, return_inverse=True)
        known = {label: k for k, label in enumerate(self.classes_.tolist())}
        unknown = tuple(str(label) for label in found.tolist() if label not in known)
        if unknown:
            raise LabelError(
                f"y holds {few(unknown)}; expected labels among the classes {few(self.class_names_)}. {remedy}"
            )
        table = np.array([known[label] for label in found.tolist()], dtype=np.int64)
        positions: npt.NDArray[np.int64] = table[inverse]
        return positions

    def _warn_unless_good(self) -> None:
        """Warn if the training ended early, with the remaining gap and the parameters to change."""
        if self.status_ not in BAD_ENDS:
            return
        aim = ""
        penalised = self.penalty_ is not None and self.reg > 0.0
        if self.certificate_ is not None and not penalised and self.status_ is not Status.SEPARABLE:
            norm = self.certificate_.gradient_norm
            aim = f" (gradient norm {norm:.3g}; without a penalty the only lower bound is 0)"
        elif self.certificate_ is not None and self.status_ is not Status.SEPARABLE:
            gap = f"relative duality gap {gap_text(self.certificate_.relative_gap)}, tol {self.tol:g}"
            aim = f" ({gap}; {self.certificate_.describe()})"
        elif self.optimizer == "gd":
            norm = self.history_[-1].get("gradient_norm", math.nan) if self.history_ else math.nan
            aim = f" (gradient norm {norm:.3g}, tol {self.tol:g})"
        why = self.chosen_.get(OBSTACLE, self.status_.value)
        warnings.warn(f"{type(self).__name__}: {why}{aim}", ConvergenceWarning, stacklevel=3)
