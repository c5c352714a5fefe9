"""docs/challenges.md says what the code does."""

from __future__ import annotations

from pathlib import Path

from linprobe.challenges import CHALLENGES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "challenges.md"


def test_the_page_has_the_amounts_of_every_kind() -> None:
    lines = PAGE.read_text().splitlines()
    for challenge in CHALLENGES:
        for kind in challenge.kinds:
            amounts = " | ".join(f"{amount:g}" for amount in kind.amounts)
            assert f"| {challenge.name} | {kind.name} | {amounts} | {kind.unit} |" in lines
