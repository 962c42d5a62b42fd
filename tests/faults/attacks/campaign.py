"""Attack a server of 512 MiB in one way after the other while a good client starts runs, and print a matrix."""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from tests.faults.attacks.clients import TOKEN, GoodClient, Target
from tests.faults.attacks.kinds import ATTACKS, WITH_TOKEN
from tests.faults.attacks.memory import MIB, Gauge, Group, group_or_none
from tests.support.system.process import Server

LIMIT_BYTES = 512 * MIB
SLOWEST_S = 30.0
"""How long a start of the good client may take, with its repetitions."""
GRAPH = {
    "name": "good",
    "start_node": "a",
    "nodes": {"a": "count"},
    "edges": {"a": {"to": "a", "condition": {"key": "n", "op": "<", "value": 3}}},
}
_SPAWN = multiprocessing.get_context("spawn")


@dataclass
class Result:
    name: str
    asked: int = 0
    answered: int = 0
    put_off: int = 0
    slowest_s: float = 0.0
    before: int = 0
    peak: int = 0
    peak_pss: int = 0
    after: int = 0
    answers: dict[int, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    @property
    def cells(self) -> list[str]:
        attacks = " ".join(f"{status or 'none'}:{count}" for status, count in sorted(self.answers.items()))
        memory = [f"{each / MIB:.0f}" for each in (self.before, self.peak, self.peak_pss, self.after)]
        starts = [str(self.asked), str(self.answered), str(self.put_off), f"{self.slowest_s:.1f}"]
        return [self.name.replace("_", " "), *starts, *memory, attacks or "-", str(len(self.wrong))]


HEAD = ("attack", "asked", "answered", "503", "slowest s", "MiB before", "peak", "PSS", "after", "attacker", "wrong")


def attack_all(only: Sequence[str], seconds: float, database_url: Callable[[], str] | None = None) -> list[Result]:
    """Attack in each way, or only in those of `only`; print each result as it comes, and the matrix at the end."""
    results = []
    for name in only or ATTACKS:
        result = attack(name, seconds, None if database_url is None else database_url())
        results.append(result)
        print(" | ".join(result.cells), *(f"\n    {each}" for each in result.wrong), flush=True)
    print("| " + " | ".join(HEAD) + " |")
    print("|" + "---|" * len(HEAD))
    for result in results:
        print("| " + " | ".join(result.cells) + " |")
    return results


def attack(name: str, seconds: float, database_url: str | None = None) -> Result:
    """Return what came of one attack on a fresh server."""
    result = Result(name)
    with tempfile.TemporaryDirectory(prefix="rungraph-attacks-", ignore_cleanup_errors=True) as folder:
        group = group_or_none(LIMIT_BYTES)
        token = TOKEN if name in WITH_TOKEN else None
        server = _server(Path(folder), group, token, database_url)
        try:
            server.start()
            target = Target(int(server.url.rpartition(":")[2]), seconds, token)
            _play(name, server, target, group, result)
        except AssertionError as error:
            result.wrong.append(f"{error}"[:2000])
        finally:
            if server.process.poll() is None:
                server.kill()
            else:
                server.output()
            _look_at_log(server.said, seconds, result)
            if group is not None:
                if group.kills:
                    result.wrong.append(f"the kernel killed {group.kills} processes for want of memory")
                group.remove()
    return result


def _server(folder: Path, group: Group | None, token: str | None, database_url: str | None) -> Server:
    environment = {
        "RUNGRAPH_WEBHOOK_HOSTS": "localhost,127.0.0.1",
        "RUNGRAPH_WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        **({} if token is None else {"RUNGRAPH_API_TOKEN": token}),
        **({} if database_url is None else {"RUNGRAPH_DATABASE_URL": database_url}),
    }
    within = () if group is None else group.within
    return Server(folder, tools=[Path(__file__).with_name("tools.py")], within=within, **environment)


def _play(name: str, server: Server, target: Target, group: Group | None, result: Result) -> None:
    gauge = Gauge(server.process.pid, group)
    good = GoodClient(target, target.create(GRAPH))
    good.ask()
    gauge.look()
    result.before = gauge.held_max
    with gauge.watching(), _asking(good), _attacking(name, target) as told:
        while told.poll(0) is False and server.process.poll() is None and time.monotonic() < target.end + 90:
            time.sleep(0.2)
        if told.poll(1):
            result.answers, wrong = told.recv()
            result.wrong += [f"{count} times {what}" for what, count in wrong.items()]
        elif server.process.poll() is None:
            result.wrong.append("the attack did not come to its end")
    good.ask()
    result.wrong += [f"{count} times {what}" for what, count in target.wrong.items()]
    result.asked, result.answered, result.put_off = good.asked, good.answered, good.put_off
    result.slowest_s = good.slowest_s
    _judge(server, good, result)
    result.peak, result.peak_pss = gauge.held_max, gauge.pss_max
    last = Gauge(server.process.pid, group)
    last.look()
    result.after = last.held_max


def _judge(server: Server, good: GoodClient, result: Result) -> None:
    if server.process.poll() is not None:
        result.wrong.append(f"the server ended with {server.process.returncode}: {server.said[-1000:]}")
    if good.answered < good.asked:
        result.wrong.append(f"{good.asked - good.answered} starts were not answered")
    if good.slowest_s > SLOWEST_S:
        result.wrong.append(f"a start took {good.slowest_s:.1f} s")


@contextmanager
def _asking(good: GoodClient) -> Iterator[None]:
    ended = threading.Event()
    thread = threading.Thread(target=good.work, args=(ended,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(90)


@contextmanager
def _attacking(name: str, target: Target) -> Iterator[Connection]:
    """Attack in a process of its own, which says at its end how often it got which answer."""
    here, there = _SPAWN.Pipe(duplex=False)
    process = _SPAWN.Process(target=_attack, args=(name, target.port, target.seconds, target.token, there), daemon=True)
    process.start()
    target.end = time.monotonic() + target.seconds
    try:
        yield here
    finally:
        process.kill()
        process.join()


def _attack(name: str, port: int, seconds: float, token: str | None, told: Connection) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    target = Target(port, seconds, token)
    with suppress(OSError):
        ATTACKS[name](target)
    told.send((dict(target.answers), dict(target.wrong)))


def _look_at_log(said: str, seconds: float, result: Result) -> None:
    lines = said.count("\n")
    if lines > 50 + 4 * seconds:
        result.wrong.append(f"{lines} lines in the server's log, such as {said.splitlines()[20:23]}")
    if "Traceback" in said:
        at = said.index("Traceback")
        result.wrong.append(f"{said.count('Traceback')} tracebacks: {said[max(0, at - 200) : at + 3000]}")
