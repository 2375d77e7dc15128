"""Numbers in paths: rows of the database, which has an end."""

from starlette.requests import Request

from mainstay.model.errors import NotFound

HIGHEST = 1 << 53


def number(request: Request, name: str) -> int:
    """The number in a path. Raises NotFound for one that no row can have."""
    value = int(request.path_params[name])
    if value >= HIGHEST:
        raise NotFound(f"there is no {name} with so high a number")
    return value
