"""LinearModel: a linear classifier and its training, without importing scikit-learn."""

from __future__ import annotations

import inspect
import math
import numbers
import warnings
from collections.abc import Collection, Mapping
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from linprobe.classifiers.row_weights import row_weights
from linprobe.classifiers.rows import Rows
from linprobe.classifiers.unused import REGISTRIES, unused
from linprobe.data.base import LabelledSet
from linprobe.engines.base import ENGINES, MappedRows, scores_of
from linprobe.errors import IncompatibleError, LabelError, ParameterError, ShapeError, SplitError
from linprobe.features.base import Affine, FeatureMap
from linprobe.features.pixels import PREPROCESS, Pixels
from linprobe.losses import LOSSES, Loss, make_loss
from linprobe.objective import Objective
from linprobe.optimizers.base import Callback, Optimizer, Solution, State, Status, Watch
from linprobe.optimizers.exact import Exact
from linprobe.optimizers.gradient_descent import GradientDescent
from linprobe.optimizers.registry import OPTIMIZERS
from linprobe.optimizers.sgd import SGD
from linprobe.parameters import NAMED
from linprobe.penalties import PENALTIES, Penalty, make_penalty
from linprobe.plain import few
from linprobe.scores import fold
from linprobe.shapes import Floats, Labels, check_range, half_sizes

__all__ = ["BAD_ENDS", "AnyModel", "LinearModel", "check_finite", "few"]

BAD_ENDS = (Status.MAX_ITER, Status.STALLED, Status.DIVERGED, Status.SEPARABLE, Status.INTERRUPTED)
"""Ends of a training after which a warning names the parameters to change."""

BLOCK_NUMBERS = 2**20
"""Numbers in a block of rows that is searched for NaN, which bounds the temporary flags to 1 MB."""

AnyModel = TypeVar("AnyModel", bound="LinearModel")


