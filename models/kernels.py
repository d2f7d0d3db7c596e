"""The kernels that a net runs on: XLA's or TensorFlow's own, whichever are faster.

On CPUs, XLA's convolutions take two to three and a half times as long as TensorFlow's own (docs/benchmarks.md); nets
without convolutions are faster with XLA. So the rule is: a net with a convolution that is asked on a CPU runs on
TensorFlow's kernels, every other one, and every one on GPU and TPU, on XLA's. It is a rule and no measurement, because
kernels decide last bits: the same net has to have the same ones in every process of a run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import tensorflow as tf

from models import devices

Kernels = Literal["xla", "tensorflow"]
XLA: Kernels = "xla"
TENSORFLOW: Kernels = "tensorflow"

_CONVOLUTIONS = ("Conv2D", "Conv3D", "DepthwiseConv2d")  # how the names of operations begin


def fastest(predict: Callable[[tf.Tensor], tf.Tensor], input_shape: tuple[int, int, int]) -> Kernels:
    """Returns the kernels for a net on the device in whose scope this is called.

    Args:
      predict: from float32 `[B, H, W, C]` to `[B, K]`.
      input_shape: `(H, W, C)`.
    """
    on_cpu = ":CPU:" in devices.current()
    return TENSORFLOW if on_cpu and _has_convolution(predict, input_shape) else XLA


def _has_convolution(predict: Callable[[tf.Tensor], tf.Tensor], input_shape: tuple[int, int, int]) -> bool:
    images = tf.TensorSpec([None, *input_shape], tf.float32)
    graph = tf.function(predict, autograph=False).get_concrete_function(images).graph.as_graph_def()
    functions = [graph.node, *(function.node_def for function in graph.library.function)]
    return any(node.op.startswith(_CONVOLUTIONS) for nodes in functions for node in nodes)


def compiled(function: Callable[..., Any], *kernels: Kernels) -> Any:
    """Returns a `tf.function` that asks nets of these kernels: compiled by XLA as a whole if all are XLA's.

    What is worth compiling beside nets with kernels of TensorFlow's is a `cluster`.
    """
    return tf.function(function, jit_compile=all(each == XLA for each in kernels), autograph=False)


def cluster(function: Callable[..., Any]) -> Any:
    """Returns a function that XLA compiles wherever it is called, also within a graph that XLA does not compile."""
    return tf.function(function, jit_compile=True, autograph=False)
