"""The snapshots of the Daytona at the wire: each is built, slowly enough to be asked about, or cannot be pulled."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from aiohttp import web


def routes(snapshots: dict[str, dict[str, Any]], base: Callable[[], str]) -> list[web.RouteDef]:
    """`snapshots` is filled by id; `base()` is where the service is."""

    def of(request: web.Request) -> dict[str, Any]:
        name = request.match_info["id"]
        return next(found for found in snapshots.values() if name in (found["id"], found["name"]))

    def missing(request: web.Request) -> web.Response:
        said = f"Snapshot {request.match_info['id']} not found"
        return web.json_response({"statusCode": 404, "message": said, "code": "NOT_FOUND"}, status=404)

    async def create(request: web.Request) -> web.Response:
        body = await request.json()
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        found = {
            "id": str(uuid4()), "general": False, "name": body["name"], "imageName": body.get("imageName"),
            "size": None,
            "entrypoint": None, "cpu": body.get("cpu", 1), "gpu": 0, "mem": body.get("memory", 1), "createdAt": now,
            "disk": body.get("disk", 3), "errorReason": None, "updatedAt": now, "lastUsedAt": None,
            "sourceSandboxId": None, "state": "building" if body.get("buildInfo") else "pulling",
        }  # fmt: skip
        snapshots[found["id"]] = {**found, "buildInfo": body.get("buildInfo"), "memory": found["mem"]}
        return web.json_response(found)

    async def get(request: web.Request) -> web.Response:
        try:
            found = of(request)
        except StopIteration:
            return missing(request)
        said = {name: value for name, value in found.items() if name not in ("buildInfo", "memory")}
        if found["state"] == "building":
            found["state"] = "active"
        elif found["state"] == "pulling":
            found |= {"state": "error", "errorReason": f"{found['imageName']} cannot be pulled"}
        return web.json_response(said)

    async def logs_url(request: web.Request) -> web.Response:
        return web.json_response({"url": f"{base()}/api/snapshots/{of(request)['id']}/logs"})

    async def logs(request: web.Request) -> web.Response:
        return web.Response(text="Step 1: FROM python\n")

    place = "/api/snapshots"
    return [
        web.post(place, create),
        web.get(place + "/{id}", get),
        web.get(place + "/{id}/build-logs-url", logs_url),
        web.get(place + "/{id}/logs", logs),
    ]
