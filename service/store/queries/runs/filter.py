"""Filters of runs as SQL. One index leads each query: it gives the order, so that no query sorts or reads all runs.

A query with several statuses or graphs is a UNION of one ordered and limited query for each of them: an index gives
the runs of one status or graph in order, and not those of several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from sqlalchemy import and_, exists, false, func, literal, not_, or_, select, tuple_, union_all

from service.core import codec
from service.core.run import WaitKind
from service.core.syntax.tags import tag_of
from service.core.transitions import Status
from service.store.database.clock import text_of
from service.store.database.statements import constant
from service.store.rows.states import slot_of
from service.store.schema.kept import is_kept
from service.store.schema.models import NAME_CHARS_INDEXED, graphs, run_tags, runs, waits

BRANCHES_MAX = 100
"""The most queries in a UNION. If more graphs have the filter's name, each run's graph is looked up instead."""
PREFIX_CHARS_SELECTIVE = 9
"""A prefix of this length selects the runs of about a minute, since an id begins with the time of creation."""
RARE_MAX = 1000
"""A tag, graph or prefix that fewer runs match than this leads the query, even if other filters could."""
PARKED = (Status.WAITING, Status.PAUSED)
"""The statuses in which a run may have a wait. A run that is paused while it waits keeps the wait."""


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to select. A field with its default selects all."""

    statuses: tuple[str, ...] = ()
    """The run has any of these statuses. Empty: any status."""
    graph_id: str | None = None
    graph_name: str | None = None
    """The name of the run's graph, in any version."""
    tags: tuple[str, ...] = ()
    """The run has all of these tags, written `key:value` as `core.syntax.tags` reads it."""
    without_tags: tuple[str, ...] = ()
    """The run has none of these tags."""
    parent_id: str | None = None
    is_child: bool | None = None
    forked_from: str | None = None
    waiting_for: WaitKind | None = None
    created_after_us: int | None = None
    """Microseconds since 1970, exclusive."""
    created_before_us: int | None = None
    id_prefix: str | None = None

    @property
    def wanted_statuses(self) -> tuple[str, ...] | None:
        """The statuses that can match, or None for all."""
        if self.waiting_for is None:
            return self.statuses or None
        return tuple(status.value for status in PARKED if not self.statuses or status in self.statuses)


class Rare(Enum):
    """A filter that fewer than RARE_MAX runs match."""

    TAG = auto()
    """The first tag of the filter."""
    GRAPH = auto()
    PREFIX = auto()


def graphs_named(name: str) -> Any:
    """Select the ids of the newest graphs of that name, newest first, at most BRANCHES_MAX + 1."""
    return select(graphs.c.id).where(is_named(name)).order_by(graphs.c.created_at.desc()).limit(BRANCHES_MAX + 1)


def is_named(name: str) -> Any:
    """Return the condition that a graph has that name."""
    # Constants, since an index of an expression is used for that expression only.
    start = func.substr(graphs.c.name, constant(1), constant(NAME_CHARS_INDEXED))
    # With a plain equality, SQLite would put the name into `substr` too and no longer recognise the index's expression.
    return and_(start == name[:NAME_CHARS_INDEXED], _without_index(graphs.c.name, "sqlite") == name)


def matching(
    which: RunFilter,
    dialect: str,
    limit: int,
    *,
    graph_ids: tuple[str, ...] | None = None,
    rare: Rare | None = None,
    after: tuple[Any, ...] | None = None,
    is_newest_first: bool = True,
) -> Any:
    """Select `created_at` and `id` of the first `limit` runs in order.

    `graph_ids` are the ids of the graphs that the filter names, or None if it names no graph. If `rare` is given, that
    filter leads the query. `after` is the place of the last run seen.
    """
    order = _Order(which, limit, after, is_newest_first)
    statuses = which.wanted_statuses
    if statuses == () or graph_ids == () or _contradict(which.tags):
        return _one_query(order, false())
    has_branches = can_branch(graph_ids)
    of_graphs = _in(_without_index(runs.c.graph_id, dialect), graph_ids)
    if graph_ids is not None and not has_branches:
        of_graphs = [_has_name(which.graph_name)]
    of_statuses = _in(_without_index(runs.c.status, dialect), statuses)
    conditions = _conditions(which, dialect, is_led_by_prefix=rare is Rare.PREFIX)
    if which.parent_id or which.forked_from or _is_selective(which.id_prefix) or rare is Rare.PREFIX:
        if which.parent_id:
            of_statuses = _in(runs.c.status, statuses)  # The index of children contains the status.
        return _one_query(order, *conditions, *of_graphs, *of_statuses)
    if rare is not Rare.GRAPH and (rare is Rare.TAG or (which.tags and _may_be_completed(statuses))):
        return _led_by_tag(order, which.tags, dialect, [*conditions, *of_statuses, *of_graphs])
    conditions += _tagged(which.tags, dialect)
    if has_branches and (rare is Rare.GRAPH or _may_be_completed(statuses)):
        return _branches(order, runs.c.graph_id, graph_ids or (), [*conditions, *of_statuses])
    if statuses is not None:
        return _branches(order, runs.c.status, statuses, [*conditions, *of_graphs])
    return _one_query(order, *conditions, *of_graphs)


