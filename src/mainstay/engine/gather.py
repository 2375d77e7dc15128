"""Questions that come while one is being answered are answered together by the next."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Gathered(Generic[Q, A]):
    """Answers one question at once, and many that come together at the price of few."""

    def __init__(self, answer: Callable[[Sequence[Q]], Awaitable[Sequence[A | Exception]]]) -> None:
        """`answer` gives an answer, or the error to raise, for each question in order; what it raises, all raise."""
        self._answer = answer
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._task: asyncio.Task[None] | None = None

    async def ask(self, question: Q) -> A:
        """The answer to one question."""
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        """Until nobody waits. A caller who is cancelled meanwhile is not answered."""
        while self._waiting:
            asked, self._waiting = self._waiting, []
            answers: Sequence[A | Exception]
            try:
                answers = await self._answer([question for question, _ in asked])
            except Exception as error:  # noqa: BLE001 - goes to those who asked
                answers = [error] * len(asked)
            for (_, future), answer in zip(asked, answers, strict=True):
                if future.done():
                    continue
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
        self._task = None
