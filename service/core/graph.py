"""The graph: one frozen family of types, posted, stored and executed alike.

`validation.read_graph` makes them from a document and says what is wrong with it; `Graph.load` takes
back what `Graph.document` wrote. Identity is content: the same definition has one id.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.core import codec

MAX_STEPS_DEFAULT = 10_000
CONDITION_DEPTH_MAX = 32
ERROR_INTO_DEFAULT = "error"
SECONDS_MAX = 36_525 * 24 * 3600
"""A hundred years, as far as a run may sleep, whichever of them are leap years."""

ERROR_TYPES = (
    *("tool_error", "invalid_state", "condition_error", "timeout", "tool_missing", "crash_loop", "child_failed"),
)
UNRETRIED = frozenset({"condition_error", "tool_missing", "crash_loop"})
"""Tried again only where a `retry` names them: they rarely end otherwise the next time."""


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


Seconds = int | float


class Retry(Frozen):
    """How often a node that fails is tried in all, and how long the waits in between are."""

    max_attempts: int = 3
    backoff_s: Seconds = 1
    backoff_rate: Seconds = 2
    max_backoff_s: Seconds = 60
    on: tuple[str, ...] | None = None
    """The types of errors that are tried again; None: any but those of UNRETRIED."""

    def document(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True, mode="json")


class Options(Frozen):
    """What a node of any kind may have."""

    retry: Retry | None = None
    timeout_s: Seconds | None = None
    max_visits: int | None = None

    def options(self) -> dict[str, Any]:
        """Those that were given: an option left out is not in the document, so that ids from before it stay."""
        given = {
            "timeout_s": self.timeout_s,
            "max_visits": self.max_visits,
            "retry": self.retry and self.retry.document(),
        }
        return {name: value for name, value in given.items() if value is not None}


class ToolNode(Options):
    """Calls a tool, handing it `metadata` beside the state; `isolate`: in a process of its own."""

    tool: str
    metadata: dict[str, Any] = {}
    isolate: bool = False

    def document(self) -> dict[str, Any]:
        isolated = {"isolate": True} if self.isolate else {}
        return {"tool": self.tool, "metadata": self.metadata, **isolated, **self.options()}


class Until(Frozen):
    """A moment that the state holds at a path."""

    until: str


class SleepNode(Options):
    """Parks the run for a time, or until a moment."""

    sleep: Seconds | Until

    def document(self) -> dict[str, Any]:
        sleep = {"until": self.sleep.until} if isinstance(self.sleep, Until) else self.sleep
        return {"sleep": sleep, **self.options()}


class SignalNode(Options):
    """Parks the run until a signal of that name arrives; its payload becomes the state's key `into`."""

    signal: str
    into: str

    def document(self) -> dict[str, Any]:
        return {"signal": self.signal, "into": self.into, **self.options()}


class GraphNode(Options):
    """Runs another graph: once, or for each element of the array at `for_each`; joins the children's states."""

    graph: str
    into: str
    for_each: str | None = None
    input: tuple[str, ...] | None = None
    max_parallel: int | None = None

    def document(self) -> dict[str, Any]:
        given = {
            "for_each": self.for_each,
            "input": None if self.input is None else list(self.input),
            "max_parallel": self.max_parallel,
        }
        beside = {name: value for name, value in given.items() if value is not None}
        return {"graph": self.graph, "into": self.into, **beside, **self.options()}


Node = ToolNode | SleepNode | SignalNode | GraphNode


class Edge(Frozen):
    """A way on, taken where its condition is true or absent; `to` None ends the run.

    With `on_error` it is for failures alone, of the types named or of any; the error's record goes to `into`.
    """

    to: str | None
    condition: Condition | None = None
    on_error: tuple[str, ...] | Literal[True] | None = None
    into: str | None = None

    def document(self) -> dict[str, Any]:
        condition = {} if self.condition is None else {"condition": self.condition.document()}
        if self.on_error is None:
            return {"to": self.to, **condition}
        types = True if self.on_error is True else list(self.on_error)
        return {"to": self.to, **condition, "on_error": types, "into": self.into}

    def catches(self, error_type: str) -> bool:
        return self.on_error is True or (self.on_error is not None and error_type in self.on_error)


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
        """The ways on where a step at `node` succeeds."""
        return self._ordinary.get(node, ())

    @cached_property
    def _ordinary(self) -> dict[str, tuple[Edge, ...]]:
        return {name: tuple(edge for edge in edges if edge.on_error is None) for name, edges in self.edges.items()}

    def edges_on_error(self, node: str, error_type: str) -> tuple[Edge, ...]:
        """The ways on where `node` has failed for good."""
        return tuple(edge for edge in self.edges.get(node, ()) if edge.catches(error_type))

    @cached_property
    def counts_visits(self) -> bool:
        """Whether any node has `max_visits`."""
        return any(node.max_visits is not None for node in self.nodes.values())

    def unreachable(self) -> list[str]:
        """The nodes that no way from `start_node` leads to, in the order of the definition."""
        reached = {self.start_node}
        frontier = [self.start_node]
        while frontier:
            for edge in self.edges.get(frontier.pop(), ()):
                if edge.to is not None and edge.to not in reached:
                    reached.add(edge.to)
                    frontier.append(edge.to)
        return [name for name in self.nodes if name not in reached]
