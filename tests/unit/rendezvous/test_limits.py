from p2p.proto.token_bucket import TokenBucket
from rendezvous.core.limits import AddressLimiter


def test_a_bucket_lets_the_burst_through_and_then_the_rate() -> None:
    bucket = TokenBucket(rate_per_s=2, burst=3)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(100.4)
    assert bucket.take(100.5)
    assert not bucket.take(100.5)


def test_a_bucket_fills_no_further_than_its_burst() -> None:
    bucket = TokenBucket(rate_per_s=1, burst=2)
    assert [bucket.take(1000.0) for _ in range(3)] == [True, True, False]


def test_a_refused_event_costs_nothing() -> None:
    bucket = TokenBucket(rate_per_s=1, burst=5)
    assert not bucket.take(0.0, cost=6)
    assert bucket.take(0.0, cost=5)


def limiter(**changes: float) -> AddressLimiter:
    values = {"rate_per_s": 1.0, "burst": 3, "open_limit": 2, "table_size": 4} | changes
    return AddressLimiter(
        rate_per_s=values["rate_per_s"],
        burst=values["burst"],
        open_limit=int(values["open_limit"]),
        table_size=int(values["table_size"]),
    )


def test_open_connections_of_an_address_are_capped() -> None:
    addresses = limiter()
    assert [addresses.admit("192.0.2.1", 0.0) for _ in range(3)] == [True, True, False]
    assert addresses.admit("192.0.2.2", 0.0)
    addresses.release("192.0.2.1")
    assert addresses.admit("192.0.2.1", 0.0)


def test_new_connections_of_an_address_are_slowed_down() -> None:
    addresses = limiter(open_limit=100)
    assert [addresses.admit("192.0.2.1", 0.0) for _ in range(4)] == [True, True, True, False]
    assert addresses.admit("192.0.2.1", 1.0)


def test_an_ipv6_customer_counts_as_one() -> None:
    addresses = limiter()
    assert addresses.admit("2001:db8::1", 0.0)
    assert addresses.admit("2001:db8::ffff:1", 0.0)
    assert not addresses.admit("2001:db8:0:0:1::", 0.0)
    assert addresses.admit("2001:db8:0:1::", 0.0)


def test_the_table_of_addresses_is_bounded() -> None:
    addresses = limiter()
    for number in range(100):
        addresses.admit(f"192.0.2.{number}", 0.0)
        addresses.release(f"192.0.2.{number}")
    assert len(addresses) == 4


def test_open_connections_are_counted_even_when_the_table_forgot_their_address() -> None:
    addresses = limiter()
    addresses.admit("192.0.2.1", 0.0)
    addresses.admit("192.0.2.1", 0.0)
    for number in range(2, 10):
        addresses.admit(f"192.0.2.{number}", 0.0)
    assert not addresses.admit("192.0.2.1", 0.0)
