"""The release repository as static files, for a development node and for the directory."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ringfence_house.protocol.names import RELEASES_PATH

_FILE = re.compile(r"(metadata|targets)/[A-Za-z0-9_][A-Za-z0-9._-]*\.json|log/entries\.jsonl")
_MAX_BYTES = 32 * 2**20


def releases_route(folder: Path) -> Route:
    """Serves the metadata, targets and log of a repository, and nothing else that may lie beside them."""

    async def file(request: Request) -> Response:
        name = request.path_params["name"]
        content = await asyncio.to_thread(_read, folder, name) if _FILE.fullmatch(name) else None
        if content is None:
            return Response("there is no such file\n", 404, media_type="text/plain")
        media_type = "application/json" if name.endswith(".json") else "application/jsonl"
        return Response(content, headers={"cache-control": "no-cache"}, media_type=media_type)

    return Route(RELEASES_PATH + "{name:path}", file)


def _read(folder: Path, name: str) -> bytes | None:
    try:
        with (folder / name).open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError:
        return None
    return content if len(content) <= _MAX_BYTES else None


__all__ = ["releases_route"]
