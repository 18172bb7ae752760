"""What happened to every record: kept or dropped, at which stage, why, by which value against which threshold.

The law: records in = kept + Σ dropped by reason + quarantined.
"""

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa


class Reason(StrEnum):
    """Every condition that can drop a record; the part before the dot is the stage."""

    # Reading: the record is sound, but is no page.
    RECORD_TYPE = "read.record_type"
    REVISIT = "read.revisit"
    HTTP_STATUS = "read.http_status"
    MEDIA_TYPE = "read.media_type"
    NAMESPACE = "read.namespace"
    REDIRECT = "read.redirect"
    # Extraction.
    EMPTY = "extract.empty"
    # Duplicates.
    EXACT_DUPLICATE = "dedup.exact"
    NEAR_DUPLICATE = "dedup.near"

    @property
    def stage(self) -> str:
        """The stage that drops by this reason."""
        return self.value.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Drop:
    """A decision against a record: the failing condition, and the value that failed the threshold."""

    reason: Reason
    value: float | None = None
    threshold: float | None = None


def schema() -> pa.Schema:
    """One row per input record that could be read. ``sample`` holds first characters of some dropped texts."""
    return pa.schema(
        [
            ("id", pa.string()),
            ("source", pa.string()),
            ("url", pa.string()),
            ("stage", pa.string()),
            ("kept", pa.bool_()),
            ("reason", pa.string()),
            ("value", pa.float64()),
            ("threshold", pa.float64()),
            ("duplicate_of", pa.string()),
            ("sample", pa.string()),
        ]
    )


def quarantine_schema() -> pa.Schema:
    """One row per record that could not be read: where it lies and what was wrong."""
    return pa.schema(
        [
            ("id", pa.string()),
            ("source", pa.string()),
            ("path", pa.string()),
            ("offset", pa.int64()),
            ("length", pa.int64()),
            ("error", pa.string()),
        ]
    )
