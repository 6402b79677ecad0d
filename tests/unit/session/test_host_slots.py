"""Programs on one host share slots by locked files."""

from __future__ import annotations

import subprocess
import sys

from p2p import defaults
from p2p.proto.path.plans import Scarce
from p2p.session.host_slots import HostSlots


def test_two_programs_share_them(tmp_path):
    one, other = HostSlots(tmp_path / "run"), HostSlots(tmp_path / "run")
    taken = [one.take(Scarce.BIRTHDAY) for _ in range(defaults.BIRTHDAYS_AT_ONCE)]
    assert None not in taken
    assert other.take(Scarce.BIRTHDAY) is None
    meeting = other.take(Scarce.MEETING)
    assert meeting is not None
    assert one.take(Scarce.MEETING) is None
    one.give_back(taken.pop())
    again = other.take(Scarce.BIRTHDAY)
    assert again is not None
    for slots, slot in ((other, again), (other, meeting), *((one, slot) for slot in taken)):
        slots.give_back(slot)


def test_a_program_that_ends_holds_nothing(tmp_path):
    code = (
        "import sys; from pathlib import Path; from p2p.proto.path.plans import Scarce; "
        "from p2p.session.host_slots import HostSlots; "
        "sys.exit(HostSlots(Path(sys.argv[1])).take(Scarce.MEETING) is None)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    slots = HostSlots(tmp_path)
    slot = slots.take(Scarce.MEETING)
    assert slot is not None
    slots.give_back(slot)


def test_where_no_file_can_be_made_each_program_is_for_itself(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    slots = HostSlots(tmp_path / "file" / "run")
    for _ in range(10):
        slot = slots.take(Scarce.MEETING)
        assert slot is not None
        slots.give_back(slot)
    assert len(caplog.records) == 1
