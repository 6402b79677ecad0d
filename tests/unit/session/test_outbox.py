"""News of addresses: at once when possible, merged and later when not, and never a flood."""

from __future__ import annotations

from dataclasses import dataclass

from p2p import defaults
from p2p.proto.signalling.bodies import MAX_CANDIDATES, Trickle
from p2p.session.outbox import TrickleOutbox, merge
from tests.unit.gather.test_monitor import Loop


@dataclass
class Session:
    session_id: str
    peer_knows: bool = True


class World:
    def __init__(self) -> None:
        self.loop = Loop()
        self.is_connected = True
        self.sent: list[Trickle] = []
        self.outbox: TrickleOutbox[Session] = TrickleOutbox(
            self.loop,  # type: ignore[arg-type]
            can_send=lambda session: self.is_connected,
            send=lambda session, news: self.sent.append(news),
        )

    def put(self, session: Session, **news) -> None:
        self.outbox.put(session, Trickle(session=session.session_id, **news))


def name(number: int) -> str:
    return f"{number:032x}"


def test_news_are_sent_at_once():
    world = World()
    world.put(Session(name(1)), candidates=("a",))
    world.put(Session(name(1)), end=True)
    assert [news.candidates for news in world.sent] == [("a",), ()]
    assert not world.loop.waiting


def test_news_wait_until_the_peer_knows_the_session():
    world = World()
    session = Session(name(1), peer_knows=False)
    world.put(session, candidates=("a",))
    world.put(session, end=True)
    assert not world.sent
    session.peer_knows = True
    world.outbox.announced(session)
    assert world.sent == [Trickle(session=name(1), candidates=("a",), end=True)]
    world.outbox.announced(session)
    assert len(world.sent) == 1


def test_news_of_an_outage_are_one_message_after_it():
    world = World()
    world.is_connected = False
    session = Session(name(1))
    world.put(session, candidates=("a", "b"))
    world.put(session, gone=("a", "old"))
    world.put(session, candidates=("c",), nat={"x": 1})
    world.put(session, end=True)
    assert not world.sent
    assert not world.loop.waiting
    world.is_connected = True
    world.outbox.connected()
    assert world.sent == [Trickle(session=name(1), candidates=("b", "c"), gone=("a", "old"), end=True, nat={"x": 1})]
    world.loop.run(60)
    assert len(world.sent) == 1


def test_what_a_dead_connection_may_have_taken_is_sent_again():
    world = World()
    old, new = Session(name(1)), Session(name(2))
    world.put(old, candidates=("long ago",))
    world.loop.run(defaults.TRICKLES_UNPROVEN_S + 1)
    world.put(new, candidates=("a", "b"))
    world.put(new, gone=("a",))
    world.is_connected = False
    world.put(new, candidates=("c",))
    world.sent.clear()
    world.is_connected = True
    world.outbox.connected()
    assert world.sent == [Trickle(session=name(2), candidates=("b", "c"), gone=("a",))]
    world.outbox.forget(new)
    world.outbox.connected()
    assert len(world.sent) == 1


def test_a_peer_that_does_not_know_the_session_yet_hears_of_it_first():
    world = World()
    world.is_connected = False
    session = Session(name(1), peer_knows=False)
    world.put(session, candidates=("a",))
    world.is_connected = True
    world.outbox.connected()
    world.loop.run(1)
    assert not world.sent
    session.peer_knows = True
    world.loop.run(1 / defaults.TRICKLES_PER_S + 0.01)
    assert len(world.sent) == 1


def test_a_thousand_sessions_do_not_flood_the_rendezvous():
    world = World()
    sessions = [Session(name(number)) for number in range(1000)]
    for session in sessions:
        world.put(session, candidates=("a",))
    assert len(world.sent) == defaults.TRICKLES_BURST
    for session in sessions:
        world.put(session, gone=("a",))
    world.loop.run(10)
    assert len(world.sent) <= defaults.TRICKLES_BURST + 10 * defaults.TRICKLES_PER_S + 1
    world.loop.run(100)
    assert {news.session for news in world.sent} == {session.session_id for session in sessions}
    assert not world.loop.waiting


def test_a_session_that_is_over_has_no_news():
    world = World()
    world.is_connected = False
    session = Session(name(1))
    world.put(session, candidates=("a",))
    world.outbox.forget(session)
    world.is_connected = True
    world.outbox.connected()
    assert not world.sent


def test_nothing_stays_with_the_loop():
    world = World()
    for number in range(200):
        world.put(Session(name(number)), end=True)
    assert world.loop.waiting
    world.outbox.close()
    assert not world.loop.waiting


def test_what_is_said_later_holds():
    one = Trickle(session=name(1), candidates=("a", "b"), gone=("c",), nat={"x": 1})
    two = Trickle(session=name(1), candidates=("c",), gone=("a",), nat={"x": 2})
    assert merge(one, two) == Trickle(session=name(1), candidates=("b", "c"), gone=("a",), nat={"x": 2})
    many = Trickle(session=name(1), candidates=tuple(f"n{number}" for number in range(MAX_CANDIDATES)))
    assert len(merge(one, many).candidates) == MAX_CANDIDATES


def test_ports_to_guess_go_before_addresses_that_wait():
    world = World()
    for number in range(int(defaults.TRICKLES_BURST) + 3):
        world.put(Session(name(number)), candidates=("a",))
    sent = len(world.sent)
    hasty = Session(name(9999))
    world.put(hasty, guess={"kind": "window"})
    assert len(world.sent) == sent
    world.loop.now += 1.01 / defaults.TRICKLES_PER_S
    world.outbox.flush()
    assert [news.session for news in world.sent[sent:]] == [hasty.session_id]
