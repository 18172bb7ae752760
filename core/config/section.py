"""The base of every configuration section."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the configuration: frozen, strictly typed, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
