"""Files that mean harm are refused at once, by an error that names them: structure is bounded before it is believed."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import pickle
import re
import struct
import tarfile
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linprobe.data import budget, open_dataset
from linprobe.data.decode import BrokenImage, decode
from linprobe.errors import ArchiveError, DataError, FormatError, LabelError, SourceError

MOST_SECONDS = 2.0
"""Of a processor, for a refusal. Most take milliseconds."""


@pytest.fixture(autouse=True)
def at_once():
    begun = time.process_time()
    yield
    assert time.process_time() - begun < MOST_SECONDS


def png(width: int = 8, height: int = 8, grey: int = 0) -> bytes:
    out = io.BytesIO()
    Image.new("L", (width, height), grey).save(out, "PNG")
    return out.getvalue()


def cifar(folder: Path, batch: bytes) -> Path:
    """CIFAR-10 whose first batch is `batch`."""
    good = pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 1]}, 2)
    for name in [*(f"data_batch_{i}" for i in range(2, 6)), "test_batch"]:
        (folder / name).write_bytes(good)
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"a", b"b"]}, 2))
    (folder / "data_batch_1").write_bytes(batch)
    return folder


NESTED = b"\x80\x02}K\x01" + b"\x85" * 50_000 + b"K\x01s."
BOMB = b"\x80\x02}" + b"U\x01a" + b"".join(b"2\x86" for _ in range(60)) + b"K\x01s."  # a hash of 2**60 steps
TEXT = b"\x80\x02}q\x00(X\x04\x00\x00\x00datac_codecs\nencode\nX\xe8\x03\x00\x00" + b"x" * 1000
TEXT += b"X\x06\x00\x00\x00latin1\x86q\x01R" + b"0c_codecs\nencode\nh\x01R" * 1000 + b"u."


@pytest.mark.parametrize(
    ("batch", "found"),
    [
        (b"\x80\x02}r" + struct.pack("<I", 1 << 27) + b".", "found no keys"),
        (NESTED, "a key of type tuple"),
        (BOMB, "found what cannot be read"),
        (TEXT, "more text than the file holds"),
        (pickle.dumps({b"labels": 10**5000}), "a whole number of 2077 bytes"),
        (b"\x80\x05\x96" + b"\xff" * 8 + b".", "bytes, but the file has 12"),
        (b"\x80\x02c_codecs\nencode\n(U\x01aK\x01dN\x86b.", "a state for an object of type method"),
    ],
    ids=["memo", "nested key", "hash", "text", "long", "bytearray", "state"],
)
def test_pickles_that_ask_for_too_much(tmp_path, batch, found):
    with pytest.raises(FormatError, match=f"data_batch_1: .*{found}"):
        open_dataset(cifar(tmp_path, batch))


def tar_header(name: bytes, size: bytes, kind: bytes) -> bytes:
    h = bytearray(512)
    h[: len(name)], h[100:108], h[108:116], h[116:124] = name, b"0000644\0", b"0000000\0", b"0000000\0"
    h[124:136], h[136:148], h[156:157], h[257:265], h[148:156] = size, b"0" * 11 + b"\0", kind, b"ustar\x0000", b" " * 8
    h[148:156] = b"%06o\0 " % sum(h)
    return bytes(h)


NEGATIVE = b"\xff" + (256**11 - 512).to_bytes(11, "big")


@pytest.mark.parametrize(
    "content",
    [
        tar_header(b"b/1.txt", NEGATIVE, b"0") + bytes(1024),
        tar_header(b"x", NEGATIVE, b"x") + bytes(1024),
        tar_header(b"x", b"77777777777\0", b"x") + bytes(1024),
        tar_header(b"x", b"%011o\0" % 512, b"x") + b"16 size=-00512\n\n" + bytes(1536),
    ],
    ids=["negative", "negative pax", "large pax", "pax of a negative size"],
)
def test_sizes_of_a_tar_that_cannot_be(tmp_path, content):
    path = tmp_path / "set.tar"
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"set\.tar: "):
        open_dataset(path)


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_damaged_tar_of_any_compression(tmp_path, kind):
    path = tmp_path / f"set.tar.{kind}"
    with tarfile.open(path, f"w:{kind}") as tar:
        tar.addfile(tarfile.TarInfo("a/1.png"))
    raw = bytearray(path.read_bytes())
    raw[12:20] = b"\xff" * 8
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"set\.tar"):
        open_dataset(path, cache=False)


def test_a_zip_whose_entries_share_bytes(tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/0.png", bytes(1 << 20))
        for i in range(60):
            archive.writestr(f"{'ab'[i % 2]}/{i + 1}.png", b"")
    raw = bytearray(path.read_bytes())
    first = raw.index(b"PK\1\2")
    at = first
    for _ in range(61):
        raw[at + 16 : at + 28] = raw[first + 16 : first + 28]
        struct.pack_into("<H", raw, at + 10, zipfile.ZIP_DEFLATED)
        struct.pack_into("<I", raw, at + 42, 0)
        at += 46 + struct.unpack_from("<H", raw, at + 28)[0]
    path.write_bytes(raw)
    with pytest.raises(ArchiveError, match=r"set\.zip: the entries .* share bytes"):
        open_dataset(path, cache=False)


def test_a_zip_that_unpacks_to_more_than_its_budget(tmp_path, monkeypatch):
    monkeypatch.setattr(budget, "FREE_BYTES", 2**20)
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a/0.bmp", "b/0.bmp"):
            archive.writestr(name, bytes(2**20))
    with pytest.raises(ArchiveError, match=r"set\.zip: unpacks to 2,097,152 bytes or more, expected at most"):
        open_dataset(path, cache=False)


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_tar_that_unpacks_to_more_than_its_budget(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(budget, "FREE_BYTES", 2**20)
    path = tmp_path / f"set.tar.{kind}"
    with tarfile.open(path, f"w:{kind}") as tar:
        for name in ("a/0.bmp", "b/0.bmp"):
            entry = tarfile.TarInfo(name)
            entry.size = 2**22
            tar.addfile(entry, io.BytesIO(bytes(2**22)))
    with pytest.raises(ArchiveError, match=r"unpacks to .* bytes or more, expected at most"):
        open_dataset(path, cache=False)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_entries_of_rare_methods_are_read_and_no_longer_than_declared(tmp_path, method):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for i, name in enumerate(("a/0.png", "a/1.png", "b/0.png")):
            archive.writestr(name, png(grey=i))
    assert open_dataset(path, cache=False).train.X[:, 0].tolist() == [0, 1, 2]
    raw = bytearray(path.read_bytes())
    at = raw.index(b"PK\1\2") + 24
    struct.pack_into("<I", raw, at, struct.unpack_from("<I", raw, at)[0] - 1)
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"a/0\.png \(CRC mismatch"):
        open_dataset(path, cache=False)


def test_names_that_are_too_long_too_deep_or_too_many(tmp_path, monkeypatch):
    for name in ("a" * 5000 + "/1.png", "a/" * 1200 + "1.png"):
        path = tmp_path / "set.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, png())
        with pytest.raises(ArchiveError, match=r"set\.zip: .*expected at most (4,096|64)"):
            open_dataset(path)
    (tmp_path / "deep" / "a" / "/".join("b" * 70)).mkdir(parents=True)
    with pytest.raises(SourceError, match="folders deep, expected at most 64"):
        open_dataset(tmp_path / "deep")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/1.png", png())
        archive.writestr("b/1.png", png())
    monkeypatch.setattr(budget, "ENTRIES", 1)
    with pytest.raises(ArchiveError, match="more than 1 entries, which is too many"):
        open_dataset(path)


@pytest.mark.parametrize(
    "name", ["p", "p.npz", "p.npy", "p.tar.gz", "p.tar", "p.zip", "p.parquet", "p-images.idx3-ubyte"]
)
def test_a_pipe_is_refused_by_every_reader(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(SourceError, match="found a pipe, a socket or a device, expected a regular file"):
        open_dataset(tmp_path / name)
    np.save(tmp_path / "X.npy", np.zeros((2, 8, 8), np.uint8))
    os.mkfifo(tmp_path / "y.npy")
    with pytest.raises(DataError, match="found no labels"):
        open_dataset(tmp_path / "X.npy")


def test_no_picture_starts_a_program(tmp_path):
    for data in (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n", b"%PDF-1.4\n"):
        with pytest.raises(BrokenImage, match="not a picture of a format that is read"):
            decode(data)


def test_a_picture_of_too_many_pixels_is_refused_by_its_header():
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    big = chunk(b"IHDR", struct.pack(">IIBBBBB", 9400, 9400, 8, 2, 0, 0, 0)) + chunk(b"IDAT", b"")
    with pytest.raises(BrokenImage, match="88,360,000 pixels; at most 67,108,864"):
        decode(b"\x89PNG\r\n\x1a\n" + big, (8, 8))


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (b"{'descr': '<f4', 'fortran_order': False, 'shape': (12, 6)", "TokenError"),
        (b"-" * 5000 + b"1", "a header that is not that of a plain array"),
        (b"(" * 5000, "a header that is not that of a plain array"),
        (b"{'descr': '<f4', 'fortran_order': False, 'shape': (1048576, 1048576), }", "claims float32 of shape"),
        (b"{'descr': '<U0', 'fortran_order': False, 'shape': (1048576, 1048576), }", "claims <U0 of shape"),
        (b"{'descr': '|O', 'fortran_order': False, 'shape': (12,), }", r"Python objects \(a pickle\)"),
    ],
)
def test_headers_of_arrays_that_cannot_be(tmp_path, header, found):
    content = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + bytes(288)
    (tmp_path / "X.npy").write_bytes(content)
    np.save(tmp_path / "y.npy", np.arange(12) % 2)
    with pytest.raises(FormatError, match=found):
        open_dataset(tmp_path / "X.npy")
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("X.npy", content)
        archive.write(tmp_path / "y.npy", "y.npy")
    with pytest.raises(FormatError, match=found):
        open_dataset(tmp_path / "set.npz")


def test_arrays_that_unpack_to_more_than_their_budget(tmp_path, monkeypatch):
    monkeypatch.setattr(budget, "FREE_BYTES", 2**20)
    np.savez_compressed(tmp_path / "set.npz", X=np.zeros((2**20, 4), np.float32), y=np.arange(2**20) % 2)
    with pytest.raises(FormatError, match=r"set\.npz: unpacks to 16,777,344 bytes or more"):
        open_dataset(tmp_path / "set.npz")


def test_one_long_label_does_not_widen_all_others(tmp_path):
    labels = {"y_train": np.array(["a", "b"] * 50), "y_test": np.array(["a", "b" * 1001])}
    np.savez(
        tmp_path / "set.npz", X_train=np.zeros((100, 2, 2), np.uint8), X_test=np.zeros((2, 2, 2), np.uint8), **labels
    )
    with pytest.raises(LabelError, match="texts of up to 1,001 characters"):
        open_dataset(tmp_path / "set.npz")


def test_a_parquet_of_equal_vectors_is_bounded_by_what_it_unpacks_to(tmp_path, monkeypatch):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(budget, "FREE_BYTES", 2**20)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(2**20, np.float32)), 4)
    pq.write_table(pa.table({"x": vectors, "y": np.arange(2**18) % 2}), tmp_path / "set.parquet", compression="zstd")
    with pytest.raises(FormatError, match=r"set\.parquet: unpacks to 6,291,456 bytes or more"):
        open_dataset(tmp_path / "set.parquet", cache=False)


def test_an_error_of_the_callers_own_callback_passes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(png())

    def stop(*_: object) -> None:
        raise ZeroDivisionError("of the caller")

    with pytest.raises(ZeroDivisionError, match="of the caller"):
        open_dataset(tmp_path, progress=stop, cache=False)


def test_a_message_is_one_line_whatever_a_name_holds(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("a\n\x1b[2J\r.npy", b"")
    with pytest.raises(FormatError) as caught:
        open_dataset(tmp_path / "set.npz")
    assert r"found a\n\x1b[2J\r;" in str(caught.value)


@pytest.mark.parametrize("kind", ["gz", "xz"])
def test_a_tar_of_very_many_empty_entries(tmp_path, kind):
    path = tmp_path / f"set.tar.{kind}"
    options = {"compresslevel": 1} if kind == "gz" else {"preset": 0}
    with tarfile.open(path, f"w:{kind}", format=tarfile.USTAR_FORMAT, **options) as tar:
        entry = tarfile.TarInfo()
        for number in range(20_000):
            entry.name = f"a/{number}"
            tar.fileobj.write(entry.tobuf(tarfile.USTAR_FORMAT))
    with pytest.raises(ArchiveError, match=r"more than 1\d,\d\d\d entries, which is too many for its size"):
        open_dataset(path)


def test_a_pickle_of_very_many_opcodes(tmp_path):
    with pytest.raises(FormatError, match="more opcodes than a batch of pictures has"):
        open_dataset(cifar(tmp_path, b"\x80\x02" + b"]" * 10**6 + b"."))


def test_a_file_of_class_names_that_is_no_list_of_names(tmp_path):
    cifar(tmp_path, b"")
    (tmp_path / "batches.meta").write_bytes(bytes(2**20 + 1))
    with pytest.raises(FormatError, match=r"batches\.meta: cannot be read \(it has 1,048,577 bytes"):
        open_dataset(tmp_path)


def test_a_jpeg_of_very_many_scans():
    out = io.BytesIO()
    Image.new("L", (2048, 2048)).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    scan = data[data.rindex(b"\xff\xda") : -2]
    assert decode(data).shape == (2048, 2048, 1)
    with pytest.raises(BrokenImage, match=r"20\d scans; at most 100 are read"):
        decode(data[:-2] + scan * 200 + b"\xff\xd9")


def test_links_that_make_a_billion_paths(tmp_path):
    for level in range(30):
        (tmp_path / f"level{level}").mkdir()
    for level in range(29):
        for name in ("a", "b"):
            (tmp_path / f"level{level}" / name).symlink_to(tmp_path / f"level{level + 1}")
    with pytest.raises(SourceError, match=r"more than 100 links lead to .*level"):
        open_dataset(tmp_path)


def arrays(folder: Path, X: np.ndarray, y: np.ndarray) -> Path:
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", y)
    return folder / "X.npy"


EYE = np.eye(4, dtype=np.float32)


def test_an_npz_with_two_arrays_of_one_name(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, X=EYE, y=[0, 1, 0, 1])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("X", b"other")
    with pytest.raises(FormatError, match=r"set\.npz: found two arrays called 'X'"):
        open_dataset(path)


def test_an_encrypted_npz_and_other_formats_under_its_name(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, X=EYE, y=[0, 1, 0, 1])
    path.write_bytes(re.sub(rb"(?s)(PK\x01\x02.{4})\x00", lambda found: found[1] + b"\1", path.read_bytes()))
    with pytest.raises(FormatError, match="array 'X': found an encrypted array"):
        open_dataset(path)
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(FormatError, match=r"set\.npz is an HDF5 file\. Read it with h5py"):
        open_dataset(path)


def test_stored_pictures_of_too_many_pixels(tmp_path):
    path = arrays(tmp_path, np.zeros((2, 1), np.uint8), np.arange(2))
    stored = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(2, 60000, 10000, 1))  # a hole on disk
    del stored
    with pytest.raises(FormatError, match=r"60000 x 10000 = 600,000,000 pixels, expected at most 67,108,864"):
        open_dataset(path)
    images = tmp_path / "train-images-idx3-ubyte"
    images.write_bytes(struct.pack(">IIII", 0x803, 2, 1, 100_000_000))
    os.truncate(images, 16 + 200_000_000)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 2) + b"\0\1")
    with pytest.raises(FormatError, match="1 x 100000000 = 100,000,000 pixels"):
        open_dataset(images)


def test_names_of_classes_that_are_no_text_are_escaped_or_refused(tmp_path):
    names = np.array(["ab\n\x1b[2J", "cd"] * 2)
    path = arrays(tmp_path, EYE, names)
    assert open_dataset(path).class_names == ("ab\\n\\x1b[2J", "cd")
    raw = bytearray((tmp_path / "y.npy").read_bytes())
    raw[-4:] = struct.pack("<I", 0xD800)
    (tmp_path / "y.npy").write_bytes(raw)
    assert any("\\ud800" in name for name in open_dataset(path).class_names)
    raw[-4:] = struct.pack("<I", 0x7FFFFFFF)
    (tmp_path / "y.npy").write_bytes(raw)
    with pytest.raises(LabelError, match="found a text with the character 0x7fffffff, expected at most 0x10ffff"):
        open_dataset(path)


def test_long_names_are_cut_in_messages_and_refused_as_classes(tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/" + "x" * 4000 + ".png", b"no picture")
        archive.writestr("b/0.png", png())
    with pytest.raises(DataError) as caught:
        open_dataset(path, cache=False)
    assert "xxx...xxx" in str(caught.value)
    assert len(str(caught.value)) < 600 + len(str(path))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x" * 4000 + "/0.png", png())
        archive.writestr("b/0.png", png())
    with pytest.raises(LabelError, match="has 4,000 characters, expected at most 1,000"):
        open_dataset(path, cache=False)


def test_an_archive_in_an_archive_is_named(tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inner.tar.gz", b"")
    with pytest.raises(ArchiveError, match=r"found inner\.tar\.gz, no class folders; .* Unpack it, and give"):
        open_dataset(path)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def encoded(kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.new("L", (16, 16)).save(out, kind, **options)
    return out.getvalue()


def with_strips(n: int) -> bytes:
    """A TIFF of n rows, each in a strip of its own."""
    tags = ((256, 3, 1, 4), (257, 4, 1, n), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, n, 130),
            (277, 3, 1, 1), (278, 3, 1, 1), (279, 4, n, 130))  # fmt: skip
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return struct.pack("<2sHI", b"II", 42, 16) + bytes(8) + directory + struct.pack("<I", 8) * n + bytes(8)


GIF = encoded("GIF")
PALETTE_END = 13 + 3 * 2 ** ((GIF[10] & 7) + 1)

PARTS = {
    "text": (png()[:33] + chunk(b"tEXt", b"k\0v") * 200_000 + png()[33:], "more than 100,000 chunks"),
    "jpeg": (encoded("JPEG")[:2] + b"\xff\xe5\0\2" * 500_000 + encoded("JPEG")[2:], "more than 10,000 segments"),
    "filling": (encoded("JPEG")[:2] + b"\xff" * 500_000 + encoded("JPEG")[2:], "more than 10,000 segments"),
    "gif": (GIF[:PALETTE_END] + b"\x21\xfe\1x\0" * 200_000 + GIF[PALETTE_END:], "more than 100,000 blocks"),
    "comment": (GIF[:PALETTE_END] + b"\x21\xfe" + b"\1x" * 200_000 + b"\0", "more than 100,000 blocks"),
    "strips": (with_strips(500_000), "more than 65,536 strips"),
    "tiles": (encoded("JPEG2000", tile_size=(4, 4)).replace(struct.pack(">4I", 16, 16, 0, 0),
                                                            struct.pack(">4I", 4000, 4000, 0, 0)),
              "more than 4,096 tiles"),
    "plain": (b"P1 4000 4000\n" + b"01" * 8_000_000, "a plain PPM of 16,000,013 bytes"),
    "comments": (b"P6\n" + b"#\n" * 8_000_000 + b"2 2 255\n" + bytes(12), "more than 65,536 bytes before its size"),
    "runs": (encoded("BMP")[:30] + b"\1" + encoded("BMP")[31:] + b"\0\2\0\0" * 2_000_000, "a run-length BMP"),
}  # fmt: skip


@pytest.mark.parametrize("name", PARTS)
def test_pictures_of_too_many_parts(name):
    data, found = PARTS[name]
    with pytest.raises(BrokenImage, match=found):
        decode(data)


@pytest.mark.parametrize(
    "data",
    [
        png()[:33] + chunk(b"tEXt", b"k\0v") * 1000 + png()[33:],
        encoded("JPEG")[:2] + b"\xff\xe5\0\2" * 1000 + encoded("JPEG")[2:],
        GIF[:PALETTE_END] + b"\x21\xfe\1x\0" * 1000 + GIF[PALETTE_END:],
        encoded("TIFF", tiffinfo={278: 1}),
        encoded("TIFF", big_tiff=True),
        encoded("JPEG2000", tile_size=(4, 4)),
        b"P2 # a comment\n# another\n 2 1\n255 7 9\n",
        b"P6\n" + b"#\n" * 1000 + b"2 2 255\n" + bytes(12),
    ],
    ids=["text", "jpeg", "gif", "strips", "big tiff", "tiles", "plain", "comments"],
)
def test_pictures_of_many_parts_are_read(data):
    assert decode(data).shape[2] == (3 if data[:2] == b"P6" else 1)


def test_folders_in_one_another_are_not_shown_to_every_reader_again_and_again(tmp_path):
    inner = tmp_path.joinpath(*["d"] * 60)
    for name in ("a", "b"):
        (inner / name).mkdir(parents=True)
        (inner / name / "0.png").write_bytes(png())
    assert open_dataset(tmp_path, cache=False).class_names == ("a", "b")
    (inner / "a" / "0.png").unlink()
    with pytest.raises(DataError, match="the class folder a holds no picture"):
        open_dataset(tmp_path, cache=False)


@pytest.mark.parametrize("name", ["set.tar.gz", "set.tar.bz2", "train-images-idx3-ubyte"])
def test_packed_files_of_empty_streams(tmp_path, name):
    pack = bz2.compress if name.endswith("bz2") else gzip.compress
    (tmp_path / name).write_bytes(pack(b"") * 100_000)
    with pytest.raises(DataError, match="1,048,576 packed bytes that hold nothing"):
        open_dataset(tmp_path / name)
    (tmp_path / name).write_bytes(pack(b"") * 1000 + pack(b"no tar"))
    with pytest.raises(DataError):
        open_dataset(tmp_path / name)
