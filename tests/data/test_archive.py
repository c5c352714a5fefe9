"""Archives are read in place, as the same folder would be; unsafe and damaged ones are refused."""

from __future__ import annotations

import io
import mmap
import stat
import struct
import tarfile
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from linprobe.data.archive import ArchiveReader, _plain_directory
from linprobe.data.base import Dataset, ReadOptions
from linprobe.errors import ArchiveError, DataError, ImageError, SourceError


def picture(value: int, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (4, 3), (value, 2 * value, 255 - value)).save(out, kind)
    return out.getvalue()


ENTRIES = {
    f"{split}/{name}/{i}.png": picture(40 * s + 20 * k + i)
    for s, split in enumerate(["train", "test"])
    for k, name in enumerate("ab")
    for i in range(2)
}


def write_zip(path: Path, entries: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as out:
        for name, data in entries.items():
            out.writestr(name, data)
    return path


def write_tar(path: Path, entries: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as out:  # type: ignore[call-overload]
        for name, data in entries.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            out.addfile(member, io.BytesIO(data))
    return path


def read(path: Path, **options: object) -> Dataset:
    assert ArchiveReader().accepts(str(path), path)
    return ArchiveReader().read(str(path), path, ReadOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize("around", ["", "pets/"])
@pytest.mark.parametrize("kind", ["stored", "deflated", "bzip2", "tar", "tar.gz", "tar.xz"])
def test_every_kind_of_archive_gives_the_pictures_of_its_entries(tmp_path: Path, kind: str, around: str) -> None:
    # Written backwards: the order of the rows is that of the names, not that of the archive.
    entries = {around + name: data for name, data in reversed(ENTRIES.items())}
    entries |= {"__MACOSX/x.png": b"", around + "train/.hidden": b""}
    if kind.startswith("tar"):
        path = write_tar(tmp_path / f"pets.{kind}", entries, "w:" + kind[4:])
    else:
        methods = {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED, "bzip2": zipfile.ZIP_BZIP2}
        path = write_zip(tmp_path / "pets.zip", entries, methods[kind])
    dataset = read(path)
    assert dataset.format == "archive"
    assert dataset.train.X[:, 0].tolist() == [0, 1, 20, 21]
    assert dataset.test is not None
    assert dataset.test.X[:, :3].tolist() == [[v, 2 * v, 255 - v] for v in (40, 41, 60, 61)]
    assert dataset.test.y.tolist() == [0, 0, 1, 1]
    assert dataset.test.names == tuple(f"{around}test/{n}" for n in ("a/0.png", "a/1.png", "b/0.png", "b/1.png"))
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name]


@pytest.mark.parametrize("name", ["../a/0.png", "a/../../0.png", "/a/0.png", "C:\\a\\0.png", "..\\0.png"])
@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_an_entry_that_would_leave_the_archive_is_named(tmp_path: Path, name: str, write: object) -> None:
    path = write(tmp_path / "evil.zip", {**ENTRIES, name: b""})  # type: ignore[operator]
    with pytest.raises(ArchiveError, match=r"unsafe entry '.*0\.png': (an absolute path|a path that leaves)"):
        read(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "evil.tar"
    with tarfile.open(path, "w") as out:
        member = tarfile.TarInfo("train/a/link.png")
        member.type, member.linkname = kind, "/etc/passwd"
        out.addfile(member)
    with pytest.raises(ArchiveError, match=r"unsafe entry 'train/a/link\.png': a link or a device"):
        read(path)


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as out:
        info = zipfile.ZipInfo("train/a/link.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        out.writestr(info, "/etc/passwd")
    with pytest.raises(ArchiveError, match=r"unsafe entry 'train/a/link\.png': a link or a device"):
        read(path)


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5])
@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz"])
def test_an_archive_cut_short_is_one_line_and_no_traceback(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"cut.{suffix}"
    if suffix == "zip":
        write_zip(path, ENTRIES)
    else:
        write_tar(path, ENTRIES, "w:" + suffix[4:])
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(ArchiveError, match="not a readable archive") as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_changed_byte_is_found_by_the_checksum_even_where_the_picture_would_decode(
    tmp_path: Path, method: int
) -> None:
    bmp = {name.replace("png", "bmp"): picture(i, "BMP") for i, name in enumerate(ENTRIES)}
    path = write_zip(tmp_path / "p.zip", bmp, method)
    with zipfile.ZipFile(path) as opened:
        info = opened.getinfo("test/a/0.bmp")
    raw = bytearray(path.read_bytes())
    raw[info.header_offset + 30 + len(info.filename) + info.compress_size - 3] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ImageError, match=r"1 picture of 8 cannot be read: test/a/0\.bmp \("):
        read(path)
    with pytest.raises(ImageError, match=r"1 picture of 8"):
        read(path, cache=False)
    assert [s.name for s in read(path, on_bad_image="skip").skipped] == ["test/a/0.bmp"]


def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "p.zip", {**ENTRIES, "train/a/2.png": b""})
    path.write_bytes(path.read_bytes().replace(b"train/a/2.png", b"train/a/0.png"))
    with pytest.raises(ArchiveError, match=r"two entries are called train/a/0\.png"):
        read(path)


def test_a_cached_archive_is_not_opened_again_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_zip(tmp_path / "p.zip", ENTRIES)
    first = read(path)
    with monkeypatch.context() as context:
        context.setattr(zipfile, "ZipFile", None)
        again = read(path)
    assert again.fingerprint == first.fingerprint
    assert again.train.names == first.train.names
    assert np.array_equal(again.train.X, first.train.X)
    write_zip(path, {**ENTRIES, "train/a/2.png": picture(99)})
    assert read(path).train.X[:, 0].tolist() == [0, 1, 99, 20, 21]


def test_other_files_are_left_to_other_readers(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    assert not ArchiveReader().accepts("notes.txt", tmp_path / "notes.txt")
    assert not ArchiveReader().accepts("folder.zip", tmp_path)
    assert not ArchiveReader().accepts("missing.zip", None)
    nameless = write_zip(tmp_path / "nameless", ENTRIES)
    assert ArchiveReader().accepts("nameless", nameless)


def plain(path: Path) -> list[tuple[object, ...]] | None:
    """What the plain reader of zip directories finds, as tuples."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as archive:
        return _plain_directory(archive)  # type: ignore[return-value]


def listed(path: Path) -> list[tuple[object, ...]] | None:
    """The same as zipfile tells it; None where it raises."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [
                (
                    *(i.filename, i.external_attr >> 16, i.flag_bits, i.compress_type),
                    *(i.CRC, i.compress_size, i.file_size, i.header_offset),
                )
                for i in archive.infolist()
            ]
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError):
        return None


