"""Parameters that a loss, a penalty, an optimizer or an update does not take: a value for one would do nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from linprobe.losses import LOSSES
from linprobe.optimizers.registry import OPTIMIZERS
from linprobe.optimizers.updates import UPDATES
from linprobe.parameters import NAMED
from linprobe.penalties import PENALTIES

__all__ = ["REGISTRIES", "Unused", "named_parameters", "unused", "unused_of"]

REGISTRIES: Mapping[str, Mapping[str, object]] = {
    "loss": LOSSES,
    "penalty": PENALTIES,
    "optimizer": OPTIMIZERS,
    "update": UPDATES,
}
"""Kinds of choices whose parameters are parameters of the classifiers, in the order in which they are checked."""


@dataclass(frozen=True)
class Unused:
    """A parameter that the chosen one of a kind does not take.

    Attributes:
        parameter: its name.
        kind: "loss", "penalty", "optimizer" or "update".
        chosen: the name of the choice.
        takers: those that take it.
    """

    parameter: str
    kind: str
    chosen: str
    takers: tuple[str, ...]


def unused(given: Iterable[str], chosen: Mapping[str, object]) -> Unused | None:
    """The first of the parameters `given` of the classifiers that nothing which is chosen takes; None if there is none.

    Args:
        given: names.
        chosen: the loss, penalty, optimizer and update by kind; an object, which holds its own parameters, takes none.

    Example:
        >>> unused(["epochs", "tol"], {"optimizer": "sgd"}).takers
        ('exact', 'gd')
    """
    names = list(given)
    for kind, choice in chosen.items():
        if isinstance(choice, str):
            found = unused_of(kind, choice, [name for name in names if name in named_parameters(kind)])
            if found is not None:
                return found
    return None


def unused_of(kind: str, chosen: str, given: Iterable[str]) -> Unused | None:
    """The first of the parameters `given` that only other choices of the kind take; None if there is none."""
    taken = {name: _parameters(kind, choice) for name, choice in REGISTRIES[kind].items()}
    for parameter in given:
        takers = tuple(name for name, parameters in taken.items() if parameter in parameters)
        if takers and chosen in taken and chosen not in takers:
            return Unused(parameter, kind, chosen, takers)
    return None


def named_parameters(kind: str) -> set[str]:
    """The parameters of the classifiers that are parameters of the choices of a kind.

    Of a loss and a penalty these are the ones that the classifiers take by name: another one of that name, as the
    momentum of SGD, is not theirs.
    """
    if kind in NAMED:
        return {NAMED[kind], *(("reg",) if kind == "penalty" else ())}
    return set().union(*(_parameters(kind, choice) for choice in REGISTRIES[kind].values()))


def _parameters(kind: str, choice: object) -> set[str]:
    """The parameters of a choice; a penalty, whatever else it has, is weighed by reg."""
    own = {parameter.name for parameter in getattr(choice, "parameter_info", ())}
    return own | {"reg"} if kind == "penalty" and choice is not None else own
