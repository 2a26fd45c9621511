"""Who sends a request: the API key that it sends, or the one that the session in its cookie stands for."""

import base64

from fastapi import Request
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Scope

from app.api.origins import is_https, refuse_forged
from app.api.rate_limits import Counters, MinuteLimit, address_of
from app.errors import KeyNeeded
from app.records.key_file import Key
from app.records.keys_in_force import KeysInForce
from app.records.sessions import Sessions, SignedIn

MAX_WRONG_KEYS_PER_MINUTE = 20
"""Wrong keys from one address that are answered 401; further ones are answered 429."""

MAX_MISSING_KEYS_PER_MINUTE = 60
"""Requests without a key from one address that are answered 401; further ones are answered 429."""

COOKIE = "caries-session"

LABEL_STUDIO = "/label-studio"
"""Path of the ML backend for Label Studio, which signs in with a password."""


def cookie_name(scope: Scope) -> str:
    """The name of the session's cookie. Over HTTPS, browsers take it from this host alone (RFC 6265bis, 4.1.3.2)."""
    return f"__Host-{COOKIE}" if is_https(scope["scheme"], Headers(scope=scope)) else COOKIE


def sent_token(scope: Scope) -> str | None:
    """The token in the session's cookie; None without one."""
    return HTTPConnection(scope).cookies.get(cookie_name(scope))


class Identities:
    """The API keys in force, their sessions, and the limits on wrong and missing ones."""

    def __init__(
        self, keys: KeysInForce, sessions: Sessions, requests: MinuteLimit, counters: Counters | None = None
    ) -> None:
        """Check against `keys` and `sessions`; `requests` is the limit of each key; `counters` as of `MinuteLimit`."""
        self.sessions = sessions
        self._keys = keys
        self._requests = requests
        self._wrong_keys = MinuteLimit(MAX_WRONG_KEYS_PER_MINUTE, "wrong API keys", counters)
        self._missing_keys = MinuteLimit(MAX_MISSING_KEYS_PER_MINUTE, "requests without an API key", counters)

    async def sender(self, scope: Scope) -> Key:
        """The key that a request sends in Authorization or X-API-Key, or else that of its session.

        Raises:
            KeyNeeded: there is neither, or it is not in force.
            ForgedRequest: another page sent the cookie.
            TooManyRequests: too many such requests came from the address.
            Overloaded: too many keys wait to be checked.
            ReviewStoreError: the sessions cannot be read.
        """
        headers, address = Headers(scope=scope), address_of(scope)
        if text := _sent_key(headers, scope["path"]):
            return await self.verify(text, address)
        if sent_token(scope):
            refuse_forged(scope["method"], headers)
            if signed_in := await self.signed_in(scope):
                return signed_in.key
            raise KeyNeeded("the session has ended; sign in again")
        await self._missing_keys.count(address)
        raise KeyNeeded("this path needs an API key; send the header Authorization: Bearer KEY or X-API-Key: KEY")

    async def signed_in(self, scope: Scope) -> SignedIn | None:
        """The session of a request's cookie; None without one in force.

        Raises:
            TooManyRequests: too many cookies of no session came from the address; the sessions are not read.
            ReviewStoreError: the sessions cannot be read.
        """
        if (token := sent_token(scope)) is None:
            return None
        # Behind a proxy all clients share an address. Made-up cookies sent there must not lock out sessions in force.
        if not self.sessions.remembers(token):
            await self._missing_keys.check(address_of(scope))
        signed_in = await self.sessions.find(token)
        if signed_in is None:
            await self._missing_keys.count(address_of(scope))
        return signed_in

    async def verify(self, text: str, address: str) -> Key:
        """The key in force that a text is; errors as of `sender`."""
        if (key := self._keys.remembered(text)) is not None:
            return key
        # Behind a proxy all clients share an address. Wrong keys sent there must not lock out the holders of other
        # keys, so the limit on the costly check is counted by key as well.
        claimed = self._keys.claimed(text)
        if claimed is not None:
            await self._wrong_keys.check(address, claimed.id)
        key = await self._keys.verify(text)
        if key is not None:
            return key
        if claimed is not None:
            await self._wrong_keys.count(address, claimed.id)
        await self._wrong_keys.count(address)
        raise KeyNeeded("the API key is wrong or was revoked")

    async def count(self, key: Key, times: int = 1) -> None:
        """Count requests of a key.

        Raises:
            TooManyRequests: they exceed its limit.
        """
        await self._requests.count(key.id, times=times)


def identities_of(request: Request) -> Identities | None:
    """Those of the request's application; None on a server without keys."""
    identities: Identities | None = request.app.state.identities
    return identities


def _sent_key(headers: Headers, path: str) -> str | None:
    """The key in Authorization or else X-API-Key; None without either. Label Studio can only send a password."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    if scheme.lower() == "basic" and path.startswith(f"{LABEL_STUDIO}/"):
        return _password(credentials)
    return headers.get("x-api-key")


def _password(credentials: str) -> str | None:
    """The password of Basic credentials (RFC 7617); None if they are malformed."""
    try:
        return base64.b64decode(credentials.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return None
