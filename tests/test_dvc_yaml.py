"""dvc.yaml names what each stage imports, reads and writes: DVC itself does not look."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mnist_pipeline.cli.main import COMMANDS
from mnist_pipeline.core.yaml import read_yaml
from mnist_pipeline.params.overrides import RESULT_SECTIONS
from mnist_pipeline.params.schema import known_keys
from mnist_pipeline.provenance import paths
from tests.conftest import ROOT

PIPELINE = read_yaml(ROOT / "dvc.yaml")
STAGES: dict[str, Any] = PIPELINE["stages"]
SOURCE = ROOT / "src"
ROOM = "src/mnist_pipeline/"

# What a stage has no use for; each costs a tenth of a second to some seconds at every start.
UNUSED = {
    "check": ("torch", "pandas", "sklearn", "scipy", "matplotlib", "numpy", "requests"),
    "fetch": ("torch", "pandas", "sklearn", "scipy", "matplotlib"),
    "validate": ("torch", "pandas", "sklearn", "requests"),
    "check_data": ("torch", "pandas", "sklearn", "scipy", "matplotlib", "numpy", "requests"),
    "audit": ("requests", "onnx", "onnxruntime"),
    "train": ("sklearn", "scipy", "pandas", "matplotlib", "requests", "onnx", "onnxruntime"),
    "evaluate": ("sklearn", "scipy", "matplotlib", "requests"),
    "card": ("torch", "pandas", "sklearn", "scipy", "matplotlib", "requests"),
    "plot": ("torch", "sklearn", "scipy", "requests"),
}


def declared(stage: str, kind: str) -> set[str]:
    """Paths or params that a stage declares under deps, outs, metrics, plots or params."""
    return {entry if isinstance(entry, str) else next(iter(entry)) for entry in STAGES[stage].get(kind, [])}


def declared_rooms(stage: str) -> set[str]:
    return {path.removeprefix(ROOM) for path in declared(stage, "deps") if path.startswith(ROOM)}


def flag_values(stage: str) -> dict[str, str]:
    """The flags of a stage's command with their values."""
    words = shlex.split(STAGES[stage]["cmd"])[3:]
    return {flag.removeprefix("--"): value for flag, value in zip(words[::2], words[1::2], strict=True)}


