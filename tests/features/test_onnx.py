"""Embeddings by an ONNX network: small ones made here, resized and normalised as their metadata says."""

from __future__ import annotations

import copy
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from linprobe import LinearClassifier
from linprobe.errors import FormatError, IncompatibleError, LinprobeError, ParameterError, ShapeError, SourceError
from linprobe.features import OnnxEmbedding, feature_map
from linprobe.features.onnx import OnnxMap

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

RANDOM = np.random.default_rng(0)
PICTURES = RANDOM.integers(0, 256, (7, 6, 8, 3), dtype=np.uint8)
FILTERS = RANDOM.normal(size=(5, 3, 3, 3)).astype(np.float32)


def saved(
    path: Path,
    nodes: list[Any],
    shape: list[Any],
    kind: int = TensorProto.FLOAT,
    metadata: dict[str, str] | None = None,
    weights: dict[str, np.ndarray] | None = None,
    outputs: tuple[str, ...] = ("out",),
    inputs: tuple[str, ...] = ("x",),
    out_kind: int = TensorProto.FLOAT,
) -> Path:
    """`path`, with a model of these nodes from `x` to `out`."""
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(name, kind, shape) for name in inputs],
        [helper.make_tensor_value_info(name, out_kind, None) for name in outputs],
        [numpy_helper.from_array(values, name) for name, values in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for key, value in (metadata or {}).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    path.write_bytes(model.SerializeToString())
    return path


def passed_on(path: Path, shape: list[Any], **options: Any) -> OnnxMap:
    """A map whose network gives back what it was given, so that a test sees it."""
    return OnnxMap(saved(path, [helper.make_node("Identity", ["x"], ["out"])], shape, **options))


def convolution(path: Path, shape: list[Any], **options: Any) -> Path:
    """A network of one convolution, a ReLU and a mean over the picture: (N, 5, 1, 1)."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["out"]),
    ]
    return saved(path, nodes, shape, weights={"w": FILTERS}, **options)


def convolved(x: np.ndarray) -> np.ndarray:
    """What `convolution` does, by loops, for x (N, 3, height, width)."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    height, width = x.shape[2:]
    total = np.zeros((len(x), 5, height, width))
    for i in range(3):
        for j in range(3):
            total += np.einsum("nchw,kc->nkhw", padded[:, :, i : i + height, j : j + width], FILTERS[:, :, i, j])
    return np.maximum(total, 0).mean(axis=(2, 3))


def test_a_network_gets_the_pictures_resized_and_normalised_as_its_metadata_says(tmp_path):
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    metadata = {
        "linprobe.size": "12x10",
        "linprobe.mean": "0.485, 0.456, 0.406",
        "linprobe.std": "[0.229 0.224 0.225]",
        "author": "not ours",
    }
    found = OnnxMap(convolution(tmp_path / "net.onnx", ["N", 3, 12, 10], metadata=metadata)).fit(PICTURES)
    resized = [np.asarray(Image.fromarray(p).resize((10, 12), Image.Resampling.BILINEAR)) for p in PICTURES]
    x = (np.array(resized) / 255.0 - mean) / std
    assert found.n_features == 5
    result = found.transform(PICTURES)
    assert result.dtype == np.float32
    assert_allclose(result, convolved(np.moveaxis(x, 3, 1)), rtol=1e-4, atol=1e-5)  # float32 sums


def test_without_metadata_pixels_become_0_to_1_in_the_size_of_the_input(tmp_path):
    same = passed_on(tmp_path / "same.onnx", ["N", 3, 6, 8]).fit(PICTURES).transform(PICTURES)
    assert_allclose(same, np.moveaxis(PICTURES, 3, 1).reshape(7, -1) / 255.0, atol=1e-7)
    free = passed_on(tmp_path / "free.onnx", ["N", 3, "h", "w"]).fit(PICTURES).transform(PICTURES)
    assert_array_equal(free, same)
    other = passed_on(tmp_path / "other.onnx", ["N", 3, 3, 4]).fit(PICTURES)
    assert other.n_features == 3 * 3 * 4


@pytest.mark.parametrize(
    ("shape", "metadata", "pixels"),
    [
        (["N", 3, "h", "w"], {"linprobe.size": "65535x65535"}, "1 x 65535 x 65535 = 4,294,836,225"),
        (["N", 3, 6000, 6000], {}, "1 x 6000 x 6000 = 36,000,000"),
        ([2**40, 3, 6, 8], {}, "1099511627776 x 6 x 8 = "),
        (["N", 3, 0, 8], {}, "1 x 0 x 8 = 0"),
    ],
)
def test_an_input_of_too_many_pixels_is_refused_before_one_is_made(tmp_path, shape, metadata, pixels):
    found = passed_on(tmp_path / "net.onnx", shape, metadata=metadata)
    with pytest.raises(FormatError, match=rf"its input is {pixels}.* pixels in one run; expected 1\.\.8,388,608"):
        found.fit(PICTURES)


def test_large_pictures_run_a_few_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("linprobe.features.onnx.MOST_PIXELS", 100)
    found = passed_on(tmp_path / "net.onnx", ["N", 3, 6, 8]).fit(PICTURES)
    sizes = []
    run = found._opened()._run
    monkeypatch.setattr(found._opened(), "_run", lambda part: (sizes.append(len(part)), run(part))[1])
    assert_allclose(found.transform(PICTURES), np.moveaxis(PICTURES, 3, 1).reshape(7, -1) / 255.0, atol=1e-7)
    assert sizes == [2, 2, 2, 1]


def test_the_layout_is_told_by_the_channels_or_by_the_metadata(tmp_path):
    flat = PICTURES.reshape(7, -1) / 255.0
    last = passed_on(tmp_path / "last.onnx", ["N", 6, 8, 3]).fit(PICTURES)
    assert_allclose(last.transform(PICTURES), flat, atol=1e-7)
    told = passed_on(tmp_path / "told.onnx", [None, None, None, None], metadata={"linprobe.layout": "nhwc"})
    assert_allclose(told.fit(PICTURES).transform(PICTURES), flat, atol=1e-7)


def test_a_uint8_input_takes_the_pixels_as_they_are(tmp_path):
    nodes = [helper.make_node("Cast", ["x"], ["out"], to=TensorProto.FLOAT)]
    path = saved(tmp_path / "u8.onnx", nodes, ["N", 6, 8, 3], kind=TensorProto.UINT8)
    assert_array_equal(OnnxMap(path).fit(PICTURES).transform(PICTURES), PICTURES.reshape(7, -1))


def test_a_scale_of_one_leaves_0_to_255(tmp_path):
    metadata = {"linprobe.scale": "1", "linprobe.mean": "127.5", "linprobe.std": "2"}
    same = passed_on(tmp_path / "same.onnx", ["N", 6, 8, 3], metadata=metadata).fit(PICTURES)
    assert_allclose(same.transform(PICTURES), (PICTURES.reshape(7, -1) - 127.5) / 2, atol=1e-5)


def test_grey_and_colour_are_turned_into_what_the_input_wants(tmp_path):
    grey = PICTURES[..., 0]
    colour = passed_on(tmp_path / "colour.onnx", ["N", 6, 8, 3]).fit(grey)
    assert_allclose(colour.transform(grey), np.repeat(grey.reshape(7, -1), 3, axis=1) / 255.0, atol=1e-7)
    one = passed_on(tmp_path / "one.onnx", ["N", 1, 6, 8]).fit(PICTURES)
    luma = np.array([np.asarray(Image.fromarray(p).convert("L")) for p in PICTURES])
    assert_allclose(one.transform(PICTURES), luma.reshape(7, -1) / 255.0, atol=1e-7)
    resized = passed_on(tmp_path / "small.onnx", ["N", 3, 3, 4]).fit(grey)
    assert resized.transform(grey).shape == (7, 36)


def test_a_model_of_a_fixed_number_of_pictures_is_filled_up(tmp_path):
    free = OnnxMap(convolution(tmp_path / "free.onnx", ["N", 3, 6, 8])).fit(PICTURES).transform(PICTURES)
    for batch in (1, 3, 20):
        fixed = OnnxMap(convolution(tmp_path / f"{batch}.onnx", [batch, 3, 6, 8])).fit(PICTURES)
        assert_allclose(fixed.transform(PICTURES), free, rtol=1e-5)


def test_an_output_is_chosen_by_its_name(tmp_path):
    nodes = [helper.make_node("Identity", ["x"], ["out"]), helper.make_node("Neg", ["x"], ["minus"])]
    path = saved(tmp_path / "two.onnx", nodes, ["N", 3, 6, 8], outputs=("out", "minus"))
    first, second = (feature_map(f"onnx:{path}", output=name).fit(PICTURES) for name in (None, "minus"))
    assert_array_equal(first.transform(PICTURES), -second.transform(PICTURES))
    with pytest.raises(ParameterError, match=r"two.onnx has no output 'third'; it has out, minus"):
        OnnxMap(path, output="third").fit(PICTURES)


def test_a_restored_map_needs_the_file_no_more(tmp_path):
    path = convolution(tmp_path / "net.onnx", ["N", 3, 6, 8])
    fitted = OnnxMap(path).fit(PICTURES)
    expected = fitted.transform(PICTURES)
    path.unlink()
    tensors = fitted.tensors()
    assert tensors["model"].dtype == np.uint8
    again = OnnxMap.restored(fitted.settings(), fitted.fitted_shape, tensors)
    assert again.n_features == 5
    assert_array_equal(again.transform(PICTURES), expected)
    assert_array_equal(copy.deepcopy(again).transform(PICTURES), expected)


def test_threads_may_transform_at_once(tmp_path):
    many = np.tile(PICTURES, (30, 1, 1, 1))
    fitted = OnnxMap(convolution(tmp_path / "net.onnx", ["N", 3, 6, 8])).fit(PICTURES)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(fitted.transform, [many] * 8))
    assert all((rows == found[0]).all() for rows in found)
    assert_allclose(found[0][:7], fitted.transform(PICTURES), rtol=1e-5)


