"""The graph: one frozen family of types, posted, stored and executed alike.

`validation.read_graph` makes them from a document and says what is wrong with it; `Graph.load` takes
back what `Graph.document` wrote. Identity is content: the same definition has one id.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from service.core import codec

MAX_STEPS_DEFAULT = 10_000
CONDITION_DEPTH_MAX = 32


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Op(StrEnum):
    """What a comparison asks."""

    EQ = "=="
    NE = "!="
    GT = ">"
    GE = ">="
    LT = "<"
    LE = "<="
    IN = "in"
    NOT_IN = "not_in"
    CONTAINS = "contains"
    EXISTS = "exists"
    IS_TYPE = "is_type"


class Comparison(Frozen):
    """The state at `key`, compared with a literal or with the state at `value_from`."""

    key: str
    op: Op
    value: Any = None
    value_from: str | None = None

    def document(self) -> dict[str, Any]:
        right = {"value": self.value} if self.value_from is None else {"value_from": self.value_from}
        return {"key": self.key, "op": self.op.value, **right}


class AllOf(Frozen):
    """True when all parts are; asks left to right and stops at the first that is false."""

    parts: tuple[Condition, ...] = Field(alias="all")

    def document(self) -> dict[str, Any]:
        return {"all": [part.document() for part in self.parts]}


class AnyOf(Frozen):
    """True when any part is; asks left to right and stops at the first that is true."""

    parts: tuple[Condition, ...] = Field(alias="any")

    def document(self) -> dict[str, Any]:
        return {"any": [part.document() for part in self.parts]}


class Not(Frozen):
    part: Condition = Field(alias="not")

    def document(self) -> dict[str, Any]:
        return {"not": self.part.document()}


Condition = Comparison | AllOf | AnyOf | Not


class Node(Frozen):
    """A named place in a graph: the tool that is called there, and what it is handed besides the state."""

    tool: str
    metadata: dict[str, Any] = {}

    def document(self) -> dict[str, Any]:
        return {"tool": self.tool, "metadata": self.metadata}


class Edge(Frozen):
    """A way on, taken where its condition is true or absent; `to` None ends the run."""

    to: str | None
    condition: Condition | None = None

    def document(self) -> dict[str, Any]:
        condition = {} if self.condition is None else {"condition": self.condition.document()}
        return {"to": self.to, **condition}


class Graph(Frozen):
    """A whole definition; the edges of a node stand in the order in which they are asked."""

    name: str = ""
    start_node: str
    max_steps: int = MAX_STEPS_DEFAULT
    nodes: dict[str, Node]
    edges: dict[str, tuple[Edge, ...]] = Field(default={})

    @classmethod
    def load(cls, text: str) -> Graph:
        """The graph whose `text` this is."""
        return cls.model_validate(codec.loads(text))

    def document(self) -> dict[str, Any]:
        """The canonical form: shorthands expanded, defaults filled in, no empty lists of edges.

        An option that a later version adds must be left out here where it has its default, or every
        stored graph would get another id.
        """
        return {
            "name": self.name,
            "start_node": self.start_node,
            "max_steps": self.max_steps,
            "nodes": {name: node.document() for name, node in self.nodes.items()},
            "edges": {name: [edge.document() for edge in edges] for name, edges in self.edges.items() if edges},
        }

    @cached_property
    def text(self) -> str:
        return codec.canonical(self.document())

    @cached_property
    def id(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()[:32]

    def edges_from(self, node: str) -> tuple[Edge, ...]:
        return self.edges.get(node, ())

    def unreachable(self) -> list[str]:
        """The nodes that no way from `start_node` leads to, in the order of the definition."""
        reached = {self.start_node}
        frontier = [self.start_node]
        while frontier:
            for edge in self.edges_from(frontier.pop()):
                if edge.to is not None and edge.to not in reached:
                    reached.add(edge.to)
                    frontier.append(edge.to)
        return [name for name in self.nodes if name not in reached]
