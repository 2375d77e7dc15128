"""Markdown that jobs write as their summaries, as harmless HTML: tables, task lists, folded parts; nothing is fetched.

Images become links, for a page that loads them would tell other machines who reads it; the content policy forbids it.
"""

from functools import cache, lru_cache
from typing import Any

from markupsafe import Markup

from mainstay.web.pages.ansi import TURNING
from mainstay.web.pages.rendering import CONTROLS

LONGEST = 48 << 10
"""Characters of one text that are shown: the slowest text of this length takes under a second."""
_TAGS = """
    a b blockquote br code dd del details div dl dt em h3 h4 h5 h6 hr i kbd li ol p pre q s small span strong sub
    summary sup table tbody td tfoot th thead tr u ul
"""
_ALIGNED = {"align"}
ATTRIBUTES = {
    "a": {"href", "title"},
    "details": {"open"},
    "ol": {"start"},
    "td": {"colspan", "rowspan", *_ALIGNED},
    "th": {"colspan", "rowspan", *_ALIGNED},
}
SCHEMES = {"http", "https", "mailto"}
_BOXES = {"[ ] ": "☐ ", "[x] ": "☑ ", "[X] ": "☑ "}
_SIDES = {"style": {f"text-align:{side}": side for side in ("left", "center", "right")}}


@lru_cache(maxsize=64)
def rendered(text: str) -> Markup:
    """The first `LONGEST` characters of a text as HTML without anything that acts."""
    import nh3  # noqa: PLC0415 - as `_parser`

    said = text[:LONGEST].translate(CONTROLS).translate(TURNING)
    html = _parser().render(said)
    safe = nh3.clean(
        html,
        tags=set(_TAGS.split()),
        attributes=ATTRIBUTES,
        url_schemes=SCHEMES,
        link_rel="noopener noreferrer nofollow",
        attribute_filter=_attribute,
    )
    return Markup(safe)  # noqa: S704 - cleaned on the line above


def _attribute(tag: str, name: str, value: str) -> str | None:
    """Links lead to other places by their whole address; a path would be one of ours."""
    return None if tag == "a" and name == "href" and not value.startswith(("https:", "http:", "mailto:")) else value


@cache
def _parser() -> Any:
    # Imported late: a server whose jobs write no summaries does without (2 MB).
    from markdown_it import MarkdownIt  # noqa: PLC0415

    made = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    made.core.ruler.push("page", _fitted)
    return made


def _fitted(state: Any) -> None:
    """Headings stand below those of the page, task lists have boxes, columns their alignment without a style."""
    tokens = state.tokens
    highest = min((int(token.tag[1]) for token in tokens if token.type == "heading_open"), default=1)
    for index, token in enumerate(tokens):
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) - highest + 3)}"
        elif token.type in ("td_open", "th_open") and "style" in token.attrs:
            token.attrs = {"align": _SIDES["style"].get(str(token.attrs["style"]), "left")}
        elif token.type == "inline" and token.children:
            first = token.children[0]
            listed = index >= 2 and tokens[index - 2].type == "list_item_open"
            if listed and first.type == "text" and first.content[:4] in _BOXES:
                first.content = _BOXES[first.content[:4]] + first.content[4:]
            token.children = [
                part for each in token.children for part in (_linked(each) if each.type == "image" else [each])
            ]


def _linked(image: Any) -> list[Any]:
    """An image as a link to it."""
    from markdown_it.token import Token  # noqa: PLC0415 - as `_parser`

    name = Token("text", "", 0, content=image.content or "picture")
    return [Token("link_open", "a", 1, attrs={"href": image.attrs.get("src", "")}), name, Token("link_close", "a", -1)]
