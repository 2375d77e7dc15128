"""The command line of the small distribution: `mainstay-runner`."""

import argparse
import asyncio
import gc
import logging
import os
import platform
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mainstay import __version__
from mainstay.model.errors import BadInput, MainstayError
from mainstay.runner.config import IMAGE, MOST_PROCESSES, Config
from mainstay.runner.loop import Runner

SWITCH_S = 0.0005
"""How long one thread may keep the others waiting: a job's way leads through several (Python's own 5 ms add up)."""
TOKEN = "MAINSTAY_RUNNER_TOKEN"  # noqa: S105  (a variable's name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a runner until it is told to end; the exit code."""
    options = _parser().parse_args(arguments)
    _log_to_stderr(verbose=options.verbose)
    try:
        return run(_config(options))
    except MainstayError as error:
        sys.stderr.write(f"mainstay-runner: {error}\n")
        return error.exit_code


def run(config: Config) -> int:
    """Run a runner in this process. Raises MainstayError when it cannot begin."""
    what = "mainstay-runner %s, process %d: %s for %s, in %s"
    logging.getLogger(__name__).info(what, __version__, os.getpid(), config.name, config.server, config.data)
    sys.setswitchinterval(SWITCH_S)
    gc.freeze()  # what was imported stays: no collection, in which no job goes on, need look at it again
    try:
        return asyncio.run(Runner(config).run())
    except OSError as error:
        raise MainstayError(f"the runner cannot work in {config.data}: {error}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mainstay-runner", description="Takes jobs from a Mainstay server and runs them."
    )
    parser.add_argument("--server", metavar="URL", default=os.environ.get("MAINSTAY_URL"), help="the server's address")
    parser.add_argument("--token", help=f"from `mainstay runner-token`; better given in {TOKEN} or --token-file")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="read the token from this file")
    parser.add_argument("--name", default=_host_name(), help="how the server shows it (default: the host's name)")
    parser.add_argument("--labels", default="", metavar="A,B", help="what it can do, beside linux and its architecture")
    parser.add_argument("--capacity", type=int, default=1, metavar="N", help="how many jobs at a time (default: 1)")
    parser.add_argument("--executor", choices=("process", "bubblewrap", "container"), help="default: the best")
    parser.add_argument("--engine", choices=("podman", "docker", "none"), help="for containers; default: what works")
    parser.add_argument("--image", default=IMAGE, help=f"for jobs that name none, in containers (default: {IMAGE})")
    parser.add_argument(
        "--open-containers", action="store_true", help="let jobs have privileged containers and folders"
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="its own folder (default: in the user's data folder)")
    parser.add_argument("--mirrors", type=Path, metavar="DIR", help="the server's mirrors, if they are on this machine")
    parser.add_argument("--processes", type=int, metavar="N", help="how many all jobs together (default: 8192 or more)")
    parser.add_argument("--once", action="store_true", help="take one job and end")
    parser.add_argument("--verbose", action="store_true", help="log more")
    parser.add_argument("--version", action="version", version=f"mainstay-runner {__version__}")
    return parser


def _config(options: argparse.Namespace) -> Config:
    if not options.server:
        raise BadInput("which server? Give --server URL or set MAINSTAY_URL")
    if not 1 <= options.capacity <= 512:
        raise BadInput(f"--capacity is a number from 1 to 512, not {options.capacity}")
    if options.processes is not None and options.processes < 64:
        raise BadInput(f"--processes is a number from 64 on, not {options.processes}")
    return Config(
        server=options.server,
        token=_token(options),
        name=options.name,
        data=options.data or _data_folder(options.name),
        labels=tuple(label.strip() for label in options.labels.split(",") if label.strip()),
        capacity=options.capacity,
        executor=options.executor,
        engine=options.engine,
        image=options.image,
        open_containers=options.open_containers,
        mirrors=options.mirrors,
        once=options.once,
        processes=options.processes or max(MOST_PROCESSES, 1024 * options.capacity),
    )


def _token(options: argparse.Namespace) -> str:
    """Taken out of the environment, so that nothing this process starts finds it there."""
    inherited = os.environ.pop(TOKEN, "")
    if options.token_file is not None:
        try:
            inherited = options.token_file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise BadInput(f"the token file cannot be read: {error}") from None
    token = options.token or inherited
    if not token:
        raise BadInput(f"a token is needed: set {TOKEN}, or give --token-file. `mainstay runner-token` makes one")
    return str(token)


def _host_name() -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", platform.node()).strip("-.")[:100] or "runner"


def _data_folder(name: str) -> Path:
    home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(home) / "mainstay-runner" / name


def _log_to_stderr(*, verbose: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO if verbose else logging.WARNING)
    logging.getLogger("mainstay").setLevel(logging.DEBUG if verbose else logging.INFO)
