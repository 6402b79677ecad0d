from pathlib import Path

import pytest

from p2p.errors import IdentityError
from p2p.identity import Identity, KnownPeers
from p2p.identity.known_peers import default_known_peers_path

ALICE = Identity.from_seed(b"a" * 32).peer_id
BOB = Identity.from_seed(b"b" * 32).peer_id


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "known_peers"
    path.write_text(f"# friends\n\nalice   {ALICE}  # the workshop\nBob-2 {str(BOB).upper()}\n")
    return path


def test_aliases_and_peer_ids_are_found(file: Path) -> None:
    known = KnownPeers.load(file)
    assert dict(known) == {"alice": ALICE, "Bob-2": BOB}
    assert len(known) == 2
    assert known.resolve("alice") == ALICE
    assert known.resolve(str(BOB)) == BOB


def test_peers_are_shown_by_alias_else_by_their_short_id(file: Path) -> None:
    known = KnownPeers.load(file)
    stranger = Identity.from_seed(b"c" * 32).peer_id
    assert known.name_of(ALICE) == "alice"
    assert known.name_of(stranger) == stranger.short


def test_an_unknown_alias_is_an_error(file: Path) -> None:
    with pytest.raises(IdentityError) as caught:
        KnownPeers.load(file).resolve("carol")
    assert caught.value.code == "P2P-2402"


def test_no_file_means_no_peers(tmp_path: Path) -> None:
    assert len(KnownPeers.load(tmp_path / "none")) == 0
    assert default_known_peers_path().name == "known_peers"


@pytest.mark.parametrize(
    "line", ["alice", f"alice {ALICE} x", "alice abc", f"al/ice {ALICE}", f"{'a' * 52} {ALICE}", f"b {BOB}\nb {ALICE}"]
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "known_peers"
    path.write_text(f"# comment\n{line}\n")
    with pytest.raises(IdentityError, match=r"line [23]") as caught:
        KnownPeers.load(path)
    assert caught.value.code == "P2P-2401"


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IdentityError):
        KnownPeers.load(tmp_path)
