"""The JSON answers that OpenAPI describes."""

from pydantic import BaseModel

from app.api.answers import EXAMPLE, ProblemAnswer, ScreeningAnswer, body_schema, problem_responses
from app.screen_photo import STAGES


def test_the_example_is_an_answer() -> None:
    assert ScreeningAnswer.model_validate(EXAMPLE).model_dump(mode="json", by_alias=True, exclude_unset=True) == EXAMPLE
    assert list(EXAMPLE["timings_ms"]) == list(STAGES)


class Part(BaseModel):
    number: int


class Sent(BaseModel):
    parts: list[Part]


def test_the_schema_of_a_body_has_no_references() -> None:
    schema = body_schema(Sent)
    assert schema["properties"]["parts"]["items"]["properties"]["number"]["type"] == "integer"
    assert "$" not in str(schema)


def test_problems_are_described_as_problem_json() -> None:
    assert problem_responses({404: "no such model"}) == {
        404: {
            "description": "no such model",
            "content": {"application/problem+json": {"schema": ProblemAnswer.model_json_schema()}},
        }
    }
