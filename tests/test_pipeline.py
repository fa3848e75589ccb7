"""The whole pipeline through DVC, in a repository of its own with tiny data, with the commands of the documentation."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from mnist_pipeline.cli.main import main
from mnist_pipeline.core.yaml import read_yaml
from tests.repository import Repository, make_repository

MARK = """
import atexit, json, os, sys

def report():
    slow = [name for name in ("sklearn", "torch._dynamo") if name in sys.modules and "cleanlab" not in sys.modules]
    import threadpoolctl, torch
    pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
    capability = torch.backends.cpu.get_cpu_capability()
    print("seen:", json.dumps([torch.get_num_threads(), *pools, capability, os.environ.get("MKL_CBWR"), slow]))

atexit.register(report)
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return make_repository(tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("data"), training=MARK)


def test_repro_learns_and_leaves_a_clean_tree(repository: Repository) -> None:
    assert json.loads((repository.path / "metrics" / "test.json").read_text())["test_accuracy"] > 0.9
    audited = json.loads((repository.path / "metrics" / "audit.json").read_text())
    assert audited["small_class"] == {"train": 0, "test": 10}  # of 60 and of 20 rows
    assert repository.run("git status --porcelain") == ""
    assert len((repository.path / "metrics" / "predictions.csv").read_text().splitlines()) == 201


def test_the_code_of_the_folder_trains_with_portable_numerics(repository: Repository) -> None:
    """The package is installed from another folder, as in the folders in which DVC's queue runs."""
    seen = re.findall(r"^seen: (.*)", repository.printed, re.MULTILINE)
    assert seen  # by training, and by the processes of the audit that ended by themselves
    for line in seen:
        *threads, capability, mkl, slow = json.loads(line)
        assert set(threads) == {1}
        assert slow == []  # each takes a second to import, and nothing needs it
        assert capability in ("AVX2", "DEFAULT")
        assert mkl == "COMPATIBLE"


def test_a_change_reruns_the_stages_that_read_it(repository: Repository) -> None:
    """A room of the package, the settings of a figure, and those of an optimizer; the checks read all settings."""
    changes = (
        ("src/mnist_pipeline/figures/loss.py", "def ", "\n\ndef "),
        ("params.yaml", "mistakes: 20", "mistakes: 3"),
        ("params.yaml", "learning_rate: 0.2", "learning_rate: 0.5"),
    )
    before = {path: (repository.path / path).read_text("utf-8") for path, _, _ in changes}
    for path, old, new in changes:
        text = (repository.path / path).read_text("utf-8")
        (repository.path / path).write_text(text.replace(old, new, 1), "utf-8")
    status = json.loads(repository.run("dvc status --json"))
    for path, text in before.items():
        (repository.path / path).write_text(text, "utf-8")
    readers: dict[str, set[str]] = {}
    for stage, reasons in status.items():
        for path, state in (each for reason in reasons for each in reason.get("changed deps", {}).items()):
            for part in state if isinstance(state, dict) else [""]:
                readers.setdefault(f"{path} {part}".strip(), set()).add(stage)
    assert readers == {
        "src/mnist_pipeline/figures": {"validate", "audit", "plot"},
        "params.yaml": {"check", "check_data"},
        "params.yaml plot": {"plot", "card"},
        "params.yaml optimizers": {"train", "plot", "card"},
    }


WRONG = (
    ("learning_rate: 0.2", "learning_rate: none", "optimizers.sgd.learning_rate must be a number, was 'none'", False),
    ("batch_size: 20", "batch_size: 501", "train.batch_size must be at most the 500 training rows, was 501", False),
    ("corrections: null", "corrections: no.csv", "corrections must be a file of data/corrections or null", True),
    ("record: 19", "record: 200", "evaluate.record must be below the 200 rows of the test set, was 200", True),
)
"""What is replaced in params.yaml, by what, the message, and whether a stage says it here, too: check or check_data."""


@pytest.mark.slow
def test_a_wrong_setting_is_refused_before_any_output_is_removed(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repository.path)
    lock, params = repository.lock(), repository.path / "params.yaml"
    content = params.read_text("utf-8")
    for old, new, message, by_stage in WRONG:
        assert old in content
        params.write_text(content.replace(old, new, 1), "utf-8")
        with pytest.raises(SystemExit, match=re.escape(message)):
            main(["check"])
        if by_stage:
            failed = repository.start("dvc repro")
            assert message in failed.communicate()[0]
            assert failed.returncode
        outputs = ("models/classifier.safetensors", "metrics/test.json", "data/prepared/train.safetensors")
        assert all((repository.path / path).exists() for path in outputs)
    params.write_text(content, "utf-8")
    repository.run("dvc repro")
    assert repository.lock() == lock
    main(["check"])
    assert capsys.readouterr().out == (
        "params.yaml and data.yaml are valid. params.yaml fits the data: 600 training and 200 test rows.\n"
    )


@pytest.mark.slow  # DVC's own commands, whose settings rarely change
def test_an_experiment_and_its_plots_and_back(repository: Repository) -> None:
    lock = repository.lock()
    repository.run("dvc exp run -n few -S plot.mistakes=3 card")
    assert read_yaml(repository.path / "params.yaml")["plot"]["mistakes"] == 3
    assert repository.lock() != lock
    metrics = json.loads((repository.path / "metrics" / "test.json").read_text())
    shown = list(csv.DictReader(repository.run("dvc exp show --csv").splitlines()))
    (row,) = (each for each in shown if each["Experiment"] == "few")
    assert (row["changed"], row["test_accuracy"]) == ("mistakes=3", str(metrics["test_accuracy"]))
    first = list(row)[list(row).index("parent") + 1 :][:4]  # what a terminal has room for
    assert first == ["changed", "validation_accuracy", "test_accuracy", "test_log_loss"]
    page = Path(repository.run("dvc plots show").strip().removeprefix("file://")).read_text("utf-8")
    for title in ("Loss by epoch", "Accuracy by epoch", "Confusion on the test set", "metrics/figures/mistakes.png"):
        assert title in page
    assert "<script src" not in page

    # Back to the first run: nothing is computed again, since the run cache has it.
    repository.run("git checkout -q params.yaml models dvc.lock")
    assert "Running stage" not in repository.run("dvc repro")
    assert repository.run("git status --porcelain") == ""
