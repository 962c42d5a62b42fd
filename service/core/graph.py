"""The types of a graph definition: nodes, edges and conditions, frozen.

`validation.read_graph` builds a graph from a posted document or reports its faults. `Graph.document` is the
canonical form, `Graph.text` is its JSON, and `Graph.load` reads that text. The id of a graph is a hash of the text.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.core import codec

MAX_STEPS_DEFAULT = 10_000
NODE_NAME_CHARS_MAX = 1000
"""The most characters of a node's name. Every step and log line of the node repeats the name."""
CONDITION_DEPTH_MAX = 32
ERROR_INTO_DEFAULT = "error"
SECONDS_MAX = 36_525 * 24 * 3600
"""The longest time in the contract, such as a sleep: a hundred years, including leap days."""

WORKER_LOST = "worker_lost"
"""The error type of an attempt whose worker died, or left the cluster."""
AMOUNT_MAX = 2**53
"""The largest amount of a resource that a call can demand. Clusters keep amounts as floats."""

ERROR_TYPES = (
    *("tool_error", "invalid_state", "condition_error", "timeout", "tool_missing", "crash_loop", "child_failed"),
    WORKER_LOST,
)
UNRETRIED = frozenset({"condition_error", "tool_missing", "crash_loop", WORKER_LOST})
"""Error types that are retried only if `retry.on` names them, since another attempt rarely helps."""


class Frozen(BaseModel):
    # `defer_build` delays building the validators until the first document is read. A process that only calls tools
    # reads none.
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, defer_build=True)


class Op(StrEnum):
    """The operators of a comparison."""

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
    """A comparison of the state's value at `key` with a literal, or with the state's value at `value_from`."""

    key: str
    op: Op
    value: Any = None
    value_from: str | None = None

    def document(self) -> dict[str, Any]:
        right = {"value": self.value} if self.value_from is None else {"value_from": self.value_from}
        return {"key": self.key, "op": self.op._value_, **right}


class AllOf(Frozen):
    """True if all parts are true; parts are evaluated in order, up to the first false one."""

    parts: tuple[Condition, ...] = Field(alias="all")

    def document(self) -> dict[str, Any]:
        return {"all": [part.document() for part in self.parts]}


class AnyOf(Frozen):
    """True if any part is true; parts are evaluated in order, up to the first true one."""

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
    """How many attempts a failing node gets, and how long to wait between them."""

    max_attempts: int = 3
    backoff_s: Seconds = 1
    backoff_rate: Seconds = 2
    max_backoff_s: Seconds = 60
    on: tuple[str, ...] | None = None
    """The error types that are retried; None means all except UNRETRIED."""

    def document(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True, mode="json")


class Options(Frozen):
    """Options that a node of any kind may have."""

    retry: Retry | None = None
    timeout_s: Seconds | None = None
    max_visits: int | None = None

    def options(self) -> dict[str, Any]:
        """Return the options that were given. Leaving out the others keeps the ids of stored graphs unchanged."""
        given = {
            "timeout_s": self.timeout_s,
            "max_visits": self.max_visits,
            "retry": self.retry and self.retry.document(),
        }
        return {name: value for name, value in given.items() if value is not None}


class Demands(Frozen):
    """What a call demands of the worker that makes it."""

    resources: dict[str, int | float] = {}
    """The amount of each resource that the call needs, by the name under which workers declare the resource."""


class On(Frozen):
    """Where a tool is called instead of on the server: on a worker of the cluster."""

    cluster: Demands

    def document(self) -> dict[str, Any]:
        return {"cluster": {"resources": self.cluster.resources}}


class ToolNode(Options):
    """Calls a tool with the state and `metadata`; with `isolate`, in a separate process; with `on`, on a cluster."""

    tool: str
    metadata: dict[str, Any] = {}
    isolate: bool = False
    pure: bool = True
    """Whether the engine may treat the tool as pure here, if it is declared pure. A document can only say false."""
    limit: str | None = None
    """The name of the limit of which each attempt needs a slot; None means the limit that the tool declares, if any."""
    on: On | None = None

    def document(self) -> dict[str, Any]:
        isolated = {"isolate": True} if self.isolate else {}
        impure = {} if self.pure else {"pure": False}
        limited = {} if self.limit is None else {"limit": self.limit}
        placed = {} if self.on is None else {"on": self.on.document()}
        changed = {**isolated, **impure, **limited, **placed}
        return {"tool": self.tool, "metadata": self.metadata, **changed, **self.options()}


