"""Validation: from a posted document to a Graph, or to everything that is wrong with it at once."""

from service.core.validation.document import read_graph
from service.core.validation.faults import FAULTS_MAX

__all__ = ["FAULTS_MAX", "read_graph"]
