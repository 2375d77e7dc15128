"""Numbers in addresses: rows of the database, which has an end."""

from starlette.requests import Request

from mainstay.model.errors import BadInput, NotFound

HIGHEST = 1 << 53


def number(request: Request, name: str) -> int:
    """The number in a path. Raises NotFound for one that no row can have."""
    value = int(request.path_params[name])
    if value >= HIGHEST:
        raise NotFound(f"there is no {name} with so high a number")
    return value


def place(request: Request, name: str) -> int | None:
    """The place in a list that a parameter names; None without one. Raises BadInput."""
    value = request.query_params.get(name)
    if not value:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 16):
        raise BadInput("the place to go on from is not one that this page has given out")
    return int(value)
