"""`mnist runs`: what each experiment changed, its accuracy, how it compares with the best, and what failed."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import yaml
from scipy.stats import ttest_1samp

from mnist_pipeline.cli.main import main
from mnist_pipeline.core.statistics import wilson_interval
from mnist_pipeline.params.overrides import with_overrides
from mnist_pipeline.provenance import dvc
from tests.repository import git, make_quick_repository

SAMPLES = 500
PARAMS: Any = {
    "model": {"optimizer": "sgd"},
    "optimizers": {"sgd": {"learning_rate": 0.2}, "adam": {"learning_rate": 0.003}},
    "train": {"epochs": 10, "seed": 0},
}


def files_of(folder: Path, wrong: Collection[int], changes: dict[str, Any], cached: bool = True) -> dict[str, str]:
    """What a run leaves in git; its predictions go to DVC's cache. Its seed chooses the validation set."""
    params = with_overrides(PARAMS, changes)
    actual = [(index * (params["train"]["seed"] + 1)) % 7 for index in range(SAMPLES)]
    rows = [f"{label},{label + (index in wrong)}" for index, label in enumerate(actual)]
    content = "\n".join(["actual,predicted", *rows, ""])
    md5 = hashlib.md5(content.encode()).hexdigest()
    if cached:
        file = folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    out = {"path": "models/validation_predictions.csv", "hash": "md5", "md5": md5}
    lock = {"schema": "2.0", "stages": {"train": {"outs": [{"path": "models/a", "md5": "0" * 32}, out]}}}
    train = {"validation_accuracy": 1 - len(wrong) / SAMPLES, "validation_rows": SAMPLES, "train_rows": 5500}
    return {
        "params.yaml": yaml.safe_dump(params),
        "dvc.lock": yaml.safe_dump(lock, sort_keys=False),
        "metrics/train_details.json": json.dumps(train),
        "metrics/test_details.json": '{"accuracy": 0.9}',
    }


class Experiments:
    """A repository of which the last commit gets 30 of 500 samples wrong; what dvc prints is given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.printed = {"cache dir": ".dvc/cache", "queue status": "", "queue logs": "train: bad luck"}
        git(folder, "init", "-q", "-b", "main")
        self.base = self._commit("refs/heads/main", files_of(folder, range(30), {}))

    def add(
        self, name: str, wrong: Collection[int], changes: dict[str, Any], cached: bool = True, code: str = ""
    ) -> None:
        content = files_of(self.folder, wrong, changes, cached) | ({"src/model.py": code} if code else {})
        self._commit(f"refs/exps/{self.base[:2]}/{self.base[2:]}/{name}", content, f"from {self.base}\n")

    def fail(self, changes: dict[str, Any]) -> str:
        """Leave a failed task in DVC's queue; its id."""
        return self._commit("refs/exps/celery/failed", files_of(self.folder, (), changes), f"from {self.base}\n")[:7]

    def _commit(self, ref: str, files: dict[str, str], base: str = "") -> str:
        stream = f"commit {ref}\ncommitter test <test@localhost> 1700000000 +0000\ndata 0\n{base}"
        stream += "".join(f"M 100644 inline {path}\ndata {len(text)}\n{text}\n" for path, text in files.items())
        command = ["git", "fast-import", "--quiet"]
        subprocess.run(command, cwd=self.folder, input=stream.encode(), check=True, capture_output=True)
        return git(self.folder, "rev-parse", ref)

    def run_dvc(self, _: Path, *arguments: str) -> str:
        return self.printed[" ".join(arguments[:2])]


@pytest.fixture
def experiments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiments:
    made = Experiments(tmp_path)
    monkeypatch.setattr(dvc, "run_dvc", made.run_dvc)
    monkeypatch.chdir(tmp_path)
    return made


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    main(["runs", *arguments])
    return capsys.readouterr().out.splitlines()


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = json.loads("\n".join(printed(capsys, "--json", *arguments)))
    return content


def accuracy(wrong: int) -> str:
    low, high = wilson_interval(SAMPLES - wrong, SAMPLES)
    return f"{1 - wrong / SAMPLES:.4f} ± {(high - low) / 2:.4f}"


