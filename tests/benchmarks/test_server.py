"""The alternating rounds of the server's benchmark."""

from collections.abc import Callable

from benchmarks.server import in_turns


def test_conditions_take_turns() -> None:
    order = []

    def condition(name: str) -> Callable[[], dict[str, float]]:
        def run() -> dict[str, float]:
            order.append(name)
            return {"throughput": float(len(order))}

        return run

    figures = in_turns({"a": condition("a"), "b": condition("b")}, 3, quiet=True)
    assert order == ["a", "b"] * 3
    assert figures["a"] == {"throughput": 3.0, "rounds": [1.0, 3.0, 5.0]}
