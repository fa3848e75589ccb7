"""The base of every section of params.yaml, and the types that sections share."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def matching(pattern: str, words: str) -> AfterValidator:
    """Return a check that text matches a pattern; its error says in words what the text must be."""

    def check(value: str) -> str:
        if re.fullmatch(pattern, value) is None:
            raise ValueError(f"must be {words}, was {value!r}")
        return value

    return AfterValidator(check)


PositiveInt = Annotated[int, Field(ge=1, le=10**9)]
PositiveFloat = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
UnitInterval = Annotated[float, Field(ge=0, lt=1)]
Sha256 = Annotated[str, matching("[0-9a-f]{64}", "a SHA-256, 64 hexadecimal digits in lower case")]


class Section(BaseModel):
    """A part of params.yaml. Strict: a string is no number, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