def test_it_joins_other_features_and_trains_a_classifier(tmp_path):
    path = convolution(tmp_path / "net.onnx", ["N", 3, 6, 8])
    rows = feature_map(f"color+onnx:{path}", grid=1).fit(PICTURES).transform(PICTURES)
    assert rows.shape == (7, 55)
    embedding = OnnxEmbedding(str(path))
    y = np.array([0, 1, 0, 1, 0, 1, 0])
    assert LinearClassifier().fit(embedding.fit_transform(PICTURES), y).n_features_in_ == 5
    assert embedding.get_feature_names_out()[4] == "onnx4"


IDENTITY = [helper.make_node("Identity", ["x"], ["out"])]


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        (["N", 48], {}, r"its input x is tensor\(float\) of shape \(N, 48\); expected pictures"),
        (["N", 3, 6, 8], {"kind": TensorProto.DOUBLE}, r"its input x is tensor\(double\)"),
        (["N", 4, 6, 8], {}, r"its input x is \(N, 4, 6, 8\) \(NCHW\), 4 channels; expected 1 or 3"),
        (["N", 3, 6, 8], {"inputs": ("x", "mask")}, r"it has 2 inputs \(x, mask\); expected one"),
        (["N", 3, 6, 8], {"metadata": {"linprobe.layout": "CHWN"}}, "linprobe.layout = 'CHWN'; expected NCHW or NHWC"),
        (["N", 3, 6, 8], {"metadata": {"linprobe.size": "7x8"}}, r"linprobe.size = '7x8', its input is \(N, 3, 6, 8\)"),
        (["N", 3, "h", "w"], {"metadata": {"linprobe.size": "0"}}, "linprobe.size = '0'; expected whole numbers"),
        (["N", 3, "h", "w"], {"metadata": {"linprobe.size": "1e39"}}, "linprobe.size = '1e39'; expected"),
        (["N", 3, "h", "w"], {"metadata": {"linprobe.size": "1e30"}}, "linprobe.size = '1e30'; expected whole numbers"),
        (["N", 3, 6, 8], {"metadata": {"linprobe.mean": "1e39"}}, "linprobe.mean = '1e39'; expected one number or 3"),
        (["N", 3, 6, 8], {"metadata": {"linprobe.mean": "1, 2"}}, "linprobe.mean = '1, 2'; expected one number or 3"),
        (["N", 3, 6, 8], {"metadata": {"linprobe.mean": "nan"}}, "linprobe.mean = 'nan'; expected one number or 3"),
        (["N", 3, 6, 8], {"metadata": {"linprobe.scale": "a lot"}}, "linprobe.scale = 'a lot'; expected one number"),
        (["N", 3, 6, 8], {"metadata": {"linprobe.std": "0"}}, "linprobe.std = '0'; expected numbers > 0"),
        (
            ["N", 3, 6, 8],
            {"kind": TensorProto.UINT8, "metadata": {"linprobe.std": "1"}},
            "linprobe.std, but its input is uint8",
        ),
    ],
)
def test_a_model_that_is_not_of_pictures_is_refused_in_one_line(tmp_path, shape, options, message):
    options = {"out_kind": options.get("kind", TensorProto.FLOAT), **options}
    with pytest.raises(FormatError, match=r"^onnx: .*net\.onnx cannot be used: .*" + message) as caught:
        OnnxMap(saved(tmp_path / "net.onnx", IDENTITY, shape, **options)).fit(PICTURES)
    assert "\n" not in str(caught.value)


