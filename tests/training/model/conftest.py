STATEFUL_OPERATIONS = frozenset(
    {
        "Multinomial",
        "RandomGamma",
        "RandomPoissonV2",
        "RandomShuffle",
        "RandomStandardNormal",
        "RandomUniform",
        "RandomUniformInt",
        "SampleDistortedBoundingBox",
        "SampleDistortedBoundingBoxV2",
        "TruncatedNormal",
    }
)
"""TensorFlow's operations whose numbers depend on earlier draws."""


def stateful_operations(function) -> list[str]:
    """Names of the stateful random operations in a concrete function and in those it calls."""
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(node for item in graph.library.function for node in item.node_def)]
    return sorted(node.name for node in nodes if node.op in STATEFUL_OPERATIONS)
