"""What the pages say is so: files and targets exist, figures are those of the committed results, settings are known."""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import report as benchmarks
from mnist_pipeline.experiments.spec import Run, load_ladder
from mnist_pipeline.models.registry import build_network, multiply_adds
from mnist_pipeline.params.schema import Params, with_overrides
from mnist_pipeline.experiments.results import RUNS, read_runs
from mnist_pipeline.experiments.report import TABLE, with_sections
from tests.conftest import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("docs/*.md")])
README = (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:`|\$ )make ([a-z-]+)", page.read_text("utf-8")))
    assert named <= targets


def test_the_table_of_benchmarks_is_that_of_the_committed_results() -> None:
    text = benchmarks.PAGE.read_text("utf-8")
    assert text == benchmarks.with_tables(text), "python -m benchmarks.run --report writes it anew"


def test_the_ladder_is_that_of_the_committed_runs() -> None:
    ladder, runs = load_ladder(ROOT / "experiments.yaml", ROOT / "params.yaml"), read_runs(ROOT / RUNS)
    assert with_sections(README, ladder, runs) == README, "mnist ladder report writes it anew"
    committed = (ROOT / TABLE).read_text("utf-8").splitlines()
    assert len(committed) == 1 + len(ladder.rungs), "mnist ladder run, then mnist ladder report"
    assert [run.params for run in runs] == [ladder.digest(Run(run.rung, run.seed)) for run in runs]


def test_the_ladders_last_rung_is_the_committed_run() -> None:
    """Were it not, the ladder would be of other code or other data than the rest."""
    runs, seed = read_runs(ROOT / RUNS), yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))["train"]["seed"]
    (run,) = (run for run in runs if run.rung == "default" and run.seed == seed)
    metrics = json.loads((ROOT / "metrics" / "test.json").read_text("utf-8"))
    assert len(run.wrong) == metrics["errors"]


def test_published_figures_are_reproduced() -> None:
    ladder, runs = load_ladder(ROOT / "experiments.yaml", ROOT / "params.yaml"), read_runs(ROOT / RUNS)
    published = {name: rung.published for name, rung in ladder.rungs.items() if rung.published is not None}
    assert len(published) == 5
    for name, figure in published.items():
        accuracies = [run.accuracy for run in runs if run.rung == name]
        assert len(accuracies) >= 3
        assert abs(statistics.fmean(accuracies) - float(str(figure).removeprefix("about "))) <= 0.005, name


def test_the_rung_of_the_readme_is_a_rung(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(  [a-z-]+:\n.*?)```", README, re.DOTALL)
    path = tmp_path / "experiments.yaml"
    path.write_text((ROOT / "experiments.yaml").read_text("utf-8") + example, "utf-8")
    assert len(example.splitlines()) == 5
    assert "tanh" in load_ladder(path, ROOT / "params.yaml").rungs


def test_the_architecture_of_the_readme_can_be_added(tmp_path: Path) -> None:
    """Its pieces, put where the README says into a copy of the package, make a network that trains."""
    section, field, function = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    lines = [line for piece in (section, field, function) for line in piece.splitlines() if line.strip()]
    assert len(lines) + 1 <= 20
    package = tmp_path / "src" / "mnist_pipeline"
    shutil.copytree(ROOT / "src" / "mnist_pipeline", package)
    params = package / "params.py"
    text = params.read_text("utf-8").replace("class ModelParams(Section):", f"{section}\n\nclass ModelParams(Section):")
    params.write_text(text.replace("    cnn: CnnParams | None = None\n", f"    cnn: CnnParams | None = None\n{field}"))
    (package / "models" / "local.py").write_text(function)
    registry = package / "models" / "registry.py"
    text = registry.read_text("utf-8").replace(
        '    "mlp": build_mlp,\n', '    "mlp": build_mlp, "local": build_local,\n'
    )
    own = "from mnist_pipeline.models.local import build_local\n"
    registry.write_text(text.replace("from mnist_pipeline.params.schema", own + "from mnist_pipeline.params.schema"))
    code = """
import sys
import numpy as np, yaml
from mnist_pipeline.models.classifier import UNIT, new_classifier, save_classifier, load_classifier
from mnist_pipeline.params.schema import Params, with_overrides
from mnist_pipeline.training.loop import fit, samples_of
from tests.conftest import synthetic_dataset
from pathlib import Path
content = yaml.safe_load(Path("params.yaml").read_text())
content["model"]["local"] = {"patch": 4, "units": 16}
params = Params.model_validate(with_overrides(content, {"model.architecture": "local", "train.epochs": 8}))
classifier = new_classifier(8, tuple("0123456789"), UNIT, params.model, 0)
samples = to_samples(synthetic_dataset(400), np.arange(400))
print(fit(classifier, samples, samples, params.train, params.optimizers).epochs[-1].validation_accuracy)
save_classifier(Path(sys.argv[1]), classifier)
print(load_classifier(Path(sys.argv[1])).params.architecture)
"""
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path / 'src'}:{ROOT}"}
    ran = subprocess.run([sys.executable, "-c", code, tmp_path / "model"], cwd=ROOT, env=environment,
                         capture_output=True, text=True, check=True)  # fmt: skip
    accuracy, architecture = ran.stdout.split()
    assert float(accuracy) > 0.9
    assert architecture == "local"