class Until(Frozen):
    """A moment that the state holds at the path `until`."""

    until: str


class SleepNode(Options):
    """Parks the run for a number of seconds, or until a moment."""

    sleep: Seconds | Until

    def document(self) -> dict[str, Any]:
        sleep = {"until": self.sleep.until} if isinstance(self.sleep, Until) else self.sleep
        return {"sleep": sleep, **self.options()}


class SignalNode(Options):
    """Parks the run until a signal named `signal` arrives, and stores its payload in the state at the key `into`."""

    signal: str
    into: str

    def document(self) -> dict[str, Any]:
        return {"signal": self.signal, "into": self.into, **self.options()}


class GraphNode(Options):
    """Runs other graphs as children and joins their states.

    It runs `graph` once, or once for each element of the array that the state holds at the path `for_each`. With
    `graphs`, which maps names to graph ids, it runs each of those graphs once.
    """

    graph: str | None = None
    graphs: dict[str, str] | None = None
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
        which = {"graph": self.graph} if self.graphs is None else {"graphs": self.graphs}
        return {**which, "into": self.into, **beside, **self.options()}

    @cached_property
    def branches(self) -> tuple[tuple[str, str], ...]:
        """The names of `graphs` with their ids, in the order in which the children are numbered."""
        # Sorted, because the stored form of a graph does not keep the order of its keys.
        return tuple(sorted((self.graphs or {}).items()))


Node = ToolNode | SleepNode | SignalNode | GraphNode


class Edge(Frozen):
    """A way to the next node, taken if its condition is true or absent; a `to` of None ends the run.

    An edge with `on_error` is taken only if the node fails with one of these error types (True: with any). It stores
    the error's record in the state at the key `into`.
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

    @cached_property
    def condition_document(self) -> dict[str, Any] | None:
        """The condition in the form in which decisions record it. Decisions share this dict: do not change it."""
        return None if self.condition is None else self.condition.document()

    def catches(self, error_type: str) -> bool:
        return self.on_error is True or (self.on_error is not None and error_type in self.on_error)


class Graph(Frozen):
    """A complete graph definition; the edges of a node are evaluated in their order."""

    name: str = ""
    start_node: str
    max_steps: int = MAX_STEPS_DEFAULT
    nodes: dict[str, Node]
    edges: dict[str, tuple[Edge, ...]] = Field(default={})

    @classmethod
    def load(cls, text: str) -> Graph:
        """Read back a graph from its `text`. Raise ValueError if this version cannot read it."""
        return cls.model_validate(codec.loads(text))

    def document(self) -> dict[str, Any]:
        """Return the canonical form: shorthands expanded, defaults filled in, no empty lists of edges.

        An option that a later version adds must be left out here if it has its default. Otherwise the id of every
        stored graph would change.
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
        """Return the edges to evaluate after a successful step at `node`."""
        return self._ordinary.get(node, ())

    @cached_property
    def _ordinary(self) -> dict[str, tuple[Edge, ...]]:
        return {name: tuple(edge for edge in edges if edge.on_error is None) for name, edges in self.edges.items()}

    def edges_on_error(self, node: str, error_type: str) -> tuple[Edge, ...]:
        """Return the error edges of `node` that catch `error_type`."""
        return tuple(edge for edge in self.edges.get(node, ()) if edge.catches(error_type))

    @cached_property
    def counts_visits(self) -> bool:
        """Whether any node has `max_visits`."""
        return any(node.max_visits is not None for node in self.nodes.values())

    @cached_property
    def names_limits(self) -> bool:
        """Whether any node names a limit."""
        return any(isinstance(node, ToolNode) and node.limit is not None for node in self.nodes.values())

    def unreachable(self) -> list[str]:
        """Return the nodes that cannot be reached from `start_node`, in the order of the definition."""
        reached = self._reached_from(self.start_node)
        return [name for name in self.nodes if name not in reached]

    def tool_nodes_from(self, node: str) -> list[ToolNode]:
        """Return the nodes with a tool among `node` and all nodes that can be reached from it."""
        reached = (self.nodes[name] for name in self._reached_from(node))
        return [each for each in reached if isinstance(each, ToolNode)]

    def _reached_from(self, node: str) -> set[str]:
        reached = {node}
        frontier = [node]
        while frontier:
            for edge in self.edges.get(frontier.pop(), ()):
                if edge.to is not None and edge.to not in reached:
                    reached.add(edge.to)
                    frontier.append(edge.to)
        return reached
