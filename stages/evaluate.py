"""Score the classifier on the test arrays; the only stage that reads them."""

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
    parser.add_argument("--onnx", type=Path, required=True, help="in: the same as ONNX, to be held to it")
    parser.add_argument("--test", type=Path, required=True, help="in: arrays to test on")
    parser.add_argument("--metrics", type=Path, required=True, help="out: metrics, JSON")
    parser.add_argument("--predictions", type=Path, required=True, help="out: a row for every test image, CSV")
    parser.add_argument("--classes", type=Path, required=True, help="out: precision, recall, F1 of each class, CSV")
    parser.add_argument("--calibration", type=Path, required=True, help="out: confidence against accuracy, CSV")
    parser.add_argument("--showcase", type=Path, required=True, help="out: the test images that pictures show")
    args = parser.parse_args()

    params = load_params(args.params)
    numerics.configure(params.runtime.numerics)  # before NumPy and torch are imported
    from mnist_pipeline.classifier import load_classifier
    from mnist_pipeline.evaluation import EvaluationError, evaluate, write_evaluation
    from mnist_pipeline.modelfile import ModelFileError
    from mnist_pipeline.onnxcheck import OnnxError, check_agreement
    from mnist_pipeline.showcase import ShowcaseError, choose, save_showcase
    from mnist_pipeline.splits import SplitError, load_split

    try:
        device = numerics.device(params.runtime.device)
        split = load_split(args.test)
        result = evaluate(load_classifier(args.model).to(device), split, params.evaluate.calibration_bins)
        difference = check_agreement(args.onnx, split.images, result.probabilities)
        showcase = choose(split.images, result.labels, result.probabilities, split.classes, params.evaluate.record)
    except (numerics.DeviceError, ModelFileError, SplitError, EvaluationError, OnnxError, ShowcaseError) as error:
        sys.exit(f"evaluate: {error}")

    write_evaluation(result, args.metrics, args.predictions, args.classes, args.calibration)
    save_showcase(args.showcase, showcase)
    metrics = result.metrics
    print(
        f"evaluate: test accuracy {metrics['accuracy']:.4f} (95 % interval {metrics['accuracy_low']:.4f} "
        f"to {metrics['accuracy_high']:.4f}), {metrics['errors']} errors; by onnxruntime the same, "
        f"within {difference:.0e}"
    )


if __name__ == "__main__":
    try:
        main()
    except (ParamsError, OSError) as error:
        sys.exit(f"evaluate: {error}")
    except KeyboardInterrupt:
        print("\nevaluate: interrupted; `dvc repro` runs it again", file=sys.stderr)
        sys.exit(130)
