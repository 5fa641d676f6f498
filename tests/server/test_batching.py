"""The batcher: who shares a call, how long anybody waits, and whose error is whose."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("fastapi", reason="FastAPI is not installed: make test-server")

from qama.server.batching import Batcher


class Work:
    """Doubles numbers, notes every call, and waits while it is told to."""

    def __init__(self):
        self.calls, self.free = [], threading.Event()
        self.free.set()

    def __call__(self, kind, questions):
        self.calls.append((kind, [*questions]))
        assert self.free.wait(60)
        if "bad" in questions:
            raise ValueError(f"bad, of {len(questions)}")
        return [2 * question for question in questions]


@pytest.fixture
def work():
    return Work()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as made:
        yield made


async def until(condition):
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not happen")


def test_a_question_alone_waits_for_nobody(work, pool):
    async def main():
        batcher = Batcher(work, pool, wait=3600, most=10, calls=8)
        assert await batcher.ask("a", [1, 2]) == [2, 4]
        assert await batcher.ask("a", [3]) == [6]

    asyncio.run(main())
    assert work.calls == [("a", [1, 2]), ("a", [3])]


def test_those_that_come_meanwhile_share_the_next_call(work, pool):
    async def main():
        batcher = Batcher(work, pool, wait=3600, most=10, calls=8)
        work.free.clear()
        first = asyncio.create_task(batcher.ask("a", [1]))
        await until(lambda: work.calls)
        others = [asyncio.create_task(batcher.ask("a", [n])) for n in range(2, 6)]
        other_kind = asyncio.create_task(batcher.ask("b", [9]))
        await until(lambda: len(work.calls) == 2)
        work.free.set()
        assert await asyncio.gather(first, *others, other_kind) == [[2], [4], [6], [8], [10], [18]]

    asyncio.run(main())
    assert work.calls == [("a", [1]), ("b", [9]), ("a", [2, 3, 4, 5])]


def test_nobody_waits_longer_than_was_said(work, pool):
    async def main():
        batcher = Batcher(work, pool, wait=0.002, most=10, calls=8)
        work.free.clear()
        first = asyncio.create_task(batcher.ask("a", [1]))
        await until(lambda: work.calls)
        second = asyncio.create_task(batcher.ask("a", [2]))
        await until(lambda: len(work.calls) == 2)  # though the first is still at work
        work.free.set()
        await asyncio.gather(first, second)

    asyncio.run(main())
    assert work.calls == [("a", [1]), ("a", [2])]


def test_what_is_due_waits_for_a_free_call_and_still_gathers(work, pool):
    async def main():
        batcher = Batcher(work, pool, wait=0, most=3, calls=1)
        work.free.clear()
        first = asyncio.create_task(batcher.ask("a", [1]))
        await until(lambda: work.calls)
        others = []
        for kind, questions in (("b", [2]), ("a", [3]), ("b", [4, 5]), ("b", [6]), ("a", [7])):
            others.append(asyncio.create_task(batcher.ask(kind, questions)))
            await asyncio.sleep(0.005)  # more than it may wait for others
        assert len(work.calls) == 1
        work.free.set()
        assert await asyncio.gather(first, *others) == [[2], [4], [6], [8, 10], [12], [14]]

    asyncio.run(main())
    assert work.calls == [("a", [1]), ("b", [2, 4, 5]), ("a", [3, 7]), ("b", [6])]


def test_enough_of_them_do_not_wait(work, pool):
    async def main():
        batcher = Batcher(work, pool, wait=3600, most=3, calls=8)
        work.free.clear()
        first = asyncio.create_task(batcher.ask("a", [1]))
        await until(lambda: work.calls)
        others = [asyncio.create_task(batcher.ask("a", [n, n])) for n in range(2, 5)]
        await until(lambda: len(work.calls) == 3)
        large = asyncio.create_task(batcher.ask("a", [7] * 5))  # more than a call has otherwise
        await until(lambda: len(work.calls) == 4)
        work.free.set()
        await asyncio.gather(first, *others, large)

    asyncio.run(main())
    sizes = [len(questions) for _, questions in work.calls]
    assert sizes == [1, 2, 2, 2, 5]


def test_an_error_is_told_to_the_one_who_asked_for_it(work, pool):
    async def main():
        batcher = Batcher(work, pool, wait=3600, most=10, calls=8)
        work.free.clear()
        first = asyncio.create_task(batcher.ask("a", [1]))
        await until(lambda: work.calls)
        asked = [asyncio.create_task(batcher.ask("a", q)) for q in ([2], ["bad", 3], [4, 5])]
        work.free.set()
        answers = await asyncio.gather(first, *asked, return_exceptions=True)
        assert answers[:2] == [[2], [4]]
        assert answers[3] == [8, 10]
        assert str(answers[2]) == "bad, of 2"
        assert await batcher.ask("a", [6]) == [12]  # and all goes on

    asyncio.run(main())


def test_who_gave_up_is_not_answered_and_harms_nobody(work, pool):
    async def main():
        batcher = Batcher(work, pool, wait=3600, most=10, calls=8)
        work.free.clear()
        first = asyncio.create_task(batcher.ask("a", [1]))
        await until(lambda: work.calls)
        gone, stays = (asyncio.create_task(batcher.ask("a", [n])) for n in (2, 3))
        await asyncio.sleep(0)
        gone.cancel()
        first.cancel()
        await asyncio.sleep(0)
        work.free.set()
        assert await stays == [6]
        with pytest.raises(asyncio.CancelledError):
            await gone

    asyncio.run(main())
    assert work.calls == [("a", [1]), ("a", [3])]


def test_many_clients_are_each_answered_their_own(pool):
    sizes = []

    def work(kind, questions):
        time.sleep(0.001)
        return [(kind, question) for question in questions]

    async def client(batcher, number):
        for step in range(20):
            kind, asked = step % 2, [(number, step, i) for i in range(number % 3 + 1)]
            assert await batcher.ask(kind, asked) == [(kind, question) for question in asked]

    async def main():
        batcher = Batcher(work, pool, wait=0.002, most=16, calls=8, seen=sizes.append)
        await asyncio.gather(*(client(batcher, number) for number in range(50)))
        assert not batcher._gathering
        assert not batcher._due
        assert not batcher._at_work

    asyncio.run(main())
    assert sum(sizes) == 20 * sum(number % 3 + 1 for number in range(50))
    assert len(sizes) < 1000
    assert max(sizes) <= 16
