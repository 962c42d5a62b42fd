"""Read a file with certainty: every line is understood, or the run fails and names the option that would help."""

from __future__ import annotations

from service.example.reading.source import DATASETS, load_source

__all__ = ["DATASETS", "load_source"]
