"""Programs that every job finds on its PATH, behind the machine's own: uv, pipx (by uv), the machine's Pythons,
`mainstay split`.

`uv` is a short script before the real one: where `uv python install 3.12` would download an interpreter that is here,
that one is taken, and later calls of uv in the same job prefer it, as they would prefer the one just installed.
"""

import os
import re
import shlex
import shutil
from pathlib import Path

VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)\Z")

UV = """\
#!/bin/sh
# Before uv: an interpreter of this machine counts as installed, and the one asked for last is preferred in this job.
real={real}
taken="${{RUNNER_TEMP:-/nowhere}}/.uv-python"
if [ "${{0##*/}}" = uv ] && [ "$1" = python ] && [ "$2" = install ]; then
  left= count=0 last=
  for word in "$@"; do
    case $word in
      python|install) continue ;;
      -*|*[!A-Za-z0-9.@]*) exec "$real" "$@" ;;
    esac
    if found=$("$real" python find --no-project --no-config --system --no-python-downloads "$word" 2>/dev/null); then
      echo "Python $word is on this machine: $found" >&2
      count=$((count + 1)) last=$found
    else
      left="$left $word"
    fi
  done
  if [ $count -eq 1 ] && [ -z "$left" ] && [ -d "${{taken%/*}}" ]; then echo "$last" > "$taken"; fi
  if [ $count -gt 0 ] && [ -z "$left" ]; then exit 0; fi
  [ $count -eq 0 ] || exec "$real" python install $left
elif [ -z "$UV_PYTHON" ] && [ -f "$taken" ] && [ ! -f .python-version ]; then
  read -r UV_PYTHON < "$taken" && export UV_PYTHON
fi
exec "{program}" "$@"
"""

PIPX = """\
#!/bin/sh
# pipx, spoken by uv, where the machine has none.
uv={real}
command=$1
[ $# -gt 0 ] && shift
case $command in
  run)
    if [ "$1" = --spec ]; then from=$2; shift 2; exec "$uv" tool run --from "$from" "$@"; fi
    case $1 in --spec=*) from=${{1#--spec=}}; shift; exec "$uv" tool run --from "$from" "$@" ;; esac
    exec "$uv" tool run "$@" ;;
  install) exec "$uv" tool install "$@" ;;
  uninstall) exec "$uv" tool uninstall "$@" ;;
  upgrade) exec "$uv" tool upgrade "$@" ;;
  list) exec "$uv" tool list ;;
  ensurepath) exit 0 ;;
  --version|-V) exec "$uv" --version ;;
  *) echo "pipx $command is not known here: pipx run and pipx install are, by uv" >&2; exit 2 ;;
esac
"""


SPLIT = """\
#!/bin/sh
# `mainstay split` for jobs that divide a suite: any Python 3 of the job will do.
if [ "$1" = split ]; then shift; exec python3 -m _mainstay_split "$@"; fi
echo "in a job only 'mainstay split' is known" >&2
exit 2
"""


def offer(tools: Path) -> None:
    """Put them into the folder, each where there is what it needs; what has changed since is made anew."""
    _script(tools / "mainstay", SPLIT)
    found = find_uv()
    if found is not None:
        real = shlex.quote(str(found))
        for program in (found, found.with_name("uvx")):
            if program.exists():
                _script(tools / program.name, UV.format(real=real, program=program))
        _script(tools / "pipx", PIPX.format(real=real))
    newest: dict[tuple[int, int], tuple[int, Path]] = {}
    root = os.environ.get("PYENV_ROOT") or str(Path.home() / ".pyenv")
    for folder in Path(root, "versions").glob("*/bin"):
        version = VERSION.match(folder.parent.name)
        if version is None:
            continue
        minor, patch = (int(version[1]), int(version[2])), int(version[3])
        program = folder / f"python{minor[0]}.{minor[1]}"
        if program.exists() and patch >= newest.get(minor, (-1, program))[0]:
            newest[minor] = (patch, program)
    for _, program in newest.values():
        _link(tools / program.name, program)


def find_uv() -> Path | None:
    """The uv that this runner was installed with, else the machine's."""
    try:
        from uv import find_uv_bin  # noqa: PLC0415  (a runner without the package still runs)

        return Path(find_uv_bin())
    except (ImportError, FileNotFoundError):
        place = shutil.which("uv")
        return Path(place) if place is not None else None


def _script(path: Path, text: str) -> None:
    if not path.is_symlink() and path.exists() and path.read_text() == text:
        return
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(text)
    unfinished.chmod(0o755)
    unfinished.replace(path)


def _link(link: Path, target: Path) -> None:
    if not link.is_symlink() or link.readlink() != target:
        link.unlink(missing_ok=True)
        link.symlink_to(target)
