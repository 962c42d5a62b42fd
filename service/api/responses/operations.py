"""Pydantic models of answers about schedules and webhooks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from service.api.responses.requests import JsonObject, StrictModel


class Schedule(StrictModel):
    name: str
    graph_id: str | None
    graph: str | None = Field(description="The latest graph of this name, at each tick.")
    cron: str | None
    every_s: float | None
    timezone: str
    initial_state: JsonObject
    tags: dict[str, str]
    overlap: Literal["skip", "start"]
    catch_up: Literal["one", "all", "none"]
    paused: bool
    next_at: str | None = Field(description="The next tick; null if it is paused, or no tick comes again.")
    last_at: str | None = Field(description="The last tick that has passed.")
    skipped_at: str | None = Field(description="The last tick that started no run because another was unfinished.")
    last_run_id: str | None = Field(description="The run that it started last; null if there is none any more.")
    created_at: str
    updated_at: str
    next: list[str] = Field(description="The next five ticks; none if it is paused.")


class SchedulePage(StrictModel):
    items: list[Schedule]
    next_cursor: str | None


class DeliveryItem(StrictModel):
    number: int
    webhook_id: str = Field(description="What the receiver gets as `webhook-id`, the same for all attempts.")
    event: Literal["completed", "failed", "paused", "cancelled", "waiting"]
    state: Literal["pending", "delivered", "failed"]
    attempts: int
    due_at: str | None = Field(description="When it is sent next; null if it is finished or waits for the one before.")
    last_status: int | None = Field(description="The status of the receiver's last answer.")
    last_error: str | None
    created_at: str
    finished_at: str | None


class DeliveryPage(StrictModel):
    items: list[DeliveryItem]
    next_cursor: int | None = Field(description="The next `after`.")
