"""Install linprobe, editable, with the extras that are named: `.venv/bin/python tools/install.py lab`.

The compiler makes the core while pip fetches and unpacks what linprobe needs, two installations that share no package;
one after the other they took half as long again. The core is built only if what it is built from has changed.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILT = Path(sys.prefix) / "linprobe.built"
"""In the environment: the digest of what the installed core was built from."""

PIP = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


def sources_digest() -> str:
    """Of everything that an editable installation holds a copy of, or is compiled from."""
    paths = [ROOT / "pyproject.toml", ROOT / "CMakeLists.txt", *sorted((ROOT / "src/linprobe/native").iterdir())]
    return hashlib.sha256(b"".join(path.name.encode() + b"\0" + path.read_bytes() for path in paths)).hexdigest()


def needed(extras: Iterable[str]) -> list[str]:
    """What pyproject.toml asks for, with these extras and the extras that they name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found, left = dict.fromkeys(project["dependencies"]), list(extras)
    while left:
        for requirement in project["optional-dependencies"][left.pop()]:
            own = re.fullmatch(rf"{project['name']}\[(.+)\]", requirement)
            if own:
                left += own[1].split(",")
            else:
                found[requirement] = None
    return list(found)


def main(extras: list[str]) -> int:
    """The exit code: that of the first installation that failed."""
    digest = sources_digest()
    commands = [[*PIP, *needed(extras)]]
    if not BUILT.exists() or BUILT.read_text() != digest:
        BUILT.unlink(missing_ok=True)
        commands.append([*PIP, "--no-deps", "--editable", str(ROOT)])
    codes = [running.wait() for running in [subprocess.Popen(command) for command in commands]]
    if not any(codes):
        BUILT.write_text(digest)
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
