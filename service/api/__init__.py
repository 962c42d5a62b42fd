"""HTTP: what a client can ask, answered from the store alone. The engine is never called from here.

app        builds the application; stop and access stand around it, errors answers what goes wrong
graphs, runs, logs, files, tools, demo, health      the routes; later: those to come
control, signals, forks, why, backtest              the routes by which people steer runs
body, deps, idempotency     what comes in, read strictly
unfinished          folders of runs that are not started yet
views, schemas      what goes out, as text and as described in openapi
docs, examples      the page that describes the calls, and what it shows; paths: the prefix that they stand below
follow              one client's live reading of a run's lines
connections         what comes before a call: how many connections, how long, how much each may send
"""

from __future__ import annotations

from service.api.app import create_api
from service.api.folders.unfinished import sweep
from service.api.services import ApiSettings, Example, Services
from service.api.stop import Stop

__all__ = ["ApiSettings", "Example", "Services", "Stop", "create_api", "sweep"]
