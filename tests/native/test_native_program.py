"""Slow: the program of this folder: kernels against plain loops, and the choice of an instruction set."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "check-native"
"""That of `make cross`, so that what one of them has built serves the other."""

pytestmark = pytest.mark.slow

Ended = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def program() -> Path:
    """The program, built if its sources are newer; skipped where CMake, Ninja or a compiler is missing."""
    missing = [name for name in ("cmake", "ninja", "c++") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not on this machine: {', '.join(missing)}")
    compiler = os.environ.get("CXX") or ("g++" if shutil.which("g++") else "c++")  # ccache tells c++ from g++
    FOLDER.parent.mkdir(exist_ok=True)
    settings = ["-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DLINPROBE_CHECKS=ON", "-DLINPROBE_MODULE=OFF"]
    with FileLock(f"{FOLDER}.lock"):  # the tests run in two processes
        for command in (["-S", ROOT, "-B", FOLDER, *settings], ["--build", FOLDER, "--target", "check_kernels"]):
            built = subprocess.run(
                ["cmake", *command], env=os.environ | {"CXX": compiler}, capture_output=True, text=True, check=False
            )
            assert built.returncode == 0, (built.stdout + built.stderr)[-3000:]
    return FOLDER / "check_kernels"


def run(*command: str | Path, instruction_set: str = "", bfloat16: str = "") -> Ended:
    """A command, told which kernels to take."""
    environment = os.environ | {"LINPROBE_INSTRUCTION_SET": instruction_set, "LINPROBE_BFLOAT16": bfloat16}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("bfloat16", ["", "plain"])
def test_every_kernel_of_every_instruction_set_agrees_with_its_plain_loop(program: Path, bfloat16: str) -> None:
    ended = run(program, bfloat16=bfloat16)
    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.endswith("all kernels agree with their plain loops\n")
    counts = re.findall(r"^(\w+): (\d+) numbers compared, 0 failed$", ended.stdout, re.MULTILINE)
    compared = {name: int(count) for name, count in counts}
    lacking = re.findall(r"^(\w+): this processor lacks it; not checked$", ended.stdout, re.MULTILINE)
    chosen = re.findall(r"^chosen here: (\w+)$", ended.stdout, re.MULTILINE)
    assert chosen == [list(compared)[-1]]  # the best that is here
    assert {*compared, *lacking} >= {"plain"}
    assert min(compared.values()) > 10_000


def test_an_instruction_set_that_is_here_can_be_asked_for(program: Path) -> None:
    assert "chosen here: plain\n" in run(program, "choice", instruction_set="plain").stdout


def test_an_instruction_set_that_was_not_compiled_is_refused(program: Path) -> None:
    ended = run(program, "choice", instruction_set="avx9")
    assert ended.returncode == 2
    assert "error: LINPROBE_INSTRUCTION_SET is 'avx9'; this build of linprobe has: plain, " in ended.stdout


EMULATED = {
    "x86_64": [("Nehalem", "plain", "avx2"), ("max", "avx2", "avx512")],
    "aarch64": [("cortex-a72", "plain", "neon"), ("max", "neon", "avx512")],
}
"""Of each processor: a model of the emulator, the best set that it has, and one that it lacks."""


def emulator_of(model: str) -> Sequence[str]:
    """The command of qemu-user for this machine's processor as another model; skipped where it is not installed."""
    emulator = shutil.which(f"qemu-{platform.machine()}")
    if emulator is None:
        pytest.skip(f"qemu-{platform.machine()} of qemu-user is not on this machine")
    return emulator, "-cpu", model


@pytest.mark.parametrize(("model", "best", "lacking"), EMULATED.get(platform.machine(), []))
def test_on_a_lesser_processor_the_next_best_set_is_taken_and_more_is_refused(
    program: Path, model: str, best: str, lacking: str
) -> None:
    emulator = emulator_of(model)
    taken = run(*emulator, program, "choice")
    assert taken.returncode == 0, taken.stdout + taken.stderr
    assert f"chosen here: {best}\n" in taken.stdout
    refused = run(*emulator, program, "choice", instruction_set=lacking)
    assert refused.returncode == 2
    assert f"error: LINPROBE_INSTRUCTION_SET is '{lacking}'" in refused.stdout
    assert "Name one of these, or unset the variable to take the best" in refused.stdout
