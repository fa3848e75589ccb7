"""Write the classifier as ONNX, for other runtimes."""

import argparse
import sys
from pathlib import Path

from mnist_pipeline import numerics


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="in: the classifier")
    parser.add_argument("--onnx", type=Path, required=True, help="out: the classifier, ONNX")
    args = parser.parse_args()

    numerics.configure("portable")  # before NumPy and torch are imported
    from mnist_pipeline.classifier import load_classifier
    from mnist_pipeline.modelfile import ModelFileError
    from mnist_pipeline.onnxfile import ExportError, save_onnx

    try:
        save_onnx(args.onnx, load_classifier(args.model))
    except (ModelFileError, ExportError) as error:
        sys.exit(f"export: {error}")
    print(f"export: {args.onnx} has {args.onnx.stat().st_size:,} bytes")


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(f"export: {error}")
    except KeyboardInterrupt:
        print("\nexport: interrupted; `dvc repro` runs it again", file=sys.stderr)
        sys.exit(130)
