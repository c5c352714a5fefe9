"""Targets: the ONNX networks of the feature map `onnx:FILE`."""

from __future__ import annotations

import math
import random
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from linprobe.features.onnx import OnnxMap

from .cases import Target
from .mutations import LARGE, NUMBERS, mutated_bytes

PICTURES = np.random.default_rng(2).integers(0, 256, (3, 6, 8, 3), dtype=np.uint8)

METADATA = {"size": "12x10", "layout": "NCHW", "scale": "0.01", "mean": "0.4, 0.5, 0.6", "std": "[0.2 0.3 0.2]"}
"""Valid metadata of a network of float input, without the prefix."""

TEXTS = (
    *("", " ", "0", "-1", "1e400", "nan", "inf", "65535", "65535x65535", "4096x4097", "1x1", "7,5", "1 2 3 4", "[[1]]"),
    *("x" * 5000, "9" * 400, "٣", "\0", "NHWC", "nchw", "0.5,", "1e-320", "1e308", "(1, 2)", "224", "3.5x2", "é×é"),
)
"""Values of metadata."""


def _network(shape: tuple[Any, ...], kind: str, metadata: dict[str, str], last: bool = False) -> bytes:
    """A convolution, a ReLU and a mean over the picture."""
    from onnx import TensorProto, helper, numpy_helper

    filters = np.random.default_rng(3).standard_normal((5, 3, 3, 3)).astype(np.float32)
    nodes = [helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT)]
    if last:
        nodes.append(helper.make_node("Transpose", ["f"], ["g"], perm=[0, 3, 1, 2]))
    nodes += [
        helper.make_node("Conv", ["g" if last else "f", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", getattr(TensorProto, kind), list(shape))],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(filters, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = f"linprobe.{key}", value
    return bytes(model.SerializeToString())


@cache
def networks() -> tuple[bytes, ...]:
    """Networks of pictures: of any size, of a fixed size and number, of bytes with the channels last."""
    return (
        _network(("N", 3, "h", "w"), "FLOAT", METADATA),
        _network((2, 3, 6, 8), "FLOAT", {}),
        _network(("N", "h", "w", 3), "UINT8", {"layout": "NHWC"}, last=True),
    )


def mutated_network(content: bytes, chance: random.Random) -> bytes:
    """Mutates the bytes of a network, or its metadata, the shape of its input, its weights, or what it declares."""
    from onnx import ModelProto, TensorProto

    if chance.random() < 0.3:
        return mutated_bytes(content, chance)
    model = ModelProto.FromString(content)
    numbers = (*NUMBERS, *(n for n in LARGE if n < 2**63), -1)
    for _ in range(chance.choice((1, 1, 2))):
        match chance.randrange(8):
            case 0 | 1 | 2:
                entry = model.metadata_props.add()
                entry.key = f"linprobe.{chance.choice(sorted(METADATA))}"
                entry.value = chance.choice(TEXTS)
            case 3 | 4:
                tensor = model.graph.input[0].type.tensor_type
                chance.choice(tensor.shape.dim).dim_value = chance.choice(numbers)
            case 5:
                tensor = model.graph.input[0].type.tensor_type
                tensor.elem_type = chance.choice(list(TensorProto.DataType.values()))
            case 6:
                weights = model.graph.initializer[0]
                weights.dims[chance.randrange(len(weights.dims))] = chance.choice(numbers)
            case 7:
                chance.choice(model.graph.node).op_type = chance.choice(("Identity", "Neg", "Shape", "If", "x", ""))
    return bytes(model.SerializeToString())


def play(folder: Path, content: bytes) -> int:
    """Applies the network to three pictures; counts its input, the columns of its convolution, and five outputs."""
    path = folder / "net.onnx"
    path.write_bytes(content)
    found = OnnxMap(str(path)).fit(PICTURES)
    network = found._opened()
    pixels = math.prod(network.size) * (network.batch or len(PICTURES))
    return found.transform(PICTURES).nbytes + 4 * pixels * (10 * network.channels + 5)


def targets() -> list[Target]:
    """Networks; none where onnxruntime is not installed."""
    if find_spec("onnx") is None or find_spec("onnxruntime") is None:
        return []
    return [Target("onnx", networks, mutated_network, play)]
