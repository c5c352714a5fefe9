"""The command that installs the libraries of an extra: linprobe is not on PyPI, the libraries are."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires

__all__ = ["install_command"]


def install_command(extra: str) -> str:
    """The command that installs what the extra `extra` of linprobe requires, as `pyproject.toml` lists it.

    The quotes are those that every shell knows. Where linprobe has no metadata, as in a checkout that is only on the
    path, the command is that of the README, to be run in the folder of the repository.

    Example:
        >>> install_command("parquet")
        'pip install "pyarrow>=16"'
    """
    try:
        listed = requires("linprobe") or []
    except PackageNotFoundError:
        listed = []
    of_extra = [
        line.split(";")[0].strip() for line in listed if re.search(rf"extra == ['\"]{re.escape(extra)}['\"]", line)
    ]
    if not of_extra:
        return f'pip install ".[{extra}]" in the folder of the repository'
    return " ".join(["pip install", *(f'"{requirement}"' for requirement in of_extra)])
