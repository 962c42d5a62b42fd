"""The graph document as JSON Schema, for OpenAPI. What is false by it is refused; `read_graph` says more.

Written by hand: the document has shorthands and pointers into them, which core reads without a model.
"""

from __future__ import annotations

from typing import Any

from service.core.children import CHILDREN_MAX
from service.core.codec import JSON_TYPES
from service.core.graph import ERROR_INTO_DEFAULT, ERROR_TYPES, MAX_STEPS_DEFAULT, SECONDS_MAX, UNRETRIED, Op, Retry

_REF = "#/components/schemas/"

_NAME = {"type": "string", "minLength": 1}


def _of(name: str) -> dict[str, str]:
    return {"$ref": _REF + name}


def _object(properties: dict[str, Any], required: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
        **more,
    }


_PATH = {**_NAME, "description": "A place in the state: dotted, or a JSON Pointer where it starts with `/`."}
_COUNT = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}
_SECONDS = {"type": "number", "minimum": 0, "maximum": SECONDS_MAX}
_INTO = {**_NAME, "description": "The key of the state for what comes out."}
_ERROR_TYPES = {"type": "array", "items": {"enum": list(ERROR_TYPES)}, "minItems": 1}

_OPTIONS = {
    "retry": _of("Retry"),
    "timeout_s": {"type": "number", "exclusiveMinimum": 0, "maximum": SECONDS_MAX},
    "max_visits": {**_COUNT, "description": "The run is paused before the node's next step beyond these."},
}

_COMPARISON = _object(
    {
        "key": _PATH,
        "op": {"enum": [op.value for op in Op]},
        "value": {
            "description": f"A literal. An array for `in` and `not_in`; true or false for `exists`; "
            f"for `is_type` one of {' '.join(JSON_TYPES)}."
        },
        "value_from": {**_PATH, "description": "Another place in the state, in place of `value`."},
    },
    ("key", "op"),
)

_TO = {"anyOf": [_NAME, {"type": "null"}]}
_CONDITIONS = {"type": "array", "items": _of("Condition"), "minItems": 1}

GRAPH_SCHEMAS: dict[str, Any] = {
    "GraphDocument": _object(
        {
            "name": {"type": "string", "default": ""},
            "start_node": _NAME,
            "max_steps": {**_COUNT, "default": MAX_STEPS_DEFAULT},
            "nodes": {
                "type": "object",
                "description": "The nodes by name.",
                "additionalProperties": _of("Node"),
                "propertyNames": _NAME,
                "minProperties": 1,
            },
            "edges": {
                "type": "object",
                "description": "The ways on, by the name of the node that they leave.",
                "additionalProperties": _of("Edges"),
                "propertyNames": _NAME,
                "default": {},
            },
        },
        ("start_node", "nodes"),
    ),
    "Node": {
        "description": "One of four kinds; a tool's name is short for an object with that `tool`.",
        "anyOf": [{"type": "string"}, *(_of(kind) for kind in ("ToolNode", "SleepNode", "SignalNode", "GraphNode"))],
    },
    "ToolNode": _object(
        {
            "tool": {"type": "string"},
            "metadata": {"type": "object", "default": {}},
            "isolate": {"type": "boolean", "default": False, "description": "In a process of its own."},
            **_OPTIONS,
        },
        ("tool",),
        description="Calls a tool.",
    ),
    "SleepNode": _object(
        {"sleep": {"anyOf": [_SECONDS, _object({"until": _PATH}, ("until",))]}, **_OPTIONS},
        ("sleep",),
        description="Parks the run for seconds, or until the moment that the state holds at `until`: an RFC 3339 text "
        "(`2030-01-31T09:30:00Z`; UTC where it has no offset), or a number of Unix seconds.",
    ),
    "SignalNode": _object(
        {
            "signal": _NAME,
            "into": {**_NAME, "description": "The key for its payload, by default the signal's name."},
            **_OPTIONS,
        },
        ("signal",),
        description="Parks the run until the signal arrives.",
    ),
    "GraphNode": _object(
        {
            "graph": {**_NAME, "description": "A graph's id."},
            "into": _INTO,
            "for_each": {
                **_PATH,
                "description": "The array of which each element gets a child, "
                f"at most {CHILDREN_MAX:,}; left out: one child.",
            },
            "input": {"type": "array", "items": _NAME, "description": "The keys that a child's state takes over."},
            "max_parallel": _COUNT,
            **_OPTIONS,
        },
        ("graph", "into"),
        description="Starts child runs and joins their final states.",
    ),
    "Retry": _object(
        {
            "max_attempts": {**_COUNT, "default": Retry().max_attempts},
            "backoff_s": {**_SECONDS, "default": Retry().backoff_s},
            "backoff_rate": {"type": "number", "minimum": 1, "maximum": 1000, "default": Retry().backoff_rate},
            "max_backoff_s": {**_SECONDS, "default": Retry().max_backoff_s},
            "on": {**_ERROR_TYPES, "description": f"Left out: all but {', '.join(sorted(UNRETRIED))}."},
        },
        description="How often a node that fails is tried in all, and how long the waits in between are.",
    ),
    "Edges": {
        "description": "The first edge whose condition is true is taken.",
        "anyOf": [_of("Edge"), {"type": "array", "items": _of("Edge")}],
    },
    "Edge": {
        "description": "A target's name is short for an object with that `to`; `to: null` ends the run.",
        "anyOf": [
            _NAME,
            _object({"to": _TO, "condition": _of("Condition")}, ("to",)),
            _object(
                {
                    "to": _TO,
                    "on_error": {"anyOf": [{"const": True}, _ERROR_TYPES]},
                    "into": {**_NAME, "default": ERROR_INTO_DEFAULT},
                    "condition": _of("Condition"),
                },
                ("to", "on_error"),
                description="Taken where the node has failed for good; the error's record goes to `into`.",
            ),
        ],
    },
    "Condition": {
        "description": "A predicate over the state, up to 32 deep.",
        "anyOf": [
            _COMPARISON,
            _object({"all": _CONDITIONS}, ("all",)),
            _object({"any": _CONDITIONS}, ("any",)),
            _object({"not": _of("Condition")}, ("not",)),
        ],
    },
}
