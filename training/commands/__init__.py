"""The commands of `python -m training`, one module each: `SUMMARY`, `add_arguments(parser)` and `run(arguments)`.

Heavy imports, TensorFlow above all, are inside `run`.
"""
