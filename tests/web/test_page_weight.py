"""A page with all that it needs is lighter than 150 KB, also where a list is full. Images do not count."""

import re
from datetime import timedelta

import pytest

from tests.web.conftest import Site
from tests.web.filling import Filling, JobRow, Step, TestRow, sha_of

MOST_BYTES = 150_000
PAGES = [
    "/",
    "/queue",
    "/runners",
    "/runners/1",
    "/schedules",
    "/repositories/demo",
    "/repositories/demo/refs",
    "/repositories/demo/tests",
    "/repositories/demo/commits/" + sha_of("1 change 39"),
    "/builds/40",
]


def full(f: Filling) -> None:
    """Lists as long as their pages show them: two dozen jobs a build, a long queue, many branches, runners, tests."""
    demo = f.repository("demo", None)
    runners = [(f.runner(f"runner-{n}"), f"runner-{n}") for n in range(20)]
    for n in range(40):
        at = f.now - timedelta(hours=40 - n)
        sha = f.commit(demo, f"change {n}", at=at, author="A person with a name", message="why " * 40)
        tests = [
            TestRow(f"tests/test_part.py::test_thing[{m}]", "failed" if m % 9 == 0 else "passed") for m in range(40)
        ]
        names = [f"job number {m} (3.12, linux)" for m in range(24)]
        jobs = [JobRow(name, "failed" if m == 3 else "passed", steps=[Step("run")]) for m, name in enumerate(names)]
        f.build(demo, sha, [*jobs, JobRow("tests", tests=tests)], at=at, runner=runners[n % 20])
        f.ref(demo, f"feature/a-branch-with-a-long-name-{n}", sha)
    f.ref(demo, "main", sha)
    for n in range(110):
        f.build(
            demo,
            sha,
            [JobRow("one", "queued"), JobRow("two", "waiting", reason="it waits for another")],
            occasion=f"{n}",
        )
    for n in range(60):
        f.schedule(demo, f".mainstay/nightly-{n}.yml", f"{n} 4 * * 1-5")
    for n in range(40):
        f.repository(f"other-{n}", None)


@pytest.fixture
def filled(site: Site) -> Site:
    site.fill(full)
    site.sign_in()
    return site


def test_every_full_list_is_light(filled: Site) -> None:
    weights = {}
    for path in PAGES:
        answer = filled.page(path)
        assert answer.status_code == 200, path
        assets = set(re.findall(r'(?:href|src)="(/assets/[^"]+\.(?:css|js))"', answer.text))
        assert assets
        weights[path] = len(answer.content) + sum(len(packed(filled, each)) for each in assets)
    heavy = {path: weight for path, weight in weights.items() if weight > MOST_BYTES}
    assert not heavy, f"too heavy: {heavy}"


def packed(site: Site, path: str) -> bytes:
    """The bytes of an asset as they travel to a browser."""
    with site.client.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        return b"".join(answer.iter_raw())
