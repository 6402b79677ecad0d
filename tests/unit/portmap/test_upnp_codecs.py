"""SSDP, device descriptions and SOAP, of routers that mean well and of others."""

import pytest

from p2p.address import TransportAddress
from p2p.errors import DecodeError
from p2p.proto.portmap import soap, ssdp
from p2p.proto.portmap.device import WAN_SERVICES, WanService, decode_description_untrusted, url_on_host_untrusted
from p2p.proto.portmap.xml import MAX_BYTES, read_xml_untrusted

ROUTER = "192.168.1.1"
LOCATION = "http://192.168.1.1:5000/rootDesc.xml"


def description(*services: tuple[str, str], base: str = "") -> bytes:
    listed = "".join(
        f"<service><serviceType>{kind}</serviceType><controlURL>{url}</controlURL></service>" for kind, url in services
    )
    return (
        f'<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0">{base}<device>'
        f"<deviceList><device><serviceList>{listed}</serviceList></device></deviceList></device></root>"
    ).encode()


# --- SSDP ------------------------------------------------------------------------------------------------------


def test_search() -> None:
    group = ssdp.encode_search(ssdp.SEARCH_TARGETS[0], ssdp.SSDP_GROUP)
    assert group == (
        b'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\nMX: 1\r\n'
        b"ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n"
    )
    assert b"MX" not in ssdp.encode_search("x", TransportAddress(ROUTER, 1900))


def test_answer() -> None:
    answer = ssdp.decode_answer_untrusted(
        b"HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nEXT:\r\n"
        b"location:  http://192.168.1.1:5000/rootDesc.xml \r\n\r\n"
    )
    assert answer.location == LOCATION
    assert answer.is_gateway
    assert not ssdp.SsdpAnswer(LOCATION, "upnp:rootdevice").is_gateway


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"NOTIFY * HTTP/1.1\r\nLOCATION: x\r\n\r\n",
        b"HTTP/1.1 404 No\r\nLOCATION: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nLOCATION: x\r\n" + b"a" * 2048,
    ],
)
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        ssdp.decode_answer_untrusted(data)


# --- URLs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (LOCATION, LOCATION),
        ("http://192.168.1.1/a?b=c#d", "http://192.168.1.1:80/a?b=c"),
        ("HTTP://192.168.1.1:80", "http://192.168.1.1:80/"),
    ],
)
def test_a_url_on_the_router(url: str, expected: str) -> None:
    assert url_on_host_untrusted(url, ROUTER) == expected


@pytest.mark.parametrize(
    "url",
    [
        "http://192.168.1.2/x",
        "http://127.0.0.1:5000/x",
        "http://169.254.169.254/latest/meta-data",
        "http://router.local/x",
        "http://192.168.1.1.example.com/x",
        "http://192.168.1.1@10.0.0.5/x",
        "http://10.0.0.5@192.168.1.1/x",
        "http://10.0.0.5\\@192.168.1.1/x",
        "http://3232235777/x",
        "http://192.168.1.1:99999/x",
        "https://192.168.1.1/x",
        "file:///etc/passwd",
        "gopher://192.168.1.1/x",
        "http://192.168.1.1/\r\nHost: x",
        "http://192.168.1.1/a b",
        "http://192.168.1.1/" + "a" * 600,
        "//192.168.1.1/x",
        "http://[::1",
        "",
    ],
)
def test_a_url_that_leads_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(DecodeError):
        url_on_host_untrusted(url, ROUTER)


# --- descriptions ----------------------------------------------------------------------------------------------


def test_services_are_found_in_the_order_of_preference() -> None:
    data = description(
        ("urn:schemas-upnp-org:service:Layer3Forwarding:1", "/l3"),
        (WAN_SERVICES[2], "ppp"),
        (WAN_SERVICES[1], "/ctl/IPConn"),
        (WAN_SERVICES[0], "http://192.168.1.1:80/ctl/2"),
    )
    found = decode_description_untrusted(data, location=LOCATION, host=ROUTER)
    assert found == (
        WanService(WAN_SERVICES[0], "http://192.168.1.1:80/ctl/2"),
        WanService(WAN_SERVICES[1], "http://192.168.1.1:5000/ctl/IPConn"),
        WanService(WAN_SERVICES[2], "http://192.168.1.1:5000/ppp"),
    )
    assert found[0].picks_ports
    assert not found[1].picks_ports


def test_the_base_of_the_description_counts() -> None:
    data = description((WAN_SERVICES[1], "/c"), base="<URLBase>http://192.168.1.1:49152/</URLBase>")
    (found,) = decode_description_untrusted(data, location=LOCATION, host=ROUTER)
    assert found.control_url == "http://192.168.1.1:49152/c"


@pytest.mark.parametrize("url", ["http://10.0.0.5/c", "http://[::1/c", "//evil.example/c"])
def test_a_service_elsewhere_is_left_out(url: str) -> None:
    with pytest.raises(DecodeError, match="forwards ports"):
        decode_description_untrusted(description((WAN_SERVICES[1], url)), location=LOCATION, host=ROUTER)


