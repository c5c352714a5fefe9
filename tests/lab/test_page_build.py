"""The built page in the tree is the build of web/."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from linprobe.choices import KINDS
from linprobe.explain.picture import CLASS_COLORS
from linprobe.lab.choices import page_table
from linprobe.lab.server import PAGE_FOLDER
from linprobe.plain import plain

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


def test_the_types_of_the_choices_are_those_of_the_protocol():
    script = (WEB / "src" / "names.ts").read_text()

    def members(name: str) -> set[str]:
        body = re.search(rf"export interface {name} \{{(.*?)\}}", script, flags=re.DOTALL)
        assert body
        return set(re.findall(r"^  (\w+):", body[1], flags=re.MULTILINE))

    loss = plain(page_table()["loss"][0])
    assert members("Named") == loss.keys()
    assert members("Parameter") == loss["parameters"][0].keys()
    kinds = re.search(r"export type Kind =(.*?);", script, flags=re.DOTALL)
    assert kinds
    assert set(re.findall(r'"(\w+)"', kinds[1])) == KINDS.keys()


def test_the_page_lists_no_losses_or_penalties_of_its_own():
    for path in (WEB / "src").rglob("*.ts*"):
        if path.name.endswith(".test.ts") or path.parent.name == "scores":  # that page is about these three losses
            continue
        assert "squared-hinge" not in path.read_text(), path.name
        assert "elastic-net" not in path.read_text(), path.name


def test_the_classes_have_the_colours_of_the_pictures():
    script = (WEB / "src" / "classes.tsx").read_text()
    style = (WEB / "src" / "style" / "theme.css").read_text()
    assert tuple(re.findall(r'"(#[0-9a-f]{6})"', script)) == CLASS_COLORS
    light = style[: style.index("data-theme")]
    assert tuple(re.findall(r"--class-\d: (#[0-9a-f]{6})", light)) == CLASS_COLORS
