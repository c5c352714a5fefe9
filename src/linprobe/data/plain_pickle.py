"""Pickles of NumPy arrays and plain containers; nothing else is unpickled, and no code of the file runs.

The unpickler is Python's own in Python: the one in C crashes on nested keys, and believes the sizes that a file
declares. Here keys are text, whole numbers are small, and no opcode makes more bytes than the file holds.
"""

from __future__ import annotations

import io
import pickle
import re
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from linprobe.errors import FormatError, walled

__all__ = ["unpickle"]

LONG_BYTES = 16
"""Bytes of a whole number at most; labels have one."""

FREE_OPCODES, OPCODE_BYTES = 100_000, 100
"""A pickle may have 100,000 opcodes, and one for each 100 bytes. A batch has about 6 for each picture of 3,072 bytes;
an opcode of one byte makes an object of 56."""

PLAIN_OPCODES = (
    *(pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.POP, pickle.POP_MARK, pickle.MEMOIZE),
    *(pickle.PUT, pickle.BINPUT, pickle.LONG_BINPUT, pickle.GET, pickle.BINGET, pickle.LONG_BINGET),
    *(pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.INT, pickle.BININT, pickle.BININT1, pickle.BININT2),
    *(pickle.FLOAT, pickle.BINFLOAT, pickle.STRING, pickle.BINSTRING, pickle.SHORT_BINSTRING, pickle.UNICODE),
    *(pickle.BINUNICODE, pickle.SHORT_BINUNICODE, pickle.BINUNICODE8, pickle.BINBYTES, pickle.SHORT_BINBYTES),
    *(pickle.BINBYTES8, pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
    *(pickle.EMPTY_LIST, pickle.LIST, pickle.APPEND, pickle.APPENDS, pickle.EMPTY_DICT, pickle.REDUCE),
    *(pickle.GLOBAL, pickle.STACK_GLOBAL),
)
"""Opcodes that are run as Python runs them. `_PlainUnpickler` has its own for some; all others are refused."""


def unpickle(where: str, content: bytes, advice: str) -> dict[str, Any]:  # of whatever the file holds
    """The dictionary in `content`, its keys as str and its arrays as NumPy's.

    Args:
        where: the file, for messages.
        content: the pickle.
        advice: the next step, for messages.
    Raises:
        FormatError: it is not a pickle, holds anything but arrays and plain containers, or is not a dictionary.
    """
    with walled(FormatError, where, f"expected a pickled batch. {advice}"):
        found = _PlainUnpickler(where, content, advice).load()
    if not isinstance(found, dict):
        raise FormatError(f"{where}: found an object of type {type(found).__name__}, expected a dictionary. {advice}")
    batch: dict[str, Any] = {}  # as above
    for key, value in found.items():
        if isinstance(value, _Array):
            if value.array is None:
                raise FormatError(f"{where}: found an array without numbers, expected a pickled batch. {advice}")
            value = value.array
        batch[_text(key)] = value
    return batch


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


class _Dtype:
    """Replaces `numpy.dtype` while unpickling; only dtypes of numbers are accepted."""

    def __init__(self, code: str | bytes, *_: object) -> None:
        text = _text(code) if isinstance(code, str | bytes) else ""
        if not re.fullmatch("[biuf][1248]", text):
            raise ValueError(f"an array of dtype {text[:20]!r}, expected numbers")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        # (version, byte order, ...): the rest describes dtypes that are not accepted
        if state[1] in (">", b">"):
            self.dtype = self.dtype.newbyteorder(">")


class _Array:
    """Replaces `numpy.ndarray` while unpickling: NumPy's own __setstate__ does not check the state."""

    def __init__(self, *_: object) -> None:
        self.array: npt.NDArray[Any] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, in_columns, content = state
        self.array = _from_buffer(content, dtype, shape, "F" if in_columns is True else "C").array

    @classmethod
    def made_of(cls, array: npt.NDArray[Any]) -> _Array:
        made = cls()
        made.array = array
        return made


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    """The array of these bytes; np.frombuffer and reshape check the sizes."""
    if not isinstance(dtype, _Dtype):
        raise ValueError("an array without a dtype")
    array = np.frombuffer(content, dtype.dtype).reshape(shape, order="F" if order in ("F", b"F") else "C")
    return _Array.made_of(array)


_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}
"""Every global that a pickle may name, but `_codecs.encode`, and its replacement. All they do is to make an array."""

