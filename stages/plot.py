"""Draw what people would rather look at."""

import argparse
import sys
from pathlib import Path

from mnist_pipeline import numerics
from mnist_pipeline.params import ParamsError, load_params


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True, help="in: the classifier")
    parser.add_argument("--steps", type=Path, required=True, help="in: the loss of every n-th step, CSV")
    parser.add_argument("--history", type=Path, required=True, help="in: losses and accuracies by epoch, CSV")
    parser.add_argument("--predictions", type=Path, required=True, help="in: a row for every test image, CSV")
    parser.add_argument("--calibration", type=Path, required=True, help="in: confidence against accuracy, CSV")
    parser.add_argument("--showcase", type=Path, required=True, help="in: the test images to show")
    parser.add_argument("--examples", type=Path, required=True, help="in: training images to show")
    parser.add_argument("--loss-figure", type=Path, required=True, help="out: PNG")
    parser.add_argument("--confusion-figure", type=Path, required=True, help="out: PNG")
    parser.add_argument("--mistakes-figure", type=Path, required=True, help="out: PNG")
    parser.add_argument("--weights-figure", type=Path, required=True, help="out: PNG")
    parser.add_argument("--reliability-figure", type=Path, required=True, help="out: PNG")
    parser.add_argument("--record-figure", type=Path, required=True, help="out: PNG")
    parser.add_argument("--augmentation-figure", type=Path, required=True, help="out: PNG")
    args = parser.parse_args()

    params = load_params(args.params)
    numerics.configure("portable")  # before NumPy is imported
    import pandas as pd

    from mnist_pipeline.examples import ExamplesError, load_examples
    from mnist_pipeline.figures.augmentation import draw_augmentation
    from mnist_pipeline.figures.confusion import draw_confusion
    from mnist_pipeline.figures.loss import draw_loss
    from mnist_pipeline.figures.mistakes import draw_mistakes
    from mnist_pipeline.figures.record import draw_record
    from mnist_pipeline.figures.reliability import draw_reliability
    from mnist_pipeline.figures.style import save_figure
    from mnist_pipeline.figures.weights import draw_weights
    from mnist_pipeline.modelfile import ModelFileError, load_model
    from mnist_pipeline.showcase import ShowcaseError, load_showcase

    try:
        model, showcase = load_model(args.model), load_showcase(args.showcase)
        examples = load_examples(args.examples)
    except (ModelFileError, ShowcaseError, ExamplesError) as error:
        sys.exit(f"plot: {error}")
    # Names of classes are kept as they are: pandas would read one called "NA" as no value.
    predictions = pd.read_csv(args.predictions, dtype={"actual": str, "predicted": str}, keep_default_na=False)
    steps, history, calibration = (pd.read_csv(path) for path in (args.steps, args.history, args.calibration))

    save_figure(args.loss_figure, draw_loss(steps, history))
    save_figure(args.confusion_figure, draw_confusion(predictions, showcase.classes))
    save_figure(args.mistakes_figure, draw_mistakes(showcase, params.plot.mistakes))
    save_figure(args.weights_figure, draw_weights(model))
    save_figure(args.reliability_figure, draw_reliability(calibration))
    save_figure(args.record_figure, draw_record(showcase))
    save_figure(args.augmentation_figure, draw_augmentation(examples))
    print(f"plot: pictures are in {args.loss_figure.parent}")


if __name__ == "__main__":
    try:
        main()
    except (ParamsError, OSError) as error:
        sys.exit(f"plot: {error}")
    except KeyboardInterrupt:
        print("\nplot: interrupted; `dvc repro` runs it again", file=sys.stderr)
        sys.exit(130)
