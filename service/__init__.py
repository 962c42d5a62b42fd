"""Rungraph: a durable workflow engine behind an HTTP API."""

from typing import TYPE_CHECKING

from service.lazy import attributes_of

if TYPE_CHECKING:
    from service.tools.registry import tool
else:
    __getattr__, __dir__ = attributes_of(__name__, tool="service.tools.registry")

__all__ = ["tool"]
