"""The tables and views that the statements of the store use."""

from __future__ import annotations

from service.store.schema.models import metadata
from service.store.schema.views import limits_view

REQUIRED = (*metadata.sorted_tables, limits_view)
"""A database without one of them cannot be used."""
