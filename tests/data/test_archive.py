"""Archives are read in place, as the same folder would be; unsafe and damaged ones are refused."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linprobe.data.archive import ArchiveReader
from linprobe.data.base import Dataset, ReadOptions
from linprobe.errors import ArchiveError, ImageError


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
