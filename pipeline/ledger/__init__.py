"""What happened to every record: kept or dropped, at which stage, why, by which value and threshold.

The law: records in = kept + Σ dropped by reason + quarantined.
"""

from pipeline.ledger.funnel import FunnelStep, funnel_steps
from pipeline.ledger.reasons import RULES, Bound, Drop, Reason, satisfies
from pipeline.ledger.tables import COPIES, LEDGER, RECORDS, quarantine_schema, schema

__all__ = [
    "COPIES",
    "LEDGER",
    "RECORDS",
    "RULES",
    "Bound",
    "Drop",
    "FunnelStep",
    "Reason",
    "funnel_steps",
    "quarantine_schema",
    "satisfies",
    "schema",
]
