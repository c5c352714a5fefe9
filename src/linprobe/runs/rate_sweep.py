"""The search of a sweep over learning rates: the exact optimum of each reg, then the runs of SGD, cell by cell.

Its run folder holds part-1.json, the optima, and cell-1.json, cell-2.json, ...: the scores of each run at each rung
that is done. With halving there are cell-1.safetensors, ... as well, the states from which runs continue. They are
deleted when all are done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from linprobe.classifiers.model import LinearModel
from linprobe.classifiers.rate_selection import CellProgress, CellScores, RateChoice, RateSelector, run_cells
from linprobe.classifiers.selection import Choice, PartScores
from linprobe.data.base import LabelledSet
from linprobe.errors import RunError
from linprobe.optimizers.base import State, Status
from linprobe.optimizers.path import Progress
from linprobe.runs.folder import RunFolder
from linprobe.runs.material import Prepared
from linprobe.runs.rate_records import CellRunRecord, RungRecord, cell_rows
from linprobe.runs.records import PartRecord
from linprobe.runs.search import Chosen, Search, grid_rows

__all__ = ["RateSearch"]


class RateSearch(Search):
    """Runs every cell of a grid of learning rates, and chooses the best on the validation images.

    Args:
        prepared: the settings of the run, its untrained classifier and its data.
        solving: called with the name of the part and each step of the exact optimizer, for each reg.
        training: called after each epoch of each cell.
    """

    def __init__(
        self,
        prepared: Prepared,
        solving: Callable[[str, Progress], None] | None,
        training: Callable[[CellProgress], None] | None,
    ) -> None:
        super().__init__(prepared)
        grid = self.request.rate_grid
        assert grid is not None
        assert self.validation is not None
        self.grid, self.solving, self.training = grid, solving, training
        self.n_done = 0
        self.selector = RateSelector(self.classifier, self.classifier.rows_of(self.train), grid, training)
        self.held_out = self.classifier.rows_of(self.validation)
        self.choice: RateChoice | None = None

    def choose(self, run: RunFolder) -> float:
        """As `Search.choose`."""
        known = [run.read_cell(number) for number in range(1, len(self.grid.cells) + 1)]
        for number, record in enumerate(known, start=1):
            self._check(run, number, record)
        optima, earlier = self._optima(run)
        earlier += sum(record.rungs[-1].seconds for record in known if record.rungs)

        def step(number: int, until: int) -> CellScores:
            done = self.selector.rungs.index(until)
            if len(known[number].rungs) <= done:
                start = self._start(run, number, done) if done else None
                scores, state = self.selector.run(number, until, self.held_out, start)
                known[number] = CellRunRecord((*known[number].rungs, RungRecord.of(scores)))
                run.write_cell(number + 1, known[number], state if scores.status is Status.STOPPED else None)
            self.n_done += 1
            return known[number].rungs[done].scores

        scores = run_cells(self.grid, self.selector.rungs, step)
        self.choice = RateChoice(self.grid, scores, optima)
        if all(one.status is Status.DIVERGED for one in scores):
            run.remove_parts()  # no later session could finish it: `choice.best` raises
        run.remove_cell_states()
        return earlier

    def refit(self, images: LabelledSet | None) -> LinearModel:
        """As `Search.refit`."""
        assert self.choice is not None
        cell = self.choice.best_cell
        if images is None:
            return self.selector.refit(cell)
        return RateSelector(self.classifier, self.classifier.rows_of(images), self.grid, self.training).refit(cell)

    @property
    def chosen(self) -> Chosen:
        """As `Search.chosen`."""
        assert self.choice is not None
        choice, optima = self.choice, self.choice.optima
        best = choice.scores[choice.best]
        return Chosen(
            grid=() if optima is None else grid_rows(Choice(self.grid.regs, (optima,))),
            chosen_by="validation images",
            accuracy=best.accuracy,
            loss=best.loss,
            passes=(0.0 if optima is None else optima.passes) + sum(scores.epochs for scores in choice.scores),
            cells=cell_rows(choice),
        )

    @property
    def reached(self) -> str:
        """As `Search.reached`."""
        whole = "" if self.grid.halving else f" of {len(self.grid.cells)}"
        return f"{self.n_done}{whole} runs of SGD"

    def _optima(self, run: RunFolder) -> tuple[PartScores | None, float]:
        """(the exact optima, the seconds that they took in an earlier session)."""
        done = run.read_parts()
        if not done:
            optima = self.selector.optima(self.held_out, self._tell)
            if optima is None:
                return None, 0.0
            if Status.INTERRUPTED in optima.statuses:
                raise KeyboardInterrupt
            run.write_part(1, PartRecord.of(optima))
            return replace(optima, weights=()), 0.0
        scores = done[0].scores
        if len(scores.accuracies) != len(self.grid.regs) or len(done) > 1:
            raise RunError(
                f"{run.path}: {len(done)} parts, the first of {len(scores.accuracies)} reg values; expected one part "
                f"of {len(self.grid.regs)}, as settings.json says; start a new sweep."
            )
        return scores, scores.seconds

    def _tell(self, progress: Progress) -> None:
        """Report a step of the exact optimizer."""
        if self.solving is not None:
            self.solving("exact optima", progress)

    def _start(self, run: RunFolder, number: int, done: int) -> State:
        """The state of a cell at the rung before; or at this rung, if the run was killed before it wrote the scores."""
        state, rungs = run.read_cell_state(number + 1), self.selector.rungs
        if state.epoch not in rungs[done - 1 : done + 1]:
            raise RunError(
                f"{run.path / f'cell-{number + 1}.safetensors'}: is of epoch {state.epoch}; expected "
                f"{rungs[done - 1]}; start a new sweep."
            )
        return state

    def _check(self, run: RunFolder, number: int, record: CellRunRecord) -> None:
        """Raise RunError for scores of a cell that are not of this grid."""
        rungs = self.selector.rungs
        for reached, at in zip(record.rungs, rungs, strict=False):
            ended = Status.COMPLETED if at == rungs[-1] else Status.STOPPED
            if reached.status is Status.DIVERGED or (reached.status, reached.epochs) == (ended, at):
                continue
            raise RunError(
                f"{run.path / f'cell-{number}.json'}: {reached.status.short} after {reached.epochs} epochs; expected "
                f"{ended.short} after {at}; start a new sweep."
            )
        if len(record.rungs) > len(rungs):
            raise RunError(
                f"{run.path / f'cell-{number}.json'}: holds {len(record.rungs)} rungs; expected at most {len(rungs)}, "
                "as settings.json says; start a new sweep."
            )
