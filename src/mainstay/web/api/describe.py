"""What the API's description says of bodies: JSON schemas made from the same types that encode and decode them."""

from typing import Any

import msgspec

from mainstay.web.api import people_shapes, report_shapes, runner_shapes, shapes

PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "A stable word for programs."},
        "detail": {"type": "string", "description": "What was tried, what was wrong, what to do."},
    },
}
_REF = "#/components/schemas/{name}"
_ALL = [
    kind
    for each in (shapes, report_shapes, people_shapes, runner_shapes)
    for kind in vars(each).values()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__module__ == each.__name__
]


def components() -> dict[str, Any]:
    """The schemas of all shapes by name, and that of a problem."""
    _, found = msgspec.json.schema_components(_ALL, ref_template=_REF)
    return {**found, "Problem": PROBLEM}


def _ref(kind: type) -> dict[str, Any]:
    return {"$ref": _REF.format(name=kind.__name__)}


def gives(kind: type, what: str, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that gives one `kind`."""
    return {status: {"description": what, "content": {"application/json": {"schema": _ref(kind)}}}}


def gives_page(kind: type, what: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that gives a page of `kind`."""
    schema = {
        "type": "object",
        "required": ["items", "next"],
        "properties": {
            "items": {"type": "array", "items": _ref(kind)},
            "next": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
    }
    return {200: {"description": what, "content": {"application/json": {"schema": schema}}}}


def takes(kind: type, *, required: bool = True) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads a body of `kind`."""
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": _ref(kind)}}}}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": what,
        "content": {"application/problem+json": {"schema": {"$ref": _REF.format(name="Problem")}}},
    }
    for status, what in (
        (401, "No token, or one that is not known."),
        (403, "Known, but without the right to do this."),
        (404, "There is no such thing."),
        (409, "It does not fit the present state."),
        (413, "Over a stated limit."),
        (422, "The request makes no sense as it stands."),
        (503, "Cannot be done now; try again."),
    )
}
