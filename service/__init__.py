"""Rungraph: a durable workflow engine behind an HTTP API."""

from service.tools.registry import tool

__all__ = ["tool"]
