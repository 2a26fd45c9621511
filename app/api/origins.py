"""Which page sent a request, and over which connection, by the headers that browsers add.

Any site's page can make a browser send requests here. Other programs could write these headers as they like, but they
are not tricked into sending what a page chooses.
"""

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from app.api.problems import quoted
from app.errors import ForeignPage, ForgedRequest, HttpsNeeded

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing: a page that cannot read their answers gains nothing from them (RFC 9110, 9.2.1)."""


def refuse_foreign_page(method: str, headers: Headers) -> None:
    """Refuse a request of another site's page to a server without keys.

    Raises:
        ForeignPage: the request comes from such a page, or its Host may be a public name that points here.
    """
    host, origin = headers.get("host", ""), headers.get("origin")
    if not _is_local(host):
        raise ForeignPage(f"the host is {quoted(host)}; without API keys, use 127.0.0.1 or localhost")
    foreign = origin is not None and method not in SAFE_METHODS and not _is_at(origin, host)
    if foreign or headers.get("sec-fetch-site") == "cross-site":
        raise ForeignPage("the request comes from another site's page; without API keys, such requests are refused")


def refuse_forged(method: str, headers: Headers, *, by_cookie: bool = True) -> None:
    """Refuse a request that changes something unless this server's page sent it.

    Sec-Fetch-Site decides, or else Origin; browsers add one or both. A request without either is refused only if a
    cookie authorises it.

    Raises:
        ForgedRequest: another page sent the request, or no page of a current browser.
    """
    if method in SAFE_METHODS:
        return
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        is_own = site == "same-origin"
    elif origin is not None:
        is_own = _is_at(origin, headers.get("host", ""))
    else:
        is_own = not by_cookie
    if not is_own:
        raise ForgedRequest("the request does not come from this server's own page; use that, or send an API key")


def is_https(scheme: str, headers: Headers) -> bool:
    """Whether the client's connection is encrypted, as far as the server or the proxy in front of it knows.

    Any client may claim it in X-Forwarded-Proto, but weakens only the protection of its own sign-in.
    """
    forwarded = headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    return (forwarded or scheme) == "https"


def refuse_plain_http(scheme: str, headers: Headers) -> None:
    """Refuse a sign-in that others on the network could read.

    The browser's Host counts, not the client's address: a container sees the address of its bridge.

    Raises:
        HttpsNeeded: the connection is neither encrypted nor from this machine.
    """
    host = headers.get("host", "")
    if not is_https(scheme, headers) and not _is_loopback(host):
        raise HttpsNeeded(
            f"signing in at {quoted(host)} needs HTTPS; use an https:// address, whose proxy sends"
            " X-Forwarded-Proto: https, or 127.0.0.1 or localhost on the server's machine"
        )


def _is_at(origin: str, host: str) -> bool:
    return origin.partition("://")[2].lower() == host.lower()


def _name_of(host: str) -> str | None:
    """The name or address in a Host header, None if it is malformed."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return None


def _address_in(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    name = _name_of(host) or ""
    address = _address_in(name)
    return address.is_loopback if address else name == "localhost" or name.endswith(".localhost")


def _is_local(host: str) -> bool:
    """Whether no public name server can have given the machine this name: it is an address or has no dot."""
    name = _name_of(host)
    if name is None:
        return False
    return "." not in name or name.endswith(".localhost") or _address_in(name) is not None
