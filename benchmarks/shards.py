"""What shards bring and cost: time by cores and numerics, the share of the machine's matrix-product peak, accuracy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import yaml

from benchmarks.processes import ARRAYS, ROOT, on_each_core, run_measured
from mnist_pipeline.core import numerics
from mnist_pipeline.ladder.spec import load_ladder
from mnist_pipeline.params.overrides import with_overrides
from mnist_pipeline.params.schema import Params

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

ROUNDS = 9
NETWORKS = {"default": 51_200, "default in two shards": 51_200, "cnn-10s": 12_800, "cnn-2min": 3_200}
"""Settings that are measured, and the rows of an epoch: about a second or two."""

SHARDS = {"cnn-10s": 2, "cnn-2min": 4}

AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
CONTENDERS: dict[str, tuple[str, bool, int, dict[str, str]]] = {
    "portable, 1 core": ("portable", True, 1, {}),
    "portable, 2 cores": ("portable", True, 2, {}),
    "fast, AVX2": ("fast", False, 2, AVX2),
    "fast": ("fast", False, 2, {}),
    "fast, in shards": ("fast", True, 2, {}),
}
"""Numerics, whether batches are in shards, cores, and limits of the environment, by name."""

PARTS = {
    "convolutions and matrix products": ("conv", "linear_pointwise", "addmm", "aten::mm"),
    "pooling": ("pool", "fill_"),
    "normalisation": ("norm",),
    "activations": ("relu", "sigmoid", "tanh", "gelu"),
    "optimizer": ("Optimizer", "sgd", "adam"),
}
"""Parts of a step, by words in the names of their operations; zeros are filled in for the gradients of pooling."""

PRODUCT = 1024  # rows and columns
EPOCHS = {"cnn-10s": 2, "cnn-2min": 2}
VARIANTS: dict[str, dict[str, Any]] = {
    "batches of 64, 1 shard": {"train.batch_size": 64, "optimizers.sgd.learning_rate": 0.1, "train.shards": 1},
    **{f"batches of 128, {number} shards": {"train.shards": number} for number in (1, 2, 4)},
}
"""Batches of 64 in one shard, and larger ones by number of shards."""

SEEDS = 5
HELD_OUT, SPLIT = 20_000, 12345
"""Validation rows, the same for all seeds, and the seed that chooses them."""


def overrides_of(name: str) -> dict[str, Any]:
    """Return the settings of a preset in larger batches and in shards, or what is to change in the default."""
    presets = load_ladder(ROOT / "experiments.yaml", ROOT / "params.yaml").presets
    larger = {"train.batch_size": 128, "optimizers.sgd.learning_rate": 0.2, "train.shards": SHARDS.get(name)}
    changes = {"default": {}, "default in two shards": {"train.shards": 2}}
    return changes[name] if name in changes else {**presets[name].overrides, **larger}


def worker_command(changes: dict[str, Any], rows: int) -> list[str]:
    """Return the arguments of Python for ``main`` in a process of its own."""
    return ["-m", "benchmarks.shards", json.dumps(changes), str(rows)]


def shards() -> dict[str, Any]:
    """Training time by numerics and cores, alternating, with the share of the matrix-product peak and its parts."""
    return {name: timed(name, rows) for name, rows in NETWORKS.items()}


def timed(name: str, rows: int) -> dict[str, Any]:
    """Return what ``main`` says of each contender in each round, and the parts of a step on one core."""
    usable = sorted(os.sched_getaffinity(0))
    workers = {}
    for contender, (mode, in_shards, cores, limits) in CONTENDERS.items():
        changes = overrides_of(name) | {"runtime.numerics": mode, "train.epochs": 1}
        command = worker_command(changes | ({} if in_shards else {"train.shards": 1}), rows)
        workers[contender] = subprocess.Popen(
            ["taskset", "--cpu-list", ",".join(map(str, usable[:cores])), sys.executable, *command],
            cwd=ROOT, env={**os.environ, **limits, "PYTHONPATH": str(ROOT / "src")},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ask(contender: str, what: str) -> dict[str, float]:
        stdin, stdout = workers[contender].stdin, workers[contender].stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{what}\n")
        stdin.flush()
        answer: dict[str, float] = json.loads(stdout.readline())
        return answer

    rounds = [{contender: ask(contender, "train") for contender in workers} for _ in range(ROUNDS)]
    parts = ask("portable, 1 core", "profile")
    for worker in workers.values():
        worker.communicate()
    print(f"  {name}: {rounds[-1]}", flush=True)
    return {"rounds": rounds, "parts": parts}


def ghost_norm() -> dict[str, Any]:
    """Validation errors of two presets by batch size and number of shards, two runs at a time; and the two-way test."""
    import numpy as np

    from mnist_pipeline.experiments.significance import compare_scores

    def correct(run: tuple[str, str, int], core: int) -> NDArray[np.float64]:
        name, variant, seed = run
        changes = overrides_of(name) | VARIANTS[variant] | {"train.seed": seed, "train.epochs": EPOCHS[name]}
        command = worker_command(changes | {"runtime.numerics": "portable"}, 0)
        ran = run_measured(*command, cores=1, first=core)
        print(f"  {run}", flush=True)
        scores = np.ones(HELD_OUT)
        scores[json.loads(ran.output)] = 0.0
        return scores

    runs = [(name, variant, seed) for name in EPOCHS for variant in VARIANTS for seed in range(SEEDS)]
    scores = dict(zip(runs, on_each_core(correct, runs), strict=True))
    found: dict[str, Any] = {name: {} for name in EPOCHS}
    for name in EPOCHS:
        sides = [np.stack([scores[name, variant, seed] for seed in range(SEEDS)]) for variant in VARIANTS]
        for variant, side in zip(VARIANTS, sides, strict=True):
            test = compare_scores(sides[0], side)
            found[name][variant] = {
                "errors": (HELD_OUT - side.sum(axis=1)).tolist(),
                "difference": test.difference, "interval": test.interval(), "p": test.p,
            }  # fmt: skip
    return found


def main() -> None:
    """Train with changed settings, given as JSON, in a process with their numerics.

    On so many rows, it is timed at each line of input; on 0, the validation rows that it gets wrong are printed.
    """
    changes, rows = json.loads(sys.argv[1]), int(sys.argv[2])
    base = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    params = Params.model_validate(with_overrides(base, changes | {"data.validation_size": 0}))
    library_threads = params.train.library_threads(params.model)
    numerics.configure(params.runtime.numerics, library_threads=library_threads)  # before NumPy and torch are imported
    import numpy as np

    from mnist_pipeline.data.dataset import load_dataset
    from mnist_pipeline.data.split import stratified_split
    from mnist_pipeline.models.classifier import UNIT, Classifier, new_classifier
    from mnist_pipeline.models.prediction import predict
    from mnist_pipeline.training.batches import to_samples
    from mnist_pipeline.training.loop import fit

    dataset = load_dataset(ARRAYS["train"])
    train_rows, held_out_rows = stratified_split(dataset.labels, HELD_OUT, SPLIT, dataset.groups)
    train, held_out, nothing = (
        to_samples(dataset, part) for part in (train_rows[: rows or None], held_out_rows, held_out_rows[:0])
    )

    def trained() -> Classifier:
        classifier = new_classifier(28, dataset.classes, UNIT, params.model, params.train.seed, params.data.deskew)
        fit(classifier, train, nothing, params.train, params.optimizers)
        return classifier

    classifier = trained()  # the first time, it imports what training imports
    if not rows:
        predicted = predict(classifier, held_out.images).argmax(dim=1).numpy()
        print(json.dumps(np.flatnonzero(predicted != held_out.labels.numpy()).tolist()))
        return
    for line in sys.stdin:
        if line == "profile\n":
            print(json.dumps(parts_of_a_step(trained)), flush=True)
            continue
        before = product_gigaflops()
        started = time.perf_counter()
        trained()
        seconds = time.perf_counter() - started
        peak = max(before, product_gigaflops())
        share = 1e-9 * rows * operations(classifier.network, 28**2) / seconds / peak
        print(json.dumps({"seconds": seconds, "peak": peak, "share": share}), flush=True)


def operations(network: nn.Sequential, inputs: int) -> int:
    """Count the floating-point operations of training on an image: two for each MAC, forward and twice backward.

    The first layer passes no gradient to its inputs.
    """
    from mnist_pipeline.models.registry import count_macs

    first = next(place for place, layer in enumerate(network, start=1) if list(layer.parameters()))
    return 6 * count_macs(network, inputs) - 2 * count_macs(network[:first], inputs)


def product_gigaflops() -> float:
    """Return the speed of a large matrix product on all cores: the best of three."""
    import torch

    from mnist_pipeline.models.linear import product

    pairs = [torch.rand(2, PRODUCT, PRODUCT).unbind() for _ in range(numerics.threads.number)]
    best = float("inf")
    for _ in range(4):
        started = time.perf_counter()
        numerics.threads.in_order(lambda pair: product(*pair), pairs)
        best = min(best, time.perf_counter() - started)
    return 2e-9 * PRODUCT**3 * len(pairs) / best


def parts_of_a_step(train: Callable[[], object]) -> dict[str, float]:
    """Return the share of each part in the CPU time of a training; "the rest" is Python, autograd, memory and data."""
    from torch.profiler import ProfilerActivity, profile

    started = time.process_time()
    train()
    total = time.process_time() - started
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        train()
    shares = dict.fromkeys(PARTS, 0.0)
    for event in profiled.key_averages():
        for part, words in PARTS.items():
            if any(word in event.key for word in words):
                shares[part] += 1e-6 * event.self_cpu_time_total / total
                break
    return shares | {"the rest": 1 - sum(shares.values())}


if __name__ == "__main__":
    main()
