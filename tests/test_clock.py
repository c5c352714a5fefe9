"""No property test fails because the machine is busy."""

from __future__ import annotations

import ast
from pathlib import Path

from hypothesis import HealthCheck, settings


def test_no_property_test_has_a_deadline_by_the_clock():
    assert settings().deadline is None
    assert HealthCheck.too_slow in settings().suppress_health_check
    for path in Path(__file__).parent.rglob("test_*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or getattr(call.func, "id", "") != "settings":
                continue
            given = {word.arg: ast.unparse(word.value) for word in call.keywords}
            assert "deadline" not in given, path
            assert "too_slow" in given.get("suppress_health_check", "too_slow"), path
