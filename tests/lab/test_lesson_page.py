"""The guided path in the browser: each step opens its page, hides its answer, and is a link of its own."""

from __future__ import annotations

import pytest

from .test_scores_page import wait_for

N_STEPS = 31


def test_every_step_is_reached_by_next_and_shows_its_answer_when_asked(lab_address, open_page):
    page = open_page(f"{lab_address}/#/scores")
    page.get_by_role("link", name="Lecture, step by step").click()
    lesson = page.get_by_role("region", name="The lecture, step by step")
    for n in range(1, N_STEPS + 1):
        lesson.get_by_text(f"{n} of {N_STEPS}", exact=True).wait_for()
        page.wait_for_function(f"() => location.hash.endsWith('step={n}')")
        page.locator("main h1").first.wait_for()
        assert page.locator("main .error").count() == 0
        answer = lesson.locator(".lesson-answer")
        assert answer.inner_text() == ""
        lesson.get_by_placeholder("Your prediction").fill(f"a guess {n}")
        lesson.get_by_role("button", name="Show the answer").click()
        assert len(answer.inner_text()) > 20
        if n < N_STEPS:
            lesson.get_by_role("button", name="Next step").click()
    assert lesson.get_by_role("button", name="Next step").is_disabled()
    lesson.get_by_role("button", name="Previous step").click()
    lesson.get_by_text(f"{N_STEPS - 1} of {N_STEPS}", exact=True).wait_for()
    assert lesson.get_by_placeholder("Your prediction").input_value() == f"a guess {N_STEPS - 1}"
    lesson.get_by_role("button", name="Close").click()
    assert lesson.count() == 0
    assert "step" not in page.url


@pytest.mark.parametrize(
    ("title", "shown", "words"),
    [
        ("The multiclass SVM loss: the cat", {"hinge": 2.9}, "= 2.9"),
        ("The multiclass SVM loss: the car and the frog", {"hinge": 12.9, "mean-hinge": 5.267}, "5.27"),
        ("Question 3: W is small", {"hinge": 2.0}, "2 here"),
        ("The softmax classifier", {"softmax": 2.0404}, "2.04"),
        ("The same picture, both losses", {"hinge": 1.58, "softmax": 1.04}, "= 1.58. Softmax gives"),
        ("Likelihood, Kullback-Leibler divergence, cross-entropy", {"cross-entropy": 2.0404, "entropy": 0.0}, "2.04"),
        ("Softmax, question 2: all scores are equal", {"softmax": 1.0986}, "1.10"),
        ("Softmax against SVM: jiggle the scores", {"hinge": 0.0}, "stays 0"),
    ],
)
def test_the_numbers_of_an_answer_are_those_of_the_page(lab_address, open_page, title, shown, words):
    page = open_page(f"{lab_address}/#/scores?step=1")
    lesson = page.get_by_role("region", name="The lecture, step by step")
    chosen = lesson.get_by_label("Step", exact=True)
    number = next(option for option in chosen.locator("option").all_inner_texts() if option.endswith(title))
    chosen.select_option(label=number)
    for name, value in shown.items():
        wait_for(page, name, value, 3e-3)
    lesson.get_by_role("button", name="Show the answer").click()
    assert words in lesson.locator(".lesson-answer").inner_text()


def test_a_step_begins_anew_and_its_link_keeps_what_was_changed(lab_address, open_page):
    page = open_page(f"{lab_address}/#/scores?i=2&step=7")
    wait_for(page, "hinge", 12.9)
    page.get_by_role("button", name="image 2: car").click()
    wait_for(page, "hinge", 0)
    page.wait_for_function("() => location.hash.endsWith('?i=1&step=7')")
    changed = page.url
    page.get_by_role("button", name="Start over").click()
    wait_for(page, "hinge", 12.9)
    other = open_page(changed)
    other.get_by_text(f"7 of {N_STEPS}", exact=True).wait_for()
    wait_for(other, "hinge", 0)


@pytest.mark.parametrize("secure", [True, False])
def test_the_link_is_copied_with_or_without_a_clipboard(lab_address, open_page, secure):
    page = open_page(f"{lab_address}/#/scores?i=2&step=7")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    if not secure:  # as a page has it that was opened over the network, without encryption
        page.evaluate("() => Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.get_by_role("button", name="Copy the link").click()
    page.get_by_text("copied", exact=True).wait_for()
    if secure:
        assert page.evaluate("() => navigator.clipboard.readText()") == page.url


def test_the_path_fits_a_telephone(lab_address, open_page):
    page = open_page(f"{lab_address}/#/scores?i=2&step=7")
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("button", name="Show the answer").click()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
