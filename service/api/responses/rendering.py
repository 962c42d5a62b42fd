"""What a client sees of what the store holds. JSON that is stored as text goes into an answer as that text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.responses.large import LARGE_BYTES_MIN, Large
from service.api.responses.problems import RETRY_AFTER_S, problem
from service.core import codec
from service.core.state import State
from service.store.rows.records import AttemptRecord, GraphRecord, LineRecord, RunRecord, StepRecord


class Text(str):
    """JSON text, to be placed as it is."""

    __slots__ = ()


class Json(Response):
    """An answer in JSON, written by core's encoder: integers of any size, floats to the last bit."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return write(content).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self.body) < LARGE_BYTES_MIN:
            await super().__call__(scope, receive, send)
            return
        large: Large = scope["app"].state.large
        with large.hold(len(self.body)) as has_room:
            if has_room:
                await super().__call__(scope, receive, send)
            else:
                await _crowded()(scope, receive, send)


def _crowded() -> Response:
    detail = "many large answers are on their way to slow readers, and this one has no room beside them; ask again"
    return problem(503, detail, headers={"Retry-After": str(RETRY_AFTER_S)})


def write(value: Any) -> Text:
    """The JSON text of `value`, the Texts in its objects being taken as they are."""
    if isinstance(value, Text):
        return value
    if isinstance(value, dict):
        members = (f"{codec.encode(key)}:{write(item)}" for key, item in value.items())
        return Text("{" + ",".join(members) + "}")
    return Text(codec.encode(value))


def array(texts: Iterable[str]) -> Text:
    return Text("[" + ",".join(texts) + "]")


def line(record: LineRecord) -> Text:
    members = {
        "seq": record.seq,
        "ts": record.ts,
        "level": record.level,
        "event": record.event,
        "node": record.node,
        "step": record.step,
        "attempt": record.attempt,
        "message": record.message,
    }
    return Text(codec.splice(members, data=record.data))


def run(record: RunRecord, state: State | None = None, lines: Iterable[LineRecord] | None = None) -> Text:
    """A run; with its state and lines where they are given."""
    stated = {} if state is None else {"state": Text(state.to_text())}
    logged = {} if lines is None else {"logs": array(map(line, lines))}
    return write(
        {
            "run_id": record.run_id,
            "graph_id": record.graph_id,
            "status": record.status,
            **stated,
            "current_node": record.current_node,
            "step": record.step,
            "error": _text_or_null(record.error),
            "tags": Text(record.tags),
            "forked_from": _place(record.forked_from_id, record.forked_from_step),
            "parent": _place(record.parent_id, record.parent_step),
            "created_at": record.created_at,
            "started_at": record.started_at,
            "finished_at": record.finished_at,
            "last_seq": record.last_seq,
            **logged,
        }
    )


def step(record: StepRecord) -> Text:
    return write(
        {
            "step": record.step,
            "node": record.node,
            "attempt": record.attempt,
            "attempts": attempts(record.attempts),
            "changes": {"set": _members(record.set), "unset": list(record.unset)},
            "decision": decision(record),
            "started_at": record.started_at,
            "finished_at": record.finished_at,
            "duration_ms": record.duration_ms,
        }
    )


def decision(record: StepRecord) -> dict[str, Any]:
    return {"to": record.next_node, "reason": record.reason, "evaluated": Text(record.evaluated)}


def attempts(records: Iterable[AttemptRecord]) -> Text:
    return array(map(_attempt, records))


def graph(record: GraphRecord) -> Text:
    members = {"graph_id": record.graph_id, "name": record.name, "created_at": record.created_at}
    return write(members if record.definition is None else members | {"definition": Text(record.definition)})


def page(items: Iterable[str], next_cursor: str | int | None) -> Json:
    return Json({"items": array(items), "next_cursor": next_cursor})


def _attempt(record: AttemptRecord) -> Text:
    return write(
        {
            "attempt": record.attempt,
            "error": _text_or_null(record.error),
            "started_at": record.started_at,
            "finished_at": record.finished_at,
        }
    )


def _place(run_id: str | None, step: int | None) -> dict[str, Any] | None:
    return None if run_id is None else {"run_id": run_id, "step": step}


def _members(texts: Mapping[str, str]) -> Text:
    return write({key: Text(text) for key, text in texts.items()})


def _text_or_null(text: str | None) -> Text | None:
    return None if text is None else Text(text)
