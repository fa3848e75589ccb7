"""Score the classifier on the test arrays, which otherwise only the audit reads, and export it to ONNX."""

from mnist_pipeline.core import numerics
from mnist_pipeline.core.program import parse_flags, run_stage
from mnist_pipeline.params.schema import load_data_files, load_params

FLAGS = {
    "params": "settings, YAML",
    "data-files": "in: where the data come from and what they must look like, YAML",
    "model": "in: the classifier",
    "test": "in: test arrays",
    "corrections": "in: folder of corrections; csv.corrected_test is one of them",
    "onnx": "out: the classifier, ONNX",
    "metrics": "out: test accuracy and log loss, JSON",
    "details": "out: all that was measured, JSON",
    "predictions": "out: a row for every test image, CSV",
    "classes": "out: precision, recall and F1 of each class, CSV",
    "calibration": "out: confidence against accuracy, CSV",
    "samples": "out: the test images that figures show",
}


def main() -> None:
    """Run the stage."""
    args = parse_flags(__doc__, FLAGS)
    params, files = load_params(args.params), load_data_files(args.data_files)
    numerics.configure(params.runtime.numerics)  # before NumPy and torch are imported
    from mnist_pipeline.data.corrections import read_corrections
    from mnist_pipeline.data.dataset import load_dataset
    from mnist_pipeline.deploy.onnx_check import check_agreement
    from mnist_pipeline.deploy.onnx_export import save_onnx
    from mnist_pipeline.evaluation.evaluate import evaluate, write_evaluation
    from mnist_pipeline.evaluation.figure_samples import save_figure_samples
    from mnist_pipeline.models.classifier import load_classifier

    device = numerics.device(params.runtime.device)
    dataset = load_dataset(args.test)
    corrected = files.format_of(params.data.dataset).corrected_test
    corrections = read_corrections(args.corrections / corrected, dataset.classes)["test"] if corrected else None
    classifier = load_classifier(args.model).to(device)
    result = evaluate(classifier, dataset, params.evaluate.calibration_bins, corrections)
    save_onnx(args.onnx, classifier.cpu())
    difference = check_agreement(args.onnx, dataset.images, result.probabilities, result.totals)
    save_figure_samples(args.samples, dataset, result, params.evaluate.record)
    write_evaluation(result, args.metrics, args.details, args.predictions, args.classes, args.calibration)
    metrics = result.metrics
    print(
        f"evaluate: test accuracy {metrics['accuracy']:.4f} (95 % interval {metrics['accuracy_low']:.4f} to "
        f"{metrics['accuracy_high']:.4f}), {metrics['errors']} errors; ONNX agrees within {difference:.0e}"
    )
    for name, words in (("corrected", "on the corrected labels"), ("without_overlap", "without images of train")):
        if part := metrics.get(name):
            bounds = f"{part['accuracy']:.4f} (95 % interval {part['low']:.4f} to {part['high']:.4f})"
            print(f"evaluate: test accuracy {words} {bounds}, {part['rows']:,} rows")


if __name__ == "__main__":
    run_stage(main)
