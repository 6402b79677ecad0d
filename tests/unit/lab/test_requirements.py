"""What is missing on a machine is said with what helps."""

from __future__ import annotations

from pathlib import Path

import pytest
from natlab import cli, namespaces
from natlab.errors import LabError
from natlab.tools import require_tools


def test_root_is_needed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(namespaces.os, "geteuid", lambda: 1000)
    assert cli.main(["up", "pair"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "lab: the lab needs root to make network namespaces",
        "  Run it again with sudo.",
    ]


@pytest.mark.parametrize(
    ("tool", "package"),
    [("ip", "iproute2"), ("tc", "iproute2"), ("nft", "nftables"), ("conntrack", "conntrack")],
)
def test_tool_and_its_package_are_named(
    tool: str, package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError) as caught:
        require_tools(tool)
    assert tool in caught.value.detail
    assert caught.value.hint == f"Install the package {package}."
