"""API keys: where they come from, and how they are compared."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from pathlib import Path

VARIABLE = "QAMA_API_KEY"
SHORTEST = 16  # characters


class Keys:
    """Keys of which a request must hold one; no keys let every request pass.

    Args:
        keys: The keys.

    Raises:
        ValueError: one is short, or not of visible ASCII characters. The message does not hold it.
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        listed = list(keys)
        for number, key in enumerate(listed, 1):
            if len(key) < SHORTEST or not all("!" <= character <= "~" for character in key):
                raise ValueError(
                    f"API key number {number} has {len(key)} characters; give {SHORTEST} or more "
                    f"visible ASCII characters, such as `openssl rand -hex 32` prints"
                )
        self._digests = [_digest(key.encode()) for key in listed]

    @classmethod
    def read(cls, file: Path | None, environment: Mapping[str, str]) -> Keys:
        """Return the keys of a file, one a line, and the one of the environment.

        Raises:
            ValueError: see `Keys`; or a file without keys.
            OSError: the file cannot be read.
        """
        found = [environment[VARIABLE]] if environment.get(VARIABLE) else []
        if file is not None:
            listed = [line.strip() for line in file.read_text().splitlines()]
            if not any(listed):
                raise ValueError(f"{file} holds no keys; give one a line")
            found += [line for line in listed if line]
        return cls(found)

    def __bool__(self) -> bool:
        return bool(self._digests)

    def accept(self, authorization: bytes) -> bool:
        """Whether a header ``Authorization: Bearer KEY`` holds one of the keys.

        The time that it takes does not depend on how much of a key is right.
        """
        scheme, _, key = authorization.partition(b" ")
        given = _digest(key.strip())
        right = [hmac.compare_digest(given, digest) for digest in self._digests]
        return any(right) and scheme.lower() == b"bearer"


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host, a name or an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check(host: str, keys: Keys) -> None:
    """Refuse to listen to other machines without a key.

    Raises:
        ValueError: the host is not loopback, and there are no keys.
    """
    if not keys and not is_loopback(host):
        raise ValueError(
            f"--host is {host}, which other machines reach: set {VARIABLE}, or give --key-file"
        )
