"""An agent that handles a complaint: a model chooses the next tool, and a person approves what costs money."""

from __future__ import annotations

from typing import Any

from service import tool

ORDERS = {"A-17": {"item": "lamp", "price": 40, "state": "arrived broken"}}


@tool
def ask_model(state: dict[str, Any], context: Any) -> dict[str, Any]:
    """Choose the next action. Call your own model here: its answer is committed, and never asked for again."""
    if "order" not in state:
        action = {"tool": "look_up_order", "arguments": {"order_id": state["order_id"]}}
    elif "amount" not in state:
        action = {"tool": "calculate_refund", "arguments": {"share": 0.5}}
    elif "receipt" not in state and "approval" not in state and "error" not in state:
        action = {"tool": "pay_refund", "arguments": {"amount": state["amount"]}}
    else:
        action = {"tool": "answer_customer", "arguments": {}}
    context.log("the model has chosen", **action)
    return {"action": action}


@tool
def look_up_order(state: dict[str, Any]) -> dict[str, Any]:
    return {"order": ORDERS[state["action"]["arguments"]["order_id"]]}


@tool
def calculate_refund(state: dict[str, Any]) -> dict[str, Any]:
    return {"amount": state["order"]["price"] * state["action"]["arguments"]["share"]}


@tool
def pay_refund(state: dict[str, Any], context: Any) -> dict[str, Any]:
    # The bank is given the key of this step: it pays once, however often the step is attempted.
    return {"receipt": f"{state['amount']:.2f} paid, key {context.idempotency_key}"}


@tool
def answer_customer(state: dict[str, Any]) -> dict[str, Any]:
    if "receipt" in state:
        return {"answer": f"We are sorry about your {state['order']['item']} and refund {state['amount']:.2f}."}
    return {"answer": "We are sorry, and a colleague will call you."}
