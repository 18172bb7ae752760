"""The filters of a run, as its manifest records them; deduplication alone has none of its own."""

from collections.abc import Mapping
from typing import Any

from core import manifest, storage
from core.manifest import Manifest

NO_FILTERS: Mapping[str, Any] = {
    "preset": "",
    "thresholds": {},
    "thresholds_by_language": {},
    "languages": [],
}


def filter_settings(made: Manifest) -> Mapping[str, Any]:
    """Return the resolved filter settings of a run, with all keys of :data:`NO_FILTERS`.

    Those of a run that decided about another one (``dedup.run``) are the other one's, unless that was moved
    or replaced.
    """
    if filters := made.config.get("filters"):
        return {**NO_FILTERS, **filters}
    if base := made.facts.get("run"):
        folder = made.inputs[0]
        if storage.exists(storage.join(folder, manifest.NAME)):
            other = manifest.read(folder, *manifest.CORPUS_STAGES)
            if other.sha256() == base:
                return filter_settings(other)
    return NO_FILTERS
