"""What was not used for longest, and when it expires."""

from __future__ import annotations

from p2p.proto.idle_table import IdleTable


def test_keys_expire_in_the_order_of_their_last_use() -> None:
    table: IdleTable[str] = IdleTable(60.0, 8)
    assert table.get_timer() is None
    for at, key in enumerate("abc"):
        table.touch(key, float(at))
    table.touch("a", 10.0)
    assert table.get_timer() == 61.0
    assert table.expired(60.9) == []
    assert table.expired(62.0) == ["b", "c"]
    assert table.get_timer() == 70.0
    assert "a" in table
    assert table.expired(70.0) == ["a"]
    assert len(table) == 0


def test_a_full_table_gives_up_what_is_idle_for_longest() -> None:
    table: IdleTable[str] = IdleTable(60.0, 2)
    table.touch("a", 0.0)
    assert table.displaced() is None
    table.touch("b", 1.0)
    table.touch("a", 2.0)
    assert table.displaced() == "b"
    table.touch("c", 3.0)
    assert "b" not in table


def test_removing_is_forgiving() -> None:
    table: IdleTable[str] = IdleTable(60.0, 2)
    table.remove("a")
    table.touch("a", 0.0)
    table.remove("a")
    assert table.get_timer() is None
