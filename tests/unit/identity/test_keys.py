import os
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from p2p.errors import IdentityError
from p2p.identity import Identity
from p2p.identity.key_file import create, default_key_path, read


def test_first_use_makes_the_file_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "identity.pem"
    first = Identity.load_or_create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert Identity.load_or_create(path).peer_id == first.peer_id
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_mode_that_lets_others_in_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "identity.pem"
    Identity.load_or_create(path)
    path.chmod(mode)
    with pytest.raises(IdentityError, match=f"{mode:04o}") as caught:
        Identity.load_or_create(path)
    assert caught.value.code == "P2P-2101"
    assert "chmod 600" in caught.value.hint


def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "identity.pem"
    Identity.load_or_create(path)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(IdentityError) as caught:
        Identity.load_or_create(path)
    assert caught.value.code == "P2P-2102"


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    for path in (fifo, tmp_path):
        with pytest.raises(IdentityError) as caught:
            Identity.load_or_create(path)
        assert caught.value.code == "P2P-2103"


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_what_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "identity.pem"
    create(path, content)
    with pytest.raises(IdentityError) as caught:
        Identity.load_or_create(path)
    assert caught.value.code == "P2P-2103"


def test_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "identity.pem"
    create(
        path,
        generate_private_key(SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
    with pytest.raises(IdentityError, match="not Ed25519"):
        Identity.load_or_create(path)


def test_the_slower_of_two_first_uses_takes_the_key_of_the_faster(tmp_path: Path) -> None:
    path = tmp_path / "identity.pem"
    assert create(path, b"first") == b"first"
    assert create(path, b"second") == b"first"
    assert read(path) == b"first"


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(IdentityError) as caught:
        create(tmp_path / "file" / "identity.pem", b"key")
    assert caught.value.code == "P2P-2105"


def test_the_default_place_is_under_the_users_configuration() -> None:
    assert default_key_path().name == "identity.pem"
    assert default_key_path().parent.name == "p2p"


def test_the_certificate_is_of_the_key_and_always_the_same() -> None:
    identity = Identity.from_seed(bytes(32))
    certificate = x509.load_pem_x509_certificate(identity.certificate_pem)
    public_key = certificate.public_key()
    assert isinstance(public_key, Ed25519PublicKey)
    assert public_key.public_bytes_raw() == bytes(identity.peer_id)
    certificate.verify_directly_issued_by(certificate)
    assert certificate.not_valid_after_utc.year == 9999
    assert Identity.from_seed(bytes(32)).certificate_pem == identity.certificate_pem


def test_the_private_key_survives_its_pem(tmp_path: Path) -> None:
    identity = Identity.generate()
    create(tmp_path / "copy.pem", identity.private_key_pem)
    assert Identity.load_or_create(tmp_path / "copy.pem").peer_id == identity.peer_id


def test_a_seed_of_another_size_is_refused() -> None:
    with pytest.raises(IdentityError):
        Identity.from_seed(bytes(31))


def test_derived_secrets_are_stable_and_apart() -> None:
    identity = Identity.from_seed(bytes(32))
    secret = identity.derive_secret("ticket web", 16)
    assert len(secret) == 16
    assert secret == Identity.from_seed(bytes(32)).derive_secret("ticket web", 16)
    assert secret != identity.derive_secret("ticket db", 16)
    assert secret != Identity.generate().derive_secret("ticket web", 16)
