"""Check that portable numerics give the same bits on other CPUs: run natively and under emulation.

    python benchmarks/emulation.py                       every CPU below, about five minutes on two cores
    python benchmarks/emulation.py --cpus Haswell

Trains and evaluates every loss, optimizer, activation, schedule and scaling for a few steps on synthetic images, in a
process for each CPU (emulated by Debian's and Ubuntu's package qemu-user), and compares SHA-256 hashes of the weights,
the history and the metrics. The real CPU computes with four threads, an emulated one with one; then both share the
shards of the same trainings. Exit status 1 if any differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnist_pipeline.data.dataset import Dataset

ROOT = Path(__file__).parents[1]
CPUS = ("Haswell", "Skylake-Client", "EPYC")
EMULATOR = "qemu-x86_64"
ATTEMPTS = 3  # about once in ten runs, the emulator itself ends with a segmentation fault
# Two full batches, and one below models.linear.SMALLEST_BATCH.
SIDE, ROWS, VALIDATION_ROWS, BATCH = 28, 72, 24, 20

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "tutorial: MSE, sigmoid, file order, batch 1": {
        "model.loss": "mse",
        "model.hidden_activation": "sigmoid",
        "model.output_activation": "sigmoid",
        "model.mlp.layer_norm": False,
        "train.batch_size": 1,
        "train.shuffle": False,
        "train.schedule": "constant",
    },
    "tutorial: all together, Adam": {
        "model.loss": "bce",
        "model.output_activation": "sigmoid",
        "model.optimizer": "adam",
        "train.batch_size": 1,
        "train.shuffle": False,
        "train.schedule": "constant",
    },
    "MSE, LeakyReLU outputs": {"model.loss": "mse", "model.output_activation": "leaky_relu"},
    "BCE, tanh, AdamW": {
        "model.loss": "bce",
        "model.output_activation": "sigmoid",
        "model.hidden_activation": "tanh",
        "model.optimizer": "adamw",
    },
    "GELU, two hidden layers, cosine, standard scaling": {
        "model.hidden_activation": "gelu",
        "model.mlp.hidden_units": [64, 48],
        "train.schedule": "cosine",
        "data.scaling": "standard",
    },
    "deskewing, test-time augmentation": {"data.deskew": True, "model.test_time_shift": 1},
    "ReLU, Adam, no LayerNorm": {
        "model.hidden_activation": "relu",
        "model.optimizer": "adam",
        "model.mlp.layer_norm": False,
    },
    "every augmentation": {
        "train.augmentation.rotation": 15,
        "train.augmentation.scale": 0.15,
        "train.augmentation.shear": 0.15,
        "train.augmentation.shift": 2,
        "train.augmentation.elastic_alpha": 34,
    },
    "CNN, ReLU, elastic augmentation": {
        "model.architecture": "cnn",
        "model.cnn.channels": [[8], [16, 16]],
        "model.hidden_activation": "relu",
        "train.augmentation.elastic_alpha": 34,
    },
    "two shards, deskewing": {"train.shards": 2, "data.deskew": True},
    "CNN, four shards, AdamW": {
        "model.architecture": "cnn",
        "model.cnn.channels": [[8], [16, 16]],
        "model.optimizer": "adamw",
        "train.shards": 4,
    },
}
SMALL = {"train.epochs": 2, "train.batch_size": BATCH, "train.log_every": 1}


def child() -> None:
    """Train and evaluate each variant; print a JSON object of hashes."""
    sys.path.insert(0, str(ROOT / "src"))
    from mnist_pipeline.core import numerics

    numerics.configure("portable")
    import numpy as np
    import torch

    from mnist_pipeline.data.dataset import Dataset
    from mnist_pipeline.evaluation.evaluate import evaluate
    from mnist_pipeline.models.classifier import new_classifier
    from mnist_pipeline.params.overrides import with_overrides
    from mnist_pipeline.params.schema import Params, load_params
    from mnist_pipeline.training.batches import to_samples
    from mnist_pipeline.training.loop import fit
    from mnist_pipeline.training.shards import joined_processes
    from mnist_pipeline.training.summary import scaling_of

    classes = tuple("0123456789")
    random = np.random.default_rng(0)
    labels = (np.arange(ROWS) % len(classes)).astype(np.uint8)
    dataset = Dataset(random.integers(0, 256, (ROWS, SIDE, SIDE)).astype(np.uint8), labels, classes)
    base = load_params(ROOT / "params.yaml").model_dump()
    hashes = {"CPU capability": torch.backends.cpu.get_cpu_capability()}
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    with joined_processes():
        for name, changes in VARIANTS.items():
            params = Params.model_validate(with_overrides(base, SMALL | changes))
            if params.train.shards % processes:
                continue
            train = to_samples(dataset, np.arange(VALIDATION_ROWS, ROWS))
            validation = to_samples(dataset, np.arange(VALIDATION_ROWS))
            scaling = scaling_of(train, params.data.scaling)
            classifier = new_classifier(SIDE, classes, scaling, params.model, params.train.seed, params.data.deskew)
            history = fit(classifier, train, validation, params.train, params.optimizers)
            result = evaluate(classifier, dataset, params.evaluate.calibration_bins)
            digest = hashlib.sha256()
            for tensor in classifier.state_dict().values():
                digest.update(tensor.numpy().tobytes())
            digest.update(repr(history).encode())  # floats to their last digit
            digest.update(result.probabilities.tobytes())
            digest.update(json.dumps(result.metrics).encode())
            hashes[name] = digest.hexdigest()
    if processes == 1:
        hashes["audit"] = audit_hash(dataset)
    print(json.dumps(hashes))


def audit_hash(dataset: Dataset) -> str:
    """Return a hash of the groups of a data set with planted findings, and of the report of its audit."""
    import numpy as np

    from mnist_pipeline.audit.audit import audit
    from mnist_pipeline.audit.findings import write_findings
    from mnist_pipeline.audit.labels import predict_fold, stratified_folds
    from mnist_pipeline.data.csv import Block
    from mnist_pipeline.data.dataset import load_dataset, save_dataset
    from mnist_pipeline.data.relations import Relations

    images, labels = dataset.images.copy(), dataset.labels
    images[1], images[2] = images[0], np.roll(images[3], 1, axis=0)
    relations = Relations()
    with tempfile.TemporaryDirectory() as name:
        paths = {split: Path(name) / split for split in ("train", "test")}
        save_dataset(paths["train"], [Block(labels, images, dataset.rows)], dataset.classes, relations.groups)
        save_dataset(paths["test"], [Block(labels, images, dataset.rows)], dataset.classes, relations.overlap)
        datasets = {split: load_dataset(path) for split, path in paths.items()}
        folds = stratified_folds(datasets["train"], 2)
        _, of_test = predict_fold(datasets["train"], datasets["test"], folds, 1, 0)
        write_findings(Path(name) / "csv", audit(datasets, {"train": of_test, "test": of_test}))
        content = [datasets["train"].groups.tobytes(), datasets["test"].overlap.tobytes(), of_test.tobytes()]
        return hashlib.sha256(b"".join([*content, (Path(name) / "csv").read_bytes()])).hexdigest()


def run(cpu: str | None, **environment: str) -> tuple[dict[str, str], float]:
    """Return the hashes on an emulated CPU (None: the real one), and the seconds it took."""
    started = time.perf_counter()
    prefix = [EMULATOR, "-cpu", cpu] if cpu else []
    command = [*prefix, sys.executable, __file__, "--child"]
    variables = os.environ | {"OMP_NUM_THREADS": "1" if cpu else "4"} | environment
    ran = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {ran.returncode}:\n{ran.stderr[-2000:]}")
    hashes: dict[str, str] = json.loads(ran.stdout)
    return hashes, time.perf_counter() - started


def run_shared(cpu: str) -> tuple[dict[str, str], float]:
    """Return the hashes of trainings whose shards the real CPU and an emulated one share, and the seconds it took."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    variables = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(run, each, RANK=str(rank), **variables) for rank, each in enumerate((None, cpu))]
        return both[0].result()


