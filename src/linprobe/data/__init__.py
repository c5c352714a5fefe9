"""Data: from a path to labelled pictures or vectors, by split."""

from __future__ import annotations

from linprobe.data.base import (
    Dataset,
    EmbeddingSet,
    ImageSet,
    Reader,
    ReadOptions,
    SkippedImage,
    open_dataset,
)
from linprobe.data.cache import cache_info, clear_cache

__all__ = [
    "Dataset",
    "EmbeddingSet",
    "ImageSet",
    "ReadOptions",
    "Reader",
    "SkippedImage",
    "cache_info",
    "clear_cache",
    "open_dataset",
]
