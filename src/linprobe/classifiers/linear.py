"""LinearClassifier: f(x, W) = Wx + b as a scikit-learn classifier."""

from __future__ import annotations

import math
import warnings
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from linprobe.classifiers.model import BAD_ENDS, LinearModel, few
from linprobe.classifiers.rows import Rows
from linprobe.errors import LabelError, ParameterError
from linprobe.losses import SoftmaxCrossEntropy
from linprobe.optimizers.base import Solution, State, Status
from linprobe.shapes import Floats, Labels, check_rows

__all__ = ["LinearClassifier"]

DTYPES = (np.float64, np.float32, np.float16, np.uint8)
"""What an engine reads as it is; anything else is converted to the first."""

Fitted = TypeVar("Fitted", bound="LinearClassifier")


def _is_softmax(classifier: LinearClassifier) -> bool:
    if classifier.loss == "softmax" or isinstance(classifier.loss, SoftmaxCrossEntropy):
        return True
    raise AttributeError(
        f"predict_proba needs loss='softmax'; with loss={classifier.loss!r} scores are no probabilities: "
        "use decision_function."
    )


def _is_sgd(classifier: LinearClassifier) -> bool:
    if classifier.optimizer == "sgd":
        return True
    raise AttributeError(f"partial_fit needs optimizer='sgd'; found optimizer={classifier.optimizer!r}.")


