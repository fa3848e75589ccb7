"""Draw the figures of the pipeline."""

import json
from functools import partial

from mnist_pipeline.core import numerics
from mnist_pipeline.core.program import parse_flags, run_stage
from mnist_pipeline.params.overrides import used_settings
from mnist_pipeline.params.schema import load_params

FLAGS = {
    "params": "settings, YAML",
    "model": "in: the classifier",
    "steps": "in: the loss of every n-th step, CSV",
    "predictions": "in: a row for every test image, CSV",
    "calibration": "in: confidence against accuracy, CSV",
    "samples": "in: the test images to show",
    "examples": "in: training images and augmented versions",
    "train-details": "in: details of training, JSON",
    "test-details": "in: details of the evaluation, JSON",
    "headline": "out: SVG",
    "loss-figure": "out: PNG",
    "confusion-figure": "out: PNG",
    "mistakes-figure": "out: PNG",
    "weights-figure": "out: PNG",
    "reliability-figure": "out: PNG",
    "record-figure": "out: PNG",
    "augmentation-figure": "out: PNG",
}


def main() -> None:
    """Run the stage."""
    args = parse_flags(__doc__, FLAGS)
    params = load_params(args.params)
    numerics.configure("portable")  # before NumPy is imported
    from mnist_pipeline.core.arrays import load_arrays
    from mnist_pipeline.core.files import read_csv, write_text
    from mnist_pipeline.figures.confusion import draw_confusion
    from mnist_pipeline.figures.headline import headline
    from mnist_pipeline.figures.loss import draw_loss
    from mnist_pipeline.figures.mistakes import draw_mistakes
    from mnist_pipeline.figures.record import draw_record
    from mnist_pipeline.figures.reliability import draw_reliability
    from mnist_pipeline.figures.style import save_figures
    from mnist_pipeline.figures.training_images import draw_augmentation
    from mnist_pipeline.figures.weights import draw_weights

    model = load_arrays(args.model, "a model that the train stage wrote", ["classifier"])
    examples = load_arrays(args.examples, "images that the train stage wrote", ["originals", "distorted"]).arrays
    parts = ("rows", "images", "labels", "probabilities")
    shown = load_arrays(args.samples, "images that the evaluate stage wrote", [*parts, "classes"])
    rows, images, labels, probabilities = (shown.arrays[part] for part in parts)
    classes = shown.metadata["classes"]
    steps = read_csv(args.steps, {"step": int, "loss": float})
    predictions = read_csv(args.predictions, {"actual": str, "predicted": str})
    bins = ("low", "high", "confidence", "accuracy", "accuracy_low", "accuracy_high")
    calibration = read_csv(args.calibration, {**dict.fromkeys(bins, float), "count": int})

    train, test = (json.loads(path.read_bytes()) for path in (args.train_details, args.test_details))
    write_text(args.headline, headline(used_settings(params), train, test))
    mistakes = images[1:], rows[1:], labels[1:], probabilities[1:], classes, params.plot.mistakes
    record = int(rows[0]), images[0], int(labels[0]), probabilities[0], classes
    save_figures({
        args.weights_figure: partial(draw_weights, model.arrays, model.metadata["classifier"]["image_side"]),
        args.mistakes_figure: partial(draw_mistakes, *mistakes),
        args.confusion_figure: partial(draw_confusion, predictions, classes),
        args.loss_figure: partial(draw_loss, steps),
        args.reliability_figure: partial(draw_reliability, calibration),
        args.augmentation_figure: partial(draw_augmentation, examples["originals"], examples["distorted"]),
        args.record_figure: partial(draw_record, *record),
    })  # fmt: skip
    print(f"plot: figures are in {args.loss_figure.parent}")


if __name__ == "__main__":
    run_stage(main)
