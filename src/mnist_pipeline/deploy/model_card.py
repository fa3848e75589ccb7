"""The model card: what a model is, what it was trained on, how good it is, and what it is not for.

After Mitchell et al. 2019, "Model Cards for Model Reporting"; the front matter is that of the Hugging Face Hub.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mnist_pipeline.core.files import sha256_of
from mnist_pipeline.core.tables import escaped, markdown_table
from mnist_pipeline.params.data import DataFiles
from mnist_pipeline.params.overrides import used_settings
from mnist_pipeline.params.schema import Params

NOT_TRAINING = ("evaluate",)
"""Sections that affect results, but not the weights."""

SHARES = ("precision", "recall", "f1")


@dataclass(frozen=True)
class Results:
    """What the pipeline measured.

    Attributes:
        summary: of the data, as ``validate`` wrote it.
        train: as ``train`` wrote it.
        test: as ``evaluate`` wrote it.
        classes: a row for each class: its name, precision, recall, F1.
    """

    summary: Mapping[str, Any]
    train: Mapping[str, Any]
    test: Mapping[str, Any]
    classes: Sequence[Mapping[str, Any]]


def model_card(params: Params, data_files: DataFiles, results: Results, files: Sequence[Path]) -> str:
    """Return the card, as Markdown.

    Args:
        params: with which the model was made.
        data_files: likewise.
        results: what was measured.
        files: the model's: safetensors, then ONNX.
    """
    csv_format = data_files.format_of(params.data.dataset)
    side, classes = csv_format.image_side, csv_format.classes
    weights, onnx = files
    sections = [
        _head(params),
        f"# Classifier of {side} × {side} greyscale images in {len(classes)} classes\n\n"
        f"{_what(params, results)} The pipeline writes this file; do not edit it.",
        f"## Use\n\n{_use(side, classes, weights, onnx)}",
        f"## Data\n\n{_data(params, data_files, results)}",
        f"## Results\n\n{_results(results)}",
        f"## Limits\n\n{_limits(params)}",
        f"## Settings\n\n```yaml\n{_settings(params)}```",
        f"## Files\n\n{_files(files)}",
    ]
    return "\n\n".join(sections) + "\n"


def _head(params: Params) -> str:
    head = {
        "license": "mit",
        "tags": ["image-classification", params.data.dataset, "pytorch", "onnx", "safetensors"],
        "metrics": ["accuracy", "f1"],
    }
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---"


def _what(params: Params, results: Results) -> str:
    kind = {"mlp": "A fully connected network", "cnn": "A convolutional network"}
    what = kind.get(params.model.architecture, f"A network of architecture {params.model.architecture}")
    return (
        f"{what} with {results.train['parameters']:,} parameters and {results.train['multiply_adds']:,} MACs per "
        f"image. Test accuracy: {_percent(results.test['accuracy'])} (95 % interval "
        f"{_percent(results.test['accuracy_low'])} to {_percent(results.test['accuracy_high'])})."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _use(side: int, classes: Sequence[str], weights: Path, onnx: Path) -> str:
    return f"""With ONNX, without this repository:

```python
import numpy as np, onnxruntime

session = onnxruntime.InferenceSession("{onnx}")
images = np.zeros((1, {side}, {side}), np.uint8)  # 0: background, 255: ink
(probabilities,) = session.run(None, {{"images": images}})  # float32, (1, {len(classes)})
```

In Python with this package: `mnist_pipeline.models.classifier.load_classifier(Path("{weights}"))`. From a shell, for a
photo or scan: `mnist predict IMAGE`. Both files hold the same model: the `evaluate` stage fails unless ONNX and PyTorch
agree on every test image."""


def _data(params: Params, data_files: DataFiles, results: Results) -> str:
    train, test = results.summary["train"], results.summary["test"]
    if params.data.dataset == "mnist":
        hashes = data_files.fetch.sha256
        source = "MNIST (LeCun, Cortes and Burges), as CSV files with the SHA-256 hashes"
        source += f"\n`{hashes.train}` (train) and\n`{hashes.test}` (test)."
    else:
        own = data_files.custom
        source = f"`{own.train}` and `{own.test}`." if own.test else (
            f"`{own.train}`; a stratified share of {own.test_fraction:g} of its rows is the test set."
        )  # fmt: skip
    also = test["images_also_in_train"]
    return (
        f"{source}\n\n"
        f"{train['rows']:,} training rows, of which {results.train['validation_rows']:,} are the validation set; "
        f"{test['rows']:,} test rows, {also or 'none'} of them with an image that is also a training image. "
        f"Classes: {escaped(', '.join(data_files.format_of(params.data.dataset).classes))}."
    )


def _results(results: Results) -> str:
    test, validation = results.test, results.train["validation_accuracy"]
    rows = [
        ("accuracy", f"{test['accuracy']:.4f}"),
        ("95 % interval", f"{test['accuracy_low']:.4f} to {test['accuracy_high']:.4f}"),
        ("errors", f"{test['errors']:,}"),
        ("log loss", f"{test['log_loss']:.4f}"),
        ("expected calibration error", f"{test['expected_calibration_error']:.4f}"),
        ("macro F1", f"{test['macro_f1']:.4f}"),
    ]
    parts = (("corrected", "accuracy on corrected labels"), ("without_overlap", "accuracy without images of train"))
    for name, words in parts:
        if part := test.get(name):
            interval = f"{part['low']:.4f} to {part['high']:.4f}"
            rows.append((words, f"{part['accuracy']:.4f} ({interval}; {part['rows']:,} images)"))
    measures = markdown_table([("metric", "test set"), *rows])
    by_class = [(escaped(each["class"]), *(f"{float(each[name]):.4f}" for name in SHARES)) for each in results.classes]
    validated = "There was no validation set." if validation is None else f"Validation accuracy: {validation:.4f}."
    return f"{measures}\n\n{validated}\n\n{markdown_table([('class', *SHARES), *by_class])}"


def _limits(params: Params) -> str:
    mnist = params.data.dataset == "mnist"
    images = (
        "single digits, greyscale, light ink on a dark background, scaled to 20 × 20 pixels and centred in 28 × 28"
        if mnist
        else "the images of its own data set, with their preprocessing"
    )
    same_kind = "writers, paper and scanner" if mnist else "subjects, camera and preparation"
    return f"""- It was trained on {images}. On other images its predictions are meaningless.
- It always predicts one of its classes, also for an image of none of them, and sometimes with high confidence.
- The interval of the accuracy holds for images like those of the test set: the same kind of {same_kind}.
  It does not include the variation between training runs with other seeds.
- Do not use it alone for decisions that matter to people{", such as the amount on a cheque" if mnist else ""}."""


def _settings(params: Params) -> str:
    content = used_settings(params)
    chosen = {name: section for name, section in content.items() if name not in NOT_TRAINING}
    return yaml.safe_dump(chosen, sort_keys=False, allow_unicode=True)


def _files(files: Sequence[Path]) -> str:
    rows = [(f"`{path}`", f"{path.stat().st_size:,}", f"`{sha256_of(path)}`") for path in files]
    return markdown_table([("file", "bytes", "SHA-256"), *rows])
