"""What the lab reads: what was named, what was uploaded within the limits, and nothing else."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from linprobe.errors import ArchiveError, ParameterError, RunError
from linprobe.lab import train as train_module
from linprobe.lab import uploads as uploads_module
from linprobe.lab.protocol import Lab
from linprobe.lab.run_list import RunShown, list_runs, run_at
from linprobe.lab.server import served
from linprobe.lab.sources import Sources
from linprobe.lab.uploads import Uploads, check_zip

from .conftest import Talk, talking
from .pictures import class_folders, write_source, zip_of


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A lab with one named source, whose folder for uploads lies in the test's own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(uploads_module.tempfile, "tempdir", str(tmp_path / "tmp"))
    made = Lab((str(write_source(tmp_path / "things.zip")),), tmp_path / "runs")
    yield made
    made.close()


@pytest.fixture
def address(lab: Lab) -> Iterator[str]:
    """Where that lab is served."""
    with served(lab) as found:
        yield found


@pytest.fixture
def talk_to(address: str) -> Iterator[Talk]:
    """A WebSocket to it."""
    with talking(address) as found:
        yield found


def post(address: str, name: str, content: bytes, origin: str | None = None) -> tuple[int, dict[str, str]]:
    """Status and answer of an upload; from the lab's own page, unless an origin is given."""
    request = urllib.request.Request(f"{address}/train/upload?name={quote(name)}", data=content, method="POST")
    request.add_header("Origin", address if origin is None else origin)
    request.add_header("Content-Type", "application/octet-stream")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            body = error.read().decode()
            return error.code, json.loads(body) if body.startswith("{") else {"error": body}


def test_a_zip_of_class_folders_is_taken_described_and_gone_with_the_lab(lab, address, talk_to, tmp_path):
    status, answer = post(address, "my pictures.zip", zip_of(class_folders(n=6)))
    assert status == 200, answer
    found = talk_to("train.describe", source=answer["source"], seed=0)
    assert found["class_names"] == ["blue", "green", "red"]
    assert found["counts"] == {"train": 18}
    assert found["shape"] == [8, 8, 3]
    assert found["label"] == "my pictures.zip"
    folder = lab.service(Uploads).folder
    assert folder.parent == tmp_path / "tmp"
    assert (folder / "upload-1" / "my-pictures.zip").is_file()
    talk_to("train.forget", source=answer["source"])
    assert not (folder / "upload-1").exists()
    assert talk_to.error("train.describe", source=answer["source"], seed=0).startswith("source = ")
    lab.close()
    assert not list((tmp_path / "tmp").iterdir())


def test_what_is_decoded_of_an_upload_never_reaches_the_cache_of_the_user(lab, address, talk_to, own_cache):
    _, answer = post(address, "a.zip", zip_of(class_folders(n=4)))
    talk_to("train.describe", source=answer["source"], seed=0)
    assert not list(own_cache.iterdir())
    talk_to("train.describe", source="source:things.zip", seed=0)
    assert list(own_cache.iterdir())  # that of a named source does


def test_an_upload_from_another_site_is_refused(lab, address):
    for origin in ("http://evil.example", "null"):
        assert post(address, "a.zip", zip_of(class_folders(n=4)), origin)[0] == 403
    assert not lab.service(Uploads).kept


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.zip", b"no zip at all", "not a zip"),
        ("a.zip", zip_of(class_folders(n=2))[:-30], "not a zip, or one that was cut short"),
        ("a.tar", b"", "is no .zip"),
        (".zip", b"", "is no .zip"),
        ("../../up.zip", b"PK", "up.zip: not a zip"),
    ],
)
def test_what_is_no_zip_is_refused_in_a_line_and_nothing_is_kept(lab, address, name, content, words):
    status, answer = post(address, name, content)
    assert status == 200
    assert words in answer["error"]
    assert "\n" not in answer["error"]
    folder = lab.service(Uploads).folder
    assert not list(folder.rglob("*.zip"))


@pytest.mark.parametrize("entry", ["../outside/x.png", "/etc/x.png", "a/../../x.png", "C:/x.png"])
def test_a_zip_whose_entries_leave_it_is_refused_and_writes_nothing(lab, address, talk_to, tmp_path, entry):
    _, answer = post(address, "a.zip", zip_of({**class_folders(n=2), entry: png_of_one()}))
    assert answer["error"].startswith("a.zip: unsafe entry")
    assert str(tmp_path) not in answer["error"]
    assert not list(tmp_path.rglob("x.png"))
    nothing_stays(lab, talk_to)


