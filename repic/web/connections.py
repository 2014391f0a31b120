"""Limits of connections to a server: uvicorn itself waits for ever for the head of a request.

A connection has some seconds to send the head of its next request. Of more connections than a
server holds, the one that has waited longest for its client gives way to the new one, so that idle
and slow clients cannot lock others out.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""Seconds from a connection, or from the last reply, to the end of the head of the next request."""

MOST = 400
"""Connections of one process; below the usual limit of 1,024 open files."""


class BoundedConnection(H11Protocol):
    """uvicorn's HTTP protocol with these limits; pass it as `http` to `uvicorn.Config`."""

    _waiting_since = 0.0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > MOST:
            ours = [c for c in self.connections if isinstance(c, BoundedConnection)]
            waiting = [c for c in ours if c.waits_for_client and c is not self]
            min(waiting, key=lambda c: c._waiting_since, default=self).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        if self._timer and self.cycle and not self.cycle.response_complete:
            self._stop_timer()

    def handle_websocket_upgrade(self, event: Any) -> None:
        self._stop_timer()
        super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """Also for a body that is malformed: the application is told that the client has left."""
        cycle = self.cycle
        if cycle and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.abort()
                return
        super().send_400_response(msg)

    def on_response_complete(self) -> None:
        # Before the base class, which may begin the next request at once.
        self._wait()
        super().on_response_complete()

    @property
    def waits_for_client(self) -> bool:
        """Whether the client has to send something before the server can go on."""
        cycle = self.cycle
        return cycle is None or cycle.response_complete or cycle.more_body

    def _wait(self) -> None:
        self._stop_timer()
        self._waiting_since = self.loop.time()
        self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
