"""LinearClassifierCV: a LinearClassifier whose reg is chosen by cross-validation, the whole grid solved jointly."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from linprobe.classifiers.linear import LinearClassifier, gives_probabilities
from linprobe.classifiers.model import BAD_ENDS
from linprobe.classifiers.rows import Rows
from linprobe.classifiers.savable import Savable
from linprobe.classifiers.selection import Choice, Selector
from linprobe.data.splits import stratified_folds
from linprobe.errors import ParameterError
from linprobe.losses import Loss
from linprobe.optimizers.base import Status
from linprobe.optimizers.path import check_regs, reg_grid
from linprobe.penalties import Penalty
from linprobe.printed import gap_text

__all__ = ["LinearClassifierCV"]

Fitted = TypeVar("Fitted", bound="LinearClassifierCV")


class LinearClassifierCV(ClassifierMixin, BaseEstimator, Savable):  # type: ignore[misc]  # scikit-learn has no types
    """Linear classifier with reg chosen by cross-validation over a grid; every fit of the grid has a certificate.

    Each fold solves the whole grid jointly, in shared passes over its images (`solve_path`), and is evaluated on the
    images it leaves out. The reg with the highest mean accuracy is fitted to all images; of equal accuracies, the
    largest reg.

    Args:
        reg_grid: "LOW:HIGH:COUNT", evenly spaced in the logarithm, or reg values >= 0.
        folds: number of stratified folds, >= 2.
        loss, penalty, beta, delta, loss_options, penalty_options: as in LinearClassifier.
        preprocess, class_weight, engine, max_iter, tol, n_threads: as in LinearClassifier with optimizer="exact".
        random_state: seed of the folds; results for one int are bit-identical.
    Attributes:
        reg_: the chosen reg.
        regs_: (L,) the grid, ascending.
        scores_: (folds, L) accuracy on the images left out.
        losses_: (folds, L) mean of L_i on them.
        certificates_: for each fold a tuple of L certificates.
        classifier_: the LinearClassifier fitted to all images; its attributes (coef_, intercept_, classes_,
            certificate_, ...) are available here too.
    Example:
        >>> X = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 2.0], [2.0, 0.0]] * 3)
        >>> y = ["up", "right", "up", "right"] * 3
        >>> classifier = LinearClassifierCV("1e-4:1:5", folds=3, random_state=0).fit(X, y)
        >>> classifier.reg_, classifier.predict(np.array([[0.0, 3.0]]))
        (1.0, array(['up'], dtype='<U5'))
    """

    def __init__(
        self,
        reg_grid: str | Sequence[float] = "1e-6:1e0:20",
        folds: int = 5,
        loss: str | Loss = "softmax",
        penalty: str | Penalty = "l2",
        beta: float = 1.0,
        *,
        delta: float = 1.0,
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
        self.reg_grid = reg_grid
        self.folds = folds
        self.loss = loss
        self.penalty = penalty
        self.beta = beta
        self.delta = delta
        self.preprocess = preprocess
        self.class_weight = class_weight
        self.engine = engine
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.n_threads = n_threads
        self.loss_options = loss_options
        self.penalty_options = penalty_options

    def fit(self: Fitted, X: Any, y: Any, sample_weight: npt.ArrayLike | None = None) -> Fitted:
        """The classifier itself, with reg chosen and fitted to all rows.

        Args:
            X, y, sample_weight: as for LinearClassifier.
        Raises:
            ParameterError, LabelError, ShapeError, SplitError: a parameter, label or weight cannot be used; a
                class has fewer rows than there are folds.
        """
        regs = reg_grid(self.reg_grid) if isinstance(self.reg_grid, str) else check_regs(self.reg_grid)
        if isinstance(self.folds, bool) or not isinstance(self.folds, int | np.integer) or self.folds < 2:
            raise ParameterError(f"folds = {self.folds!r}; expected an integer >= 2.")
        template = self._template()
        X, labels, weight = template.checked(self, X, y, sample_weight)
        images = Rows(X, labels, None, weight)
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = int(check_random_state(seed).randint(2**31 - 1))
        selector = Selector(template, images, regs)
        folds = stratified_folds(images.y, int(self.folds), int(seed))
        every = np.arange(len(images.y))
        parts = [selector.part(np.setdiff1d(every, fold), images.at(fold)) for fold in folds]
        choice = Choice(regs, tuple(parts))
        self.regs_, self.reg_ = np.array(regs), regs[choice.best]
        self.scores_ = np.array([part.accuracies for part in parts])
        self.losses_ = np.array([part.losses for part in parts])
        self.certificates_ = [part.certificates for part in parts]
        self.classifier_ = selector.refit(self.reg_)
        if hasattr(self, "feature_names_in_"):
            self.classifier_.feature_names_in_ = self.feature_names_in_
        self.classes_ = self.classifier_.classes_
        self._warn_unless_good(choice, selector)
        return self

    def decision_function(self, X: Any) -> npt.NDArray[np.float64]:
        """Scores as LinearClassifier returns them: (N, K), or (N,) for two classes."""
        check_is_fitted(self, "classifier_")
        return self.classifier_.decision_function(X)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """(N,) labels with the highest score."""
        check_is_fitted(self, "classifier_")
        return self.classifier_.predict(X)

    @available_if(gives_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """(N, K) probabilities: only where the loss gives them, as "softmax"."""
        check_is_fitted(self, "classifier_")
        probabilities: npt.NDArray[np.float64] = self.classifier_.predict_proba(X)
        return probabilities

    @available_if(gives_probabilities)  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """(N, K) logarithms of the probabilities, of the same losses."""
        check_is_fitted(self, "classifier_")
        logarithms: npt.NDArray[np.float64] = self.classifier_.predict_log_proba(X)
        return logarithms

    def __getattr__(self, name: str) -> Any:
        """A fitted attribute of `classifier_`."""
        if name.endswith("_") and not name.startswith("_") and name != "classifier_" and "classifier_" in vars(self):
            return getattr(self.classifier_, name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def _template(self) -> LinearClassifier:
        names = LinearClassifier().parameters()
        template = LinearClassifier(**{name: value for name, value in self.get_params().items() if name in names})
        template.check_parameters()
        template.warn_unused()
        return template

    def _warn_unless_good(self, choice: Choice, selector: Selector[LinearClassifier]) -> None:
        fits = [fit for part in choice.parts for fit in zip(part.statuses, choice.regs, strict=True)]
        fits.append((self.classifier_.status_, self.reg_))
        bad = [(status, reg) for status, reg in fits if status in BAD_ENDS]
        if bad:
            status, reg = bad[0]
            why = selector.obstacle(reg) if status is Status.STALLED else status.value
            gaps = [certificate.relative_gap for part in choice.parts for certificate in part.certificates]
            warnings.warn(
                f"{type(self).__name__}: {len(bad)} of {len(fits)} fits ended early: {why} "
                f"(largest relative duality gap {gap_text(max(gaps))}, tol {self.tol:g})",
                ConvergenceWarning,
                stacklevel=3,
            )
