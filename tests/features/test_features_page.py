"""The tables of docs/features.md name the parameters and defaults that there are."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from linprobe.features.color import ColorMap
from linprobe.features.hog import HogMap
from linprobe.features.net import NetMap
from linprobe.features.onnx import KEYS
from linprobe.features.parse import FEATURE_MAPS
from linprobe.features.patches import PatchesMap

PAGE = (Path(__file__).parents[2] / "docs" / "features.md").read_text()


@pytest.mark.parametrize("kind", [HogMap, ColorMap, PatchesMap, NetMap])
def test_each_parameter_is_named_with_its_default(kind):
    section = PAGE.split(f"\n## {kind.name}\n")[1].split("\n## ")[0]
    told = dict(re.findall(r"^\| `(\w+)` \| ([\w.-]+) \|", section, flags=re.MULTILINE))
    assert told == {f.name: str(f.default).lower() for f in fields(kind) if f.init}


def test_each_map_and_each_key_of_the_metadata_is_named():
    assert set(re.findall(r"^\| `(\w+)[:`]", PAGE.split("\n## ")[0], flags=re.MULTILINE)) == FEATURE_MAPS.keys()
    assert tuple(re.findall(r"^\| `linprobe\.(\w+)` \|", PAGE, flags=re.MULTILINE)) == KEYS
