"""The tools of the four nodes of the example's graph, one module each."""

from __future__ import annotations

from service.example.steps.apply import apply_rules
from service.example.steps.detect import detect_anomalies
from service.example.steps.generate import generate_rules
from service.example.steps.profile import profile_table

__all__ = ["apply_rules", "detect_anomalies", "generate_rules", "profile_table"]
