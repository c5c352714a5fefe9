"""The tables of docs/benchmarks.md and the plots in docs/images/, made of the records in benchmarks/results/.

    python -m benchmarks.page [--results FOLDER] [--page FILE]

The page keeps its own words; what stands between `<!-- begin NAME -->` and `<!-- end NAME -->` is written anew. With
the same versions of matplotlib and Pillow, the same records give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.features_page import features_block, neighbors_block, network_block
from benchmarks.optimum_page import optimum_block, optimum_summary, path_block, plot_name, scale_block
from benchmarks.plots import (
    NAMES,
    READING,
    convergence_plot,
    features_plot,
    memory_plot,
    pass_plot,
    plural,
    reading_plot,
    sgd_plot,
    summary_plot,
)
from benchmarks.record import RESULTS, ROOT, digits, say, spoken, write_aside
from benchmarks.summary_page import comparisons, summary_block

Record = dict[str, Any]

BENCHMARKS = (
    "engine",
    "reading",
    "memory",
    "accuracy",
    "optimum",
    "path",
    "scale",
    "features",
    "network",
    "network-cifar10",
    "neighbors",
)
PAGE = ROOT / "docs" / "benchmarks.md"
BLOCK = re.compile(r"(?P<open><!-- begin (?P<name>[a-z0-9-]+) -->\n).*?(?P<close><!-- end (?P=name) -->)", re.DOTALL)


def read_records(folder: Path) -> dict[str, Record]:
    """The records by the name of their file, which is the benchmark's, or `BENCHMARK-MACHINE` of another machine's."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def fill(page: str, blocks: dict[str, str]) -> str:
    """`page` with the text of each block between its markers.

    Raises:
        SystemExit: a block has no markers in the page, or markers have no block.
    """
    marked = [match["name"] for match in BLOCK.finditer(page)]
    if sorted(marked) != sorted(blocks):
        raise SystemExit(f"error: the page has the blocks {sorted(marked)}; expected {sorted(blocks)}, each once")
    return BLOCK.sub(lambda match: f"{match['open']}{blocks[match['name']].strip()}\n{match['close']}", page)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], n_words: int = 1) -> str:
    """A table whose first `n_words` columns are words, to the left, and the others numbers, to the right."""
    rule = ["---" if i < n_words else "---:" for i in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))


def blocks(records: dict[str, Record]) -> dict[str, str]:
    """The text of each block of the page."""
    made: dict[str, tuple[str, Callable[[Record], str]]] = {
        "pass": ("engine", pass_block),
        "sgd": ("engine", sgd_block),
        "slower": ("engine", slower_block),
        "narrower": ("engine-avx2", lambda record: narrower_block(record, records)),
        "reading": ("reading", reading_block),
        "memory": ("memory", memory_block),
        "accuracy": ("accuracy", accuracy_block),
        "features": ("features", features_block),
        "network": ("network", network_block),
        "network-cifar10": ("network-cifar10", network_block),
        "neighbors": ("neighbors", neighbors_block),
    }
    texts = {name: missing(records.get(of)) or make(records[of]) for name, (of, make) in made.items()}
    sections = {
        "optimum": optimum_block(records.get("optimum")),
        "path": path_block(records.get("path")),
        "scale": scale_block(records.get("scale")),
    }
    whole = {"summary": summary_block(records), "machine": machine_block(records)}
    return {**texts, **sections, **whole}


def missing(record: Record | None) -> str | None:
    """Why there is nothing to show, or None."""
    if record is None:
        return "Not measured yet: run `make bench`."
    return f"Not measured: {record['skipped']}." if "skipped" in record else None


def milliseconds(about: Record) -> str:
    """A spread of seconds, in milliseconds."""
    return spoken(about, scale=1e3)


def pass_block(record: Record) -> str:
    """The plot, and a table for each shape."""
    return (
        f"![Loss and gradient: times as fast as NumPy and PyTorch](images/benchmarks-pass.png)\n\n{pass_tables(record)}"
    )


