"""What the steps of a job have changed so far for those that follow: environment, outputs, state, remarks."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from mainstay.model.job import Annotation
from mainstay.model.plan import Json
from mainstay.model.states import AttemptState
from mainstay.workflow.expressions import CANCELLED, FAILURE, SUCCESS, Scope, Status

MAX_ANNOTATIONS = 500
MAX_ANNOTATION_BYTES = 1 << 20
MAX_SUMMARY = 1 << 20


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a job is to end early, and as what."""

    state: AttemptState
    reason: str


@dataclass(slots=True)
class Situation:
    """One job as its next step finds it."""

    contexts: Mapping[str, Json]
    """Those that do not change."""
    machine: Mapping[str, str]
    """The environment that a job begins with."""
    fixed: Mapping[str, str]
    """Variables that a step cannot change: GITHUB_*, RUNNER_*."""
    hash_files: Callable[[tuple[str, ...]], str]
    env: dict[str, str] = field(default_factory=dict)
    """The job's own `env` and what steps wrote to GITHUB_ENV."""
    paths: list[str] = field(default_factory=list)
    """What steps wrote to GITHUB_PATH, the last first."""
    steps: dict[str, Json] = field(default_factory=dict)
    """The `steps` context."""
    containers: dict[str, Json] = field(default_factory=dict)
    """What the `job` context has of the job's containers: `container`, `services`."""
    failed: bool = False
    together: int | None = None
    """The group (`Step.together`) of the step that runs."""
    failed_before: bool = False
    """Whether the job had failed when that group began."""
    stopped: Callable[[], Stop | None] = lambda: None
    """Why the job is to end early, once it is."""
    outer_env: Mapping[str, str] = field(default_factory=dict)
    """Within a composite action: the `env` of the step that uses it."""
    annotations: list[Annotation] = field(default_factory=list)
    summaries: list[str] = field(default_factory=list)
    not_here: list[str] = field(default_factory=list)
    """What the machine does not have, as steps found out; shared with composite actions."""
    annotated: list[int] = field(default_factory=lambda: [0, 0])
    """Characters of all annotations, and how many were not kept; in a list because composite actions share it."""

    @property
    def stop(self) -> Stop | None:
        """Why the job is to end early; None: it is not."""
        return self.stopped()

    @property
    def status(self) -> Status:
        """What success(), failure() and cancelled() answer."""
        if self.stop is not None:
            return CANCELLED
        failed = self.failed if self.together is None else self.failed_before
        return FAILURE if failed else SUCCESS

    def turn_to(self, together: int | None) -> None:
        """A step comes next: of this group, or of none."""
        if together != self.together:
            self.together, self.failed_before = together, self.failed

    def scope(self, step_env: Mapping[str, str] | None = None, status: Status | None = None) -> Scope:
        """What an expression of the next step sees."""
        word = "cancelled" if self.stop else "failure" if self.failed else "success"
        contexts = {
            **self.contexts,
            "env": {**self.env, **self.outer_env, **(step_env or {})},
            "steps": self.steps,
            "job": {"status": word, "container": {}, "services": {}, **self.containers},
        }
        return Scope(contexts, status=status, hash_files=self.hash_files)

    def environment(self, step_env: Mapping[str, str], files: Mapping[str, str]) -> dict[str, str]:
        """The whole environment of a step's process."""
        env = {**self.machine, **self.env, **self.outer_env, **step_env, **self.fixed, **files}
        if self.paths:
            env["PATH"] = os.pathsep.join([*self.paths, env["PATH"]])
        # Ours comes along whatever the job sets: that is how its tests are counted.
        ours, theirs = self.machine.get("PYTHONPATH"), env.get("PYTHONPATH")
        if ours and theirs is not None and theirs != ours:
            env["PYTHONPATH"] = f"{theirs}{os.pathsep}{ours}" if theirs else ours
        return env

    def within_action(self, inputs: Mapping[str, Json], env: Mapping[str, str], folder: str) -> "Situation":
        """As the steps of a composite action find it: steps, state and inputs of their own, all else shared."""
        github = {**self.contexts["github"], "action_path": folder}
        return replace(
            self,
            contexts={**self.contexts, "inputs": inputs, "github": github},
            fixed={**self.fixed, "GITHUB_ACTION_PATH": folder},
            outer_env={**self.outer_env, **env},
            steps={},
            failed=False,
            together=None,
        )

    def add_path(self, folder: str) -> None:
        """Put a folder in front of PATH."""
        self.paths.insert(0, folder)

    def remark(self, annotation: Annotation) -> None:
        """Keep an annotation, as long as there are not too many."""
        self.annotated[0] += len(annotation.message) + len(annotation.title or "") + 100
        if len(self.annotations) < MAX_ANNOTATIONS and self.annotated[0] < MAX_ANNOTATION_BYTES:
            self.annotations.append(annotation)
            return
        self.annotated[1] += 1
        words = f"there were {self.annotated[1]:,} more annotations than are kept; the log has them all"
        if self.annotations and self.annotations[-1].title == "More":
            self.annotations.pop()
        self.annotations.append(Annotation("notice", words, title="More"))

    @property
    def summary(self) -> str | None:
        """All steps' summaries as one."""
        text = "\n\n".join(self.summaries)
        return text[:MAX_SUMMARY] or None
