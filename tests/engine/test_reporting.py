"""From a build's end to the outbox, on real repositories: once per change, whoever judges and whoever is killed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mainstay.engine import people as commands
from mainstay.engine import results, subscriptions
from mainstay.engine.begin import begin
from mainstay.engine.channels import NewChannel
from mainstay.engine.clock import SystemClock
from mainstay.engine.server import Config, Engine
from mainstay.model.build import NewBuild
from mainstay.model.person import Actor, Role
from mainstay.model.report import ChannelKind, ReportKind
from mainstay.notify.mail import mail_server
from mainstay.notify.outlet import Outlet
from mainstay.store import builds, deliveries, jobs, people, plans, reports, tests
from mainstay.store.database import Tx
from mainstay.store.tests import NewResult
from mainstay.wire.runner import Finish, Hello, Poll
from tests.engine.test_intake import Project, stored

pytestmark = pytest.mark.anyio

ADA = Actor("ada")
TEAM = NewChannel("team", ChannelKind.MAIL, "team@example.org")
OUTLET = Outlet(mail=mail_server("smtp://127.0.0.1:1"), author_domains=("example.org",))


class Clock(SystemClock):
    """A clock that can be put forward."""

    ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Shop:
    """A server that watches one repository; its jobs are taken and ended by the test. Only the test judges."""

    def __init__(self, engine: Engine, project: Project, clock: Clock) -> None:
        self.engine, self.project, self.clock = engine, project, clock
        self.runner = 0
        self.held: dict[str, int] = {}
        """Commit -> attempt that was given out and has not ended."""

    async def begin(self) -> None:
        await self.engine.loops.end("reports")
        for name in ("mail", "chats", "webhooks"):
            await self.engine.loops.end(name)
        await self.engine.add_repository(ADA, "shop", str(self.project.bare))
        await self.engine.access.new_token("runner", "r", ADA)
        self.runner = (await self.engine.hello(1, Hello("r1", "one", "0", ("linux",), 50, "process", ()))).runner

    async def push(self, *commits: str, force: bool = False) -> None:
        """Push, and wait until all these commits have their builds."""
        self.project.push(force=force)
        await self.engine.look("shop")
        await stored(self.engine, lambda found: {sha for sha, _, _ in found} >= set(commits))

    async def end(self, *ends: str, tests_of: Sequence[NewResult] = ()) -> None:
        """Take as many jobs as there are ends; commit -> how it ends, in this order."""
        held = self.held
        while not held.keys() >= {end.partition(" ")[0] for end in ends}:
            orders = await self.engine.poll(self.runner, Poll("one", 50, tuple(held.values()), 5.0))
            for given in orders.assign:
                held[given.source.commit] = given.attempt
        now = self.clock.now()
        for end in ends:
            commit, _, state = end.partition(" ")
            if tests_of:
                await self.engine.db.write(_put, held[commit], tests_of)
            finish = Finish(state, now, now, 0)
            await self.engine.db.write(results.finish, self.runner, held.pop(commit), finish, now)

    async def told(self) -> list[str]:
        """What was told so far, oldest first: the report's kind and whom it went to."""
        while await self.engine.reporting.round():
            pass
        found = await self.engine.db.read(deliveries.newest, None, [], None, 200)
        return [f"{each.report.kind} {each.recipient}" for each in reversed(found)]


def _put(tx: Tx, attempt: int, found: Sequence[NewResult]) -> None:
    jobs.set_tests(tx, attempt, tests.put(tx, 1, attempt, found))


@pytest.fixture
async def shop(tmp_path: Path, database_url: str) -> AsyncIterator[Shop]:
    clock = Clock()
    engine = await Engine.open(Config(tmp_path / "data", database=database_url, clock=clock, outlet=OUTLET))
    (tmp_path / "git").mkdir()
    try:
        await engine.start()
        made = Shop(engine, Project(tmp_path / "git"), clock)
        await made.begin()
        yield made
    finally:
        await engine.close()


