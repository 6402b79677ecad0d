"""Error pages of the operator's own."""

from __future__ import annotations

import os

import pytest

from gateway import error_pages
from gateway.core import problems
from gateway.core.pages import Pages
from gateway.error_pages import ErrorPages
from p2p.errors import ConfigError


def test_a_problem_has_its_own_page_or_that_of_its_status_or_the_common_one():
    pages = Pages({"offline": "1", "503": "2", "error": "3 {{ status }} {{code}}"})
    assert pages.page(problems.OFFLINE, "") == "1"
    assert pages.page(problems.BUSY, "") == "2"
    assert pages.page(problems.UPSTREAM, "") == "3 502 upstream"


def test_without_a_template_the_gateway_has_a_page_itself():
    page = Pages({"offline": "1"}).page(problems.NO_SERVICE, "blog.example")
    assert page == problems.as_page(problems.NO_SERVICE, "blog.example")


def test_what_the_visitor_asked_for_is_text():
    page = Pages({"error": "<p>{{host}}</p>{{title}}"}).page(problems.NO_SERVICE, '<script>"{{code}}')
    assert page == "<p>&lt;script&gt;&quot;{{code}}</p>Nothing is published here"


@pytest.mark.parametrize("templates", [{"offlne": ""}, {"500": ""}, {"error": "{{visitor}}"}])
def test_what_is_no_template(templates):
    with pytest.raises(ConfigError):
        Pages(templates)


def test_a_folder_is_read_again_when_it_has_changed(tmp_path):
    path = tmp_path / "error.html"
    path.write_text("before")
    pages = ErrorPages(tmp_path)
    path.write_text("{{wrong}}")
    os.utime(path, ns=(1, 1))
    with pytest.raises(ConfigError):
        pages.reload_if_changed()
    assert pages.page(problems.OFFLINE, "") == "before"
    path.write_text("after")
    pages.reload_if_changed()
    assert pages.page(problems.OFFLINE, "") == "after"


def test_folders_that_cannot_be_used(tmp_path):
    with pytest.raises(ConfigError, match=r"no \.html"):
        ErrorPages(tmp_path)
    (tmp_path / "error.html").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="UTF-8"):
        ErrorPages(tmp_path)
    (tmp_path / "error.html").write_bytes(b" " * (error_pages.PAGE_MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="larger"):
        ErrorPages(tmp_path)
