"""Indexes are not copied in memory: two that share arrays would write into each other's rows."""

from __future__ import annotations

from typing import NoReturn, SupportsIndex


class NotCopied:
    """Refuses `copy.copy`, `copy.deepcopy` and `pickle` by name."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse, since all three ask for this.

        Raises:
            TypeError: always.
        """
        name = type(self).__name__
        article = "an" if name[0] in "AEIOU" else "a"
        raise TypeError(
            f"{article} {name} can be neither copied nor pickled; save it to a file, and "
            f"open the file for the copy"
        )
