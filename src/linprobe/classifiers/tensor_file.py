"""The parts of a safetensors file, whatever its bytes hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load

from linprobe.plain import parse_json

__all__ = ["parts_of"]


def parts_of(content: bytes) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """(tensors, metadata) in the bytes of a safetensors file; the metadata is empty where there is none.

    Raises:
        ValueError: the bytes are anything else. No other error passes but MemoryError.
    """
    try:
        tensors = {str(name): np.asarray(tensor) for name, tensor in load(content).items()}
        length = int.from_bytes(content[:8], "little")
        metadata = parse_json(content[8 : 8 + length]).get("__metadata__") or {}
    except MemoryError:
        raise
    except Exception as error:  # SafetensorError, and for dtypes that NumPy lacks KeyError, TypeError or AttributeError
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error
    return tensors, {str(name): str(value) for name, value in metadata.items()}
