"""Sentences for Python in the words of the other doors: options for the command line, plain words for pages.

The statuses and errors of the library name parameters as Python takes them. Each door shows them through a function
of this module, so that a sentence is written once and its advice can be followed at every door.
"""

from __future__ import annotations

import re

__all__ = ["in_options", "in_words"]

PARAMETERS = {
    "batch_size": ("--batch-size", "the batch size"),
    "class_weight": ("--class-weight", "the class weights"),
    "image_size": ("--image-size", "the size of the pictures"),
    "learning_rate": ("--learning-rate", "the learning rate"),
    "loss": ("--loss", "the loss"),
    "max_iter": ("--max-iter", "the number of iterations"),
    "on_bad_image": ("--on-bad-image", "the handling of broken pictures"),
    "optimizer": ("--optimizer", "the optimizer"),
    "patience": ("--patience", "a patience"),
    "penalty": ("--penalty", "the penalty"),
    "pooling": ("--pooling", "the pooling"),
    "preprocess": ("--preprocess", "the preprocessing"),
    "reg": ("--reg", "reg"),
    "tol": ("--tol", "tol"),
    "validation_fraction": ("--validation", "the validation share"),
}
"""Parameters of a classifier that sentences name: their option, and what a page calls them."""

_NAMED = "|".join(name for name in PARAMETERS if "_" in name)
_ASSIGNED = "|".join(PARAMETERS)
_PHRASES = {"loosen tol": "loosen --tol", "increase reg": "increase --reg", "with reg >": "with --reg >"}
"""Phrases of statuses in which a parameter is a word of English, and the same with its option."""

_FOUND = re.compile(
    rf"(?<![\w./-])(?:({_ASSIGNED})=(?:'([\w-]+)'|(None|[\d.e-]*\d))"
    rf"|({_NAMED})(?![\w./=:-]| = | is )|({'|'.join(_PHRASES)}))"
)
"""A parameter with a value, the name of one that is no word of English, or a phrase of a status; no part of a path,
and no subject of "batch_size = 0" or "batch_size is 0"."""


_OPTION = re.compile(r"(?<![\w`-])--([a-z]+(?:-[a-z]+)*)")
_COMMAND = re.compile(r"\blinprobe [a-z]")
_OF_OPTION = {option.removeprefix("--"): words for option, words in PARAMETERS.values()}
"""What a page calls an option, by its name without dashes."""


def in_options(text: str, swept: bool = False) -> str:
    """A sentence for Python with its parameters as options, those of `sweep` or of `train`.

    Example:
        >>> in_options("lower learning_rate or use learning_rate='auto'")
        'lower --learning-rate or use --learning-rate auto'
    """

    def option(found: re.Match[str]) -> str:
        assigned, word, number, name, phrase = found.groups()
        if phrase:
            return _PHRASES[phrase]
        written = PARAMETERS[assigned or name][0]
        if number == "None":
            return f"no {written}"
        return " ".join(filter(None, (written, word, number)))

    if swept:
        text = text.replace("increase reg", "leave the smallest values of --reg-grid out")
        text = text.replace("lower learning_rate or use learning_rate='auto'", "lower --learning-rate-grid")
    return _FOUND.sub(option, text)


def in_words(text: str) -> str:
    """A sentence for Python, or for the command line, in plain words: for a reader who has controls in place of both.

    Options of a command that is written out, as in "linprobe report RUN --out X", stay as they are.

    Example:
        >>> in_words("lower learning_rate or use learning_rate='auto'")
        'lower the learning rate or let it be chosen automatically'
    """
    text = text.replace("or use learning_rate='auto'", "or let it be chosen automatically")

    def plain(found: re.Match[str]) -> str:
        assigned, word, number, name, phrase = found.groups()
        if phrase:
            return phrase
        written = PARAMETERS[assigned or name][1]
        if number == "None":
            return f"no {written.partition(' ')[2] or written}"
        return " ".join(filter(None, (written, word, number)))

    def without_dashes(found: re.Match[str]) -> str:
        if _COMMAND.search(text, 0, found.start()):
            return found[0]
        return _OF_OPTION.get(found[1], found[1].replace("-", " "))

    return _FOUND.sub(plain, _OPTION.sub(without_dashes, text))
