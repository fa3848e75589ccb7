"""Check params.yaml, before DVC removes the outputs of a stage that would then fail."""

from mnist_pipeline.core.files import write_text
from mnist_pipeline.core.program import parse_flags, run_stage
from mnist_pipeline.params.schema import load_params

FLAGS = {
    "params": "in: settings, YAML",
    "checked": "out: always the same text, so that no other stage runs because this one did",
}


def main() -> None:
    """Run the stage."""
    args = parse_flags(__doc__, FLAGS)
    load_params(args.params)
    write_text(args.checked, "The settings are valid.\n")


if __name__ == "__main__":
    run_stage(main)