async def test_a_breakage_and_its_repair_are_told_once_to_channel_and_author(shop: Shop) -> None:
    await shop.engine.channels.add(ADA, "shop", TEAM)
    good = shop.project.commit("good")
    await shop.push(good)
    await shop.end(f"{good} passed")
    assert await shop.told() == []
    bad = shop.project.commit("bad")
    await shop.push(bad)
    await shop.end(f"{bad} failed")
    broken = ["broken team@example.org", "broken ada@example.org"]
    assert await shop.told() == broken
    worse = shop.project.commit("worse")
    await shop.push(worse)
    await shop.end(f"{worse} failed")
    assert await shop.told() == broken
    shop.clock.ahead = timedelta(days=1, minutes=1)
    await shop.engine.db.write(commands.rerun_build, ADA, 3, False, None, shop.clock.now())
    await shop.end(f"{worse} failed")
    assert await shop.told() == [*broken, "still-broken team@example.org"]
    mended = shop.project.commit("mended")
    await shop.push(mended)
    await shop.end(f"{mended} passed")
    after = [*broken, "still-broken team@example.org", "fixed team@example.org", "fixed ada@example.org"]
    assert await shop.told() == after
    [last, *_] = await shop.engine.db.read(reports.newest, 1, None, 1)
    assert last.facts.first_bad == bad
    assert [each.sha for each in last.facts.commits] == [mended]
    await shop.engine.db.write(commands.rerun_build, ADA, 4, False, None, shop.clock.now())
    await shop.end(f"{mended} passed")
    assert await shop.told() == after


async def test_ends_out_of_order_and_a_force_push_tell_what_is_true_of_the_branch(shop: Shop) -> None:
    await shop.engine.channels.add(ADA, "shop", TEAM)
    one = shop.project.commit("one")
    await shop.push(one)
    await shop.end(f"{one} passed")
    four, five = shop.project.commit("four"), shop.project.commit("five")
    await shop.push(four, five)
    await shop.end(f"{five} passed", f"{four} failed")
    assert await shop.told() == []
    bad = shop.project.commit("bad")
    await shop.push(bad)
    await shop.end(f"{bad} failed")
    assert await shop.told() == ["broken team@example.org", "broken ada@example.org"]
    shop.project.git("reset", "-q", "--hard", five)
    await shop.push(five, force=True)
    assert (await shop.told())[2:] == ["fixed team@example.org", "fixed ada@example.org"]
    [last, *_] = await shop.engine.db.read(reports.newest, 1, None, 1)
    assert (last.kind, last.facts.commit.sha if last.facts.commit else None) == (ReportKind.FIXED, five)


async def test_servers_that_judge_at_once_tell_once(shop: Shop, database_url: str, tmp_path: Path) -> None:
    await shop.engine.channels.add(ADA, "shop", TEAM)
    other = await Engine.open(Config(tmp_path / "other", database=database_url, outlet=OUTLET))
    try:
        other.loops.start("intake", other.intake.run)
        for number in range(4):
            commit = shop.project.commit(f"change {number}")
            await shop.push(commit)
            await shop.end(f"{commit} {'failed' if number % 2 == 0 else 'passed'}")
            await asyncio.gather(shop.engine.reporting.round(), other.reporting.round())
        assert await shop.told() == [
            f"{kind} {to}" for kind in ("broken", "fixed") * 2 for to in ("team@example.org", "ada@example.org")
        ]
    finally:
        await other.close()


async def test_whoever_is_killed_while_judging_leaves_it_to_be_judged(shop: Shop) -> None:
    await shop.engine.channels.add(ADA, "shop", TEAM)
    commit = shop.project.commit("bad")
    await shop.push(commit)
    await shop.end(f"{commit} failed")
    due = await shop.engine.db.read(reports.due, shop.clock.now())
    await shop.engine.reporting._judge(1, "refs/heads/main", due)  # and killed before it is stored
    assert await shop.told() == ["broken team@example.org", "broken ada@example.org"]


