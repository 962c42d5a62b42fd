"""What holds for every test: Hypothesis sets no deadline, since other processes may have the cores, and is brief."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("rungraph", deadline=None, max_examples=40)
settings.load_profile("rungraph")
