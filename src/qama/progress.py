"""A fit in a progress bar of the user's own: tqdm's, or of anything that is called like it."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from qama.recipe import Report

TITLES = {"bytes": "byte codes", "grid": "grid codes"}


class Bar:
    """A callback of `qama.fit` that moves a bar, or one after the other where it fits two codes.

        with qama.Bar(tqdm) as bar:
            codec = qama.fit(X, callbacks=[bar])

    Args:
        make: Called with ``total`` and ``desc`` for each bar, as ``tqdm.tqdm``,
            ``tqdm.auto.tqdm`` (in notebooks) and ``tqdm.rich.tqdm`` are. What it returns needs
            ``n``, ``update``, ``set_postfix`` and ``close``.
        **options: Of ``make``, for instance ``leave=False``.
    """

    def __init__(self, make: Callable[..., Any], **options: Any) -> None:
        self._make, self._options = make, options
        self._codes: str | None = None
        self._bar: Any = None

    def __call__(self, report: Report) -> None:
        """Take in how far the fit is."""
        if report.codes != self._codes:
            self.close()
            self._codes = report.codes
            title = TITLES[report.codes]
            self._bar = self._make(total=report.steps, desc=title, **self._options)
        told = dict(report.losses)
        if report.agreement is not None:
            told["agreement"] = report.agreement
        self._bar.set_postfix(told, refresh=False)
        self._bar.update(report.step - self._bar.n)

    def close(self) -> None:
        """Close the bar; a fit that ended early leaves it where it came to."""
        if self._bar is not None:
            self._bar.close()
        self._bar = self._codes = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
