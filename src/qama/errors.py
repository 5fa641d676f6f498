"""What qama raises. Every message names what was wrong, what it was, and what would do."""

from __future__ import annotations


class FormatError(ValueError):
    """A file is not what it was taken for: foreign, truncated, damaged, or of another version."""


class LockedError(OSError):
    """Another writer holds the file; the message names it."""


class RecoveryWarning(UserWarning):
    """An unfinished write was found and cut off; the message says what was kept."""


class DriftWarning(UserWarning):
    """Added vectors are unlike those that the codec was fitted on; the message has the measure."""


class NormWarning(UserWarning):
    """Vectors of a fit have very different lengths, which cosines do not see."""


class FewRowsWarning(UserWarning):
    """A fit saw few rows: its codes leave far more of other rows than of these."""


class EngineError(OSError):
    """A database engine could not be reached, or failed at what the message says."""


class EmbeddingError(OSError):
    """A service that makes vectors of texts could not be reached, or refused; keys are masked."""


class MissingExtraError(ImportError):
    """A feature needs an optional package; the message holds the command that installs it."""

    def __init__(self, feature: str, package: str, extra: str) -> None:
        super().__init__(f'{feature} needs {package}: pip install "qama[{extra}]"')
