"""From a spec such as "hog+color" to a FeatureMap; the file of a map is imported when its name is used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

import numpy.typing as npt

from linprobe.errors import ParameterError
from linprobe.features.base import FeatureMap, MapRecord
from linprobe.typed_json import MismatchError, value_of

__all__ = ["FEATURE_MAPS", "feature_map", "map_class", "names_in", "read_part", "restored_part"]

FEATURE_MAPS = {
    "pixels": ("linprobe.features.intensity", "IntensityMap"),
    "hog": ("linprobe.features.hog", "HogMap"),
    "color": ("linprobe.features.color", "ColorMap"),
    "patches": ("linprobe.features.patches", "PatchesMap"),
    "net": ("linprobe.features.net", "NetMap"),
    "onnx": ("linprobe.features.onnx", "OnnxMap"),
}
"""Each map by its name: the module and the class. A map of your own needs an entry here, and nothing else."""

MADE = {
    "halved": ("linprobe.features.halved", "HalvedMap"),
    "joined": ("linprobe.features.joined", "JoinedMap"),
    "mirrored": ("linprobe.features.mirrored", "MirroredMap"),
}
"""Maps made by "/2", "+" and `mirror`; model files name them, users do not."""

HALF = "/2"
"""Suffix of the name of a map that is applied to the pictures at half their size."""


def map_class(name: str) -> type[FeatureMap]:
    """The class of the feature map called `name`, as in `FeatureMap.name`; those of `MADE` included.

    Raises:
        ParameterError: there is none.
    """
    known = FEATURE_MAPS | MADE
    if name not in known:
        raise _unknown(name)
    module, class_name = known[name]
    found: type[FeatureMap] = getattr(importlib.import_module(module), class_name)
    return found


def restored_part(
    settings: Mapping[str, object], key: str, image_shape: tuple[int, int, int], tensors: Mapping[str, npt.NDArray[Any]]
) -> FeatureMap:
    """The fitted map that `settings` hold under `key` as a `MapRecord`.

    Raises:
        ParameterError: there is none, its name is not known, or a setting of it cannot be used.
    """
    record = read_part(MapRecord, settings, key)
    return map_class(record.name).restored(record.settings, image_shape, tensors)


def read_part(hint: Any, settings: Mapping[str, object], key: str) -> Any:
    """The value under `key`, of the type `hint`. Raises ParameterError where it is another, or missing."""
    try:
        return value_of(hint, settings.get(key, MISSING), key)
    except MismatchError as odd:
        raise ParameterError(f"{odd}.") from None


def feature_map(spec: str, *, mirror: bool = False, **options: Any) -> FeatureMap:
    """The feature map that `spec` means, not fitted.

    Args:
        spec: a name of `FEATURE_MAPS`, or several joined by "+"; onnx is followed by its file, "onnx:net.onnx". A name
            followed by "/2" is the map of the pictures at half their size, its grid one region smaller on each side.
        mirror: average every feature with that of the mirrored picture: training on flipped pictures, too.
        options: parameters of the maps; each goes to every map of the spec that has it. With the name of a map in
            front, as `net_dropout`, it goes to that map alone.
    Raises:
        ParameterError: an unknown name, a missing or superfluous file, an option that no map of the spec has, or a
            value out of range.
    Example:
        >>> feature_map("hog", orientations=9).n_features
        Traceback (most recent call last):
        linprobe.errors.ParameterError: this HogMap is not fitted; call fit(images) on training pictures first.
        >>> feature_map("hog+color", grid=2).spec
        'hog+color'
    """
    parts = [_read(part) for part in _parts(spec)]
    for name, _, _ in parts:
        if name not in FEATURE_MAPS:
            raise _unknown(name)
    known = {option for name, _, _ in parts for option in _parameters(map_class(name))}
    own = {f"{name}_{option}" for name, _, _ in parts for option in _parameters(map_class(name))}
    for option in options:
        if option not in known | own:
            has = ", ".join(sorted(known - {"file"})) or "none"
            raise ParameterError(f"the features {spec} have no parameter {option!r}; they have {has}.")
    maps = [_made(part, spec, options, mirror) for part in parts]
    if len(maps) == 1:
        return maps[0]
    joined: FeatureMap = map_class("joined")(maps)  # type: ignore[call-arg]  # JoinedMap: imported late
    return joined


def names_in(spec: str) -> list[str]:
    """The names of the maps in a spec, those that are not known included.

    Example:
        >>> names_in("patches+patches/2+onnx:net.onnx")
        ['patches', 'patches', 'onnx']
    """
    return [_read(part)[0] for part in _parts(spec)]


def _parameters(kind: type[FeatureMap]) -> list[str]:
    """The names of a map's parameters."""
    return [f.name for f in fields(kind) if f.init]


def _made(part: tuple[str, str, bool], spec: str, options: Mapping[str, Any], mirror: bool) -> FeatureMap:
    """The map of one part of `spec`, as `_read` returns it, with the options that it has: it checks their types."""
    name, file, half = part
    kind = map_class(name)
    names = _parameters(kind)
    chosen = {option: value for option, value in options.items() if option in names}
    chosen |= {option: options[f"{name}_{option}"] for option in names if f"{name}_{option}" in options}
    if name == "onnx":
        if not file and "file" not in chosen:
            raise ParameterError(f"features = {spec!r}: onnx requires a file, as onnx:network.onnx.")
        chosen = {"file": file, **chosen}
    elif file:
        raise ParameterError(f"features = {spec!r}: only onnx is followed by a file; write {name}.")
    if half and "grid" in names:  # with the same grid, a region would have a quarter of the places
        chosen["grid"] = max(1, chosen.get("grid", kind.__dataclass_fields__["grid"].default) - 1)
    if mirror and "mirror" in names:
        chosen["mirror"] = True
    made = kind(**chosen)
    if mirror and "mirror" not in names:  # maps with the parameter have a cheaper way
        made = map_class("mirrored")(made)  # type: ignore[call-arg]  # MirroredMap: imported late
    if half:
        made = map_class("halved")(made)  # type: ignore[call-arg]  # HalvedMap: imported late
    return made


def _unknown(name: str) -> ParameterError:
    choices = ", ".join("onnx:FILE" if known == "onnx" else known for known in FEATURE_MAPS)
    return ParameterError(f"features = {name!r}; expected one of {choices}, or several joined by +, as hog+color.")


def _read(part: str) -> tuple[str, str, bool]:
    """(name, file or "", whether at half size) of one part of a spec; the name of a file may end in "/2"."""
    name, colon, file = part.partition(":")
    return name.removesuffix(HALF), colon and file, not colon and name.endswith(HALF)


def _parts(spec: str) -> list[str]:
    """The parts of the spec between "+"; a "+" in the name of an ONNX file is followed by no name of a map."""
    parts: list[str] = []
    for part in spec.split("+"):
        if parts and parts[-1].startswith("onnx:") and part.partition(":")[0] not in FEATURE_MAPS:
            parts[-1] += "+" + part
        else:
            parts.append(part)
    return parts
