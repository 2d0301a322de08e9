"""Addresses, networks and URLs.

Source: Kubernetes docs, "CEL", "Kubernetes IP address library", "CIDR library", "URL library".
"""

import math
import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final
from urllib.parse import SplitResult, quote, unquote_plus, urlsplit

from tiphys.machinery.cel.errors import EvaluationError
from tiphys.machinery.cel.library.charges import text_charge, twice_charge
from tiphys.machinery.cel.limits import STRING_FACTOR
from tiphys.machinery.cel.values import Opaque
from tiphys.machinery.goformat import quote as quoted


class Ip(Opaque):
    __slots__ = ("address",)
    cel_type = "net.IP"

    def __init__(self, address: IPv4Address | IPv6Address) -> None:
        self.address = address

    def same(self, other: Any) -> bool:
        return bool(self.address == other.address)


class Cidr(Opaque):
    """An address and the length of its prefix."""

    __slots__ = ("address", "length")
    cel_type = "net.CIDR"

    def __init__(self, address: IPv4Address | IPv6Address, length: int) -> None:
        self.address = address
        self.length = length

    @property
    def network(self) -> IPv4Network | IPv6Network:
        kind = IPv4Network if self.address.version == 4 else IPv6Network
        return kind((int(self.address), self.length), strict=False)

    def same(self, other: Any) -> bool:
        return bool(self.address == other.address and self.length == other.length)


def _parse_ip(text: str) -> IPv4Address | IPv6Address:
    """Raises ValueError in Kubernetes' words."""
    head = f"IP Address {quoted(text)} parse error during conversion from string: "
    try:
        address = ip_address(text)
    except ValueError:
        raise ValueError(f"{head}ParseAddr({quoted(text)}): unable to parse IP") from None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise ValueError(f"IP address {quoted(text)} with zone value is not allowed")
        if address.ipv4_mapped is not None:
            raise ValueError(f"IPv4-mapped IPv6 address {quoted(text)} is not allowed")
    return address


def _parse_cidr(text: str) -> Cidr:
    head = f"network address parse error during conversion from string: netip.ParsePrefix({quoted(text)}): "
    address, slash, bits = text.rpartition("/")
    if not slash:
        raise ValueError(f"{head}no '/'")
    try:
        found = _parse_ip(address)
    except ValueError as error:
        raise ValueError(f"{head}{error}") from None
    limit = 32 if found.version == 4 else 128
    if not re.fullmatch(r"0|[1-9][0-9]{0,2}", bits, re.ASCII):
        raise ValueError(f"{head}bad bits after slash: {quoted(bits)}")
    if int(bits) > limit:
        raise ValueError(f"{head}prefix length out of range")
    return Cidr(found, int(bits))


def _ip(text: str) -> Ip:
    try:
        return Ip(_parse_ip(text))
    except ValueError as error:
        raise EvaluationError(str(error)) from None


def _cidr(text: str) -> Cidr:
    try:
        return _parse_cidr(text)
    except ValueError as error:
        raise EvaluationError(str(error)) from None


def _accepts(parse: Any) -> Any:
    def run(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return run


def _link_local_multicast(one: Ip) -> bool:
    address = one.address
    if address.version == 4:
        return int(address) >> 8 == 0xE00000
    return int(address) >> 112 & 0xFF0F == 0xFF02


def _global_unicast(one: Ip) -> bool:
    address = one.address
    broadcast = address.version == 4 and int(address) == 2**32 - 1
    others = address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    return not (broadcast or others)


def _contains_ip(one: Cidr, other: Any) -> bool:
    return (_ip(other) if isinstance(other, str) else other).address in one.network


def _contains_cidr(one: Cidr, other: Any) -> bool:
    found = _cidr(other) if isinstance(other, str) else other
    return (
        found.address.version == one.address.version
        and found.length >= one.length
        and found.network.network_address in one.network
    )


def _masked(one: Cidr) -> Cidr:
    return Cidr(one.network.network_address, one.length)


def _bytes(one: Cidr) -> int:
    """How many bytes of an address the prefix reaches into."""
    return -(-one.length // 8)


def _contains_charge(extra: bool) -> Any:
    def charge(args: Sequence[Any], result: Any) -> int:
        length = _bytes(args[0])
        cost = math.ceil(2 * length * STRING_FACTOR)
        if extra:
            cost += math.ceil(length * STRING_FACTOR) + 1
        if isinstance(args[1], str):
            cost += math.ceil(len(args[1]) * STRING_FACTOR)
        return cost

    return charge


class Url(Opaque):
    __slots__ = ("parts", "text")
    cel_type = "kubernetes.URL"

    def __init__(self, text: str, parts: SplitResult) -> None:
        self.text = text
        self.parts = parts

    def same(self, other: Any) -> bool:
        return bool(self.text == other.text)


_SCHEME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:", re.ASCII)
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9a-fA-F]{2})")


