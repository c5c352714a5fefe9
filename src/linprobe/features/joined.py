"""Several feature maps, concatenated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt

from linprobe.errors import ParameterError
from linprobe.features.base import FeatureMap, MapRecord, Supervision
from linprobe.features.parse import map_class, read_part
from linprobe.shapes import Floats, Pixels

__all__ = ["JoinedMap"]


@final
@dataclass
class JoinedMap(FeatureMap):
    """The numbers of each map after those of the one before, D = the sum of theirs.

    Args:
        maps: at least one; fitted with the same pictures and the same seed.
    Example:
        >>> from linprobe.features import feature_map
        >>> pictures = np.zeros((1, 16, 16, 3), dtype=np.uint8)
        >>> feature_map("pixels+color", grid=1).fit(pictures).transform(pictures).shape
        (1, 818)
    """

    maps: list[FeatureMap]

    name = "joined"

    def __post_init__(self) -> None:
        self.maps = list(self.maps)
        if not self.maps:
            raise ParameterError("maps is empty; a join needs at least one map.")

    @property
    def spec(self) -> str:
        """The names of the maps, e.g. "hog+color"."""
        return "+".join(part.spec for part in self.maps)

    @property
    def n_features(self) -> int:
        """D, once fitted."""
        return sum(part.n_features for part in self.maps)

    @property
    def supervised(self) -> bool:
        """Whether one of the maps is."""
        return any(part.supervised for part in self.maps)

    def _learn(self, images: Pixels, seed: int, supervision: Supervision | None) -> None:
        for part in self.maps:
            part.fit(images, seed, supervision)

    def _transform(self, images: Pixels) -> npt.NDArray[np.float32]:
        return np.concatenate([part.transform(images) for part in self.maps], axis=1)

    def spread(self, values: Floats) -> npt.NDArray[np.float64]:
        """The sum of what the maps spread."""
        ends = np.cumsum([part.n_features for part in self.maps])
        shares = np.split(values, ends[:-1], axis=1)
        spread = [part.spread(share) for part, share in zip(self.maps, shares, strict=True)]
        summed: npt.NDArray[np.float64] = np.sum(spread, axis=0)
        return summed

    def settings(self) -> dict[str, object]:
        """{"maps": [{"name": ..., "settings": {...}}, ...]}, as JSON values."""
        return {"maps": [MapRecord.of(part).as_json() for part in self.maps]}

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """What the maps have learnt, by position and name of the map: "0.patches.filters", ..."""
        return {
            f"{position}.{part.name}.{name}": tensor
            for position, part in enumerate(self.maps)
            for name, tensor in part.tensors().items()
        }

    @classmethod
    def restored(
        cls, settings: Mapping[str, object], image_shape: tuple[int, int, int], tensors: Mapping[str, npt.NDArray[Any]]
    ) -> Self:
        """The fitted join with these `settings()`, `image_shape` and `tensors()`.

        Raises:
            ParameterError: one of the maps has a name that is not known, or a setting that cannot be used.
        """
        maps: list[FeatureMap] = []
        parts: tuple[MapRecord, ...] = read_part(tuple[MapRecord, ...], settings, "maps")
        for position, part in enumerate(parts):
            prefix = f"{position}.{part.name}."
            own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
            maps.append(map_class(part.name).restored(part.settings, image_shape, own))
        made = cls(maps)
        made.image_shape = image_shape
        return made
