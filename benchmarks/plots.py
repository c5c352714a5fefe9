"""The plots of docs/benchmarks.md, drawn without a display: bars of medians, their spread as a line; lines of gaps."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.record import digits

if TYPE_CHECKING:
    from benchmarks.summary_page import Comparison

Record = dict[str, Any]

NAMES = {"linprobe": "linprobe", "numpy": "NumPy", "torch": "PyTorch"}

READING = {
    "pillow": "zipfile and Pillow, one thread",
    "linprobe": "linprobe, first run, writes its cache",
    "linprobe x1": "the same with one thread",
    "linprobe uncached": "linprobe without a cache",
}
"""What the page calls each way of reading."""

COLOURS = {"numpy": "#7b93c4", "torch": "#f0855a", "linprobe": "#1b7f5c", "files": "#a4ccbe", "quiet": "#b8b8b8"}

FEATURES = {
    "patches+patches/2+hog+color, 500 patches, flips": "500 patches and hog+color",
    "patches+patches/2+hog+color, 2000 patches, flips": "2,000",
    "patches+patches/2+hog+color, 4000 patches, flips": "4,000",
}
"""What the picture calls kinds of features with long names."""

LINES = {
    "linprobe": ("#1b7f5c", "o", "-"),
    "PyTorch L-BFGS": ("#d55e00", "s", "-"),
    "PyTorch SGD": ("#d55e00", "v", ":"),
    "Cyanure": ("#e69f00", "D", "-"),
    "rlaopt SAPPHIRE": ("#f0e442", "X", "-"),
    "scikit-learn lbfgs": ("#0072b2", "^", "-"),
    "scikit-learn lbfgs float32": ("#0072b2", "x", "--"),
    "scikit-learn newton-cg": ("#cc79a7", "P", "-"),
    "scikit-learn newton-cholesky": ("#cc79a7", "X", "--"),
    "scikit-learn saga": ("#56b4e9", "<", "-"),
    "LIBLINEAR one-vs-rest": ("#777777", "+", ":"),
}
"""Colour (of Okabe and Ito's, which the colour-blind can tell apart), marker and line of each solver."""

LEAST_GAP = 1e-9
"""Gaps below it are drawn there: it is beyond what the minimum is known to."""

ABOVE = {"loc": "lower left", "bbox_to_anchor": (0, 1), "frameon": False, "borderaxespad": 0.2}
"""Place of a legend: between the title and the bars, over none of them."""


def plural(count: int, what: str) -> str:
    """`1 thread`, `2 threads`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def pass_plot(record: Record) -> bytes:
    """Ratios of the softmax, all rows and threads."""
    cases = [case for case in record["pass"] if case["loss"] == "softmax"]
    labels = [f"{case['shape']}, {case['rows']}, {plural(case['threads'], 'thread')}" for case in cases]
    return ratio_plot("Loss and gradient, softmax: speed of linprobe against others (longer is better)", labels, cases)


def sgd_plot(record: Record) -> bytes:
    """Ratios of the SGD epochs."""
    cases = record["sgd_epoch"]
    labels = [f"{case['loss']}, {plural(case['threads'], 'thread')}" for case in cases]
    size = cases[0]["batch_size"]
    title = f"SGD epoch, batches of {size}: speed of linprobe against PyTorch (longer is better)"
    return ratio_plot(title, labels, cases)


def ratio_plot(title: str, labels: Sequence[str], cases: Sequence[Record]) -> bytes:
    """Bars of the median ratio against each peer, and a line where both are as fast."""
    peers = [peer for peer in ("numpy", "torch") if all(peer in case["ratios"] for case in cases)]
    thick = 0.8 / len(peers)
    with canvas(1.2 + len(cases) * (0.25 + 0.2 * len(peers))) as (figure, axes):
        for k, peer in enumerate(peers):
            places = [i + (k - (len(peers) - 1) / 2) * thick for i in range(len(cases))]
            spreads = [case["ratios"][peer] for case in cases]
            draw_bars(axes, places, spreads, thick * 0.94, COLOURS[peer], f"against {NAMES[peer]}")
        axes.axvline(1, color="#333333", linewidth=1, linestyle=(0, (4, 3)), label="equal")
        axes.set_yticks(range(len(cases)), labels)
        axes.set_xlabel("time of the other / time of linprobe: median, and range of the pairs")
        axes.set_xlim(0, 1.1 * max(1, *(case["ratios"][peer]["max"] for case in cases for peer in peers)))
        axes.legend(**ABOVE, ncols=len(peers) + 1)
        return png(figure, title)


def summary_plot(comparisons: Sequence[Comparison]) -> bytes:
    """Times as fast as each peer, on a logarithmic axis: to the right of 1 linprobe is faster."""
    shown = [(row, row.ratio) for row in comparisons if row.ratio is not None]
    with canvas(1.1 + 0.36 * len(shown)) as (figure, axes):
        for place, (_, ratio) in enumerate(shown):
            colour = COLOURS["linprobe" if ratio >= 1 else "torch"]
            axes.barh(place, ratio - 1, 0.7, left=1, color=colour)
            behind = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
            axes.annotate(digits(ratio), (max(ratio, 1), place), **behind)
        axes.set_xscale("log")
        axes.axvline(1, color="#333333", linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xticks([1, 10, 100], ["1", "10", "100"])
        axes.set_yticks(range(len(shown)), [f"{row.task}\nagainst {row.label}" for row, _ in shown], fontsize=7.5)
        ratios = [ratio for _, ratio in shown]
        axes.set_xlim(min(0.5, *ratios), 2 * max(2, *ratios))
        axes.set_xlabel("time of the other / time of linprobe (medians)")
        return png(figure, "How many times as fast as other tools (right of the line: linprobe is faster)")


def reading_plot(record: Record) -> bytes:
    """Seconds of each way of reading."""
    found = {READING[name]: about for name, about in record["seconds"].items()}
    found["linprobe from its warm cache"] = record["warm_seconds"]
    colours = [COLOURS["quiet"] if label == READING["pillow"] else COLOURS["linprobe"] for label in found]
    with canvas(1.0 + 0.42 * len(found)) as (figure, axes):
        draw_bars(axes, range(len(found)), list(found.values()), 0.7, colours)
        axes.set_yticks(range(len(found)), list(found))
        axes.set_xlabel("seconds: median, and range of the repetitions")
        axes.set_xlim(0, 1.12 * max(about["max"] for about in found.values()))
        return png(figure, f"Reading {record['n_images']:,} JPEGs from a zip (shorter is better)")


def memory_plot(record: Record) -> bytes:
    """The peak of each run, and the limit."""
    runs = record["runs"]
    peaks = [run["peak_resident"] / 1e6 for run in runs]
    anonymous = [run["RssAnon"] / 1e6 for run in runs]
    with canvas(1.4 + 0.42 * (len(runs) + 1)) as (figure, axes):
        places = range(len(runs))
        axes.barh(places, peaks, 0.7, color=COLOURS["files"], label="all resident pages")
        axes.barh(places, anonymous, 0.7, color=COLOURS["linprobe"], label="anonymous memory")
        for i, (peak, own) in enumerate(zip(peaks, anonymous, strict=True)):
            axes.text(own, i, f"{own:.0f} ", va="center", ha="right", color="white")
            axes.text(peak, i, f"{peak:.0f} ", va="center", ha="right")
        pixels = record["training_pixels"] / 1e6
        axes.barh(len(runs), pixels, 0.7, color=COLOURS["quiet"])
        axes.text(pixels, len(runs), f" {pixels:.0f}", va="center", ha="left")
        limit = record["limit"] / 1e6
        axes.axvline(limit, color="#b3261e", linewidth=1.5, label=f"limit: pixels + 250 = {limit:.0f}")
        axes.set_yticks(range(len(runs) + 1), [*(f"training, seed {run['seed']}" for run in runs), "the pixels alone"])
        axes.set_xlim(0, 1.05 * max(limit, *peaks))
        axes.set_xlabel("peak, MB (1,000,000 bytes)")
        axes.legend(**ABOVE, ncols=3)
        return png(figure, "Memory of linprobe train, from the warm cache (shorter is better)")


def features_plot(record: Record) -> bytes:
    """Test accuracy against minutes in all; the line joins those that no other beats in both."""
    lines = sorted(record["lines"], key=lambda line: float(line["wall_seconds"]))
    minutes = [line["wall_seconds"] / 60 for line in lines]
    accuracies = [100 * line["test_accuracy"] for line in lines]
    best = [i for i, accuracy in enumerate(accuracies) if accuracy > max(accuracies[:i], default=0.0)]
    with canvas(4.6) as (figure, axes):
        axes.step([minutes[i] for i in best], [accuracies[i] for i in best], where="post", color=COLOURS["quiet"])
        for i, line in enumerate(lines):
            network = line["name"].startswith("net")
            axes.plot(minutes[i], accuracies[i], "o", color=COLOURS["torch" if network else "linprobe"], markersize=7)
            # above and to the left for networks, below and to the right for the others, where no line runs
            sign, aligned = (-1, ("right", "bottom")) if network else (1, ("left", "top"))
            place = {"xytext": (6 * sign, -5 * sign), "textcoords": "offset points"}
            place |= dict(zip(("ha", "va"), aligned, strict=True))
            axes.annotate(FEATURES.get(line["name"], line["name"]), (minutes[i], accuracies[i]), **place)
        axes.set_ylim(min(accuracies) - 4, max(accuracies) + 3)
        axes.set_xscale("log")
        ticks = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]
        shown = [tick for tick in ticks if 0.7 * minutes[0] <= tick <= 1.5 * minutes[-1]]
        axes.set_xticks(shown, [f"{tick:g}" for tick in shown])
        axes.minorticks_off()
        axes.set_xlim(0.7 * minutes[0], 1.5 * minutes[-1])
        axes.set_xlabel("minutes of `linprobe train` in all, on two cores, with the pixels decoded")
        axes.set_ylabel("test accuracy, %")
        return png(figure, "CIFAR-10: what each kind of features reaches, and in what time")


def convergence_plot(about: Record, targets: Sequence[float]) -> bytes:
    """The least gap so far of each solver on one problem, against seconds and against passes."""
    with panels(2, 4.6) as (figure, (by_seconds, by_passes)):
        value = about["minimum"]["value"]
        for line in about["results"]:
            colour, marker, dashes = LINES[line["solver"]]
            ours = line["solver"] == "linprobe"
            style = {"color": colour, "marker": marker, "linestyle": dashes, "markersize": 4, "label": line["solver"]}
            style |= {"linewidth": 2.4 if ours else 1.4, "zorder": 3 if ours else 2}
            seconds, gaps = falling([(point[0], point[2]) for point in line["points"]], value)
            by_seconds.plot(seconds, gaps, **style)
            passes, gaps = falling([(p[1], p[2]) for p in line["points"] if p[1] is not None and p[1] > 0], value)
            by_passes.plot(passes, gaps, **style)
            proof = line.get("certified")
            if proof:
                found = (proof["seconds"]["median"], proof["passes"])
                for axes, place in zip((by_seconds, by_passes), found, strict=True):
                    gap = max(proof["relative_gap"], LEAST_GAP)
                    axes.plot([place], [gap], "*", color=colour, markersize=13, markeredgecolor="white", zorder=4)
        for axes, label in ((by_seconds, "seconds"), (by_passes, "passes over the images")):
            for target in targets:
                axes.axhline(target, color="#333333", linewidth=1, linestyle=(0, (4, 3)))
            axes.set(xscale="log", yscale="log", xlabel=label)
            axes.set_ylim(bottom=0.5 * LEAST_GAP)
        by_seconds.set_ylabel("relative gap to the minimum, so far")
        handles, labels = by_seconds.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=3, frameon=False)
        return png(figure, f"{about['problem']}: lower and further left is better; ★ proved by linprobe")


def falling(points: Sequence[tuple[float, float]], value: float) -> tuple[list[float], list[float]]:
    """(places, least relative gaps so far), in the order of the places."""
    places, gaps, least = [], [], float("inf")
    for place, objective in sorted(points):
        least = min(least, max((objective - value) / value, LEAST_GAP))
        places.append(place)
        gaps.append(least)
    return places, gaps


def draw_bars(
    axes: Any, places: Sequence[float], spreads: Sequence[Record], thick: float, colour: Any, label: str = ""
) -> None:
    """Bars of the medians, their range as a line, and the median as a number behind it."""
    middles = [about["median"] for about in spreads]
    ranges = [
        [about["median"] - about["min"] for about in spreads],
        [about["max"] - about["median"] for about in spreads],
    ]
    line = {"elinewidth": 1.2, "ecolor": "#333333", "capsize": 2.5}
    axes.barh(places, middles, thick, xerr=ranges, color=colour, label=label, error_kw=line)
    for place, about in zip(places, spreads, strict=True):
        axes.annotate(
            digits(about["median"]),
            (about["max"], place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"},
        )


@contextmanager
def drawing(height: float) -> Iterator[Any]:
    """An empty figure of that many inches in height."""
    import matplotlib
    from matplotlib.figure import Figure

    # the defaults, whatever the user's matplotlibrc says
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, "font.family": "DejaVu Sans", "font.size": 9.5}):
        yield Figure(figsize=(8, height), dpi=110, layout="constrained")


@contextmanager
def panels(count: int, height: float) -> Iterator[tuple[Any, Any]]:
    """A figure with axes side by side, of one common y."""
    with drawing(height) as figure:
        side_by_side = figure.subplots(1, count, sharey=True)
        for axes in side_by_side:
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(color="#e4e4e4", linewidth=0.8)
            axes.set_axisbelow(True)
        yield figure, side_by_side


@contextmanager
def canvas(height: float) -> Iterator[tuple[Any, Any]]:
    """A figure of that many inches in height with one plain pair of axes, the first bar on top."""
    with drawing(height) as figure:
        axes = figure.add_subplot()
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="#e4e4e4", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.margins(y=0.02)
        axes.invert_yaxis()
        yield figure, axes


def png(figure: Any, title: str) -> bytes:
    """The bytes of the figure, in 64 colours: a quarter of the size, and no difference to be seen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    drawn = FigureCanvasAgg(figure)
    drawn.draw()
    picture = Image.frombytes("RGBA", drawn.get_width_height(), bytes(drawn.buffer_rgba())).convert("RGB")
    out = io.BytesIO()
    # by octree: the median cut would give a line of few pixels the colour of another
    picture.quantize(64, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(out, "png", optimize=True)
    return out.getvalue()
