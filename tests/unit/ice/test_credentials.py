"""Credentials: what is made and what is taken."""

import os

import pytest

from p2p.errors import DecodeError
from p2p.proto.ice import Credentials


def test_made_credentials_are_taken():
    for _ in range(50):
        credentials = Credentials.generate(os.urandom)
        assert Credentials.from_wire_untrusted(credentials.to_wire()) == credentials


def test_password_is_not_shown():
    credentials = Credentials.generate(os.urandom)
    assert credentials.password not in repr(credentials)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "ufrag",
        {},
        {"ufrag": "abcd"},
        {"ufrag": "abc", "password": "p" * 22},
        {"ufrag": "a:cd", "password": "p" * 22},
        {"ufrag": "ábcd", "password": "p" * 22},
        {"ufrag": "abcd", "password": "p" * 21},
        {"ufrag": "abcd", "password": "p" * 257},
        {"ufrag": "a" * 257, "password": "p" * 22},
        {"ufrag": 1234, "password": "p" * 22},
        {"ufrag": "abcd", "password": b"p" * 22},
    ],
)
def test_what_are_no_credentials_is_refused(value):
    with pytest.raises(DecodeError):
        Credentials.from_wire_untrusted(value)
