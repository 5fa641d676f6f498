"""How fast something goes, and how long it will take."""

from __future__ import annotations

from collections import deque

_WINDOW = 30.0  # seconds whose pace is that of what is left
_LEAST = 0.5  # seconds that a rate is measured over


class Pace:
    """How far something is, as it is told; as a string, for instance ``12/48, 3.0/s, 12 s left``.

    Args:
        total: Where it ends, if anybody knows.
    """

    def __init__(self, total: int | None = None) -> None:
        self.total = total
        self._seen: deque[tuple[float, int]] = deque()

    def reach(self, done: int, now: float, total: int | None = None) -> None:
        """Take in how far it is at a time in seconds, and where it ends, if that is news.

        One that falls back has begun something new, at a pace of its own.
        """
        if total is not None:
            self.total = total
        if self._seen and done < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] > _WINDOW:
            self._seen.popleft()

    @property
    def rate(self) -> float | None:
        """Per second, of the last half minute or some more; None until half a second says it."""
        if not self._seen:
            return None
        (began, first), (now, done) = self._seen[0], self._seen[-1]
        return (done - first) / (now - began) if now - began >= _LEAST and done > first else None

    @property
    def left(self) -> float | None:
        """Seconds that it will take, at this rate."""
        if self.total is None or self.rate is None:
            return None
        return max(0, self.total - self._seen[-1][1]) / self.rate

    def __str__(self) -> str:
        done = self._seen[-1][1] if self._seen else 0
        parts = [] if self.total is None else [f"{done:,}/{self.total:,}"]
        if self.total is None and done:
            parts = [f"{done:,}"]
        if self.rate is not None:
            parts.append(f"{self.rate:,.0f}/s" if self.rate >= 10 else f"{self.rate:.1f}/s")
        if self.left is not None and self.left >= 1:
            parts.append(f"{_span(self.left)} left")
        return ", ".join(parts)


def _span(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
