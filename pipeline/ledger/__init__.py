"""The ledger: the decision about every record, and for drops the stage, reason, value and threshold.

Invariant: records in = kept + Σ dropped by reason + quarantined. Start reading with
:mod:`~pipeline.ledger.reasons`. ``python -m pipeline.ledger`` queries the ledger of a finished run.
"""

from pipeline.ledger.funnel import FunnelStep, funnel_steps, warnings
from pipeline.ledger.reasons import RULES, Bound, Drop, Reason, satisfies
from pipeline.ledger.tables import (
    ANALYSIS,
    COPIES,
    CUTS,
    LEDGER,
    RECORDS,
    copies_schema,
    cuts_schema,
    quarantine_schema,
    records_folder,
    schema,
)

__all__ = [
    "ANALYSIS",
    "COPIES",
    "CUTS",
    "LEDGER",
    "RECORDS",
    "RULES",
    "Bound",
    "Drop",
    "FunnelStep",
    "Reason",
    "copies_schema",
    "cuts_schema",
    "funnel_steps",
    "quarantine_schema",
    "records_folder",
    "satisfies",
    "schema",
    "warnings",
]
