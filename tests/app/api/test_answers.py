"""The JSON answers that OpenAPI describes."""

from app.api.answers import EXAMPLE, ProblemAnswer, ScreeningAnswer, problem_responses
from app.screen_photo import STAGES


def test_the_example_is_an_answer() -> None:
    assert ScreeningAnswer.model_validate(EXAMPLE).model_dump(mode="json", by_alias=True, exclude_unset=True) == EXAMPLE
    assert list(EXAMPLE["timings_ms"]) == list(STAGES)


def test_problems_are_described_as_problem_json() -> None:
    assert problem_responses({404: "no such model"}) == {
        404: {
            "description": "no such model",
            "content": {"application/problem+json": {"schema": ProblemAnswer.model_json_schema()}},
        }
    }
