"""The house keeps its plan: who may import whom, where heavy libraries may be loaded, what stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import linprobe
from linprobe.losses import LOSSES
from linprobe.penalties import PENALTIES

PACKAGE = Path(linprobe.__file__).parent
MODULES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

GROUND = ("cores", "errors", "extras", "files", "parameters", "plain", "printed", "shapes", "typed_json", "wording")
THE_FIT = {
    "data",
    "losses",
    "penalties",
    "features",
    "scores",
    "engines.base",
    "neighbors",
    "objective",
    "gradcheck",
    "certificate",
    "optimizers",
}
MAY_IMPORT: dict[str, set[str]] = {
    "cores": set(),
    "extras": set(),
    "files": set(),
    "plain": set(),
    "errors": {"plain"},
    "printed": set(),
    "wording": set(),
    "shapes": {"errors"},
    "parameters": {"errors", "shapes"},
    "typed_json": {"errors"},
    "_core": set(),
    "data": set(),
    "losses": set(),
    "penalties": set(),
    "features": {"_core"},
    "scores": set(),
    "blas": {"_core"},
    "algebra": {"_core"},
    "engines": {"_core", "blas", "algebra", "losses.base", "features.base"},
    "neighbors": {"_core", "blas", "engines.base"},
    "equivalents": {"losses.base", "penalties.base"},
    "statistics": {"engines.base"},
    "objective": {"losses", "penalties", "features.base", "engines.base", "equivalents", "statistics"},
    "gradcheck": {"objective", "losses.base", "penalties.base"},
    "certificate": {"objective", "algebra"},
    "optimizers": {"objective", "certificate", "algebra", "engines.base"},
    "classifiers": THE_FIT,
    "challenges": {"data"},
    "choices": THE_FIT | {"challenges"},
    "explain": THE_FIT | {"classifiers"},
    "runs": THE_FIT | {"classifiers", "challenges"},
    "report": THE_FIT | {"classifiers", "challenges", "choices", "explain", "runs"},
    "lab": THE_FIT | {"classifiers", "challenges", "choices", "explain", "runs"},
    "assignments": {"losses"},
    "cli": THE_FIT | {"classifiers", "challenges", "choices", "runs", "report", "lab", "assignments"},
    "__main__": {"cli"},
}
"""A room, and what it may import: rooms, or single modules of a room. Each room may import itself, and each one below
`GROUND` may import the ground. The table of docs/architecture.md says the same, in the same order."""

HEAVY = {
    "sklearn": {
        "classifiers.linear",
        "classifiers.linear_cv",
        "classifiers.model",
        "classifiers.nearest_neighbors",
        "data.digits",
        "features.transformers",
    },
    "scipy": {
        "algebra.reference",
        "blas",
        "optimizers.hinge_program",
        "optimizers.interior_features",
        "optimizers.interior_system",
        "optimizers.preconditioner",
        "optimizers.normal_equations",
        "optimizers.span",
    },
    "torch": {"features.net_layers", "features.net_training"},
    "pandas": set(),
    "polars": set(),
    "matplotlib": {"explain"},
    "jinja2": {"report"},
    "markupsafe": {"report"},
    "segno": {"lab.qr"},
    "starlette": {"lab"},
    "uvicorn": {"lab"},
    "websockets": {"lab"},
    "pyarrow": {"data.parquet"},
    "PIL": {"data", "features.onnx", "challenges.sheet", "lab.uploads"},
    "onnx": {"features.onnx"},
    "onnxruntime": {"features.onnx"},
    "simplejpeg": {"data"},
    "click": {"cli"},
    "rich": {"cli"},
}
"""A library that takes long to import, and the rooms or modules that may name it."""


def imports(path: Path) -> list[ast.Import | ast.ImportFrom]:
    """Every import statement of a file, those inside functions included."""
    return [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Import | ast.ImportFrom)]


def imported_modules(path: Path) -> set[str]:
    """Modules of linprobe that a file names, without the leading `linprobe.`: 'losses.base', 'shapes', ..."""
    found: set[str] = set()
    for node in imports(path):
        if isinstance(node, ast.ImportFrom) and node.module == "linprobe":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("linprobe."):
            found.add(node.module.removeprefix("linprobe."))
        elif isinstance(node, ast.Import):
            found |= {a.name.removeprefix("linprobe.") for a in node.names if a.name.startswith("linprobe.")}
    return found


def allowed_to(room: str) -> set[str]:
    """What the modules of a room may import."""
    return MAY_IMPORT[room] | {room} | (set() if room in GROUND else set(GROUND))


def table_of_the_page() -> dict[str, set[str]]:
    """The first table of docs/architecture.md: each room, and what its last cell lists."""
    page = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text()
    groups = {"nothing": set(), "the fit": THE_FIT}
    table: dict[str, set[str]] = {}
    for line in page[page.index("| room | what it makes | may import |") :].splitlines()[2:]:
        if not line:
            break
        room, _, names = (cell.strip() for cell in line.strip("|").split("|"))
        listed = [name.strip("` ") for name in names.split(",")]
        table[room.strip("`")] = set().union(*(groups.get(name, {name}) for name in listed))
    return table


def covers(allowed: set[str], module: str) -> bool:
    """Whether `module` is one of `allowed`, or lies in a room that is."""
    return any(module == name or module.startswith(name + ".") for name in allowed)


def in_fresh_python(code: str) -> str:
    """What `code` prints in a new interpreter."""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("module", [name for name in MODULES if name != "__init__"])
def test_a_room_imports_only_the_rooms_below_it(module: str) -> None:
    room = module.split(".")[0]
    assert room in MAY_IMPORT, f"{room} is a new room: give it a line in MAY_IMPORT and in docs/architecture.md"
    forbidden = {m for m in imported_modules(MODULES[module]) if not covers(allowed_to(room), m)}
    assert not forbidden, f"{module} imports {sorted(forbidden)}, which {room} may not"


def test_the_page_holds_the_table_of_this_test() -> None:
    table = table_of_the_page()
    assert table == MAY_IMPORT
    assert list(table) == list(MAY_IMPORT)


def test_the_page_names_the_groups_of_this_test() -> None:
    page = " ".join((Path(__file__).parents[1] / "docs" / "architecture.md").read_text().split())
    for name, rooms in (("The ground", set(GROUND)), ("The fit", THE_FIT)):
        listed = page.split(f"- {name}: ", 1)[1].split(". ", 1)[0]
        assert {room.strip("` ") for room in listed.replace(" and ", ", ").split(",")} == rooms


def test_a_room_may_import_only_rooms_of_earlier_lines() -> None:
    order = list(MAY_IMPORT)
    for position, room in enumerate(order):
        later = {name.split(".")[0] for name in MAY_IMPORT[room]} - set(order[:position])
        assert not later, f"{room} may import {sorted(later)}, which have no earlier line in the table"


@pytest.mark.parametrize("room", [room for room in MAY_IMPORT if room not in GROUND])
def test_what_a_room_may_import_is_imported(room: str) -> None:
    """A line of the table is true in both directions; the rooms of the fit are allowed as a whole."""
    imported = set().union(*(imported_modules(MODULES[name]) for name in MODULES if name.split(".")[0] == room))
    listed = MAY_IMPORT[room] - (THE_FIT if MAY_IMPORT[room] >= THE_FIT else set())
    unused = {name for name in listed if not any(covers({name}, module) for module in imported)}
    assert not unused, f"{room} does not import {sorted(unused)}: take them out of its line"


@pytest.mark.parametrize("module", MODULES)
def test_imports_are_absolute(module: str) -> None:
    relative = [n.lineno for n in imports(MODULES[module]) if isinstance(n, ast.ImportFrom) and n.level]
    assert not relative, f"{module}: relative imports on lines {relative}"


@pytest.mark.parametrize("module", MODULES)
def test_heavy_libraries_are_imported_only_where_they_are_needed(module: str) -> None:
    for node in imports(MODULES[module]):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        for library in {name.split(".")[0] for name in names} & HEAVY.keys():
            assert covers(HEAVY[library], module), f"{module}, line {node.lineno}: {library} may not be imported here"


def test_only_the_objective_makes_examples() -> None:
    """Scores need rows alone: whoever made an `Examples` for them would have to invent labels."""
    makes = {
        name
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Examples"
    }
    assert makes == {"objective"}


def test_no_room_is_empty_and_every_room_has_its_init() -> None:
    for folder in (
        path for path in PACKAGE.rglob("*") if path.is_dir() and path.name not in ("native", "page", "__pycache__")
    ):
        files = {path.name for path in folder.glob("*.py")}
        assert "__init__.py" in files, f"{folder.name} has no __init__.py"
        assert len(files) > 1, f"{folder.name} holds nothing but __init__.py"


def test_every_room_of_the_plan_exists() -> None:
    assert {name.split(".")[0] for name in MODULES} - {"__init__"} | {"_core"} == MAY_IMPORT.keys()


def test_every_room_with_code_has_tests() -> None:
    tests = Path(__file__).parent
    for room in MAY_IMPORT.keys() - {"errors", "shapes", "_core"}:
        found = list(tests.glob(f"{room}/test_*.py")) + list(tests.glob(f"test_{room}.py"))
        assert found, f"{room} has no tests under tests/{room} or tests/test_{room}.py"


def test_importing_linprobe_loads_nothing_heavy() -> None:
    code = "import sys, linprobe; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    assert not {"numpy", "sklearn", "scipy", "torch", "PIL", "rich", "click"} & set(in_fresh_python(code).split())


def test_objective_and_gradcheck_work_without_scikit_learn() -> None:
    code = "import sys, linprobe as l; l.Objective, l.gradcheck, l.losses, l.penalties; print(*sys.modules)"
    assert not {"sklearn", "scipy", "torch"} & set(in_fresh_python(code).split())


def test_the_features_load_nothing_heavy_before_they_are_used() -> None:
    code = "import sys; from linprobe.features import feature_map; feature_map('hog+color'); print(*sys.modules)"
    assert not {"sklearn", "scipy", "PIL", "onnx", "onnxruntime"} & set(in_fresh_python(code).split())


def test_the_command_line_trains_without_scikit_learn(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 4))
    np.savez(tmp_path / "rows.npz", X=rows, y=(rows[:, 0] > 0).astype(np.int64))
    train = ["train", str(tmp_path / "rows.npz"), "--out", str(tmp_path / "run")]
    code = f"import sys; from linprobe.cli import main; main({train}, standalone_mode=False); print(*sys.modules)"
    assert not {"sklearn", "pandas"} & set(in_fresh_python(code).split())
    assert (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize("name", linprobe.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(linprobe, name) is not None
    assert name in dir(linprobe)


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = linprobe.no_such_name  # type: ignore[attr-defined]


def recognised_by_name(path: Path) -> list[str]:
    """Lines that ask for a concrete loss or penalty: by `isinstance`, or by comparing a name with that of one."""
    classes = {kind.__name__ for kind in (*LOSSES.values(), *PENALTIES.values()) if isinstance(kind, type)}
    names = {*LOSSES, *PENALTIES} - {"none"}  # no penalty is None, in a record "none"
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
            named = {each.id for each in ast.walk(node.args[1]) if isinstance(each, ast.Name)}
            found += [f"{path.name}:{node.lineno}"] if named & classes else []
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            of_a_choice = any(getattr(side, "attr", "") in ("name", "loss", "penalty") for side in sides)
            fixed = {each.value for side in sides for each in ast.walk(side) if isinstance(each, ast.Constant)}
            found += [f"{path.name}:{node.lineno}"] if of_a_choice and fixed & names else []
    return found


def test_a_loss_or_penalty_is_recognised_by_what_it_declares():
    for module, path in MODULES.items():
        if module.split(".")[0] not in ("losses", "penalties"):
            assert recognised_by_name(path) == [], module
