"""The stable names of what can go wrong with keys, tickets, sealed bodies and known peers."""

from __future__ import annotations

from typing import Final

from p2p.errors import ErrorCode

CODE_KEY_MODE: Final = ErrorCode("P2P-2101", "Run `chmod 600` on the key file, and check who may have read it.")
CODE_KEY_OWNER: Final = ErrorCode("P2P-2102", "Run as the owner of the key file, or point --identity at your own.")
CODE_KEY_UNREADABLE: Final = ErrorCode("P2P-2103", "Restore the key file from a backup, or move it away for a new one.")
CODE_KEY_NOT_WRITABLE: Final = ErrorCode("P2P-2105", "Make the folder of the key file writable, or name another file.")
CODE_PEER_ID: Final = ErrorCode("P2P-2110", "Copy the peer id again: it is 52 letters and digits without 0, 1, 8, 9.")

CODE_TICKET_MALFORMED: Final = ErrorCode("P2P-2201", "Copy the whole ticket again; it starts with `p2p1`.")
CODE_TICKET_CHECKSUM: Final = ErrorCode("P2P-2202", "A character of the ticket is wrong or missing: copy it again.")
CODE_TICKET_VERSION: Final = ErrorCode("P2P-2203", "Update this program: the ticket was made by a newer one.")
CODE_TICKET_EXPIRED: Final = ErrorCode("P2P-2204", "Ask the exposing side for a new ticket, and check your clock.")

CODE_SEAL_UNREADABLE: Final = ErrorCode("P2P-2301", "Nothing to do: a message that was not meant for us was dropped.")
CODE_SEAL_FORGED: Final = ErrorCode("P2P-2302", "Distrust the rendezvous server: it forwarded a forged message.")
CODE_SEAL_STALE: Final = ErrorCode("P2P-2303", "Set the clocks of both machines; they differ by more than minutes.")
CODE_SEAL_REPLAYED: Final = ErrorCode("P2P-2304", "Distrust the rendezvous server: it delivered a message twice.")

CODE_KNOWN_PEERS: Final = ErrorCode("P2P-2401", "Correct the line of the known-peers file that is named.")
CODE_UNKNOWN_ALIAS: Final = ErrorCode("P2P-2402", "Use a peer id, or add the alias to the known-peers file.")
