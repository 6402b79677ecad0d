from p2p.signalling.backoff import Backoff


def test_the_longest_wait_doubles_up_to_half_a_minute() -> None:
    backoff = Backoff(lambda: 1.0)
    assert [backoff.next_wait_s() for _ in range(10)] == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_jitter_is_full() -> None:
    shares = iter([0.0, 0.5, 1.0])
    backoff = Backoff(lambda: next(shares))
    assert [backoff.next_wait_s() for _ in range(3)] == [0.0, 0.25, 1.0]


def test_success_makes_the_next_wait_short_again() -> None:
    backoff = Backoff(lambda: 1.0)
    for _ in range(1000):
        backoff.next_wait_s()
    backoff.reset()
    assert backoff.next_wait_s() == 0.25
