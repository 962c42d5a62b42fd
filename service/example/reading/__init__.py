"""Reading with certainty: what a file holds is known, line by line, or the run fails and says what would settle it."""

from __future__ import annotations

from service.example.reading.source import DATASETS, load_source

__all__ = ["DATASETS", "load_source"]
