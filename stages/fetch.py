"""Bring the two CSV files."""

import argparse
import sys
from pathlib import Path

from mnist_pipeline.params import ParamsError, load_params
from mnist_pipeline.sources import FetchError, fetch


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True, help="folder for unfinished downloads")
    parser.add_argument("--train", type=Path, required=True, help="out: CSV to train on")
    parser.add_argument("--test", type=Path, required=True, help="out: CSV to test on")
    args = parser.parse_args()

    params = load_params(args.params)
    source = fetch(params.fetch, {"train": args.train, "test": args.test}, args.scratch)
    print(f"fetch: {args.train} and {args.test} came from {source} and have the expected hashes")


if __name__ == "__main__":
    try:
        main()
    except (ParamsError, FetchError, OSError) as error:
        sys.exit(f"fetch: {error}")
    except KeyboardInterrupt:
        print("\nfetch: interrupted; `dvc repro` runs it again", file=sys.stderr)
        sys.exit(130)
