"""Files are whole or as they were, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from linprobe import files
from linprobe.files import remove_left_behind, write_whole


@pytest.fixture(params=["nameless", "named"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of writing aside: with O_TMPFILE, and as on a system that has none."""
    if request.param == "named":
        monkeypatch.setattr(files, "_write_nameless", lambda folder, content: None)
    return str(request.param)


def test_a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it(tmp_path: Path, way: str) -> None:
    path = tmp_path / "file"
    for content in (b"first", b"", b"x" * 3_000_000):
        write_whole(path, content)
        assert path.read_bytes() == content
        assert os.listdir(tmp_path) == ["file"]


def test_a_file_gets_the_permissions_that_the_umask_leaves(tmp_path: Path, way: str) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "file", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_file_as_it_was(
    tmp_path: Path, way: str, call: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trace.csv"
    write_whole(path, b"before")

    def full(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(OSError, match=os.strerror(code)):
            write_whole(path, b"after")
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["trace.csv"]


def test_a_folder_that_cannot_be_synced_keeps_the_file(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network folders refuse it; and what was renamed is written, whatever the disk says of its folder."""
    real = os.fsync

    def sync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    write_whole(tmp_path / "file", b"x")
    assert (tmp_path / "file").read_bytes() == b"x"


def test_a_short_write_is_continued(tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:3]))
    write_whole(tmp_path / "file", b"0123456789")
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_ctrl_c_while_writing_leaves_the_old_file_alone(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_whole(path, b"before")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_whole(path, b"after")
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["x" * 255, "x" * 216 + ".csv", "\N{GREEK SMALL LETTER PI}" * 127])
def test_the_longest_names_are_written(tmp_path: Path, way: str, name: str) -> None:
    write_whole(tmp_path / name, b"x")
    assert os.listdir(tmp_path) == [name]


def test_an_error_in_cleaning_up_does_not_hide_the_first(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def fail_from_now_on(*_: object, **__: object) -> None:
        patch.setattr(os, "unlink", fail)
        fail()

    with monkeypatch.context() as patch:  # a disk that became read-only after the bytes were written
        patch.setattr(os, "replace", fail_from_now_on)
        with pytest.raises(OSError, match="Read-only"):
            write_whole(tmp_path / "file", b"x")


def test_a_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "none" / "file", b"x")


def test_a_kill_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from linprobe.files import remove_left_behind, write_whole\n"
        "path = Path(sys.argv[1]); print('ready', flush=True)\n"
        "for i in range(10**9): write_whole(path, bytes([i % 256]) * 400_000)\n"
    )
    path = tmp_path / "file"
    rng = np.random.default_rng(0)
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(float(rng.uniform(0.01, 0.1)))
            child.send_signal(signal.SIGKILL)
        content = path.read_bytes()
        assert len(content) == 400_000
        assert len(set(content)) == 1


def test_the_next_writer_removes_what_a_dead_one_left_and_not_what_a_living_one_writes(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    (tmp_path / f".a[1].png.{10**30}.partial").touch()
    names = [f".a[1].png.{dead.pid}.partial", f".a[1].png.{os.getppid()}.partial", f".b.png.{dead.pid}.partial"]
    for name in names:
        (tmp_path / name).touch()
    write_whole(tmp_path / "a[1].png", b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names[1:], "a[1].png"])


def test_what_a_killed_writer_left_behind_is_removed_and_nothing_else(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from linprobe.files import write_whole\n"
        "os.replace = lambda source, target: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_whole(Path(sys.argv[1]), b'x')\n"
    )
    others = {"run.json", ".run.json", ".report.html.1.partial", "run.json.1.partial"}
    for name in others:
        (tmp_path / name).write_bytes(b"y")
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "run.json")])
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == len(others) + 1
    remove_left_behind(tmp_path, "*.json")
    assert {path.name for path in tmp_path.iterdir()} == others
