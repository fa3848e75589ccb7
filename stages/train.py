"""Train a classifier on the training arrays."""

import argparse
import sys
import time
from pathlib import Path

from mnist_pipeline import numerics
from mnist_pipeline.params import ParamsError, load_params


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, required=True)
    parser.add_argument(
        "--scratch", type=Path, required=True, help="folder for checkpoints, to go on from after a kill"
    )
    parser.add_argument("--train", type=Path, required=True, help="in: arrays to train on")
    parser.add_argument("--model", type=Path, required=True, help="out: the classifier")
    parser.add_argument("--steps", type=Path, required=True, help="out: the loss of every n-th step, CSV")
    parser.add_argument("--history", type=Path, required=True, help="out: losses and accuracies by epoch, CSV")
    parser.add_argument("--metrics", type=Path, required=True, help="out: how training ended, JSON")
    parser.add_argument("--examples", type=Path, required=True, help="out: training images, also augmented")
    args = parser.parse_args()

    params = load_params(args.params)
    numerics.configure(params.runtime.numerics)  # before NumPy and torch are imported
    from dataclasses import astuple, fields

    from mnist_pipeline.checkpoint import Checkpoint, own_modules, run_key
    from mnist_pipeline.classifier import new_classifier, save_classifier
    from mnist_pipeline.examples import save_examples
    from mnist_pipeline.files import write_csv, write_json
    from mnist_pipeline.holdout import HoldOutError, hold_out
    from mnist_pipeline.machine import describe_machine
    from mnist_pipeline.models.registry import ArchitectureError
    from mnist_pipeline.splits import SplitError, load_split
    from mnist_pipeline.training import (
        Epoch,
        Step,
        TrainingError,
        examples_of,
        fit,
        samples_of,
        scaling_of,
        summary,
    )

    try:
        device = numerics.device(params.runtime.device)
        split = load_split(args.train)
        kept, held_out = hold_out(split.labels, params.data.validation_size, params.train.seed)
        train, validation = samples_of(split, kept), samples_of(split, held_out)
        scaling = scaling_of(train, params.data.scaling)
        side, deskew = split.images.shape[1], params.data.deskew
        classifier = new_classifier(side, split.classes, scaling, params.model, params.train.seed, deskew)
        classifier.to(device)
        settings = {
            "data": params.data.model_dump(mode="json"),
            "model": params.model.model_dump(mode="json"),
            "optimizer": getattr(params.optimizers, params.model.optimizer).model_dump(mode="json"),
            "train": params.train.model_dump(mode="json"),
            "runtime": params.runtime.model_dump(mode="json"),
        }
        portable = params.runtime.numerics == "portable" and params.runtime.device == "cpu"
        key = run_key(settings, args.train, own_modules(), None if portable else describe_machine())
        checkpoint = Checkpoint(args.scratch, key)
        mixed = numerics.multiplies_in_bfloat16(params.runtime.numerics, params.runtime.device)
        started = time.perf_counter()
        history = fit(classifier, train, validation, params.train, params.optimizers, checkpoint, mixed)
    except (numerics.DeviceError, SplitError, HoldOutError, ArchitectureError, TrainingError) as error:
        sys.exit(f"train: {error}")

    save_classifier(args.model, classifier)
    write_csv(args.steps, [field.name for field in fields(Step)], map(astuple, history.steps))
    write_csv(args.history, [field.name for field in fields(Epoch)], map(astuple, history.epochs))
    write_json(args.metrics, summary(classifier, train, validation, history))
    save_examples(args.examples, examples_of(classifier, train, params.train))
    checkpoint.discard()
    print(f"train: {len(history.epochs)} epochs in {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    try:
        main()
    except (ParamsError, OSError) as error:
        sys.exit(f"train: {error}")
    except KeyboardInterrupt:
        print("\ntrain: interrupted; `dvc repro` goes on from the last checkpoint", file=sys.stderr)
        sys.exit(130)
