"""The graph document as JSON Schema, for OpenAPI. What is false by it is refused; `read_graph` says more.

Written by hand: the document has shorthands and pointers into them, which core reads without a model.
"""

from __future__ import annotations

from typing import Any

from service.core.codec import JSON_TYPES
from service.core.graph import MAX_STEPS_DEFAULT, Op

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

_CONDITIONS = {"type": "array", "items": _of("Condition"), "minItems": 1}

GRAPH_SCHEMAS: dict[str, Any] = {
    "GraphDocument": _object(
        {
            "name": {"type": "string", "default": ""},
            "start_node": _NAME,
            "max_steps": {"type": "integer", "minimum": 1, "maximum": 2**63 - 1, "default": MAX_STEPS_DEFAULT},
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
        "description": "A tool's name is short for an object with that `tool`.",
        "anyOf": [
            {"type": "string"},
            _object({"tool": {"type": "string"}, "metadata": {"type": "object", "default": {}}}, ("tool",)),
        ],
    },
    "Edges": {
        "description": "The first edge whose condition is true is taken.",
        "anyOf": [_of("Edge"), {"type": "array", "items": _of("Edge")}],
    },
    "Edge": {
        "description": "A target's name is short for an object with that `to`; `to: null` ends the run.",
        "anyOf": [
            _NAME,
            _object({"to": {"anyOf": [_NAME, {"type": "null"}]}, "condition": _of("Condition")}, ("to",)),
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

GRAPH_EXAMPLE = {
    "name": "data-quality",
    "start_node": "profile",
    "nodes": {
        "profile": "profile_table",
        "detect": "detect_anomalies",
        "generate": {"tool": "generate_rules", "metadata": {}},
        "apply": "apply_rules",
    },
    "edges": {
        "profile": "detect",
        "detect": [{"to": "generate", "condition": {"key": "anomaly_count", "op": ">", "value": 2}}, {"to": None}],
        "generate": {"to": "apply"},
        "apply": "profile",
    },
}
