"""The pages: their links, commands, settings and examples work."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mnist_pipeline.cli.main import make_parser
from mnist_pipeline.core.yaml import read_yaml
from mnist_pipeline.ladder.spec import load_ladder
from mnist_pipeline.params.overrides import with_overrides
from mnist_pipeline.params.schema import Params
from tests.conftest import PARAMS, ROOT

PATTERNS = ("*.md", "benchmarks/*.md", "docs/**/*.md", "models/*.md")
PAGES = sorted(path for pattern in PATTERNS for path in ROOT.glob(pattern))
TEXT = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in PAGES}
README = TEXT["README.md"]


def table_rows(text: str) -> list[list[str]]:
    """The rows of all tables of a page, without their headers."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)[)#]|src=\"([^\"]+)\"", page.read_text("utf-8"))
    assert [link for pair in links for link in pair if link and not (page.parent / link).exists()] == []


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {target for text in TEXT.values() for target in re.findall(r"(?:`|\$ )make ([a-z-]+)", text)}
    assert named <= targets


def test_commands_are_accepted() -> None:
    commands = [line for text in TEXT.values() for line in re.findall(r"^\$ (mnist [^#\n]*)", text, re.MULTILINE)]
    assert len(commands) >= 5
    for command in commands:
        words = shlex.split(command)[1:]
        make_parser(words[:1]).parse_args(words)  # exits if a flag or a name is unknown


def test_settings_are_accepted(params_content: Any) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser  # takes half a second to import

    commands = [line for text in TEXT.values() for line in re.findall(r"dvc exp run [^`\n]*", text)]
    quoted = re.findall(r"-S '([a-z_.0-9]+)=([^']+)'", " ".join(commands))
    settings = [*quoted, *re.findall(r"-S ([a-z_.0-9]+)=(\S+)", " ".join(commands))]
    settings.remove(("model.architecture", "local"))  # docs/extending.md adds it
    assert len(settings) >= 10
    parse = OverridesParser.create().parse_override  # as DVC does: one setting can stand for several values
    for name, words in settings:
        parsed = parse(f"{name}={words}")
        for value in parsed.sweep_string_iterator() if parsed.is_sweep_override() else [words]:
            Params.model_validate(with_overrides(params_content, {name: yaml.safe_load(value)}))


def test_readme_is_short_and_names_the_four_commands() -> None:
    assert len(README.splitlines()) <= 120
    for command in ("dvc repro", "dvc exp run -S model.optimizer=adam", "dvc metrics diff", "dvc plots show"):
        assert f"**`{command}`**" in README


@pytest.mark.repository
def test_stages_run_after_those_that_dvc_names() -> None:
    command = [sys.executable, "-m", "dvc", "dag", "--mermaid"]
    graph = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = dict(re.findall(r'(node\d+)\["(\w+)"\]', graph))
    edges = {(names[before], names[after]) for before, after in re.findall(r"(node\d+)-->(node\d+)", graph)}
    rows = [row for row in table_rows(TEXT["docs/pipeline.md"]) if row[0].strip("`") in names.values()]
    shown = {(before, row[0].strip("`")) for row in rows for before in re.findall(r"`(\w+)`", row[1])}
    assert len(rows) == len(names)
    assert {after for before, after in edges if before == "check"} == set(names.values()) - {"check"}
    assert shown == {edge for edge in edges if edge[0] != "check"}


def test_rooms_are_those_of_the_package() -> None:
    rooms = {path.parent.name for path in (ROOT / "src" / "mnist_pipeline").glob("*/__init__.py")}
    assert {Path(page).stem for page in TEXT if page.startswith("docs/api/")} == rooms
    assert set(re.findall(r"^\| \d \| \[`(\w+)`\]", TEXT["docs/code.md"], re.MULTILINE)) == rooms


def test_the_rung_of_the_page_is_a_rung(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(  [a-z-]+:\n.*?)```", TEXT["docs/ladder.md"], re.DOTALL)
    path = tmp_path / "experiments.yaml"
    path.write_text("seeds: 5\nrungs:\n  default:\n    title: The settings\n    why: To compare with.\n" + example)
    assert len(example.splitlines()) == 5
    assert list(load_ladder(path, PARAMS).rungs) == ["default", "tanh"]


@pytest.mark.repository
def test_the_architecture_of_the_page_can_be_added(tmp_path: Path) -> None:
    """Its pieces, put into a copy of the package where the page says, give a network that trains."""
    page = TEXT["docs/extending.md"]
    section, field, function, entry = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (settings,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    code = [line for piece in (section, field, function, entry) for line in piece.splitlines() if line.strip()]
    assert len(code) <= 20
    package = tmp_path / "src" / "mnist_pipeline"
    shutil.copytree(ROOT / "src" / "mnist_pipeline", package, ignore=shutil.ignore_patterns("__pycache__"))
    insert(package / "params" / "model.py", "class ModelParams(Section):", f"{section}\n\n", "")
    insert(package / "params" / "model.py", "    cnn: CnnParams | None = None\n", "", field)
    insert(package / "models" / "registry.py", '    "cnn": build_cnn,\n', "", entry)
    own_import = "from mnist_pipeline.models.local import build_local\n"
    insert(package / "models" / "registry.py", "from mnist_pipeline.models.mlp import", own_import, "")
    (package / "models" / "local.py").write_text(function)
    params = tmp_path / "params.yaml"
    content = read_yaml(PARAMS)
    content["model"] |= yaml.safe_load(settings)
    params.write_text(yaml.safe_dump(with_overrides(content, {"model.architecture": "local", "train.epochs": 8})))
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path / 'src'}:{ROOT}"}
    command = [sys.executable, "-c", TRAIN, str(params), str(tmp_path / "model")]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    accuracy, architecture = ran.stdout.split()
    assert float(accuracy) > 0.9
    assert architecture == "local"


def insert(path: Path, place: str, before: str, after: str) -> None:
    text = path.read_text("utf-8")
    assert text.count(place) == 1, place
    path.write_text(text.replace(place, before + place + after), "utf-8")


TRAIN = """
import sys
from pathlib import Path
import numpy as np
from mnist_pipeline.models.classifier import UNIT, load_classifier, new_classifier, save_classifier
from mnist_pipeline.params.schema import load_params
from mnist_pipeline.training.batches import to_samples
from mnist_pipeline.training.loop import fit
from tests.conftest import synthetic_dataset
params, model = load_params(Path(sys.argv[1])), Path(sys.argv[2])
classifier = new_classifier(8, tuple("0123456789"), UNIT, params.model, 0)
samples = to_samples(synthetic_dataset(400), np.arange(400))
print(fit(classifier, samples, samples, params.train, params.optimizers).epochs[-1].validation_accuracy)
save_classifier(model, classifier)
print(load_classifier(model).params.architecture)
"""