def test_text_that_is_not_utf_8_is_refused_in_one_line(tmp_path):
    path = saved(tmp_path / "net.onnx", IDENTITY, ["N", 3, 6, 8], metadata={"linprobe.layout": "NCHW"})
    path.write_bytes(path.read_bytes().replace(b"NCHW", b"\xa9CHW"))
    with pytest.raises(FormatError, match=r"net\.onnx cannot be used: a name or a text in it is not UTF-8\.$"):
        OnnxMap(path).fit(PICTURES)


def test_a_model_without_outputs_is_refused_in_one_line(tmp_path):
    path = saved(tmp_path / "net.onnx", IDENTITY, ["N", 3, 6, 8], outputs=())
    with pytest.raises(FormatError, match=r"net\.onnx cannot be used: .*output"):
        OnnxMap(path).fit(PICTURES)


def test_an_output_that_is_no_row_per_picture_is_refused(tmp_path):
    nodes = [helper.make_node("ReduceMean", ["x"], ["out"], axes=[0], keepdims=0)]
    with pytest.raises(FormatError, match=r"its output out is float32 of shape \(3, 6, 8\) for 1 pictures"):
        OnnxMap(saved(tmp_path / "net.onnx", nodes, ["N", 3, 6, 8])).fit(PICTURES)


