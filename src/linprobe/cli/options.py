"""Options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar

import click
from click.core import ParameterSource

from linprobe.cli.kinds import ImageSize, Named, Number
from linprobe.cli.terminal import degraded

if TYPE_CHECKING:
    from linprobe.parameters import Parameter
    from linprobe.runs.records import RunSettings

__all__ = [
    "FEATURE_OPTIONS",
    "WITH_RESUME",
    "NamedOption",
    "ObjectiveCommand",
    "Options",
    "RunOptions",
    "classifier_given",
    "classifier_options",
    "debug",
    "feature_options",
    "features_given",
    "given",
    "json_output",
    "model_and_source",
    "named_option",
    "no_cache",
    "objective_options",
    "own_given",
    "parameter_option",
    "quiet",
    "reading",
    "reading_given",
    "refuse_changes",
    "refuse_start",
    "refuse_unused",
    "run_options",
    "seed_option",
    "settings_given",
    "threads",
    "validation_option",
]

Command = TypeVar("Command", bound=Callable[..., Any])

Options: TypeAlias = dict[str, Any]
"""What click hands to a command: each option's value, of the type that the option declares, by parameter name.

A record of them would repeat each declaration: the settings of a run are taken out of it by name, and checked there."""


class ObjectiveCommand(click.Command):
    """A command with `objective_options`: each loss, each penalty and the network add an option for each own parameter.

    They are made from the table of choices when the command runs, and stand behind --loss, --penalty and --features.
    """

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """All parameters, those of the losses and penalties included."""
        known = super().get_params(ctx)
        taken = {name for parameter in known for name in parameter.opts}
        own = {kind: _own_options(kind, taken) for kind in OWN} | {"features": _network_options()}
        return [
            each for parameter in known for each in (parameter, *own.get(getattr(parameter, "lists", None) or "", ()))
        ]


OWN = ("loss", "penalty")
"""Kinds whose choices may have parameters of their own."""


def _own_options(kind: str, taken: set[str]) -> list[click.Option]:
    """The options of the parameters of a kind that the classifiers do not take by name; `taken` are names in use."""
    from linprobe.choices import own_option, own_parameters
    from linprobe.parameters import NAMED

    other = own_parameters(next(each for each in OWN if each != kind))
    options = []
    for name, having in own_parameters(kind).items():
        if name == NAMED[kind]:
            continue
        short = "--" + name.replace("_", "-")
        names = [] if short in taken or name in other else [short]
        about = having[0][1]
        meanings = "; ".join(dict.fromkeys(parameter.meaning for _, parameter in having))
        defaults = ", ".join(dict.fromkeys(str(parameter.default) for _, parameter in having))
        options.append(
            click.Option(
                [*names, f"--{own_option(kind, name)}", _own_key(kind, name)],
                type=_own_type([parameter for _, parameter in having]),
                help=degraded(f"Of {', '.join(one for one, _ in having)}: {meanings}.  [default: {defaults}]"),
                metavar=None if about.kind == "flag" else {"text": "TEXT", "whole": "N"}.get(about.kind, "F"),
            )
        )
    return options


OF_NETWORK = "features__"
"""Start of the names, among those that click hands to a command, of the options that one feature map alone has."""


def _network_options() -> list[click.Option]:
    """The parameters of the features "net", with that name in front."""
    from linprobe.choices import choices

    found = []
    for about in choices("features")["net"].parameters:
        option = f"net-{about.name.replace('_', '-')}"
        flag = about.kind == "flag"
        names = [f"--{no}{option}" for no in (("", "no-") if flag else ("",))]
        default = "" if about.default is None else f"  [default: {'on' if about.default is True else about.default}]"
        found.append(
            click.Option(
                ["/".join(names), f"{OF_NETWORK}net_{about.name}"],
                type=None if flag else _own_type([about]),
                default=None,
                help=degraded(f"Of net: {about.meaning}.{default}"),
                metavar=None if flag else {"text": "TEXT", "whole": "N"}.get(about.kind, "F"),
            )
        )
    return found


def parameter_option(parameter: Parameter, of: str) -> click.Option:
    """The option of a parameter that the classifiers take by name.

    Args:
        parameter: its description.
        of: the choice that has it.
    """
    option = "--" + parameter.name.replace("_", "-")
    flag = parameter.kind == "flag"
    return click.Option(
        [option],
        is_flag=flag,
        type=None if flag else _own_type([parameter]),
        default=parameter.default,
        show_default=not flag,
        help=degraded(f"Of {of}: {parameter.meaning}."),
        metavar=None if flag else {"text": "TEXT", "whole": "N"}.get(parameter.kind, "F"),
    )


def _own_key(kind: str, name: str) -> str:
    """The name of the option of a parameter among those that click hands to a command."""
    return f"{kind}_options__{name}"


def _own_type(having: list[Parameter]) -> click.ParamType[Any]:
    """The type of an option: the range holds those of all choices, and the chosen one checks its own."""
    low, high = min(each.low for each in having), max(each.high for each in having)
    match having[0].kind:
        case "flag":
            return click.BOOL
        case "text":
            return click.STRING
        case "whole":
            return click.IntRange(None if low == -math.inf else int(low), None if high == math.inf else int(high))
    open_low = all(each.open_low for each in having if each.low == low)
    return Number(min=low if math.isfinite(low) else None, max=high if math.isfinite(high) else None, min_open=open_low)


def own_given(kind: str, options: Options) -> Options:
    """The parameters of its own that the command line gives to the loss or penalty, by name."""
    start = _own_key(kind, "")
    return {
        name.removeprefix(start): value
        for name, value in options.items()
        if name.startswith(start) and value is not None
    }


def classifier_given(options: Options, left_out: Collection[str]) -> Options:
    """The parameters of LinearClassifier out of the options of a command, which are named alike."""
    given = {name: value for name, value in options.items() if name not in left_out and "__" not in name}
    for kind in OWN:
        if own := own_given(kind, options):
            given[f"{kind}_options"] = own
    return given


class NamedOption(click.Option):
    """An option whose help is made from the table of choices when it is shown.

    Args:
        about: text in front of the table's.
        lists: the kind whose choices the help lists with what each means.
        parameter_of: the kind some of whose choices have this option as a parameter, in place of `lists`.
        after: text behind it.
    """

    def __init__(
        self,
        *arguments: Any,
        about: str = "",
        lists: str | None = None,
        parameter_of: str | None = None,
        after: str = ".",
        **named: Any,
    ) -> None:
        self.about, self.lists, self.parameter_of, self.after = about, lists, parameter_of, after
        super().__init__(*arguments, **named)

    @property
    def help(self) -> str:
        """The text, from the table of choices, in ASCII: click prints it, whatever the encoding."""
        from linprobe.choices import choices

        if self.parameter_of is None:
            listed = "; ".join(f"{one.name} = {one.text}" for one in choices(self.lists or "").values())
            return degraded(f"{self.about}{listed}{self.after}")
        having = [(one.name, p) for one in choices(self.parameter_of).values() for p in one.parameters]
        of = [name for name, parameter in having if parameter.name == self.name]
        meanings = dict.fromkeys(parameter.meaning for _, parameter in having if parameter.name == self.name)
        return degraded(f"{self.about}Of {', '.join(of)}: {'; '.join(meanings)}{self.after}")

    @help.setter
    def help(self, text: str | None) -> None:
        """Click sets None, as the commands give no text."""


def named_option(
    name: str, kind: str, default: str | None, about: str = "", also: tuple[str, ...] = ()
) -> Callable[[Command], Command]:
    """An option whose values are the choices of a kind, with a help that lists what each means."""
    return click.option(
        name,
        type=Named(kind, also),
        cls=NamedOption,
        lists=kind,
        about=about,
        default=default,
        show_default=default is not None,
    )


def _remember_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.meta["linprobe.debug"] = bool(value or ctx.meta.get("linprobe.debug"))


debug = click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    callback=_remember_debug,
    help="Show the traceback of an error.",
)
json_output = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else there."
)
threads = click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="T",
    help="Threads that compute, at most four per core (16 on fewer than four cores); the result has the same bits for "
    "any number.  [default: one per core]",
)
quiet = click.option("--quiet", is_flag=True, help="Show no progress.")
no_cache = click.option(
    "--no-cache", "cache", is_flag=True, flag_value=False, default=True, help="Keep no decoded pixels, use none."
)
REG = click.option(
    "--reg",
    type=Number(min=0),
    default=1e-3,
    show_default=True,
    metavar="F",
    help="Weight of the penalty, lambda.",
)


@dataclass(frozen=True)
class RunOptions:
    """The options of a command that leaves a run folder on which the result does not depend.

    Attributes:
        resume: the run folder to continue, or None.
        moved_to: with `resume`, where the source is now; None where it was.
        threads: that compute, or None.
        cache: whether decoded pixels are kept and used.
        as_json: print one JSON object.
        quiet: show no progress.
        report: write report.html at the end.
    """

    resume: Path | None
    moved_to: str | None
    threads: int | None
    cache: bool
    as_json: bool
    quiet: bool
    report: bool

    @classmethod
    def of(cls, options: Options) -> RunOptions:
        """Out of the options of the command, which are named alike."""
        return cls(**{each.name: options[each.name] for each in fields(cls)})

    @property
    def silent(self) -> bool:
        """Whether no progress is shown."""
        return self.quiet or self.as_json


WITH_RESUME = tuple(each.name for each in fields(RunOptions))
"""Parameters that may be given with --resume."""


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one; the help lists the last first."""

    def add(command: Command) -> Command:
        for option in options:
            command = option(command)
        return command

    return add