def parse_url(text: str) -> Url:
    """An absolute URI or an absolute path. Raises ValueError in Go's words."""
    head = f"URL parse error during conversion from string: parse {quoted(text)}: "
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise ValueError(f"{head}net/url: invalid control character in URL")
    if not text:
        raise ValueError(f"{head}empty url")
    if not text.startswith("/") and not _SCHEME.match(text):
        raise ValueError(f"{head}invalid URI for request")
    bad = _BAD_ESCAPE.search(text.split("?", 1)[0])
    if bad:
        raise ValueError(f'{head}invalid URL escape "{text[bad.start() : bad.start() + 3]}"')
    try:
        # A fragment is not taken off, as in a request line.
        parts = urlsplit(text, allow_fragments=False)
        _ = parts.port
    except ValueError:
        raise ValueError(f"{head}invalid port after host") from None
    if parts.scheme and not parts.netloc and not parts.path.startswith("/"):
        raise ValueError(f"{head}invalid URI for request")
    return Url(text, parts)


def _url(text: str) -> Url:
    try:
        return parse_url(text)
    except ValueError as error:
        raise EvaluationError(str(error)) from None


def _host(one: Url) -> str:
    return one.parts.netloc.rpartition("@")[2]


def _hostname(one: Url) -> str:
    host = _host(one)
    return host[1 : host.index("]")] if host.startswith("[") and "]" in host else host.partition(":")[0]


def _port(one: Url) -> str:
    host = _host(one)
    behind = host.rpartition("]")[2] if host.startswith("[") else host
    return behind.partition(":")[2]


def _query(one: Url) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for pair in one.parts.query.split("&"):
        if pair and ";" not in pair:
            key, _, value = pair.partition("=")
            found.setdefault(unquote_plus(key), []).append(unquote_plus(value))
    return found


ROWS: Final[tuple[tuple[Any, ...], ...]] = (
    ("ip", "string_to_ip", "string -> net.IP", _ip, text_charge),
    ("isIP", "is_ip", "string -> bool", _accepts(_parse_ip), text_charge),
    ("ip.isCanonical", "ip_is_canonical", "string -> bool", lambda text: str(_ip(text).address) == text, twice_charge),
    (".family", "ip_family", "net.IP -> int", lambda one: one.address.version),
    (".isUnspecified", "ip_is_unspecified", "net.IP -> bool", lambda one: one.address.is_unspecified),
    (".isLoopback", "ip_is_loopback", "net.IP -> bool", lambda one: one.address.is_loopback),
    (".isLinkLocalMulticast", "ip_is_link_local_multicast", "net.IP -> bool", _link_local_multicast),
    (".isLinkLocalUnicast", "ip_is_link_local_unicast", "net.IP -> bool", lambda one: one.address.is_link_local),
    (".isGlobalUnicast", "ip_is_global_unicast", "net.IP -> bool", _global_unicast),
    ("string", "ip_to_string", "net.IP -> string", lambda one: str(one.address)),
    ("cidr", "string_to_cidr", "string -> net.CIDR", _cidr, text_charge),
    ("isCIDR", "is_cidr", "string -> bool", _accepts(_parse_cidr), text_charge),
    (".containsIP", "cidr_contains_ip_string", "net.CIDR, string -> bool", _contains_ip, _contains_charge(False)),
    (".containsIP", "cidr_contains_ip_ip", "net.CIDR, net.IP -> bool", _contains_ip, _contains_charge(False)),
    (".containsCIDR", "cidr_contains_cidr_string", "net.CIDR, string -> bool", _contains_cidr, _contains_charge(True)),
    (".containsCIDR", "cidr_contains_cidr", "net.CIDR, net.CIDR -> bool", _contains_cidr, _contains_charge(True)),
    (".ip", "cidr_ip", "net.CIDR -> net.IP", lambda one: Ip(one.address)),
    (".masked", "cidr_masked", "net.CIDR -> net.CIDR", _masked),
    (".prefixLength", "cidr_prefix_length", "net.CIDR -> int", lambda one: one.length),
    ("string", "cidr_to_string", "net.CIDR -> string", lambda one: f"{one.address}/{one.length}"),
    ("url", "string_to_url", "string -> kubernetes.URL", _url, text_charge),
    ("isURL", "is_url_string", "string -> bool", _accepts(parse_url)),
    (".getScheme", "url_get_scheme", "kubernetes.URL -> string", lambda one: one.parts.scheme),
    (".getHost", "url_get_host", "kubernetes.URL -> string", _host),
    (".getHostname", "url_get_hostname", "kubernetes.URL -> string", _hostname),
    (".getPort", "url_get_port", "kubernetes.URL -> string", _port),
    (
        ".getEscapedPath",
        "url_get_escaped_path",
        "kubernetes.URL -> string",
        lambda one: quote(one.parts.path, safe="/%:@!$&'()*+,;=~-._"),
    ),
    (".getQuery", "url_get_query", "kubernetes.URL -> map<string, list<string>>", _query),
)
