"""`linprobe cache`: the decoded pixels that are kept between runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from linprobe.cli.options import debug, json_output

if TYPE_CHECKING:
    from linprobe.data.cache import CacheInfo


@click.group(short_help="The decoded pixels kept between runs.")
def cache() -> None:
    """The decoded pixels kept in the cache folder of the user: a second run on a source starts at once.

    LINPROBE_CACHE_DIR names another folder.
    """


@cache.command(short_help="The folder of the cache, and what it holds.")
@json_output
@debug
def info(as_json: bool) -> None:
    """The folder of the cache, the number of sources in it, and their size."""
    from linprobe.data.cache import cache_info

    _show(cache_info(), as_json, "folder", "sources kept", "size")


@cache.command(short_help="Delete all decoded pixels.")
@json_output
@debug
def clear(as_json: bool) -> None:
    """Delete all decoded pixels; the next run decodes again. What a running command is decoding is left."""
    from linprobe.data.cache import clear_cache

    _show(clear_cache(), as_json, "folder", "sources deleted", "size freed")


def _show(found: CacheInfo, as_json: bool, folder: str, entries: str, size: str) -> None:
    """`found` as JSON, or as three facts with these names."""
    from linprobe.cli.output import print_facts, print_json

    if as_json:
        print_json({"folder": str(found.folder), "n_entries": found.n_entries, "n_bytes": found.n_bytes})
    else:
        print_facts({folder: str(found.folder), entries: str(found.n_entries), size: f"{found.n_bytes / 1e6:.1f} MB"})
