"""Links and pictures of the documentation lead somewhere, to their headings as well, and every page is in the index."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", *ROOT.glob("deploy/**/*.md"), *ROOT.glob("packages/**/*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LARGEST_PICTURE_BYTES = 200_000


def links(page: Path) -> list[str]:
    """Where a page points to within the repository."""
    found = LINK.findall(CODE.sub("", page.read_text("utf-8")))
    return [link for link in found if "://" not in link and not link.startswith("mailto:")]


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as forges make them."""
    titles = HEADING.findall(CODE.sub("", page.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_is_reached_from_the_index() -> None:
    reached = {DOCS / "README.md"}
    left = list(reached)
    while left:
        page = left.pop()
        for link in links(page):
            target = (page.parent / link.partition("#")[0]).resolve()
            target = target / "README.md" if target.is_dir() else target
            if target.suffix == ".md" and target.is_relative_to(DOCS) and target not in reached:
                reached.add(target)
                left.append(target)
    decisions = {page for page in DOCS.glob("decisions/*.md") if page.name != "README.md"}
    assert {page for page in DOCS.rglob("*.md") if page not in reached} - decisions == set()


def test_every_decision_has_a_number_of_its_own() -> None:
    pages = sorted(page for page in DOCS.glob("decisions/*.md") if page.name != "README.md")
    numbers = [int(page.name.split("-")[0]) for page in pages]
    assert len(set(numbers)) == len(numbers)
    headed = [page.read_text("utf-8").startswith(f"# {number}. ") for page, number in zip(pages, numbers, strict=True)]
    assert all(headed)


def test_pictures_are_small() -> None:
    large = [file.name for file in DOCS.glob("pictures/*") if file.stat().st_size > LARGEST_PICTURE_BYTES]
    assert large == []