def pass_tables(record: Record) -> str:
    """A table for each shape."""
    parts = []
    for shape in dict.fromkeys(case["shape"] for case in record["pass"]):
        cases = [case for case in record["pass"] if case["shape"] == shape]
        one = cases[0]
        size = f"{one['n_images']:,} rows of {one['n_features']:,}, K = {one['n_classes']:,}"
        head = ("rows", "loss", "threads", "linprobe, ms", "NumPy, ms", "PyTorch, ms", "NumPy / ours", "PyTorch / ours")
        rows = [
            (
                case["rows"],
                case["loss"],
                str(case["threads"]),
                *(milliseconds(case["seconds"][who]) for who in ("linprobe", "numpy", "torch")),
                *(f"**{spoken(case['ratios'][who]).replace(' ', '** ', 1)}" for who in ("numpy", "torch")),
            )
            for case in cases
        ]
        parts.append(f"Shape of {shape}: {size}.\n\n{markdown_table(head, rows, 2)}")
    return "\n\n".join(parts)


def sgd_block(record: Record) -> str:
    """The plot, and the table of SGD epochs."""
    return f"![SGD epoch: times as fast as PyTorch](images/benchmarks-sgd.png)\n\n{sgd_table(record)}"


def sgd_table(record: Record) -> str:
    """The table of SGD epochs."""
    head = ("loss", "threads", "linprobe, ms", "PyTorch, ms", "PyTorch / ours")
    rows = [
        (
            case["loss"],
            str(case["threads"]),
            *(milliseconds(case["seconds"][who]) for who in ("linprobe", "torch")),
            f"**{spoken(case['ratios']['torch']).replace(' ', '** ', 1)}",
        )
        for case in record["sgd_epoch"]
    ]
    one = record["sgd_epoch"][0]
    return f"{one['n_images']:,} rows, batches of {one['batch_size']}.\n\n{markdown_table(head, rows)}"


def narrower_block(record: Record, records: dict[str, Record]) -> str:
    """Passes, SGD epochs, optima and the path on a machine with narrower vectors, and what machine that is."""
    machine, versions = record["machine"], record["versions"]
    caches = ", ".join(f"{name} {size}" for name, size in machine["caches"].items())
    torch = next(entry for entry in record["blas"] if entry.get("used_by") == "torch")
    return "\n\n".join(
        (
            f"{machine['processor']}, {caches}; {record['pass'][0]['engine']}; Python {versions['python']}, "
            f"NumPy {versions['numpy']} ({record['blas'][0]['internal_api']} {record['blas'][0]['architecture']}), "
            f"PyTorch {versions['torch']} ({torch['internal_api']} {torch['version']}); commit `{record['commit']}`.",
            pass_tables(record),
            "An epoch of SGD: " + sgd_table(record),
            optimum_summary(records.get("optimum-avx2")),
            path_block(records.get("path-avx2"), "A path of 20 reg values:"),
        )
    )


def slower_block(record: Record) -> str:
    """The cases in which a peer is faster, worst first: what the tables hold, sorted out."""
    found = []
    for kind, cases in (("pass", record["pass"]), ("SGD epoch", record["sgd_epoch"])):
        for case in cases:
            for peer, ratio in case["ratios"].items():
                if ratio["median"] < 1:
                    what = f"{kind}, {case['shape']}, {case['rows']} rows, {case['loss']}"
                    found.append((ratio["median"], what, plural(case["threads"], "thread"), NAMES[peer], ratio))
    if not found:
        return "In none of the measured cases is NumPy or PyTorch faster, by the median."
    rows = [
        (what, threads, peer, f"{digits(1 / middle)} ({digits(1 / ratio['max'])}–{digits(1 / ratio['min'])})")
        for middle, what, threads, peer, ratio in sorted(found, key=lambda row: row[0])
    ]
    return markdown_table(("case", "", "faster", "times as fast as linprobe"), rows, 3)


