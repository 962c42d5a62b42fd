"""Run state machines in rounds until each command has succeeded once: a check that never ran proves nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from hypothesis import seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.support.profile import repeat

ROUNDS_MAX = 40


def run_until_each_has_succeeded(
    machine: Callable[[Counter[str]], RuleBasedStateMachine], commands: set[str], *, examples: int, steps: int
) -> None:
    """Run the machine that counts in what it is given, `examples` times a round, up to `steps` rules each.

    Where Hypothesis draws no chance (it does not where `CI` is set) a round's seed is its number; without one each
    round would be the first again.
    """
    succeeded: Counter[str] = Counter()
    chosen = settings(max_examples=examples * repeat(1, 25), stateful_step_count=steps)
    for number in range(ROUNDS_MAX):
        factory = lambda: machine(succeeded)  # noqa: E731  a function of its own each round, since the seed marks it
        run_state_machine_as_test(seed(number)(factory) if chosen.derandomize else factory, settings=chosen)  # type: ignore[arg-type]  # any factory will do
        if (+succeeded).keys() >= commands:
            return
    raise AssertionError(f"never succeeded: {commands - (+succeeded).keys()}")
