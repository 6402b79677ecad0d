"""The process that delays packets where the kernel has no netem: one for a lab, in its ``inet`` namespace.

It listens on a Unix socket for what to do, one JSON object a connection, ``{"QUEUE": [delay_s, jitter_s], ...}``, and
answers ``ok`` when packets of all these queues are taken care of. It ends when it is told to by a signal.

Run as a program: ``python -m natlab.delay_line SOCKET``; it prints ``ready`` when it listens.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import select
import socket
import sys
import time
from pathlib import Path
from typing import Final

from .nfqueue import PacketQueue

_PR_SET_TIMERSLACK: Final = 29
_CONTROL_TIMEOUT_S: Final = 5.0
# How late a packet may be when there are many.
_NAP_S: Final = 0.0002


def _be_punctual() -> None:
    """Wake up when asked to, not 50 us later, and before ordinary processes."""
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    gc.disable()


class DelayLine:
    """The queues of one lab, and the socket it is told about them by."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._queues: dict[int, PacketQueue] = {}

    def run(self) -> None:
        """Delay packets until the process ends."""
        last_turn_at = 0.0
        while True:
            queues = self._queues.values()
            first = min((at for queue in queues if (at := queue.next_release_at) is not None), default=None)
            timeout_s = None if first is None else max(0.0, first - time.monotonic())
            sources: list[PacketQueue | socket.socket] = [self._control, *queues]
            for source in select.select(sources, [], [], timeout_s)[0]:
                if isinstance(source, PacketQueue):
                    source.take_notes()
                else:
                    self._obey()
            now = time.monotonic()
            for queue in self._queues.values():
                queue.release(now)
            if now - last_turn_at < _NAP_S:
                # Packets come faster than one in a nap: a wake-up for each would leave no time for those who send.
                time.sleep(_NAP_S)
            last_turn_at = now

    def _obey(self) -> None:
        connection, _ = self._control.accept()
        with connection:
            connection.settimeout(_CONTROL_TIMEOUT_S)
            try:
                for number, (delay_s, jitter_s) in json.loads(connection.recv(65_536)).items():
                    queue = self._queues.get(int(number))
                    if queue is None:
                        queue = self._queues[int(number)] = PacketQueue(int(number))
                    queue.delay_s, queue.jitter_s = delay_s, jitter_s
                connection.sendall(b"ok")
            except OSError as error:
                with contextlib.suppress(OSError):
                    connection.sendall(str(error).encode())


def main(path: str) -> None:
    """Be the delay line of a lab."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        Path(path).unlink(missing_ok=True)
        control.bind(path)
        control.listen()
        _be_punctual()
        print("ready", flush=True)
        DelayLine(control).run()


if __name__ == "__main__":
    main(sys.argv[1])