def nothing_stays(lab: Lab, talk_to: Talk) -> None:
    """Check that a refused upload is neither in the list of sources nor on the disk."""
    assert not [one for one in talk_to("train.state")["sources"] if one["kind"] == "uploaded"]
    assert not list(lab.service(Uploads).folder.rglob("*.zip"))
    assert not list(lab.service(Uploads).folder.glob("upload-*"))


def flat() -> dict[str, bytes]:
    """Pictures without a class folder."""
    return {name.rpartition("/")[2]: content for name, content in class_folders(n=3).items()}


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({}, "a.zip: "),
        (flat(), "no class folder"),
        ({name: content for name, content in class_folders(n=3).items() if "red" in name}, "only the class folder red"),
        ({"red/": b"", "blue/": b""}, "no picture"),
        ({**class_folders(n=3), "loose.png": b"PNG"}, "lies in no class folder"),
        ({f"{split}/{name}/0.png": b"PNG" for split in ("train", "Training") for name in "ab"}, "both mean train"),
        ({f"test/{name}/0.png": b"PNG" for name in "ab"}, "but no train"),
        ({"data/batch.npy": b"", "data/x.npy": b""}, "batch.npy"),
        ({"archive/data.pkl": b"", "archive/data/0": b""}, "PyTorch"),
    ],
)
def test_an_upload_that_is_no_set_of_class_folders_is_refused_and_does_not_stay(lab, address, talk_to, entries, words):
    _, answer = post(address, "a.zip", zip_of(entries))
    assert words in answer.get("error", "it was taken")
    assert "\n" not in answer["error"]
    nothing_stays(lab, talk_to)


@pytest.mark.parametrize(
    "entries",
    [
        {name: content[:60] for name, content in class_folders(n=3).items()},
        {"a/0.txt": b"text", "b/0.txt": b"text"},
    ],
)
def test_an_upload_without_a_picture_that_can_be_read_leaves_the_list_once_that_is_known(
    lab, address, talk_to, entries
):
    _, answer = post(address, "a.zip", zip_of(entries))
    with talking(address) as other:  # another page hears of it as well
        said = talk_to.error("train.describe", source=answer["source"], seed=0)
        assert "no picture remains" in said
        told = other.event("train.sources")
    assert (told["gone"], told["why"]) == (answer["source"], said)
    assert not [one for one in told["sources"] if one["kind"] == "uploaded"]
    nothing_stays(lab, talk_to)


def test_an_upload_that_a_setting_makes_readable_stays(lab, address, talk_to):
    broken = class_folders(n=3) | {"things/red/broken.png": b"no picture"}
    _, answer = post(address, "a.zip", zip_of(broken))
    for _ in range(2):
        assert "'Leave out broken pictures'" in talk_to.error("train.describe", source=answer["source"], seed=0)
    assert talk_to("train.describe", source=answer["source"], seed=0, skip_bad=True)["skipped"] == 1


def test_what_the_reader_did_is_shown_with_the_source(address, talk_to, tmp_path):
    deep = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 4).save(deep, "PNG")
    entries = {f"{name}/{i}.png": deep.getvalue() for name in "ab" for i in range(4)}
    _, answer = post(address, "a.zip", zip_of(entries))
    (note,) = talk_to("train.describe", source=answer["source"], seed=0)["notes"]
    assert "8" in note


def test_a_named_source_that_has_grown_is_described_as_it_is_now(lab, talk_to):
    key = "source:things.zip"
    assert talk_to("train.describe", source=key, seed=0)["counts"] == {"train": 60}
    write_source(Path(lab.sources[0]), 30)
    assert talk_to("train.describe", source=key, seed=0)["counts"] == {"train": 90}


def png_of_one() -> bytes:
    """A picture."""
    return next(iter(class_folders(n=1).values()))


