"""The table of choices: every loss, penalty, optimizer, ... by name, with its title, formula and parameters.

It is made from the registries at each call, so that a loss that is registered appears in all of: the
options of the command line, the settings of the lab, and the sentences of a report. Nothing else lists the choices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from linprobe.errors import ParameterError
from linprobe.parameters import Parameter

__all__ = [
    "KINDS",
    "Choice",
    "choices",
    "own_option",
    "own_parameters",
    "parameters_of",
    "table",
    "title_of",
]

PLAIN = str.maketrans(
    {
        "Σ": "sum",
        "−": "-",
        "←": "<-",
        "≠": "!=",
        "√": "sqrt ",
        "⌊": "floor(",
        "⌋": ")",
        "Δ": "delta",
        "β": "beta",
        "η": "eta",
        "μ": "mu",
        "ρ": "rho",
        "π": "pi ",
        ";": ",",
    }
)
"""Signs of a formula, as a terminal shows them in a list whose items end with a semicolon."""


@dataclass(frozen=True)
class Choice:
    """One choice of a kind.

    Args:
        name: as the command line, the estimators and a run folder write it.
        title: what readers call it.
        formula: on one line, in the signs of mathematics; `_{...}` below the line, `^{...}` above it; "" for none.
        meaning: in words, where there is no formula; may be "".
        parameters: those that belong to this choice.
    """

    name: str
    title: str
    formula: str = ""
    meaning: str = ""
    parameters: tuple[Parameter, ...] = ()

    @property
    def text(self) -> str:
        """The right side of the formula for a terminal, else the meaning, else the title.

        Example:
            >>> choices("penalty")["l2"].text
            'sum W²'
        """
        right = self.formula.split(" = ", 1)[-1].translate(PLAIN).replace("^2", "²")
        return " ".join(right.split()) or self.meaning or self.title


def choices(kind: str) -> dict[str, Choice]:
    """The choices of a kind by name, in the order in which they are shown.

    Args:
        kind: a name in `KINDS`.
    Raises:
        ParameterError: there is no such kind.
    Example:
        >>> [choice.title for choice in choices("penalty").values()]
        ['L2', 'L1', 'elastic net', 'none']
    """
    if kind not in KINDS:
        raise ParameterError(f"kind = {kind!r}; expected one of {', '.join(KINDS)}.")
    return {choice.name: choice for choice in KINDS[kind]()}


def title_of(kind: str, name: str) -> str:
    """What readers call the choice; `name` itself where it is not registered here, as in a run of another machine."""
    found = choices(kind).get(name)
    return name if found is None else found.title


def parameters_of(kind: str, name: str) -> tuple[str, ...]:
    """Names of the parameters of a choice; none where it is not registered."""
    found = choices(kind).get(name)
    return () if found is None else tuple(parameter.name for parameter in found.parameters)


def own_option(kind: str, parameter: str) -> str:
    """The option, without dashes, of a parameter of a loss or penalty: it is always there, a shorter one may be.

    Example:
        >>> own_option("loss", "gamma")
        'loss-gamma'
    """
    return f"{kind}-{parameter}".replace("_", "-")


def own_parameters(kind: str) -> dict[str, list[tuple[str, Parameter]]]:
    """Parameter name -> (choice, parameter) of those of a kind that have it, in the order of the table."""
    found: dict[str, list[tuple[str, Parameter]]] = {}
    for choice in choices(kind).values():
        for parameter in choice.parameters:
            found.setdefault(parameter.name, []).append((choice.name, parameter))
    return found


def table() -> dict[str, tuple[Choice, ...]]:
    """Everything: kind -> its choices in order."""
    return {kind: tuple(choices(kind).values()) for kind in KINDS}


def _described(registry: Mapping[str, Any]) -> list[Choice]:
    """From a registry whose values declare `title`, `formula`, `meaning` and `parameter_info`, or some of them."""
    return [
        Choice(
            name,
            getattr(kind, "title", "") or name,
            getattr(kind, "formula", ""),
            getattr(kind, "meaning", ""),
            getattr(kind, "parameter_info", ()),
        )
        for name, kind in registry.items()
    ]


# Each imports its registry only now: `linprobe train --help` should not load what it does not show.


def _losses() -> list[Choice]:
    from linprobe.losses import LOSSES

    return _described(LOSSES)


def _penalties() -> list[Choice]:
    from linprobe.penalties import PENALTIES

    return [
        choice if PENALTIES[choice.name] is not None else Choice(choice.name, choice.name, "R(W) = 0")
        for choice in _described(PENALTIES)
    ]


def _optimizers() -> list[Choice]:
    from linprobe.optimizers.registry import OPTIMIZERS

    return _described(OPTIMIZERS)


def _updates() -> list[Choice]:
    from linprobe.optimizers.updates import UPDATES

    return _described(UPDATES)


def _schedules() -> list[Choice]:
    from linprobe.optimizers.schedules import SCHEDULES

    return _described(SCHEDULES)


def _preprocessings() -> list[Choice]:
    from linprobe.features.pixels import PREPROCESS

    return [Choice(name, name, meaning=meaning) for name, meaning in PREPROCESS.items()]


def _engines() -> list[Choice]:
    from linprobe.engines.base import ENGINES

    return [Choice(name, name) for name in ENGINES]


def _features() -> list[Choice]:
    from linprobe.features.parse import FEATURE_MAPS, map_class

    found = []
    for name in FEATURE_MAPS:
        kind = map_class(name)
        own = [one.name for one in fields(kind) if one.init] if is_dataclass(kind) else []
        parameters = tuple(one for one in kind.parameter_info if one.name in own)
        found.append(Choice(name, kind.title or name, meaning=kind.meaning, parameters=parameters))
    return found


def _poolings() -> list[Choice]:
    from linprobe.features.fractional_pooling import POOLINGS

    return [Choice(name, name) for name in POOLINGS]


def _challenges() -> list[Choice]:
    from linprobe.challenges.table import CHALLENGES, INTRACLASS

    changes = [Choice(one.name, one.name, meaning=", ".join(kind.name for kind in one.kinds)) for one in CHALLENGES]
    return [*changes, Choice(INTRACLASS, "intraclass variation", meaning="the clusters inside each class")]


KINDS: dict[str, Callable[[], list[Choice]]] = {
    "loss": _losses,
    "penalty": _penalties,
    "optimizer": _optimizers,
    "update": _updates,
    "schedule": _schedules,
    "preprocess": _preprocessings,
    "engine": _engines,
    "features": _features,
    "pooling": _poolings,
    "challenge": _challenges,
}
"""What can be chosen, and what lists it."""
