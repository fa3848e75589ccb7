"""The file of a model: read back exactly, the same bytes in every process, and refused where damaged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from mnist_pipeline.modelfile import ModelFile, PipelineError, load_model, save_model

DESCRIPTION: dict[str, Any] = {
    "image_side": 28,
    "hidden_units": [200, 50],
    "classes": ["null", "fünf"],
    "mean": 0.1307,
    "below": {"b": None, "a": True},
}


def model() -> ModelFile:
    random = np.random.default_rng(0)
    shapes = {
        "layers.0.weight": (20, 9),
        "layers.0.bias": (20,),
        "norm": (1,),
        "scalar": (),
        "layers.1.weight": (3, 20),
    }
    return ModelFile(
        DESCRIPTION, {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    )


def assert_equal(found: ModelFile, expected: ModelFile) -> None:
    assert found.description == expected.description
    assert set(found.tensors) == set(expected.tensors)
    for name, tensor in expected.tensors.items():
        assert found.tensors[name].dtype == np.float32
        assert found.tensors[name].shape == tensor.shape
        assert found.tensors[name].tobytes() == tensor.tobytes()  # to the bit


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "below" / "model.safetensors"
    save_model(path, model())
    assert_equal(load_model(path), model())
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_special_values_and_transposed_arrays(tmp_path: Path) -> None:
    values = np.array([[0.0, -0.0, np.inf], [np.nan, 1e-45, -3.4e38]], np.float32).T
    saved = ModelFile({}, {"values": values})
    save_model(tmp_path / "model", saved)
    assert_equal(load_model(tmp_path / "model"), saved)


def test_the_safetensors_library_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, model())
    assert_equal(ModelFile(DESCRIPTION, load_file(path)), model())
    with safe_open(path, framework="numpy") as file:
        assert list(file.metadata()) == ["classifier"]


def test_the_order_of_keys_makes_no_difference(tmp_path: Path) -> None:
    one = model()
    other = ModelFile(dict(reversed(one.description.items())), dict(reversed(one.tensors.items())))
    save_model(tmp_path / "one", one)
    save_model(tmp_path / "other", other)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


SAVE = """
import sys
from pathlib import Path
import numpy as np
from mnist_pipeline.modelfile import ModelFile, save_model

names = sorted({f"layers.{number}.weight" for number in range(20)}, key=hash)
description = {name: number for number, name in enumerate(sorted(names))}
description = {name: description[name] for name in names}
tensors = {name: np.full(3, description[name], np.float32) for name in names}
save_model(Path(sys.argv[1]), ModelFile(description, tensors))
print(*names)
"""


def test_every_process_writes_the_same_bytes(tmp_path: Path) -> None:
    orders = []
    for seed in ("1", "2"):
        orders.append(
            subprocess.run(
                [sys.executable, "-c", SAVE, tmp_path / seed],
                env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[1] / "src")},
                stdout=subprocess.PIPE,
                check=True,
            ).stdout
        )
    assert orders[0] != orders[1]  # the processes do differ
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")
    with pytest.raises(TypeError):
        save_model(path, ModelFile({"no JSON": object()}, model().tensors))
    with pytest.raises(Exception, match="dtype"):
        save_model(path, ModelFile({}, {"text": np.array(["a"])}))
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"1234567", id="seven bytes"),
        pytest.param(bytes(1000), id="zeros"),
        pytest.param(b"\xff" * 1000, id="ones"),
        pytest.param(b"\x80\x04\x95 a pickle, which could run code", id="pickle"),
        pytest.param((2).to_bytes(8, "little") + b"{}", id="no metadata"),
        pytest.param((9).to_bytes(8, "little") + b"not JSON!", id="no JSON"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(PipelineError) as caught:
        load_model(path)
    assert str(caught.value).startswith(f"{path}: must be a model that the train stage wrote; ")


@pytest.mark.parametrize("metadata", [None, {"other": "{}"}, {"classifier": "{"}], ids=["none", "other key", "no JSON"])
def test_another_safetensors_file_is_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"weight": np.zeros(3, np.float32)}, path, metadata)
    with pytest.raises(PipelineError, match=str(path)):
        load_model(path)


@pytest.mark.parametrize("kept", [0, 4, 8, 50, 300, -4, -1])
def test_a_truncated_model_is_refused(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, model())
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(PipelineError, match=str(path)):
        load_model(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(PipelineError, match=str(path)):
            load_model(path)


def test_reading_a_model_needs_no_torch() -> None:
    code = "import sys, mnist_pipeline.modelfile; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
