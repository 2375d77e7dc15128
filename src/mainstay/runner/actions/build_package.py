"""`hynek/build-and-inspect-python-package`: the project's packages built by uv, checked by twine, kept as artifacts."""

import json
import zipfile
from email.parser import HeaderParser
from pathlib import Path

from mainstay.runner.actions.call import ActionFailed, Call
from mainstay.runner.actions.places import inside

SUPPORTED = "Programming Language :: Python :: "


async def build_package(call: Call) -> None:
    """Inputs: path, skip-wheel, upload-name-suffix.

    Outputs: dist, artifact-name, package_name, package_version, supported_python_classifiers_json_array,
    supported_python_classifiers_json_job_matrix_value. Attestations are the forge's alone: none is made.
    """
    root, parts = inside(call, call.input("path", "."))
    source, target = root.joinpath(*parts), call.temp / "packages"
    code, when = await call.programs.read(["git", "log", "-1", "--pretty=%ct"], cwd=source)
    env = {"SOURCE_DATE_EPOCH": when.strip()} if not code and when.strip().isdigit() else {}
    kinds = ["--sdist"] if call.flag("skip-wheel", default=False) else []
    build = ["uv", "build", "--no-config", "--out-dir", str(target), *kinds, str(source)]
    if await call.programs.run(build, env, source):
        raise ActionFailed("the project cannot be built; the words of uv build are above")
    files = sorted(path for path in target.iterdir() if path.name.endswith((".whl", ".tar.gz")))
    if await call.programs.run(["uvx", "--no-config", "twine", "check", "--strict", *map(str, files)], {}, call.temp):
        raise ActionFailed("twine check is not content with the packages; its words are above")
    name = f"Packages{call.input('upload-name-suffix')}"
    await call.keep(name, lambda place: _zip(files, place), None)
    call.outputs.update({"dist": str(target), "artifact-name": name, **described(files)})
    await call.say(f"{', '.join(path.name for path in files)} kept as the artifact {name}")


def _zip(files: list[Path], place: Path) -> None:
    with zipfile.ZipFile(place, "w", strict_timestamps=False) as bundle:
        for path in files:
            bundle.write(path, path.name)


def described(files: list[Path]) -> dict[str, str]:
    """What the wheel says of itself."""
    wheel = next((path for path in files if path.suffix == ".whl"), None)
    if wheel is None:
        return {}
    try:
        with zipfile.ZipFile(wheel) as bundle:
            inner = next(name for name in bundle.namelist() if name.endswith(".dist-info/METADATA"))
            headers = HeaderParser().parsestr(bundle.read(inner).decode("utf-8", "replace"))
    except (OSError, StopIteration, zipfile.BadZipFile) as error:
        raise ActionFailed(f"the wheel {wheel.name} cannot be read: {error}") from None
    classifiers = [str(each) for each in headers.get_all("Classifier") or ()]
    versions = [each.removeprefix(SUPPORTED) for each in classifiers if each.startswith(SUPPORTED)]
    minors = sorted({each for each in versions if each.count(".") == 1}, key=_number)
    return {
        "package_name": str(headers.get("Name", "")),
        "package_version": str(headers.get("Version", "")),
        "supported_python_classifiers_json_array": json.dumps(minors),
        "supported_python_classifiers_json_job_matrix_value": json.dumps({"python-version": minors}),
    }


def _number(version: str) -> list[int]:
    return [int(part) if part.isdigit() else 0 for part in version.split(".")]
