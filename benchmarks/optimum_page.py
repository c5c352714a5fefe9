"""The parts of docs/benchmarks.md on the optimum, a path of reg values and the scale of embeddings.

Each is a whole section, its heading included, and empty until there is a record of it.
"""

from __future__ import annotations

import math
import re
from typing import Any

from benchmarks.plots import plural
from benchmarks.record import digits, spoken

Record = dict[str, Any]

OPTIMUM = """## To the optimum

How long until W and b are a thousandth, or a millionth, above the minimum. Every solver gets the same objective:
`benchmarks/solvers.py` maps its constants to ours. It is judged by its W and b alone. The solver's clock is stopped
while linprobe evaluates L(W, b) in float64.

Times are from the rows in memory to the weights, and **those of linprobe include its second moment**. The rows of
linprobe are uint8, those of the others float32 or float64; making these is not timed. The column *rows* is the size of
the rows. *Peak above* is how far the process rose above its rows and all else it held before.

Solvers that show their iterates (linprobe, PyTorch, scikit-learn's lbfgs) are observed in one run. The others run anew
with more and more iterations, and the fastest run that meets a target counts. Passes are evaluations or epochs.
scikit-learn's lbfgs reports iterations, so that its true number of passes is at least that; newton-cg reports none.
Where a target was not met, the last column has the lowest gap and the seconds of the run that reached it."""

NOT_RACED = """adelie is not compared. Its multinomial lasso groups the weights of a feature over all classes, which is
another penalty, and it needs an older NumPy. Only PyTorch has the joint hinge as well, and no peer has a proximal step
for it with |W|. A ★ in a figure marks the gap that linprobe proved, and when, in a separate run of at most 120 s."""

PATH = """## A path of reg values

`solve_path`, its hardest member alone in interleaved runs, and `LogisticRegressionCV` on the same rows."""

SCALE = """## At the scale of embeddings

Seeded float16 rows about a centre for each class. A pass computes loss and gradient. It is compared with NumPy's sgemm
on blocks of the same shapes, with as many threads, in interleaved runs of one process."""


def table(head: list[str], rows: list[list[str]], n_words: int = 1) -> str:
    """A Markdown table whose first `n_words` columns are words."""
    rule = ["---" if i < n_words else "---:" for i in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))


def section(text: str, record: Record | None, make: Any) -> str:
    """The section: nothing without a record, and why where it was skipped."""
    if record is None:
        return ""
    return f"{text}\n\n" + (f"Not measured: {record['skipped']}." if "skipped" in record else make(record))


def optimum_block(record: Record | None) -> str:
    """A plot and a table for each problem, and the certificates."""
    return section(OPTIMUM, record, optimum_parts)


def optimum_parts(record: Record) -> str:
    """All but the introduction."""
    parts = [
        f"{plural(record['threads'], 'thread')}; each solver has at most {record['budget']:g} s for a problem, all its "
        f"runs together. Rows are those of `{record['source']}`.\n\n{NOT_RACED}",
        certificates(record),
    ]
    for about in record["problems"]:
        size = f"{about['n_images']:,} rows of {about['n_features']:,}, K = {about['n_classes']:,}"
        image = f"images/{plot_name(about)}"
        measured = f" Measured at commit `{about['commit']}`." if "commit" in about else ""
        runs = "once" if about["repeats"] == 1 else f"{about['repeats']} times"
        measured += f" Solvers that meet a target ran {runs}."
        title = f"### {about['problem'][0].upper()}{about['problem'][1:]}"
        parts.append(f"{title}\n\n{size}. {minimum_text(about)}{measured}")
        parts.append(f"![Gap against seconds and passes: {about['problem']}]({image})")
        parts.append(solver_table(about, record["targets"]))
        if about["skipped"]:
            parts.append("Not raced:\n\n" + absent(about["skipped"]))
    return "\n\n".join(parts)


