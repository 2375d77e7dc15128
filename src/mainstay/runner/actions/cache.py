"""`actions/cache`: nothing is kept yet, so every look is a miss, which a workflow must be able to bear, and says so.

The package caches of pip and uv are shared by the jobs of a runner without it.
"""

from mainstay.runner.actions.call import ActionFailed, Call


async def restore(call: Call) -> None:
    """Inputs: key, fail-on-cache-miss. Outputs: cache-hit, cache-primary-key, cache-matched-key."""
    key = call.input("key")
    if not key:
        raise ActionFailed("the input key is missing")
    call.outputs.update({"cache-hit": "false", "cache-primary-key": key, "cache-matched-key": ""})
    await call.say(f"No cache is kept for {key}; those of pip and uv are, shared by all jobs of a runner")
    if call.flag("fail-on-cache-miss", default=False):
        raise ActionFailed(f"there is no cache with the key {key}, and fail-on-cache-miss is set")


async def save(call: Call) -> None:
    """Input: key."""
    await call.say(f"Nothing is kept for {call.input('key')}: only the caches of pip and uv are")
