"""Starting a workflow by hand from its page: a form by the inputs it declares, checked as the API checks them."""

import html
import re
from pathlib import Path

from mainstay.model.person import Actor
from mainstay.store.repositories import reached
from tests.engine.test_intake import Project
from tests.web.conftest import Site

WORKFLOW = """name: Night
on:
  workflow_dispatch:
    inputs:
      level: {type: choice, options: [low, high], default: high, description: How <b>much</b>}
      dry: {type: boolean, default: true}
      count: {type: number}
      note: {required: true}
jobs:
  night:
    runs-on: linux
    steps:
      - run: "true"
"""


async def watched(site: Site) -> None:
    """Look at the repository, which the engine of a site does not do by itself."""
    with site.engine.wake.watch("events") as told:
        site.engine.loops.start("intake", site.engine.intake.run)
        while not await site.engine.db.read(reached, 1):
            await told.wait(5)


def test_a_workflow_is_started_with_the_inputs_of_its_form(site: Site, tmp_path: Path) -> None:
    project = Project(tmp_path)
    (project.clone / ".mainstay").mkdir()
    (project.clone / ".mainstay" / "night.yml").write_text(WORKFLOW)
    project.commit("root")
    project.push()
    site.do(site.engine.add_repository, Actor("ada"), "demo", str(project.bare))
    site.do(watched, site)
    assert "Developers of this repository may start it." in site.page("/repositories/demo/start").text
    site.sign_in()
    page = site.page("/repositories/demo/start").text
    assert "How &lt;b&gt;much&lt;/b&gt;" in page
    fields = dict(re.findall(r'<(?:input|select)[^>]*? name="(input\.\w+)"([^>]*)>', page))
    assert list(fields) == ["input.level", "input.dry", "input.count", "input.note"]
    assert "checked" in fields["input.dry"]
    assert 'type="number"' in fields["input.count"]
    assert "required" in fields["input.note"]
    assert "<option selected>high</option>" in page

    token = re.search(r'name="form_token" value="(\w+)"', page)
    ref = re.search(r'name="ref" value="([^"]+)"', page)
    assert token
    assert ref
    asked = {"form_token": token[1], "ref": html.unescape(ref[1]), "workflow": ".mainstay/night.yml"}
    refused = site.client.post("/repositories/demo/start", data={**asked, "input.level": "loud", "input.note": "<i>"})
    assert refused.status_code == 422
    assert "must be one of low, high" in html.unescape(refused.text)
    assert 'value="&lt;i&gt;"' in refused.text, "the form stays as it was filled"

    given = {"input.level": "low", "input.dry": "false", "input.count": "", "input.note": "now"}
    answer = site.client.post("/repositories/demo/start", data={**asked, **given}, follow_redirects=False)
    assert answer.status_code == 303
    build = site.api("GET", answer.headers["location"]).json()
    assert (build["event"], build["workflow"]) == ("workflow_dispatch", "Night")
