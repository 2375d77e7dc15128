"""What jobs are given of secrets and variables: the nearest value, what they mention, and only if they are trusted."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import update

from mainstay.engine.secrets import Secrets
from mainstay.model.errors import BadInput, NotFound
from mainstay.model.person import Actor
from mainstay.model.plan import Call, Plan, PlannedJob, Step
from mainstay.model.repository import Repository
from mainstay.model.secret import MAX_VALUE_BYTES
from mainstay.store import secrets as store
from mainstay.store.database import Database, Tx
from mainstay.store.schema import secrets as table
from mainstay.store.seal import Seal
from tests.engine.road import Road, plan, road

pytestmark = pytest.mark.anyio

ADA = Actor("ada")
KEY = Seal({1: b"k" * 32})


@pytest.fixture
async def way(database: Database) -> AsyncIterator[Road]:
    async with road(database, seal=KEY) as found:
        yield found


def people(way: Road) -> Secrets:
    return Secrets(way.database, KEY, way.clock)


async def given(way: Road, repository: Repository, wanted: Plan, **how: object) -> dict[str, object]:
    """The contexts of the one job of a new build, with what is said of it."""
    await way.build(repository, wanted, **how)
    runner = await way.hello()
    found = await way.given(runner)
    await way.finish(runner, found.attempt, "passed")
    return found.contexts | {"notices": found.notices, "refused": found.refused, "token": found.source.token}


def saying(text: str, **more: object) -> Plan:
    return plan(PlannedJob("test", steps=(Step(run=text),), **more))  # type: ignore[arg-type]


async def test_the_nearest_value_wins_and_only_what_is_mentioned_is_given(way: Road) -> None:
    demo, other = await way.repository(), await way.repository("other")
    put, put_variable = people(way).put, people(way).put_variable
    for name in ("HERE", "THERE", "PROD", "UNSAID"):
        await put(ADA, None, None, name, f"{name} of all")
        await put_variable(ADA, None, None, name, f"{name} of all")
    for name in ("here", "prod"):
        await put(ADA, "demo", None, name, f"{name} of demo")
        await put_variable(ADA, "demo", None, name, f"{name} of demo")
    await put(ADA, "demo", "Production", "PROD", "prod of production")
    await put_variable(ADA, "demo", "Production", "PROD", "prod of production")
    text = "${{ secrets.HERE }} ${{ secrets['there'] }} ${{ Secrets.PROD }} ${{ vars.here }}"
    found = await given(way, demo, saying(text, environment="${{ vars.HERE == 'here of demo' && 'production' }}"))
    assert found["secrets"] == {"HERE": "here of demo", "THERE": "THERE of all", "PROD": "prod of production"}
    assert found["vars"] == {
        "HERE": "here of demo",
        "THERE": "THERE of all",
        "PROD": "prod of production",
        "UNSAID": "UNSAID of all",
    }
    found = await given(way, other, saying(text))
    assert found["secrets"] == {"HERE": "HERE of all", "THERE": "THERE of all", "PROD": "PROD of all"}
    used = {each.name: each.used_at for each in await people(way).listed("other")}
    assert used == {"HERE": way.clock.now(), "THERE": way.clock.now(), "PROD": way.clock.now(), "UNSAID": None}


async def test_where_the_text_does_not_tell_all_are_given(way: Road) -> None:
    demo = await way.repository()
    await people(way).put(ADA, "demo", None, "ONE", "value one")
    found = await given(way, demo, saying("${{ toJSON(secrets) }}"))
    assert found["secrets"] == {"ONE": "value one", "GITHUB_TOKEN": found["token"]}
    assert (await given(way, demo, saying("echo secrets.ONE")))["secrets"] == {}
    assert (await given(way, demo, saying("${{ secrets.github_token }}")))["secrets"].keys() == {"GITHUB_TOKEN"}


async def test_an_untrusted_build_is_given_none_and_told_so(way: Road) -> None:
    demo = await way.repository()
    await people(way).put(ADA, "demo", None, "ONE", "value one")
    await people(way).put(ADA, "demo", "prod", "ONE", "value of prod")
    for text in ("${{ secrets.ONE }}", "${{ toJSON(secrets) }}"):
        found = await given(way, demo, saying(text, environment="prod"), trusted=False)
        assert set(found["secrets"]) <= {"GITHUB_TOKEN"}  # type: ignore[call-overload]
        assert "trusted builds only" in found["notices"][0]  # type: ignore[index]
    [one, _] = await people(way).listed("demo")
    assert one.used_at is None


async def test_a_secret_that_is_not_set_is_named_with_the_command_that_sets_it(way: Road) -> None:
    demo = await way.repository()
    found = await given(way, demo, saying("${{ secrets.NO }}", environment="prod"))
    assert found["secrets"] == {}
    [notice] = found["notices"]  # type: ignore[misc]
    assert "mainstay secret set demo NO --environment prod" in notice


async def test_a_called_workflow_has_what_its_callers_pass_on(way: Road) -> None:
    demo = await way.repository()
    for name in ("OURS", "OTHER"):
        await people(way).put(ADA, "demo", None, name, f"value of {name}")
    steps = (Step(run="${{ secrets.theirs }} ${{ secrets.OTHER }} ${{ secrets.GITHUB_TOKEN }}"),)
    for passed, expected in (
        ({"theirs": "${{ secrets.OURS }}!"}, {"theirs": "value of OURS!"}),
        (None, {"OTHER": "value of OTHER"}),
        ({}, {}),
    ):
        call = Call("call", "call", "called.yml", secrets=passed)
        wanted = Plan("tests", "x.yml", (PlannedJob("call / a", steps=steps, call="call"),), calls=(call,))
        found = await given(way, demo, wanted)
        assert found["secrets"] == expected | {"GITHUB_TOKEN": found["token"]}


async def test_a_row_that_was_moved_or_a_lost_key_breaks_the_job_in_words(way: Road) -> None:
    demo = await way.repository()
    await people(way).put(ADA, "demo", None, "ONE", "value one")

    def move(tx: Tx) -> None:
        tx.conn.execute(update(table).values(name="TWO"))

    await way.database.write(move)
    found = await given(way, demo, saying("${{ secrets.TWO }}"))
    assert found["secrets"] == {}
    assert "cannot open" in str(found["refused"]).lower()


async def test_bad_names_and_values_are_refused_in_words_without_the_value(way: Road) -> None:
    await way.repository()
    put = people(way).put
    for name in ("", "1A", "A-B", "A B", "é", "GITHUB_TOKEN", "github_x", "A" * 256):
        with pytest.raises(BadInput, match="no name for a secret"):
            await put(ADA, "demo", None, name, "long enough")
    lines = "".join(f"{number:05}\n" for number in range(10_000))
    for value, words in (
        ("abc", "less than 4"),
        ("   \n", "less than 4"),
        ("x" * (MAX_VALUE_BYTES + 1), "at most"),
        ("nul\0nul", "NUL"),
        ("\ud800abc", "must be text"),
        (lines, "too many"),
    ):
        with pytest.raises(BadInput, match=words) as refused:
            await put(ADA, "demo", None, "NAME", value)
        assert value[:30] not in refused.value.message
    for environment in ("", " ", "a" * 256, "a\nb"):
        with pytest.raises(BadInput, match="environment"):
            await put(ADA, "demo", environment, "NAME", "long enough")
    with pytest.raises(BadInput, match="name the repository"):
        await put(ADA, None, "prod", "NAME", "long enough")
    with pytest.raises(NotFound):
        await people(way).remove(ADA, "demo", None, "NAME")
    await put(ADA, "demo", None, "NAME", "x" * MAX_VALUE_BYTES)
    assert [each.name for each in await people(way).listed("demo")] == ["NAME"]


async def test_nothing_of_a_secret_lies_in_the_database(way: Road, database_kind: str, tmp_path: Path) -> None:
    demo = await way.repository()
    await people(way).put(ADA, "demo", None, "ONE", "clear-to-be-seen")
    await given(way, demo, saying("${{ secrets.ONE }}"))
    if database_kind == "sqlite":
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert files
        assert not any(b"clear-to-be-seen" in path.read_bytes() for path in files)
    rows = await way.database.read(store.at_places, [each.place for each in await people(way).listed("demo")])
    assert all(b"clear" not in each.value for found in rows.values() for each in found)
