"""Questions that come together are answered together, each with its own answer or error."""

import asyncio
from collections.abc import Sequence

import pytest

from mainstay.engine.gather import Gathered


def test_questions_that_come_during_an_answer_share_the_next_one() -> None:
    """The first is asked at once; the others wait for it and go together."""
    rounds: list[list[int]] = []
    go_on = asyncio.Event()

    async def answer(questions: Sequence[int]) -> list[int | Exception]:
        rounds.append(list(questions))
        await go_on.wait()
        return [ValueError("odd") if question % 2 else question * 10 for question in questions]

    async def ask() -> list[int | BaseException]:
        gathered = Gathered(answer)
        first = asyncio.create_task(gathered.ask(0))
        while not rounds:  # noqa: ASYNC110
            await asyncio.sleep(0)
        others = [asyncio.create_task(gathered.ask(number)) for number in (1, 2, 3)]
        given_up = asyncio.create_task(gathered.ask(4))
        await asyncio.sleep(0)
        given_up.cancel()
        go_on.set()
        answers = await asyncio.gather(first, *others, return_exceptions=True)
        return [*answers, await gathered.ask(6)]

    answers = asyncio.run(ask())
    assert rounds == [[0], [1, 2, 3, 4], [6]]
    assert answers[0] == 0
    assert isinstance(answers[1], ValueError)
    assert answers[2] == 20
    assert answers[4] == 60


def test_an_answer_that_fails_fails_for_all_and_the_next_is_asked_anew() -> None:
    """A database that was away for one question is not remembered as away."""
    failing = True

    async def answer(questions: Sequence[str]) -> list[str | Exception]:
        if failing:
            raise ConnectionError("away")
        return list(questions)

    async def ask() -> str:
        nonlocal failing
        gathered = Gathered(answer)
        with pytest.raises(ConnectionError):
            await gathered.ask("a")
        failing = False
        return await gathered.ask("b")

    assert asyncio.run(ask()) == "b"
