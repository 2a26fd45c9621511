from training.measure.report import figures_table


def test_the_table_has_a_column_for_each_model() -> None:
    figure = {"figures": {"mAP@.5": {"value": 0.5, "interval": (0.4, 0.6)}}}
    assert figures_table({"float32": figure, "int8": figure}).splitlines() == [
        "| figure | float32 | int8 |",
        "|---|---|---|",
        "| mAP@.5 | 0.500 [0.400, 0.600] | 0.500 [0.400, 0.600] |",
    ]