class LinearClassifier(ClassifierMixin, BaseEstimator, LinearModel):  # type: ignore[misc]  # scikit-learn has no types
    """Linear classifier of images or vectors, the class of the highest score of f(x, W) = W x' + b.

        L(W, b) = (1 / sum_i w_i) sum_i w_i L_i(W x'_i + b, y_i) + reg R(W)

    with x' = scale * x + shift the mapped input (see `preprocess`); the bias is not penalised. X is (N, D):
    uint8 pixels 0..255, never copied to floats, or float16, float32 or float64 vectors; other dtypes are
    converted to float64. Labels may be of any type that sorts. Sparse X is refused.

    Args:
        loss: "softmax", "hinge", "squared-hinge", or a Loss.
        penalty: "l2" = sum W², "l1" = sum |W|, "elastic-net" = sum (beta W² + |W|), "none", or a Penalty.
        reg: weight of the penalty, lambda, >= 0.
        beta: of the elastic net, >= 0.
        optimizer: "exact" (the optimum, with a certificate: `Exact`), "sgd" (mini-batches) or "gd" (gradient
            descent on all rows, with a line search).
        delta: margin asked of the correct class by the two hinge losses, > 0.
        batch_size, epochs, learning_rate, schedule, update, momentum, average: of SGD, as in `SGD`.
        patience: end SGD when the validation loss has not fallen for this many epochs, and keep the weights
            with the lowest; None for never. Needs validation rows.
        validation_fraction: share of the rows, class by class, that `fit` holds out for the trace and for
            `patience`, in 0..1 without 1.
        preprocess: the map of the input, which is applied as rows are read.
            "none": x' = x. "unit": uint8 divided by 255. "center": the same, minus the mean of the training
            rows. "standardize": each feature to mean 0 and deviation 1. "auto": "center" for uint8, else
            "none"; features of a scale far from 1 train faster with "standardize".
        class_weight: dict from label to weight, "balanced" (N / (K n_k)), or None.
        engine: "threads" (native code) or "reference" (NumPy).
        max_iter: iterations at most, of "exact" and "gd".
        tol: relative duality gap to reach with "exact", gradient norm with "gd".
        random_state: seed of the order of the rows and of the held-out rows; one int gives the same bits. "exact"
            has no use for it but for held-out rows.
        n_threads: threads that compute; None for one per core. The result does not depend on it.
    Attributes:
        classes_: (K,) the labels, sorted (class names in their own order after `fit_sets`).
        coef_, intercept_: (K, D) and (K,), for raw input: decision_function(X) = X @ coef_.T + intercept_.
            For two classes (1, D) and (1,), as in scikit-learn: the difference of the two classes.
        weights_, bias_: (K, D) and (K,) float64, W and b for the mapped input: what is penalised.
        affine_: the map of the input, or None for none.
        image_shape_: (height, width, channels) after `fit_sets` on images, else None.
        loss_, penalty_: the Loss and the Penalty (None for "none").
        n_features_in_, n_iter_: D, and the epochs or iterations done (of ADMM, tens of them).
        certificate_: what is proved of weights_ and bias_: objective, lower_bound, gap, relative_gap, gradient_norm,
            passes, seconds; None after "sgd" and "gd", which prove nothing.
        status_: why the optimizer ended; its value is a sentence.
        history_: a dict per epoch, the start included.
        chosen_: what was chosen from the data, in words by name.
        solution_: what the optimizer returned; a model that was read from a file has none.
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
            ValueError, TypeError: scikit-learn's, for an X that is not a finite, dense table.
        """
        self.check_parameters()
        X, labels, weight = self.checked(self, X, y, sample_weight)
        self._train(Rows(X, labels, None, weight))
        self._warn_unless_good()
        return self

    def checked(
        self, estimator: BaseEstimator, X: Any, y: Any, sample_weight: npt.ArrayLike | None
    ) -> tuple[npt.NDArray[Any], Labels, Floats | None]:
        """(X as it will be read, labels 0..K-1, row weights or None) of what was given to `fit`; sets `classes_`.

        Args:
            estimator: whose attributes `n_features_in_` and `feature_names_in_` are set: itself, or what wraps it.
        """
        check_rows(X)
        X, y = validate_data(estimator, X, y, dtype=list(DTYPES))
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        self._check_two_classes(labels)
        weight = self.row_weights(sample_weight, labels)
        self.image_shape_ = None
        return X, labels.astype(np.int64), weight

    @available_if(_is_sgd)  # type: ignore[untyped-decorator]
    def partial_fit(
        self: Fitted,
        X: Any,
        y: Any,
        classes: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
    ) -> Fitted:
        """The classifier itself after one more epoch of SGD, over these rows alone: for streams.

        The learning rate is constant; "auto" chooses it, and `preprocess` its map, from the rows of the first
        call. After `fit`, or on a model read from a file, training goes on from there.

        Args:
            X, y, sample_weight: as for `fit`; one class, or one row, is enough.
            classes: all labels that will ever come; needed in the first call only.
        Raises:
            ParameterError: the first call has no `classes`, or a later one has others.
            LabelError: a label is not among them.
        """
        self.check_parameters()
        if self.class_weight == "balanced":
            raise ParameterError(
                "class_weight='balanced' needs all labels at once, but partial_fit sees a part; give a dict."
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
        optimizer = self._sgd(self._seed(), epochs=epochs, schedule="constant")
        self.keep(optimizer.minimize(objective, start), objective)
        self._warn_unless_good()
        return self

    def decision_function(self, X: Any) -> npt.NDArray[np.float64]:
        """Scores S = X @ coef_.T + intercept_, (N, K) float64; for two classes S[:, 1] - S[:, 0], (N,)."""
        S = self.scores(X)
        return S[:, 1] - S[:, 0] if len(self.classes_) == 2 else S

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """(N,) labels with the highest score; of equal scores the first."""
        S = self.scores(X)
        labels: npt.NDArray[Any] = self.classes_[S.argmax(axis=1)]
        return labels

    @available_if(_is_softmax)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """(N, K) probabilities, the softmax of the scores: only with loss="softmax"."""
        S = self.scores(X)
        probabilities: npt.NDArray[np.float64] = SoftmaxCrossEntropy().probabilities(S).astype(np.float64)
        return probabilities

    @available_if(_is_softmax)  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """(N, K) logarithms of the probabilities, from the scores: finite where a probability rounds to 0."""
        S = self.scores(X)
        logarithms: npt.NDArray[np.float64] = SoftmaxCrossEntropy().log_probabilities(S).astype(np.float64)
        return logarithms

    def scores(self, X: Any) -> npt.NDArray[np.float64]:
        """Scores S = W x' + b, (N, K) float64 for two classes too, from rows as they lie in memory."""
        check_is_fitted(self, "weights_")
        return super().scores(validate_data(self, X, dtype=list(DTYPES), reset=False))

    def _stream_state(self) -> State:
        """Where `partial_fit` goes on: the last state of SGD, or the weights alone."""
        solution: Solution | None = getattr(self, "solution_", None)
        if solution is None or "steps" not in solution.state.numbers:
            # read from a file, or found by gradient descent: SGD's own arrays and numbers are not there
            return State(0, {"W": self.weights_, "b": self.bias_})
        kept = dict(solution.state.numbers)
        if self.learning_rate != "auto":  # a rate that was set since then is the one to use
            del kept["learning_rate"]
        return State(solution.state.epoch, solution.state.arrays, kept)

    def _check_classes(self, classes: npt.ArrayLike | None, first: bool) -> None:
        """Set classes_ in the first `partial_fit`, and compare with it in the others."""
        if classes is None:
            if first:
                raise ParameterError("classes = None; the first call of partial_fit needs all labels.")
            return
        given = np.unique(np.asarray(classes))
        if first:
            if len(given) < 2:
                raise LabelError("classes holds fewer than 2 classes; a classifier needs at least 2.")
            self.classes_ = given
        elif not np.array_equal(given, np.sort(self.classes_)):
            raise ParameterError(
                f"classes = {few(tuple(map(str, given)))}, but training began with {few(self.class_names_)}."
            )

    def _positions(self, y: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Each label as its position in classes_."""
        found, inverse = np.unique(y, return_inverse=True)
        known = {label: k for k, label in enumerate(self.classes_.tolist())}
        unknown = tuple(str(label) for label in found.tolist() if label not in known)
        if unknown:
            raise LabelError(f"y holds {few(unknown)}, not among the classes {few(self.class_names_)}.")
        table = np.array([known[label] for label in found.tolist()], dtype=np.int64)
        positions: npt.NDArray[np.int64] = table[inverse]
        return positions

    def _warn_unless_good(self) -> None:
        """One warning that says how far off the weights are, and what to turn."""
        if self.status_ not in BAD_ENDS:
            return
        aim = ""
        penalised = self.penalty_ is not None and self.reg > 0.0
        if self.certificate_ is not None and not penalised and self.status_ is not Status.SEPARABLE:
            norm = self.certificate_.gradient_norm
            aim = f" (gradient norm {norm:.3g}; without a penalty nothing but 0 bounds the objective)"
        elif self.certificate_ is not None and self.status_ is not Status.SEPARABLE:
            gap = f"relative duality gap {self.certificate_.relative_gap:.1e}, tol {self.tol:g}"
            aim = f" ({gap}; {self.certificate_.describe()})"
        elif self.optimizer == "gd":
            norm = self.history_[-1].get("gradient_norm", math.nan) if self.history_ else math.nan
            aim = f" (gradient norm {norm:.3g}, tol {self.tol:g})"
        warnings.warn(f"{type(self).__name__}: {self.status_.value}{aim}", ConvergenceWarning, stacklevel=3)
