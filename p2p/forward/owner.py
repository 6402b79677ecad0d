"""What a flow needs around it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from p2p.forward.credit import CreditPool
from p2p.forward.feed import Feeder
from p2p.forward.transport import StreamTransport

if TYPE_CHECKING:
    from p2p.forward.flow import Flow
    from p2p.forward.table import AnyFlow


class FlowOwner(Protocol):
    """What a flow needs of the multiplexer it belongs to."""

    loop: asyncio.AbstractEventLoop
    transport: StreamTransport
    feeder: Feeder
    pool: CreditPool
    read_buffer: memoryview
    """Shared by all flows."""

    def header_received(self, flow: Flow) -> None:
        """A flow of the other side has told what it wants; call its ``connected`` or ``abort`` some time."""
        ...

    def deliver_soon(self, flow: AnyFlow) -> None:
        """Call the flow's ``deliver`` once everything that arrived together has been handed out."""
        ...

    def grant(self, stream_id: int, max_offset: int) -> None:
        """Tell the other side how far it may send."""
        ...

    def announce_end(self, stream_id: int, final_offset: int) -> None:
        """Tell the other side how many bytes a stream has in all."""
        ...

    def credit_exceeded(self, flow: AnyFlow) -> None:
        """The other side sent more than it may: the connection must end."""
        ...

    def ended(self, flow: AnyFlow, *, reset: bool) -> None:
        """The flow is over and its socket closed."""
        ...
