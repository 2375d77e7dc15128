"""What pages say, in the reader's language. English is written in the templates; other languages are files in `words/`.

A file holds one table: the English text as written, and its translation with the same `{places}`. What is refused is
said by other rooms, in English; `errors.LANGUAGE.toml` holds the sentences that people meet in forms.
"""

import re
import tomllib
from functools import cache
from pathlib import Path

from markupsafe import Markup, escape
from starlette.requests import Request

FOLDER = Path(__file__).parent / "words"
LANGUAGES = {"en": "English", "zh-CN": "简体中文"}
COOKIE = "mainstay_language"
TURNING = re.compile("[\u0590-\u08ff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Right-to-left letters and the marks that turn the direction."""
LONGEST_ERROR = 1000
"""Characters of a sentence that are compared with those that are known."""
PLACE = re.compile(r"\{(\w+)\}")


class Words:
    """Says things in one language."""

    __slots__ = ("_known", "language")

    def __init__(self, language: str) -> None:
        self.language = language
        self._known = catalogue(language)

    def __call__(self, text: str, /, **values: object) -> Markup:
        """`text` in this language with `values` in its places. Values that are not markup are escaped and isolated."""
        said = Markup(escape(self._known.get(text, text)))  # noqa: S704 - escaped on the same line
        return said.format(**{name: isolated(value) for name, value in values.items()}) if values else said

    def plain(self, text: str, /, **values: object) -> str:
        """The same for what is not HTML."""
        said = self._known.get(text, text)
        return said.format(**values) if values else said

    def refusal(self, text: str) -> str:
        """What was refused, as another room says it in English; as it is where it is not known in this language."""
        if len(text) > LONGEST_ERROR:
            return text
        for shape, said in refusals(self.language):
            if match := shape.fullmatch(text):
                return said.format(**match.groupdict())
        return text

    def count(self, number: int, one: str, many: str, /, **values: object) -> Markup:
        """`one` or `many` with the place `{n}`."""
        return self(one if number == 1 else many, n=f"{number:,}", **values)


def isolated(value: object) -> object:
    """A text from outside that could turn the writing direction of what stands around it, kept to itself."""
    if isinstance(value, str) and not isinstance(value, Markup) and TURNING.search(value):
        return Markup("<bdi>{}</bdi>").format(value)
    return value


@cache
def catalogue(language: str) -> dict[str, str]:
    """All translations of a language; empty for English."""
    if language == "en":
        return {}
    with (FOLDER / f"{language}.toml").open("rb") as file:
        return dict(tomllib.load(file)["words"])


@cache
def refusals(language: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """The sentences that refuse something, as expressions with their values as groups, and their translations."""
    return tuple((_shape(english), said) for english, said in errors(language).items())


@cache
def errors(language: str) -> dict[str, str]:
    """The sentences that refuse something and their translations; empty for English."""
    if language == "en":
        return {}
    with (FOLDER / f"errors.{language}.toml").open("rb") as file:
        return dict(tomllib.load(file)["errors"])


def _shape(english: str) -> re.Pattern[str]:
    parts = PLACE.split(english)
    return re.compile(
        "".join(f"(?P<{part}>.{{1,300}}?)" if at % 2 else re.escape(part) for at, part in enumerate(parts))
    )


@cache
def words_in(language: str) -> Words:
    """The words of a language."""
    return Words(language)


def words_of(request: Request) -> Words:
    """The reader's language: as chosen, else as the browser asks for it."""
    chosen = request.cookies.get(COOKIE)
    if chosen in LANGUAGES:
        return words_in(chosen)
    return words_in(preferred(request.headers.get("accept-language", "")))


def preferred(header: str) -> str:
    """The first of our languages that an Accept-Language header names, by its weights."""
    wanted: list[tuple[float, str]] = []
    for part in header[:500].split(","):
        name, _, weight = part.strip().partition(";q=")
        try:
            wanted.append((-float(weight or 1), name.lower()))
        except ValueError:
            continue
    for _, name in sorted(wanted, key=lambda each: each[0]):
        if name.startswith("zh"):
            return "zh-CN"
        if name.startswith("en"):
            return "en"
    return "en"