def seed_option(what: str) -> Callable[[Command], Command]:
    """The option --seed, 0 unless given; `what` is its help."""
    return click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="S", help=what)


def validation_option(what: str) -> Callable[[Command], Command]:
    """The option --validation of a command that also has --folds; `what` names the purpose of the images."""
    return click.option(
        "--validation",
        type=Number(min=0, max=1, min_open=True, max_open=True),
        default=0.1,
        show_default=True,
        metavar="F",
        help=f"Without --folds: share of the training images held out {what}, class by class; a val/ folder is "
        "used as it is.",
    )


def settings_given(options: Options) -> Options:
    """The settings that every kind of run has, from the options of the command line."""
    return {name: options[name] for name in ("source", "validation", "seed", "image_size", "on_bad_image")}


def reading_given(options: Options) -> Options:
    """How a source is read, by the names of `ReadOptions`, out of the options `reading` and `threads`."""
    read = {name: options[name] for name in ("image_size", "on_bad_image", "cache")}
    return {**read, "n_threads": options["threads"]}


def bad_image_option(default: str) -> Callable[[Command], Command]:
    """The option --on-bad-image."""
    return click.option(
        "--on-bad-image",
        type=click.Choice(["fail", "skip"]),
        default=default,
        show_default=True,
        help="fail: stop, and name the first broken pictures. skip: leave them out and count them.",
    )


