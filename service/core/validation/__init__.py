"""Validate a posted document: return a Graph, or all its faults at once."""

from service.core.validation.children import child_graphs, missing_graphs, pin
from service.core.validation.document import read_graph
from service.core.validation.faults import FAULTS_MAX

__all__ = ["FAULTS_MAX", "child_graphs", "missing_graphs", "pin", "read_graph"]
