"""Fetch the two CSV files of MNIST or of the user's own data set."""

from mnist_pipeline.core.program import parse_flags, run_stage
from mnist_pipeline.ingest.custom import fetch_custom
from mnist_pipeline.ingest.mnist import fetch_mnist, limits_of
from mnist_pipeline.params.schema import load_data_files, load_params

FLAGS = {
    "params": "settings, YAML",
    "data-files": "in: where the data come from and what they must look like, YAML",
    "train": "out: training rows, CSV",
    "test": "out: test rows, CSV",
}


def main() -> None:
    """Run the stage."""
    args = parse_flags(__doc__, FLAGS)
    params, files = load_params(args.params), load_data_files(args.data_files)
    targets = {"train": args.train, "test": args.test}
    if params.data.dataset == "mnist":
        source = fetch_mnist(files.fetch, targets)
        print(f"fetch: {args.train} and {args.test} from {source}, SHA-256 verified")
    else:
        source = fetch_custom(files.custom, targets, limits_of(files.fetch))
        print(f"fetch: {args.train} and {args.test} from {source}")


if __name__ == "__main__":
    run_stage(main)