def attempted(what: Callable[[str], tuple[dict[str, str], float]], cpu: str) -> tuple[dict[str, str], float]:
    """Return what a function returns, after a few attempts if need be."""
    for attempt in range(1, ATTEMPTS):
        try:
            return what(cpu)
        except RuntimeError as error:
            print(f"{cpu}: attempt {attempt} of {ATTEMPTS} failed: {error}")
    return what(cpu)


def differing(name: str, native: dict[str, str], hashes: dict[str, str], seconds: float) -> int:
    """Print which computations differ from those of the real CPU; return how many."""
    capability = hashes.pop("CPU capability")
    wrong = [each for each in hashes if native[each] != hashes[each]]
    equal = f"{len(hashes) - len(wrong)} of {len(hashes)} equal"
    print(f"{name}: {capability}, {equal}, {seconds:.0f} s", *wrong, sep="\n  ")
    return len(wrong)


def main() -> None:
    """Compare this CPU with emulated ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpus", nargs="+", default=CPUS, help=f"models that {EMULATOR} knows ({' '.join(CPUS)})")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child()
        return
    if shutil.which(EMULATOR) is None:
        sys.exit(f"{EMULATOR} is not installed; Debian and Ubuntu have it in the package qemu-user")
    native, _ = run(None)
    print(f"native: {native.pop('CPU capability')}, {len(native)} computations")
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(partial(attempted, run), args.cpus)
        different = [differing(cpu, native, *ran) for cpu, ran in zip(args.cpus, found, strict=True)]
    different.append(differing(f"native and {args.cpus[0]}", native, *attempted(run_shared, args.cpus[0])))
    sys.exit(1 if any(different) else 0)


if __name__ == "__main__":
    main()
