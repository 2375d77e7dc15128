"""What a step says to the runner in files: GITHUB_ENV, GITHUB_OUTPUT, GITHUB_STATE, GITHUB_PATH, GITHUB_STEP_SUMMARY.

Source: GitHub's "Workflow commands", environment files. Bytes come in as they were written: a byte order mark (UTF-16
too, from PowerShell) and Windows line ends are understood, what is not UTF-8 is replaced.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mainstay.model.errors import BadInput

MAX_FILE = 4 * 1024 * 1024
"""Bytes of one file. GitHub's limit for the outputs of a job is 1 MiB."""
MAX_PAIRS = 10_000
"""Names in one file."""
MAX_VARIABLE = 128 * 1024 - 1
"""Bytes of `NAME=value` in GITHUB_ENV: Linux starts no program with a longer variable."""
MAX_SUMMARY = 1024 * 1024
"""Bytes of a step's summary; GitHub's limit."""

RESERVED_PREFIXES = ("GITHUB_", "RUNNER_", "MAINSTAY_")
RESERVED_NAMES = frozenset({"NODE_OPTIONS", "MAINSTAY"})
"""What GITHUB_ENV cannot set: our own names, and the one through which a variable can run code in every action."""


class CommandFileError(BadInput):
    """An environment file that cannot be read; GitHub fails the step. The message names the file and line."""

    code = "bad-command-file"


@dataclass(frozen=True, slots=True)
class EnvironmentFile:
    """What GITHUB_ENV asks for."""

    values: Mapping[str, str] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    """One sentence for each name that may not be set; shown as errors of the step, the others hold."""


def read_pairs(content: bytes, file: str) -> dict[str, str]:
    """GITHUB_OUTPUT and GITHUB_STATE: `name=value` and `name<<DELIMITER` forms. `file` is its name, for the errors."""
    pairs: dict[str, str] = {}
    for name, value in _pairs(_text(content, file), file):
        pairs[name] = value
        if len(pairs) > MAX_PAIRS:
            raise CommandFileError(f"{file} sets more than the limit of {MAX_PAIRS} names")
    return pairs


def read_environment(content: bytes) -> EnvironmentFile:
    """GITHUB_ENV: pairs, without the names that may not be set."""
    values: dict[str, str] = {}
    refused: list[str] = []
    for name, value in read_pairs(content, "GITHUB_ENV").items():
        reason = _refusal(name, value)
        if reason is None:
            values[name] = value
        else:
            refused.append(reason)
    return EnvironmentFile(values, tuple(refused))


def read_paths(content: bytes) -> tuple[str, ...]:
    """GITHUB_PATH: one folder a line, in the order written; each later one goes further in front of PATH."""
    lines = [line.rstrip("\r") for line in _text(content, "GITHUB_PATH").split("\n")]
    for number, line in enumerate(lines, 1):
        if "\0" in line:
            raise CommandFileError(f"GITHUB_PATH, line {number}: a folder's name cannot hold a zero byte")
    return tuple(line for line in lines if line.strip())


def read_summary(content: bytes) -> str:
    """GITHUB_STEP_SUMMARY: the Markdown, invalid bytes replaced. Too long: an error, nothing is kept, as on GitHub."""
    if len(content) > MAX_SUMMARY:
        raise CommandFileError(
            f"GITHUB_STEP_SUMMARY has {len(content)} bytes, more than the limit of {MAX_SUMMARY}; none of it is kept"
        )
    return _text(content, "GITHUB_STEP_SUMMARY").replace("\r\n", "\n")


def _text(content: bytes, file: str) -> str:
    if len(content) > MAX_FILE:
        raise CommandFileError(f"{file} has {len(content)} bytes, more than the limit of {MAX_FILE}")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    return content.decode("utf-8-sig", "replace")


def _pairs(text: str, file: str) -> Iterator[tuple[str, str]]:
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        raw = lines[at]
        line = raw.rstrip("\r")
        at += 1
        if not line:
            continue
        name, sign, rest = _header(line, file, at)
        if sign == "=":
            yield name, rest
            continue
        end = _closing(lines, at, rest)
        if end is None:
            raise CommandFileError(
                f'{file}, line {at}: the value of "{name[:100]}" has no end: no line after it is "{rest[:100]}"'
            )
        value = "\n".join(lines[at:end])
        yield name, value.replace("\r\n", "\n").removesuffix("\r") if raw != line else value
        at = end + 1


def _header(line: str, file: str, number: int) -> tuple[str, str, str]:
    """Name, `=` or `<<`, and what stands behind it: whichever sign comes first counts."""
    equals, heredoc = line.find("="), line.find("<<")
    sign = "<<" if heredoc >= 0 and not 0 <= equals < heredoc else "="
    name, found, rest = line.partition(sign)
    if not found:
        raise CommandFileError(
            f'{file}, line {number}: "{line[:100]}" is neither name=value nor name<<DELIMITER; '
            "a value of several lines needs the second form"
        )
    if not name or (sign == "<<" and not rest):
        what = "a delimiter behind <<" if name else f"a name before {sign}"
        raise CommandFileError(f'{file}, line {number}: "{line[:100]}" needs {what}')
    return name, sign, rest


def _closing(lines: list[str], start: int, delimiter: str) -> int | None:
    for number in range(start, len(lines)):
        if lines[number].rstrip("\r") == delimiter:
            return number
    return None


def _refusal(name: str, value: str) -> str | None:
    upper = name.upper()
    if upper in RESERVED_NAMES or upper.startswith(RESERVED_PREFIXES):
        return f"{name[:100]} cannot be set through GITHUB_ENV: the name is reserved"
    if "\0" in name or "\0" in value:
        return f"{name[:100]!r} cannot be set through GITHUB_ENV: a variable cannot hold a zero byte"
    size = len(name.encode()) + len(value.encode()) + 1
    if size > MAX_VARIABLE:
        return (
            f"{name[:100]} cannot be set through GITHUB_ENV: it has {size} bytes, and no program could be started with "
            f"more than {MAX_VARIABLE}; write the value to a file"
        )
    return None
