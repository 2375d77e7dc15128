"""The shell scripts of detected jobs: plain `sh`, uv where the runner has it, else venv and pip.

Environments are made in `$RUNNER_TEMP`, never in the work tree, and handed to the next step through `$GITHUB_PATH`.
"""

import shlex
from collections.abc import Sequence

from mainstay.workflow.project import Project

HAS_UV = "command -v uv >/dev/null 2>&1"
ANY_PYTHON = 'python=$(command -v python3 || command -v python) || { echo "no python3 on this runner" >&2; exit 1; }'


def install(project: Project, *also: str) -> str:
    """Make an environment, install the project in it with what its tests need and `also`, and use it from then on."""
    wanted = ["-e", "." + (f"[{','.join(project.extras)}]" if project.extras else "")] if project.packaged else []
    for group in project.groups:
        wanted += ["--group", group]
    for path in project.requirement_files:
        wanted += ["-r", path]
    wanted += [*project.requirements, *also]
    arguments = shlex.join(wanted)
    pick = f" --python {shlex.quote(project.python)}" if project.python else ""
    # Groups came to pip with 25.1; a venv has the pip that Python was shipped with.
    newer_pip = '  "$venv/bin/python" -m pip install --quiet --upgrade "pip>=25.1"\n' if project.groups else ""
    path = ""
    if project.source_folder:
        path = f'echo "PYTHONPATH=$PWD/{project.source_folder}${{PYTHONPATH:+:$PYTHONPATH}}" >> "$GITHUB_ENV"\n'
    return (
        'venv="$RUNNER_TEMP/venv"\n'
        f"if {HAS_UV}; then\n"
        f'  uv venv --quiet{pick} "$venv"\n'
        f'  uv pip install --python "$venv/bin/python" {arguments}\n'
        "else\n"
        f"  {ANY_PYTHON}\n"
        '  "$python" -m venv "$venv"\n'
        f"{newer_pip}"
        f'  "$venv/bin/python" -m pip install --disable-pip-version-check {arguments}\n'
        "fi\n"
        'echo "$venv/bin" >> "$GITHUB_PATH"\n'
        'echo "VIRTUAL_ENV=$venv" >> "$GITHUB_ENV"\n'
        f"{path}"
    )


def tool(
    name: str, command: Sequence[str], *, with_uv: Sequence[str], plugin: str | None = None, python: str | None = None
) -> str:
    """Run a tool (nox, tox) from an environment of its own; `with_uv` are arguments that hold only beside uv.

    `python`: what it runs on there.
    """
    added = (f"--python '{python}' " if python else "") + (f"--with {plugin} " if plugin else "")
    plain = " ".join(command)
    return (
        f"if {HAS_UV}; then\n"
        f"  uvx {added}{' '.join([name, *command, *with_uv])}\n"
        "else\n"
        f"  {ANY_PYTHON}\n"
        f'  "$python" -m venv "$RUNNER_TEMP/{name}-venv"\n'
        f'  "$RUNNER_TEMP/{name}-venv/bin/python" -m pip install --quiet --disable-pip-version-check {name}\n'
        f'  "$RUNNER_TEMP/{name}-venv/bin/{name}" {plain}\n'
        "fi\n"
    )


def unittest(runs: Sequence[Sequence[str]], *, installed: bool, source_folder: str | None) -> str:
    """`python -m unittest discover` once per list of arguments; the script fails when one of them does."""
    python = "python" if installed else '"$python"'
    lines = [] if installed else [ANY_PYTHON]
    if source_folder and not installed:
        lines.append(f'export PYTHONPATH="$PWD/{source_folder}${{PYTHONPATH:+:$PYTHONPATH}}"')
    commands = [f"{python} -m unittest discover -v {shlex.join(arguments)}" for arguments in runs]
    if len(commands) == 1:
        lines.append(commands[0])
    else:
        lines += ["status=0", *(f"{command} || status=$?" for command in commands), 'exit "$status"']
    return "\n".join(lines) + "\n"
