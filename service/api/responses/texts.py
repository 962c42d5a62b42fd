"""Write the store's records as JSON texts. JSON that is stored as text is copied as it is.

HTTP and the terminal answer with these texts. This module imports neither a framework nor the graph's types, because
that would slow the terminal down.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from service.core import codec
from service.core.state import State

if TYPE_CHECKING:
    from service.store.queries.runs.keys import KeyValue, WrittenKey
    from service.store.queries.runs.listing import ListedRun, WaitShown
    from service.store.rows.records import AttemptRecord, GraphRecord, LineRecord, RunRecord, StepRecord


class Text(str):
    """JSON text that `write` copies as it is."""

    __slots__ = ()


def write(value: Any) -> Text:
    """Return `value` as JSON text. A Text is copied unchanged, even within dicts, but not within a list."""
    if isinstance(value, Text):
        return value
    if isinstance(value, dict):
        members = (f"{codec.encode(key)}:{write(item)}" for key, item in value.items())
        return Text("{" + ",".join(members) + "}")
    return Text(codec.encode(value))


def array(texts: Iterable[str]) -> Text:
    return Text("[" + ",".join(texts) + "]")


def line(record: LineRecord) -> Text:
    # This takes a fifth of the time of `write`. Streams and pages consist mostly of lines.
    known = f'"seq":{record.seq},"ts":{codec.encode(record.ts)},"level":"{record.level}","event":"{record.event}"'
    place = f'"node":{_scalar(record.node)},"step":{_scalar(record.step)},"attempt":{_scalar(record.attempt)}'
    return Text(f'{{{known},{place},"message":{codec.encode(record.message)},"data":{record.data}}}')


def _scalar(value: str | int | None) -> str:
    return "null" if value is None else codec.encode(value)


def run(record: RunRecord, state: State | None = None, lines: Iterable[LineRecord] | None = None) -> Text:
    """Return a run, with its state and lines if they are given."""
    logged = {} if lines is None else {"logs": array(map(line, lines))}
    scheduled = {} if record.schedule_name is None else {"schedule": _schedule(record)}
    return write({**_members_of_run(record, state), **scheduled, **logged})


def one_run(record: ListedRun, state: State, links: Mapping[str, str]) -> Text:
    """Return a run with its state and links."""
    return write({**_members_of_run(record, state), **_more_members(record), "links": dict(links)})


def _more_members(record: ListedRun) -> dict[str, Any]:
    return {
        "schedule": _schedule(record),
        "priority": record.priority,
        "graph_name": record.graph_name,
        "waiting_for": None if record.wait is None else wait_members(record.wait),
    }


def _members_of_run(record: RunRecord, state: State | None = None) -> dict[str, Any]:
    stated = {} if state is None else {"state": Text(state.to_text())}
    return {
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
    }


def listed_run(record: ListedRun) -> Text:
    """Return a run as an item of a list."""
    counts = {"duration_ms": record.duration_ms, "children": record.children}
    return write({**_members_of_run(record), **_more_members(record), **counts})


def wait_members(wait: WaitShown) -> dict[str, Any]:
    """Return the members of `waiting_for`. A member that the wait does not have is omitted."""
    members = {"kind": wait.kind, "name": wait.name, "due_at": wait.due_at}
    return {name: value for name, value in members.items() if value is not None}


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


def written_key(record: WrittenKey) -> str:
    """Return a key of a run's state, with the step that last wrote it."""
    members = {"key": record.key, "step": record.step, "node": record.node, "bytes": record.byte_length}
    return codec.encode(members)


def key_value(record: KeyValue) -> Text:
    """Return one change of a key: the step and node that made it, the new value, and whether the key was removed."""
    value = Text("null" if record.value is None else record.value)
    return write({"step": record.step, "node": record.node, "value": value, "removed": record.value is None})


def decision(record: StepRecord) -> dict[str, Any]:
    return {"to": record.next_node, "reason": record.reason, "evaluated": Text(record.evaluated)}


def attempts(records: Iterable[AttemptRecord]) -> Text:
    return array(map(_attempt, records))


def graph(record: GraphRecord) -> Text:
    members = {"graph_id": record.graph_id, "name": record.name, "created_at": record.created_at}
    return write(members if record.definition is None else members | {"definition": Text(record.definition)})


def page(items: Iterable[str], next_cursor: str | int | None) -> Text:
    return write({"items": array(items), "next_cursor": next_cursor})


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


def _schedule(record: RunRecord) -> dict[str, Any] | None:
    return None if record.schedule_name is None else {"name": record.schedule_name, "tick": record.schedule_tick}


def _members(texts: Mapping[str, str]) -> Text:
    return write({key: Text(text) for key, text in texts.items()})


def _text_or_null(text: str | None) -> Text | None:
    return None if text is None else Text(text)
