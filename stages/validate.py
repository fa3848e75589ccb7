"""Check the two CSV files and write them as arrays."""

import argparse
import sys
from pathlib import Path

from mnist_pipeline import numerics
from mnist_pipeline.params import ParamsError, load_params


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, required=True)
    parser.add_argument("--train-csv", type=Path, required=True, help="in: CSV to train on")
    parser.add_argument("--test-csv", type=Path, required=True, help="in: CSV to test on")
    parser.add_argument("--train", type=Path, required=True, help="out: arrays to train on")
    parser.add_argument("--test", type=Path, required=True, help="out: arrays to test on")
    parser.add_argument("--facts", type=Path, required=True, help="out: facts about the data, JSON")
    parser.add_argument("--balance", type=Path, required=True, help="out: rows of each class, CSV")
    parser.add_argument("--preview", type=Path, required=True, help="out: a look at the data, PNG")
    args = parser.parse_args()

    params = load_params(args.params)
    numerics.configure("portable")  # before NumPy is imported
    from mnist_pipeline.csvs import CsvError, Schema, read_blocks
    from mnist_pipeline.figures.preview import draw_preview
    from mnist_pipeline.figures.style import save_figure
    from mnist_pipeline.files import write_csv, write_json
    from mnist_pipeline.profile import Profile
    from mnist_pipeline.splits import SplitError, load_split, save_split

    form = params.form
    side, classes = form.image_side, form.classes
    profiles, problems = {}, []
    for split, source, target in (("train", args.train_csv, args.train), ("test", args.test_csv, args.test)):
        schema = Schema(side, len(classes), getattr(form.rows, split))
        profiles[split] = Profile(classes, side)
        try:
            blocks = profiles[split].watch(read_blocks(source, schema), split, schema.rows)
            save_split(target, blocks, side, classes)
        except (CsvError, SplitError) as error:
            problems.append(str(error))
    if problems:
        sys.exit("validate: " + "\n".join(problems))

    facts = {split: profile.facts() for split, profile in profiles.items()}
    facts["test"]["images_also_in_train"] = profiles["test"].duplicates_of(profiles["train"])
    counts = zip(classes, profiles["train"].class_counts, profiles["test"].class_counts, strict=True)
    write_json(args.facts, facts)
    write_csv(args.balance, ["class", "train", "test"], counts)
    save_figure(args.preview, draw_preview(load_split(args.train)))
    print(f"validate: {facts['train']['rows']} training rows and {facts['test']['rows']} test rows are as they must be")


if __name__ == "__main__":
    try:
        main()
    except (ParamsError, OSError) as error:
        sys.exit(f"validate: {error}")
    except KeyboardInterrupt:
        print("\nvalidate: interrupted; `dvc repro` runs it again", file=sys.stderr)
        sys.exit(130)
