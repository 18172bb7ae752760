"""What happened to every record: kept or dropped, at which stage, why, by which value and threshold.

The law: records in = kept + Σ dropped by reason + quarantined.
"""

from pipeline.ledger.funnel import Step, steps
from pipeline.ledger.reasons import RULES, Demand, Drop, Reason, meets
from pipeline.ledger.tables import COPIES, LEDGER, RECORDS, quarantine_schema, schema

__all__ = [
    "COPIES",
    "LEDGER",
    "RECORDS",
    "RULES",
    "Demand",
    "Drop",
    "Reason",
    "Step",
    "meets",
    "quarantine_schema",
    "schema",
    "steps",
]
