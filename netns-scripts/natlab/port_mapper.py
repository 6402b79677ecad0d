"""A router's port mapper: miniupnpd, which speaks PCP, NAT-PMP and UPnP as home routers do."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Final

from .errors import LabError
from .namespaces import entered

_PORT: Final = 5351
_READY_TIMEOUT_S: Final = 3.0
_POLL_S: Final = 0.02
_CONFIG: Final = """\
ext_ifname=wan
listening_ip=lan
enable_natpmp=yes
enable_upnp=yes
secure_mode=yes
system_uptime=no
min_lifetime=120
max_lifetime=86400
notify_interval=900
upnp_table_name=firewall
upnp_nat_table_name=portmap
uuid=11111111-2222-3333-4444-555555555555
serial=1
model_number=1
allow 1024-65535 0.0.0.0/0 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""


def start_port_mapper(namespace: str, path: Path) -> subprocess.Popen[bytes]:
    """Start it in a router's namespace, whose rules must have its table, and wait until it listens.

    Args:
        namespace: The router's.
        path: Where its configuration goes; the file with its process number gets the same name and ``.pid``.

    Raises:
        LabError: It did not start.
    """
    path.write_text(_CONFIG)
    pid_path = Path(f"{path}.pid")
    # One that was killed leaves its number, and the next one will not start as long as somebody has it.
    pid_path.unlink(missing_ok=True)
    with entered(namespace):
        process = subprocess.Popen(
            ["miniupnpd", "-d", "-f", str(path), "-P", str(pid_path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        until = time.monotonic() + _READY_TIMEOUT_S
        while time.monotonic() < until and process.poll() is None:
            if f":{_PORT:04X} " in Path("/proc/thread-self/net/udp").read_text():
                return process
            time.sleep(_POLL_S)
    process.kill()
    process.wait()
    raise LabError("miniupnpd did not start", f"Run it by hand in {namespace}: miniupnpd -d -f {path}.")
