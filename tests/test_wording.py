"""Every sentence that a status or an error has for Python, in the words of the command line and of the pages."""

from __future__ import annotations

import re

import pytest

from linprobe.optimizers.base import Status
from linprobe.wording import PARAMETERS, in_options, in_words

OF_PYTHON = re.compile(r"\w=['\w]|\b[a-z]+_[a-z]+\b|callback")
"""What only Python reads: an argument with its value, a name with an underscore."""


@pytest.mark.parametrize("status", Status)
def test_no_status_speaks_python_at_another_door(status):
    assert not OF_PYTHON.search(in_options(status.value))
    assert not OF_PYTHON.search(in_options(status.value, swept=True))
    assert not OF_PYTHON.search(in_words(status.value))
    assert "--" not in in_words(status.value)


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (
            "patience = 5 requires optimizer='sgd'. Set patience=None, or optimizer='sgd'.",
            "patience = 5 requires --optimizer sgd. Set no --patience, or --optimizer sgd.",
            "patience = 5 requires the optimizer sgd. Set no patience, or the optimizer sgd.",
        ),
        (
            "hold some out (validation_fraction=0.1), or use penalty='elastic-net'.",
            "hold some out (--validation 0.1), or use --penalty elastic-net.",
            "hold some out (the validation share 0.1), or use the penalty elastic-net.",
        ),
        (
            "raise max_iter, loosen tol, or increase reg",
            "raise --max-iter, loosen --tol, or increase --reg",
            "raise the number of iterations, loosen tol, or increase reg",
        ),
    ],
)
def test_parameters_are_written_as_options_or_as_plain_words(text, options, words):
    assert (in_options(text), in_words(text)) == (options, words)


@pytest.mark.parametrize(
    "text",
    [
        "runs/max_iter/image_size.json: no such file",
        "the optimizer of a loss with a penalty",
        "reg = -1; expected >= 0.",
        "my_max_iter, max_iter.csv and x/learning_rate",
        "class 'loss=hinge.png' is empty",
    ],
)
def test_paths_and_words_of_english_stay_as_they_are(text):
    assert in_options(text) == in_words(text) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hog needs pictures. Use --features pixels.", "hog needs pictures. Use features pixels."),
        ("Leave --flips out.", "Leave flips out."),
        ("resize all with --image-size 8x8.", "resize all with the size of the pictures 8x8."),
        ("resume it with: linprobe train --resume runs/x", "resume it with: linprobe train --resume runs/x"),
        ("expected a name--with-dashes, or `--json`", "expected a name--with-dashes, or `--json`"),
    ],
)
def test_options_of_the_command_line_are_plain_words_on_a_page(text, words):
    assert in_words(text) == words


def test_every_option_is_one_of_the_command_line():
    from linprobe.cli.sweep import sweep
    from linprobe.cli.train import train

    known = {name for command in (train, sweep) for parameter in command.params for name in parameter.opts}
    assert {option for option, _ in PARAMETERS.values()} <= known