reading = together(
    no_cache,
    bad_image_option("fail"),
    click.option(
        "--image-size",
        type=ImageSize(),
        metavar="HxW",
        help="Resize every picture to this height and width in pixels, as in 32x32.",
    ),
)
"""Options of reading a source, the same for every command that reads one."""


model_and_source = together(
    debug,
    json_output,
    threads,
    reading,
    click.argument("source"),
    click.argument("model", metavar="RUN_OR_MODEL", type=click.Path(path_type=Path)),
)
"""Arguments and options of the commands that test a trained model on labelled images, below their own options."""


feature_options = together(
    click.option(
        "--flips",
        is_flag=True,
        help="Train on the mirror images, too: every feature is averaged with that of the mirrored picture.",
    ),
    click.option(
        "--pooling",
        type=Named("pooling"),
        help="Of patches: how the responses in each region are pooled.  [default: average]",
    ),
    click.option(
        "--patches",
        type=click.IntRange(min=2),
        cls=NamedOption,
        parameter_of="features",
        after=".  [default: 2000]",
        metavar="P",
    ),
    click.option(
        "--features",
        cls=NamedOption,
        lists="features",
        after=", written onnx:FILE. /2 after a name takes the pictures at half size; + joins several, as in hog+color.",
        default="pixels",
        show_default=True,
        metavar="SPEC",
    ),
)
"""Options of the features, the same for every command that trains."""


