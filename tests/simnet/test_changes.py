"""What happens to a connection when the network changes under it, in seconds of simulated time."""

from __future__ import annotations

import pytest

from p2p import defaults
from tests.simnet.nat import Allocator, Dependence, NatBehaviour
from tests.simnet.scene import Scene
from tests.simnet.world import Weather

PORT_FILTERED = NatBehaviour(Dependence.INDEPENDENT, Dependence.ADDRESS_AND_PORT, Allocator.RANDOM)
ADDRESS_FILTERED = NatBehaviour(Dependence.INDEPENDENT, Dependence.ADDRESS, Allocator.RANDOM)
HARD = NatBehaviour(Dependence.ADDRESS_AND_PORT, Dependence.ADDRESS_AND_PORT, Allocator.RANDOM)
PAIRS = [(PORT_FILTERED, PORT_FILTERED), (HARD, ADDRESS_FILTERED), (None, HARD), (None, None)]


def running(dialer=PORT_FILTERED, exposer=PORT_FILTERED, *, data=True, **scene):
    """Two peers that have been on a direct path for some seconds, with data flowing both ways when wanted."""
    made = Scene(dialer, exposer, **scene)
    if data:
        for peer in made.peers:
            peer.send_data(0.05)
    made.world.run_until(10.3)
    assert made.both_direct()
    return made


def seconds_until(scene, condition, at_most_s):
    start = scene.world.now
    scene.world.run_for(at_most_s, unless=condition)
    assert condition(), f"not within {at_most_s} s"
    return scene.world.now - start


@pytest.mark.parametrize(("dialer", "exposer"), PAIRS)
@pytest.mark.parametrize("loss", [0.0, 0.02, 0.1])
def test_cut_with_data_is_on_the_relay_in_three_seconds_and_back_on_direct(dialer, exposer, loss):
    scene = running(dialer, exposer, weather=Weather(loss=loss), seed=11)
    cut_at = scene.world.now
    scene.cut_direct()
    assert seconds_until(scene, scene.both_relayed, 4.0) <= 3.0
    for peer in scene.peers:
        assert peer.diary.longest_gap_s(cut_at, scene.world.now) < 1.3
    scene.world.run_for(20.0)
    assert scene.both_relayed()
    scene.mend()
    assert seconds_until(scene, scene.both_direct, 15.0) <= 12.0


def test_cut_without_data_is_noticed_within_trust():
    scene = running(data=False)
    scene.cut_direct()
    assert seconds_until(scene, scene.both_relayed, 10.0) <= defaults.PATH_TRUST_S + 1.0


def test_both_paths_carry_data_while_in_doubt():
    scene = running()
    scene.cut_direct()
    seconds_until(scene, lambda: len(scene.dialer.controller.sending_paths) == 2, 1.0)
    (doubted,) = scene.dialer.diary.doubted
    assert doubted == pytest.approx(scene.world.now, abs=0.06)
    first, second = scene.dialer.controller.sending_paths
    assert first.is_direct
    assert not second.is_direct
    scene.mend()
    seconds_until(scene, lambda: len(scene.dialer.controller.sending_paths) == 1, 1.0)
    assert scene.dialer.controller.selected_path == first


@pytest.mark.parametrize("outage_s", [0.3, 0.6])
def test_a_hiccup_changes_nothing(outage_s):
    scene = running()
    before = [len(peer.diary.selected) for peer in scene.peers]
    scene.cut_direct()
    scene.world.run_for(outage_s)
    scene.mend()
    scene.world.run_for(30.0)
    assert [len(peer.diary.selected) for peer in scene.peers] == before


@pytest.mark.parametrize("delay_s", [0.2, 0.5, 0.8])
def test_a_path_that_becomes_slow_is_not_taken_for_dead(delay_s):
    scene = running()
    scene.world.weather.delay_s = delay_s
    scene.world.run_for(60.0)
    assert scene.both_direct()
    assert not any(path.is_direct for peer in scene.peers for _, path in peer.diary.lost)
    assert all(len(peer.controller.sending_paths) == 1 for peer in scene.peers)


@pytest.mark.parametrize(
    ("dialer", "exposer", "which"), [(*pair, which) for pair in PAIRS for which in (0, 1) if pair[which] is not None]
)
def test_nat_reboot_is_back_on_direct_within_seconds(dialer, exposer, which):
    scene = running(dialer, exposer)
    nat = scene.nats[which]
    reboot_at = scene.world.now
    nat.reboot()
    scene.world.run_for(6.0)
    assert scene.both_direct()
    for peer in scene.peers:
        assert peer.diary.longest_gap_s(reboot_at, scene.world.now) < 1.3


