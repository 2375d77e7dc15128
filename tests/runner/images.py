"""Images for tests of containers, made of this machine's own files: no registry can be asked."""

import fcntl
import io
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mainstay.runner.containers import detect
from mainstay.runner.containers.engine import Engine, environment

PYTHON = "localhost/mainstay-tests-python:3"
"""Has sh, bash, a few small programs and a Python."""
BARE = "localhost/mainstay-tests-bare:1"
"""Has sh and little else: no bash, no Python, no git."""
SMALL = ("sh", "env", "cat", "ls", "sleep", "id", "kill", "touch", "mkdir", "stat", "uname")
PROGRAMS = {
    "serve.py": """import http.server, os
print("serving", os.environ.get("WORD"), flush=True)
http.server.HTTPServer(("", 8000), http.server.SimpleHTTPRequestHandler).serve_forever()
""",
    "ask.py": """import sys, urllib.request
print("answered", urllib.request.urlopen(f"http://{sys.argv[1]}:{sys.argv[2]}/", timeout=5).status)
""",
}
"""A service and its client, at the root of the image with Python."""
LEFT_OUT = {"test", "tests", "idlelib", "tkinter", "site-packages", "__pycache__", "lib2to3", "turtledemo"}


def engines() -> list[Engine]:
    """Every engine that works here."""
    found = (detect.find(kind) for kind in detect.KINDS)
    return [each.engine for each in found if each.engine is not None]


def make(engine: Engine) -> None:
    """Both images, unless they are there."""
    with Path(tempfile.gettempdir(), "mainstay-tests-images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _make(engine)


def _make(engine: Engine) -> None:
    for name, python in ((BARE, False), (PYTHON, True)):
        known = subprocess.run(
            engine.argv("image", "inspect", name), capture_output=True, env=environment(), check=False
        )
        if known.returncode:
            subprocess.run(
                engine.argv("import", "-", name),
                input=_archive(python),
                env=environment(),
                check=True,
                capture_output=True,
            )


def _archive(python: bool) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        seen: set[str] = set()
        for target, source in _files(python):
            if target not in seen:
                seen.add(target)
                archive.add(source.resolve(), arcname=target.lstrip("/"), recursive=False)
        for name, mode in (("tmp", 0o1777), ("etc", 0o755), ("root", 0o700)):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, mode
            archive.addfile(folder)
        for name, text in (PROGRAMS if python else {}).items():
            file = tarfile.TarInfo(name)
            file.size = len(text)
            archive.addfile(file, io.BytesIO(text.encode()))
        users = b"root:x:0:0::/root:/bin/sh\nsomebody:x:1234:1234::/:/bin/sh\n"
        passwd = tarfile.TarInfo("etc/passwd")
        passwd.size = len(users)
        archive.addfile(passwd, io.BytesIO(users))
    return buffer.getvalue()


def _files(python: bool) -> Iterator[tuple[str, Path]]:
    programs = [Path(place) for name in (*SMALL, *(["bash"] if python else [])) if (place := shutil.which(name))]
    for program in programs:
        yield f"/bin/{program.name}", program
        yield from _libraries(program)
    if python:
        real = Path(sys.executable).resolve()
        yield f"/usr/local/bin/{real.name}", real
        yield "/usr/local/bin/python3", real
        yield str(real), real
        yield from _libraries(real)
        library = Path(sysconfig.get_path("stdlib"))
        for path in library.rglob("*"):
            if not LEFT_OUT & set(path.relative_to(library).parts) and path.is_file():
                yield str(path), path
                if path.suffix == ".so":
                    yield from _libraries(path)


def _libraries(program: Path) -> Iterator[tuple[str, Path]]:
    """What the loader will look for, under the names it will look for."""
    told = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
    for word in told.split():
        if word.startswith("/"):
            yield word, Path(word)
