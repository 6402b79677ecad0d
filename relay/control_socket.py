"""How a relay is controlled; see ``p2p.aio.control_socket``."""

from __future__ import annotations

from typing import Final

from p2p.aio.control_socket import Controlled
from p2p.errors import ErrorCode, RelayError

CODE_CONTROL: Final = ErrorCode("P2P-5306", "Choose another path for the relay's control socket.")
CODE_NO_RELAY: Final = ErrorCode("P2P-5307", "Start the relay, or name the control socket of its configuration.")

RELAY: Final = Controlled("relay", RelayError, taken=CODE_CONTROL, silent=CODE_NO_RELAY)
