"""The command palette finds what is meant by a few letters, and nothing that the reader may not see."""

from datetime import timedelta

from tests.web.conftest import Site, on_each_database
from tests.web.filling import NOON, Filling, JobRow, TestRow


def filled(f: Filling) -> str:
    """Two repositories with builds, branches and tests."""
    demo, other = f.repository("demo"), f.repository("demolition")
    for repository in (demo, other):
        for n in range(3):
            sha = f.commit(repository, f"change {n} of {repository}", at=NOON + timedelta(minutes=n))
            tests = [TestRow("tests/test_money.py::test_100%_of_it"), TestRow("tests/test_money.py::test_other")]
            f.build(repository, sha, [JobRow(tests=tests)])
        f.ref(repository, "feature/money", sha)
    return sha


@on_each_database
def test_places_are_found_by_parts_of_their_names(site: Site) -> None:
    sha = site.fill(filled)

    def found(q: str, here: str = "demo") -> list[tuple[str, str]]:
        places = site.client.get("/palette", params={"q": q, "here": here}).json()
        return [(each["text"], each["href"]) for each in places]

    assert found("demo") == [("demo", "/repositories/demo"), ("demolition", "/repositories/demolition")]
    assert found("lition") == [("demolition", "/repositories/demolition")]
    assert found("2") == [("demo#2", "/builds/2")]
    assert found("demolition#2") == [("demolition#2", "/builds/5")]
    assert found("#2", here="") == []
    assert found(sha[:8].upper()) == [(f"{sha[:8]} change 2 of 2", f"/repositories/demolition/commits/{sha}")]
    assert found("MONEY")[0] == ("feature/money", "/repositories/demo?branch=feature%2Fmoney")
    assert [text for text, _ in found("100%")] == ["tests/test_money.py::test_100%_of_it"]
    assert [text for text, _ in found("1_0")] == []
    assert found("queue") == [("Queue", "/queue")]
    assert found("tests")[0] == ("Tests", "/repositories/demo/tests")
    assert len(found("")) >= 6
    assert found("x" * 5000) == []


def test_nobody_finds_what_he_may_not_read(closed_site: Site) -> None:
    closed_site.fill(filled)
    assert closed_site.client.get("/palette?q=demo").status_code == 401
