import pytest

from p2p.proto.signalling.codes import SignallingCode
from rendezvous.core.admission import Admission, AdmissionToken
from rendezvous.core.refusal import Refusal

WEB = AdmissionToken(secret="web-secret", name="alice", services=("web", "team-*"), relay=False, expires_wall=1000)
ALL = AdmissionToken(secret="all-secret", name="bob")


def code_of(admission: Admission, secret: str | None, now_wall: float = 0) -> SignallingCode:
    with pytest.raises(Refusal) as caught:
        admission.check(secret, now_wall=now_wall)
    return caught.value.wire_code


def test_a_token_admits_to_its_scope() -> None:
    scope = Admission([WEB, ALL], is_open=False).check("web-secret", now_wall=999)
    assert (scope.token_name, scope.relay, scope.expires_wall) == ("alice", False, 1000)
    scope.check_publish("web")
    scope.check_publish("team-a")
    for service in ("webx", "team", "db"):
        with pytest.raises(Refusal) as caught:
            scope.check_publish(service)
        assert caught.value.wire_code is SignallingCode.NOT_ALLOWED


def test_who_has_no_token_or_a_wrong_one_stays_out() -> None:
    admission = Admission([WEB], is_open=False)
    assert code_of(admission, None) is SignallingCode.TOKEN_REQUIRED
    assert code_of(admission, "wrong") is SignallingCode.TOKEN_REFUSED
    assert code_of(admission, "web-secret", now_wall=1000) is SignallingCode.TOKEN_REFUSED


def test_an_open_server_admits_without_a_token_and_still_refuses_a_wrong_one() -> None:
    admission = Admission([], is_open=True)
    scope = admission.check(None, now_wall=0)
    assert scope.relay
    scope.check_publish("anything")
    assert code_of(admission, "wrong") is SignallingCode.TOKEN_REFUSED


def test_a_reload_revokes_changes_and_keeps() -> None:
    scope = Admission([WEB], is_open=False).check("web-secret", now_wall=0)
    with pytest.raises(Refusal):
        Admission([ALL], is_open=True).recheck(scope, now_wall=0)
    narrowed = AdmissionToken(secret="web-secret", name="alice", services=("web",))
    assert Admission([narrowed], is_open=False).recheck(scope, now_wall=0).services == ("web",)


def test_closing_an_open_server_ends_logins_without_a_token() -> None:
    scope = Admission([], is_open=True).check(None, now_wall=0)
    Admission([ALL], is_open=True).recheck(scope, now_wall=0)
    with pytest.raises(Refusal):
        Admission([ALL], is_open=False).recheck(scope, now_wall=0)


def test_secrets_do_not_show_in_logs() -> None:
    assert "web-secret" not in repr(WEB)
