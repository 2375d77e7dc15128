"""Artifacts as files to keep: always downloaded, never shown, whatever a job has put into them."""

import re
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from mainstay.web.options import site_of

NOT_PLAIN = re.compile(r"[^A-Za-z0-9._ +@=-]")


async def answer(request: Request, artifact_id: int) -> Response:
    """The bundle's bytes. Raises NotFound."""
    name, size_bytes, stream = await site_of(request).engine.artifacts.open(artifact_id)
    headers = {
        "Content-Length": str(size_bytes),
        "Content-Disposition": disposition(name),
        "Cache-Control": "private, no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(stream, headers=headers, media_type="application/zip")


def disposition(name: str) -> str:
    """The header that makes a browser keep a bundle as NAME.zip, in plain letters and in its own (RFC 6266)."""
    shown = "".join(character if character.isprintable() else "_" for character in name).lstrip(". ") or "artifact"
    file = shown if shown.lower().endswith(".zip") else f"{shown}.zip"
    plain, whole = NOT_PLAIN.sub("_", file), quote(file, safe="", errors="replace")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{whole}"
