"""Bases of all request bodies."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from serve.api.schemas.neutral import drop_neutral


class StrictModel(BaseModel):
    """Base of all bodies: unknown parameters are rejected, types are not converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


class NeutralModel(StrictModel):
    """Base of bodies whose further parameters are accepted if they have no effect."""

    @model_validator(mode="before")
    @classmethod
    def _drop_neutral(cls, values: Any) -> Any:
        return drop_neutral(values, cls.model_fields) if isinstance(values, dict) else values
