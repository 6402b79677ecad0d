"""The lab's modules are not part of a distribution: they lie beside the command that uses them."""

from __future__ import annotations

import sys
from pathlib import Path

NETNS_SCRIPTS = str(Path(__file__).resolve().parents[3] / "netns-scripts")
if NETNS_SCRIPTS not in sys.path:
    sys.path.insert(0, NETNS_SCRIPTS)
