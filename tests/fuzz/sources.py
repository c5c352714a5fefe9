"""Targets: all that `open_dataset` reads, and pictures."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from linprobe.data import open_dataset
from linprobe.data.base import Dataset

from .cases import Mutate, Target
from .mutations import mutated_bytes

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (12, 6, 5, 3), dtype=np.uint8)
"""Twelve small pictures, no side a power of two."""


def decoded_bytes(dataset: Dataset) -> int:
    """Bytes of the rows and labels of a dataset."""
    parts = [part for part in (dataset.train, dataset.validation, dataset.test) if part is not None]
    return sum(part.X.nbytes + part.y.nbytes for part in parts)


def read(path: Path) -> int:
    """Bytes of what a source holds."""
    return decoded_bytes(open_dataset(path, cache=False, n_threads=1, on_bad_image="skip"))


def picture(kind: str, i: int = 0, mode: str = "RGB", **options: object) -> bytes:
    """A picture file."""
    image = Image.fromarray(PIXELS[i]).convert(mode)
    if mode == "I;16":
        image = Image.fromarray(PIXELS[i, :, :, 0].astype(np.uint16) * 257)
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@cache
def entries() -> dict[str, bytes]:
    """Class folders: names and pictures."""
    return {f"pets/{'cat' if i % 2 else 'dog'}/{i}.png": picture("PNG", i) for i in range(6)}


def gzipped(content: bytes) -> bytes:
    """Compressed, without the time."""
    return gzip.compress(content, 1, mtime=0)


def zipped(method: int = zipfile.ZIP_DEFLATED, contents: dict[str, bytes] | None = None) -> bytes:
    """A zip of the entries."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in (contents or entries()).items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


def tarred(form: int = tarfile.PAX_FORMAT, contents: dict[str, bytes] | None = None) -> bytes:
    """A tar of the entries."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, content in (contents or entries()).items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            if form == tarfile.PAX_FORMAT:
                entry.pax_headers = {"comment": "x" * 20, "mtime": "1.5"}
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def saved(array: np.ndarray) -> bytes:
    """A .npy file."""
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


LABELS = np.arange(12) % 3
NAMES = np.array(["cat", "dog", "owl"])[LABELS]
VECTORS = RANDOM.standard_normal((12, 4)).astype(np.float32)


def idx(array: np.ndarray) -> bytes:
    """An IDX file."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def cifar(protocol: int, **more: object) -> bytes:
    """A pickled batch of CIFAR-10."""
    pixels = RANDOM.integers(0, 256, (3, 3072), dtype=np.uint8)
    batch = {b"data": pixels, b"labels": [0, 1, 1], b"filenames": [b"a.png", b"b.png", b"c.png"], b"batch_label": b"x"}
    return pickle.dumps(batch | more, protocol)


