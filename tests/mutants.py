"""Seeded mutants: faults that the tests must catch. `python tests/mutants.py [NAME…]`; exit 1 if one survives.

Each is an exact replacement in a copy of the repository; the few tests named with it must fail there, and
pass without it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_S = 180.0
UNRELATED = ("benchmarks/",)


@dataclass(frozen=True, slots=True)
class Edit:
    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]
    """What must catch it, as pytest's arguments."""


MUTANTS = (
    Mutant(
        "a step is fenced without the token",
        (
            Edit(
                "service/store/commands/commit.py",
                "            runs.c.lease_token == row.token,\n            runs.c.step == row.step_before,\n",
                "            runs.c.step == row.step_before,\n",
            ),
        ),
        ("tests/store/commands/test_fencing.py",),
    ),
    Mutant(
        "lines are fenced without the token",
        (
            Edit(
                "service/store/rows/fence.py",
                '    runs.c.lease_token == bindparam("token"),\n    IS_RUNNING,\n',
                "    IS_RUNNING,\n",
            ),
        ),
        ("tests/store/commands/test_fencing.py",),
    ),
    Mutant(
        "a tool that is not pure is called before the steps before it are durable",
        (
            Edit(
                "service/engine/runner.py",
                "            if not self._ahead.is_empty and (run := await self._settle()).status"
                " is not Status.RUNNING:\n                return run\n",
                "",
            ),
        ),
        ("tests/engine/test_ahead.py", "-k", "is_not_pure"),
    ),
    Mutant(
        "a run gets ahead of the disk right after a crash",
        (
            Edit(
                "service/engine/runner.py",
                "self._run.step + ahead.STEPS_MAX if self._run.crashes else 0",
                "0",
            ),
        ),
        ("tests/engine/test_crashes.py", "-k", "hide"),
    ),
    Mutant(
        "two transactions instead of one: the row is moved, then the rest is written",
        (
            Edit(
                "service/store/commands/commit.py",
                "    insert_steps(transaction, steps)\n",
                '    transaction.cursor.execute("COMMIT")\n'
                '    transaction.cursor.execute("BEGIN")\n'
                "    insert_steps(transaction, steps)\n",
            ),
        ),
        ("tests/store/database/writing/test_unknown.py", "-k", "breaks_is_done_once and (advance or claim)"),
    ),
    Mutant(
        "a global id as cursor: seq from a counter of the server's, and not under the run's row",
        (
            Edit(
                "service/store/rows/log_lines.py",
                "in enumerate(lines, last_seq - len(lines) + 1):\n",
                "in zip(_IDS, lines):\n",
            ),
            Edit(
                "service/store/rows/log_lines.py",
                "from collections.abc import Sequence\n",
                "from collections.abc import Sequence\nfrom itertools import count\n",
            ),
            Edit(
                "service/store/rows/log_lines.py",
                "\n\nclass NewLine",
                "\n_IDS = count(1)\n\n\nclass NewLine",
            ),
        ),
        ("tests/store/rows/test_logs.py",),
    ),
    Mutant(
        "time from the host's clock",
        (
            Edit(
                "service/store/database/store_clock.py",
                "if self._override is not None:\n            clock_us = microseconds(self._override())",
                "clock_us = microseconds(datetime.now(UTC))",
            ),
            Edit(
                "service/store/database/store_clock.py",
                "from datetime import UTC\n",
                "from datetime import UTC, datetime\n",
            ),
        ),
        ("tests/store/database/test_clock.py",),
    ),
    Mutant(
        "a claim waits for the runs that another server is claiming",
        (Edit("service/store/commands/leases/due.py", " FOR UPDATE SKIP LOCKED", " FOR UPDATE"),),
        ("tests/store/commands/test_servers.py",),
    ),
    Mutant(
        "a claim whose COMMIT looked like a failure claims anew",
        (
            Edit(
                "service/store/commands/leases/claim.py",
                "        kept = [row for row in taken.rows if self._has_taken(transaction, row)]\n",
                "        kept: list[Due] = []\n",
            ),
        ),
        ("tests/store/database/writing/test_unknown.py", "-k", "breaks_is_done_once and (advance or claim)"),
    ),
    Mutant(
        "a key is looked up, but not taken before its run is written",
        (
            Edit(
                "service/store/commands/start.py",
                "    if idempotency is not None and not take_key(transaction, idempotency, start.run_id):\n",
                "    if idempotency is not None and not use_of(transaction, idempotency):\n"
                "        take_key(transaction, idempotency, start.run_id)\n"
                "    if False:\n",
            ),
        ),
        ("tests/store/commands/test_servers.py",),
    ),
    Mutant(
        "a cancel leaves the token, so that a late result is taken",
        (
            Edit(
                "service/store/commands/control.py",
                "            lease_token=runs.c.lease_token + constant(1),\n            due_at=null(),\n",
                "            due_at=null(),\n",
            ),
            Edit("service/store/commands/commit.py", "            IS_RUNNING,\n", ""),
        ),
        ("tests/store/commands/test_control.py",),
    ),
    Mutant(
        "a step goes on past the pause that was asked for",
        (Edit("service/store/commands/commit.py", "        if pause_asked:\n", "        if False:\n"),),
        ("tests/store/commands/test_control.py", "-k", "pause"),
    ),
    Mutant(
        "a crash while children are started or joined is another attempt",
        (
            Edit(
                "service/store/commands/leases/takeover.py",
                "due if is_tool or not due.taken_over else due._replace(in_flight=0)",
                "due",
            ),
        ),
        ("tests/store/rows/test_children.py",),
    ),
    Mutant(
        "a signal stays in the mailbox once it is taken",
        (
            Edit(
                "service/store/commands/side_effects.py",
                "        if transition.consumes is not None:\n",
                "        if False:\n",
            ),
        ),
        ("tests/store/rows/test_signals.py",),
    ),
    Mutant(
        "a child's end does not wake its parent",
        (
            Edit(
                "service/store/commands/commit.py",
                "    if parents:\n        wake_those_ready",
                "    if ():\n        wake_those_ready",
            ),
        ),
        ("tests/store/rows/test_children.py",),
    ),
    Mutant(
        "children of another attempt have the ids of the first one's",
        (
            Edit(
                "service/core/join.py",
                "parent_id, step, attempt, number)",
                "parent_id, step, number)",
            ),
        ),
        ("tests/store/rows/test_children.py",),
    ),
)


