"""A server from its start to its graceful stop."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Sequence
from types import FrameType

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from qama.server import keys as api_keys
from qama.server import logs
from qama.server.app import application
from qama.server.keys import Keys
from qama.server.limits import Limits
from qama.server.served import Served
from qama.server.service import Service

HEAD_SECONDS = 10  # from a connection, or the first byte of a later request, to the end of a head
_MORE = 5  # seconds that a stop grants requests beyond their own limit


class Punctual(H11Protocol):
    """HTTP whose heads arrive in time: who never finishes one does not hold a connection."""

    _until: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Go on waiting where the head is not complete."""
        super().data_received(data)
        self._watch()

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._until = None
            return
        if self._until is None:
            self._until = self.loop.time() + HEAD_SECONDS
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_at(
            self._until, self.timeout_keep_alive_handler
        )


class _Server(uvicorn.Server):
    """Tells the service that a stop was asked for, before it takes place."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = (sockets or self.servers[0].sockets)[0].getsockname()[:2]
            logs.note("listening", host=host, port=port, collections=[*self._service.served])

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.stopping = True
        super().handle_exit(sig, frame)
        if not self.force_exit:
            logs.note("stopping", signal=signal.Signals(sig).name)


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens, whose connections send what they have at once.

    asyncio would see to that, but not of sockets that it did not make: a body would wait for the
    receipt of its head, 40 ms where the client delays receipts.

    Raises:
        OSError: the address cannot be listened at.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.create_server((host, port), family=family, backlog=1024)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections inherit it
    return made


def serve(
    served: Sequence[Served],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    keys: Keys | None = None,
    limits: Limits | None = None,
    origins: Sequence[str] = (),
) -> None:
    """Serve collections until a signal asks for a stop; then finish what began, and close them.

    Args:
        served: The collections.
        host: Where to listen: an address, or "localhost".
        port: 0: any that is free, see the line "listening" of the log.
        keys: API keys; without any, the host must be loopback.
        limits: What requests may ask for.
        origins: See `application`.

    Raises:
        ValueError: the host is not loopback, and there are no keys.
        OSError: the address cannot be listened at.
    """
    keys, limits = keys or Keys(), limits or Limits()
    api_keys.check(host, keys)
    with listening(host, port) as heard:
        logs.set_up()
        service = Service(served, limits)
        config = uvicorn.Config(
            application(service, keys, origins), http=Punctual, ws="none", lifespan="on",
            log_config=None, access_log=False, server_header=False,
            timeout_graceful_shutdown=limits.seconds + _MORE,
        )  # fmt: skip
        _Server(config, service).run([heard])
