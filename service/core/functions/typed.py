"""Tools that declare the type of their state: a Pydantic model, or a TypedDict.

The state is checked when the tool is called. With a model, the tool gets an instance, and the fields that it changes
are set in the state. With a TypedDict, the tool gets the state itself.
"""

from __future__ import annotations

import inspect
import json
import sys
import typing
from collections.abc import Callable
from typing import Any

from service.core.errors import StateInvalid
from service.core.functions.signature import called_by
from service.core.syntax.pointer import pointer

JsonObject = dict[str, Any]


class StateType:
    """The declared type of a tool's state."""

    def __init__(self, declared: Any) -> None:
        from pydantic import TypeAdapter  # slow to import

        self._name = declared.__name__
        self._is_model = not _is_typed_dict(declared)
        self._adapter: TypeAdapter[Any] = TypeAdapter(declared if self._is_model else _readable(declared))
        self.schema: JsonObject = self._adapter.json_schema()
        """The JSON Schema of the state."""

    def bind(self, state: JsonObject) -> BoundState:
        """Return `state` as the tool takes it. Raise StateInvalid if it does not fit; the message has the place."""
        from pydantic import ValidationError

        try:
            # The values of a TypedDict are not converted, so that "1" is no integer.
            value = self._adapter.validate_python(state, strict=None if self._is_model else True)
        except ValidationError as error:
            first, *more = error.errors(include_url=False, include_context=False, include_input=False)
            also = f"; and {len(more)} more" if more else ""
            message = f"the state does not fit {self._name}: {first['msg']}, at {pointer(*first['loc']) or '/'}{also}"
            raise StateInvalid(message) from error
        return BoundState(value) if self._is_model else BoundState(state, is_model=False)


class BoundState:
    """The state as the argument of one call."""

    def __init__(self, value: Any, *, is_model: bool = True) -> None:
        self.value = value
        self._is_model = is_model
        self._before = _dump(value) if is_model else {}

    def changes(self, returned: Any) -> Any:
        """Return the fields that the tool has changed in the model, updated with what it has returned.

        Return `returned` itself if the state is a TypedDict, or if `returned` is neither None, a dict nor a model.
        """
        if not self._is_model:
            return returned
        after = _dump(self.value)
        changed = {key: value for key, value in after.items() if _text(value) != _text(self._before.get(key))}
        if returned is None or returned is self.value:
            return changed
        if hasattr(type(returned), "model_dump"):
            return changed | _dump(returned)
        return changed | returned if isinstance(returned, dict) else returned


def state_type_of(function: Callable[..., Any]) -> StateType | None:
    """Return the declared type of the parameter `state`, or None if it is neither a Pydantic model nor a TypedDict."""
    declared = inspect.signature(function).parameters["state"].annotation
    if isinstance(declared, str):
        # Only this annotation is evaluated: another one may name something that exists only for type checkers.
        innermost = called_by(inspect.unwrap(called_by(function)))
        try:
            declared = eval(declared, dict(getattr(innermost, "__globals__", {})))
        except Exception:
            return None
    if _is_typed_dict(declared) or (isinstance(declared, type) and hasattr(declared, "model_validate")):
        return StateType(declared)
    return None


def _is_typed_dict(declared: Any) -> bool:
    from typing_extensions import is_typeddict

    return is_typeddict(declared)


def _readable(declared: Any) -> Any:
    """Return the TypedDict `declared` in a form that Pydantic can read.

    Before Python 3.12, Pydantic needs a TypedDict of `typing_extensions`.
    """
    if sys.version_info >= (3, 12) or not typing.is_typeddict(declared):
        return declared
    import typing_extensions

    hints = typing_extensions.get_type_hints(declared, include_extras=True)
    marks: tuple[Any, ...] = (typing.NotRequired,)
    optional = {key for key in declared.__optional_keys__ if typing.get_origin(hints[key]) not in marks}
    fields = {key: typing_extensions.NotRequired[hint] if key in optional else hint for key, hint in hints.items()}
    return typing_extensions.TypedDict(declared.__name__, fields)  # type: ignore[operator]


def _text(value: Any) -> str:
    """Return the JSON text of a value, to compare it: 1, 1.0 and true are equal in Python but differ in a state."""
    return json.dumps(value)


def _dump(model: Any) -> JsonObject:
    dumped: JsonObject = model.model_dump(mode="json", by_alias=True)
    return dumped
