"""Validate the two CSV files and write them as arrays."""

from mnist_pipeline.core import numerics
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.program import parse_flags, run_stage
from mnist_pipeline.params.schema import load_params

FLAGS = {
    "params": "settings, YAML",
    "train-csv": "in: training rows, CSV",
    "test-csv": "in: test rows, CSV",
    "train": "out: training arrays",
    "test": "out: test arrays",
    "summary": "out: summary of the data, JSON",
    "balance": "out: rows of each class, CSV",
    "preview": "out: the first images of each class, PNG",
}


def main() -> None:
    """Run the stage."""
    args = parse_flags(__doc__, FLAGS)
    params = load_params(args.params)
    numerics.configure("portable")  # before NumPy is imported
    from mnist_pipeline.core.files import write_csv, write_json
    from mnist_pipeline.data.csv import Schema, read_blocks
    from mnist_pipeline.data.dataset import load_dataset, save_dataset
    from mnist_pipeline.data.summary import Summary
    from mnist_pipeline.figures.preview import draw_preview
    from mnist_pipeline.figures.style import save_figure

    expected = params.csv_format
    summaries, problems = {}, []
    for name, source, target in (("train", args.train_csv, args.train), ("test", args.test_csv, args.test)):
        schema = Schema(expected.image_side, len(expected.classes), getattr(expected.rows, name))
        summaries[name] = Summary(expected.classes, expected.image_side)
        try:
            blocks = summaries[name].collect(read_blocks(source, schema), name, schema.rows)
            save_dataset(target, blocks, expected.classes)
        except PipelineError as error:
            problems.append(str(error))
    if problems:
        raise PipelineError("\n".join(problems))

    summary = {name: each.as_dict() for name, each in summaries.items()}
    summary["test"]["images_also_in_train"] = summaries["test"].duplicates_of(summaries["train"])
    write_json(args.summary, summary)
    counts = zip(expected.classes, summaries["train"].class_counts, summaries["test"].class_counts, strict=True)
    write_csv(args.balance, ["class", "train", "test"], counts)
    train = load_dataset(args.train)
    save_figure(args.preview, draw_preview(train.images, train.labels, train.classes))
    print(f"validate: {summary['train']['rows']:,} training and {summary['test']['rows']:,} test rows are valid")


if __name__ == "__main__":
    run_stage(main)
