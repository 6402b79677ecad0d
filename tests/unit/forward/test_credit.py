from __future__ import annotations

from p2p import defaults
from p2p.forward.credit import CreditPool, ReceiveWindow

INITIAL = defaults.TUNNEL_INITIAL_CREDIT_BYTES
WINDOW = defaults.TUNNEL_WINDOW_BYTES


def nothing() -> int:
    """A connection whose reader has stopped, and whose buffer is full."""
    return 0


def test_what_the_kernel_will_take_is_granted_on_top() -> None:
    window = ReceiveWindow(CreditPool())
    room = [500_000]
    assert window.consume(INITIAL, lambda: room[0]) == INITIAL + WINDOW + 500_000
    room[0] = 0  # the reader stops: nothing more, until the window is what is left
    assert window.consume(400_000, lambda: room[0]) is None
    assert window.granted - window.consumed == WINDOW + 100_000
    room[0] = 1 << 30
    assert window.consume(1, lambda: room[0]) == window.consumed + WINDOW + defaults.TUNNEL_ABSORBED_BYTES


def test_the_kernels_room_is_not_taken_from_the_pool() -> None:
    pool = CreditPool()
    window = ReceiveWindow(pool)
    window.consume(INITIAL, lambda: 1 << 21)
    assert pool.free_bytes == pool.total_bytes - (WINDOW - INITIAL)


def test_a_short_flow_costs_no_grant() -> None:
    window = ReceiveWindow(CreditPool())
    assert window.receive(INITIAL // 2 - 1)
    assert window.consume(INITIAL // 2 - 1, nothing) is None


def test_a_stream_that_is_read_gets_the_whole_window_at_once() -> None:
    window = ReceiveWindow(CreditPool())
    assert window.receive(INITIAL // 2)
    assert window.consume(INITIAL // 2, nothing) == INITIAL // 2 + WINDOW


def test_grants_come_in_steps() -> None:
    window = ReceiveWindow(CreditPool())
    window.consume(INITIAL // 2, nothing)
    step = defaults.TUNNEL_CREDIT_STEP_BYTES
    assert window.consume(step - 1, nothing) is None
    assert window.consume(1, nothing) == INITIAL // 2 + step + WINDOW


def test_more_than_was_granted_is_noticed() -> None:
    window = ReceiveWindow(CreditPool())
    assert window.receive(INITIAL)
    assert not window.receive(1)
    assert window.held_bytes == INITIAL + 1


def test_outstanding_credit_never_exceeds_window_and_pool() -> None:
    pool = CreditPool(4 << 20)
    windows = [ReceiveWindow(pool) for _ in range(200)]
    for _ in range(20):
        for window in windows:
            room = window.granted - window.received
            assert window.receive(room)
            if window.consumed < INITIAL:
                window.consume(min(room, INITIAL), nothing)  # the reader stops then
    outstanding = [window.granted - window.consumed for window in windows]
    assert max(outstanding) <= WINDOW
    assert sum(max(0, each - INITIAL) for each in outstanding) <= pool.total_bytes
    assert pool.free_bytes >= 0


def test_readers_that_stopped_do_not_starve_a_new_stream() -> None:
    pool = CreditPool(8 << 20)
    stopped = [ReceiveWindow(pool) for _ in range(100)]
    for window in stopped:
        window.receive(INITIAL)
        window.consume(INITIAL, nothing)
    late = ReceiveWindow(pool)
    late.receive(INITIAL)
    granted = late.consume(INITIAL, nothing)
    assert granted is not None
    assert granted >= INITIAL + INITIAL


def test_a_closed_stream_gives_back_what_it_took() -> None:
    pool = CreditPool()
    window = ReceiveWindow(pool)
    window.receive(INITIAL)
    window.consume(INITIAL, nothing)
    assert pool.free_bytes == pool.total_bytes - (WINDOW - INITIAL)
    window.close()
    assert pool.free_bytes == pool.total_bytes
