"""When Python looks for garbage in the server's process: never through what has come to stay.

A full collection looks at every object there is. Of a server those are some hundred thousand that stay (modules,
tables, templates, compiled statements): 60 to 120 ms, every fifty pages, in which nobody is answered. So what is there
once it has started is set aside (`gc.freeze`), and what came later as soon as a collection shows that it has become
much again: routes that are made at their first request, statements that are kept once they were compiled.

What is set aside is freed as before when its last reference goes; only circles that were made before and let go after
stay. Hence after a full collection only, and only when it found much.
"""

import gc
import time

OFTEN = 2_000
"""New objects (less those that went) after which the youngest are looked at; Python's 700 is meant for small heaps."""
MOST_S = 0.01
"""What a full collection may cost before what it found alive is set aside. On the thread's own clock: a busy machine
makes no garbage."""


class SettingAside:
    """Sets aside what a full collection found alive, when that took longer than `most_s`."""

    def __init__(self, most_s: float = MOST_S) -> None:
        self._most_s = most_s
        self._began_s = 0.0

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        """For `gc.callbacks`: before and after each collection, in the thread that runs it."""
        if phase == "start":
            self._began_s = time.thread_time()
        elif info["generation"] == 2 and time.thread_time() - self._began_s > self._most_s:
            gc.freeze()


def spare_what_stays() -> None:
    """Call once everything that a process begins with is there."""
    gc.set_threshold(OFTEN, *gc.get_threshold()[1:])
    gc.collect()
    gc.freeze()
    if not any(isinstance(each, SettingAside) for each in gc.callbacks):
        gc.callbacks.append(SettingAside())
