"""Schedules, which start runs at times of day or at intervals."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

from anyio import to_thread
from fastapi import Path, Query, Request
from pydantic import AfterValidator
from starlette.responses import Response

from service.api.any_text import check_name
from service.api.body import read_json, validate
from service.api.large_bodies import off_loop
from service.api.limits import SCHEDULE_NAME_CHARS_MAX, SCHEDULE_NEXT
from service.api.parameters import Limit, ServicesDep, SettingsDep, new_run_id, strict_router
from service.api.responses import answers, operations, rendering, requests, texts
from service.api.responses.openapi import SCHEDULE_BODY, refusals
from service.api.responses.rendering import Json
from service.api.routes.runs.start import DEPTH_MAX, initial_state, started
from service.api.services import WRITE_WITHIN_S, Services
from service.core import codec
from service.core.errors import Fault, Invalid, NotFound
from service.core.operations.schedule import CatchUp, Overlap
from service.core.syntax.ids import parse_graph_id
from service.store.database.clock import microseconds, text_of
from service.store.rows.operations.schedules import Plan, ScheduleRecord
from service.store.rows.operations.timetable import Timetable, cron_fault, zone_fault


def _is_name(text: str) -> bool:
    return 0 < len(text) <= SCHEDULE_NAME_CHARS_MAX and text.isprintable()


def _parse_name(text: str) -> str:
    if not _is_name(text):
        raise NotFound("schedule", text[:100])
    return text


def _check_cursor(text: str) -> str:
    if not _is_name(text):
        raise ValueError("must be the `next_cursor` of an earlier page")
    return text


ScheduleName = Annotated[str, AfterValidator(_parse_name), Path(description="The name of a schedule.")]
NewName = Annotated[str, Path(description=f"Up to {SCHEDULE_NAME_CHARS_MAX} printable characters, without a slash.")]
Cursor = Annotated[str, AfterValidator(_check_cursor), Query(description="The `next_cursor` of the previous page.")]

router = strict_router(tags=["schedules"])


@router.put(
    "/schedules/{name}",
    status_code=201,
    response_model=operations.Schedule,
    responses={
        200: {"model": operations.Schedule, "description": "The schedule existed, and is replaced"},
        **refusals(404, 413, 415),
    },
    openapi_extra=SCHEDULE_BODY,
)
async def put_schedule(name: NewName, request: Request, services: ServicesDep, settings: SettingsDep) -> Json:
    """Make or replace a schedule. If its times stay the same, its next tick stays. A paused schedule stays paused."""
    _check_name(request, name)
    asked = validate(requests.ScheduleRequest, await read_json(request, settings.body_bytes_max, DEPTH_MAX))
    _refuse(_faults_of_choices(asked))
    graph_id = None if asked.graph_id is None else parse_graph_id(asked.graph_id)
    # On a thread, because the first check of a time zone reads some hundred files, and a rare date takes a search.
    _refuse(await to_thread.run_sync(_faults_of_times, asked))
    state = await off_loop(request, lambda: initial_state(asked.initial_state, settings.state_bytes_max).to_text())
    plan = Plan(
        graph_id=graph_id,
        graph_name=asked.graph,
        timetable=Timetable(asked.cron, asked.every_s, asked.timezone),
        state=state,
        tags=codec.encode(asked.tags),
        overlap=Overlap(asked.overlap),
        catch_up=CatchUp(asked.catch_up),
    )
    is_new = await services.store.schedules.set(name, plan, within_s=WRITE_WITHIN_S)
    return await _shown(services, name, 201 if is_new else 200)


@router.get("/schedules", response_model=operations.SchedulePage, responses=refusals())
async def list_schedules(services: ServicesDep, limit: Limit = 100, cursor: Cursor | None = None) -> Json:
    """List all schedules in the order of their names, each with its next five ticks."""
    page = await services.store.schedules.page(limit, cursor)
    items = await to_thread.run_sync(lambda: [texts.write(_shown_members(record)) for record in page.items])
    return rendering.page(items, page.next_cursor)


@router.get("/schedules/{name}", response_model=operations.Schedule, responses=refusals(404))
async def get_schedule(name: ScheduleName, services: ServicesDep) -> Json:
    """Return a schedule with its next five ticks."""
    return await _shown(services, name)


@router.delete("/schedules/{name}", status_code=204, response_class=Response, responses=refusals(404))
async def delete_schedule(name: ScheduleName, services: ServicesDep) -> Response:
    """Delete a schedule. Its runs stay, and go on."""
    await services.store.schedules.delete(name, within_s=WRITE_WITHIN_S)
    return Response(status_code=204)


@router.post(
    "/schedules/{name}/pause", status_code=202, response_model=operations.Schedule, responses=refusals(404, 413, 415)
)
async def pause_schedule(name: ScheduleName, request: Request, services: ServicesDep, settings: SettingsDep) -> Json:
    """Pause a schedule. Its ticks start no runs until it is resumed."""
    validate(requests.EmptyRequest, await read_json(request, settings.body_bytes_max, empty={}))
    await services.store.schedules.pause(name, within_s=WRITE_WITHIN_S)
    return await _shown(services, name, 202)


@router.post(
    "/schedules/{name}/resume",
    status_code=202,
    response_model=operations.Schedule,
    responses=refusals(404, 409, 413, 415),
)
async def resume_schedule(name: ScheduleName, request: Request, services: ServicesDep, settings: SettingsDep) -> Json:
    """Resume a paused schedule. Ticks that came while it was paused start no run."""
    validate(requests.EmptyRequest, await read_json(request, settings.body_bytes_max, empty={}))
    await services.store.schedules.resume(name, within_s=WRITE_WITHIN_S)
    return await _shown(services, name, 202)


@router.post(
    "/schedules/{name}/trigger", status_code=202, response_model=answers.RunStarted, responses=refusals(404, 413, 415)
)
async def trigger_schedule(name: ScheduleName, request: Request, services: ServicesDep, settings: SettingsDep) -> Json:
    """Start a run of a schedule now, even if the schedule is paused or has an unfinished run."""
    validate(requests.EmptyRequest, await read_json(request, settings.body_bytes_max, empty={}))
    run_id = new_run_id()
    await services.store.schedules.trigger(name, run_id, within_s=WRITE_WITHIN_S)
    return started(request, run_id)


def _check_name(request: Request, name: str) -> None:
    check_name(request, name)
    if not _is_name(name):
        raise Invalid.at("/name", f"must be 1 to {SCHEDULE_NAME_CHARS_MAX} printable characters")


def _refuse(faults: list[Fault]) -> None:
    if faults:
        raise Invalid(faults)


def _faults_of_choices(asked: requests.ScheduleRequest) -> list[Fault]:
    """Return a fault for each pair of alternative fields unless exactly one of the two is given."""
    faults = []
    for one, other in (("graph_id", "graph"), ("cron", "every_s")):
        given = [name for name in (one, other) if getattr(asked, name) is not None]
        if not given:
            faults.append(Fault(f"/{one}", f"it is required, or {other!r} in its place"))
        elif len(given) == 2:
            faults.append(Fault(f"/{other}", f"omit it, or {one!r}: a schedule has one of the two"))
    return faults


def _faults_of_times(asked: requests.ScheduleRequest) -> list[Fault]:
    found = {
        "cron": None if asked.cron is None else cron_fault(asked.cron),
        "timezone": zone_fault(asked.timezone),
    }
    return [Fault(f"/{name}", message) for name, message in found.items() if message is not None]


async def _shown(services: Services, name: str, status_code: int = 200) -> Json:
    record = await services.store.schedules.get(name)
    return Json(await to_thread.run_sync(_shown_members, record), status_code)


def _shown_members(record: ScheduleRecord) -> dict[str, Any]:
    """Return a schedule as its answer has it, with its next ticks. Finding the ticks can take some milliseconds."""
    return {**_members(record), "next": _next(record)}


def _next(record: ScheduleRecord) -> list[str]:
    if record.next_at is None:
        return []
    later = record.plan.timetable.after(microseconds(record.next_at))
    try:
        return [record.next_at, *map(text_of, islice(later, SCHEDULE_NEXT - 1))]
    except (KeyError, ValueError, OSError):  # This server does not know the time zone.
        return [record.next_at]


def _members(record: ScheduleRecord) -> dict[str, Any]:
    plan = record.plan
    every_s = plan.timetable.every_s
    return {
        "name": record.name,
        "graph_id": plan.graph_id,
        "graph": plan.graph_name,
        "cron": plan.timetable.cron,
        "every_s": int(every_s) if every_s is not None and every_s.is_integer() else every_s,
        "timezone": plan.timetable.zone,
        "initial_state": texts.Text(plan.state),
        "tags": texts.Text(plan.tags),
        "overlap": plan.overlap.value,
        "catch_up": plan.catch_up.value,
        "paused": record.is_paused,
        "next_at": record.next_at,
        "last_at": record.last_at,
        "skipped_at": record.skipped_at,
        "last_run_id": record.last_run_id,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    }
