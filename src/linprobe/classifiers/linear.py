"""LinearClassifier: f(x, W) = Wx + b as a scikit-learn classifier."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from linprobe.data.base import LabelledSet
from linprobe.engines.base import ENGINES, Examples, open_engine
from linprobe.errors import IncompatibleError, LabelError, ParameterError, ShapeError, SplitError
from linprobe.features.base import Affine
from linprobe.features.pixels import Pixels
from linprobe.losses import Loss, SoftmaxCrossEntropy, make_loss
from linprobe.objective import Objective
from linprobe.optimizers.base import Callback, Optimizer, Solution, State, Status
from linprobe.optimizers.exact import Exact
from linprobe.optimizers.gradient_descent import GradientDescent
from linprobe.optimizers.sgd import SGD
from linprobe.penalties import Penalty, make_penalty
from linprobe.scores import fold
from linprobe.shapes import Floats, Labels, check_range, check_sample_weight

__all__ = ["BAD_ENDS", "OPTIMIZERS", "PREPROCESS", "LinearClassifier"]

OPTIMIZERS = ("exact", "sgd", "gd")
PREPROCESS = ("auto", "none", "unit", "center", "standardize")

DTYPES = (np.float64, np.float32, np.float16, np.uint8)
"""What an engine reads as it is; anything else is converted to the first."""

BAD_ENDS = (Status.MAX_ITER, Status.STALLED, Status.DIVERGED, Status.SEPARABLE, Status.INTERRUPTED)
"""Ends of a training that ask for something to be changed."""

BLOCK_NUMBERS = 2**20
"""Numbers in a block of rows that is looked through for NaN."""

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


class LinearClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
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

    image_shape_: tuple[int, ...] | None
    feature_names_in_: npt.NDArray[Any]

    def __init__(
        self,
        loss: str | Loss = "softmax",
        penalty: str | Penalty = "l2",
        reg: float = 1e-3,
        beta: float = 1.0,
        optimizer: str = "exact",
        *,
        delta: float = 1.0,
        batch_size: int = 32,
        epochs: int = 20,
        learning_rate: float | Literal["auto"] = "auto",
        schedule: str = "cosine",
        update: str = "momentum",
        momentum: float = 0.9,
        average: bool = False,
        patience: int | None = None,
        validation_fraction: float = 0.0,
        preprocess: str = "auto",
        class_weight: Mapping[Any, float] | str | None = None,
        engine: str = "threads",
        max_iter: int = 1000,
        tol: float = 1e-4,
        random_state: int | np.random.RandomState | None = None,
        n_threads: int | None = None,
    ) -> None:
        self.loss = loss
        self.penalty = penalty
        self.reg = reg
        self.beta = beta
        self.optimizer = optimizer
        self.delta = delta
        self.batch_size = batch_size
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.update = update
        self.momentum = momentum
        self.average = average
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.preprocess = preprocess
        self.class_weight = class_weight
        self.engine = engine
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.n_threads = n_threads

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
        self._train(X, labels, None, weight, None, None, None)
        self._warn_unless_good()
        return self

    def checked(
        self, estimator: BaseEstimator, X: Any, y: Any, sample_weight: npt.ArrayLike | None
    ) -> tuple[npt.NDArray[Any], Labels, Floats | None]:
        """(X as it will be read, labels 0..K-1, row weights or None) of what was given to `fit`; sets `classes_`.

        Args:
            estimator: whose attributes `n_features_in_` and `feature_names_in_` are set: itself, or what wraps it.
        """
        X, y = validate_data(estimator, X, y, dtype=list(DTYPES))
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        self._check_two_classes(labels)
        weight = self.row_weights(sample_weight, labels)
        self.image_shape_ = None
        return X, labels.astype(np.int64), weight

    def fit_sets(
        self: Fitted,
        train: LabelledSet,
        validation: LabelledSet | None = None,
        callback: Callback | None = None,
        start: State | None = None,
    ) -> Fitted:
        """The classifier itself, trained on the rows that `train` uses; its classes are the class names.

        Pixels are read where they lie, subsets and memory maps included.

        Args:
            train: labelled images or vectors.
            validation: held out, for the trace and for `patience`; None holds out `validation_fraction` of
                `train`.
            callback: called after the start and after each epoch; returning True ends the training.
            start: a state of an earlier training with the same parameters and data, to continue to the same
                bits.
        Raises:
            ParameterError, LabelError, ShapeError, SplitError: a parameter or the set cannot be used.
            IncompatibleError: `validation` has other classes or another shape than `train`.
        """
        self.check_parameters()
        if validation is not None:
            _check_alike(train, validation)
        for images in (train, validation):
            if images is not None:
                _check_finite(images)
        if hasattr(self, "feature_names_in_"):  # of an earlier fit on a data frame
            del self.feature_names_in_
        self.classes_ = np.array(train.class_names)
        self._check_two_classes(train.y)
        self.n_features_in_ = int(train.X.shape[1])
        self.image_shape_ = train.image_shape
        weight = self.row_weights(None, train.y)
        self._train(train.X, train.y, train.rows, weight, validation, callback, start)
        return self

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
        if first:
            self.image_shape_ = None
            self.affine_ = self._fit_affine(X, None, weight)
        objective = self.objective_of(X, labels, None, weight)
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

    @property
    def class_names_(self) -> tuple[str, ...]:
        """`classes_` as text."""
        return tuple(str(label) for label in self.classes_)

    def scores(self, X: Any) -> npt.NDArray[np.float64]:
        """Scores S = W x' + b, (N, K) float64 for two classes too, from rows as they lie in memory."""
        check_is_fitted(self, "weights_")
        X = validate_data(self, X, dtype=list(DTYPES), reset=False)
        examples = Examples(X, np.zeros(len(X), np.int64), len(self.classes_), affine=self.affine_)
        S = open_engine(self.engine, examples, self.n_threads).scores(self.weights_, self.bias_)
        return S.astype(np.float64, copy=False)

    def _train(
        self,
        X: npt.NDArray[Any],
        y: Labels,
        rows: npt.NDArray[np.int64] | None,
        weight: Floats | None,
        validation: LabelledSet | None,
        callback: Callback | None,
        start: State | None,
    ) -> None:
        """Minimise over the rows, less those held out, and keep the solution."""
        seed = self._seed()
        held: tuple[npt.NDArray[Any], Labels, npt.NDArray[np.int64] | None, Floats | None] | None = None
        if validation is not None:
            weight_held = self.row_weights(None, validation.y)
            held = (validation.X, validation.y, validation.rows, weight_held)
        elif self.validation_fraction:
            kept, out = self._hold_out(y, seed)
            positions = np.arange(len(X)) if rows is None else rows
            held = (X, y[out], positions[out], None if weight is None else weight[out])
            rows, y, weight = positions[kept], y[kept], None if weight is None else weight[kept]
        if self.patience is not None and self.optimizer != "sgd":
            raise ParameterError(f"patience = {self.patience} is of optimizer='sgd'; found {self.optimizer!r}.")
        if self.patience is not None and held is None:
            raise ParameterError(
                f"patience = {self.patience} needs validation rows; set validation_fraction, or patience=None."
            )
        self.affine_ = self._fit_affine(X, rows, weight)
        objective = self.objective_of(X, y, rows, weight)
        optimizer: Optimizer
        if self.optimizer == "sgd":
            optimizer = self._sgd(seed, epochs=self.epochs, schedule=self.schedule)
        elif self.optimizer == "exact":
            optimizer = Exact(max_iter=self.max_iter, tol=self.tol)
        else:
            optimizer = GradientDescent(max_iter=self.max_iter, tol=self.tol)
        solution = optimizer.minimize(objective, start, callback, None if held is None else self.objective_of(*held))
        self.keep(solution, objective)

    def begin(
        self,
        other: LinearClassifier,
        X: npt.NDArray[Any],
        rows: npt.NDArray[np.int64] | None,
        weight: Floats | None,
    ) -> None:
        """Take the classes of `other`, and learn the map of the input from these rows of X: before `objective_of`."""
        self.classes_, self.image_shape_, self.n_features_in_ = other.classes_, other.image_shape_, int(X.shape[1])
        if hasattr(other, "feature_names_in_"):
            self.feature_names_in_ = other.feature_names_in_
        self.affine_ = self._fit_affine(X, rows, weight)

    def keep(self, solution: Solution, objective: Objective) -> None:
        """Set the attributes that come from a solution."""
        self.loss_, self.penalty_ = objective.loss, objective.penalty
        self.solution_, self.certificate_ = solution, solution.certificate
        self.status_, self.history_, self.chosen_ = solution.status, solution.history, solution.chosen
        self.n_iter_ = max(1, solution.state.epoch) if self.optimizer == "exact" else solution.state.epoch
        self._set_weights(solution.W, solution.b)

    def _set_weights(self, W: Floats, b: Floats) -> None:
        """Set weights_ and bias_, and coef_ and intercept_ from them."""
        self.weights_, self.bias_ = W.astype(np.float64), b.astype(np.float64)
        W, b = self.weights_, self.bias_
        if len(W) == 2:
            W, b = W[1:] - W[:1], b[1:] - b[:1]
        if self.affine_ is not None:
            W, b = fold(W, b, self.affine_.scale, self.affine_.shift)
        self.coef_, self.intercept_ = W.copy(), b.copy()

    def objective_of(
        self, X: npt.NDArray[Any], y: Labels, rows: npt.NDArray[np.int64] | None, weight: Floats | None
    ) -> Objective:
        """The objective over these rows of X, mapped as `begin` learnt it."""
        return Objective(
            X,
            y,
            loss=self._make_loss(),
            penalty=self._make_penalty(),
            reg=self.reg,
            n_classes=len(self.classes_),
            sample_weight=weight,
            rows=rows,
            affine=self.affine_,
            engine=self.engine,
            n_threads=self.n_threads,
        )

    def _sgd(self, seed: int, *, epochs: int, schedule: str) -> SGD:
        return SGD(
            batch_size=self.batch_size,
            epochs=epochs,
            learning_rate=self.learning_rate,
            schedule=schedule,
            update=self.update,
            momentum=self.momentum,
            average=self.average,
            patience=self.patience,
            seed=seed,
        )

    def _make_loss(self) -> Loss:
        if isinstance(self.loss, Loss):
            return self.loss
        return make_loss(self.loss, **({} if self.loss == "softmax" else {"delta": self.delta}))

    def _make_penalty(self) -> Penalty | None:
        if isinstance(self.penalty, Penalty):
            return self.penalty
        return make_penalty(self.penalty, **({"beta": self.beta} if self.penalty == "elastic-net" else {}))

    def _fit_affine(
        self, X: npt.NDArray[Any], rows: npt.NDArray[np.int64] | None, weight: Floats | None
    ) -> Affine | None:
        """The map of the input, learnt from the training rows."""
        is_pixels = X.dtype == np.uint8
        kind = self.preprocess
        if kind == "auto":
            kind = "center" if is_pixels else "none"
        if kind == "none" or (kind == "unit" and not is_pixels):
            return None
        pixels = Pixels(center=kind != "unit", standardize=kind == "standardize")
        return pixels.fit(X, rows, weight).affine

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

    def _seed(self) -> int:
        """`random_state` itself where it is an int, so that a seed means the same everywhere; else a draw."""
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _hold_out(self, y: Labels, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Positions kept and held out, both in ascending order, each class in the same proportion."""
        try:
            kept, out = train_test_split(
                np.arange(len(y)), test_size=self.validation_fraction, stratify=y, random_state=seed % 2**32
            )
        except ValueError as error:
            raise SplitError(
                f"validation_fraction = {self.validation_fraction}: {len(y)} rows of {len(np.unique(y))} "
                f"classes cannot be split so ({str(error).rstrip('.')}); use more rows, or another fraction."
            ) from error
        return np.sort(kept), np.sort(out)

    def row_weights(self, sample_weight: npt.ArrayLike | None, y: Labels) -> Floats | None:
        """Sample weight times class weight, (N,) float64; None where both are."""
        weight: Floats | None = None
        if sample_weight is not None:
            try:
                weight = np.asarray(sample_weight, dtype=np.float64)
            except (TypeError, ValueError) as error:
                raise ShapeError(f"sample_weight is not a list of numbers ({error}).") from error
            if weight.ndim == 0:
                weight = np.full(len(y), float(weight))
            check_sample_weight(weight, len(y))
        if self.class_weight is not None:
            weight = self._class_factors(y, weight)[y] * (1.0 if weight is None else weight)
            check_sample_weight(weight, len(y))
        return weight

    def _class_factors(self, y: Labels, weight: Floats | None) -> Floats:
        """(K,) weight of each class."""
        factors = np.ones(len(self.classes_))
        if self.class_weight == "balanced":
            # a class that is absent, or of weight 0, weighs nothing whatever its factor
            present = np.bincount(y, weights=weight, minlength=len(factors)) > 0
            used = present[y]
            factors[present] = compute_class_weight(
                "balanced",
                classes=np.flatnonzero(present),
                y=y[used],
                sample_weight=None if weight is None else weight[used],
            )
        elif isinstance(self.class_weight, Mapping):
            known = {label: k for k, label in enumerate(self.classes_.tolist())}
            for label, value in self.class_weight.items():
                if label not in known:
                    raise ParameterError(
                        f"class_weight names the class {label!r}; the classes are {_few(self.class_names_)}."
                    )
                check_range(f"class_weight[{label!r}]", value, low=0.0)
                factors[known[label]] = value
        return factors

    def check_parameters(self) -> None:
        """Raise ParameterError for a parameter out of range, before anything is read."""
        _check_choice("optimizer", self.optimizer, OPTIMIZERS)
        _check_choice("preprocess", self.preprocess, PREPROCESS)
        _check_choice("engine", self.engine, tuple(ENGINES))
        self._make_loss()
        self._make_penalty()
        for name in ("reg", "beta", "tol"):
            _check_number(name, getattr(self, name))
        _check_number("validation_fraction", self.validation_fraction, high=1.0)
        if self.validation_fraction == 1.0:
            raise ParameterError("validation_fraction = 1 leaves nothing to train on; expected less than 1.")
        if self.class_weight is not None and not isinstance(self.class_weight, Mapping):
            _check_choice("class_weight", self.class_weight, ("balanced",))
        if isinstance(self.random_state, int | np.integer) and self.random_state < 0:
            raise ParameterError(f"random_state = {self.random_state}; expected an integer >= 0.")
        for name, low in (("batch_size", 1), ("epochs", 0), ("max_iter", 0)):
            _check_count(name, getattr(self, name), low)
        for name in ("n_threads", "patience"):
            if getattr(self, name) is not None:
                _check_count(name, getattr(self, name), 1)
        if self.learning_rate != "auto":
            _check_number("learning_rate", self.learning_rate)
        _check_number("momentum", self.momentum)
        self._sgd(0, epochs=self.epochs, schedule=self.schedule)  # checks the ranges of its own parameters

    def _check_two_classes(self, labels: Labels) -> None:
        """Raise LabelError unless at least two classes occur."""
        present = np.unique(labels)
        if len(present) == 0:
            raise ShapeError("X has no rows; at least one image is needed.")
        if len(present) == 1:
            raise LabelError(
                f"y holds only one class, {str(self.classes_[present[0]])!r}; a classifier needs at least 2 classes."
            )

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
                f"classes = {_few(tuple(map(str, given)))}, but training began with {_few(self.class_names_)}."
            )

    def _positions(self, y: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Each label as its position in classes_."""
        found, inverse = np.unique(y, return_inverse=True)
        known = {label: k for k, label in enumerate(self.classes_.tolist())}
        unknown = tuple(str(label) for label in found.tolist() if label not in known)
        if unknown:
            raise LabelError(f"y holds {_few(unknown)}, not among the classes {_few(self.class_names_)}.")
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


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise ParameterError(f"{name} = {value!r}; expected one of {', '.join(choices)}.")


def _check_number(name: str, value: Any, *, high: float = math.inf) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ParameterError(f"{name} = {value!r}; expected a number.")
    check_range(name, float(value), low=0.0, high=high)


def _check_count(name: str, value: Any, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < low:
        raise ParameterError(f"{name} = {value!r}; expected an integer >= {low}.")


def _check_alike(train: LabelledSet, validation: LabelledSet) -> None:
    """Raise IncompatibleError unless both sets have the same classes and the same shape."""
    if validation.class_names != train.class_names:
        raise IncompatibleError(
            f"{validation.source}: the validation classes are {_few(validation.class_names)}, "
            f"but those of the training {_few(train.class_names)}; use the same classes in the same order."
        )
    if validation.image_shape != train.image_shape or validation.X.shape[1] != train.X.shape[1]:
        shapes = [s.image_shape or (s.X.shape[1],) for s in (validation, train)]
        raise IncompatibleError(
            f"{validation.source}: the validation rows have shape {shapes[0]}, but those of the training {shapes[1]}."
        )


def _check_finite(images: LabelledSet) -> None:
    """Raise ShapeError where a used row holds NaN or infinity."""
    X = images.X
    if X.dtype == np.uint8:
        return
    size = max(1, BLOCK_NUMBERS // max(1, X.shape[1]))
    for begin in range(0, images.n_images, size):
        block = slice(begin, begin + size)
        finite = np.isfinite(X[block] if images.rows is None else X[images.rows[block]]).all(axis=1)
        if not finite.all():
            row = begin + int(np.flatnonzero(~finite)[0])
            raise ShapeError(f"{images.source}: row {row} holds NaN or infinity; every number must be finite.")


def _few(names: tuple[str, ...]) -> str:
    """At most eight of `names`, and how many more there are."""
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
