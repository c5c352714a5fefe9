"""Files in formats that no reader takes: what they are by their first bytes or name, and how to convert them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from linprobe.files import open_regular

__all__ = ["PYTORCH", "SAVE", "data_files_among", "other_format"]

SAVE = "numpy.savez('data.npz', X=..., y=...)"
"""How vectors or pictures of another format are saved for linprobe."""

_WEB_PAGE = (
    "a web page, not data: a server sends one in place of a file when a quota is used up, a login is needed or the "
    "address is wrong. Open it in a browser, and download the file there"
)
"""What is said of a file that is a web page."""

_SIGNATURES: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), advice)
    for pattern, advice in (
        (rb"\s*(<!doctype html|<html|<head|<\?xml.{0,200}<html)", _WEB_PAGE),
        (rb"Rar!\x1a\x07", "a RAR archive. Unpack it, and give the folder"),
        (rb"7z\xbc\xaf\x27\x1c", "a 7z archive. Unpack it, and give the folder"),
        (rb"\x28\xb5\x2f\xfd", "compressed by Zstandard. Unpack it, and give the result"),
        (rb"\x89HDF\r\n\x1a\n", f"an HDF5 file. Read it with h5py, and save its arrays: {SAVE}"),
        (rb"MATLAB 5\.0", f"a MATLAB file. Read it with scipy.io.loadmat, and save its arrays: {SAVE}"),
        (rb"version https://git-lfs", "a pointer of Git LFS, not the file itself. Fetch it with: git lfs pull"),
        (rb"%PDF", "a PDF document. Give the folder of the pictures"),
        (rb"SQLite format 3\0", f"an SQLite database. Read it with sqlite3, and save its rows: {SAVE}"),
        (rb"ARROW1", "an Arrow file. Save it as Parquet: pyarrow.parquet.write_table(table, 'data.parquet')"),
        (rb"(\x89PNG|\xff\xd8\xff|GIF8|II\*\0|MM\0\*)", "a single picture. Give the folder that holds its class"),
        (
            rb"\x80[\x02-\x05].",
            f"a pickle, which can run any code and is not read. If you trust it, load it yourself and save: {SAVE}",
        ),
    )
)
"""First bytes of a file, and what to say of it: what it is, and a next step."""

PYTORCH = f"a file of PyTorch. Load it with torch.load(FILE, weights_only=True), and save its tensors: {SAVE}"
"""What to say of such a file, which is a zip inside."""

_SUFFIXES = {
    ".csv": f"a table of text. Read it with pandas.read_csv, and save its columns: {SAVE}",
    ".tsv": f"a table of text. Read it with pandas.read_csv, and save its columns: {SAVE}",
    ".tfrecord": f"a file of TensorFlow. Read it with tf.data.TFRecordDataset, and save its records: {SAVE}",
    ".pt": PYTORCH,
    ".pth": PYTORCH,
    ".safetensors": f"a file of tensors. Read it with safetensors.numpy.load_file, and save the vectors: {SAVE}",
    ".json": f"a JSON file. Read it with json.load, and save its numbers: {SAVE}",
    ".bin": f"a file of bare bytes. Read it with numpy.fromfile, and save its arrays: {SAVE}",
    ".h5": f"an HDF5 file. Read it with h5py, and save its arrays: {SAVE}",
    ".mat": f"a MATLAB file. Read it with scipy.io.loadmat or h5py, and save its arrays: {SAVE}",
}
"""The same by the end of the name, in lower case, where the first bytes say nothing."""

_DATA_FILES = re.compile(
    r"([^/]*(idx\d-ubyte|\.idx\d?)(\.gz)?|[^/]*\.(npy|npz|parquet|bin|mat|h5|hdf5|tfrecord|csv|zip|tar|tgz|tar\.(gz|bz2|xz))|data_batch_\d+)",
    re.IGNORECASE,
)
"""Names of files that hold many pictures or vectors."""


def other_format(path: Path) -> str | None:
    """What the file `path` is, and a next step, in words to follow "is"; None if that is unknown."""
    try:
        with open_regular(path) as file:
            start = file.read(512)
    except OSError:
        return None
    found = next((advice for pattern, advice in _SIGNATURES if pattern.match(start)), None)
    return found or _SUFFIXES.get(path.suffix.lower())


def data_files_among(names: Sequence[str]) -> list[str]:
    """Those of the names, with or without folders, that files of arrays, tables or records have."""
    return [name for name in names if _DATA_FILES.fullmatch(name.rpartition("/")[2])]
