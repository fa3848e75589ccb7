"""Export the classifier to ONNX, for other runtimes."""

from mnist_pipeline.core import numerics
from mnist_pipeline.core.program import parse_flags, run_stage

FLAGS = {
    "model": "in: the classifier",
    "onnx": "out: the classifier, ONNX",
}


def main() -> None:
    """Run the stage."""
    args = parse_flags(__doc__, FLAGS)
    numerics.configure("portable")  # before NumPy and torch are imported
    from mnist_pipeline.deploy.onnx_export import save_onnx
    from mnist_pipeline.models.classifier import load_classifier

    save_onnx(args.onnx, load_classifier(args.model))
    print(f"export: {args.onnx} has {args.onnx.stat().st_size:,} bytes")


if __name__ == "__main__":
    run_stage(main)
