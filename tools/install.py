"""Install linprobe, editable, with the extras that are named.

    .venv/bin/python tools/install.py EXTRA... --built-from FILE...

The compiler makes the core while pip fetches and unpacks what linprobe needs, two installations that share no package;
one after the other they took half as long again. The core is built only if the contents of FILE... have changed.
"""

from __future__ import annotations

import argparse
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


def digest_of(paths: Iterable[Path]) -> str:
    """Of the names and contents of files, in any order."""
    parts = [path.name.encode() + b"\0" + path.read_bytes() for path in sorted(paths)]
    return hashlib.sha256(b"".join(parts)).hexdigest()


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


def main() -> int:
    """The exit code: that of the first installation that failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("extras", nargs="+")
    parser.add_argument("--built-from", type=Path, nargs="+", required=True)
    given = parser.parse_args()
    digest = digest_of(given.built_from)
    commands = [[*PIP, *needed(given.extras)]]
    if not BUILT.exists() or BUILT.read_text() != digest:
        BUILT.unlink(missing_ok=True)
        commands.append([*PIP, "--no-deps", "--editable", str(ROOT)])
    codes = [running.wait() for running in [subprocess.Popen(command) for command in commands]]
    if not any(codes):
        BUILT.write_text(digest)
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main())
