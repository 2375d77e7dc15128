"""The environment of jobs, clean by construction: nothing of the runner's own gets in unless it is named here."""

import os
import platform
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mainstay.model.plan import Json
from mainstay.runner.executors import JobPlace
from mainstay.wire.runner import Assignment
from mainstay.wire.variables import passed

USUAL_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ARCHITECTURES: Final = {"x86_64": "X64", "amd64": "X64", "aarch64": "ARM64", "arm64": "ARM64", "i686": "X86"}

OF_THE_MACHINE: Final = frozenset(
    re.findall(
        r"\S+",
        """
        PATH USER LOGNAME SHELL LANGUAGE PYENV_ROOT SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
        NODE_EXTRA_CA_CERTS GIT_SSL_CAINFO PIP_CERT PIP_FIND_LINKS UV_FIND_LINKS
        """,
    )
)
"""Variables that name users and files of the machine: they mean nothing in a container."""

CREDENTIALS: Final = re.compile(r"://[^/\s@]+@")
"""A user name or password in an address: `https://user:password@host/`."""

COUNTED_BY_TOX: Final = ";".join(
    f"{section}.pass_env+=MAINSTAY_TESTS_DIR,PYTHONPATH" for section in ("testenv", "env_run_base")
)
"""tox hides variables from what it runs unless they are named: with these two, tests are counted there as well."""

FROM_GITHUB: Final = (
    "actor",
    "actor_id",
    "api_url",
    "base_ref",
    "event_name",
    "graphql_url",
    "head_ref",
    "job",
    "ref",
    "ref_name",
    "ref_protected",
    "ref_type",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "retention_days",
    "run_attempt",
    "run_id",
    "run_number",
    "server_url",
    "sha",
    "triggering_actor",
    "workflow",
    "workflow_ref",
    "workflow_sha",
    "workspace",
    "event_path",
)
"""Keys of the `github` context that are variables `GITHUB_KEY` too, by GitHub's documentation."""


def of_machine(environ: Mapping[str, str]) -> dict[str, str]:
    """What every job gets of the environment that the runner was started with."""
    env = passed(environ)
    env.setdefault("LANG", "C.UTF-8")
    env["PATH"] = _path(environ.get("PATH", USUAL_PATH))
    return env


def _path(path: str) -> str:
    """The machine's PATH without the runner's own virtual environment, each folder once."""
    ours = {Path(sys.executable).parent, Path(sys.prefix) / "bin"} if sys.prefix != sys.base_prefix else set()
    folders = [folder for folder in path.split(os.pathsep) if folder.startswith("/") and Path(folder) not in ours]
    return os.pathsep.join(dict.fromkeys(folders)) or USUAL_PATH


def architecture() -> str:
    """As GitHub names it: X64, ARM64 ..."""
    machine = platform.machine().lower()
    return ARCHITECTURES.get(machine, machine.upper())


def of_job(
    machine: Mapping[str, str], assignment: Assignment, place: JobPlace, caches: Path, tools: Path, tests: Path
) -> dict[str, str]:
    """The environment that all steps of a job begin with; HOME and TMPDIR are the executor's business.

    Addresses with credentials in them reach trusted jobs only.
    """
    if not assignment.trusted:
        machine = {name: value for name, value in machine.items() if not CREDENTIALS.search(value)}
    home, cache = place.home, caches / ("trusted" if assignment.trusted else "untrusted")
    return {
        **machine,
        # As on GitHub's machines: what a job installs for its user is found.
        "PATH": os.pathsep.join((str(home / ".local/bin"), machine["PATH"], str(tools))),
        "USER": "runner",
        "LOGNAME": "runner",
        "SHELL": "/bin/bash",
        "CI": "true",
        "MAINSTAY": "true",
        "MAINSTAY_BUILD_URL": assignment.url,
        "MAINSTAY_TESTS_DIR": str(tests),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local/share"),
        "XDG_STATE_HOME": str(home / ".local/state"),
        "UV_CACHE_DIR": str(cache / "uv"),
        "UV_LINK_MODE": "copy",  # a hard link would let a job that edits its packages edit everybody's
        "UV_NO_PROGRESS": "1",
        "PIP_CACHE_DIR": str(cache / "pip"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "TOX_OVERRIDE": COUNTED_BY_TOX,
    }


def in_container(env: Mapping[str, str], image: Mapping[str, str], tools: Path, collect: str) -> dict[str, str]:
    """A job's environment within its container: `env` without what is true of the machine alone, and what `image` sets.

    The image's programs come first, `tools` last.
    """
    kept = {name: value for name, value in env.items() if name not in OF_THE_MACHINE}
    python_path = os.pathsep.join(filter(None, (image.get("PYTHONPATH"), collect)))
    return {**kept, **image, "PATH": f"{image.get('PATH', USUAL_PATH)}{os.pathsep}{tools}", "PYTHONPATH": python_path}


def of_contexts(github: Mapping[str, Json], runner: Mapping[str, Json]) -> dict[str, str]:
    """The variables that GitHub documents; a step cannot set them to anything else."""
    env = {"GITHUB_ACTIONS": "true"}
    for key in FROM_GITHUB:
        value = github.get(key)
        if value is not None:
            env[f"GITHUB_{key.upper()}"] = str(value).lower() if isinstance(value, bool) else str(value)
    for key in ("name", "os", "arch", "temp", "tool_cache", "environment"):
        if key in runner:
            env[f"RUNNER_{key.upper()}"] = str(runner[key])
    return env