def test_a_base_elsewhere_leaves_no_service() -> None:
    data = description((WAN_SERVICES[1], "/c"), base="<URLBase>http://10.0.0.5/</URLBase>")
    with pytest.raises(DecodeError):
        decode_description_untrusted(data, location=LOCATION, host=ROUTER)


def test_no_more_services_are_taken_than_are_worth_asking() -> None:
    data = description(*[(WAN_SERVICES[1], f"/c{number}") for number in range(50)])
    assert len(decode_description_untrusted(data, location=LOCATION, host=ROUTER)) == 6


# --- XML -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "http://10.0.0.5/">]><a>&b;</a>',
        b"<a>&b;</a>",
        b"<a>" * 30 + b"</a>" * 30,
        b"<a>" + b"<b/>" * 3000 + b"</a>",
        b"<a>" + b" " * MAX_BYTES + b"</a>",
        b"<a>",
        b"",
        b"<a/><b/>",
        b"\0",
    ],
    ids=["entity", "dtd", "external", "undefined", "deep", "many", "large", "open", "empty", "two", "zero"],
)
def test_xml_that_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        read_xml_untrusted(data)


@pytest.mark.parametrize(
    "data",
    [
        "<a><b>caf\u00e9</b></a>".encode(),
        "<a><b>caf\u00e9</b></a>".encode("latin-1"),
        '<?xml version="1.0" encoding="UTF-7"?><a><b>caf\u00e9</b></a>'.encode(),
        "\ufeff  <x:a xmlns:x='y'><x:b> caf\u00e9 </x:b></x:a>".encode(),
    ],
)
def test_text_is_read_whatever_the_document_calls_its_encoding(data: bytes) -> None:
    assert read_xml_untrusted(data).child_text("b") == "caf\u00e9"


# --- SOAP ------------------------------------------------------------------------------------------------------


def test_an_action_is_written_with_its_arguments_escaped() -> None:
    request = soap.encode_action(WAN_SERVICES[1], "Do", {"A": "<&>", "B": 1})
    assert request.header == '"urn:schemas-upnp-org:service:WANIPConnection:1#Do"'
    assert b"<A>&lt;&amp;&gt;</A><B>1</B></u:Do>" in request.body
    read_xml_untrusted(request.body)


def test_a_mapping_is_asked_for_in_the_order_of_the_specification() -> None:
    request = soap.add_port_mapping(
        WAN_SERVICES[1],
        action="AddPortMapping",
        internal_host="192.168.1.7",
        internal_port=5000,
        external_port=6000,
        lease_s=3600,
        name="p2p",
    )
    (action,) = read_xml_untrusted(request.body).children[0].children
    assert [(child.name, child.text) for child in action.children] == [
        ("NewRemoteHost", ""),
        ("NewExternalPort", "6000"),
        ("NewProtocol", "UDP"),
        ("NewInternalPort", "5000"),
        ("NewInternalClient", "192.168.1.7"),
        ("NewEnabled", "1"),
        ("NewPortMappingDescription", "p2p"),
        ("NewLeaseDuration", "3600"),
    ]


def reply(inner: str) -> bytes:
    return f'<s:Envelope xmlns:s="e"><s:Body>{inner}</s:Body></s:Envelope>'.encode()


def test_values_come_back() -> None:
    data = reply('<u:GetXResponse xmlns:u="x"><NewX>8.8.8.8</NewX></u:GetXResponse>')
    assert soap.decode_reply_untrusted(data, "GetX") == {"NewX": "8.8.8.8"}


def test_an_error_comes_back() -> None:
    data = reply(
        "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail><UPnPError>"
        "<errorCode>718</errorCode><errorDescription>Conflict\x7fInMappingEntry</errorDescription>"
        "</UPnPError></detail></s:Fault>"
    )
    fault = soap.decode_reply_untrusted(data, "AddPortMapping")
    assert fault == soap.SoapFault(soap.CONFLICT, "Conflict InMappingEntry")
    assert str(fault) == "718 Conflict InMappingEntry"
    assert str(soap.SoapFault(None, "")) == "no reason given"


@pytest.mark.parametrize("code", ["", "x", "-1", "999999", "\u0661"])
def test_an_error_without_a_usable_number(code: str) -> None:
    data = reply(f"<s:Fault><detail><errorCode>{code}</errorCode></detail></s:Fault>")
    assert soap.decode_reply_untrusted(data, "X") == soap.SoapFault(None, "")


def test_what_answers_something_else_is_refused() -> None:
    with pytest.raises(DecodeError):
        soap.decode_reply_untrusted(reply("<u:OtherResponse/>".replace("u:", "")), "X")


@pytest.mark.parametrize("text", ["", "0", "65536", "-1", "1e3", "\u0661", "9" * 400])
def test_ports(text: str) -> None:
    assert soap.port_untrusted("65535") == 65535
    with pytest.raises(DecodeError):
        soap.port_untrusted(text)
