"""The limit of S5: a FastAPI route with our models that stores nothing.

Under uvicorn with the settings of `rungraph serve`; FastAPI checks the body with the model,
and the answer is the model's too.
"""

from __future__ import annotations

import json
import sys
import uuid

import uvicorn
from fastapi import FastAPI

from peers import common, http
from service.api.responses.answers import RunStarted
from service.api.responses.requests import RunRequest

app = FastAPI()


@app.get("/livez")
async def livez() -> str:
    return "ok"


@app.post("/graph/run", status_code=202, response_model=RunStarted)
async def start_run(asked: RunRequest) -> RunStarted:  # noqa: ARG001  # it is checked, that is all
    return RunStarted(run_id=uuid.uuid4().hex)


def main() -> None:
    asked = common.work()
    if asked.role:
        uvicorn.Server(uvicorn.Config(app, port=int(asked.role), log_level="warning")).run()
        return
    port = http.free_port()
    body = json.dumps({"graph_id": "0" * 64, "initial_state": asked.state}).encode()
    with http.server(common.again(asked, str(port)), port, "/livez", cwd=asked.folder, env=common.environment()):
        told = http.load(asked, port, "/graph/run", body)
    common.report(asked, told["seconds"], "none: nothing is stored", steps=asked.runs, **told["more"])


if __name__ == "__main__":
    sys.exit(main())
