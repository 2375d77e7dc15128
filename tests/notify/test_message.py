"""What messages say, in both languages, and that nothing in them is more than text."""

import re
import string
from html.parser import HTMLParser

import pytest

from mainstay.model.report import FOR_PEOPLE, CommitFact, ReportKind
from mainstay.notify import headline, message, words
from mainstay.notify.message import CHAT
from tests.notify.reports import ADA, EVIL, broken, hostile

URL = "https://ci.example.org"
KINDS = (*FOR_PEOPLE, ReportKind.FINISHED, ReportKind.PING)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "✗ main of shop is broken by 3f2a91c0 (Ada): 2 tests failed"),
        ({"tests_total": 0, "tests": ()}, "✗ main of shop is broken by 3f2a91c0 (Ada): job test (3.12) failed"),
        ({"commits_total": 3}, "✗ main of shop is broken by one of 3 commits: 2 tests failed"),
        ({"since_at": None}, "✗ main of shop is broken at 3f2a91c0 (Ada): 2 tests failed"),
        ({"again": True}, "✗ main of shop fails when run again at 3f2a91c0: 2 tests failed"),
        ({"kind": ReportKind.FIXED}, "✓ main of shop is fixed by 3f2a91c0 (Ada) after 3 h"),
        ({"kind": ReportKind.FIXED, "commits_total": 0}, "✓ main of shop is fixed at 3f2a91c0 after 3 h"),
        ({"kind": ReportKind.FIXED, "again": True}, "✓ main of shop passes when run again at 3f2a91c0, after 3 h"),
        ({"kind": ReportKind.STILL_BROKEN}, "✗ main of shop is still broken after 3 h: 2 tests failed"),
        ({"kind": ReportKind.FLAKY, "tests_total": 1}, "! a test of shop is flaky: tests/test_shop.py::test_total"),
        ({"kind": ReportKind.DIGEST}, "✗ tests (shop#7) failed: 2 tests failed"),
        ({"kind": ReportKind.DIGEST, "state": "passed", "tests_total": 0, "jobs_total": 0}, "✓ tests (shop#7) passed"),
    ],
)
def test_the_first_line_says_what_happened(values: dict[str, object], said: str) -> None:
    assert headline.heading(broken(**values), words.words_in("en")) == said


def test_a_message_holds_the_evidence_and_the_next_step() -> None:
    made = message.message(broken(), "en", URL, "Because.", f"{URL}/mail/x")
    for text in (made.plain, made.html):
        for part in (
            "tests/test_shop.py::test_total",
            "assert 2 == 3",
            "where 2 = 1 + 1",
            f"{URL}/builds/41",
            "/jobs/90/",
        ):
            assert part in text
    assert "git checkout 3f2a91c00000 && mainstay run --job test" in made.plain
    assert "    | E   assert 2 == 3" in made.plain
    assert "and 1 more" in made.plain
    assert made.plain.endswith(f"-- \nBecause.\nNo more of these: {URL}/mail/x\n")
    assert f'<a href="{URL}/mail/x">No more of these</a>' in made.html


def test_the_same_in_chinese() -> None:
    made = message.message(broken(), "zh-CN", URL)
    assert made.heading == "✗ shop 的 main 被 3f2a91c0（Ada）弄坏：2 个测试失败"
    assert "失败的测试" in made.plain
    assert 'lang="zh-CN"' in made.html


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_whatever_comes_from_outside_stays_text_of_a_bounded_size(kind: ReportKind, language: str) -> None:
    made = message.message(hostile(kind), language, URL, EVIL, f"{URL}/mail/x")
    assert made.heading.isprintable()
    assert len(made.heading) <= 170
    seen = Tags()
    seen.feed(made.html)
    assert seen.tags <= {"html", "head", "meta", "title", "body", "p", "div", "pre", "a", "br"}
    assert all(link.startswith(URL) for link in seen.links)
    assert "\u202e" not in made.heading + made.plain + made.html + made.chat
    assert "\x1b" not in made.plain + made.html + made.chat
    assert not re.search(r"^Bcc:", made.plain, re.MULTILINE)
    assert len(made.chat) <= CHAT + 1
    assert "@everyone" not in made.chat
    assert "<!channel>" not in made.chat
    assert made.chat.rstrip().splitlines()[-1].startswith(("Build: ", "Log: ", "Repository: ", "构建", "日志"))


class Watching(dict[str, str]):
    """A catalogue that keeps what it had no word for."""

    missing: set[str] = set()  # noqa: RUF012

    def get(self, key: str, default: object = None) -> object:  # type: ignore[override]
        if key not in self:
            self.missing.add(key)
        return super().get(key, default)  # type: ignore[arg-type]


def test_every_text_has_its_translation_with_the_same_places(monkeypatch: pytest.MonkeyPatch) -> None:
    known = words.Words("zh-CN")
    watching = Watching(words.catalogue("zh-CN"))
    monkeypatch.setattr(known, "_known", watching)
    monkeypatch.setattr(message, "words_in", lambda _: known)
    for kind in KINDS:
        for state in ("passed", "failed"):
            for total in (0, 1, 2):
                for again in (True, False):
                    for commits in ((), (ADA,), (ADA, CommitFact("0" * 40, "B", "", ""))):
                        values = {"tests_total": total, "again": again, "commits": commits, "state": state}
                        made = broken(kind=kind, commits_total=len(commits), **values)
                        message.message(made, "zh-CN", URL, "", "https://x")
    assert not watching.missing
    for english, other in words.catalogue("zh-CN").items():
        places = [{name for _, name, _, _ in string.Formatter().parse(text) if name} for text in (english, other)]
        assert places[0] == places[1], english
