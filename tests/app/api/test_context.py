import pytest
from starlette.routing import Mount, Route, Router
from starlette.types import Scope

from app.api.context import KEY, RequestContext, context_of, method_of, route_of


def test_the_context_is_that_of_the_request() -> None:
    contexts = [RequestContext("one"), RequestContext("two")]
    assert [context_of({"state": {KEY: context}}) for context in contexts] == contexts
    contexts[0].audit_fields["verdict"] = "no_caries_found"
    assert contexts[1].audit_fields == {}


@pytest.mark.parametrize(
    ("method", "name"), [("POST", "POST"), ("PROPFIND", "other"), ("post", "other"), ("x" * 999, "other")]
)
def test_invented_methods_share_one_name(method: str, name: str) -> None:
    assert method_of({"method": method}) == name


@pytest.mark.parametrize(
    ("scope", "pattern"),
    [
        ({"path": "/patients/Hong"}, "unmatched"),
        ({"path": "/patients/Hong", "route": Route("/patients/{name}", Router())}, "/patients/{name}"),
        ({"path": "/static/a.css", "route": Mount("/static", Router())}, "/static"),
    ],
)
def test_the_pattern_of_the_route_stands_for_the_path(scope: Scope, pattern: str) -> None:
    assert route_of(scope) == pattern
