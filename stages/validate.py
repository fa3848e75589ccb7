"""Validate the two CSV files and write them as arrays."""

from mnist_pipeline.core import numerics
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.program import parse_flags, run_stage
from mnist_pipeline.params.schema import load_data_files, load_params

FLAGS = {
    "params": "settings, YAML",
    "data-files": "in: where the data come from and what they must look like, YAML",
    "train-csv": "in: training rows, CSV",
    "test-csv": "in: test rows, CSV",
    "corrections": "in: folder of corrections; data.corrections is one of them",
    "train": "out: training arrays",
    "test": "out: test arrays",
    "summary": "out: summary of the data, JSON",
    "balance": "out: rows of each class, CSV",
    "preview": "out: the first images of each class, PNG",
}


def main() -> None:
    """Run the stage."""
    args = parse_flags(__doc__, FLAGS)
    params, files = load_params(args.params), load_data_files(args.data_files)
    numerics.configure("portable")  # before NumPy is imported
    from mnist_pipeline.core.files import write_csv, write_json
    from mnist_pipeline.data.corrections import Corrected, read_corrections
    from mnist_pipeline.data.csv import read_blocks
    from mnist_pipeline.data.dataset import load_dataset, save_dataset
    from mnist_pipeline.data.relations import Relations
    from mnist_pipeline.data.schema import Schema
    from mnist_pipeline.data.summary import Summary
    from mnist_pipeline.figures.style import save_figure
    from mnist_pipeline.figures.training_images import draw_preview

    expected, named = files.format_of(params.data.dataset), params.data.corrections
    corrections = read_corrections(args.corrections / named, expected.classes) if named else {}
    relations = Relations()
    summaries, corrected, problems = {}, {}, []
    for name, source, target in (("train", args.train_csv, args.train), ("test", args.test_csv, args.test)):
        schema = Schema(expected.image_side, expected.classes, getattr(expected.rows, name))
        summaries[name] = Summary(expected.classes, expected.image_side)
        corrected[name] = Corrected(corrections.get(name, {}), expected.classes)
        derive = relations.groups if name == "train" else relations.overlap
        try:
            blocks = relations.collect(corrected[name].apply(read_blocks(source, schema)))
            save_dataset(target, summaries[name].collect(blocks, name, schema.rows), expected.classes, derive)
        except PipelineError as error:
            problems.append(str(error))
    if problems:
        raise PipelineError("\n".join(problems))

    summary = {name: each.as_dict() for name, each in summaries.items()}
    summary["test"]["images_also_in_train"] = summaries["test"].duplicates_of(summaries["train"])
    write_json(args.summary, summary)
    counts = zip(expected.classes, summaries["train"].class_counts, summaries["test"].class_counts, strict=True)
    write_csv(args.balance, ["class", "train", "test"], counts)
    train, test = load_dataset(args.train), load_dataset(args.test)
    save_figure(args.preview, draw_preview(train.images, train.labels, train.classes))
    print(f"validate: {summary['train']['rows']:,} training and {summary['test']['rows']:,} test rows are valid")
    if overlapping := int((test.overlap > 0).sum()):
        print(f"validate: warning: {overlapping:,} test images are training images, too, or nearly; see the audit")
    if shared := relations.shared_groups:
        print(f"validate: warning: {len(shared)} groups are in both files, such as {shared[0]!r}")
    for name, each in corrected.items():
        if each.dropped or each.relabelled:
            print(f"validate: {named}: {each.dropped} {name} rows dropped, {each.relabelled} relabelled")


if __name__ == "__main__":
    run_stage(main)