class LinearModel:
    """f(x, W) = W x' + b, trained on labelled sets: the model of a run, a model file and the command line.

    Parameters and attributes are those of `LinearClassifier`, which adds scikit-learn's interface.
    """

    classes_: npt.NDArray[Any]
    image_shape_: tuple[int, ...] | None
    feature_names_in_: npt.NDArray[Any]
    n_features_in_: int
    extra_: Mapping[str, object]
    features_: FeatureMap | None = None
    trained_on_: npt.NDArray[np.uint64] | None = None
    """(N,) digests of the images that a run has trained on, ascending; None where they are not known."""
    chosen_on_: npt.NDArray[np.uint64] | None = None
    """(N,) digests of other images by which a run chose something, ascending; None where they are not known."""

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
        dropout: float = 0.0,
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
        loss_options: Mapping[str, bool | int | float] | None = None,
        penalty_options: Mapping[str, bool | int | float] | None = None,
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
        self.dropout = dropout
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
        self.loss_options = loss_options
        self.penalty_options = penalty_options

    def parameters(self) -> dict[str, Any]:  # of the types that the constructor takes
        """The arguments of the constructor, by name."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def unfitted(self: AnyModel, **changes: Any) -> AnyModel:
        """An untrained model with these parameters and `changes`."""
        return type(self)(**{**self.parameters(), **changes})

    def fit_sets(
        self: AnyModel,
        train: LabelledSet,
        validation: LabelledSet | None = None,
        callback: Callback | None = None,
        start: State | None = None,
        watch: Watch | None = None,
    ) -> AnyModel:
        """The classifier itself, trained on the rows that `train` uses; its classes are the class names.

        Pixels are read where they lie, subsets and memory maps included.

        Args:
            train: labelled images or vectors.
            validation: held out, for the trace and for `patience`; None holds out `validation_fraction` of
                `train`.
            callback: called after the start and after each epoch; returning True ends the training.
            start: a state of an earlier training with the same parameters and data, which resumes bit for bit.
            watch: called within long epochs (see `Optimizer.minimize`).
        Raises:
            ParameterError, LabelError, ShapeError, SplitError: a parameter or the set cannot be used.
            IncompatibleError: `validation` has other classes or another shape than `train`.
        """
        self.check_parameters()
        if validation is not None:
            _check_alike(train, validation)
        for images in (train, validation):
            if images is not None:
                check_finite(images)
        if hasattr(self, "feature_names_in_"):  # from an earlier fit to a data frame
            del self.feature_names_in_
        self.classes_ = np.array(train.class_names)
        self._check_two_classes(train.y)
        self.n_features_in_ = int(train.X.shape[1])
        self.image_shape_ = train.image_shape
        self._train(self.rows_of(train), validation, callback, start, watch)
        return self

    @property
    def class_names_(self) -> tuple[str, ...]:
        """`classes_` as text."""
        return tuple(str(label) for label in self.classes_)

    def scores(self, X: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Scores S = W x' + b, (N, K) float64, of rows X (N, D), which are not copied."""
        images = MappedRows(X, affine=self.affine_)
        S = scores_of(images, self.weights_, self.bias_, engine=self.engine, n_threads=self.n_threads)
        return S.astype(np.float64, copy=False)

    def rows_of(self, images: LabelledSet) -> Rows:
        """The rows that `images` uses, with the weights of their classes."""
        return Rows(images.X, images.y, images.rows, self.row_weights(None, images.y))

    def _train(
        self,
        train: Rows,
        validation: LabelledSet | None = None,
        callback: Callback | None = None,
        start: State | None = None,
        watch: Watch | None = None,
    ) -> None:
        """Minimise over the rows, less those held out, and keep the solution."""
        seed = self.drawn_seed()
        held_out = None if validation is None else self.rows_of(validation)
        if held_out is None and self.validation_fraction:
            kept, out = self._hold_out(train.y, seed)
            train, held_out = train.at(kept), train.at(out)
        self._check_patience(held_out)
        self.affine_ = self._fit_affine(train)
        objective = self.objective_of(train)
        judge = None if held_out is None else self.objective_of(held_out.each_once())
        self.keep(self.optimizer_for(seed).minimize(objective, start, callback, judge, watch), objective)

    def _check_patience(self, held_out: Rows | None) -> None:
        """Raise ParameterError for a `patience` that this training cannot use."""
        if self.patience is None or self.optimizer != "sgd":
            return
        if held_out is None:
            raise ParameterError(
                f"patience = {self.patience} needs validation rows; hold some out (validation_fraction=0.1), or leave "
                "patience out."
            )

    def optimizer_for(self, seed: int) -> Optimizer:
        """The optimizer that the parameters describe, with this seed of the order of the rows."""
        if self.optimizer == "sgd":
            return self._sgd(seed, epochs=self.epochs, schedule=self.schedule)
        if self.optimizer == "exact":
            return Exact(max_iter=self.max_iter, tol=self.tol)
        return GradientDescent(max_iter=self.max_iter, tol=self.tol)

    def begin(self, other: LinearModel, rows: Rows) -> None:
        """Take the classes of `other`, and learn the map of the input from `rows`; `objective_of` needs both."""
        self.features_ = other.features_
        self.classes_, self.image_shape_, self.n_features_in_ = other.classes_, other.image_shape_, rows.X.shape[1]
        if hasattr(other, "feature_names_in_"):
            self.feature_names_in_ = other.feature_names_in_
        self.affine_ = self._fit_affine(rows)

    def keep(self, solution: Solution, objective: Objective) -> None:
        """Set the attributes that come from a solution."""
        self.trained_on_ = self.chosen_on_ = None  # of other images now
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

    def objective_of(self, rows: Rows) -> Objective:
        """The objective over `rows`, through the map of the input that `begin` or a training learned."""
        return Objective(
            rows.X,
            rows.y,
            loss=self._make_loss(),
            penalty=self._make_penalty(),
            reg=self.reg,
            n_classes=len(self.classes_),
            sample_weight=rows.weight,
            rows=rows.rows,
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
            dropout=self.dropout,
            average=self.average,
            patience=self.patience,
            seed=seed,
        )

    def _make_loss(self) -> Loss:
        if isinstance(self.loss, Loss):
            _refuse_options("loss", self.loss_options)
            return self.loss
        return make_loss(self.loss, **self._given("loss", LOSSES.get(self.loss)))

    def _make_penalty(self) -> Penalty | None:
        if isinstance(self.penalty, Penalty):
            _refuse_options("penalty", self.penalty_options)
            return self.penalty
        return make_penalty(self.penalty, **self._given("penalty", PENALTIES.get(self.penalty)))

    def _given(self, which: Literal["loss", "penalty"], kind: object) -> dict[str, float]:
        """The parameters of the loss or penalty of this class: `delta` or `beta` if it has that, and its options."""
        own: str = NAMED[which]
        options: object = getattr(self, f"{which}_options")
        if options is not None and not isinstance(options, Mapping):
            raise ParameterError(f"{which}_options = {options!r}; expected a dict from parameter to value, or None.")
        given: dict[str, float] = dict(options or {})
        if own in given:
            raise ParameterError(f"{which}_options holds {own}; give it as {own}={given[own]!r}.")
        takes = own in {one.name for one in getattr(kind, "parameter_info", ())}
        return {**({own: getattr(self, own)} if takes else {}), **given}

    def _fit_affine(self, train: Rows) -> Affine | None:
        """The map of the input, learned from the training rows."""
        is_pixels = train.X.dtype == np.uint8
        kind = self.preprocess
        if kind == "auto":
            kind = "center" if is_pixels else "none"
        if kind == "none" or (kind == "unit" and not is_pixels):
            return None
        pixels = Pixels(center=kind != "unit", standardize=kind == "standardize")
        return pixels.fit(train.X, train.rows, train.weight, self.n_threads).affine

    def drawn_seed(self) -> int:
        """`random_state` itself if it is an int, so that a seed has one meaning everywhere; else a random draw."""
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        from sklearn.utils import check_random_state

        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _hold_out(self, y: Labels, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Positions kept and held out, both in ascending order, each class in the same proportion."""
        from sklearn.model_selection import train_test_split

        try:
            kept, out = train_test_split(
                np.arange(len(y)), test_size=self.validation_fraction, stratify=y, random_state=seed % 2**32
            )
        except ValueError as error:
            raise SplitError(
                f"validation_fraction = {self.validation_fraction}: {len(y)} rows of {len(np.unique(y))} "
                f"classes cannot be split ({str(error).rstrip('.')}); use more rows, or another fraction."
            ) from error
        return np.sort(kept), np.sort(out)

    def row_weights(self, sample_weight: npt.ArrayLike | None, y: Labels) -> Floats | None:
        """Sample weight times class weight, (N,) float64; None if both are None."""
        return row_weights(sample_weight, self.class_weight, y, self.classes_, self.class_names_)

    def check_parameters(self) -> None:
        """Raise ParameterError for a parameter out of range, before anything is read."""
        _check_choice("optimizer", self.optimizer, OPTIMIZERS)
        _check_choice("preprocess", self.preprocess, PREPROCESS)
        _check_choice("engine", self.engine, ENGINES)
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
        _check_number("dropout", self.dropout)
        if self.dropout and self.optimizer != "sgd":
            raise ParameterError(
                f"dropout = {self.dropout!r} needs optimizer='sgd'; found {self.optimizer!r}, which minimises one "
                "function, and the mean of the loss over all masks has no closed form. Choose 'sgd', or a penalty."
            )
        self._sgd(0, epochs=self.epochs, schedule=self.schedule)  # checks the ranges of its own parameters

    def warn_unused(self) -> None:
        """Warn of a parameter that is not at its default and does nothing, as one of another optimizer.

        A search over several optimizers may set such parameters.

        Raises:
            ParameterError: `delta` or `beta` besides a loss or penalty that is given as an object.
        """
        defaults = {name: one.default for name, one in inspect.signature(type(self)).parameters.items()}
        changed = [name for name, default in defaults.items() if _differs(getattr(self, name), default)]
        if self.reg == 0:  # says the same as the penalty "none"
            changed = [name for name in changed if name != "reg"]
        for kind, named in NAMED.items():
            if not isinstance(getattr(self, kind), str) and named in changed:
                raise ParameterError(
                    f"{named} = {getattr(self, named)!r} is of a {kind} given by name; set it in the {kind} itself."
                )
        found = unused(changed, {kind: getattr(self, kind) for kind in REGISTRIES})
        if found is not None:
            name, kind, takers = found.parameter, found.kind, " or ".join(map(repr, found.takers))
            warnings.warn(
                f"{name} = {getattr(self, name)!r} does nothing with {kind}={found.chosen!r}; it only applies to "
                f"{kind}={takers}.",
                UserWarning,
                stacklevel=3,
            )

    def _check_two_classes(self, labels: Labels) -> None:
        """Raise LabelError unless at least two classes occur."""
        present = np.unique(labels)
        if len(present) == 0:
            raise ShapeError("X has no rows; at least one image is needed.")
        if len(present) == 1:
            raise LabelError(
                f"y holds only one class, {str(self.classes_[present[0]])!r}; a classifier needs at least 2 classes."
            )


def _refuse_options(which: str, options: Mapping[str, float] | None) -> None:
    """Raise ParameterError for options of a loss or penalty that is given as an object, which holds its own."""
    if options:
        raise ParameterError(
            f"{which}_options = {options!r} is of a {which} given by name; set them in the {which} itself."
        )


def _differs(value: object, default: object) -> bool:
    """Whether a parameter has another value than its default."""
    return value is not default and bool(value != default)


def _check_choice(name: str, value: Any, choices: Collection[str]) -> None:
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
            f"{validation.source}: the validation classes are {few(validation.class_names)}, "
            f"but the training classes are {few(train.class_names)}; use the same classes in the same order."
        )
    if validation.image_shape != train.image_shape or validation.X.shape[1] != train.X.shape[1]:
        shapes = [s.image_shape or (s.X.shape[1],) for s in (validation, train)]
        raise IncompatibleError(
            f"{validation.source}: the validation rows have shape {shapes[0]}, but the training rows {shapes[1]}; "
            "use images of one size."
        )


def check_finite(images: LabelledSet) -> None:
    """Raise ShapeError where a used row holds NaN or infinity."""
    X = images.X
    if X.dtype == np.uint8:
        return
    size = max(1, BLOCK_NUMBERS // max(1, X.shape[1]))
    for begin in range(0, images.n_images, size):
        block = slice(begin, begin + size)
        finite = _finite(X[block] if images.rows is None else X[images.rows[block]])
        if not finite.all():
            row = begin + int(np.flatnonzero(~finite)[0])
            raise ShapeError(f"{images.source}: row {row} holds NaN or infinity; every number must be finite.")


def _finite(rows: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """(n,) whether each row holds finite numbers only."""
    if rows.dtype == np.float16:
        finite: npt.NDArray[np.bool_] = half_sizes(rows).max(axis=1, initial=0) < 0x7C00
        return finite
    found: npt.NDArray[np.bool_] = np.isfinite(rows).all(axis=1)
    return found
