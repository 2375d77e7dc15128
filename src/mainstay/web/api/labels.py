"""What names in `runs-on` mean here: whoever belongs to the server reads the table, an administrator sets it."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from mainstay.engine import labels
from mainstay.engine.server import Engine
from mainstay.web.access import insider
from mainstay.web.api import describe
from mainstay.web.api.asking import Admin, At, answer, body_of
from mainstay.web.api.runner_shapes import LabelRule, LabelTable, LabelTableAsk
from mainstay.workflow.labels import TABLE, Rule

router = APIRouter(tags=["runners"])
BODY_BYTES = 1 << 20


@router.get("/labels", responses=describe.gives(LabelTable, "The rules in their order."))
async def show_labels(request: Request, site: At) -> Response:
    """The table of labels."""
    insider(request)
    return await _shown(site.engine)


@router.put(
    "/labels",
    responses=describe.gives(LabelTable, "The table as it is now."),
    openapi_extra=describe.takes(LabelTableAsk),
)
async def set_labels(request: Request, site: At, asker: Admin) -> Response:
    """Set the whole table of labels. It counts for jobs that become ready from now on."""
    ask = await body_of(request, LabelTableAsk, BODY_BYTES)
    rules = None if ask.rules is None else [Rule(each.pattern, tuple(each.labels), each.neutral) for each in ask.rules]
    await site.engine.labels.put(asker.actor, rules)
    return await _shown(site.engine)


async def _shown(engine: Engine) -> Response:
    own = await engine.db.read(labels.own)
    rules = [LabelRule(each.pattern, list(each.labels), each.elsewhere) for each in (TABLE if own is None else own)]
    return answer(LabelTable(rules, own is None))
