"""How many networks an ensemble needs: errors on validation rows by the number of members."""

from __future__ import annotations

import json
import sys
from itertools import combinations
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from benchmarks.processes import ARRAYS, ROOT, folder, run_python, stage_command
from mnist_pipeline.core import numerics
from mnist_pipeline.ladder.spec import load_ladder
from mnist_pipeline.params.overrides import with_overrides
from mnist_pipeline.params.schema import Params

MEMBERS, HELD_OUT = 8, 20_000


def ensembles() -> dict[str, Any]:
    """Validation errors of every ensemble of up to eight networks of cnn-2min, which are trained together."""
    preset = load_ladder(ROOT / "experiments.yaml", ROOT / "params.yaml").presets["cnn-2min"]
    changes = {"model.members": MEMBERS, "data.validation_size": HELD_OUT, "runtime.numerics": "portable"}
    base = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    with folder() as here:
        content = with_overrides(base, dict(preset.overrides) | changes)
        (here / "params.yaml").write_text(yaml.safe_dump(content), "utf-8")
        run_python(*stage_command("train", here, {"train": ARRAYS["train"]}))
        found: dict[str, Any] = json.loads(run_python("-m", "benchmarks.ensembles", here)[0])
    return found


def main() -> None:
    """Print the mean errors of the trained networks in a folder, alone and in every ensemble of so many."""
    here = Path(sys.argv[1])
    params = Params.model_validate(yaml.safe_load((here / "params.yaml").read_text("utf-8")))
    numerics.configure(params.runtime.numerics)  # before NumPy and torch are imported
    import torch

    from mnist_pipeline.data.dataset import load_dataset
    from mnist_pipeline.data.split import stratified_split
    from mnist_pipeline.models.classifier import load_classifier
    from mnist_pipeline.models.prediction import predict
    from mnist_pipeline.training.batches import to_samples

    dataset = load_dataset(ARRAYS["train"])
    _, rows = stratified_split(dataset.labels, HELD_OUT, params.train.seed, dataset.groups)
    held_out = to_samples(dataset, rows)
    classifier = load_classifier(here / "models" / "classifier.safetensors")
    outputs = torch.stack([predict(each, held_out.images) for each in classifier.members()])  # (members, n, classes)

    def errors(members: tuple[int, ...]) -> int:
        return int((outputs[list(members)].mean(dim=0).argmax(dim=1) != held_out.labels).sum())

    by_number = [[errors(each) for each in combinations(range(MEMBERS), size + 1)] for size in range(MEMBERS)]
    print(json.dumps({"alone": by_number[0], "errors": [mean(each) for each in by_number]}))


if __name__ == "__main__":
    main()
