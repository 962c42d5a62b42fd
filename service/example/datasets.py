"""The bundled data sets, by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

DATASETS: Mapping[str, Path] = {"planes": Path(__file__).parent / "data" / "planes.csv"}