def test_weights_in_another_file_are_refused_before_they_are_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = convolution(tmp_path / "net.onnx", ["N", 3, 6, 8])
    model = onnx.load(path)
    onnx.save_model(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert Path("weights.bin").exists()
    with pytest.raises(FormatError, match="its tensor w lies in another file; save the model with its weights inside"):
        OnnxMap(path).fit(PICTURES)
    # in a subgraph, where the weights are an attribute of a node
    tensor = TensorProto(name="secret", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="weights.bin")
    constant = helper.make_node("Constant", [], ["branch"], value=tensor)
    branch = helper.make_graph(
        [constant], "branch", [], [helper.make_tensor_value_info("branch", TensorProto.FLOAT, None)]
    )
    nodes = [*IDENTITY, helper.make_node("If", ["yes"], ["never"], then_branch=branch, else_branch=branch)]
    path = saved(path, nodes, ["N", 3, 6, 8], weights={"yes": np.array(True)})
    with pytest.raises(FormatError, match="its tensor secret lies in another file"):
        OnnxMap(path).fit(PICTURES)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08" * 50, bytes(range(256))])
def test_a_file_that_is_no_model_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"^onnx: .*net\.onnx ") as caught:
        OnnxMap(path).fit(PICTURES)
    assert "\n" not in str(caught.value)


def test_a_model_cut_off_anywhere_is_an_error_of_ours(tmp_path):
    whole = convolution(tmp_path / "net.onnx", ["N", 3, 6, 8]).read_bytes()
    for length in range(0, len(whole) - 1, 41):
        (tmp_path / "cut.onnx").write_bytes(whole[:length])
        with pytest.raises(LinprobeError):
            OnnxMap(tmp_path / "cut.onnx").fit(PICTURES)


def test_other_bad_input(tmp_path):
    with pytest.raises(SourceError, match=r"onnx: '.*missing\.onnx' cannot be read \(No such file or directory\)"):
        OnnxMap(tmp_path / "missing.onnx").fit(PICTURES)
    with pytest.raises(SourceError, match="cannot be read"):
        OnnxMap("with\0zero").fit(PICTURES)
    with pytest.raises(ShapeError, match="onnx: the pictures have 2 channels; expected 3"):
        passed_on(tmp_path / "net.onnx", ["N", 3, 6, 8]).fit(PICTURES[..., :2])
    with pytest.raises(ParameterError, match="not fitted"):
        _ = OnnxMap("net.onnx").n_features


@pytest.mark.parametrize("library", ["onnx", "onnxruntime"])
def test_a_missing_library_is_named_with_what_installs_it(tmp_path, monkeypatch, library):
    path = convolution(tmp_path / "net.onnx", ["N", 3, 6, 8])
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(IncompatibleError, match='install them with: pip install "onnx>='):
        OnnxMap(path).fit(PICTURES)


def test_a_broken_model_prints_nothing_beside_the_error(tmp_path):
    path = saved(tmp_path / "net.onnx", [helper.make_node("NoSuchOperator", ["x"], ["out"])], ["N", 3, 6, 8])
    code = (
        "import sys, numpy as np\nfrom linprobe.features.onnx import OnnxMap\n"
        "try: OnnxMap(sys.argv[1]).fit(np.zeros((1, 6, 8, 3), np.uint8))\nexcept ValueError as error: print(error)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert "NoSuchOperator" in ended.stdout
    assert ended.stdout.count("\n") == 1
    assert ended.stderr == ""
