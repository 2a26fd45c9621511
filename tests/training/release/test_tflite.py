import numpy as np
from ai_edge_litert.interpreter import Interpreter

from training.release.tflite import FILES


def test_the_first_layers_of_int8_stay_float32_and_all_others_do_not(tiny_run) -> None:
    interpreter = Interpreter(str(tiny_run / "export" / FILES["int8"]))
    interpreter.allocate_tensors()
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    convolutions = [
        tensors[operator["outputs"][0]]
        for operator in interpreter._get_ops_details()
        if operator["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D")
    ]
    in_float = [tensor["name"] for tensor in convolutions if tensor["dtype"] == np.float32]
    assert len(convolutions) > 100
    # One of the input, two of the first block, three of each further one.
    assert len(in_float) == 1 + 2 + 3 * 3
    assert in_float[-1].endswith("block_3_project/Conv2D1")
