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

    Those of a run that decided about another one (``dedup.run``) are the other one's, unless that was moved.
    """
    if filters := made.config.get("filters"):
        return {**NO_FILTERS, **filters}
    if other := made.config.get("dedup", {}).get("run"):
        folder = storage.absolute(other)
        if storage.exists(storage.join(folder, manifest.NAME)):
            return filter_settings(manifest.read(folder, *manifest.CORPUS_STAGES))
    return NO_FILTERS
