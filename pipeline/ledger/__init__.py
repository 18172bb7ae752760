"""What happened to every record: kept or dropped, at which stage, why, by which value and threshold.

The law: records in = kept + Σ dropped by reason + quarantined.
"""

from pipeline.ledger.reasons import RULES, Demand, Drop, Reason
from pipeline.ledger.tables import quarantine_schema, schema

__all__ = ["RULES", "Demand", "Drop", "Reason", "quarantine_schema", "schema"]
