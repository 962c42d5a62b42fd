"""Conditions for runs that are not being deleted, and for runs that must not be deleted."""

from __future__ import annotations

from typing import Any

from sqlalchemy import exists, select

from service.core.transitions import OVER, Status
from service.store.database.statements import constant
from service.store.schema.models import deletions, runs


def is_kept(run_id: Any = runs.c.id) -> Any:
    """Return the condition that a run is not being deleted. The table of deletions is almost always empty."""
    return run_id.not_in(select(deletions.c.run_id))


_child, _fork = runs.alias("child"), runs.alias("fork")
OPEN = [constant(status) for status in Status if status not in OVER]
HAS_FORK = exists().where(_fork.c.forked_from_id == runs.c.id, is_kept(_fork.c.id)).correlate(runs)
HAS_OPEN_CHILD = exists().where(_child.c.parent_id == runs.c.id, _child.c.status.in_(OPEN)).correlate(runs)
