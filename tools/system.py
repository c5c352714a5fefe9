"""Programs of the system that the slow targets need, installed by apt where that is possible."""

from __future__ import annotations

import os
import shutil
import subprocess

__all__ = ["find"]


def find(program: str, package: str) -> str | None:
    """Where `program` is, its `package` installed if need be; None, after a line that says so, if it cannot be had."""
    if shutil.which(program) is None:
        _install(package)
    found = shutil.which(program)
    if found is None:
        print(f"skipped: {program} is not here and the package {package} could not be installed", flush=True)
    return found


def _install(package: str) -> None:
    """With apt-get, as root or by a sudo that asks nothing."""
    if shutil.which("apt-get") is None:
        return
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if as_root and shutil.which("sudo") is None:
        return
    for command in (["update", "-q"], ["install", "-yq", "--no-install-recommends", package]):
        subprocess.run([*as_root, "apt-get", *command], stdout=subprocess.DEVNULL, check=False)
