"""Host names of published services."""

from __future__ import annotations

import os

import pytest

from gateway.core.names import host_of_header, is_host, is_label, random_label


@pytest.mark.parametrize("text", ["a", "blog", "a-b", "x" * 63, "3d"])
def test_labels(text):
    assert is_label(text)


@pytest.mark.parametrize("text", ["", "-a", "a-", "A", "a.b", "a_b", "x" * 64, "ä", "a\n"])
def test_no_labels(text):
    assert not is_label(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("blog.example", True), ("example", False), ("10.0.0.1", False), ("a..b", False), ("x." * 126 + "ab", False)],
)
def test_hosts(text, expected):
    assert is_host(text) is expected


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("Blog.Example", "blog.example"),
        ("blog.example:8443", "blog.example"),
        ("blog.example.", "blog.example"),
        ("[2001:db8::1]:80", "[2001:db8::1]"),
        ("[2001:db8::1]", "[2001:db8::1]"),
        ("blog.example:http", "blog.example:http"),
        ("", ""),
    ],
)
def test_host_headers(header, host):
    assert host_of_header(header) == host


def test_random_labels_are_labels_and_differ():
    labels = {random_label(os.urandom) for _ in range(100)}
    assert len(labels) == 100
    assert all(is_label(label) for label in labels)
