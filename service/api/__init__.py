"""The HTTP API. It answers from the store alone and never calls the engine.

app                         builds the application
access, session, stop       the middleware around it: who may call, cookies, time limits on sends, closing at a stop
body, large_bodies, parameters, any_text, filters/, idempotency, services, prefix, limits
                            what routes need to read a call
follow                      live reading of a run's log lines for one client
routes/                     the calls, one file per resource
responses/                  JSON answers, problem documents, and the OpenAPI document
folders/                    copying and deleting run folders, and removing those whose run was never started
connections/                limits on connections that apply before a call
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.lazy import attributes_of

if TYPE_CHECKING:
    from service.api.app import Api, Lifespan, create_api, create_api_of
    from service.api.folders.unfinished import sweep
    from service.api.services import ApiSettings, Example, Services
    from service.api.stop import Stop
else:
    # These are imported on first use, because the command line writes answers without an application.
    __getattr__, __dir__ = attributes_of(
        __name__,
        Api="service.api.app",
        ApiSettings="service.api.services",
        Example="service.api.services",
        Lifespan="service.api.app",
        Services="service.api.services",
        Stop="service.api.stop",
        create_api="service.api.app",
        create_api_of="service.api.app",
        sweep="service.api.folders.unfinished",
    )

__all__ = ["Api", "ApiSettings", "Example", "Lifespan", "Services", "Stop", "create_api", "create_api_of", "sweep"]