ENTRY = st.tuples(
    st.text(st.sampled_from("ab/\\. \u00e9\u4e2d\0"), max_size=12),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]),
    st.integers(0, 0xFFFF),  # Unix mode
    st.sampled_from([b"", b"", b"\x55\x54\5\0\3abcd", b"\1\0\4\0abcd", b"\x75\x70\1\0x", b"\x55\x54\xff\0", b"abc"]),
    st.sampled_from([b"", b"", b"a comment", b"PK\5\6" + bytes(18)]),
    st.binary(max_size=40),
)


@given(
    entries=st.lists(ENTRY, max_size=5),
    comment=st.sampled_from([b"", b"", b"", b"PK\5\6"]),
    front=st.sampled_from([b"", b"", b"", b"#!/bin/sh\n"]),
    changes=st.lists(st.tuples(st.integers(0, 250), st.integers(0, 255)), max_size=3),
    cut=st.sampled_from([0, 0, 0, 1, 30]),
)
@settings(max_examples=300)
def test_the_plain_reader_of_a_directory_agrees_with_zipfile_or_declines(
    entries: list[tuple[str, int, int, bytes, bytes, bytes]],
    comment: bytes,
    front: bytes,
    changes: list[tuple[int, int]],
    cut: int,
) -> None:
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")  # of names that come twice
        archive.comment = comment
        for name, method, mode, extra, entry_comment, data in entries:
            info = zipfile.ZipInfo()
            info.filename = name or "x"  # set here, a NUL stays in it
            info.compress_type, info.external_attr, info.comment = method, mode << 16, entry_comment
            info.extra = extra
            archive.writestr(info, data)
    raw = bytearray(front + out.getvalue())
    for place, value in changes:  # counted from the end, where the directory is
        raw[-1 - place % len(raw)] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.zip"
        path.write_bytes(raw[: len(raw) - cut])
        found, expected = plain(path), listed(path)
    assert found is None or found == expected
    if not (comment or front or changes or cut):
        declined = any(
            method not in (0, 8)
            or not name.isascii()
            or "\0" in name
            or extra[:2] in (b"\1\0", b"up")
            or extra.endswith(b"\xff\0")
            for name, method, _, extra, _, _ in entries
        )
        assert (found is None) == declined


def test_the_zips_of_common_programs_are_plain(tmp_path: Path) -> None:
    assert plain(write_zip(tmp_path / "stored.zip", ENTRIES)) is not None
    assert plain(write_zip(tmp_path / "deflated.zip", ENTRIES, zipfile.ZIP_DEFLATED)) is not None
    assert plain(write_zip(tmp_path / "empty.zip", {})) == []
    info = zipfile.ZipInfo("a/0.png")
    info.extra = b"UT\5\0\3abcdux\x0b\0\1\4abcd\4abcd"  # as Info-ZIP writes times and owners
    with zipfile.ZipFile(tmp_path / "info.zip", "w") as out:
        out.writestr(info, b"")
    assert plain(tmp_path / "info.zip") is not None


def test_an_empty_zip_is_told_as_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"empty\.zip: empty; expected a folder per class"):
        read(write_zip(tmp_path / "empty.zip", {}))


