"""`re-actors/alls-green`: fails unless the jobs that this one needs went well.

Jobs that no runner here could decide (neutral) are not in the way, as long as another one went well.
"""

import json

from mainstay.runner.actions.call import ActionFailed, Call, NotHere


async def alls_green(call: Call) -> None:
    """Inputs: jobs (`toJSON(needs)`), allowed-failures, allowed-skips. Outputs: result, success, failure."""
    try:
        jobs = json.loads(call.inputs.get("jobs", ""))
        results = {str(name): str(job["result"]) for name, job in jobs.items()}
        neutral = {str(name) for name, job in jobs.items() if job.get("neutral") is True}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ActionFailed("the input jobs must be ${{ toJSON(needs) }}") from None
    failures, skips = _names(call, "allowed-failures"), _names(call, "allowed-skips")
    bad = []
    for name, result in results.items():
        if name in neutral and name not in skips:
            await call.say(f"○ {name}: not decided here")
            continue
        fine = result == "success" or (result == "skipped" and name in skips)
        fine = fine or (name in failures and result in ("failure", "cancelled"))
        await call.say(f"{'✓' if fine else '✗'} {name}: {result}")
        if not fine:
            bad.append(f"{name} ({result})")
    if results and not bad and neutral == set(results):
        raise NotHere("none of the needed jobs was decided here")
    green = bool(results) and not bad
    outcome = "success" if green else "failure"
    call.outputs.update(result=outcome, success=str(green).lower(), failure=str(not green).lower())
    if not green:
        raise ActionFailed(f"not all needed jobs went well: {', '.join(bad) or 'there are none'}")


def _names(call: Call, name: str) -> set[str]:
    """A list as JSON, or names between commas."""
    text = call.input(name)
    if text.startswith("["):
        try:
            return {str(each) for each in json.loads(text)}
        except ValueError:
            raise ActionFailed(f"the input {name} is neither JSON nor names between commas") from None
    return {each.strip() for each in text.split(",") if each.strip()}