def flag_texts(stage: str) -> dict[str, str]:
    """The flags that a stage's script knows, with their help."""
    for node in ast.parse((ROOT / "stages" / f"{stage}.py").read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FLAGS":
            texts: dict[str, str] = ast.literal_eval(node.value)
            return texts
    raise AssertionError(f"{stage} has no FLAGS")


@cache
def imported_names(code: str) -> set[str]:
    """The modules, and perhaps modules, that code imports when it runs, in functions too."""
    tree = ast.parse(code)
    only_for_types = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and node not in only_for_types:
            names |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node not in only_for_types:
            names |= {f"{node.module}", *(f"{node.module}.{each.name}" for each in node.names)}
    return names


def imports_of(file: Path, source: Path) -> set[Path]:
    """The package's files that a file imports when it runs, in functions too."""
    names = imported_names(file.read_text("utf-8"))
    files = (source.joinpath(*name.split(".")).with_suffix(".py") for name in names)
    return {path for path in files if path.is_file()}


def imported_modules(script: Path, source: Path) -> set[Path]:
    """The package's files that a script imports, directly or not."""
    found: set[Path] = set()
    pending = [script]
    while pending:
        new = imports_of(pending.pop(), source) - found
        found |= new
        pending += new
    return found


def imported_rooms(script: Path, source: Path = SOURCE) -> set[str]:
    return {path.parent.relative_to(source / "mnist_pipeline").parts[0] for path in imported_modules(script, source)}


def check_rooms(stage: str, script: Path, rooms: set[str], source: Path = SOURCE) -> None:
    """Raise an AssertionError if a stage does not depend on a room that it imports, or trains for nothing."""
    imported = imported_rooms(script, source)
    assert imported <= rooms, f"{stage} imports {imported - rooms}: add them to its deps in dvc.yaml"
    assert stage != "train" or imported == rooms, f"train does not import {rooms - imported}, which would retrain"


def test_each_stage_script_is_a_stage() -> None:
    assert {path.stem for path in (ROOT / "stages").glob("*.py")} == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_rooms_that_it_imports(stage: str) -> None:
    check_rooms(stage, ROOT / "stages" / f"{stage}.py", declared_rooms(stage))
    assert {f"stages/{stage}.py", "requirements.lock"} <= declared(stage, "deps")


def test_an_undeclared_room_is_found(tmp_path: Path) -> None:
    """The check above is sharp: in a copy in which training imports a figure, at any depth, it fails."""
    source = tmp_path / "src"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    script = ROOT / "stages" / "train.py"
    module = source / "mnist_pipeline" / "models" / "deskew.py"
    text = module.read_text("utf-8")
    check_rooms("train", script, declared_rooms("train"), source)
    module.write_text(f"{text}\ndef late():\n    from mnist_pipeline.figures import style\n")
    with pytest.raises(AssertionError, match="figures"):
        check_rooms("train", script, declared_rooms("train"), source)
    with pytest.raises(AssertionError, match="would retrain"):
        check_rooms("train", script, declared_rooms("train") | {"figures", "experiments"}, source)


@pytest.mark.slow  # half a minute of imports; the closure above is what a change usually breaks
@pytest.mark.parametrize("stage", STAGES)
def test_what_a_process_loads_is_a_dependency(stage: str) -> None:
    """The closure above reads the source; this asks a process that has imported all that the stage imports."""
    modules = imports_of(ROOT / "stages" / f"{stage}.py", SOURCE)
    names = [".".join(path.relative_to(SOURCE).with_suffix("").parts) for path in modules]
    code = f"import {', '.join(sorted(names))}; import sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    rooms = {name.split(".")[1] for name in loaded if name.startswith("mnist_pipeline.")}
    assert rooms <= declared_rooms(stage)
    assert not {name.partition(".")[0] for name in loaded} & set(UNUSED[stage])


def test_byte_code_and_temporary_files_are_no_change() -> None:
    ignored = (ROOT / ".dvcignore").read_text("utf-8").split()
    assert {"__pycache__/", "*.pyc", ".*.tmp"} <= set(ignored)


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_the_sections_that_the_stage_reads(stage: str) -> None:
    tree = ast.parse((ROOT / "stages" / f"{stage}.py").read_text("utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    whole = {ast.unparse(call.func) for call in calls if "params" in map(ast.unparse, call.args)}
    if "params.yaml" in declared(stage, "deps"):  # the whole file
        assert not declared(stage, "params")
        return
    if whole == {"model_card"}:  # any section may be read
        assert declared(stage, "params") == set(known_keys()[""])
        return
    read = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "params"
    }
    if whole == {"used_settings"}:
        read |= {*RESULT_SECTIONS}
    assert {name.partition(".")[0] for name in declared(stage, "params")} == read
    assert read <= set(known_keys()[""])


def test_every_section_of_params_is_read_by_a_stage() -> None:
    stages = set(STAGES) - {"card"}  # which reads them all
    read = {name.partition(".")[0] for stage in stages for name in declared(stage, "params")}
    assert read == set(known_keys()[""])


@pytest.mark.parametrize("stage", STAGES)
def test_flags_are_the_paths_that_the_stage_declares(stage: str) -> None:
    values, texts = flag_values(stage), flag_texts(stage)
    assert set(values) == set(texts)
    assert stage.startswith("check") or values.pop("params", "params.yaml") == "params.yaml"
    values.pop("scratch", None)
    inputs = {values[name] for name in values if texts[name].startswith("in:")}
    outputs = {values[name] for name in values if texts[name].startswith("out:")}
    assert inputs | outputs == set(values.values())
    own = {"data/own"} if stage == "fetch" else set()  # files that params.yaml may name
    own |= {"models/params_checked"} if stage != "check" else set()  # so that it runs first
    own |= {"models/data_checked"} if stage == "train" else set()  # likewise, before it and all that follow
    code = {path for path in declared(stage, "deps") if path.startswith(ROOM) or path.endswith((".py", ".lock"))}
    assert inputs | own == declared(stage, "deps") - code
    assert outputs == declared(stage, "outs") | declared(stage, "metrics") | declared(stage, "plots")


@pytest.mark.parametrize("stage", STAGES)
def test_command_runs_the_script_with_the_code_of_its_own_folder(stage: str) -> None:
    assert shlex.split(STAGES[stage]["cmd"])[:3] == ["PYTHONPATH=src", "python", f"stages/{stage}.py"]
    assert len(STAGES[stage]["desc"]) > 20


@pytest.mark.parametrize("stage", STAGES)
def test_small_results_stay_in_git_and_keep_the_run_cache(stage: str) -> None:
    """A plain output out of the cache, or a persistent one, would switch the run cache off."""
    for kind in ("metrics", "plots"):
        for entry in STAGES[stage].get(kind, []):
            ((path, settings),) = entry.items()
            assert path.startswith("metrics/")
            assert settings["cache"] is False
    outs = STAGES[stage].get("outs", [])
    if stage == "card":  # text for people to read, and no work to do again
        assert outs == [{flag_values("card")["card"]: {"cache": False}}]
    else:
        assert all(isinstance(entry, str) for entry in outs)


def test_only_evaluate_reads_the_test_arrays_and_the_audit_on_which_nothing_depends() -> None:
    arrays = flag_values("validate")["test"]
    assert {stage for stage in STAGES if arrays in declared(stage, "deps")} == {"audit", "evaluate"}
    audited = {path for kind in ("outs", "metrics", "plots") for path in declared("audit", kind)}
    assert audited
    assert not any(audited & declared(stage, "deps") for stage in STAGES)


def test_paths_stand_in_dvc_yaml_alone() -> None:
    """No path of the pipeline is written a second time, in Python."""
    package = SOURCE / "mnist_pipeline"
    every = {path for stage in STAGES for kind in ("outs", "metrics", "plots") for path in declared(stage, kind)}
    checked_below = {package / "provenance" / "paths.py", package / "provenance" / "plots_page.py"}
    sources = {*package.rglob("*.py"), *(ROOT / "stages").glob("*.py")} - checked_below
    assert [(path, source.name) for path in every for source in sources if path in source.read_text("utf-8")] == []


def test_commands_find_what_stages_write() -> None:
    train, evaluate = flag_values("train"), flag_values("evaluate")
    assert (train["model"], train["steps"], train["details"]) == (paths.MODEL, paths.STEPS, paths.TRAIN_DETAILS)
    assert (evaluate["predictions"], evaluate["details"]) == (paths.PREDICTIONS, paths.TEST_DETAILS)
    assert (train["train"], evaluate["test"], train["params"]) == (paths.TRAIN_ARRAYS, paths.TEST_ARRAYS, paths.PARAMS)


def test_plots_read_files_and_columns_that_exist() -> None:
    wanted = [
        (path, settings)
        for stage in STAGES.values()
        for entry in stage.get("plots", [])
        for path, settings in entry.items()
    ]
    tables = [(path, {settings["x"], settings["y"]}) for path, settings in wanted if path.endswith(".csv")]
    for plot in PIPELINE["plots"]:
        ((title, settings),) = plot.items()
        if settings is None:  # a picture
            assert (ROOT / title).read_bytes().startswith(b"\x89PNG")
        else:
            tables += [(path, {settings["x"], *columns}) for path, columns in settings["y"].items()]
    for path, columns in tables:
        assert columns <= set((ROOT / path).read_text("utf-8").splitlines()[0].split(",")), path


def test_the_model_in_both_forms_and_its_card_are_artifacts() -> None:
    artifacts = {name: artifact["path"] for name, artifact in PIPELINE["artifacts"].items()}
    assert artifacts["classifier"] == flag_values("train")["model"]
    assert artifacts["classifier-onnx"] == flag_values("evaluate")["onnx"]
    assert artifacts["model-card"] == flag_values("card")["card"]


def test_rooms_are_small_and_the_package_imports_no_stage() -> None:
    package = SOURCE / "mnist_pipeline"
    assert [path.name for path in package.glob("*.py")] == ["__init__.py"]
    names = "|".join(STAGES)
    for room in (path for path in package.iterdir() if path.is_dir() and path.name != "__pycache__"):
        files = list(room.rglob("*.py"))
        most = len(COMMANDS) + 2 if room.name == "cli" else 11  # with __init__.py; cli: one for each command
        assert len(files) <= most, f"{room.name} has {len(files)} files"
        for path in files:
            text = path.read_text("utf-8")
            assert text.count("\n") <= 250, f"{path} has over 250 lines"
            assert not re.search(rf"^\s*(from|import) (stages|({names})\b)", text, re.MULTILINE)
    for script in (ROOT / "stages").glob("*.py"):
        assert "mnist_pipeline.cli" not in script.read_text("utf-8")
