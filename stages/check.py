"""Check the settings, before DVC removes the outputs of a stage that would then fail; say which ones changed."""

from mnist_pipeline.core.files import write_json, write_text
from mnist_pipeline.core.program import parse_flags, run_stage
from mnist_pipeline.core.yaml import changed_values, describe_changes, flatten, read_yaml
from mnist_pipeline.params.limits import check_corrections
from mnist_pipeline.params.schema import load_data_files, load_params

FLAGS = {
    "params": "in: settings, YAML",
    "baseline": "in: the settings to compare them with, YAML",
    "data-files": "in: where the data come from and what they must look like, YAML",
    "corrections": "in: folder of corrections, which settings name",
    "checked": "out: always the same text, so that no other stage runs because this one did",
    "settings": "out: the settings that differ from the baseline, JSON",
}

LONGEST = 30  # characters; more would push the accuracies off a terminal


def main() -> None:
    """Run the stage."""
    args = parse_flags(__doc__, FLAGS)
    params, files = load_params(args.params), load_data_files(args.data_files)
    check_corrections(params, files.format_of(params.data.dataset), args.corrections)
    baseline, settings = flatten(read_yaml(args.baseline)), flatten(read_yaml(args.params))
    changes = changed_values(baseline, {name: settings.get(name) for name in baseline})  # new ones cannot differ
    changed = describe_changes(changes, settings)
    if len(changed) > LONGEST:
        changed = f"{changed[: LONGEST - 1].rstrip()}…"
    write_json(args.settings, {"changed": changed or None})
    write_text(args.checked, "The settings are valid.\n")


if __name__ == "__main__":
    run_stage(main)
