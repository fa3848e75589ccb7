"""Train a classifier on the training arrays."""

import time
from collections.abc import Sized

from mnist_pipeline.core import numerics
from mnist_pipeline.core.program import parse_flags, run_stage
from mnist_pipeline.params.schema import load_params

FLAGS = {
    "params": "settings, YAML",
    "scratch": "folder for checkpoints, to resume from after a kill",
    "train": "in: training arrays",
    "model": "out: the classifier",
    "steps": "out: the loss of every n-th step, CSV",
    "history": "out: losses and accuracies by epoch, CSV",
    "metrics": "out: validation accuracy, JSON",
    "details": "out: all that was measured, JSON",
    "validation": "out: a row for every validation image, CSV",
    "examples": "out: training images and augmented versions",
}


def main() -> None:
    """Run the stage."""
    args = parse_flags(__doc__, FLAGS)
    params = load_params(args.params)
    library_threads = params.train.library_threads(params.model)
    numerics.configure(params.runtime.numerics, library_threads=library_threads)  # before NumPy and torch are imported
    from dataclasses import astuple, fields

    from mnist_pipeline.core.arrays import save_arrays
    from mnist_pipeline.core.files import write_csv, write_json
    from mnist_pipeline.data.dataset import load_dataset
    from mnist_pipeline.data.split import stratified_split
    from mnist_pipeline.models.classifier import new_classifier, save_classifier
    from mnist_pipeline.models.prediction import predict, write_predictions
    from mnist_pipeline.params.limits import check_batch_size
    from mnist_pipeline.training.batches import to_samples
    from mnist_pipeline.training.ensemble import checkpoints_for, fit_members
    from mnist_pipeline.training.losses import fit_temperature
    from mnist_pipeline.training.shards import joined_processes
    from mnist_pipeline.training.state import Epoch, Step
    from mnist_pipeline.training.summary import augmented_examples, scaling_of, summarise

    dataset = load_dataset(args.train)
    train_rows, validation_rows = stratified_split(
        dataset.labels, params.data.validation_size, params.train.seed, dataset.groups
    )
    check_batch_size(params.train.batch_size, len(train_rows))
    train = to_samples(dataset, train_rows, in_memory=params.train.shuffle != "blocks")
    validation = to_samples(dataset, validation_rows)
    classifier = new_classifier(
        dataset.images.shape[1],
        dataset.classes,
        scaling_of(train, params.data.scaling),
        params.model,
        params.train.seed,
        params.data.deskew,
    )
    classifier.to(numerics.device(params.runtime.device))
    checkpoints = checkpoints_for(args.scratch, params, args.train)
    mixed_precision = numerics.uses_mixed_precision(params.runtime.numerics, params.runtime.device)
    started = time.perf_counter()
    with joined_processes() as first:
        history = fit_members(
            classifier, train, validation, params.train, params.optimizers, checkpoints, mixed_precision
        )
    if not first:
        return

    outputs = predict(classifier, validation.images)  # (n, classes)
    if params.train.temperature_scaling:
        classifier.temperature = fit_temperature(outputs, validation.labels)
        print(f"train: temperature {classifier.temperature:g}")
    save_classifier(args.model, classifier)
    write_csv(args.steps, [field.name for field in fields(Step)], map(astuple, history.steps))
    write_csv(args.history, [field.name for field in fields(Epoch)], map(astuple, history.epochs))
    details = summarise(classifier, train, validation, outputs, history)
    write_json(args.details, details)
    write_json(args.metrics, {"validation_accuracy": (accuracy := details["validation_accuracy"])})
    predicted = classifier.probabilities(outputs).cpu().numpy()
    write_predictions(args.validation, validation.labels.numpy(), predicted, dataset.classes)
    save_arrays(args.examples, augmented_examples(classifier, train, params.train))
    for checkpoint in checkpoints:
        checkpoint.discard()
    seconds = time.perf_counter() - started
    print(f"train: {len(history.epochs)} epochs in {seconds:.1f} s; {_described(accuracy, validation)}")


def _described(accuracy: float | None, validation: Sized) -> str:
    from mnist_pipeline.core.statistics import wilson_interval

    if accuracy is None:
        return "no validation set"
    low, high = wilson_interval(round(accuracy * len(validation)), len(validation))
    return f"validation accuracy {accuracy:.4f} (95 % interval {low:.4f} to {high:.4f})"


if __name__ == "__main__":
    run_stage(main)
