"""The pages in a real browser: complete without JavaScript, live with it, usable by everybody."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.system.stand import Project, Stand, stand, until

pytestmark = [pytest.mark.system, pytest.mark.browser]

CHROMIUM = os.environ.get("MAINSTAY_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT_MS = 30_000
expect.set_options(timeout=WAIT_MS)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium: install the system's package `chromium`, or name one in MAINSTAY_TEST_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Stand]:
    with stand(tmp_path) as made:
        made.serve()
        made.runner("r1", "--executor", "process")  # the job looks at a file of the test's
        yield made


def opened(context: BrowserContext, complaints: list[str]) -> Page:
    """A page that keeps what the browser complains of."""
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return page


def check_access(page: Page) -> None:
    """What axe-core finds that keeps people out."""
    found = Axe().run(page)
    assert not found.violations_count, f"{page.url}\n{found.generate_report()}"


def walk(page: Page, url: str, build: int, *, axe: bool) -> None:
    """Go the way people go: home, repository, build, log."""
    page.goto(url)
    expect(page.get_by_role("link", name="demo", exact=True).first).to_be_visible()
    if axe:
        check_access(page)
    for path, text in (
        ("/repositories/demo", "main of demo"),
        (f"/builds/{build}", "demo#1 passed in"),
        ("/jobs/1/attempts/1", "test passed in"),
    ):
        page.goto(url + path)
        expect(page.get_by_role("heading", level=1)).to_contain_text(text)
        if axe:
            check_access(page)
    lists = ("/", "/queue", "/runners", "/runners/1", "/schedules", "/repositories/demo", "/repositories/demo/refs")
    for path in lists if axe else ():
        page.goto(url + path)
        check_access(page)
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is wider than the window"
        page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(url + "/jobs/1/attempts/1")
    page.locator(".logsteps a.row", has_text="echo").first.click()
    expect(page.locator("#log")).to_contain_text("<b>finished</b>")


def use_keys(page: Page, url: str) -> None:
    """Go from place to place without a mouse."""
    page.goto(url)
    page.keyboard.press("Control+k")
    palette = page.get_by_role("combobox", name="Go to")
    expect(palette).to_be_focused()
    check_access(page)
    palette.fill("demo#1")
    expect(page.get_by_role("option", selected=True)).to_contain_text("demo#1")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("demo#1 passed")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    check_access(page)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    page.keyboard.press("j")
    expect(page.locator("main .jobs a").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("test passed")
    page.keyboard.press("/")
    page.keyboard.type("finished")
    page.keyboard.press("Enter")
    expect(page.locator(".found mark")).to_have_text("finished")
    check_access(page)
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("g")
    page.keyboard.press("t")
    expect(page).to_have_url(url + "/repositories/demo/tests")


def test_a_build_goes_green_before_the_readers_eyes(chromium: Browser, here: Stand, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    project = Project(tmp_path / "repositories")
    folded = "echo ::group::Folded; echo inside; echo ::endgroup::"
    project.workflow(f"echo begun; {folded}; while [ ! -e {gate} ]; do sleep 0.05; done; echo '<b>finished</b>'")
    project.commit("a first change")
    project.push()
    here.watch(project)
    build = until(lambda: next((each for each in here.builds() if each["state"] == "running"), None), "a running build")

    complaints: list[str] = []
    reading = chromium.new_context(locale="en-GB")
    page, log = opened(reading, complaints), opened(reading, complaints)
    page.goto(f"{here.url}/builds/{build['id']}")
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_contain_text("has been running for")
    log.goto(f"{here.url}/jobs/1/attempts/1")
    expect(log.locator("#log")).to_contain_text("begun", timeout=WAIT_MS)
    page.evaluate("window.stayed = true")
    gate.touch()
    expect(log.locator("#log")).to_contain_text("<b>finished</b>", timeout=WAIT_MS)
    expect(heading).to_contain_text("passed in", timeout=WAIT_MS)
    assert page.evaluate("window.stayed"), "the page was loaded anew instead of changed in place"

    walk(page, here.url, build["id"], axe=True)
    use_keys(page, here.url)
    assert complaints == []
    reading.close()

    plain = chromium.new_context(locale="en-GB", java_script_enabled=False)
    walk(opened(plain, complaints), here.url, build["id"], axe=False)
    assert complaints == []
    plain.close()


def test_a_growing_log_follows_whoever_is_at_its_end_and_moves_nobody_else(
    chromium: Browser, here: Stand, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    wait = "while [ ! -e {} ]; do sleep 0.05; done"
    project = Project(tmp_path / "repositories")
    project.workflow(
        f"seq 1 300; printf 'half a line'; {wait.format(first)}; echo; echo more; echo and more",
        f"echo the second step; {wait.format(second)}; echo at last",
    )
    project.commit("counts")
    project.push()
    here.watch(project)
    until(lambda: here.builds(state="running"), "a running build")

    complaints: list[str] = []
    reading = chromium.new_context(locale="en-GB", viewport={"width": 1200, "height": 800})
    behind, end = opened(reading, complaints), opened(reading, complaints)
    for page in (behind, end):
        page.goto(f"{here.url}/jobs/1/attempts/1")
        expect(page.locator("#log .unended")).to_contain_text("half a line", timeout=WAIT_MS)
    at_end = "innerHeight + scrollY >= document.documentElement.scrollHeight - 80"
    assert end.evaluate(at_end), "an open log is shown at its end"
    behind.bring_to_front()
    behind.evaluate("scrollTo(0, 400)")
    expect(behind.locator("body[data-refresh]")).to_have_count(1)
    # What counts is where the lines stand: what is above them may become known late, and be higher then.
    place = "Math.round(document.getElementById('L40').getBoundingClientRect().top)"
    stood = behind.evaluate(place)
    first.touch()
    newer = behind.locator(".newer")
    expect(newer).to_have_text("3 new lines", timeout=WAIT_MS)
    expect(behind.locator("#log")).to_contain_text("and more")
    assert behind.evaluate(place) == stood, "the reader was moved"
    end.bring_to_front()
    expect(end.locator("#log")).to_contain_text("the second step", timeout=WAIT_MS)
    expect(end.locator("#log")).not_to_contain_text("299")
    behind.bring_to_front()
    expect(behind.locator("#log")).to_contain_text("299")
    newer.click()
    until(lambda: behind.evaluate(at_end), "the end of the log")
    expect(newer).to_be_hidden()
    second.touch()
    end.bring_to_front()
    expect(end.locator("#log")).to_contain_text("at last", timeout=WAIT_MS)
    expect(end.get_by_role("heading", level=1)).to_contain_text("test passed in", timeout=WAIT_MS)
    assert complaints == []
    reading.close()
