"""dvc.yaml names what each stage really imports, reads and writes: DVC itself does not look."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mnist_pipeline.provenance import paths
from mnist_pipeline.params.schema import known_keys
from tests.conftest import ROOT

PIPELINE: Any = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))
STAGES: dict[str, Any] = PIPELINE["stages"]
PACKAGE = ROOT / "src" / "mnist_pipeline"

# What a stage has no use for; each costs a tenth of a second to some seconds at every start. (Pandas comes along
# with scikit-learn, which imports it for itself.)
UNUSED = {
    "fetch": ("torch", "pandas", "sklearn", "scipy", "matplotlib", "safetensors"),
    "validate": ("torch", "pandas", "sklearn", "scipy", "requests", "safetensors"),
    "train": ("matplotlib", "requests"),
    "export": ("matplotlib", "requests", "onnxruntime"),
    "evaluate": ("matplotlib", "requests", "onnx"),
    "card": ("torch", "pandas", "sklearn", "scipy", "matplotlib", "requests", "numpy"),
    "plot": ("torch", "sklearn", "scipy", "requests"),
}


def declared(stage: str, kind: str) -> set[str]:
    """Paths or params that a stage declares under deps, outs, metrics, plots or params."""
    return {entry if isinstance(entry, str) else next(iter(entry)) for entry in STAGES[stage].get(kind, [])}


def flags(stage: str) -> dict[str, str]:
    """The flags of a stage's command with their values."""
    words = shlex.split(STAGES[stage]["cmd"])[3:]
    return {flag.removeprefix("--"): value for flag, value in zip(words[::2], words[1::2], strict=True)}


def imported_modules(source: Path) -> set[str]:
    """Names of the package's modules that a file imports when it runs, in functions too."""
    tree = ast.parse(source.read_text("utf-8"))
    only_for_types = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    found = set()
    for node in ast.walk(tree):
        if node in only_for_types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.startswith("mnist_pipeline.") and module_path(name).is_file()}


def module_path(name: str) -> Path:
    return PACKAGE.parent.joinpath(*name.split(".")).with_suffix(".py")


def module_closure(source: Path) -> set[Path]:
    """The package's files that running ``source`` imports, directly or not."""
    found: set[Path] = set()
    pending = [source]
    while pending:
        for path in map(module_path, imported_modules(pending.pop())):
            if path not in found:
                found.add(path)
                pending.append(path)
    return found


def option_names(stage: str) -> dict[str, str]:
    """The flags that a stage's script knows, with their help."""
    tree = ast.parse((ROOT / "stages" / f"{stage}.py").read_text("utf-8"))
    options = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            name = ast.literal_eval(node.args[0])
            text = [ast.literal_eval(keyword.value) for keyword in node.keywords if keyword.arg == "help"]
            options[name.removeprefix("--")] = text[0] if text else ""
    return options


def test_each_stage_script_is_a_stage() -> None:
    assert {path.stem for path in (ROOT / "stages").glob("*.py")} == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_code_dependencies_are_what_the_stage_imports(stage: str) -> None:
    script = ROOT / "stages" / f"{stage}.py"
    imported = {str(path.relative_to(ROOT)) for path in {script} | module_closure(script)}
    named = {path for path in declared(stage, "deps") if path.endswith(".py")}
    assert named == imported


@pytest.mark.parametrize("stage", STAGES)
def test_imports_seen_at_run_time_are_dependencies(stage: str) -> None:
    """The closure above reads the source; this asks a process that has imported all that the stage imports."""
    script = ROOT / "stages" / f"{stage}.py"
    modules = sorted(imported_modules(script))
    code = f"import {', '.join(modules)}; import sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = {str(module_path(name).relative_to(ROOT)) for name in loaded if name.startswith("mnist_pipeline.")}
    files = {path for path in ours if (ROOT / path).is_file()}
    assert files <= declared(stage, "deps")
    assert not {name.partition(".")[0] for name in loaded} & set(UNUSED[stage])


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_depends_on_the_lock_file_of_the_packages(stage: str) -> None:
    assert "requirements.lock" in declared(stage, "deps")


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_the_sections_that_the_stage_reads(stage: str) -> None:
    tree = ast.parse((ROOT / "stages" / f"{stage}.py").read_text("utf-8"))
    arguments = [argument for node in ast.walk(tree) if isinstance(node, ast.Call) for argument in node.args]
    if any(isinstance(each, ast.Name) and each.id == "params" for each in arguments):  # any section may be read
        assert declared(stage, "params") == set(known_keys()[""])
        return
    read = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "params"
    }
    if "form" in read:  # made of these
        read = read - {"form"} | {"csv", "custom", "data"}
    assert {name.partition(".")[0] for name in declared(stage, "params")} == read
    assert read <= set(known_keys()[""])


