"""Write the model card."""

import argparse
import csv
import json
import sys
from pathlib import Path

from mnist_pipeline.card import Results, model_card
from mnist_pipeline.files import replacing
from mnist_pipeline.params import ParamsError, load_params


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True, help="in: the classifier")
    parser.add_argument("--onnx", type=Path, required=True, help="in: the classifier, ONNX")
    parser.add_argument("--facts", type=Path, required=True, help="in: facts about the data, JSON")
    parser.add_argument("--train-metrics", type=Path, required=True, help="in: how training ended, JSON")
    parser.add_argument("--test-metrics", type=Path, required=True, help="in: metrics on the test set, JSON")
    parser.add_argument("--classes", type=Path, required=True, help="in: precision, recall, F1 of each class, CSV")
    parser.add_argument("--card", type=Path, required=True, help="out: the model card, Markdown")
    args = parser.parse_args()

    params = load_params(args.params)
    facts, train, test = (json.loads(path.read_bytes()) for path in (args.facts, args.train_metrics, args.test_metrics))
    with args.classes.open(encoding="utf-8", newline="") as file:
        results = Results(facts, train, test, list(csv.DictReader(file)))
    text = model_card(params, results, [args.model, args.onnx])
    with replacing(args.card) as temporary:
        temporary.write_text(text, "utf-8")
    print(f"card: the model card is {args.card}")


if __name__ == "__main__":
    try:
        main()
    except (ParamsError, OSError) as error:
        sys.exit(f"card: {error}")
    except KeyboardInterrupt:
        print("\ncard: interrupted; `dvc repro` runs it again", file=sys.stderr)
        sys.exit(130)
