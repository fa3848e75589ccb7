"""Bring the two CSV files."""

import argparse
import sys
from pathlib import Path

from mnist_pipeline.csvs import CsvError
from mnist_pipeline.custom import fetch_custom
from mnist_pipeline.params import ParamsError, load_params
from mnist_pipeline.sources import FetchError, fetch, limits_of


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True, help="folder for unfinished downloads")
    parser.add_argument("--train", type=Path, required=True, help="out: CSV to train on")
    parser.add_argument("--test", type=Path, required=True, help="out: CSV to test on")
    args = parser.parse_args()

    params = load_params(args.params)
    targets = {"train": args.train, "test": args.test}
    if params.data.dataset == "mnist":
        source = fetch(params.fetch, targets, args.scratch)
        print(f"fetch: {args.train} and {args.test} came from {source} and have the expected hashes")
    else:
        source = fetch_custom(params.custom, targets, args.scratch, limits_of(params.fetch))
        print(f"fetch: {args.train} and {args.test} came from {source}")


if __name__ == "__main__":
    try:
        main()
    except (ParamsError, FetchError, CsvError, OSError) as error:
        sys.exit(f"fetch: {error}")
    except KeyboardInterrupt:
        print("\nfetch: interrupted; `dvc repro` runs it again", file=sys.stderr)
        sys.exit(130)
