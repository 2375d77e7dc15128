"""Reports end to end: a real server and runner, a real mail server; what people get, and what they do not."""

import re
from pathlib import Path

import pytest

from tests.system.receivers import mail_box
from tests.system.stand import Project, stand, until

pytestmark = pytest.mark.system

BAD = "def test_total():\n    assert 1 + 1 == 3\n"
GOOD = "def test_total():\n    assert 1 + 1 == 2\n"


def test_a_failing_test_is_told_once_and_its_repair_once(tmp_path: Path) -> None:
    project = Project(tmp_path / "git")
    project.workflow("python3 -m pytest -q || { echo 'E   assert 2 == 3'; exit 1; }")
    project.write({"test_shop.py": BAD})
    first = project.commit("Sell things")
    project.push()
    with mail_box() as box, stand(tmp_path, "--smtp", box.url) as here:
        here.env = {"MAINSTAY_MAIL_AUTHORS": "example.org"}
        here.up("1:1")
        here.watch(project, "shop")
        assert here.verdict(first)["state"] == "failed"
        until(lambda: box.mails, "the mail that it is broken")
        project.write({"readme": "more"})
        second = project.commit("Say more")
        project.push()
        assert here.verdict(second)["state"] == "failed"
        project.write({"test_shop.py": GOOD})
        third = project.commit("Count right")
        project.push()
        assert here.verdict(third)["state"] == "passed"
        until(lambda: len(box.mails) == 2, "the mail that it is fixed")
        here.call("POST", f"/builds/{here.verdict(third)['id']}/rerun", {})
        until(lambda: here.build(here.verdict(third)["id"])["jobs"][0]["attempts"][1:], "a second attempt")
        here.verdict(third)
    broken, fixed = box.mails
    assert broken["subject"].startswith(f"✗ main of shop is broken at {first[:8]} (Ada)")
    assert fixed["subject"].startswith(f"✓ main of shop is fixed by {third[:8]} (Ada) after 1 min")
    assert broken["to"] == "ada@example.org"
    assert fixed["in-reply-to"] == broken["message-id"]
    text = broken.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "E   assert 2 == 3" in text
    assert re.search(r"git checkout \w{12} && mainstay run --workflow .mainstay/ci.yml --job test", text)