@pytest.mark.parametrize("architecture", ["mlp", "cnn"])
def test_the_sizes_of_architectures_are_counted(params_content: Any, architecture: str) -> None:
    params = Params.model_validate(with_overrides(params_content, {"model.architecture": architecture}))
    network = build_network(params.csv.image_side, len(params.csv.classes), params.model)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    row = f"| {parameters:,} | {count_macs(network, params.csv.image_side**2):,} |"
    (line,) = (line for line in README.splitlines() if line.startswith(f"| `{architecture}`, "))
    assert row in line


def test_presets_are_those_of_the_committed_results() -> None:
    assert benchmarks.with_presets(README) == README, "python -m benchmarks.run --report writes it anew"


def test_accuracy_is_that_of_the_committed_metrics() -> None:
    (stated,) = re.findall(r"<!-- accuracy -->([0-9.]+)<!-- /accuracy -->", README)
    metrics = json.loads((ROOT / "metrics" / "test.json").read_text("utf-8"))
    assert stated == f"{metrics['accuracy']:.4f}"
    assert f"test accuracy {metrics['accuracy']:.4f} " in README  # in the output of make repro


def test_settings_of_the_commands_are_accepted(params_content: Any) -> None:
    commands = [line for page in PAGES for line in re.findall(r"dvc exp run [^`\n]*", page.read_text("utf-8"))]
    settings = re.findall(r"-S '?([a-z_.0-9]+)=([^'\s]+)", " ".join(commands))
    settings.remove(("model.architecture", "local"))  # which the README has just added
    assert len(settings) >= 10
    for name, value in settings:
        content = json.loads(json.dumps(params_content))
        *sections, key = name.split(".")
        section = content
        for each in sections:
            section = section[each]
        assert key in section, name
        section[key] = yaml.safe_load(value)
        Params.model_validate(content)


def test_the_four_commands_are_there_exactly() -> None:
    for command in ("dvc repro", "dvc exp run -S model.optimizer=adam", "dvc metrics diff", "dvc plots show"):
        assert f"**`{command}`**" in README


def test_the_diagram_is_that_of_dvc() -> None:
    ran = subprocess.run([sys.executable, "-m", "dvc", "dag", "--mermaid"], cwd=ROOT, capture_output=True, text=True,
                         check=True)  # fmt: skip
    assert f"```mermaid\n{ran.stdout.strip()}\n```" in (ROOT / "docs" / "tour.md").read_text("utf-8")


def test_the_map_of_the_house_names_every_module() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    modules = {path.name for path in (ROOT / "src" / "mnist_pipeline").glob("*.py")} - {"__init__.py"}
    assert [name for name in sorted(modules) if name not in page] == []