def parquet(**options: object) -> bytes:
    """A Parquet file of vectors and names."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    vectors = pa.FixedSizeListArray.from_arrays(pa.array(VECTORS.ravel()), 4)
    listed = pa.array([row.tolist() for row in VECTORS], pa.list_(pa.float32()))
    out = io.BytesIO()
    pq.write_table(
        pa.table({"x": listed if options.pop("listed", False) else vectors, "label": NAMES, "other": LABELS}),
        out,
        **options,
    )
    return out.getvalue()


def alone(name: str) -> Callable[[Path, bytes], int]:
    """Plays a source of one file."""

    def play(folder: Path, content: bytes) -> int:
        (folder / name).write_bytes(content)
        return read(folder / name)

    return play


def among(name: str, others: dict[str, bytes], opened: str = "") -> Callable[[Path, bytes], int]:
    """Plays a file among others that are in order."""

    def play(folder: Path, content: bytes) -> int:
        for other, good in others.items():
            (folder / other).parent.mkdir(parents=True, exist_ok=True)
            (folder / other).write_bytes(good)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        return read(folder / opened)

    return play


def inner(pack: Callable[[bytes], bytes]) -> Mutate:
    """Mutates, and packs the mutated bytes well; one case in four is packed first and mutated then."""

    def mutate(content: bytes, chance: random.Random) -> bytes:
        if chance.random() < 0.25:
            return mutated_bytes(pack(content), chance)
        return pack(mutated_bytes(content, chance))

    return mutate


def png_repaired(content: bytes, chance: random.Random) -> bytes:
    """Mutates a PNG; in half of the cases the checksums of its chunks are right again."""
    data = bytearray(mutated_bytes(content, chance))
    at = 8
    while chance.random() < 0.95 and at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        data[end : end + 4] = struct.pack(">I", zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return bytes(data)


def npz(content: bytes) -> bytes:
    """A .npz whose X is this .npy file."""
    return zipped(zipfile.ZIP_STORED, {"X.npy": content, "y.npy": saved(LABELS)})


def packed(name: str, seeds: tuple[bytes, ...], pack: Callable[[bytes], bytes]) -> Target:
    """A target whose seeds are packed."""
    seeds_of = inner(pack)

    def play(folder: Path, content: bytes) -> int:
        whole = content if content not in seeds else pack(content)
        return alone(name)(folder, whole)

    return Target(name, seeds, seeds_of, play)


def pictures() -> list[Target]:
    """A target for each format of pictures, the mutated one among good ones."""
    others = {"a/1.png": picture("PNG", 1), "b/2.png": picture("PNG", 2)}
    seeds: dict[str, tuple[bytes, ...]] = {
        "jpeg": (
            picture("JPEG"), picture("JPEG", progressive=True), picture("JPEG", mode="L"), picture("JPEG", mode="CMYK"),
        ),
        "png": (
            picture("PNG"), picture("PNG", mode="P"), picture("PNG", mode="LA"), picture("PNG", mode="I;16"),
            picture("PNG", mode="1"),
        ),
        "gif": (picture("GIF"), picture("GIF", save_all=True, append_images=[Image.fromarray(PIXELS[1])])),
        "bmp": (picture("BMP"), picture("BMP", mode="P")),
        "ppm": (picture("PPM"), picture("PPM", mode="L"), b"P3 2 1 255 1 2 3 4 5 6\n", b"P4 8 1\n\xaa"),
        "tiff": (
            picture("TIFF"), picture("TIFF", compression="tiff_lzw"), picture("TIFF", compression="jpeg"),
            picture("TIFF", mode="I;16"), picture("TIFF", compression="tiff_deflate"),
        ),
        "webp": (picture("WEBP"), picture("WEBP", lossless=True), picture("WEBP", mode="RGBA")),
        "jpeg2000": (picture("JPEG2000"),),
    }  # fmt: skip
    if "AVIF" in Image.SAVE or (Image.init() and "AVIF" in Image.SAVE):
        seeds["avif"] = (picture("AVIF"),)
    return [
        Target(
            f"picture.{kind}",
            files,
            png_repaired if kind == "png" else mutated_bytes,
            among(f"a/0.{kind}", others),
        )
        for kind, files in seeds.items()
    ]


def targets() -> list[Target]:
    """All formats of sources."""
    images, labels = idx(PIXELS[:, :, :, 0]), idx(LABELS)
    two, four = cifar(2), cifar(4)
    folder = "cifar-10-batches-py"
    batches = {f"{folder}/data_batch_{i}": four for i in range(1, 6)}
    batches |= {f"{folder}/test_batch": four, f"{folder}/batches.meta": pickle.dumps({"label_names": ["a", "b"]}, 4)}
    binary = {f"data_batch_{i}.bin": bytes(3073) * 2 for i in range(1, 6)}
    binary |= {"test_batch.bin": bytes(3073), "batches.meta.txt": b"a\nb\n"}
    y, named = saved(LABELS), saved(NAMES)
    x = (saved(PIXELS), saved(VECTORS), saved(VECTORS.astype(">f8")), saved(np.asfortranarray(VECTORS)))
    plain, gnu = tarred(), tarred(tarfile.GNU_FORMAT)
    made = [
        Target(
            "zip",
            (zipped(), zipped(zipfile.ZIP_STORED), zipped(zipfile.ZIP_BZIP2), zipped(zipfile.ZIP_LZMA)),
            mutated_bytes,
            alone("set.zip"),
        ),
        Target("tar", (plain, gnu), mutated_bytes, alone("set.tar")),
        packed("set.tar.gz", (plain, gnu), gzipped),
        packed("set.tar.bz2", (plain, gnu), bz2.compress),
        packed("set.tar.xz", (plain, gnu), lambda content: lzma.compress(content, preset=0)),
        packed("set.npz", x, npz),
        Target("npy", x, mutated_bytes, among("X.npy", {"y.npy": y})),
        Target("npy labels", (y, named, saved(NAMES.astype("S"))), mutated_bytes, among("y.npy", {"X.npy": x[0]})),
        Target(
            "npz archive",
            (zipped(zipfile.ZIP_DEFLATED, {"X.npy": x[1], "y.npy": named}),),
            mutated_bytes,
            alone("set.npz"),
        ),
        Target(
            "idx",
            (images,),
            mutated_bytes,
            among("t10k-images-idx3-ubyte", {"t10k-labels-idx1-ubyte": labels}, "t10k-images-idx3-ubyte"),
        ),
        Target(
            "idx gzip",
            (gzipped(images),),
            lambda content, chance: inner(gzipped)(images, chance),
            among("train-images-idx3-ubyte.gz", {"train-labels-idx1-ubyte": labels}),
        ),
        Target(
            "cifar pickle",
            (two, four, cifar(0), cifar(5)),
            mutated_bytes,
            among(f"{folder}/data_batch_1", batches, folder),
        ),
        Target("cifar names", (batches[f"{folder}/batches.meta"],), mutated_bytes,
               among(f"{folder}/batches.meta", batches, folder)),
        Target("cifar binary", (bytes(3073) * 2,), mutated_bytes, among("data_batch_1.bin", binary)),
        packed("cifar.tar.gz", (tarred(contents=batches),), gzipped),
        Target(
            "parquet",
            (
                parquet(), parquet(listed=True), parquet(compression="zstd"), parquet(use_dictionary=False),
                parquet(data_page_version="2.0", write_statistics=False),
            ),
            mutated_bytes,
            alone("set.parquet"),
        ),
    ]  # fmt: skip
    return [*made, *pictures()]