def _may_be_completed(statuses: Sequence[str] | None) -> bool:
    """Return whether `completed` is among the statuses. As most runs have it, another filter should lead."""
    return statuses is None or Status.COMPLETED.value in statuses


def can_branch(graph_ids: Sequence[str] | None) -> bool:
    """Return whether the filter names graphs, and few enough for a query with a branch for each of them."""
    return graph_ids is not None and 0 < len(graph_ids) <= BRANCHES_MAX


def _contradict(tags: Sequence[str]) -> bool:
    """Return whether the tags have two values of one key. A run has one value of a key."""
    found = {tag for tag in map(tag_of, tags) if tag is not None}
    return len({tag.key for tag in found}) < len(found)


def tagged_count(tag: str, dialect: str) -> Any:
    """Select the number of runs with a tag, up to RARE_MAX."""
    found = tag_of(tag)
    is_it = false() if found is None else run_tags.c.tag == slot_of(f"{found.key}:{found.value}", dialect)
    return _counted(select(run_tags.c.run_id).where(is_it))


def count_of_graphs(graph_ids: Sequence[str]) -> Any:
    """Select the number of runs of these graphs, up to RARE_MAX."""
    return _counted(select(runs.c.id).where(runs.c.graph_id.in_(graph_ids)))


def count_of_prefix(prefix: str) -> Any:
    """Select the number of runs whose ids begin with `prefix`, up to RARE_MAX."""
    return _counted(select(runs.c.id).where(_is_between(prefix)))


def _counted(query: Any) -> Any:
    return select(func.count()).select_from(query.limit(constant(RARE_MAX)).subquery())


@dataclass(frozen=True, slots=True)
class _Order:
    which: RunFilter
    limit: int
    after: Sequence[Any] | None
    is_newest_first: bool

    def of(self, query: Any, created_at: Any, run_id: Any) -> Any:
        """Return `query` ordered by creation time and id, with the limit and the filter's bounds on creation time.

        The order is newest or oldest first. With a cursor, the query returns only runs after it.
        """
        if self.which.created_after_us is not None:
            query = query.where(created_at > text_of(self.which.created_after_us))
        if self.which.created_before_us is not None:
            # Stored times are cut to milliseconds. The bound is rounded up, or it would exclude runs just before it.
            query = query.where(created_at < text_of(self.which.created_before_us + 999))
        columns = (created_at, run_id)
        if self.after is not None:
            values = (literal(value, column.type) for value, column in zip(self.after, columns, strict=True))
            place, after = tuple_(*columns), tuple_(*values)
            query = query.where(place < after if self.is_newest_first else place > after)
        return query.order_by(*(each.desc() if self.is_newest_first else each for each in columns)).limit(self.limit)


def _one_query(order: _Order, *conditions: Any) -> Any:
    query = select(runs.c.created_at, runs.c.id).where(*conditions, is_kept())
    return order.of(query, runs.c.created_at, runs.c.id)


def _branches(order: _Order, column: Any, values: Sequence[str], conditions: Sequence[Any]) -> Any:
    """Select the first runs whose `column` has one of `values`, by a UNION of one query for each value."""
    queries = [_one_query(order, column == value, *conditions) for value in values]
    if len(queries) == 1:
        return queries[0]
    # As subqueries: SQLite takes no ORDER BY within a UNION.
    found = union_all(*(select(query.subquery()) for query in queries)).subquery()
    return order.of(select(found.c.created_at, found.c.id), found.c.created_at, found.c.id)