def test_a_64_bit_directory_hidden_in_a_comment_is_left_to_zipfile(tmp_path: Path) -> None:
    # zipfile looks for the 64-bit records in front of the end wherever they come from; so the two could differ.
    info = zipfile.ZipInfo("a/0.png")
    locator = b"PK\6\7" + struct.pack("<IQI", 0, 0, 1)
    info.comment = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 20, 20, 0, 0, 0, 0, 0, 0) + locator
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as out:
        out.writestr(info, b"")
    assert plain(tmp_path / "p.zip") is None
    assert listed(tmp_path / "p.zip") == []


def test_a_zip_with_bytes_in_front_of_it_is_read(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "p.zip", ENTRIES)
    path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())
    assert plain(path) is None
    assert read(path).train.X[:, 0].tolist() == [0, 1, 20, 21]


@pytest.mark.parametrize("field", ["start", "packed size", "size"])
def test_an_entry_that_points_outside_the_archive_is_a_broken_picture(tmp_path: Path, field: str) -> None:
    path = write_zip(tmp_path / "p.zip", ENTRIES)
    raw = bytearray(path.read_bytes())
    first = raw.index(b"PK\1\2")
    struct.pack_into("<I", raw, first + {"start": 42, "packed size": 20, "size": 24}[field], 0xFFFFFFF0)
    path.write_bytes(raw)
    assert plain(path) is not None
    with pytest.raises(ImageError, match=r"1 picture of 8 cannot be read: train/a/0\.png \("):
        read(path, cache=False)


def test_names_are_read_as_other_programs_write_them(tmp_path: Path) -> None:
    # Backslashes from Windows, folders among the entries, names in UTF-8.
    entries = {"p\\": b"", "p\\caf\u00e9\\": b"", "p\\caf\u00e9\\old\\": b"", "p\\b\\sub\\": b""}
    entries |= {f"p\\{name}\\{i}.png": picture(i) for name in ("caf\u00e9", "b") for i in range(2)}
    dataset = read(write_zip(tmp_path / "p.zip", entries))
    assert dataset.class_names == ("b", "caf\u00e9")
    assert dataset.train.names is not None
    assert dataset.train.names[-1] == "p/caf\u00e9/1.png"


def test_damage_inside_a_compressed_archive_is_told(tmp_path: Path) -> None:
    for suffix in ("gz", "bz2", "xz"):
        path = write_tar(tmp_path / f"p.tar.{suffix}", ENTRIES, f"w:{suffix}")
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2 : len(raw) // 2 + 8] = bytes(8)
        path.write_bytes(raw)
        with pytest.raises(DataError) as caught:
            read(path, cache=False)
        assert path.name in str(caught.value)
    path = write_zip(tmp_path / "p.zip", ENTRIES, zipfile.ZIP_LZMA)
    raw = bytearray(path.read_bytes())
    raw[60:90] = bytes(30)
    path.write_bytes(raw)
    with pytest.raises(ImageError, match=r"train/a/0\.png \("):
        read(path, cache=False)


def unmarked(path: Path, names: list[bytes]) -> Path:
    """A zip whose names are bytes without the flag of UTF-8, as many programs write them."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for i, name in enumerate(names):
            archive.writestr(f"{i:x}" * len(name), picture(10 * i))
    raw = out.getvalue()
    for i, name in enumerate(names):
        raw = raw.replace(f"{i:x}".encode() * len(name), name)
    path.write_bytes(raw)
    return path


def test_names_in_utf8_without_its_flag_are_utf8(tmp_path: Path) -> None:
    names = [f"{kind}/\u00e9{i}.png".encode() for kind in ("\u732b", "\u72ac\u72ac") for i in range(2)]
    found = read(unmarked(tmp_path / "p.zip", names))
    assert found.class_names == ("\u72ac\u72ac", "\u732b")
    assert found.train.names == (
        "\u72ac\u72ac/\u00e90.png",
        "\u72ac\u72ac/\u00e91.png",
        "\u732b/\u00e90.png",
        "\u732b/\u00e91.png",
    )
    assert found.notes == ()


def test_names_that_are_no_utf8_are_read_in_the_code_page_which_is_said(tmp_path: Path) -> None:
    found = read(unmarked(tmp_path / "p.zip", [b"gl\x81ck/0.png", b"pech/0.png"]))
    assert found.class_names == ("gl\u00fcck", "pech")
    (note,) = found.notes
    assert "1 names in the archive are neither ASCII nor UTF-8, and were read in code page 437" in note


def test_an_entry_of_a_rare_method_is_read_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        for kind in ("\u732b", "\u72ac"):
            archive.writestr(f"{kind}/0.png", picture(10))
    raw = path.read_bytes()
    for signature, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # without the flag
        parts = raw.split(signature)
        raw = signature.join(
            [parts[0], *(p[: place - 4] + bytes([p[place - 4], p[place - 3] & ~8]) + p[place - 2 :] for p in parts[1:])]
        )
    path.write_bytes(raw)
    assert read(path).class_names == ("\u72ac", "\u732b")
