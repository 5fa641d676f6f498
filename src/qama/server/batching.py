"""Questions of several clients, gathered into one call.

A question that finds nobody at work on its kind begins at once. Those that come meanwhile gather.
They begin together when that work is done, when they are enough, or when the first of them has
waited for long enough, whichever comes first.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Kind = TypeVar("Kind", bound=Hashable)
Question = TypeVar("Question")
Answer = TypeVar("Answer")


@dataclass(eq=False)
class _Asked(Generic[Question, Answer]):
    """Questions of one client, and where their answers go."""

    questions: Sequence[Question]
    answers: asyncio.Future[Sequence[Answer]]


@dataclass(eq=False)
class _Batch(Generic[Question, Answer]):
    """What gathers, and the timer that ends it."""

    timer: asyncio.TimerHandle
    asked: list[_Asked[Question, Answer]] = field(default_factory=list)
    size: int = 0


class Batcher(Generic[Kind, Question, Answer]):
    """Gathers questions of a kind, and answers them by one call in a thread.

    It belongs to the event loop of whoever calls `ask`.

    Args:
        work: Takes a kind and its questions and returns an answer to each, in their order; an
            answer may depend on its question alone.
        pool: Where it runs.
        wait: Seconds that a question waits for others at most.
        most: Questions of a call, unless one client asks more.
        seen: Is told how many questions each call has.
    """

    def __init__(
        self,
        work: Callable[[Kind, Sequence[Question]], Sequence[Answer]],
        pool: Executor,
        *,
        wait: float,
        most: int,
        seen: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._work, self._pool, self._seen = work, pool, seen
        self._wait, self._most = wait, most
        self._gathering: dict[Kind, _Batch[Question, Answer]] = {}
        self._at_work: Counter[Kind] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, kind: Kind, questions: Sequence[Question]) -> Sequence[Answer]:
        """Return the answers to questions, in their order.

        Raises:
            Exception: what the work raises of these questions alone.
        """
        loop = asyncio.get_running_loop()
        if kind in self._gathering and self._gathering[kind].size + len(questions) > self._most:
            self._begin(kind)
        if kind not in self._gathering:
            wait = self._wait if self._at_work[kind] else 0
            self._gathering[kind] = _Batch(loop.call_later(wait, self._begin, kind))
        batch = self._gathering[kind]
        asked: _Asked[Question, Answer] = _Asked(questions, loop.create_future())
        batch.asked.append(asked)
        batch.size += len(questions)
        return await asked.answers

    def _begin(self, kind: Kind) -> None:
        """Let what has gathered begin, if anything has."""
        batch = self._gathering.pop(kind, None)
        if batch is not None:
            batch.timer.cancel()
            self._at_work[kind] += 1
            task = asyncio.get_running_loop().create_task(self._run(kind, batch.asked))
            self._tasks.add(task)  # the loop alone would not keep it
            task.add_done_callback(self._tasks.discard)

    async def _run(self, kind: Kind, asked: list[_Asked[Question, Answer]]) -> None:
        try:
            await self._answer(kind, [each for each in asked if not each.answers.done()])
        finally:
            self._at_work -= Counter([kind])  # kinds that are at 0 are dropped
            self._begin(kind)

    async def _answer(self, kind: Kind, asked: list[_Asked[Question, Answer]]) -> None:
        """Answer all by one call; where that fails, each client by its own."""
        if not asked:
            return
        questions = [question for each in asked for question in each.questions]
        loop = asyncio.get_running_loop()
        self._seen(len(questions))
        try:
            answers = await loop.run_in_executor(self._pool, self._work, kind, questions)
        except Exception as error:
            if len(asked) > 1:
                for each in asked:
                    await self._answer(kind, [each])
            elif not asked[0].answers.done():
                asked[0].answers.set_exception(error)
            return
        at = 0
        for each in asked:
            if not each.answers.done():  # whoever asked may have gone
                each.answers.set_result(answers[at : at + len(each.questions)])
            at += len(each.questions)