def _led_by_tag(order: _Order, tags: Sequence[str], dialect: str, conditions: Sequence[Any]) -> Any:
    """Select runs through the index of tags, by the first tag. The index has the time of creation too."""
    first, *others = tags
    tag = tag_of(first)
    if tag is None:
        return _one_query(order, false())
    of_run = select(constant(1)).where(
        runs.c.id == run_tags.c.run_id, *_tagged(others, dialect), *conditions, *_written_so(first, dialect)
    )
    query = select(run_tags.c.created_at, run_tags.c.run_id.label("id")).where(
        run_tags.c.tag == slot_of(f"{tag.key}:{tag.value}", dialect),
        is_kept(run_tags.c.run_id),
        exists(_apart(of_run.correlate(run_tags), dialect)),
    )
    return order.of(query, run_tags.c.created_at, run_tags.c.run_id)


def _conditions(which: RunFilter, dialect: str, *, is_led_by_prefix: bool) -> list[Any]:
    """Return the conditions that every query has, whichever index leads it."""
    conditions = [not_(_has_tag(tag, dialect)) for tag in which.without_tags]
    if which.parent_id or which.forked_from or _is_selective(which.id_prefix) or is_led_by_prefix:
        conditions += _tagged(which.tags, dialect)
    if which.parent_id is not None:
        conditions.append(runs.c.parent_id == which.parent_id)
    if which.is_child is not None:
        conditions.append(runs.c.parent_id.is_not(None) if which.is_child else runs.c.parent_id.is_(None))
    if which.forked_from is not None:
        conditions.append(runs.c.forked_from_id == which.forked_from)
    if which.waiting_for is not None:
        conditions.append(
            exists().where(waits.c.run_id == runs.c.id, waits.c.kind == which.waiting_for.value).correlate(runs)
        )
    if which.id_prefix is not None:
        is_led = is_led_by_prefix or _is_selective(which.id_prefix)
        conditions.append(_is_between(which.id_prefix) if is_led else _begins_with(which.id_prefix))
    return conditions


def _begins_with(prefix: str) -> Any:
    return func.substr(runs.c.id, 1, len(prefix)) == prefix


def _is_between(prefix: str) -> Any:
    """Return the condition that an id begins with `prefix`, as a range of the index."""
    return and_(runs.c.id >= prefix, runs.c.id < f"{prefix}g")  # Ids are hexadecimal, so `g` sorts after them.


def _is_selective(prefix: str | None) -> bool:
    return prefix is not None and len(prefix) >= PREFIX_CHARS_SELECTIVE


def _tagged(tags: Sequence[str], dialect: str) -> list[Any]:
    return [_has_tag(tag, dialect) for tag in tags]


def _has_tag(written: str, dialect: str) -> Any:
    """Return the condition that a run has the tag. It searches for one entry of the tags' index."""
    tag = tag_of(written)
    if tag is None:
        return false()
    # An alias, since the query may be led by another row of the same table.
    row = run_tags.alias()
    found = select(constant(1)).where(
        row.c.tag == slot_of(f"{tag.key}:{tag.value}", dialect),
        row.c.created_at == runs.c.created_at,
        row.c.run_id == runs.c.id,
        *_written_so(written, dialect),
    )
    return exists(_apart(found.correlate(runs), dialect))


def _apart(query: Any, dialect: str) -> Any:
    """Return a subquery that PostgreSQL executes for each row.

    Otherwise PostgreSQL would join the tables. With several filters it estimates that few rows match, and would read
    all runs and sort them.
    """
    return query.offset(constant(0)) if dialect == "postgresql" else query


def _written_so(written: str, dialect: str) -> list[Any]:
    """Return a condition on the run's own tags if the tag has several colons: any of them could end the key."""
    tag = tag_of(written)
    if tag is None or f"{tag.key}:{tag.value}".count(":") == 1:
        return []
    find = func.instr if dialect == "sqlite" else func.strpos
    member = f"{codec.encode(tag.key)}:{codec.encode(tag.value)}"
    return [or_(find(runs.c.tags, "{" + member) == 1, find(runs.c.tags, "," + member) > 0)]


def _has_name(name: str | None) -> Any:
    return exists().where(graphs.c.id == runs.c.graph_id, graphs.c.name == name).correlate(runs)


def _in(column: Any, values: Sequence[str] | None) -> list[Any]:
    return [] if values is None else [column.in_(values)]


def _without_index(column: Any, dialect: str) -> Any:
    """Return `column` as an expression that no index matches, so that SQLite uses the index meant to lead.

    On PostgreSQL return `column` itself: PostgreSQL estimates how many rows match a column, but not an expression.
    """
    return column + literal("") if dialect == "sqlite" else column