def test_every_section_of_params_is_read_by_a_stage() -> None:
    stages = set(STAGES) - {"card"}  # which reads them all
    read = {name.partition(".")[0] for stage in stages for name in declared(stage, "params")}
    assert read == set(known_keys()[""])


@pytest.mark.parametrize("stage", STAGES)
def test_flags_are_the_paths_that_the_stage_declares(stage: str) -> None:
    values = flags(stage)
    options = option_names(stage)
    assert list(values) == list(options)
    assert values.pop("params", "params.yaml") == "params.yaml"
    values.pop("scratch", None)
    inputs = {values[name] for name in values if options[name].startswith("in:")}
    outputs = {values[name] for name in values if options[name].startswith("out:")}
    assert inputs | outputs == set(values.values())
    own = {"data/own"} if stage == "fetch" else set()  # files that params.yaml may name
    assert inputs | own == {path for path in declared(stage, "deps") if not path.endswith((".py", ".lock"))}
    assert outputs == declared(stage, "outs") | declared(stage, "metrics") | declared(stage, "plots")


@pytest.mark.parametrize("stage", STAGES)
def test_command_runs_the_script_with_the_code_of_its_own_folder(stage: str) -> None:
    assert shlex.split(STAGES[stage]["cmd"])[:3] == ["PYTHONPATH=src", "python", f"stages/{stage}.py"]


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_says_what_it_does(stage: str) -> None:
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
        assert outs == [{flags("card")["card"]: {"cache": False}}]
    else:
        assert all(isinstance(entry, str) for entry in outs)


def test_only_evaluate_reads_the_test_arrays() -> None:
    arrays = flags("validate")["test"]
    assert [stage for stage in STAGES if arrays in declared(stage, "deps")] == ["evaluate"]


def test_paths_stand_in_dvc_yaml_alone() -> None:
    """No path of the pipeline is written a second time, in Python."""
    paths = {path for stage in STAGES for kind in ("outs", "metrics", "plots") for path in declared(stage, kind)}
    held_by_tests = {PACKAGE / "layout.py", PACKAGE / "plots_page.py"}
    sources = {*PACKAGE.rglob("*.py"), *(ROOT / "stages").glob("*.py")} - held_by_tests
    repeated = [(path, source.name) for path in paths for source in sources if path in source.read_text("utf-8")]
    assert repeated == []


def test_commands_find_what_stages_write() -> None:
    flags = {stage: dict(re.findall(r"--([a-z-]+) (\S+)", STAGES[stage]["cmd"])) for stage in STAGES}
    assert flags["train"]["model"] == layout.MODEL
    assert flags["train"]["steps"] == layout.STEPS
    assert flags["train"]["metrics"] == layout.TRAIN_METRICS
    assert flags["train"]["params"] == layout.PARAMS
    assert flags["evaluate"]["predictions"] == layout.PREDICTIONS
    assert flags["evaluate"]["metrics"] == layout.TEST_METRICS
    assert flags["evaluate"]["test"] == layout.TEST_ARRAYS


def test_top_level_plots_read_files_and_columns_that_exist() -> None:
    for plot in PIPELINE["plots"]:
        ((title, settings),) = plot.items()
        if settings is None:  # a picture
            assert (ROOT / title).read_bytes().startswith(b"\x89PNG")
            continue
        for path, columns in settings["y"].items():
            header = (ROOT / path).read_text("utf-8").splitlines()[0].split(",")
            assert {settings["x"], *columns} <= set(header), title


def test_stage_plots_name_columns_that_exist() -> None:
    for stage in STAGES.values():
        for entry in stage.get("plots", []):
            ((path, settings),) = entry.items()
            if path.endswith(".csv"):
                header = (ROOT / path).read_text("utf-8").splitlines()[0].split(",")
                assert {settings["x"], settings["y"]} <= set(header), path


def test_package_root_and_subpackages_are_empty() -> None:
    """What they held would be a dependency of everything, named by no stage."""
    assert all(not path.read_text("utf-8") for path in PACKAGE.rglob("__init__.py"))


def test_the_model_in_both_forms_and_its_card_are_artifacts() -> None:
    paths = {name: artifact["path"] for name, artifact in PIPELINE["artifacts"].items()}
    assert paths["classifier"] == flags("train")["model"]
    assert paths["classifier-onnx"] == flags("export")["onnx"]
    assert paths["model-card"] == flags("card")["card"]


def test_the_package_imports_no_stage_and_stages_no_command() -> None:
    names = "|".join(STAGES)
    for source in PACKAGE.rglob("*.py"):
        assert not re.search(rf"^\s*(from|import) (stages|({names})\b)", source.read_text("utf-8"), re.MULTILINE)
