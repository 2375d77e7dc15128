"""The folders of one job beside its work tree. They are thrown away with the job."""

from dataclasses import dataclass
from pathlib import Path

from mainstay.runner.executors import JobPlace
from mainstay.runner.machine import Machine
from mainstay.runner.trees import Tree
from mainstay.wire.runner import Assignment

COLLECT = Path(__file__).parent / "collect"
"""Put on the job's PYTHONPATH: it writes down how each test ended."""


@dataclass(frozen=True, slots=True)
class Folders:
    """All of them, made."""

    root: Path

    @property
    def home(self) -> Path:
        """HOME."""
        return self.root / "home"

    @property
    def temp(self) -> Path:
        """TMPDIR."""
        return self.root / "tmp"

    @property
    def runner_temp(self) -> Path:
        """RUNNER_TEMP."""
        return self.root / "runner"

    @property
    def tool_cache(self) -> Path:
        """RUNNER_TOOL_CACHE."""
        return self.root / "toolcache"

    @property
    def files(self) -> Path:
        """GITHUB_OUTPUT and its kin."""
        return self.root / "files"

    @property
    def scripts(self) -> Path:
        """The steps' scripts, and the event."""
        return self.root / "scripts"

    @property
    def tests(self) -> Path:
        """What the job's tests report."""
        return self.root / "tests"

    @property
    def event(self) -> Path:
        """GITHUB_EVENT_PATH."""
        return self.scripts / "event.json"

    @staticmethod
    def make(jobs: Path, attempt: int) -> "Folders":
        """Make them. Raises OSError."""
        folders = Folders(jobs / str(attempt))
        for path in (
            folders.root,
            folders.home,
            folders.temp,
            folders.runner_temp,
            folders.tool_cache,
            folders.files,
            folders.scripts,
            folders.tests,
        ):
            path.mkdir(parents=True)
        return folders

    def place(self, tree: Tree, machine: Machine, assignment: Assignment) -> JobPlace:
        """What the executor is to know."""
        side = machine.caches / ("trusted" if assignment.trusted else "untrusted")
        for name in ("uv", "pip"):
            (side / name).mkdir(parents=True, exist_ok=True)
        return JobPlace(
            work=tree.path,
            home=self.home,
            temp=self.temp,
            writable=(self.runner_temp, self.tool_cache, self.files, self.tests, side),
            readable=(*tree.readable, self.scripts, machine.tools, COLLECT),
            network=assignment.plan.limits.network,
        )
