"""One module for each command of `python -m training`.

Each has `SUMMARY` (one sentence), `add_arguments(parser)` and `run(arguments)`. What is heavy, TensorFlow above all, is
imported inside `run`.
"""
