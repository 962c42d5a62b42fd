"""A forked child knows that it is one, however it was forked and whatever the system can do."""

from __future__ import annotations

import mmap
import subprocess
import sys

import pytest

from service.engine.guard import own_process
from tests.support.checkout import CHECKOUT

PROGRAM = """
import ctypes, os, sys
from service.engine.guard import own_process

is_child, claim = getattr(own_process, sys.argv[1])()
fork = os.fork if sys.argv[2] == "os" else ctypes.PyDLL(None).fork

def exit_code(work):
    pid = fork()
    if pid == 0:
        code = 99
        try:
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def in_child():
    before, grandchild = is_child(), exit_code(is_child)
    claim()
    return before + 2 * grandchild + 4 * exit_code(is_child) + 8 * is_child()

claim()
sys.exit(16 * is_child() + exit_code(in_child))
"""
"""It has no threads: a child forked by the C library would wait for what they hold."""


@pytest.mark.parametrize("kind", ["_by_page", "_by_pid"])
@pytest.mark.parametrize("fork", ["os", "C"])
def test_a_child_is_told_until_it_claims_to_be_the_process(kind: str, fork: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, kind, fork], cwd=CHECKOUT, check=False, timeout=60)
    assert done.returncode == 1 + 2 + 4


@pytest.mark.parametrize("refused", [(), (18, -1)], ids=["takes any advice", "refuses all"])
def test_a_system_that_cannot_clear_a_page_is_noticed(
    monkeypatch: pytest.MonkeyPatch, refused: tuple[int, ...]
) -> None:
    class Page:
        def __init__(self, *_: object, **__: object) -> None: ...

        def madvise(self, advice: int) -> None:
            if advice in refused:
                raise OSError("no")

    monkeypatch.setattr(mmap, "mmap", Page)
    with pytest.raises(OSError, match=r"any advice|no"):
        own_process._by_page()
