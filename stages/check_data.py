"""Check the settings against data and machine, before DVC removes the outputs of a stage that would then fail."""

import json

from mnist_pipeline.core import numerics
from mnist_pipeline.core.files import write_text
from mnist_pipeline.core.program import parse_flags, run_stage
from mnist_pipeline.params.limits import check_limits
from mnist_pipeline.params.schema import load_data_files, load_params

FLAGS = {
    "params": "in: settings, YAML",
    "data-files": "in: where the data come from and what they must look like, YAML",
    "summary": "in: summary of the data, JSON",
    "checked": "out: always the same text, so that no other stage runs because this one did",
}


def main() -> None:
    """Run the stage."""
    args = parse_flags(__doc__, FLAGS)
    params = load_params(args.params)
    csv_format = load_data_files(args.data_files).format_of(params.data.dataset)
    if params.runtime.device != "cpu":
        numerics.device(params.runtime.device)
    check_limits(params, csv_format.image_side, json.loads(args.summary.read_text("utf-8")))
    write_text(args.checked, "The settings fit the data.\n")


if __name__ == "__main__":
    run_stage(main)
