"""Actions that set up a language that the machine has to have: Rust, Go, Java. They look, and say which one it is."""

import re

from mainstay.runner.actions.call import Action, Call, NotHere


def on_machine(name: str, command: tuple[str, ...], output: str) -> Action:
    """An action that fails where the program is not there. `output`: what its version is called."""

    async def look(call: Call) -> None:
        code, text = await call.programs.read(list(command), cwd=call.temp)
        found = re.search(r"\d+(?:\.\d+)+", text)
        if code or found is None:
            raise NotHere(f"there is no {name} on this runner; install it on the machine, or leave the step out")
        call.outputs[output] = found[0]
        await call.say(f"{name} {found[0]} of this machine is used")

    return look


rust = on_machine("Rust", ("rustc", "--version"), "rustc-version")
go = on_machine("Go", ("go", "version"), "go-version")
java = on_machine("Java", ("javac", "--version"), "version")
