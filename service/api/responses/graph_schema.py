"""JSON Schema of the graph document, for OpenAPI and for editors.

`read_graph` refuses every document that the schema rejects, and checks more than the schema expresses.

The schema is written by hand because core reads the document, with its shorthands, without a Pydantic model.
"""

from __future__ import annotations

import json
from typing import Any

from service.core.codec import JSON_TYPES
from service.core.graph import (
    AMOUNT_MAX,
    ERROR_INTO_DEFAULT,
    ERROR_TYPES,
    MAX_STEPS_DEFAULT,
    NODE_NAME_CHARS_MAX,
    SECONDS_MAX,
    UNRETRIED,
    Op,
    Retry,
)
from service.core.join import CHILDREN_MAX
from service.core.queueing.limits import LIMIT_NAME_CHARS_MAX
from service.core.syntax.numbers import NUMBER_MAX

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


_PATH = {**_NAME, "description": "A place in the state: a dotted path, or a JSON Pointer if it starts with `/`."}
_COUNT = {"type": "integer", "minimum": 1, "maximum": NUMBER_MAX}
_RESOURCES = {
    "type": "object",
    "description": "Amounts of the resources that the worker must have declared, by name.",
    "additionalProperties": {"type": "number", "exclusiveMinimum": 0, "maximum": AMOUNT_MAX},
    "propertyNames": _NAME,
    "default": {},
}
_SECONDS = {"type": "number", "minimum": 0, "maximum": SECONDS_MAX}
_INTO = {**_NAME, "description": "The key of the state that gets the result."}
_CHILD_GRAPH = {
    **_NAME,
    "description": "A graph's id, or its name: the latest graph of that name when this graph is posted.",
}
_INPUT = {"type": "array", "items": _NAME, "description": "The keys that are copied to a child's state."}
_ERROR_TYPES = {"type": "array", "items": {"enum": list(ERROR_TYPES)}, "minItems": 1}

_OPTIONS = {
    "retry": _of("Retry"),
    "timeout_s": {"type": "number", "exclusiveMinimum": 0, "maximum": SECONDS_MAX},
    "max_visits": {**_COUNT, "description": "The run is paused before a visit beyond this number."},
}

_COMPARISON = _object(
    {
        "key": _PATH,
        "op": {"enum": [op.value for op in Op]},
        "value": {
            "description": f"A literal. An array for `in` and `not_in`; true or false for `exists`; "
            f"one of {' '.join(JSON_TYPES)} for `is_type`."
        },
        "value_from": {**_PATH, "description": "Another place in the state to compare with, instead of `value`."},
    },
    ("key", "op"),
)

_TO = {"anyOf": [_NAME, {"type": "null"}]}
_CONDITIONS = {"type": "array", "items": _of("Condition"), "minItems": 1}

GRAPH_SCHEMAS: dict[str, Any] = {
    "GraphDocument": _object(
        {
            "$schema": {"type": "string", "description": "For editors; not a part of the graph."},
            "name": {"type": "string", "default": ""},
            "start_node": _NAME,
            "max_steps": {**_COUNT, "default": MAX_STEPS_DEFAULT},
            "nodes": {
                "type": "object",
                "description": "The nodes by name.",
                "additionalProperties": _of("Node"),
                "propertyNames": {**_NAME, "maxLength": NODE_NAME_CHARS_MAX},
                "minProperties": 1,
            },
            "edges": {
                "type": "object",
                "description": "The outgoing edges by the name of their node.",
                "additionalProperties": _of("Edges"),
                "propertyNames": _NAME,
                "default": {},
            },
        },
        ("start_node", "nodes"),
    ),
    "Node": {
        "description": "One of five kinds; a tool's name is short for an object with that `tool`.",
        "anyOf": [{"type": "string"}, *map(_of, ("ToolNode", "SleepNode", "SignalNode", "GraphNode", "GraphsNode"))],
    },
    "ToolNode": _object(
        {
            "tool": {"type": "string"},
            "metadata": {"type": "object", "default": {}},
            "isolate": {
                "type": "boolean",
                "default": False,
                "description": "Whether to run the tool in a process of its own.",
            },
            "pure": {
                "const": False,
                "description": "Withdraws here that the tool is declared as pure. A node cannot declare it.",
            },
            "limit": {
                **_NAME,
                "maxLength": LIMIT_NAME_CHARS_MAX,
                "description": "The limit that its attempts need a slot of; the tool's if omitted.",
            },
            "on": _of("On"),
            **_OPTIONS,
        },
        ("tool",),
        description="Calls a tool.",
        **{"not": {"properties": {"isolate": {"const": True}}, "required": ["on", "isolate"]}},
    ),
    "On": {
        "description": "Where the tool is called: on the cluster of RUNGRAPH_CLUSTER.",
        "anyOf": [{"const": "cluster"}, _object({"cluster": _object({"resources": _RESOURCES}, ())}, ("cluster",))],
    },
    "SleepNode": _object(
        {"sleep": {"anyOf": [_SECONDS, _object({"until": _PATH}, ("until",))]}, **_OPTIONS},
        ("sleep",),
        description="Parks the run for a number of seconds, or until the time that the state holds at `until`: an RFC "
        "3339 text (`2030-01-31T09:30:00Z`; UTC if it has no offset) or a number of Unix seconds.",
    ),
    "SignalNode": _object(
        {
            "signal": _NAME,
            "into": {
                **_NAME,
                "description": "The key of the state for the payload; by default the signal's name.",
            },
            **_OPTIONS,
        },
        ("signal",),
        description="Parks the run until the signal arrives.",
    ),
    "GraphNode": _object(
        {
            "graph": _CHILD_GRAPH,
            "into": _INTO,
            "for_each": {
                **_PATH,
                "description": f"The array whose elements get one child each, at most {CHILDREN_MAX:,}. "
                "One child if omitted.",
            },
            "input": _INPUT,
            "max_parallel": _COUNT,
            **_OPTIONS,
        },
        ("graph", "into"),
        description="Starts child runs and joins their final states.",
    ),
    "GraphsNode": _object(
        {
            "graphs": {
                "type": "object",
                "description": "The branches by name.",
                "additionalProperties": _CHILD_GRAPH,
                "propertyNames": _NAME,
                "minProperties": 1,
            },
            "into": _INTO,
            "input": _INPUT,
            "max_parallel": _COUNT,
            **_OPTIONS,
        },
        ("graphs", "into"),
        description="Starts one child run for each branch, and joins their final states as an object by name.",
    ),
    "Retry": _object(
        {
            "max_attempts": {**_COUNT, "default": Retry().max_attempts},
            "backoff_s": {**_SECONDS, "default": Retry().backoff_s},
            "backoff_rate": {"type": "number", "minimum": 1, "maximum": 1000, "default": Retry().backoff_rate},
            "max_backoff_s": {**_SECONDS, "default": Retry().max_backoff_s},
            "on": {**_ERROR_TYPES, "description": f"All except {', '.join(sorted(UNRETRIED))} if omitted."},
        },
        description="How many attempts a failing node gets in all, and the waits between them.",
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
                description="Taken if the node has failed for good. The error record goes to the key `into`.",
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


def schema_document() -> dict[str, Any]:
    """Return the JSON Schema of graph documents as a document of its own, for editors."""
    parts = json.loads(json.dumps(GRAPH_SCHEMAS).replace(_REF, "#/$defs/"))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **parts.pop("GraphDocument"), "$defs": parts}
