"""An order: its goods are reserved, a person approves it, and its price is charged, or the goods are released."""

from __future__ import annotations

import time
from typing import Any

from service import tool


@tool
def reserve() -> dict[str, Any]:
    return {"reserved": True}


@tool
def charge(state: dict[str, Any], context: Any) -> dict[str, Any]:
    time.sleep(1)  # A bank takes its time,
    if context.attempt == 1:
        raise ConnectionError("the bank does not answer")  # and this one fails at first.
    # Every attempt of this step has the same key. A bank that is given the key twice charges once.
    return {"charged": state["price"], "receipt": context.idempotency_key}


@tool
def release() -> dict[str, Any]:
    return {"reserved": False}
