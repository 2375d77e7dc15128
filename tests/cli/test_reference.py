"""The documentation: reference pages are those of the program, links lead somewhere, changes have the right place."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    page
    for page in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part == "node_modules" for part in page.relative_to(ROOT).parts)
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def test_the_reference_pages_are_what_the_program_says() -> None:
    done = subprocess.run([sys.executable, ROOT / "script" / "docs", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_within_the_documentation_lead_somewhere(page: Path) -> None:
    broken = [
        target
        for target in LINK.findall(page.read_text("utf-8"))
        if "://" not in target
        and not target.startswith(("#", "mailto:"))
        and not (page.parent / target.partition("#")[0]).exists()
    ]
    assert broken == []


def test_changelog_fragments_are_short_and_have_no_headings() -> None:
    for fragment in (ROOT / "CHANGELOG.d").glob("*.md"):
        text = fragment.read_text("utf-8").strip()
        if fragment.name != "README.md":
            assert text
            assert not text.startswith("#")
            assert len(text) < 1000
