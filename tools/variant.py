"""Build the core another way, in a folder of its own, and run tests with it.

    .venv/bin/python tools/variant.py sanitize tests/engines tests/algebra
    .venv/bin/python tools/variant.py clang tests/engines

`build/NAME/site` receives linprobe with that core, and `build/NAME/venv` a Python that sees it first and the packages
of .venv after it. The installation of .venv stays as it is.

sanitize: GCC's checks of addresses and undefined behaviour; the first finding ends the test.
clang: every warning is an error.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

from install import digest_of
from system import find

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Variant:
    """A way to build the core.

    Attributes:
        compiler, package: the program, and the package of Debian that holds it.
        defines: variables of CMake.
        preload: libraries of the compiler that must be loaded before Python.
        environment: of the tests.
    """

    compiler: str
    package: str
    defines: dict[str, str]
    preload: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


VARIANTS = {
    "sanitize": Variant(
        "g++",
        "g++",
        {"LINPROBE_SANITIZE": "ON"},
        # The C++ library too: a sanitizer that starts before it does not see what it throws.
        ("libasan.so", "libubsan.so", "libstdc++.so.6"),
        {
            # Python keeps memory until it ends, and that is no fault of the core.
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1",
            "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:abort_on_error=1",
            "LINPROBE_SANITIZED": "1",  # skips tests that limit the address space: a sanitizer takes terabytes
        },
    ),
    "clang": Variant("clang++", "clang", {"CMAKE_CXX_FLAGS": "-Werror"}),
}


def built_from() -> list[Path]:
    """The files that a build reads; the Python files are copied."""
    sources = [ROOT / "CMakeLists.txt", ROOT / "pyproject.toml"]
    return sources + [path for path in (ROOT / "src").rglob("*") if path.suffix in {".py", ".pyi", ".cpp", ".hpp"}]


def build(variant: Variant, folder: Path) -> int:
    """Install linprobe with that core into `folder`/site, unless it is there already; the exit code of pip."""
    site, stamp, digest = folder / "site", folder / "built", digest_of(built_from())
    if stamp.exists() and stamp.read_text() == digest:
        return 0
    stamp.unlink(missing_ok=True)
    shutil.rmtree(site, ignore_errors=True)
    settings = {f"cmake.define.{name}": value for name, value in variant.defines.items()}
    settings |= {"build-dir": str(folder / "core"), "install.strip": "false"}
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--target", str(site), *(f"--config-settings={name}={value}" for name, value in settings.items())]
    code = subprocess.run([*command, str(ROOT)], env=os.environ | {"CXX": variant.compiler}, check=False).returncode
    if code == 0:
        stamp.write_text(digest)
    return code


def python_of(folder: Path) -> Path:
    """A Python that sees `folder`/site, then the packages of the Python that runs this, but none of its .pth files."""
    python = folder / "venv" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    own = folder / "venv" / "lib" / version / "site-packages" / "variant.pth"
    own.write_text(f"{folder / 'site'}\n{sysconfig.get_path('purelib')}\n")
    return python


def path_of(compiler: str, library: str) -> str:
    """Where the compiler keeps a library."""
    command = [compiler, f"-print-file-name={library}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def environment_of(variant: Variant) -> dict[str, str]:
    """Of the tests."""
    environment = os.environ | variant.environment
    if variant.preload:
        environment["LD_PRELOAD"] = " ".join(path_of(variant.compiler, name) for name in variant.preload)
    return environment


def main() -> int:
    """The exit code: of the build, or of the tests; 0 where there is no such compiler."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=VARIANTS)
    parser.add_argument("tests", nargs="+")
    given = parser.parse_args()
    variant, folder = VARIANTS[given.name], ROOT / "build" / given.name
    if find(variant.compiler, variant.package) is None:
        return 0
    code = build(variant, folder)
    if code:
        return code
    command = [str(python_of(folder)), "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", *given.tests]
    return subprocess.run(command, cwd=ROOT, env=environment_of(variant), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