def main(names: Sequence[str]) -> int:
    chosen = [mutant for mutant in MUTANTS if not names or any(name in mutant.name for name in names)]
    survivors = 0
    with copied() as folder:
        for tests in dict.fromkeys(mutant.tests for mutant in chosen):
            if failing := first_failure(folder, tests):
                say(f"BROKEN    without any mutant: {failing}")
                return 1
        for mutant in chosen:
            with applied(folder, mutant):
                failing = first_failure(folder, mutant.tests)
            survivors += not failing
            say(
                f"{'caught  ' if failing else 'SURVIVED'}  {mutant.name}"
                + (f"\n          by {failing}" if failing else "")
            )
    say(f"{len(chosen) - survivors} of {len(chosen)} mutants caught")
    return 1 if survivors or not chosen else 0


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the tracked files, and of those that are about to be, as they are in the work tree."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    with tempfile.TemporaryDirectory(prefix="rungraph-mutants-") as folder:
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file() and not name.startswith(UNRELATED):
                (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, Path(folder) / name)
        yield Path(folder)


@contextmanager
def applied(folder: Path, mutant: Mutant) -> Iterator[None]:
    after = edited(folder, mutant)
    before = {file: (folder / file).read_text() for file in after}
    for file, text in after.items():
        (folder / file).write_text(text)
    try:
        yield
    finally:
        for file, text in before.items():
            (folder / file).write_text(text)


def edited(folder: Path, mutant: Mutant) -> dict[str, str]:
    """Return the text of each file that the mutant changes; ValueError if an edit has no place or several."""
    texts: dict[str, str] = {}
    for edit in mutant.edits:
        text = texts.get(edit.file) or (folder / edit.file).read_text()
        if (found := text.count(edit.old)) != 1:
            raise ValueError(f"{mutant.name}: this text is {found} times in {edit.file}, and not once:\n{edit.old}")
        texts[edit.file] = text.replace(edit.old, edit.new)
    return texts


def first_failure(folder: Path, tests: Sequence[str]) -> str | None:
    """The first of `tests` that fails there; None if all pass."""
    command = [sys.executable, "-m", "pytest", "-n0", "-x", "--tb=no", "--no-header", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "240"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, check=False, capture_output=True, text=True, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return f"no end within {TIMEOUT_S:.0f} s of {' '.join(tests)}"
    if done.returncode == 0:
        return None
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if done.returncode != 1 or not failed:
        raise SystemExit(f"the tests did not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return failed[0].partition(" ")[2]


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