def test_the_best_run_is_first_and_others_say_whether_they_are_worse(
    experiments: Experiments, capsys: pytest.CaptureFixture[str]
) -> None:
    experiments.add("adam", range(10), {"model.optimizer": "adam"})
    experiments.add("longer", range(5, 16), {"train.epochs": 12})
    experiments.add("slow", range(90), {"optimizers.sgd.learning_rate": 0.1, "train.epochs": 8})
    experiments.add("seed", range(40), {"train.seed": 1})
    experiments.add("gone", range(50), {"train.epochs": 9}, cached=False)
    assert [re.split(r"\s{2,}", line.rstrip()) for line in printed(capsys)[:7]] == [
        ["name", "changed", "validation", "test", "vs best"],
        ["adam", "optimizer=adam", accuracy(10), "0.9000", "best"],
        ["longer", "epochs=12", accuracy(11), "0.9000", "within noise"],
        ["HEAD", accuracy(30), "0.9000", "worse"],
        ["seed", "seed=1", accuracy(40), "0.9000", "other samples"],
        ["gone", "epochs=9", accuracy(50), "0.9000"],
        ["slow", "sgd.learning_rate=0.1 epochs=8", accuracy(90), "0.9000", "worse"],
    ]
    assert [each["name"] for each in listed(capsys, "--sort", "name", "--filter", "*e*")] == ["gone", "longer", "seed"]


def test_verdicts_are_corrected_for_their_number(experiments: Experiments, capsys: pytest.CaptureFixture[str]) -> None:
    """7 samples worse and none better: p = 0.016."""
    experiments.add("best", range(20), {"train.epochs": 20})
    experiments.add("rival", range(27), {"train.epochs": 7})
    assert [each["vs_best"] for each in listed(capsys, "--filter", "*[tl]")] == ["best", "worse"]
    for epochs in range(1, 5):
        experiments.add(f"rival-{epochs}", range(27), {"train.epochs": epochs})
    verdicts = {each["name"]: each["vs_best"] for each in listed(capsys)}
    assert (verdicts["best"], verdicts["rival"], verdicts["HEAD"]) == ("best", "within noise", "worse")