def test_an_upload_beyond_a_limit_is_refused(lab, address, talk_to, monkeypatch):
    content = zip_of(class_folders(n=4))
    monkeypatch.setattr(train_module, "MOST_BYTES", len(content) - 1)
    status, answer = post(address, "a.zip", content)
    assert (status, "is larger than" in answer["error"]) == (200, True)
    monkeypatch.undo()
    monkeypatch.setattr(uploads_module, "MOST_ENTRIES", 11)
    assert "12 entries" in post(address, "a.zip", content)[1]["error"]
    monkeypatch.undo()
    monkeypatch.setattr(uploads_module, "UNPACKED_BYTES", 100)
    assert "entries declare" in post(address, "a.zip", content)[1]["error"]
    monkeypatch.undo()
    monkeypatch.setattr(uploads_module, "MOST_NUMBERS", 12 * 8 * 8 * 3 - 1)
    _, answer = post(address, "a.zip", content)
    assert "12 pictures of 8x8" in talk_to.error("train.describe", source=answer["source"], seed=0)
    assert talk_to("train.describe", source=answer["source"], image_size=[4, 4], seed=0)["shape"] == [4, 4, 3]
    for number in range(2, uploads_module.MOST_UPLOADS + 1):
        assert "source" in post(address, f"{number}.zip", content)[1]
    assert "uploads already" in post(address, "a.zip", content)[1]["error"]


def large_png(width: int, height: int) -> bytes:
    """A PNG file that says it has these many pixels, and holds none."""
    small = bytearray(png_of_one())
    small[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    small[29:33] = zlib.crc32(small[12:29]).to_bytes(4, "big")
    return bytes(small)


@pytest.mark.parametrize(
    ("size", "words"),
    [((5000, 5001), "red/99.png has 5000 x 5001 pixels"), ((60000, 60000), "has hundreds of millions of pixels")],
)
def test_a_zip_with_one_huge_picture_is_refused_by_its_header_wherever_it_stands(address, size, words):
    entries = class_folders(n=30) | {"things/red/99.png": large_png(*size)}
    said = post(address, "a.zip", zip_of(entries))[1]["error"]
    assert said.startswith("a.zip: things/red/99.png")
    assert words in said
    assert said.endswith("the lab takes pictures of up to 25 million pixels: make it smaller.")


def test_a_zip_with_an_entry_of_very_many_bytes_is_refused(address, monkeypatch):
    monkeypatch.setattr(uploads_module, "PICTURE_BYTES", 2**20)
    said = post(address, "a.zip", zip_of(class_folders(n=2) | {"things/film.mp4": b"0" * (3 * 2**20)}))[1]["error"]
    assert said.startswith("a.zip: things/film.mp4 holds 3 MiB; the lab takes pictures of up to 1 MiB: make it smaller")


def test_a_zip_that_says_less_than_it_holds_is_read_no_further_than_its_directory(tmp_path):
    content = bytearray(zip_of(class_folders(n=4)))
    at = content.rfind(b"PK\5\6")
    content[at + 8 : at + 12] = (1).to_bytes(2, "little") * 2  # one entry, it says
    (tmp_path / "a.zip").write_bytes(content)
    assert check_zip(tmp_path / "a.zip", "a.zip").n_files == 12
    content[at + 12 : at + 16] = (uploads_module.DIRECTORY_BYTES + 1).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ArchiveError, match="entries"):
        check_zip(tmp_path / "a.zip", "a.zip")


def test_a_zip_whose_end_in_64_bits_declares_more_than_that_in_32_is_refused_before_it_is_listed(tmp_path):
    entry = struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 20, 20, *[0] * 7, 7, 0, 0, 0, 0, 0, 0) + b"a/b.png"
    count = uploads_module.MOST_ENTRIES + 1
    end_64 = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(entry) * count, 0)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, len(entry) * count, 1)
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, len(entry), 0, 0)
    (tmp_path / "a.zip").write_bytes(entry * count + end_64 + locator + end)
    with pytest.raises(ArchiveError, match=r"65,001 entries or more"):
        check_zip(tmp_path / "a.zip", "a.zip")


def test_a_zip_whose_pictures_cannot_be_measured_before_they_are_unpacked_is_refused(lab, address, talk_to):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_BZIP2) as archive:
        for name, content in class_folders(n=2).items():
            archive.writestr(name, content)
    said = post(address, "a.zip", file.getvalue())[1]["error"]
    assert said.endswith("make the zip with Deflate.")
    nothing_stays(lab, talk_to)


