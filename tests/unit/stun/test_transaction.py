import pytest

from p2p.proto.stun.transaction import Step, Transaction


def run(transaction):
    """Return when the request goes out, and when it is given up."""
    sent = []
    now = 0.0
    while (step := transaction.step(now)) is not Step.GIVE_UP:
        assert step is Step.SEND
        sent.append(now)
        now = transaction.next_at
    return sent, now


def test_intervals_double_and_the_last_wait_is_sixteen_rto():
    sent, given_up_at = run(Transaction(b"", 0.0, rto_s=0.5))
    assert sent == [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert given_up_at == 39.5


def test_stream_sends_once():
    sent, given_up_at = run(Transaction(b"", 0.0, reliable=True))
    assert sent == [0.0]
    assert given_up_at == 39.5


def test_even_intervals():
    sent, given_up_at = run(Transaction(b"", 0.0, rto_s=0.25, backoff=1.0, max_requests=3, last_wait_s=1.0))
    assert sent == [0.0, 0.25, 0.5]
    assert given_up_at == 1.5


def test_asking_early_changes_nothing():
    transaction = Transaction(b"", 0.0, rto_s=0.5)
    assert transaction.step(0.0) is Step.SEND
    assert transaction.step(0.4) is Step.WAIT
    assert transaction.next_at == 0.5


def test_pause_of_the_process_makes_no_burst():
    transaction = Transaction(b"", 0.0, rto_s=0.5)
    transaction.step(0.0)
    assert transaction.step(10.0) is Step.SEND
    assert transaction.next_at == 11.0


def test_round_trip_is_known_only_for_the_first_request():
    transaction = Transaction(b"", 0.0)
    transaction.step(0.0)
    assert transaction.round_trip_s(0.125) == pytest.approx(0.125)
    transaction.step(0.25)
    assert transaction.round_trip_s(0.3) is None