def test_new_public_address_is_back_on_direct_within_seconds():
    scene = running()
    scene.nats[0].reboot(host="192.0.2.200")
    scene.world.run_for(6.0)
    assert scene.both_direct()
    assert scene.exposer.controller.selected_path.remote.host == "192.0.2.200"


def test_dead_relay_does_not_disturb_a_direct_path():
    scene = running()
    before = [len(peer.diary.selected) for peer in scene.peers]
    scene.relay.up = False
    scene.world.run_for(60.0)
    assert scene.both_direct()
    assert [len(peer.diary.selected) for peer in scene.peers] == before
    assert all(not peer.diary.all_lost for peer in scene.peers)


@pytest.mark.parametrize("outage_s", [3.0, 10.0, 25.0])
def test_total_outage_ends_with_the_network(outage_s):
    scene = running()
    for peer in scene.peers:
        peer.host.online = False
    scene.world.run_for(outage_s)
    assert all(peer.controller.sending_paths for peer in scene.peers)
    for peer in scene.peers:
        peer.host.online = True
    assert seconds_until(scene, scene.both_connected, 4.0) <= 3.0
    assert seconds_until(scene, scene.both_direct, 12.0) <= 10.0


def test_a_long_outage_costs_ever_less_and_its_end_is_noticed_a_quarter_later():
    scene = running()
    for peer in scene.peers:
        peer.host.online = False
    sent = []
    for _ in range(8):
        before = sum(peer.stun_sent for peer in scene.peers)
        scene.world.run_for(50.0)
        sent.append((sum(peer.stun_sent for peer in scene.peers) - before) / 50.0)
    assert sent[-1] < sent[0] / 4
    for peer in scene.peers:
        peer.host.online = True
    assert (
        seconds_until(scene, scene.both_connected, 120.0)
        <= min(400.0 * defaults.OUTAGE_SHARE, defaults.PATH_RECHECK_S) + 6
    )


def test_a_side_that_wakes_up_is_back_at_once_however_long_the_other_has_waited():
    scene = running()
    scene.dialer.host.online = False
    scene.dialer.sleep(300.0)
    scene.world.run_for(299.9)
    scene.dialer.host.online = True
    scene.world.run_for(0.2)
    scene.dialer.controller.network_changed(scene.world.now)
    scene.dialer.pump()
    assert seconds_until(scene, scene.both_direct, 5.0) < 0.5


def test_sleep_is_no_evidence_against_paths():
    scene = running()
    before = len(scene.dialer.diary.selected)
    scene.dialer.sleep(20.0)
    scene.world.run_for(20.1)
    scene.world.run_for(6.0)
    assert scene.both_direct()
    assert len(scene.dialer.diary.selected) == before


def test_network_change_tries_failed_pairs_at_once():
    scene = Scene(PORT_FILTERED, PORT_FILTERED)
    scene.cut_direct()
    scene.world.run_until(60.0)
    assert scene.both_relayed()
    scene.mend()
    for peer in scene.peers:
        peer.controller.network_changed(scene.world.now)
        peer.pump()
    assert seconds_until(scene, scene.both_direct, 2.0) < 0.5


def test_a_firewall_that_opens_later_is_noticed_without_being_told():
    scene = Scene(PORT_FILTERED, PORT_FILTERED)
    scene.cut_direct()
    scene.world.run_until(300.0)
    scene.mend()
    seconds_until(scene, scene.both_direct, defaults.PATH_RECHECK_S + 2 * defaults.ICE_CHECK_DURATION_S)


def test_a_path_that_comes_and_goes_is_not_trusted_at_each_return():
    scene = running()
    for _ in range(6):
        scene.cut_direct()
        scene.world.run_for(4.0)
        scene.mend()
        scene.world.run_for(4.0)
    switches = sum(event.path.is_direct for _, event in scene.dialer.diary.selected)
    assert switches <= 4
    scene.world.run_for(60.0)
    assert scene.both_direct()


@pytest.mark.parametrize(("dialer", "exposer"), [(None, None), (PORT_FILTERED, PORT_FILTERED), (HARD, HARD)])
def test_an_idle_connection_is_quiet(dialer, exposer):
    scene = Scene(dialer, exposer)
    scene.world.run_until(600.0)
    before = scene.world.packets
    scene.world.run_for(600.0)
    assert (scene.world.packets - before) / 600.0 < 5.0


def test_busy_paths_are_probed_no_more_than_idle_ones():
    scene = running()
    before = sum(peer.stun_sent for peer in scene.peers)
    scene.world.run_for(60.0)
    assert (sum(peer.stun_sent for peer in scene.peers) - before) / 60.0 < 3.0
