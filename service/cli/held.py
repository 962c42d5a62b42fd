"""Messages about what a run waits for, printed once each by a command that executes the run itself."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from service.core.run import WaitKind
from service.core.tool import CLUSTER
from service.core.transitions import Status
from service.store.rows.records import HeldRecord

TOLD_MAX = 10
"""How many waits are reported one by one. One more message stands for all others."""


class Holding:
    """The waits of a run and its descendants, and which of them have been reported."""

    waits_max = TOLD_MAX + 1
    """How many waits to pass to `news` at most."""

    def __init__(self, run_id: str, tools: Iterable[str], *, is_shared: bool) -> None:
        """`is_shared` says whether a server can serve the database while this command executes the run."""
        self._run_id = run_id
        self._serve = "".join(["rungraph serve", *(f" --tools {shlex.quote(source)}" for source in tools)])
        self._is_shared = is_shared
        self._told: set[HeldRecord] = set()

    def news(self, held: Sequence[HeldRecord]) -> list[str]:
        """Return a message for each wait that was not reported before.

        The run's own sleeps, backoffs and waits for limits are omitted, since its log has them.
        """
        found = []
        for each in held:
            is_known = each in self._told or (each.run_id == self._run_id and not each.needs_somebody)
            if is_known or len(self._told) > TOLD_MAX:
                continue
            self._told.add(each)
            many = len(self._told) > TOLD_MAX
            found.append("other runs below it wait as well; rungraph runs lists them" if many else self._line(each))
        return found

    def _line(self, held: HeldRecord) -> str:
        which = f"run {held.run_id}"
        if held.run_id != self._run_id:
            which += f", a child below {self._run_id},"
        until = "" if held.due_at is None else f" until {held.due_at} at the latest"
        if held.missing_tool == CLUSTER:
            needs = f"{which} needs a cluster, and none is configured here"
            return f"{needs}; a server on this database that has one goes on with the run: RUNGRAPH_CLUSTER=…"
        if held.missing_tool is not None:
            needs = f"{which} needs the tool {held.missing_tool!r:.200}, which is not loaded here"
            return f"{needs}; a server on this database that has it goes on with the run: rungraph serve --tools …"
        if held.status == Status.PAUSED:
            return f"{which} is paused; {self._ask(f'/runs/{held.run_id}/resume')}"
        match held.kind:
            case WaitKind.SIGNAL:
                path = f"/runs/{held.run_id}/signals/{quote(held.name or '', safe='')}"
                return f"{which} waits for the signal {held.name!r:.200}{until}; {self._ask(path)}"
            case WaitKind.BACKOFF:
                return f"{which} has failed, and is tried again at {held.due_at}"
            case WaitKind.LIMIT:
                return f"{which} waits for a slot of the limit {held.name!r:.200}"
            case _:
                return f"{which} sleeps until {held.due_at}"

    def _ask(self, path: str) -> str:
        """Return what a person can do so that the run goes on."""
        if self._is_shared:
            return f"it goes on after POST {path} to a server on this database ({self._serve})"
        return f"nobody can tell it while this command has the database: stop it, start {self._serve}, and POST {path}"