_Unpickler: Any = pickle._Unpickler  # pickle's own, in Python


class _Counted(dict[int, Any]):
    """The opcodes and their methods; each use counts, and too many are an error."""

    def __init__(self, opcodes: dict[int, Any], most: int) -> None:
        super().__init__(opcodes)
        self.left = most

    def __getitem__(self, opcode: int) -> Any:
        self.left -= 1
        if self.left < 0:
            raise ValueError("more opcodes than a batch of pictures has")
        return super().__getitem__(opcode)


class _PlainUnpickler(_Unpickler):  # type: ignore[misc]  # a class that mypy does not know
    """An unpickler of arrays and plain containers."""

    def __init__(self, where: str, content: bytes, advice: str) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")
        self.where, self.advice = where, advice
        self.left_to_encode = self.size = len(content)
        self.dispatch = _Counted(self.dispatch, FREE_OPCODES + self.size // OPCODE_BYTES)

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a global. Raises FormatError for all that are not needed."""
        if (module, name) == ("_codecs", "encode"):
            return self._encode
        if (module, name) not in _ADMITTED:
            raise FormatError(
                f"{self.where}: found {module[:60]}.{name[:60]} in the pickle, expected NumPy arrays and plain "
                f"containers only. Loading it could run any code, so it was not loaded: fetch the file from its "
                "authors."
            )
        return _ADMITTED[module, name]

    def _encode(self, text: str, encoding: str | bytes) -> bytes:
        """Replaces `_codecs.encode`, by which Python 3 writes bytes in old protocols."""
        if encoding not in ("latin1", "latin-1", b"latin1", b"latin-1"):
            raise ValueError("text in another encoding than latin1")
        self.left_to_encode -= len(text)
        if self.left_to_encode < 0:
            raise ValueError("more text than the file holds")
        return text.encode("latin-1")

    def _set(self, items: list[Any]) -> None:
        """Put keys and values, one after the other, into the dictionary on top of the stack."""
        target = self.stack[-1]
        if type(target) is not dict or len(items) % 2:
            raise ValueError("keys and values outside a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | bytes):  # the hash of nested tuples takes for ever, or crashes
                raise ValueError(f"a key of type {type(key).__name__}, expected text")
            target[key] = value

    def load_setitem(self) -> None:
        """SETITEM."""
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def load_setitems(self) -> None:
        """SETITEMS."""
        self._set(self.pop_mark())

    def load_dict(self) -> None:
        """DICT."""
        items = self.pop_mark()
        self.append({})
        self._set(items)

    def load_build(self) -> None:
        """BUILD: the state of an array or a dtype, and of nothing else."""
        state, made = self.stack.pop(), self.stack[-1]
        if not isinstance(made, _Array | _Dtype) or not isinstance(state, tuple):
            raise ValueError(f"a state for an object of type {type(made).__name__}")
        made.__setstate__(state)

    def _append_long(self, n_bytes: int) -> None:
        if not 0 <= n_bytes <= LONG_BYTES:
            raise ValueError(f"a whole number of {n_bytes} bytes, expected at most {LONG_BYTES}")
        self.append(int.from_bytes(self.read(n_bytes), "little", signed=True))

    def load_long1(self) -> None:
        """LONG1."""
        self._append_long(self.read(1)[0])

    def load_long4(self) -> None:
        """LONG4."""
        self._append_long(struct.unpack("<i", self.read(4))[0])

    def load_long(self) -> None:
        """LONG, in decimal digits."""
        digits = self.readline()[:-1].rstrip(b"L")
        if len(digits) > 2 * LONG_BYTES:
            raise ValueError(f"a whole number of {len(digits)} digits")
        self.append(int(digits))

    def load_bytearray8(self) -> None:
        """BYTEARRAY8."""
        (n_bytes,) = struct.unpack("<Q", self.read(8))
        if n_bytes > self.size:
            raise ValueError(f"{n_bytes} bytes, but the file has {self.size}")
        self.append(self.read(n_bytes))

    dispatch = {opcode[0]: _Unpickler.dispatch[opcode[0]] for opcode in PLAIN_OPCODES} | {
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.DICT[0]: load_dict,
        pickle.BUILD[0]: load_build,
        pickle.LONG[0]: load_long,
        pickle.LONG1[0]: load_long1,
        pickle.LONG4[0]: load_long4,
        pickle.BYTEARRAY8[0]: load_bytearray8,
    }
