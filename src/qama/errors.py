"""What qama raises. Every message names what was wrong, what it was, and what would do."""

from __future__ import annotations


class FormatError(ValueError):
    """A file is not what it was taken for: foreign, truncated, damaged, or of another version."""


class MissingExtraError(ImportError):
    """A feature needs an optional package; the message holds the command that installs it."""

    def __init__(self, feature: str, package: str, extra: str) -> None:
        super().__init__(f'{feature} needs {package}: pip install "qama[{extra}]"')
