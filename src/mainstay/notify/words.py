"""The words of messages, in the languages of the pages. English stands in the code, the others in `languages/`."""

import tomllib
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "languages"


class Words:
    """Says a text in one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._known = catalogue(language)

    def __call__(self, text: str, /, **values: object) -> str:
        """The text in this language with `values` in its places."""
        said = self._known.get(text, text)
        return said.format(**values) if values else said

    def count(self, number: int, one: str, many: str, /, **values: object) -> str:
        """`one` or `many` with the place `{n}`."""
        return self(one if number == 1 else many, n=number, **values)


@cache
def catalogue(language: str) -> dict[str, str]:
    """All translations of a language; empty for English and for a language that is not known."""
    file = FOLDER / f"{language}.toml"
    if language == "en" or not language.replace("-", "").isalpha() or not file.exists():
        return {}
    return dict(tomllib.loads(file.read_text("utf-8"))["words"])


@cache
def words_in(language: str) -> Words:
    """The words of a language."""
    return Words(language)