def absent(skipped: dict[str, str]) -> str:
    """A list item for each reason, with the solvers that it holds for."""
    solvers: dict[str, list[str]] = {}
    for name, reason in skipped.items():
        solvers.setdefault(reason, []).append(name)
    return "\n".join(f"- {', '.join(names)}: {reason}" for reason, names in solvers.items())


def optimum_summary(record: Record | None) -> str:
    """A row for each problem: linprobe to the last target, and the quickest of the others."""
    if record is None or "skipped" in record:
        return ""
    key = f"{record['targets'][-1]:g}"
    rows = []
    for about in record["problems"]:
        found = {line["solver"]: line["targets"][key] for line in about["results"]}
        ours = found.pop("linprobe")
        others = {name: one["seconds"]["median"] for name, one in found.items() if one}
        best = min(others, key=lambda name: others[name], default=None)
        seconds = digits(ours["seconds"]["median"]) if ours else f"more than {record['budget']:g}"
        least = digits(others[best]) if best else f"more than {record['budget']:g}"
        times = digits(others[best] / ours["seconds"]["median"]) if ours and best else ""
        rows.append([about["problem"], best or "none", seconds, least, times])
    head = ["problem", "the fastest other", f"linprobe to {key}, s", f"the other to {key}, s", "times as fast"]
    return "To the optimum:\n\n" + table(head, rows, 2)


def plot_name(about: Record) -> str:
    """The file of a problem's plot."""
    return f"benchmarks-optimum-{re.sub('[^a-z0-9]+', '-', about['problem'].lower())}.png"


def minimum_text(about: Record) -> str:
    """What the gaps are measured from."""
    minimum = about["minimum"]
    if minimum["proved"]:
        text = (
            f"The minimum is proved to be at least {minimum['value']:.9g}, and at most {minimum['relative_gap']:.1e} "
        )
        text += "of it more: gaps are measured from there."
    else:
        text = f"Gaps are measured from {minimum['value']:.9g}, the lowest objective that was found. "
        text += f"The proof is only that none is below {minimum['lower_bound']:.9g}, {relative(minimum):.1e} less."
    known = about["known"]
    if known is not None and abs(minimum["value"] - known) > 1e-6 * known:
        text += f" **It was {known:g} when it was found before.**"
    return text


def relative(minimum: Record) -> float:
    """How far below the value the proved bound is."""
    return (minimum["value"] - minimum["lower_bound"]) / minimum["value"] if minimum["value"] else math.nan


def solver_table(about: Record, targets: list[float]) -> str:
    """A row for each solver, the quickest to the last target first."""
    keys = [f"{target:g}" for target in targets]
    rows = []
    for line in sorted(about["results"], key=lambda line: order(line, keys)):
        found = [line["targets"][key] for key in keys]
        cells = [spoken(one["seconds"]) if one else "" for one in found]
        passes = [f"{one['passes']:.0f}" if one and one["passes"] is not None else "" for one in found]
        name = f"**{line['solver']}**" if line["solver"] == "linprobe" else line["solver"]
        if line["note"]:
            name += f", {line['note']}"
        memory = "" if line["peak_bytes"] is None else f"{line['peak_bytes'] / 1e6:.0f}"
        missed = "" if all(found) else f"{line['best_gap']:.1e} after {digits(line['best_seconds'])} s"
        rows.append([name, *cells, *passes, f"{line['rows_bytes'] / 1e6:.0f}", memory, missed])
    head = ["solver", *(f"to {key}, s" for key in keys), *(f"passes to {key}" for key in keys)]
    return table([*head, "rows, MB", "peak above, MB", "not reached"], rows)


def order(line: Record, keys: list[str]) -> tuple[float, ...]:
    """What solvers are sorted by: seconds to the targets, the last first; then the gap."""
    seconds = [line["targets"][key]["seconds"]["median"] if line["targets"][key] else math.inf for key in keys]
    return (*reversed(seconds), line["best_gap"])


