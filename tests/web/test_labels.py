"""What `runs-on` means, as an administrator sets it, over the API and on the page of runners."""

from mainstay.workflow.labels import TABLE
from tests.web.conftest import Site, on_each_database

BIG = {"pattern": "big-box", "labels": ["linux", "gpu"], "neutral": None}


@on_each_database
def test_the_table_is_set_shown_and_written_down(site: Site) -> None:
    first = site.api("GET", "/labels").json()
    assert first["built_in"]
    assert [each["pattern"] for each in first["rules"]] == [rule.pattern for rule in TABLE]
    assert "macos-*" in site.page("/runners").text
    site.fill(lambda f: [f.runner(name, labels=["linux", "gpu"]) for name in ("a", "b")])
    made = site.api("PUT", "/labels", json={"rules": [{**BIG, "pattern": "Big-Box"}]})
    assert (made.status_code, made.json()) == (200, {"rules": [BIG], "built_in": False})
    text = site.page("/runners").text
    assert "<code>big-box</code>" in text
    assert "<td>2</td>" in text
    assert "macos-*" not in text
    said = site.api("GET", "/audit?action=labels").json()["items"][0]
    assert (said["action"], said["actor"]) == ("labels.set", "ada")
    assert "+ big-box -> linux, gpu" in said["detail"]
    empty = site.api("PUT", "/labels", json={"rules": []}).json()
    assert empty == {"rules": [], "built_in": False}
    assert site.api("PUT", "/labels", json={"rules": None}).json() == first
    assert site.api("GET", "/audit?action=labels").json()["items"][0]["action"] == "labels.reset"


def test_what_makes_no_sense_is_refused_and_nothing_changes(site: Site) -> None:
    for rules in (
        [{"pattern": "a b", "labels": []}],
        [{"pattern": "a", "labels": ["<b>"]}],
        [{"pattern": "a", "labels": [], "why": ""}],
        [{"pattern": "a"}],
        [BIG, BIG],
        "all",
    ):
        assert site.api("PUT", "/labels", json={"rules": rules}).status_code == 422, rules
    assert site.api("PUT", "/labels", json={}).status_code == 422
    assert site.api("GET", "/labels").json()["built_in"]
