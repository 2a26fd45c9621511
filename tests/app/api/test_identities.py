"""The cookie's name and the token in it; `middleware/test_access.py` and `routes/test_session.py` have the rest."""

from starlette.types import Scope

from app.api.identities import cookie_name, sent_token


def scope(*headers: tuple[bytes, bytes]) -> Scope:
    return {"type": "http", "scheme": "http", "headers": list(headers)}


def test_the_cookie_of_https_is_bound_to_its_host() -> None:
    https = (b"x-forwarded-proto", b"https")
    assert cookie_name(scope()) == "caries-session"
    assert cookie_name(scope(https)) == "__Host-caries-session"
    cookies = (b"cookie", b"a=b; caries-session=one; __Host-caries-session=two")
    assert sent_token(scope(cookies)) == "one"
    assert sent_token(scope(cookies, https)) == "two", "another host of the domain may have set the first"
    assert sent_token(scope()) is None