def features_given(options: Options) -> Options:
    """`features` and `feature_options` of the settings of a run, out of the options of the command line."""
    chosen = {name: options[name] for name in ("patches", "pooling") if options[name] is not None}
    if options["flips"]:
        chosen["mirror"] = True
    chosen |= {
        name.removeprefix(OF_NETWORK): value
        for name, value in options.items()
        if name.startswith(OF_NETWORK) and value is not None
    }
    return {"features": options["features"], "feature_options": chosen}


def refuse_start(ctx: click.Context, options: Options) -> None:
    """Raise UsageError for a new run without SOURCE, or with an option that would do nothing."""
    if options["moved_to"] is not None:
        raise click.UsageError("--source only applies to --resume; give SOURCE without an option name", ctx)
    if options["source"] is None:
        raise click.UsageError("missing SOURCE; give one, or --resume RUN", ctx)
    refuse_unused(ctx, options)


def refuse_unused(ctx: click.Context, options: Options) -> None:
    """Raise UsageError for a given option that the chosen loss, penalty, optimizer, update or features do not have."""
    from linprobe.classifiers.unused import REGISTRIES, named_parameters, unused_of
    from linprobe.features.parse import names_in

    names = {parameter.name or "": parameter.opts[0] for parameter in ctx.command.get_params(ctx)}
    named = {name: option for name, option in names.items() if given(ctx, name)}
    for kind in REGISTRIES:
        if kind not in options:
            continue
        own = _own_key(kind, "")
        of_kind = {name.removeprefix(own): option for name, option in named.items() if name.startswith(own)}
        of_kind |= {name: option for name, option in named.items() if name in named_parameters(kind)}
        if options[kind] == "gd":
            of_kind.pop("epochs", None)  # its steps, by another name
        if options.get("reg") == 0:
            of_kind.pop("reg", None)  # says the same as the penalty "none"
        found = unused_of(kind, options[kind], of_kind)
        if found is not None:
            _refuse_unused(ctx, of_kind[found.parameter], kind, found.takers, found.chosen)
    if "features" in options:
        maps = names_in(options["features"])
        network = {name for name in named if name.startswith(OF_NETWORK)}
        for taker, own_names in (("patches", {"patches", "pooling"}), ("net", network)):
            for name in sorted(own_names & named.keys()) if taker not in maps else ():
                _refuse_unused(ctx, named[name], "features", (taker,), options["features"])


def _refuse_unused(ctx: click.Context, option: str, kind: str, takers: tuple[str, ...], chosen: str) -> NoReturn:
    raise click.UsageError(
        f"{option} only applies to --{kind} {' or '.join(takers)} (got {chosen}); choose that, or leave {option} out",
        ctx,
    )


FEATURE_OPTIONS = ("features", "patches", "pooling", "flips")
"""Parameters of the command that `features_given` takes."""


