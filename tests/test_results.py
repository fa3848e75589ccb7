"""This repository's pages, settings and committed results agree; each failure says which command to run.

A copy with other settings or data need not pass these tests: `pytest -m repository` runs them, as does `make check`.
"""

from __future__ import annotations

import json
import re
import shutil
import statistics
from pathlib import Path

import pytest

from benchmarks import report as benchmarks
from benchmarks.accuracies import current_runs
from benchmarks.results import QUALITY, column, machines, own_seconds, read_results, short
from benchmarks.times import SECTIONS as TIMES
from mnist_pipeline.core.yaml import read_yaml
from mnist_pipeline.ladder.report import PAGE, TABLE, with_sections
from mnist_pipeline.ladder.results import RUNS, RunResult, read_runs
from mnist_pipeline.ladder.spec import Ladder, Run, load_ladder
from mnist_pipeline.models.registry import build_network, count_macs
from mnist_pipeline.params.overrides import with_overrides
from mnist_pipeline.params.schema import Params, load_data_files
from tests.conftest import ROOT
from tests.repository import Repository

pytestmark = pytest.mark.repository


def page_text(path: str | Path) -> str:
    return (ROOT / path).read_text("utf-8")


@pytest.fixture(scope="module")
def ladder() -> Ladder:
    return load_ladder(ROOT / "experiments.yaml", ROOT / "params.yaml")


@pytest.fixture(scope="module")
def runs() -> list[RunResult]:
    return read_runs(ROOT / RUNS)


def accuracies(runs: list[RunResult], rung: str) -> list[float]:
    return [run.accuracy for run in runs if run.rung == rung]


def mean_and_std(values: list[float]) -> str:
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}"


def test_the_ladder_is_that_of_the_committed_runs(ladder: Ladder, runs: list[RunResult]) -> None:
    digests = [ladder.digest(Run(run.rung, run.seed)) for run in runs]
    assert [run.params for run in runs] == digests, "settings changed: mnist ladder run && mnist ladder report"
    page = page_text(PAGE)
    assert with_sections(page, ladder, runs) == page, "mnist ladder report"
    rows = (ROOT / TABLE).read_text("utf-8").splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == list(ladder.rungs), "mnist ladder run && mnist ladder report"


def test_the_default_rung_is_the_committed_run(runs: list[RunResult]) -> None:
    seed = read_yaml(ROOT / "params.yaml")["train"]["seed"]
    metrics = json.loads((ROOT / "metrics" / "test_details.json").read_text("utf-8"))
    (run,) = (run for run in runs if run.rung == "default" and run.seed == seed)
    assert len(run.wrong) == metrics["errors"], "results changed: mnist ladder run && mnist ladder report"
    stated = f"test accuracy {metrics['accuracy']:.4f} (95 % interval {metrics['accuracy_low']:.4f} to "
    assert stated in page_text("docs/pipeline.md"), "copy what dvc repro prints into docs/pipeline.md"


def test_published_figures_are_reproduced(ladder: Ladder, runs: list[RunResult]) -> None:
    published = {name: rung.published for name, rung in ladder.rungs.items() if rung.published is not None}
    assert len(published) == 5
    for name, figure in published.items():
        found = accuracies(runs, name)
        assert len(found) >= 3, f"mnist ladder run {name}"
        difference = abs(statistics.fmean(found) - float(str(figure).removeprefix("about ")))
        assert difference <= 0.005, f"{name} differs from the tutorial: mnist ladder run {name} && mnist ladder report"


def test_tables_are_those_of_the_benchmarks() -> None:
    pages = ((benchmarks.PAGE, benchmarks.with_benchmarks), (benchmarks.PRESETS_PAGE, benchmarks.with_presets))
    for page, update in pages:
        text = page.read_text("utf-8")
        assert text == update(text), "python -m benchmarks.run --report"


def test_times_are_of_one_machine() -> None:
    found = read_results(machines()[0])
    assert found.keys() == TIMES.keys(), "make bench"
    environments = [result["environment"] for result in found.values()]
    assert len({(each["cpu"], each["software"]) for each in environments}) == 1, "make bench"


def test_accuracies_of_the_readme(runs: list[RunResult]) -> None:
    readme = page_text("README.md")
    (stated,) = re.findall(r"<!-- accuracy -->(.*?)<!-- /accuracy -->", readme)
    expected = mean_and_std(accuracies(runs, "default"))
    assert stated == expected, f"write {expected} into README.md"
    presets = load_ladder(ROOT / "experiments.yaml", ROOT / "params.yaml").presets
    for name, figure, seeds in re.findall(r"`([a-z0-9-]+)`\)? \| (0\.\d+ ± 0\.\d+) \((\d+) seeds\)", readme):
        found = accuracies(runs, name)
        if name in presets:
            found = column([*current_runs(read_results(QUALITY))[name].values()], "accuracy")
        assert (figure, int(seeds)) == (mean_and_std(found), len(found)), f"correct {name} in README.md"


def test_times_of_the_readme() -> None:
    found = read_results(machines()[0])
    seconds = {name: own_seconds(each) for name, each in found["training"].items() if name != "environment"}
    seconds["default"] = column(found["default"]["runs"], "training_seconds")
    readme = page_text("README.md")
    stated = re.findall(r"`([a-z0-9-]+)`\)? \| 0\.\d+ ± 0\.\d+ \(\d+ seeds\) \| (\d+) s \|", readme)
    assert len(stated) == 6
    for name, figure in stated:
        assert figure == f"{statistics.mean(seconds[name]):.0f}", f"correct {name} in README.md"
    cpu = short(found["default"]["environment"]["cpu"])
    assert cpu in readme, f"times are of {cpu}"


@pytest.mark.parametrize("architecture", ["mlp", "cnn"])
def test_sizes_of_architectures(architecture: str) -> None:
    content = with_overrides(read_yaml(ROOT / "params.yaml"), {"model.architecture": architecture})
    params = Params.model_validate(content)
    csv = load_data_files(ROOT / "data.yaml").csv
    network = build_network(csv.image_side, len(csv.classes), params.model)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    size = f"| {parameters:,} | {count_macs(network, csv.image_side**2):,} |"
    assert size in page_text("docs/presets.md"), f"write the size of {architecture} into docs/presets.md: {size}"


def test_an_experiment_changes_one_line_of_params_and_keeps_its_comments(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    before = (ROOT / "params.yaml").read_text("utf-8").splitlines()
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    (tmp_path / "dvc.yaml").write_text("stages:\n  train:\n    cmd: echo trained\n    params: [train]\n")
    repository.run("git init -q && dvc init -q && dvc config core.analytics false")
    repository.commit("First")
    repository.run("dvc exp run -S train.epochs=5")
    after = (tmp_path / "params.yaml").read_text("utf-8").splitlines()
    assert len(after) == len(before), "a comment is lost: put it behind a key"
    changed = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    assert [new.strip() for _, new in changed] == ["epochs: 5"], "commit params.yaml as dvc exp run -S writes it"