def certificates(record: Record) -> str:
    """What linprobe proves of its own weights, problem by problem."""
    rows = []
    for about in record["problems"]:
        for line in about["results"]:
            proof = line.get("certified")
            if proof:
                ended = "" if proof["status"] == "CERTIFIED" else f" **{proof['status']}**"
                zeros = f"{proof['zeros']:,} of {proof['weights']:,}" if about["penalty"] != "l2" else ""
                cells = [f"{proof['tol']:g}", f"{proof['relative_gap']:.1e}{ended}", spoken(proof["seconds"])]
                rows.append([about["problem"], *cells, f"{proof['passes']:.0f}", zeros])
    head = ["linprobe, with a certificate", "tol", "proved gap", "seconds", "passes", "exact zeros"]
    return table(head, rows) if rows else ""


def path_block(record: Record | None, text: str = PATH) -> str:
    """The path, its hardest member, and scikit-learn's."""
    return section(text, record, path_parts)


def path_parts(record: Record) -> str:
    """All but the introduction."""
    members, cv, n = record["members"], record["logistic_regression_cv"], len(record["members"])
    certified = sum(about["status"] == "CERTIFIED" for about in members)
    worst = max(about["relative_gap"] for about in members)
    together = sum(about["alone"]["seconds"] for about in members)
    cv_gap = max(about["gap"] for about in cv["results"])
    ratio = record["ratios"]["path"]
    rows = [
        [f"`solve_path`, all {n}", spoken(record["seconds"]["path"]), f"{record['passes']:.0f}", f"{worst:.1e}"],
        [f"its hardest, reg {record['hardest']:.2g}, alone", spoken(record["seconds"]["hardest"]), "", ""],
        [f"all {n} alone, one after the other", digits(together), "", ""],
        [
            f"`LogisticRegressionCV`, all {n}: **extrapolated** from {cv['extrapolated_from']} in "
            f"{digits(cv['seconds'])} s, max_iter {cv['max_iter']}",
            digits(cv["extrapolated_seconds"]),
            "",
            f"{cv_gap:.1e}",
        ],
    ]
    verdict = "within" if ratio["median"] <= record["aim"] else "**above**"
    return (
        f"{record['n_train']:,} rows, softmax with L2, {n} reg values from {members[0]['reg']:.0e} to "
        f"{members[-1]['reg']:.0e}; {certified} of {n} certified to {record['tol']:g}.\n\n"
        + table(["", "seconds", "passes", "largest gap"], rows)
        + f"\n\nThe path takes **{spoken(ratio)}** times its hardest member, {verdict} the {record['aim']:g} aimed at."
    )


def scale_block(record: Record | None) -> str:
    """A pass compared with sgemm, and the optimum."""
    return section(SCALE, record, scale_parts)


def scale_parts(record: Record) -> str:
    """All but the introduction."""
    one, optimum = record["pass"], record["optimum"]
    memory = [
        f"{about['peak_bytes'] / 1e6:.0f} MB" if about["peak_bytes"] is not None else "" for about in (one, optimum)
    ]
    rows = [
        ["a pass", f"{spoken(one['seconds'])} s"],
        ["its rate", f"{spoken(one['gflops']['linprobe'])} GFLOP/s"],
        ["sgemm's rate", f"{spoken(one['gflops']['sgemm'])} GFLOP/s"],
        ["share of sgemm's rate", f"**{spoken(one['share_of_sgemm'], '%', 100.0)}**"],
        ["peak memory of a pass, above the rows", memory[0]],
        ["the optimum, proved gap", f"{optimum['relative_gap']:.1e} ({optimum['status']}, tol {optimum['tol']:g})"],
        ["seconds, second moment included", digits(optimum["seconds"])],
        ["passes", f"{optimum['passes']:.0f}"],
        ["peak memory of the search, above the rows", memory[1]],
    ]
    return (
        f"{record['n_images']:,} rows of {record['n_features']:,}, {record['rows_bytes'] / 1e6:.0f} MB, K = "
        f"{record['n_classes']:,}, softmax with L2, reg {record['reg']:g}, {plural(record['threads'], 'thread')}.\n\n"
        + table(["", ""], rows)
    )
