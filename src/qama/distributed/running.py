"""One function over many files: here, in processes, or on a Ray cluster; results as they come."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from qama import checks
from qama.distributed.places import needed
from qama.errors import EngineError

T = TypeVar("T")
R = TypeVar("R")
WAYS = ("local", "ray")


def each(
    function: Callable[[T], R], items: Sequence[T], on: str, workers: int | None
) -> Iterator[R]:
    """Yield the result of each item, in any order.

    Args:
        function: What can be pickled, gives the same at every call, and does no harm if it is
            called twice: that is how a worker that died is made up for.
        items: What it is called with.
        on: "local" or "ray".
        workers: How many calls run at a time; None: locally one, on Ray what there are CPUs for.

    Raises:
        ValueError: on or workers are none of these.
        MissingExtraError: Ray is asked for and not installed.
        EngineError: workers died, or the cluster failed.
        Exception: what the function raised first; nothing more is begun.
    """
    checks.one_of(on, "on", WAYS)
    count = None if workers is None else checks.integer(workers, "workers", 1)
    if on == "ray":
        needed("ray.data", "ray")
        return _on_ray(function, items, count)
    return map(function, items) if count in (None, 1) else _in_processes(function, items, count)


def _in_processes(function: Callable[[T], R], items: Sequence[T], count: int) -> Iterator[R]:
    """Run in processes of this machine, which import this module anew."""
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(count, spawn) as pool:
        begun = [pool.submit(function, item) for item in items]
        try:
            for future in concurrent.futures.as_completed(begun):
                yield future.result()
        except concurrent.futures.process.BrokenProcessPool as error:
            raise EngineError(
                "a worker died; if it was for want of memory, give fewer workers. Run the same "
                "again: what is finished stays"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _on_ray(function: Callable[[T], R], items: Sequence[T], count: int | None) -> Iterator[R]:
    """Run as tasks of Ray Data over the items, one of them in each.

    They are tasks and not actors: where a node dies, Ray gives its tasks to any other node, while
    an actor waits until there is room for it again, and its items with it.
    """
    ray, data = needed("ray", "ray"), needed("ray.data", "ray")

    def call(row: dict[str, Any]) -> dict[str, bytes]:
        try:
            made: Any = function(pickle.loads(row["item"]))
        except Exception as error:  # as it is; Ray would wrap it in others
            made = error
        return {"made": pickle.dumps(made)}

    rows = [{"item": pickle.dumps(item)} for item in items]
    given = data.from_items(rows, override_num_blocks=len(rows))
    given.context.enable_progress_bars = False
    mapped = given.map(call, compute=data.TaskPoolStrategy(count), num_cpus=1)
    try:
        for row in mapped.iter_rows():
            made = pickle.loads(row["made"])
            if isinstance(made, Exception):
                raise made
            yield made
    except ray.exceptions.RayError as error:
        first = str(error).strip().splitlines()[-1]
        raise EngineError(
            f"Ray failed ({first}); run the same again: what is finished stays"
        ) from error
