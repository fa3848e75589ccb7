"""What the audit finds, in MNIST as it is and where errors were planted, whose truth is known; and its time."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import average_precision_score

from benchmarks.processes import ARRAYS, ROOT, folder, run_measured, run_python, stage_command
from mnist_pipeline.audit.images import repeated_images, similar_images
from mnist_pipeline.audit.labels import flag_labels
from mnist_pipeline.core.arrays import load_arrays
from mnist_pipeline.core.yaml import read_yaml
from mnist_pipeline.data.corrections import read_corrections
from mnist_pipeline.data.csv import Block
from mnist_pipeline.data.dataset import Dataset, load_dataset, save_dataset

JUDGED = ROOT / "data" / "corrections" / "mnist_test.csv"
CONFUSABLE = {4: 9, 9: 4, 3: 5, 5: 3, 1: 7, 7: 1, 0: 6, 6: 0, 2: 8, 8: 2}
RATES = (0.03, 0.1)
PLANTED = 300
NEAR: dict[str, Callable[[NDArray[np.uint8], np.random.Generator], NDArray[np.uint8]]] = {
    "shifted by a pixel": lambda image, random: np.roll(image, random.permutation([0, 1]), (0, 1)),
    "JPEG, quality 75": lambda image, _: _jpeg(image),
    "shifted and JPEG": lambda image, random: _jpeg(np.roll(image, random.permutation([0, 1]), (0, 1))),
}


def audit() -> dict[str, Any]:
    """What the audit finds in MNIST, and of planted wrong labels and repeated images."""
    found: dict[str, Any] = {"judged": judged(), "labels": [], "images": images()}
    for kind in ("uniform", "confusable pairs"):
        found["labels"] += [wrong_labels(kind, rate) for rate in RATES]
    return found


def audit_time() -> dict[str, Any]:
    """Time and memory of the audit stage, and of the search for near-duplicates in ten times the rows."""
    with folder() as here:
        ran = run_measured(*stage_command("audit", here, ARRAYS))
        run_python("benchmarks/enlarge.py", *ARRAYS.values(), here / "large", "10")
        searched = run_measured("-m", "benchmarks.audit_quality", here / "large" / "train.safetensors", cores=1)
    seconds, pairs = re.findall(r"[\d.]+", searched.output)
    return {
        "stage_seconds": ran.seconds, "stage_megabytes": ran.peak_megabytes,
        "search": {"seconds": float(seconds), "megabytes": searched.peak_megabytes, "pairs": int(pairs)},
    }  # fmt: skip


def judged() -> dict[str, int]:
    """Count the judged label errors of MNIST's test set among the 100 most suspect of it."""
    test = load_dataset(ARRAYS["test"])
    _, probabilities = _predictions(ARRAYS["train"])
    confidence = probabilities[np.arange(len(test.labels)), test.labels]
    suspects = test.rows[np.argsort(confidence, kind="stable")[:100]]
    rows = set(read_corrections(JUDGED, test.classes)["test"])
    return {"judged": len(rows), "among_100": len(rows & set(suspects.tolist()))}


def wrong_labels(kind: str, rate: float) -> dict[str, Any]:
    """Change some training labels; return precision and recall of the flagged ones, and average precision."""
    dataset = load_dataset(ARRAYS["train"])
    random = np.random.default_rng(0)
    changed = random.permutation(len(dataset.labels))[: round(rate * len(dataset.labels))]
    labels = dataset.labels.copy()
    if kind == "uniform":
        labels[changed] = (labels[changed] + random.integers(1, 10, len(changed))) % 10
    else:
        labels[changed] = [CONFUSABLE[int(label)] for label in labels[changed]]
    with tempfile.TemporaryDirectory() as here:
        path = Path(here) / "train.safetensors"
        save_dataset(path, [Block(labels, dataset.images, dataset.rows)], dataset.classes)
        probabilities, _ = _predictions(path)
    wrong = np.zeros(len(labels), bool)
    wrong[changed] = True
    flagged = np.zeros(len(labels), bool)
    flagged[flag_labels(labels.astype(np.int64), probabilities)] = True
    confidence = probabilities[np.arange(len(labels)), labels]
    return {
        "kind": kind,
        "rate": rate,
        "flagged": int(flagged.sum()),
        "precision": float(wrong[flagged].mean()),
        "recall": float(flagged[wrong].mean()),
        "average_precision": float(average_precision_score(wrong, 1 - confidence)),
    }


