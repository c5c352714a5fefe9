"""The built page in the tree is the build of web/."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from linprobe.explain.picture import CLASS_COLORS
from linprobe.lab.server import PAGE_FOLDER

WEB = Path(__file__).resolve().parents[2] / "web"
AGAIN = "src/linprobe/lab/page is not the build of web/: run `make web` and commit both"


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below `folder`, by its path, but for installed packages."""
    files = (path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in names.items()
        if not name.startswith("node_modules/")
    }


def test_the_page_was_built_from_the_sources_that_lie_beside_it():
    manifest = json.loads((PAGE_FOLDER / "manifest.json").read_text())
    assert manifest["sources"] == hashes(WEB), AGAIN
    built = hashes(PAGE_FOLDER)
    del built["manifest.json"]
    assert manifest["built"] == built, AGAIN


def test_a_new_build_gives_the_same_bytes(tmp_path):
    if shutil.which("node") is None or not (WEB / "node_modules" / "vite").is_dir():
        pytest.skip("no Node packages to build the page again: `make web` installs them")
    environment = {**os.environ, "LINPROBE_PAGE": str(tmp_path / "page")}
    vite = ["node", "node_modules/vite/bin/vite.js", "build", "--logLevel", "warn"]
    done = subprocess.run(vite, cwd=WEB, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "page") == hashes(PAGE_FOLDER), AGAIN


def test_the_page_fetches_nothing_from_elsewhere():
    for path in PAGE_FOLDER.iterdir():
        found = set(re.findall(r"""https?://[^\s"'`)]+""", path.read_text()))
        # names of XML's vocabularies, which nothing is fetched from
        assert all(address.startswith("http://www.w3.org/") for address in found), (path.name, found)


def test_the_lock_file_names_no_registry():
    lock = json.loads((WEB / "package-lock.json").read_text())
    assert lock["packages"]
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]


def test_the_types_of_the_page_are_written_from_the_records():
    ended = subprocess.run(
        [sys.executable, str(WEB.parent / "tools" / "page_types.py"), "--check"], capture_output=True, text=True
    )
    assert ended.returncode == 0, f"web/src/protocol.ts is stale; run `make types`:\n{ended.stdout}{ended.stderr}"


def test_no_script_declares_a_record_of_its_own():
    def shapes(path: Path) -> dict[frozenset[str], str]:
        found = re.findall(r"^(?:export )?interface (\w+) \{(.*?)^\}", path.read_text(), re.M | re.S)
        return {frozenset(re.findall(r"^  \"?([\w.]+)\"?\??:", body, re.M)): name for name, body in found}

    records = shapes(WEB / "src" / "protocol.ts")
    assert {"Look", "JobShown", "Parameter"} <= set(records.values())
    twins = {
        f"{path.name}: {name}"
        for path in (WEB / "src").rglob("*.ts*")
        if path.name != "protocol.ts"
        for keys, name in shapes(path).items()
        if keys in records
    }
    assert not twins


def test_the_page_lists_no_losses_or_penalties_of_its_own():
    for path in (WEB / "src").rglob("*.ts*"):
        if path.name.endswith(".test.ts") or path.parent.name == "scores" or path.name == "protocol.ts":
            continue  # that page is about these three losses
        assert "squared-hinge" not in path.read_text(), path.name
        assert "elastic-net" not in path.read_text(), path.name


def test_the_classes_have_the_colours_of_the_pictures():
    script = (WEB / "src" / "classes.tsx").read_text()
    style = (WEB / "src" / "style" / "theme.css").read_text()
    assert tuple(re.findall(r'"(#[0-9a-f]{6})"', script)) == CLASS_COLORS
    light = style[: style.index("data-theme")]
    assert tuple(re.findall(r"--class-\d: (#[0-9a-f]{6})", light)) == CLASS_COLORS
