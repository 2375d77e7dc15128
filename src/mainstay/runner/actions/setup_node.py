"""`actions/setup-node`: the Node.js of the machine, if it is the one that is asked for."""

import re

from mainstay.runner import below
from mainstay.runner.actions.call import ActionFailed, Call, NotHere


async def setup_node(call: Call) -> None:
    """Inputs: node-version, node-version-file. Outputs: node-version, cache-hit."""
    code, text = await call.programs.read(["node", "--version"], cwd=call.temp)
    have = text.strip().removeprefix("v")
    if code or not re.fullmatch(r"\d+\.\d+\.\d+\S*", have):
        raise NotHere("there is no Node.js on this runner; install it on the machine, or leave the step out")
    wanted = call.input("node-version")
    name = call.input("node-version-file")
    if not wanted and name:
        try:
            wanted = below.text(call.place.work, call.place.work / name).strip()
        except (OSError, ValueError) as error:
            raise ActionFailed(f"the node-version-file {name} cannot be read: {error}") from None
    major = re.match(r"v?(\d+)", wanted)
    if major and major[1] != have.split(".")[0]:
        raise NotHere(f"this runner has Node.js {have}, not {wanted}; install that on the machine, or ask for {have}")
    call.outputs.update({"node-version": f"v{have}", "cache-hit": "false"})
    await call.say(f"Node.js {have} of this machine is used")
