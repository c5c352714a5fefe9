"""The cache gives back the same pixels, rebuilds what is damaged, and leaves nothing half done."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linprobe.data import cache
from linprobe.data import folder as folder_module
from linprobe.data.base import Dataset, ReadOptions
from linprobe.data.cache import _host, cache_folder, cache_info, clear_cache
from linprobe.data.folder import FolderReader
from linprobe.errors import ImageError, SourceError


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes of two pictures."""
    for k, name in enumerate("ab"):
        (tmp_path / name).mkdir()
        for i in range(2):
            Image.new("L", (3, 2), 10 * k + i).save(tmp_path / name / f"{i}.png")
    return tmp_path


def read(path: Path, **options: object) -> Dataset:
    return FolderReader().read(str(path), path, ReadOptions(**options))  # type: ignore[arg-type]


def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("decoded although the cache has it")

    monkeypatch.setattr(folder_module, "decode_all", fail)


def entry() -> Path:
    (only,) = cache_folder().iterdir()
    return only


def test_the_second_read_decodes_nothing_and_maps_the_pixels_read_only(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read(pictures)
    no_decoding(monkeypatch)
    second = read(pictures)
    assert np.array_equal(first.train.X, second.train.X)
    assert second.train.X[:, 0].tolist() == [0, 1, 10, 11]
    assert second.train.names == ("a/0.png", "a/1.png", "b/0.png", "b/1.png")
    assert not second.train.X.flags.writeable
    assert first.fingerprint == second.fingerprint


def test_without_the_cache_nothing_is_written(pictures: Path) -> None:
    read(pictures, cache=False)
    assert list(cache_folder().iterdir()) == []


def test_a_touched_file_another_size_or_another_option_is_another_entry(pictures: Path) -> None:
    seen = {read(pictures).fingerprint, read(pictures, image_size=(1, 1)).fingerprint}
    os.utime(pictures / "a" / "0.png", ns=(1, 1))
    seen.add(read(pictures).fingerprint)
    shutil.copy(pictures / "a" / "0.png", pictures / "a" / "2.png")
    seen.add(read(pictures).fingerprint)
    assert len(seen) == 4


@pytest.mark.parametrize("file", ["pixels.npy", "labels.npy", "names.txt", "entry.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "changed"])
def test_a_damaged_entry_is_rebuilt(pictures: Path, monkeypatch: pytest.MonkeyPatch, file: str, damage: str) -> None:
    read(pictures)
    path = entry() / file
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "changed":
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    else:
        path.write_bytes(whole[: 0 if damage == "empty" else len(whole) // 2])
    again = read(pictures)
    assert again.train.X[:, -1].tolist() == [0, 1, 10, 11]
    assert again.train.y.tolist() == [0, 0, 1, 1]
    no_decoding(monkeypatch)
    assert read(pictures).train.names == ("a/0.png", "a/1.png", "b/0.png", "b/1.png")


def test_a_copied_cache_is_still_used_since_its_pixels_sum_up(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(pictures)
    os.utime(entry() / "pixels.npy", ns=(1, 1))
    no_decoding(monkeypatch)
    assert read(pictures).train.X[:, 0].tolist() == [0, 1, 10, 11]


def test_a_full_disk_is_one_line_and_leaves_no_debris(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(SourceError, match=r"No space left on device.*LINPROBE_CACHE_DIR, or use --no-cache"):
        read(pictures)
    assert list(cache_folder().iterdir()) == []


def test_space_is_reserved_also_where_the_system_has_no_call_for_it(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    assert read(pictures).train.X[:, 0].tolist() == [0, 1, 10, 11]
    assert (entry() / "pixels.npy").stat().st_size == 128 + 4 * 6


@pytest.mark.parametrize("error", [KeyboardInterrupt, ImageError("broken")])
def test_whatever_stops_decoding_leaves_no_debris(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException | type[BaseException]
) -> None:
    def stop(_files: object, _source: str, _options: object, allocate: object) -> None:
        allocate((4, 2, 3, 1))  # type: ignore[operator]
        raise error

    monkeypatch.setattr(folder_module, "decode_all", stop)
    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else ImageError):
        read(pictures)
    assert list(cache_folder().iterdir()) == []


def test_a_cache_folder_that_is_a_file_is_one_line(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINPROBE_CACHE_DIR", str(pictures / "a" / "0.png"))
    with pytest.raises(SourceError, match="the cache cannot be written"):
        read(pictures)


def test_clearing_deletes_the_entries_and_nothing_else(pictures: Path) -> None:
    read(pictures)
    read(pictures, image_size=(1, 1))
    note = cache_folder() / "note.txt"
    note.write_text("mine")
    (cache_folder() / "folder").mkdir()
    info = cache_info()
    assert (info.folder, info.n_entries) == (cache_folder(), 2)
    assert info.n_bytes > 2 * 128
    assert clear_cache() == info
    assert sorted(p.name for p in cache_folder().iterdir()) == ["folder", "note.txt"]
    assert cache_info().n_entries == 0


FILLS = """
import sys
from pathlib import Path
from linprobe.data import folder
from linprobe.data.base import ReadOptions

decode_all = folder.decode_all

def slowly(files, source, options, allocate):
    def waits(shape):
        stored = allocate(shape)
        print("begun", flush=True)
        sys.stdin.readline()
        return stored
    return decode_all(files, source, options, waits)

folder.decode_all = slowly
path = Path(sys.argv[1])
print(folder.FolderReader().read(str(path), path, ReadOptions()).train.X[:, 0].tolist())
"""
"""A program that reads a folder into the cache, and waits for a line while its entry is unfinished."""


def test_clearing_leaves_what_another_process_is_decoding(pictures: Path) -> None:
    read(pictures, image_size=(1, 1))
    arguments = [sys.executable, "-c", FILLS, str(pictures)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(arguments, text=True, **pipes) as other:  # type: ignore[call-overload]
        assert other.stdout.readline() == "begun\n"
        assert clear_cache().n_entries == 1
        assert entry().name.startswith(f".filling-{_host()}-{other.pid}-")
        assert other.communicate("\n", timeout=60) == ("[0, 1, 10, 11]\n", "")
    assert cache_info().n_entries == 1
    assert clear_cache().n_entries == 1
    assert list(cache_folder().iterdir()) == []


def test_clearing_deletes_what_a_killed_process_left(pictures: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    (cache_folder() / f".filling-{_host()}-{dead.pid}-x").mkdir()
    clear_cache()
    assert list(cache_folder().iterdir()) == []


def test_a_cache_that_vanishes_while_it_is_filled_is_one_line(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decode_all = folder_module.decode_all

    def decode_and_delete(*arguments: object) -> object:
        decoded = decode_all(*arguments)  # type: ignore[arg-type]
        shutil.rmtree(cache_folder())
        return decoded

    monkeypatch.setattr(folder_module, "decode_all", decode_and_delete)
    with pytest.raises(SourceError, match=r"the cache cannot be written: .* run the command again"):
        read(pictures)


def test_what_a_killed_process_of_this_machine_left_is_swept_at_once(pictures: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    numbers = (dead.pid, os.getpid(), os.getppid())  # that of this process may have been another's in a container
    left, same, written = (cache_folder() / f".filling-{_host()}-{number}-x" for number in numbers)
    for folder in (left, same, written):
        folder.mkdir()
        os.utime(folder, (0, 0))  # its age does not matter: clocks are set
    read(pictures)
    assert not left.exists()
    assert not same.exists()
    assert written.exists()


def test_what_a_killed_process_left_is_swept_after_a_day(pictures: Path) -> None:
    old, new = cache_folder() / ".filling-old", cache_folder() / ".filling-new"
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (0, 0))
    read(pictures)
    assert not old.exists()
    assert new.exists()


def test_an_entry_of_another_version_is_not_used(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read(pictures).fingerprint
    monkeypatch.setattr(cache, "_VERSION", 0)
    assert read(pictures).fingerprint != before
    assert cache_info().n_entries == 2


def test_the_record_of_an_entry_is_plain_json(pictures: Path) -> None:
    read(pictures)
    record = json.loads((entry() / "entry.json").read_text())
    assert record["class_names"] == ["a", "b"]
    assert record["splits"] == [["train", 4]]