def test_seeds_of_the_same_settings_are_one_row(experiments: Experiments, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, more in enumerate((0, 4, 1, 3)):
        experiments.add(f"base-{seed}", range(30 + more), {"train.seed": seed})
        experiments.add(f"twin-{seed}", range(31 + 4 - more), {"train.seed": seed, "train.epochs": 11})
        experiments.add(f"poor-{seed}", range(60 + more), {"train.seed": seed, "train.epochs": 5})
    rows = {each["name"]: each for each in listed(capsys, "--group")}
    base, twin, poor = (rows[f"{name}-*"] for name in ("base", "twin", "poor"))
    assert [len(each["runs"]) for each in (base, twin, poor)] == [4, 4, 4]  # HEAD is the run base-0
    assert (base["changes"], twin["changes"]) == ({}, {"train.epochs": 11})
    assert base["validation_accuracy"] == pytest.approx(1 - 32 / SAMPLES)
    assert [each["vs_best"] for each in (base, twin, poor)] == ["best", "within noise", "worse"]
    experiments.add("alone", range(3), {"train.epochs": 50})
    first = listed(capsys, "--group")[0]
    assert (first["name"], first["vs_best"]) == ("alone", "too few seeds")
    assert printed(capsys, "--group", "--filter", "poor")[1].split()[:3] == ["poor-*", "4", "epochs=5"]


def test_training_sets_that_overlap_make_differences_less_certain(
    experiments: Experiments, capsys: pytest.CaptureFixture[str]
) -> None:
    """A paired t-test that knows nothing of it finds a difference; Nadeau and Bengio's does not."""
    differences = [2, 8, 11, 6]
    assert ttest_1samp(differences, 0).pvalue < 0.05
    for seed, more in enumerate(differences):
        experiments.add(f"base-{seed}", range(30), {"train.seed": seed})
        experiments.add(f"rival-{seed}", range(30 + more), {"train.seed": seed, "train.epochs": 11})
    assert [each["vs_best"] for each in listed(capsys, "--group")] == ["best", "within noise"]


def test_runs_of_other_code_say_so(experiments: Experiments, capsys: pytest.CaptureFixture[str]) -> None:
    experiments.add("code", range(5), {"train.epochs": 3}, code="better = True\n")
    assert "epochs=3 (and code)" in printed(capsys)[1]


def test_settings_that_were_committed_without_a_run_are_not_those_of_the_results(
    experiments: Experiments, capsys: pytest.CaptureFixture[str]
) -> None:
    files = files_of(experiments.folder, range(30), {"train.epochs": 20})
    stage = {
        "outs": [{"path": "metrics/test_details.json", "md5": "0" * 32}],
        "params": {"params.yaml": {"train.epochs": 10}},
    }
    files["dvc.lock"] = yaml.safe_dump({"stages": {"evaluate": stage}})
    experiments._commit("refs/heads/main", files, f"from {experiments.base}\n")
    experiments.add("adam", range(10), {"model.optimizer": "adam"})
    lines = printed(capsys)
    assert "0.9400" not in lines[2]
    assert "HEAD failed: params.yaml was edited after the run: train.epochs is 20, its" in " ".join(lines)


def test_failed_runs_of_the_queue_have_their_settings_and_the_reason(
    experiments: Experiments, capsys: pytest.CaptureFixture[str]
) -> None:
    task = experiments.fail({"train.epochs": 13})
    experiments.printed["queue status"] = (
        "Task     Name     Created   Status\n"
        f"{task}  unlucky  06:28 PM  Failed\nab12cd3           06:28 PM  Queued\n\nWorker status: 0 active, 0 idle\n"
    )
    lines = printed(capsys)
    assert lines[2].split() == ["unlucky", "epochs=13", "failed"]
    assert lines[-2:] == ["unlucky failed: train: bad luck", "In DVC's queue: 1 queued."]
    experiments.printed["queue logs"] = "asked once"
    assert listed(capsys)[-1]["failure"] == "train: bad luck"


def test_the_table_fits_the_terminal(
    experiments: Experiments, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"model.optimizer": "adam", "optimizers.adam.learning_rate": 0.001, "train.epochs": 25, "train.seed": 3}
    experiments.add("a-rather-long-name", range(10), changes)
    everything = "optimizer=adam adam.learning_rate=0.001 epochs=25 seed=3"
    for columns, whole in (("80", False), ("120", True)):
        monkeypatch.setenv("COLUMNS", columns)
        lines = printed(capsys)
        assert max(map(len, lines)) <= int(columns)
        assert (everything in lines[1]) == whole
        cell = slice(lines[0].index("changed"), lines[0].index("validation"))
        end = next(number for number, line in enumerate(lines) if line.startswith("HEAD"))
        assert "".join(line[cell].strip() for line in lines[1:end]).replace(" ", "") == everything.replace(" ", "")
    monkeypatch.setenv("COLUMNS", "60")
    assert "a-rather-long-n…  " in printed(capsys)[1]
    monkeypatch.delenv("COLUMNS")
    assert everything in printed(capsys)[1]  # into a file or a pipe


def test_the_page_needs_no_network_and_shows_text_as_text(
    experiments: Experiments, capsys: pytest.CaptureFixture[str]
) -> None:
    experiments.add("odd", range(10), {"model.optimizer": '<img src="x">@NOTES@'})
    assert printed(capsys, "--html", "runs.html") == ["The page is runs.html"]
    page = Path("runs.html").read_text("utf-8")
    assert "optimizer=&lt;img src=&quot;x&quot;&gt;@NOTES@" in page
    assert not [word for word in ("<img", "http", "<link", 'src="') if word in page]
    assert "<td>0.9800&nbsp;±&nbsp;0.0128</td>" in page  # in one line
    assert printed(capsys, "--md")[:3] == [
        "| name | changed | validation | test | vs best |",
        "|---|---|---|---|---|",
        '| odd | optimizer=\\<img src="x">@NOTES@ | 0.9800 ± 0.0128 | 0.9000 | best |',
    ]


def test_without_experiments_it_says_how_to_run_one(
    experiments: Experiments, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printed(capsys) == ["No experiments yet. Run one: dvc exp run -n adam -S model.optimizer=adam"]
    experiments.add("adam", range(10), {"model.optimizer": "adam"})
    with pytest.raises(SystemExit, match="no experiment is called 'eve'; there are HEAD, adam"):
        main(["runs", "--filter", "eve"])


@pytest.mark.slow
def test_with_dvc_itself_a_grid_has_numbered_names_and_failures_their_reason(tmp_path: Path) -> None:
    repository = make_quick_repository(tmp_path / "repository")
    repository.run("dvc exp run --queue -n grid -S 'train.epochs=range(12,14)' -S train.seed=0,1")
    repository.run("dvc queue start")
    while re.search("Running|Queued", repository.run("dvc queue status")):
        time.sleep(1)
    found = {each["name"]: each for each in json.loads(repository.run("mnist runs --json"))}
    assert {name: each["changes"] for name, each in found.items()} == {
        "HEAD": {}, "grid-1": {"train.epochs": 12}, "grid-2": {"train.epochs": 12, "train.seed": 1},
        "grid-3": {"train.epochs": 13}, "grid-4": {"train.epochs": 13, "train.seed": 1},
    }  # fmt: skip
    assert [found[f"grid-{number}"]["test_accuracy"] for number in (1, 2)] == [12 / 20, 13 / 20]
    assert {found[f"grid-{number}"]["failure"] for number in (3, 4)} == {"train: 13 epochs bring bad luck"}
