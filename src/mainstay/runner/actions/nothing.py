"""Actions that have nothing to do here (`workflow.actions.IDLE`): the step passes and says why."""

from mainstay.runner.actions.call import Call
from mainstay.workflow.actions import replacement


async def nothing(call: Call) -> None:
    """Whatever its inputs; no outputs."""
    known = replacement(call.name)
    await call.say(f"{call.name}: {known.by if known is not None else 'nothing is done here'}")