def reading_block(record: Record) -> str:
    """The table of the ways of reading, and the plot."""
    pillow = record["seconds"]["pillow"]["median"]
    rows = [(READING[name], spoken(about), spoken_ratio(record, name)) for name, about in record["seconds"].items()]
    warm = record["warm_seconds"]
    rows.append(("linprobe from its warm cache, every pixel read once", spoken(warm), digits(pillow / warm["median"])))
    height, width, _ = record["image_shape"]
    return (
        "![Seconds to read the archive](images/benchmarks-reading.png)\n\n"
        f"{record['n_images']:,} JPEGs of {width}x{height} in `{record['source']}`, "
        f"{plural(record['threads'], 'core')}; the pixels are identical.\n\n"
        + markdown_table(("", "seconds", "Pillow's time / this"), rows)
        + "\n\nThe last ratio is one of medians: the reading from the warm cache is not interleaved with the others."
    )


def spoken_ratio(record: Record, name: str) -> str:
    """Pillow's seconds over those of `name`, pair by pair."""
    if name == "pillow":
        return "1"
    pairs = zip(record["seconds"]["pillow"]["all"], record["seconds"][name]["all"], strict=True)
    ratios = sorted(theirs / ours for theirs, ours in pairs)
    middle = (ratios[(len(ratios) - 1) // 2] + ratios[len(ratios) // 2]) / 2
    return f"**{digits(middle)}** ({digits(ratios[0])}–{digits(ratios[-1])})"


def memory_block(record: Record) -> str:
    """The table of runs, the limit, and the plot."""
    rows = [
        (
            str(run["seed"]),
            *(f"{run[name] / 1e6:.0f}" for name in ("peak_resident", "RssAnon", "RssFile")),
            f"{100 * run['test_accuracy']:.2f}%",
        )
        for run in record["runs"]
    ]
    head = ("seed", "peak resident, MB", "anonymous, MB", "files, MB", "test accuracy")
    within = record["peak_resident"]["max"] <= record["limit"]
    return (
        "![Peak memory of training](images/benchmarks-memory.png)\n\n"
        + markdown_table(head, rows)
        + f"\n\nThe uint8 pixels of the {record['n_train']:,} training images take "
        f"{record['training_pixels'] / 1e6:.0f} MB. The limit is that and 250 MB: {record['limit'] / 1e6:.0f} MB. "
        + ("Every run stays below it." if within else "**Not every run stays below it.**")
    )


def accuracy_block(record: Record) -> str:
    """The table of accuracies."""
    rows = []
    for line in record["lines"]:
        found = line["test_accuracy"]
        several = line["deviation"] is not None
        rows.append(
            (
                f"`{line['source']}`",
                line["loss"],
                f"{line['n_train']:,} / {line['n_test']:,}",
                f"{line['seeds']}",
                f"**{100 * found['mean']:.2f}%**",
                f"{100 * line['deviation']:.2f}%" if several else "",
                f"{100 * found['min']:.2f}–{100 * found['max']:.2f}%" if several else "",
                spoken(line["optimisation_seconds"]) if several else digits(line["optimisation_seconds"]["median"]),
                spoken(line["wall_seconds"]) if several else digits(line["wall_seconds"]["median"]),
            )
        )
    head = ("source", "loss", "train / test", "seeds", "mean", "deviation", "range", "optimisation, s", "command, s")
    text = markdown_table(head, rows, 2)
    return text + (f"\n\nCIFAR-10 was not measured: {record['not_measured']}." if record["not_measured"] else "")


def machine_block(records: dict[str, Record]) -> str:
    """Where and with what the benchmarks ran: what they share, and a row for each with what differs."""
    names = [name for name in BENCHMARKS if missing(records.get(name)) is None]
    if not names:
        return "Not measured yet: run `make bench`."
    of = [records[name] for name in names]
    lines: dict[str, list[str]] = {
        "processor": [r["machine"]["processor"] for r in of],
        "cores": [str(r["machine"]["cores"]) for r in of],
        "caches": [", ".join(f"{k} {v}" for k, v in r["machine"]["caches"].items()) or "not known" for r in of],
        "memory": [f"{r['machine']['memory'] / 1e9:.0f} GB" for r in of],
        "system": [r["machine"]["system"] for r in of],
        "commit": [commit_text(r) for r in of],
    }
    for library in dict.fromkeys(name for record in of for name in record["versions"]):
        lines[library] = [r["versions"].get(library, "") for r in of]
    lines["BLAS"] = [blas_text(r["blas"]) for r in of]
    shared = []
    for name, cells in list(lines.items()):
        told = set(filter(None, cells))
        if len(told) <= 1:
            del lines[name]
            shared += [(name, value) for value in told]
    engine = records.get("engine", {}).get("pass")
    if engine:
        shared.append(("engine", f"{engine[-1]['engine']}"))
    lines["load average before"] = [f"{r['load_average_before'][0]:.2f}" for r in of]
    lines["cores used by others"] = [percent(r["share_used_by_others"]) for r in of]
    lines["seconds in all"] = [f"{r['seconds_in_all']:.0f}" for r in of]
    lines["warning"] = [f"**{r['warning']}**" if r["warning"] else "none" for r in of]
    differing = [(name, *(cells[i] for cells in lines.values())) for i, name in enumerate(names)]
    head = ("", *lines)
    return markdown_table(("", ""), shared, 2) + "\n\n" + markdown_table(head, differing, len(head))


def commit_text(record: Record) -> str:
    """The commit that was measured, or those, of a record whose parts were measured one after the other."""
    own = [part["commit"] for part in record.get("problems", []) if "commit" in part] or [record["commit"]]
    return ", ".join(f"`{commit}`" if commit else "not known" for commit in dict.fromkeys(own))


def blas_text(pools: Sequence[Record]) -> str:
    """The BLAS libraries in a few words."""
    named = [
        " ".join(str(pool[key]) for key in ("used_by", "internal_api", "version", "architecture") if key in pool)
        for pool in pools
        if pool["user_api"] == "blas"
    ]
    return "; ".join(named)


def percent(share: float | None) -> str:
    """A share of the cores, or `not known`."""
    return "not known" if share is None else f"{100 * share:.1f}%"


def plots(records: dict[str, Record]) -> dict[str, bytes]:
    """The PNG files by name."""
    made: dict[str, tuple[str, Callable[[Record], bytes]]] = {
        "benchmarks-pass.png": ("engine", pass_plot),
        "benchmarks-sgd.png": ("engine", sgd_plot),
        "benchmarks-reading.png": ("reading", reading_plot),
        "benchmarks-memory.png": ("memory", memory_plot),
        "benchmarks-features.png": ("features", features_plot),
    }
    drawn = {name: make(records[of]) for name, (of, make) in made.items() if missing(records.get(of)) is None}
    if any(row.ratio is not None for row in comparisons(records)):
        drawn["benchmarks-summary.png"] = summary_plot(comparisons(records))
    raced = records.get("optimum", {})
    drawn |= {plot_name(about): convergence_plot(about, raced["targets"]) for about in raced.get("problems", [])}
    return drawn


def main() -> None:
    """Rewrite the page and its plots; a plot of which there is no record is removed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="python -m benchmarks.page"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER")
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE")
    given = parser.parse_args()
    records = read_records(given.results)
    images = given.page.parent / "images"
    drawn = plots(records)
    for path in images.glob("benchmarks-*.png"):
        if path.name not in drawn:
            path.unlink()
    for name, data in drawn.items():
        write_aside(images / name, data)
    write_aside(given.page, fill(given.page.read_text(), blocks(records)).encode())
    say(f"{given.page}: {len(records)} records, {len(drawn)} plots")


if __name__ == "__main__":
    main()