@pytest.mark.parametrize(
    ("name", "label", "file"),
    [
        ("猫.zip", "猫.zip", "archive.zip"),
        ("my pictures.ZIP", "my pictures.ZIP", "my-pictures.zip"),
        ("C:\\Users\\me\\pets.zip", "pets.zip", "pets.zip"),
        ("a\nb\x1b[31m.zip", "a\\nb\\x1b[31m.zip", "a-nb-x1b-31m.zip"),
        ("x" * 5000 + ".zip", "x" * 76 + ".zip", "x" * 76 + ".zip"),
    ],
)
def test_an_upload_keeps_the_name_that_its_user_gave_it_and_gets_a_plain_file(lab, address, name, label, file):
    _, answer = post(address, name, zip_of(class_folders(n=2)))
    (shown,) = (one for one in answer["sources"] if one["kind"] == "uploaded")
    assert shown["label"] == label
    assert [path.name for path in lab.service(Uploads).folder.rglob("*.zip")] == [file]


def test_no_address_of_the_page_holds_a_folder_of_this_machine(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    texts = tuple(str(write_source(tmp_path / name)) for name in ("things.zip", "one/pets.zip", "two/pets.zip"))
    lab = Lab((*texts, texts[0]), tmp_path / "runs")
    named = [source for source in lab.service(Sources).all() if source.kind == "named"]
    assert [source.key for source in named] == ["source:things.zip", "source:2:pets.zip", "source:3:pets.zip"]
    assert [source.path for source in named] == list(texts)
    lab.close()


def test_pictures_of_several_sizes_are_told_with_the_remedy_of_the_page(address, talk_to):
    entries = class_folders(n=3) | {"things/red/large.png": class_folders(n=1, side=12)["things/red/00.png"]}
    _, answer = post(address, "a.zip", zip_of(entries))
    about = next(one for one in answer["sources"] if one["key"] == answer["source"])["upload"]
    assert about == {"n_files": 10, "size": [12, 12], "one_size": False}
    said = talk_to.error("train.describe", source=answer["source"], seed=0)
    assert "different sizes" in said
    assert "'Resize pictures'" in said
    assert "--image-size" not in said


def test_broken_pictures_are_told_with_the_remedy_of_the_page_and_left_out(address, talk_to):
    _, answer = post(address, "a.zip", zip_of(class_folders(n=4) | {"things/red/broken.png": b"no picture"}))
    said = talk_to.error("train.describe", source=answer["source"], seed=0)
    assert "broken.png" in said
    assert said.endswith("check 'Leave out broken pictures'.")
    found = talk_to("train.describe", source=answer["source"], seed=0, skip_bad=True)
    assert (found["counts"], found["skipped"]) == ({"train": 12}, 1)


def test_a_source_that_was_not_named_is_refused(talk_to, tmp_path):
    write_source(tmp_path / "other.zip")
    for key in (str(tmp_path / "other.zip"), f"source:{tmp_path / 'other.zip'}", "/etc/passwd", "", "upload:1:a.zip"):
        assert "the lab reads what its command line named" in talk_to.error("train.describe", source=key, seed=0)


def test_a_run_on_a_source_that_was_not_named_cannot_be_read_through_it(lab, tmp_path):
    sources = lab.service(Sources)
    assert sources.of_run(str(tmp_path / "things.zip")).label == "things.zip"
    assert sources.of_run("digits").key == "digits"
    other = write_source(tmp_path / "other.zip")
    with pytest.raises(ParameterError, match="start it with: linprobe lab"):
        sources.of_run(str(other))
    with pytest.raises(ParameterError, match="is gone"):
        sources.of_run(str(tmp_path / "never.zip"))


def test_names_of_runs_do_not_lead_out_of_their_folder(talk_to, lab, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "settings.json").write_text('{"run_version": 1}')
    lab.runs.mkdir()
    (lab.runs / "inside").mkdir()
    (lab.runs / "inside" / "settings.json").write_text('{"run_version": 1, "source": "digits"}')
    (lab.runs / "link").symlink_to(outside)
    assert run_at(lab.runs, "inside").path == lab.runs / "inside"
    for name in ("../outside", str(outside), "..", ".", "", "link", "inside/../../outside", "a\0b"):
        with pytest.raises(RunError, match="expected the name of a run"):
            run_at(lab.runs, name)
        assert "expected the name of a run" in talk_to.error("train.resume", run=name)
        assert "expected the name of a run" in talk_to.error("train.report", run=name)
        assert "expected the name of a run" in talk_to.error("inspect.open", run=name)
    listed = {run.run: run for run in list_runs(lab.runs)}
    assert isinstance(listed["inside"], RunShown)
    assert "expected the name of a run" in listed["link"].error


def test_settings_are_checked_before_a_process_is_started(lab, talk_to):
    good = {
        "loss": "softmax", "penalty": "l2", "reg": 0.1, "beta": 1, "delta": 1, "optimizer": "exact",
        "preprocess": "auto", "tol": 1e-3, "max_iter": 10, "features": "pixels", "validation": 0.1, "seed": 0,
    }  # fmt: skip
    for name, value, words in (
        ("loss", "cubic", "settings.loss is 'cubic'; expected one of"),
        ("reg", -1, "settings.reg is -1; expected"),
        ("features", "onnx:/etc/passwd", "settings.features is 'onnx:/etc/passwd'; expected one of pixels"),
        ("seed", 1.5, "expected a whole number"),
        ("image_size", [0, 8], "image_size"),
        ("max_iter", True, "max_iter"),
    ):
        settings = {**good, name: value}
        assert words in talk_to.error("train.start", source="source:things.zip", settings=settings)
    assert "expected an object" in talk_to.error("train.start", source="digits", settings=[])
    assert talk_to("train.state")["job"] is None
    assert not lab.runs.exists()


def test_a_report_is_served_with_a_policy_that_runs_nothing(lab, address, talk_to):
    run = lab.runs / "one"
    run.mkdir(parents=True)
    (run / "settings.json").write_text('{"run_version": 1, "source": "digits"}')
    assert "cannot make one" in talk_to.error("train.report", run="one")
    lab.report = lambda path, cache: path
    (run / "report.html").write_text("<h1>Report</h1>")
    assert talk_to("train.report", run="one") == {"address": "train/report/one"}
    with urllib.request.urlopen(f"{address}/train/report/one", timeout=20) as answer:
        assert answer.read() == b"<h1>Report</h1>"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "sandbox" in policy
        assert "script-src" not in policy
    for name in ("two", "..", "%2e%2e%2foutside", "..%2f..%2fetc"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{address}/train/report/{name}", timeout=20)


def test_a_report_that_is_a_link_is_not_served(lab, address, tmp_path):
    run = lab.runs / "one"
    run.mkdir(parents=True)
    (run / "settings.json").write_text('{"run_version": 1, "source": "digits"}')
    (tmp_path / "secret").write_text("of this machine")
    (run / "report.html").symlink_to(tmp_path / "secret")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{address}/train/report/one", timeout=20)
    (listed,) = list_runs(lab.runs)
    assert isinstance(listed, RunShown)
    assert not listed.has_report


def test_a_report_that_would_read_a_source_that_was_not_named_is_not_made(lab, talk_to, tmp_path):
    made: list[tuple[str, bool]] = []
    lab.report = lambda path, cache: made.append((path.name, cache))
    other = write_source(tmp_path / "other.zip")
    sources = {"named": lab.sources[0], "other": str(other), "gone": str(tmp_path / "never.zip"), "built-in": "digits"}
    for name, source in sources.items():
        run = lab.runs / name
        run.mkdir(parents=True)
        (run / "settings.json").write_text(json.dumps({"run_version": 1, "source": source}))
    for name in ("named", "gone", "built-in"):
        talk_to("train.report", run=name)
    assert "start it with: linprobe lab" in talk_to.error("train.report", run="other")
    assert made == [("named", True), ("gone", True), ("built-in", True)]


def test_the_folder_of_a_lab_that_was_killed_is_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads_module.tempfile, "tempdir", str(tmp_path))
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    old = tmp_path / f"linprobe-lab-{int(gone.stdout)}-abc"
    living = tmp_path / f"linprobe-lab-{os.getppid()}-abc"
    for folder in (old, living, tmp_path / "linprobe-lab-notes-x"):
        folder.mkdir()
    made = Uploads(Lab())
    assert not old.exists()
    assert living.exists()
    assert (tmp_path / "linprobe-lab-notes-x").exists()
    made.close()
    assert not made.folder.exists()
