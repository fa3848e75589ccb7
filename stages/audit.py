"""Report what is probably wrong with the data. Nothing reads the report but people."""

from mnist_pipeline.core import numerics
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.program import parse_flags, run_stage
from mnist_pipeline.params.schema import load_params

FLAGS = {
    "params": "settings, YAML",
    "train": "in: training arrays",
    "test": "in: test arrays",
    "metrics": "out: number of findings of each kind, JSON",
    "findings": "out: a row for each finding, CSV",
    "figure": "out: the most suspect images, PNG",
}


def main() -> None:
    """Run the stage."""
    args = parse_flags(__doc__, FLAGS)
    params = load_params(args.params)
    numerics.configure("portable")  # before NumPy and torch are imported
    from mnist_pipeline.audit.audit import audit
    from mnist_pipeline.audit.findings import count, warnings, write_findings
    from mnist_pipeline.audit.gallery import draw_suspects
    from mnist_pipeline.audit.labels import out_of_fold_probabilities
    from mnist_pipeline.core.files import write_json
    from mnist_pipeline.data.dataset import load_dataset
    from mnist_pipeline.figures.style import save_figure

    datasets = {"train": load_dataset(args.train), "test": load_dataset(args.test)}
    folds, steps = params.audit.folds, params.audit.steps
    train, test = out_of_fold_probabilities(datasets["train"], datasets["test"], folds, steps)
    findings = audit(datasets, {"train": train, "test": test})
    write_findings(args.findings, findings)
    write_json(args.metrics, count(findings))
    save_figure(args.figure, draw_suspects(datasets, findings))
    lines = warnings(findings)
    for line in lines.values():
        print(f"audit: {line}; see {args.findings}")
    if not lines:
        print("audit: nothing found")
    if broken := [line for kind, line in lines.items() if kind in params.audit.fail_on]:
        raise PipelineError(f"audit.fail_on: {'; '.join(broken)}; see {args.findings}")


if __name__ == "__main__":
    run_stage(main)
