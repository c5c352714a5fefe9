"""What names of folders, files and arrays mean: splits, and classes that a person cannot tell apart."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from linprobe.plain import few, printable

__all__ = [
    "SPLITS",
    "alike_note",
    "missing_note",
    "seen_name",
    "shared_words",
    "split_named",
    "split_word",
    "splits_named",
    "words_of",
]

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "holdout": "test",
}
"""Names of folders, files and arrays, case-insensitive, and the split of each."""

FILLERS = frozenset(
    ["set", "sets", "data", "dataset", "image", "images", "img", "imgs", "photos", "pictures", "folder", "split"]
)
"""Words that say nothing beside the name of a split, as in `training_set` and `images-test`."""

UNSEEN = re.compile("[\u00ad\u200b\u2060\ufeff]")
"""Characters of no width that no script needs: the soft hyphen, the zero-width space, the joiner, the mark of order."""


def split_named(name: str, ignored: frozenset[str] = frozenset()) -> str | None:
    """The split that a folder is named after, or None.

    Args:
        name: of the folder.
        ignored: words that do not count, besides `FILLERS`; in lower case.
    Example:
        >>> [split_named(name) for name in ("Training_Set", "testset", "val images", "test_tube")]
        ['train', 'test', 'validation', None]
    """
    told = words_of(name) - FILLERS - ignored
    return SPLITS.get(next(iter(told))) if len(told) == 1 else None


def splits_named(names: Collection[str]) -> Mapping[str, str]:
    """The split of each name that is named after one; words that all names share do not count.

    Example:
        >>> dict(splits_named(["train2017", "val2017"]))
        {'train2017': 'train', 'val2017': 'validation'}
    """
    shared = shared_words(names)
    return {name: split for name in names if (split := split_named(name, shared)) is not None}


def split_word(name: str) -> str | None:
    """The split of a file of data whose name holds the word of one split among others; None for no or two splits.

    Example:
        >>> split_word("embeddings-train-00000-of-00002"), split_word("train_and_test"), split_word("vectors")
        ('train', None, None)
    """
    found = {SPLITS[word] for word in words_of(name) if word in SPLITS}
    return found.pop() if len(found) == 1 else None


def shared_words(names: Collection[str]) -> frozenset[str]:
    """The words that all of several names have."""
    return frozenset.intersection(*map(words_of, names)) if len(names) > 1 else frozenset()


def seen_name(name: str) -> str:
    """What a person sees of the name of a class: composed letters (NFC), plain blanks, none around, no unseen mark.

    macOS writes the letters of file names in two parts (NFD). Bytes that are not UTF-8 become escapes.

    Example:
        >>> seen_name("cat "), seen_name("u\\u0308") == "\\xfc", seen_name("New\\u00a0York\\u200b")
        ('cat', True, 'New York')
    """
    composed = UNSEEN.sub("", unicodedata.normalize("NFC", name))
    plain = "".join(" " if unicodedata.category(letter) == "Zs" else letter for letter in composed)
    return printable(plain.strip() or name)


def words_of(name: str) -> frozenset[str]:
    """The words and numbers of a name, in lower case: of "Seg-Train" {"seg", "train"}, of "testset2" {"test", "set",
    "2"}."""
    apart = re.sub(r"(set|data|images)(?=\d*$)", r" \1", name.lower())
    return frozenset(re.findall(r"[^\W\d_]+|\d+", apart))


MISSING = frozenset(["", "nan"])
"""Names of classes, in lower case, that programs write where a label is missing."""


def missing_note(class_names: Iterable[str]) -> str | None:
    """A sentence on a class that has the name of a missing label; None where there is none."""
    found = [name for name in class_names if name.strip().casefold() in MISSING]
    if not found:
        return None
    return (
        f"the class {found[0]!r} has the name that programs write for a missing label. If it is one, leave these rows "
        "out."
    )


def alike_note(class_names: Iterable[str]) -> str | None:
    """A sentence on classes whose names differ in what is easily overlooked; None where there are none."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in class_names:
        alike[seen_name(name).casefold()].append(name)
    pairs = [" and ".join(map(ascii, names)) for names in alike.values() if len(names) > 1]
    if not pairs:
        return None
    return (
        f"the classes {few(pairs, 4)} differ in capital letters or unseen characters only, and are two. "
        "If they are the same, give both the same name."
    )
