"""What only Unix, or only Linux, has is not needed to import linprobe, nor to hold a run or write a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

WITHOUT = """
import os, signal, subprocess, sys, tempfile
import platformdirs  # these keep what they took: here they are those of this system

for name in ("fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"):
    sys.modules[name] = None
for module, names in {
    os: "O_TMPFILE fork forkpty getuid geteuid getloadavg posix_fallocate pread pwrite register_at_fork "
        "sched_getaffinity waitid WNOWAIT WEXITED",
    signal: "SIGHUP SIGKILL SIGQUIT SIGUSR1 pthread_sigmask",
}.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
"""

IMPORT_ALL = """
import importlib, pkgutil
import linprobe

names = [module.name for module in pkgutil.walk_packages(linprobe.__path__, "linprobe.")]
assert len(names) > 50, names
for name in names:
    if name not in ("linprobe.features.net_layers", "linprobe.features.net_training"):  # PyTorch has wheels per system
        importlib.import_module(name)
print(len(names))
"""

USE = """
from pathlib import Path
import numpy as np
from linprobe import LinearClassifier
from linprobe.errors import RunError
from linprobe.runs.folder import RunFolder
from linprobe.runs.records import RunSettings, TrainSettings

run = RunFolder.create(Path("run"), RunSettings(TrainSettings("digits")))
try:
    RunFolder(Path("run")).lock()
except RunError as error:
    assert "another process" in str(error), error
else:
    raise SystemExit("two hold one run")
run.close()
assert [path.name for path in Path("run").iterdir()] == ["settings.json"], list(Path("run").iterdir())
X, y = np.eye(4), np.array([0, 1, 0, 1])
print(LinearClassifier(loss="softmax", reg=0.1).fit(X, y).score(X, y))
"""


@pytest.mark.parametrize("then", [IMPORT_ALL, USE], ids=["import", "use"])
def test_linprobe_does_without_what_only_unix_has(then: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", WITHOUT + then]  # filelock warns that it has no fcntl
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(done.stdout.split()[-1]) >= 1.0


def test_no_module_that_exists_on_one_system_only_is_imported_at_the_top() -> None:
    package = Path(__file__).parents[1] / "src" / "linprobe"
    only = {"fcntl", "grp", "msvcrt", "pty", "pwd", "resource", "syslog", "termios", "tty", "winreg"}
    at_the_top = {
        f"{path.relative_to(package)}: {line}"
        for path in package.rglob("*.py")
        for line in path.read_text().splitlines()
        if line.startswith(("import ", "from ")) and line.split()[1].split(".")[0] in only
    }
    assert not at_the_top