classifier_options = together(
    click.option(
        "--engine",
        type=Named("engine"),
        default="threads",
        show_default=True,
        help="threads: the native core. reference: plain NumPy in float64, slow.",
    ),
    click.option(
        "--tol",
        type=Number(min=0),
        default=1e-4,
        show_default=True,
        metavar="F",
        help="What exact proves: the objective is above the least possible one by this share of it at most; "
        "for gd, the norm of the gradient at which it has converged.",
    ),
    click.option(
        "--max-iter",
        type=click.IntRange(min=0),
        default=1000,
        show_default=True,
        metavar="N",
        help="Iterations of exact and gd, at most.",
    ),
    named_option("--preprocess", "preprocess", "auto"),
    click.option(
        "--class-weight",
        type=click.Choice(["balanced"]),
        help="balanced: weigh the images of class k by N / (K n_k), so that all classes count the same.  "
        "[default: none]",
    ),
)
"""Options of every exact fit, the same for every command that makes one."""


def objective_options(*, with_reg: bool = True) -> Callable[[Command], Command]:
    """Options of the objective: L(W, b) = (1/N) sum L_i + reg R(W)."""
    return together(
        click.option(
            "--beta",
            type=Number(min=0),
            cls=NamedOption,
            parameter_of="penalty",
            default=1.0,
            show_default=True,
            metavar="F",
        ),
        *((REG,) if with_reg else ()),
        named_option("--penalty", "penalty", "l2", about="R(W), in which the bias has no part: "),
        click.option(
            "--delta",
            type=Number(min=0, min_open=True),
            cls=NamedOption,
            parameter_of="loss",
            default=1.0,
            show_default=True,
            metavar="F",
        ),
        named_option("--loss", "loss", "softmax", about="L_i: "),
    )


def run_options(what: str) -> Callable[[Command], Command]:
    """Options of the commands that leave a run folder; `what` names it in the help."""
    return together(
        quiet,
        json_output,
        click.option(
            "--no-report",
            "report",
            is_flag=True,
            flag_value=False,
            default=True,
            help="Write no report.html at the end; `linprobe report RUN` writes it later.",
        ),
        click.option(
            "--resume",
            type=click.Path(path_type=Path),
            metavar="RUN",
            help=f"Continue a {what} that was stopped or killed, with its own settings; the result is bit-identical.",
        ),
        click.option(
            "--source",
            "moved_to",
            metavar="SOURCE",
            help="With --resume: where the data are now, if they have moved; their content must be the same.",
        ),
        click.option(
            "--out",
            type=click.Path(path_type=Path),
            metavar="RUN",
            help="The run folder, new or empty.  [default: runs/...]",
        ),
    )


def given(ctx: click.Context, name: str) -> bool:
    """Whether the parameter was given on the command line."""
    return ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE


def refuse_changes(ctx: click.Context, options: Options, settings: RunSettings) -> None:
    """Raise UsageError for an option on the command line that differs from the settings of the run to resume."""
    from dataclasses import asdict

    from linprobe.runs.material import absolute_source
    from linprobe.runs.requests import SweepSettings

    request = settings.request
    known: Options = {**asdict(request), **request.classifier, **request.feature_options}
    for kind in OWN:
        own = request.classifier.get(f"{kind}_options")
        known |= {_own_key(kind, name): value for name, value in own.items()} if isinstance(own, Mapping) else {}
    known |= {"flips": request.feature_options.get("mirror", False), "reg_grid": known.get("regs")}
    known |= {OF_NETWORK + name: value for name, value in request.feature_options.items()}
    if isinstance(request, SweepSettings):
        grid = {"schedule": request.schedules, "update": request.updates, "learning_rate_grid": request.learning_rates}
        known |= {name: values or None for name, values in grid.items()}
        known["optimizer"] = settings.parameter("optimizer")
    for parameter in ctx.command.get_params(ctx):
        name = parameter.name or ""
        if name in WITH_RESUME or not given(ctx, name):
            continue
        asked = absolute_source(options[name]) if name == "source" else options[name]
        if name not in known or asked != known[name]:
            label = "SOURCE" if name == "source" else parameter.opts[0]
            has = f", which has {known[name]}" if known.get(name) is not None else ""
            raise click.UsageError(f"{label} {asked} cannot be given to a run that is resumed{has}; leave it out", ctx)