async def test_a_person_is_told_as_asked_as_long_as_the_repository_is_theirs_to_see(shop: Shop) -> None:
    def settle(tx: Tx) -> tuple[int, int]:
        ids = []
        for name in ("bob", "eve"):
            person = people.add(tx, name, shop.clock.now(), email=f"{name.title()}@Example.com")
            people.give(tx, person.id, 1, Role.READER)
            kinds = (ReportKind.BROKEN,)
            actor = Actor(name, person.id)
            subscriptions.subscribe(tx, actor, "shop", ("main",), kinds, "zh-CN", shop.clock.now())
            ids.append(person.id)
        people.give(tx, ids[1], 1, None)
        return ids[0], ids[1]

    await shop.engine.db.write(settle)
    for state in ("failed", "passed"):
        commit = shop.project.commit(state)
        await shop.push(commit)
        await shop.end(f"{commit} {state}")
        told = await shop.told()
    assert told == ["broken bob@example.com", "broken ada@example.org", "fixed ada@example.org"]
    found = await shop.engine.db.read(deliveries.newest, None, [], None, 10)
    assert [each.language for each in reversed(found)] == ["zh-CN", "en", "en"]


async def test_an_author_who_said_no_is_not_told_unless_they_asked(shop: Shop) -> None:
    def settle(tx: Tx) -> None:
        ada = people.add(tx, "ada", shop.clock.now(), email="Ada@example.org", role=Role.READER.word)
        subscriptions.as_author(tx, Actor("ada", ada.id), False, shop.clock.now())

    await shop.engine.db.write(settle)
    commit = shop.project.commit("bad")
    await shop.push(commit)
    await shop.end(f"{commit} failed")
    assert await shop.told() == []

    def ask(tx: Tx) -> None:
        ada = Actor("ada", people.by_name(tx, "ada").id)
        subscriptions.subscribe(tx, ada, None, (), (ReportKind.FIXED,), "en", shop.clock.now())

    await shop.engine.db.write(ask)
    commit = shop.project.commit("good")
    await shop.push(commit)
    await shop.end(f"{commit} passed")
    assert await shop.told() == ["fixed ada@example.org"]


async def test_a_test_with_both_outcomes_is_told_of_once(shop: Shop) -> None:
    await shop.engine.channels.add(ADA, "shop", TEAM)
    both = [NewResult("t::flaky", "failed", 0.1, 0, None), NewResult("t::flaky", "passed", 0.1, 1, None)]
    for text in ("one", "two"):
        commit = shop.project.commit(text)
        await shop.push(commit)
        await shop.end(f"{commit} passed", tests_of=both)
        assert await shop.told() == ["flaky team@example.org"]
    [report] = await shop.engine.db.read(reports.newest, 1, None, 5)
    assert [each.name for each in report.facts.tests] == ["t::flaky"]


async def test_a_scheduled_build_is_told_of_by_itself_and_each_end_to_programs_that_ask(shop: Shop) -> None:
    await shop.engine.channels.add(ADA, "shop", TEAM)
    board = NewChannel("board", ChannelKind.WEBHOOK, "https://board.example.org/", kinds=(ReportKind.FINISHED,))
    await shop.engine.channels.add(ADA, "shop", board)
    commit = shop.project.commit("good")
    await shop.push(commit)
    await shop.end(f"{commit} passed")
    assert await shop.told() == ["finished board"]

    def nightly(tx: Tx) -> None:
        row = builds.get(tx, 1)
        plan = plans.of_build(tx, 1)
        new = NewBuild(commit, row.tree, row.ref, "schedule", plan, occasion="tonight", cause="scheduled")
        [(build_id, build)] = builds.add(tx, 1, None, [new], shop.clock.now())
        begin(tx, build_id, build.plan, "scheduled", shop.clock.now())

    await shop.engine.db.write(nightly)
    await shop.end(f"{commit} failed")
    assert await shop.told() == ["finished board", "finished board", "digest team@example.org"]
