"""Choosing the learning rate of SGD: a grid of runs, compared with the certified optimum of each reg."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Generic

import numpy as np
import numpy.typing as npt

from linprobe.certificate import Certificate
from linprobe.classifiers.model import AnyModel
from linprobe.classifiers.rows import Rows
from linprobe.classifiers.selection import SAME, PartScores, Selector
from linprobe.classifiers.unused import named_parameters, unused_of
from linprobe.errors import ParameterError
from linprobe.objective import Objective
from linprobe.optimizers.base import Epoch, State, Status
from linprobe.optimizers.path import Progress, check_rates, check_regs, rate_grid, reg_grid
from linprobe.optimizers.schedules import schedule_name
from linprobe.optimizers.updates import UPDATES
from linprobe.shapes import check_range

if TYPE_CHECKING:
    from linprobe.classifiers.linear import LinearClassifier

__all__ = [
    "Cell",
    "CellProgress",
    "CellScores",
    "RateChoice",
    "RateGrid",
    "RateSelector",
    "check_swept",
    "run_cells",
    "sweep_rates",
]


@dataclass(frozen=True)
class Cell:
    """One combination of a grid, by the names of the parameters of LinearClassifier."""

    learning_rate: float
    reg: float
    schedule: str
    update: str

    @property
    def parameters(self) -> dict[str, Any]:  # of the types that LinearClassifier takes
        """Its values by name."""
        return asdict(self)


@dataclass(frozen=True)
class RateGrid:
    """Every combination of learning rate, reg, schedule and update.

    Args:
        learning_rates: each > 0.
        regs: each >= 0.
        schedules: names in SCHEDULES, or "1/t" for "inverse".
        updates: names in UPDATES.
        halving: whether cells with a high validation loss end early, see `rungs`.
    Raises:
        ParameterError: a list is empty, a value cannot be used, a name occurs twice, or there is one cell to halve.
    """

    learning_rates: tuple[float, ...]
    regs: tuple[float, ...]
    schedules: tuple[str, ...]
    updates: tuple[str, ...]
    halving: bool = False

    def __post_init__(self) -> None:
        schedules = tuple(schedule_name(name) for name in self.schedules)
        for name in self.updates:
            if name not in UPDATES:
                raise ParameterError(f"update = {name!r}; expected one of {', '.join(UPDATES)}.")
        for kind, names in (("schedule", schedules), ("update", self.updates)):
            if not names:
                raise ParameterError(f"no {kind} is given; expected at least one.")
            repeated = next((name for i, name in enumerate(names) if name in names[:i]), None)
            if repeated is not None:
                raise ParameterError(f"{kind} {repeated!r} is given twice; expected each one once.")
        object.__setattr__(self, "learning_rates", check_rates(self.learning_rates))
        object.__setattr__(self, "regs", check_regs(self.regs))
        object.__setattr__(self, "schedules", schedules)
        if self.halving and len(self.cells) == 1:
            raise ParameterError("halving needs at least 2 cells, but the grid has 1; leave halving out.")

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells; the update varies fastest, then the schedule, the reg and the learning rate."""
        return tuple(Cell(*cell) for cell in product(self.learning_rates, self.regs, self.schedules, self.updates))

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """The epochs after which cells are compared, ascending; the last is `epochs`.

        With halving, each is twice the one before, and there are enough rungs to leave one cell in the end; fewer if
        the first would come before epoch 1.

        Example:
            >>> RateGrid((0.1, 1.0), (1e-3, 1e-2), ("cosine",), ("plain",), halving=True).rungs(20)
            (5, 10, 20)
        """
        check_range("epochs", epochs, low=1)
        if not self.halving:
            return (epochs,)
        halvings = min(math.ceil(math.log2(len(self.cells))), int(math.log2(epochs)))
        return tuple(epochs // 2**left for left in range(halvings, -1, -1))


@dataclass(frozen=True)
class CellScores:
    """The run of a cell, up to a rung.

    Attributes:
        epochs: done.
        accuracy, loss: on the validation images: share classified correctly, mean of L_i; NaN where it diverged.
        objective: over the training images; NaN where it diverged.
        status: COMPLETED, DIVERGED, or STOPPED at a rung before the last.
        seconds: of its epochs so far.
    """

    epochs: int
    accuracy: float
    loss: float
    objective: float
    status: Status
    seconds: float = 0.0


@dataclass(frozen=True)
class CellProgress:
    """How far a grid is.

    Attributes:
        cell: the one that runs.
        number: its position in the grid, from 1.
        n_cells: number of cells in the grid.
        epoch: the row of its trace.
        until: the epoch at which it is compared with the others.
    """

    cell: Cell
    number: int
    n_cells: int
    epoch: Epoch
    until: int


@dataclass(frozen=True)
class RateChoice:
    """The cell with the highest validation accuracy of those that ran all epochs.

    Of equal accuracies the lowest validation loss wins, then the first cell.

    Attributes:
        grid: all cells.
        scores: for each cell its last ones.
        optima: for each reg its certified optimum; None without a penalty, where no bound but 0 can be proved.
    """

    grid: RateGrid
    scores: tuple[CellScores, ...]
    optima: PartScores | None = None

    @property
    def best(self) -> int:
        """Position of the chosen cell.

        Raises:
            ParameterError: all of them diverged.
        """
        ended = [i for i, scores in enumerate(self.scores) if scores.status is Status.COMPLETED]
        if not ended:
            raise ParameterError(
                f"all {len(self.scores)} runs diverged; give lower learning rates (the lowest is "
                f"{self.grid.learning_rates[0]:g})."
            )
        highest = max(self.scores[i].accuracy for i in ended)
        return min((i for i in ended if self.scores[i].accuracy >= highest - SAME), key=lambda i: self.scores[i].loss)

    @property
    def best_cell(self) -> Cell:
        """The chosen cell."""
        return self.grid.cells[self.best]

    @property
    def above_optimum(self) -> npt.NDArray[np.float64]:
        """(n_cells,) bounds on how far each cell ends above the minimum of its reg, relative to that minimum.

        (L - lower bound) / lower bound, with the lower bound of the certificate; NaN where the cell diverged or no
        bound above 0 is proved. It cannot show less than the relative gap of the certificate.
        """
        bounds = dict(zip(self.grid.regs, self._bounds(), strict=True))
        pairs = [
            (scores.objective, bounds[cell.reg]) for cell, scores in zip(self.grid.cells, self.scores, strict=True)
        ]
        above = [(value - bound) / bound if bound > 0.0 else math.nan for value, bound in pairs]
        return np.maximum(above, 0.0)  # float32 may round below a bound that is met; NaN stays

    def _bounds(self) -> Sequence[float]:
        """For each reg a lower bound on the minimum; NaN where none is proved."""
        if self.optima is None:
            return [math.nan] * len(self.grid.regs)
        proved: Sequence[Certificate] = self.optima.certificates
        return [one.lower_bound if reg > 0.0 else math.nan for reg, one in zip(self.grid.regs, proved, strict=True)]


class RateSelector(Generic[AnyModel]):
    """Runs the cells of a grid with SGD on the training images, and the chosen one on all of them.

    Without halving, a cell has the bits of a classifier with optimizer="sgd" and its parameters. The map of the input
    and what the objective knows of the images are computed once. The schedule is that of the full run, wherever a
    cell stops.

    Args:
        classifier: untrained, with optimizer="sgd" and `classes_` set; its cells have its other parameters.
        images: for training.
        grid: the cells.
        callback: called after each epoch of each cell.
    Raises:
        ParameterError: the classifier or the grid cannot be used.
    """

    def __init__(
        self,
        classifier: AnyModel,
        images: Rows,
        grid: RateGrid,
        callback: Callable[[CellProgress], None] | None = None,
    ) -> None:
        check_swept(classifier, grid)
        self.classifier, self.images, self.grid, self.callback = classifier, images, grid, callback
        self.seed = classifier.drawn_seed()
        self.rungs = grid.rungs(classifier.epochs)
        self._cached: tuple[AnyModel, Objective] | None = None

    def optima(self, held_out: Rows, callback: Callable[[Progress], None] | None = None) -> PartScores | None:
        """The exact optimum for each reg, all solved jointly; None without a penalty.

        Args:
            held_out: the images for evaluation.
            callback: called after each step of each member.
        """
        if self._prepared()[1].penalty is None:
            return None
        exact = self._untrained("optimizer", "exact")
        exact.classes_, exact.image_shape_ = self.classifier.classes_, self.classifier.image_shape_
        return Selector(exact, self.images, self.grid.regs, callback).part(None, held_out)

    def run(self, number: int, until: int, held_out: Rows, start: State | None = None) -> tuple[CellScores, State]:
        """(the scores of cell `number` after epoch `until`, the state from which it continues).

        Args:
            held_out: the images for evaluation.
            start: the state at an earlier rung; None for a new run.
        """
        cells = self.grid.cells
        cell, (member, objective) = cells[number], self._prepared()

        def stop(epoch: Epoch) -> bool:
            if self.callback is not None:
                self.callback(CellProgress(cell, number + 1, len(cells), epoch, until))
            return until < member.epochs and epoch.epoch >= until

        solution = self._model_of(cell).optimizer_for(self.seed).minimize(objective.with_reg(cell.reg), start, stop)
        if solution.status is Status.DIVERGED:  # the weights are those of an epoch before
            nothing = (math.nan, math.nan, math.nan)
            return CellScores(solution.state.epoch, *nothing, solution.status, solution.seconds), solution.state
        evaluated = member.objective_of(held_out.each_once()).evaluate(solution.W, solution.b)
        reached = solution.history[-1]["objective"]
        scores = (evaluated.accuracy, evaluated.data_loss, reached)
        return CellScores(solution.state.epoch, *scores, solution.status, solution.seconds), solution.state

    def refit(self, cell: Cell) -> AnyModel:
        """The classifier fitted to all images with the parameters of a cell."""
        model = self._model_of(cell)
        model.begin(self.classifier, self.images)
        objective = model.objective_of(self.images)
        model.keep(model.optimizer_for(self.seed).minimize(objective), objective)
        return model

    def _model_of(self, cell: Cell) -> AnyModel:
        """An untrained classifier with the parameters of a cell."""
        return self._untrained("update", cell.update).unfitted(
            learning_rate=cell.learning_rate, reg=cell.reg, schedule=cell.schedule
        )

    def _untrained(self, kind: str, chosen: str) -> AnyModel:
        """An untrained classifier with this optimizer or update; parameters that it does not use are defaults."""
        usual = type(self.classifier)()
        idle = [name for name in named_parameters(kind) if unused_of(kind, chosen, [name])]
        return self.classifier.unfitted(**{kind: chosen}, **{name: getattr(usual, name) for name in idle})

    def _prepared(self) -> tuple[AnyModel, Objective]:
        """(a classifier with the map of the input, the objective) for all training images; made once."""
        if self._cached is None:
            member = self.classifier.unfitted()
            member.begin(self.classifier, self.images)
            self._cached = member, member.objective_of(self.images)
        return self._cached


def run_cells(grid: RateGrid, rungs: Sequence[int], run: Callable[[int, int], CellScores]) -> tuple[CellScores, ...]:
    """The last scores of each cell, in their order.

    After each rung but the last, the half of the cells with the lower validation loss continues, rounded up. A cell
    that diverged ends. Of equal losses the first cell continues.

    Args:
        grid: the cells.
        rungs: epochs, ascending.
        run: gives the scores of a cell, by its position, after so many epochs.
    """
    last: dict[int, CellScores] = {}
    alive = list(range(len(grid.cells)))
    for rung in rungs:
        for number in alive:
            last[number] = run(number, rung)
        good = [number for number in alive if last[number].status is not Status.DIVERGED]
        alive = sorted(sorted(good, key=lambda number: last[number].loss)[: -(-len(alive) // 2)])
    return tuple(last[number] for number in range(len(grid.cells)))


def sweep_rates(
    classifier: LinearClassifier,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    X_validation: npt.ArrayLike,
    y_validation: npt.ArrayLike,
    *,
    learning_rates: str | Sequence[float],
    regs: str | Sequence[float] | None = None,
    schedules: Sequence[str] | None = None,
    updates: Sequence[str] | None = None,
    halving: bool = False,
    callback: Callable[[CellProgress], None] | None = None,
) -> RateChoice:
    """The runs of SGD for every learning rate, reg, schedule and update, with the cell that validation rows choose.

    Args:
        classifier: with optimizer="sgd"; all that no cell varies is taken from it, and it is not trained.
        X, y: rows (N, D) and labels (N,) for training, as for `fit`.
        X_validation, y_validation: rows and labels to choose by, of the same classes; they are not trained on.
        learning_rates: "LOW:HIGH:COUNT", evenly spaced in the logarithm, or values > 0.
        regs: the same for reg, >= 0; None for that of the classifier.
        schedules, updates: names, each once; None for those of the classifier.
        halving: whether cells with a high validation loss end early.
        callback: called after each epoch of each cell.
    Returns:
        The scores of each cell. Fit the winner with `classifier.set_params(**choice.best_cell.parameters).fit(X, y)`.
    Raises:
        ParameterError, LabelError, ShapeError: an argument cannot be used.
    Source:
        Successive halving: Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter
        optimization", 2016.
    Example:
        >>> from linprobe import LinearClassifier
        >>> X = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 2.0], [2.0, 0.0]])
        >>> model = LinearClassifier(optimizer="sgd", epochs=5, random_state=0)
        >>> choice = sweep_rates(model, X, [0, 1, 0, 1], X, [0, 1, 0, 1], learning_rates=[0.01, 0.1])
        >>> choice.best_cell.learning_rate
        0.1
    """
    classifier.check_parameters()
    template = classifier.unfitted()
    values, labels, weight = template.checked(template, X, y, None)
    held_out = template.checked_more(X_validation, y_validation)
    grid = RateGrid(
        rate_grid(learning_rates) if isinstance(learning_rates, str) else tuple(learning_rates),
        reg_grid(regs) if isinstance(regs, str) else check_regs([classifier.reg] if regs is None else regs),
        (classifier.schedule,) if schedules is None else tuple(schedules),
        (classifier.update,) if updates is None else tuple(updates),
        halving,
    )
    using = [update for update in grid.updates if unused_of("update", update, named_parameters("update")) is None]
    template.unfitted(update=(using or grid.updates)[0]).warn_unused()
    selector = RateSelector(template, Rows(values, labels, None, weight), grid, callback)
    optima = selector.optima(held_out)
    states: dict[int, State] = {}

    def run(number: int, until: int) -> CellScores:
        scores, states[number] = selector.run(number, until, held_out, states.get(number))
        return scores

    return RateChoice(grid, run_cells(grid, selector.rungs, run), optima)


def check_swept(classifier: AnyModel, grid: RateGrid) -> None:
    """Raise ParameterError for parameters that a sweep over learning rates cannot use."""
    if classifier.optimizer != "sgd":
        raise ParameterError(f"optimizer = {classifier.optimizer!r}; a grid of learning rates requires 'sgd'.")
    if classifier.patience is not None or classifier.validation_fraction:
        raise ParameterError(
            "a sweep over learning rates has its own validation images and runs all epochs; set patience=None and "
            "validation_fraction=0."
        )
    grid.rungs(classifier.epochs)
    if classifier.penalty == "none" and len(grid.regs) > 1:
        raise ParameterError("penalty = 'none' has no reg to sweep over; leave the reg grid out, or choose a penalty.")
