import os
import time

import pytest

from p2p.proto.turn.client import AllocationClient
from p2p.proto.turn.events import (
    CODE_CREDENTIALS,
    CODE_QUOTA,
    CODE_REDIRECTED,
    AllocationClosed,
    AllocationCreated,
    AllocationFailed,
    AllocationState,
    ChannelBound,
    PeerData,
    PermissionCreated,
    PermissionFailed,
)
from tests.support.coturn import PASSWORD, REALM, USERNAME, run_coturn, shared_secret_credentials
from tests.support.drivers import AllocationDriver, run_until, wait_for_event


@pytest.fixture(scope="module")
def coturn(tmp_path_factory):
    with run_coturn(tmp_path_factory.mktemp("coturn")) as running:
        yield running


def client_for(coturn, transport, username=USERNAME, password=PASSWORD, **options):
    return AllocationClient(
        server=coturn.tls_address if transport == "tls" else coturn.address,
        username=username,
        password=password,
        random_bytes=os.urandom,
        reliable=transport != "udp",
        **options,
    )


def allocate(coturn, transport, **options):
    driver = AllocationDriver(client_for(coturn, transport, **options), transport)
    try:
        driver.client.start(time.monotonic())
        return driver, wait_for_event(driver, AllocationCreated)
    except BaseException:
        driver.socket.close()
        raise


def received(driver):
    return [event.data for event in driver.events if isinstance(event, PeerData)]


@pytest.mark.parametrize("transports", [("udp", "udp"), ("tcp", "udp"), ("tls", "tcp"), ("tls", "tls")])
def test_two_allocations_exchange_data_by_send_and_by_channel(coturn, transports):
    one, one_created = allocate(coturn, transports[0])
    two, two_created = allocate(coturn, transports[1])
    with one, two:
        assert one_created.mapped_address == one.socket.getsockname()
        assert one_created.lifetime_s == 600
        one_relayed, two_relayed = one_created.relayed_address, two_created.relayed_address
        one.client.create_permission(two_relayed, time.monotonic())
        two.client.create_permission(one_relayed, time.monotonic())
        wait_for_event(one, PermissionCreated, [two])
        wait_for_event(two, PermissionCreated, [one])

        one.send(two_relayed, b"by indication")
        run_until([one, two], lambda: received(two) == [b"by indication"])
        assert two.events[-1].peer == one_relayed

        one.client.bind_channel(two_relayed, time.monotonic())
        assert wait_for_event(one, ChannelBound, [two]).number == 0x4000
        sizes = [b"x" * size for size in (1, 2, 3, 4, 1200)]
        for data in sizes:
            one.send(two_relayed, data)
        run_until([one, two], lambda: received(two)[1:] == sizes)
        two.send(one_relayed, b"back")
        run_until([one, two], lambda: received(one) == [b"back"])

        for driver in (one, two):
            driver.client.close(time.monotonic())
            wait_for_event(driver, AllocationClosed)
            assert driver.client.state is AllocationState.DONE


def test_shared_secret_credentials(tmp_path):
    with run_coturn(tmp_path, shared_secret=True) as coturn:
        username, password = shared_secret_credentials()
        driver, created = allocate(coturn, "udp", username=username, password=password)
        with driver:
            assert created.relayed_address.host == "127.0.0.1"


def test_wrong_password_is_refused_for_good(coturn):
    with AllocationDriver(client_for(coturn, "udp", password="looking glass"), "udp") as driver:
        driver.client.start(time.monotonic())
        failed = wait_for_event(driver, AllocationFailed)
        assert failed.error.error_code is CODE_CREDENTIALS
        assert not failed.error.retryable
        assert failed.stun_code == 401


def test_nonce_that_is_stale_or_of_another_server_is_replaced(coturn):
    driver, _ = allocate(coturn, "udp", realm=REALM, nonce="0123456789abcdef")
    driver.socket.close()


def test_refresh_keeps_the_allocation_and_permissions(coturn):
    driver, created = allocate(coturn, "udp")
    with driver:
        driver.client.create_permission(created.relayed_address, time.monotonic())
        driver.client.bind_channel(created.relayed_address, time.monotonic())
        wait_for_event(driver, ChannelBound)
        before = len(driver.events)
        ahead_s = created.lifetime_s - 50
        driver.client.handle_timer(time.monotonic() + ahead_s)
        run_until([driver], lambda: driver.client.get_timer() > time.monotonic() + 60)
        assert driver.events[before:] == []
        assert driver.client.state is AllocationState.ALLOCATED


def test_quota_is_reported(tmp_path):
    with run_coturn(tmp_path, "--user-quota=1") as coturn:
        first, _ = allocate(coturn, "udp")
        with first, AllocationDriver(client_for(coturn, "udp"), "udp") as second:
            second.client.start(time.monotonic())
            assert wait_for_event(second, AllocationFailed).error.error_code is CODE_QUOTA


def test_redirection_is_reported_with_the_other_server(tmp_path):
    with (
        run_coturn(tmp_path, "--alternate-server=127.0.0.9:4444") as coturn,
        AllocationDriver(client_for(coturn, "udp"), "udp") as driver,
    ):
        driver.client.start(time.monotonic())
        failed = wait_for_event(driver, AllocationFailed)
        assert failed.error.error_code is CODE_REDIRECTED
        assert failed.alternate_server == ("127.0.0.9", 4444)


def test_forbidden_peer_is_reported_and_the_others_stay(tmp_path):
    with run_coturn(tmp_path, "--denied-peer-ip=127.0.0.3") as coturn:
        driver, created = allocate(coturn, "udp")
        with driver:
            forbidden = created.relayed_address._replace(host="127.0.0.3")
            driver.client.create_permission(forbidden, time.monotonic())
            driver.client.create_permission(created.relayed_address, time.monotonic())
            assert wait_for_event(driver, PermissionFailed).peer == forbidden
            assert wait_for_event(driver, PermissionCreated).peer == created.relayed_address
