"""Write the model card."""

import csv
import json

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.files import write_text
from mnist_pipeline.core.program import parse_flags, run_stage
from mnist_pipeline.deploy.model_card import SHARES, Results, model_card
from mnist_pipeline.params.schema import load_data_files, load_params

FLAGS = {
    "params": "settings, YAML",
    "data-files": "in: where the data come from and what they must look like, YAML",
    "model": "in: the classifier",
    "onnx": "in: the classifier, ONNX",
    "summary": "in: summary of the data, JSON",
    "train-details": "in: details of training, JSON",
    "test-details": "in: details of the evaluation, JSON",
    "classes": "in: precision, recall and F1 of each class, CSV",
    "card": "out: the model card, Markdown",
}


def main() -> None:
    """Run the stage."""
    args = parse_flags(__doc__, FLAGS)
    params, files = load_params(args.params), load_data_files(args.data_files)
    summary, train, test = (
        json.loads(path.read_bytes()) for path in (args.summary, args.train_details, args.test_details)
    )
    by_class = csv.DictReader(args.classes.read_text("utf-8").splitlines())  # pandas takes longer than all else here
    if by_class.fieldnames != ["class", *SHARES]:
        raise PipelineError(f"{args.classes}: must have the columns class, {', '.join(SHARES)}; run dvc repro evaluate")
    results = Results(summary, train, test, list(by_class))
    write_text(args.card, model_card(params, files, results, [args.model, args.onnx]))
    print(f"card: the model card is {args.card}")


if __name__ == "__main__":
    run_stage(main)
