"""The documentation: reference pages are those of the program, changes have the right place."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_reference_pages_are_what_the_program_says() -> None:
    done = subprocess.run([sys.executable, ROOT / "script" / "docs", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_changelog_fragments_are_short_and_have_no_headings() -> None:
    for fragment in (ROOT / "CHANGELOG.d").glob("*.md"):
        text = fragment.read_text("utf-8").strip()
        if fragment.name != "README.md":
            assert text
            assert not text.startswith("#")
            assert len(text) < 1000
