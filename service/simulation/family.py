"""A run and its descendants in memory: their clock, the run that goes on next, and what a commit does to other runs.

The code here does what the store does, in the same order, but for one run at a time. See store/commands and
store/rows/park_and_wake.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from service.core import codec
from service.core.after import after
from service.core.errors import AttemptError, StateInvalid
from service.core.graph import Graph, SleepNode, Until
from service.core.join import child_id, count_children
from service.core.moves import CallTool, Failed, Gather, Gathered, Move, Outcome, Receive, Sleep
from service.core.next_move import next_move
from service.core.run import Child, Event, Level, Line, Run, Transition, Wait, WaitKind
from service.core.state import State
from service.core.transitions import OVER, Status
from service.engine.timestamps import read_moment
from service.simulation.attempts import InjectedFailures, ToolCalls
from service.simulation.graphs import PostedGraphs
from service.simulation.member import Mail, Member

MOVES_MAX = 1_000_000
"""The most moves of one simulation. A graph that retries or starts children without end reaches this limit."""

_ENDED = (Status.FAILED, Status.CANCELLED)


class Delivery(NamedTuple):
    """A signal to the first run, and the time at which it arrives. `number` keeps simultaneous signals in order."""

    at_us: int
    number: int
    mail: Mail


@dataclass
class Siblings:
    """The children that one attempt of a graph node has started, by number."""

    members: list[Member] = field(default_factory=list)
    open: int = 0
    """The number of unfinished children."""
    has_failed: bool = False
    """Whether a child failed or was cancelled."""


class Family:
    """The runs of a simulation. A move takes no simulated time. The clock advances only when all runs wait."""

    def __init__(
        self,
        graphs: PostedGraphs,
        calls: ToolCalls,
        failures: InjectedFailures,
        now_us: int,
        state_bytes_max: int,
    ) -> None:
        self._graphs = graphs
        self._calls = calls
        self._failures = failures
        self._state_bytes_max = state_bytes_max
        self.now_us = _to_ms(now_us)
        self._members: dict[str, Member] = {}
        self._children: dict[str, list[Member]] = {}
        self._siblings: dict[tuple[str | None, int, int], Siblings] = {}
        """The children of each attempt, by the parent's id, the step and the attempt."""
        self._queue: list[tuple[int, int, str]] = []
        """A heap of due times, each with the entry's number and the run's id. Entries may be out of date."""
        self._queued = 0
        self._deliveries: list[Delivery] = []

    def start(self, run_id: str, graph: Graph, state: State) -> Member:
        """Queue a run and return it."""
        return self._add(Member(Run(run_id, graph, Status.QUEUED, 0, graph.start_node, state), None))

    def deliver(self, signals: Iterable[tuple[float, str, str]]) -> None:
        """Plan signals to the first run. Each has a delay from now in seconds, a name, and a payload as JSON text."""
        for number, (after_s, name, payload) in enumerate(signals):
            at_us = _to_ms(self.now_us + round(after_s * 1e6))
            heapq.heappush(self._deliveries, Delivery(at_us, number, Mail(name, payload, at_us)))

    def children_of(self, run_id: str) -> list[Member]:
        return self._children.get(run_id, [])

    def execute(self, root: Member) -> None:
        """Let the runs go on until `root` is over or paused, or until no run can go on.

        Raise RuntimeError after MOVES_MAX moves.
        """
        moves = 0
        while root.run.status not in OVER and root.run.status is not Status.PAUSED:
            member = self._next(root)
            if member is None:
                return
            for _ in self._carry(member):
                moves += 1
                if moves > MOVES_MAX:
                    raise RuntimeError(f"the simulation has made {MOVES_MAX} moves and is not at its end")

    def _next(self, root: Member) -> Member | None:
        """Set the clock to the time at which the next run goes on, and return this run, or None if no run can go on.

        Signals that arrive no later than this time are delivered first.
        """
        while True:
            due = self._first_due()
            if self._deliveries and (due is None or self._deliveries[0].at_us <= max(due[0], self.now_us)):
                self._accept(root, heapq.heappop(self._deliveries))
                continue
            if due is None:
                return None
            heapq.heappop(self._queue)
            self.now_us = max(self.now_us, due[0])
            return self._members[due[2]]

    def _first_due(self) -> tuple[int, int, str] | None:
        while self._queue:
            due_us, _, run_id = self._queue[0]
            member = self._members[run_id]
            if member.due_us == due_us and member.run.status in (Status.QUEUED, Status.WAITING):
                return self._queue[0]
            heapq.heappop(self._queue)
        return None

    def _accept(self, root: Member, delivery: Delivery) -> None:
        self.now_us = max(self.now_us, delivery.at_us)
        root.accept(delivery.mail)
        self._wake_if_ready(root)

    def _add(self, member: Member) -> Member:
        self._members[member.run.id] = member
        if member.run.parent_id is not None:
            self._children.setdefault(member.run.parent_id, []).append(member)
            siblings = self._siblings_of(member)
            siblings.members.append(member)
            siblings.open += 1
        self._make_due(member, self.now_us)
        return member

    def _make_due(self, member: Member, due_us: int) -> None:
        member.due_us = due_us
        self._queued += 1
        heapq.heappush(self._queue, (due_us, self._queued, member.run.id))

    def _carry(self, member: Member) -> Iterator[None]:
        """Make the moves of a run until it waits, is paused or is over. Yield before each move."""
        waited = member.take_waited(self.now_us)
        if not member.started:
            member.log([Line(Event.RUN_STARTED, f"started at {member.run.node:.200}")], self.now_us)
            member.started = True
        member.run = member.run._replace(status=Status.RUNNING, waited=waited, claimed_us=self.now_us)
        while (move := next_move(member.run)) is not None:
            yield
            outcome, lines = self._outcome(member, move)
            self._commit(member, after(member.run, move, outcome, self._state_bytes_max), lines)

    def _outcome(self, member: Member, move: Move) -> tuple[Outcome | None, Iterable[Line]]:
        run = member.run
        begins = run.waited is None or run.waited.kind is WaitKind.BACKOFF
        if begins and (failed := self._failures.take(run)) is not None:
            return failed, ()
        if isinstance(move, CallTool):
            return self._calls.make(run, move)
        try:
            return self._observe(member, move), ()
        except AttemptError as error:
            return Failed(error.type, str(error)), ()

    def _observe(self, member: Member, move: Move) -> Outcome | None:
        match move:
            case Sleep(node=SleepNode(sleep=Until(until=place))):
                return read_moment(member.run.state, place)
            case Receive(node=node):
                return member.oldest(node.signal)
            case Gather():
                return self._gathered(member.run, move)
            case _:
                return None

    def _gathered(self, run: Run, move: Gather) -> Gathered:
        siblings = self._siblings.get((run.id, move.step, move.attempt), Siblings())
        children = siblings.members
        total = count_children(run.state, move.node)
        gathered = Gathered(len(children), siblings.open)
        for number, child in enumerate(children if siblings.has_failed else ()):
            if child.run.status in _ENDED:
                error = child.error
                message = "" if error is None else f"{error.type}: {error.message}"
                return gathered._replace(failed=(number, child.run.status, message), failed_id=child.run.id)
        if gathered.open or gathered.started < total:
            return gathered
        states = [child.run.state.to_text() for child in children]
        if sum(map(codec.byte_length, states)) > self._state_bytes_max:
            raise StateInvalid(f"the children's states have more than {self._state_bytes_max} bytes")
        return gathered._replace(states=states)

    def _siblings_of(self, child: Member) -> Siblings:
        step, attempt, _ = child.place or (0, 0, 0)
        return self._siblings.setdefault((child.run.parent_id, step, attempt), Siblings())

    def _count_end(self, member: Member) -> None:
        """Note that a run is over. It is no longer due, and no longer unfinished among its siblings."""
        member.due_us = None
        if member.run.parent_id is not None:
            siblings = self._siblings_of(member)
            siblings.open -= 1
            siblings.has_failed |= member.run.status in _ENDED

    def _commit(self, member: Member, transition: Transition, lines: Iterable[Line]) -> None:
        """Do what the commit of a transition does to `member` and to other runs."""
        run = transition.run
        member.record(transition, self.now_us, self.now_us)
        member.log([*lines, *transition.lines], self.now_us)
        if transition.ends_wait:
            member.wait = None
        if transition.consumes is not None:
            del member.mailbox[transition.consumes]
        member.run = run
        for child in transition.starts:
            self._start_child(run, child)
        if run.status in OVER:
            self._count_end(member)
            member.error = transition.error if run.status is Status.FAILED else None
        if transition.wait is not None:
            self._park(member, transition.wait)
        if transition.cancels_children:
            self._cancel(self.children_of(run.id), "cancelled: the parent's node has ended")
        if transition.wait is not None:
            self._wake_if_ready(member)
        if run.status in OVER and run.parent_id is not None:
            self._wake_if_ready(self._members[run.parent_id])

    def _start_child(self, parent: Run, child: Child) -> None:
        place = (parent.step + 1, parent.attempt, child.number)
        graph = self._graphs.get(child.graph_id)
        run = Run(
            child_id(parent.id, *place),
            graph,
            Status.QUEUED,
            0,
            graph.start_node,
            child.state,
            parent_id=parent.id,
            depth=parent.depth + 1,
        )
        self._add(Member(run, None, place))

    def _park(self, member: Member, wait: Wait) -> None:
        times = [] if wait.due_us is None else [wait.due_us]
        if wait.later_s is not None:
            times.append(self.now_us + round(wait.later_s * 1e6))
        member.wait = wait
        member.since_us = self.now_us if wait.since_us is None else wait.since_us
        member.wait_due_us = member.due_us = _to_ms(min(times)) if times else None
        if member.due_us is not None:
            self._make_due(member, member.due_us)

    def _wake_if_ready(self, member: Member) -> None:
        """Make a waiting run due now if a signal or its children have ended its wait."""
        if member.run.status is not Status.WAITING or member.wait is None or not self._is_over(member, member.wait):
            return
        if member.due_us is None or member.due_us > self.now_us:
            self._make_due(member, self.now_us)

    def _is_over(self, member: Member, wait: Wait) -> bool:
        if wait.kind is WaitKind.SIGNAL:
            return any(mail.name == wait.name for mail in member.mailbox.values())
        if wait.kind is not WaitKind.CHILDREN:
            return False
        run = member.run
        siblings = self._siblings.get((run.id, run.step + 1, run.attempt), Siblings())
        return siblings.has_failed or siblings.open <= (wait.open_max or 0)

    def _cancel(self, members: Iterable[Member], because: str) -> None:
        """Cancel the unfinished runs among `members`, and then the unfinished descendants of these runs."""
        unfinished = [member for member in members if member.run.status not in OVER]
        for member in unfinished:
            member.log([Line(Event.RUN_CANCELLED, because, Level.WARNING, node=member.run.node)], self.now_us)
            member.run = member.run._replace(status=Status.CANCELLED, node=None)
            member.wait = None
            self._count_end(member)
        for member in unfinished:
            self._cancel(self.children_of(member.run.id), "cancelled with its parent")


def _to_ms(us: int) -> int:
    """Return a time in microseconds, rounded down to a whole millisecond, as the store keeps times."""
    return us // 1000 * 1000
