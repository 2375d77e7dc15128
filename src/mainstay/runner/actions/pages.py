"""`actions/upload-pages-artifact`: the site is kept as an artifact; it is published by nobody."""

from mainstay.runner.actions.artifacts import upload
from mainstay.runner.actions.call import Call


async def keep_site(call: Call) -> None:
    """Inputs: path (default `_site`), name (default `github-pages`), retention-days."""
    folder = call.input("path", "_site").rstrip("/")
    name = call.input("name", "github-pages")
    call.inputs = {**call.inputs, "path": folder, "name": name, "if-no-files-found": "error"}
    await upload(call)
