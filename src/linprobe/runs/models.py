"""Finding the model that a path means: a model file, or the one in a run folder."""

from __future__ import annotations

from pathlib import Path

from linprobe.errors import RunError
from linprobe.runs.folder import RunFolder

__all__ = ["model_file_of"]


def model_file_of(path: Path) -> Path:
    """The model file that `path` means.

    Raises:
        RunError: `path` is missing, is a folder but no run, or a run that has no model yet.
    """
    if not path.is_dir():
        if not path.exists():
            raise RunError(f"{path}: no such run folder or model file; `linprobe train SOURCE` makes one.")
        return path
    run = RunFolder.open(path)
    if not run.model_path.exists():
        raise RunError(f"{path}: this run has no model yet; finish it with `linprobe train --resume {path}`.")
    return run.model_path