PREDICT = """
import sys
from pathlib import Path
from mnist_pipeline.core import numerics
numerics.configure("portable")
from mnist_pipeline.audit.labels import out_of_fold_probabilities
from mnist_pipeline.core.arrays import save_arrays
from mnist_pipeline.data.dataset import load_dataset
train, test, out = map(Path, sys.argv[1:4])
of_train, of_test = out_of_fold_probabilities(load_dataset(train), load_dataset(test), *map(int, sys.argv[4:]))
save_arrays(out, {"train": of_train, "test": of_test})
"""


def _predictions(train: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Predict as the audit does, in a process with its numerics."""
    params = read_yaml(ROOT / "params.yaml")["audit"]
    with folder() as here:
        path = here / "probabilities.safetensors"
        run_python("-c", PREDICT, train, ARRAYS["test"], path, str(params["folds"]), str(params["steps"]))
        found = load_arrays(path, "probabilities", ["train", "test"]).arrays
    return found["train"], found["test"]


def images() -> dict[str, Any]:
    """Plant copies, contradictions, leaks and near-duplicates; count those that are found, and those that are not."""
    train, test = load_dataset(ARRAYS["train"]), load_dataset(ARRAYS["test"])
    random = np.random.default_rng(1)
    copied = random.permutation(len(train.labels))[: 3 * PLANTED]
    copies, contradictions, leaks = np.split(copied, 3)
    other_labels = (train.labels[contradictions] + 1) % 10
    planted_train = Dataset(
        np.concatenate([train.images, train.images[copies], train.images[contradictions]]),
        np.concatenate([train.labels, train.labels[copies], other_labels]),
        train.classes,
    )
    planted_test = Dataset(
        np.concatenate([test.images, train.images[leaks]]), np.concatenate([test.labels, train.labels[leaks]]),
        test.classes,
    )  # fmt: skip
    repeated = list(repeated_images({"train": planted_train, "test": planted_test}))
    right = {
        *((("train", 60_001 + place), "duplicate") for place in range(PLANTED)),
        *((("train", 60_001 + PLANTED + place), "contradiction") for place in range(PLANTED)),
        *((("test", 10_001 + place), "duplicate") for place in range(PLANTED)),
    }
    found = {((each.file, each.row), each.kind) for each in repeated}
    result: dict[str, Any] = {
        "exact": {"planted": len(right), "found": len(right & found), "false": len(found - right)}
    }
    for name, change in NEAR.items():
        near = np.stack([change(image, random) for image in train.images[leaks]])
        changed = Dataset(
            np.concatenate([test.images, near]), np.concatenate([test.labels, train.labels[leaks]]), test.classes
        )
        pairs = {(each.row, each.other_row): each for each in similar_images({"train": train, "test": changed})}
        right_pairs = {(10_001 + place, int(train.rows[row])) for place, row in enumerate(leaks)}
        result[name] = {
            "planted": PLANTED, "found": len(right_pairs & pairs.keys()), "false": len(pairs.keys() - right_pairs),
        }  # fmt: skip
    return result


def _jpeg(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=75)
    return np.asarray(Image.open(file))


if __name__ == "__main__":
    import sys
    import time

    from mnist_pipeline.data.duplicates import near_duplicates, signatures

    dataset = load_dataset(Path(sys.argv[1]))
    started = time.perf_counter()
    pairs = near_duplicates(signatures(dataset.images))
    print(f"{time.perf_counter() - started:.1f} {len(pairs.first)}")
