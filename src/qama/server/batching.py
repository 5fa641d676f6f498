"""Questions of several clients, gathered into one call.

A question that finds nobody at work on its kind is due at once. Those that come meanwhile gather.
They are due together when that work is done, when they are enough, or when the first of them has
waited for long enough, whichever comes first. What is due begins in that order, as soon as one of
the few calls that may be at work at once is free; until then others of its kind still join it.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
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
class _Batch(Generic[Kind, Question, Answer]):
    """What gathers, the timer that makes it due, and whether it is."""

    kind: Kind
    timer: asyncio.TimerHandle
    asked: list[_Asked[Question, Answer]] = field(default_factory=list)
    size: int = 0
    due: bool = False


class Batcher(Generic[Kind, Question, Answer]):
    """Gathers questions of a kind, and answers them by one call in a thread.

    It belongs to the event loop of whoever calls `ask`.

    Args:
        work: Takes a kind and its questions and returns an answer to each, in their order; an
            answer may depend on its question alone.
        pool: Where it runs.
        wait: Seconds that a question waits for others at most.
        most: Questions of a call, unless one client asks more.
        calls: How many calls may be at work at once.
        seen: Is told how many questions each call has.
    """

    def __init__(
        self,
        work: Callable[[Kind, Sequence[Question]], Sequence[Answer]],
        pool: Executor,
        *,
        wait: float,
        most: int,
        calls: int,
        seen: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._work, self._pool, self._seen = work, pool, seen
        self._wait, self._most, self._calls = wait, most, calls
        self._gathering: dict[Kind, _Batch[Kind, Question, Answer]] = {}
        self._due: deque[_Batch[Kind, Question, Answer]] = deque()
        self._at_work: Counter[Kind] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, kind: Kind, questions: Sequence[Question]) -> Sequence[Answer]:
        """Return the answers to questions, in their order.

        Raises:
            Exception: what the work raises of these questions alone.
        """
        batch = self._batch(kind, len(questions))
        asked: _Asked[Question, Answer] = _Asked(
            questions, asyncio.get_running_loop().create_future()
        )
        batch.asked.append(asked)
        batch.size += len(questions)
        return await asked.answers

    def _batch(self, kind: Kind, size: int) -> _Batch[Kind, Question, Answer]:
        """Return the batch that so many more questions of a kind join."""
        if kind in self._gathering and self._gathering[kind].size + size > self._most:
            self._make_due(self._gathering.pop(kind))
        if kind not in self._gathering:
            wait = self._wait if self._at_work[kind] else 0
            batch = _Batch[Kind, Question, Answer](kind, self._later(wait, kind))
            self._gathering[kind] = batch
        return self._gathering[kind]

    def _later(self, seconds: float, kind: Kind) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, self._waited, kind)

    def _waited(self, kind: Kind) -> None:
        """What has gathered of a kind waits for nobody any more."""
        if kind in self._gathering:
            self._make_due(self._gathering[kind])

    def _make_due(self, batch: _Batch[Kind, Question, Answer]) -> None:
        batch.timer.cancel()
        if not batch.due:
            batch.due = True
            self._due.append(batch)
        self._begin()

    def _begin(self) -> None:
        """Begin what is due, while calls are free."""
        while self._due and self._at_work.total() < self._calls:
            batch = self._due.popleft()
            if self._gathering.get(batch.kind) is batch:
                del self._gathering[batch.kind]
            self._at_work[batch.kind] += 1
            task = asyncio.get_running_loop().create_task(self._run(batch))
            self._tasks.add(task)  # the loop alone would not keep it
            task.add_done_callback(self._tasks.discard)

    async def _run(self, batch: _Batch[Kind, Question, Answer]) -> None:
        try:
            waiting = [each for each in batch.asked if not each.answers.done()]
            await self._answer(batch.kind, waiting)
        finally:
            self._at_work -= Counter([batch.kind])  # kinds that are at 0 are dropped
            self._waited(batch.kind)
            self._begin()

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
