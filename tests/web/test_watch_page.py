"""A repository is watched from a page, without a terminal."""

import re
from pathlib import Path

import pytest

from mainstay.web.pages.watch import name_of
from tests.web.conftest import Site


def test_an_administrator_watches_a_repository_from_its_address(site: Site, tmp_path: Path) -> None:
    site.sign_in()
    page = site.page("/").text
    assert 'action="/watch"' in page, "an empty server says what to do and has it done"
    token = re.search(r'name="form_token" value="([^"]+)"', page)
    assert token is not None

    def send(**fields: str) -> tuple[int, str, str]:
        answer = site.client.post("/watch", data={"form_token": token[1], **fields}, follow_redirects=False)
        return answer.status_code, answer.headers.get("location", ""), answer.text

    status, _, text = send(url="https://git.example.org/team/shop.git", name="no good name")
    assert status == 422
    assert "no good name" in text
    assert 'value="https://git.example.org/team/shop.git"' in text, "what was written stays"
    assert send(url="https://git.example.org/team/shop.git")[:2] == (303, "/repositories/shop")
    assert send(url="", name="lives-here")[:2] == (303, "/repositories/lives-here")
    assert send(url="https://git.example.org/team/shop.git")[0] == 409
    names = [each["name"] for each in site.api("GET", "/repositories").json()["items"]]
    assert names == ["lives-here", "shop"]
    assert 'href="/watch"' in site.page("/").text
    assert "repository.add" in site.page("/audit").text


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://git.example.org/team/shop.git", "shop"),
        ("git@git.example.org:shop.git", "shop"),
        ("ssh://git@git.example.org/team/my%20shop/", "my-20shop"),
        ("/srv/git/..", ""),
        ("", ""),
    ],
)
def test_its_name_is_the_last_part_of_the_address(url: str, name: str) -> None:
    assert name_of(url) == name
