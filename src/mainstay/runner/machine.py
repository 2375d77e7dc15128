"""What a runner has to run jobs with: made once at its start, shared by all its jobs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mainstay.runner.capture import Capture
from mainstay.runner.containers.engines import Engines
from mainstay.runner.executors import Executor
from mainstay.runner.keeper import Zygote
from mainstay.runner.limits import Groups
from mainstay.runner.threads import Threads
from mainstay.runner.trash import Trash
from mainstay.runner.trees import Fetch, Trees


@dataclass(frozen=True, slots=True)
class Machine:
    """Everything a job needs beside its assignment."""

    name: str
    """The runner's name, as jobs see it."""
    owner: str
    """Tells this runner's processes from another's, in their environment."""
    server: str
    """The server's address; empty when there is none."""
    jobs: Path
    """Folder of the jobs' own folders; on the same file system as `trash`."""
    caches: Path
    """Folder of the package caches that jobs share: a trusted and an untrusted side."""
    tools: Path
    """A folder of programs that every job finds on its PATH, behind the machine's own (`runner.tools`)."""
    environment: Mapping[str, str]
    """What every job gets of the machine's environment (`environment.of_machine`)."""
    zygote: Zygote
    groups: Groups
    executor: Executor
    engines: Engines
    trees: Trees
    fetch: Fetch
    capture: Capture
    pipes: Path
    """Folder of the pipes that jobs in containers print into."""
    threads: Threads
    trash: Trash
