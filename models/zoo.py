"""Architectures by name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from etils import epy

from models import googlenet
from models.errors import InputError
from models.googlenet import Shape

with epy.lazy_imports():  # names are checked before libraries are loaded
    import tensorflow as tf

_WIDTH = r"[1-9]\d*"
_DECAY = r"\d+(?:\.\d+)?(?:e-\d+)?"
_FACTOR = r"(?:[1-9]\d*(?:\.\d+)?|0\.\d*[1-9]\d*)"
_Layers: TypeAlias = "list[tf.keras.layers.Layer]"
_Build: TypeAlias = "Callable[[str, Shape, int, Sequence[float]], tf.keras.Model]"


def build(
    architecture: str, input_shape: Shape, num_classes: int, mean: Sequence[float] | None = None
) -> tf.keras.Model:
    """Builds an untrained net.

    Names, as in `FORMS`; U is a number of units and F of filters, each at least 1, and K the number of classes:

    - `mlp-U[-U...]`: fully connected with tanh units (a 784-U-K net on 28x28 digits).
    - `cnn`: two convolutions with pooling and a dense layer, the stronger net that also serves as judge.
    - `fc[U-...]K[@decay[,decay...]]`, such as `fc10@1e-4` or `fc100-100-10@1e-5,1e-5,1e-6`: the fully connected nets of
      Szegedy et al., "Intriguing properties of neural networks" (arXiv 1312.6199), with sigmoid units. A weight decay
      d >= 0 adds d * sum(w^2) / k to the loss, over the connection weights w (no biases) of a layer of k units; there
      is one for each layer, the softmax included, or one for all, or none.
    - `aeU-K`, such as `ae400-10`: the hidden layer of a sparse autoencoder under a softmax, from the same paper. The
      hidden layer is frozen; `training.train` pre-trains it.
    - `cnn-F-F-U`, such as `cnn-32-64-200`: the net of Hinthorn's work on selective dropout: F filters, 3x3 pooling, F
      filters, 2x2 pooling, U units, all with ReLU. It is published without kernel sizes; here both are 5x5, and
      convolutions and pooling are padded ("same"), so that images of every size fit.
    - `googlenet[-small][@W]`, such as `googlenet` or `googlenet-small@0.25`: the net of Szegedy et al., "Going deeper
      with convolutions" (arXiv 1409.4842), as `googlenet.build` says, with W times its filters; with `-small`, the
      first layer of the stem is for small images, such as 32x32. `for_training` adds its auxiliary classifiers.

    Args:
      architecture: a name.
      input_shape: `(H, W, C)`.
      num_classes: K, at least 2; the K of an `fc` or `ae` name has to agree.
      mean: `[C]` in [0, 1], of the pixels of the images to train on, which `googlenet` subtracts; by default 0.5 each.

    Returns:
      A model, not compiled, from float32 `[B, H, W, C]` in [0, 1] to softmax probabilities `[B, K]`.

    Raises:
      InputError: there is no such architecture, it is for another number of classes, or it has neither one decay for
        all its layers nor one for each.
    """
    return _form(architecture).build(architecture, input_shape, num_classes, mean or [0.5] * input_shape[-1])


def for_training(architecture: str, net: tf.keras.Model) -> tf.keras.Model:
    """Returns what is trained in a net's place: the net itself, or one with the same layers and more outputs.

    Args:
      architecture: its name.
      net: the net, as `build` made it.

    Returns:
      A model whose first output is the net's, and each further one that of an auxiliary classifier.
    """
    return _form(architecture).for_training(net)


def check(architecture: str) -> None:
    """Raises InputError for a name that `build` would refuse whatever the number of classes."""
    _form(architecture)
    _decays(architecture)


def _form(architecture: str) -> Form:
    for form in FORMS:
        if re.fullmatch(form.pattern, architecture):
            return form
    known = ", ".join(
        f"{form.name} (as '{form.example}')" if form.name != form.example else form.name for form in FORMS
    )
    raise InputError(f"There is no architecture {architecture!r}; known are {known}{_suggestion(architecture)}.")


def _chain(layers: Callable[[str, int], _Layers]) -> _Build:
    """Returns what builds nets of layers one after the other, given their names and the number of classes."""

    def build_chain(architecture: str, input_shape: Shape, num_classes: int, mean: Sequence[float]) -> tf.keras.Model:
        return tf.keras.Sequential([tf.keras.Input(input_shape), *layers(architecture, num_classes)])

    return build_chain


def _mlp_layers(architecture: str, num_classes: int) -> _Layers:
    hidden = [tf.keras.layers.Dense(width, activation="tanh") for width in _widths(architecture)]
    return [tf.keras.layers.Flatten(), *hidden, _softmax(num_classes)]


def _cnn_layers(architecture: str, num_classes: int) -> _Layers:
    return [*_convolution(32, 3, 2), *_convolution(64, 3, 2), *_top(128, num_classes)]


def _hinthorn_layers(architecture: str, num_classes: int) -> _Layers:
    first, second, units = _widths(architecture)
    return [*_convolution(first, 5, 3), *_convolution(second, 5, 2), *_top(units, num_classes)]


def _fc_layers(architecture: str, num_classes: int) -> _Layers:
    _require_classes(architecture, num_classes)
    widths, decays = _widths(architecture), _decays(architecture)
    activations = ["sigmoid"] * (len(widths) - 1) + ["softmax"]
    return [tf.keras.layers.Flatten(), *map(_decayed, widths, activations, decays)]


def _ae_layers(architecture: str, num_classes: int) -> _Layers:
    _require_classes(architecture, num_classes)
    encoder = tf.keras.layers.Dense(_widths(architecture)[0], activation="sigmoid", trainable=False)
    return [tf.keras.layers.Flatten(), encoder, _softmax(num_classes)]


def _build_googlenet(architecture: str, input_shape: Shape, num_classes: int, mean: Sequence[float]) -> tf.keras.Model:
    name, _, width = architecture.partition("@")
    return googlenet.build(input_shape, num_classes, mean, float(width or 1), small=name.endswith("-small"))


class Form(NamedTuple):
    """A family of architectures.

    Attributes:
      name: how its members are named.
      example: one of them.
      about: what they are, in a sentence.
      pattern: a regular expression of all their names.
      build: makes one, given its name, `(H, W, C)`, the number of classes, and the mean of the pixels, `[C]`.
      for_training: see `for_training`.
    """

    name: str
    example: str
    about: str
    pattern: str
    build: _Build
    for_training: Callable[[tf.keras.Model], tf.keras.Model] = lambda net: net


FORMS = (
    Form("mlp-U[-U...]", "mlp-30", "fully connected, tanh units", rf"mlp(-{_WIDTH})+", _chain(_mlp_layers)),
    Form("cnn", "cnn", "two convolutions with pooling, a dense layer; a good judge", "cnn", _chain(_cnn_layers)),
    Form(
        "cnn-F-F-U",
        "cnn-32-64-200",
        "two convolutions with pooling, a dense layer, all ReLU (Hinthorn)",
        rf"cnn(-{_WIDTH}){{3}}",
        _chain(_hinthorn_layers),
    ),
    Form(
        "fc[U-...]K[@decays]",
        "fc100-100-10@1e-5,1e-5,1e-6",
        "fully connected, sigmoid units, for K classes, with one weight decay or one for each layer (Szegedy et al.)",
        rf"fc({_WIDTH}-)*{_WIDTH}(@{_DECAY}(,{_DECAY})*)?",
        _chain(_fc_layers),
    ),
    Form(
        "aeU-K",
        "ae400-10",
        "the layer of a sparse autoencoder under a softmax, for K classes (Szegedy et al.)",
        rf"ae{_WIDTH}-{_WIDTH}",
        _chain(_ae_layers),
    ),
    Form(
        "googlenet[-small][@W]",
        "googlenet-small@0.25",
        "GoogLeNet (Szegedy et al.), with W times its filters; small: with a stem for small images, such as 32x32",
        rf"googlenet(-small)?(@{_FACTOR})?",
        _build_googlenet,
        googlenet.with_auxiliaries,
    ),
)


def _convolution(filters: int, kernel: int, pool: int) -> _Layers:
    convolution = tf.keras.layers.Conv2D(filters, kernel, padding="same", activation="relu")
    return [convolution, tf.keras.layers.MaxPooling2D(pool, padding="same")]


def _top(units: int, num_classes: int) -> _Layers:
    return [tf.keras.layers.Flatten(), tf.keras.layers.Dense(units, activation="relu"), _softmax(num_classes)]


def _softmax(num_classes: int) -> tf.keras.layers.Layer:
    return tf.keras.layers.Dense(num_classes, activation="softmax")


def _decayed(units: int, activation: str, decay: float) -> tf.keras.layers.Layer:
    regularizer = tf.keras.regularizers.L2(decay / units) if decay else None
    return tf.keras.layers.Dense(units, activation=activation, kernel_regularizer=regularizer)


def _widths(architecture: str) -> list[int]:
    return [int(width) for width in re.findall(r"\d+", architecture.partition("@")[0])]


def _decays(architecture: str) -> list[float]:
    """Returns the weight decay of each layer: 0 where the name states none, as only that of an `fc` net can."""
    layers, stated = len(_widths(architecture)), architecture.partition("@")[2]
    decays = [float(decay) for decay in stated.split(",")] if stated else [0.0]
    if len(decays) not in (1, layers):
        raise InputError(
            f"Architecture {architecture!r} has {len(decays)} weight decays for {layers} layers of weights; "
            "give one for each layer or one for all."
        )
    return decays * layers if len(decays) == 1 else decays


def _require_classes(architecture: str, num_classes: int) -> None:
    if _widths(architecture)[-1] != num_classes:
        renamed = re.sub(r"\d+(?=@|$)", str(num_classes), architecture, count=1)
        raise InputError(
            f"Architecture {architecture!r} is for {_widths(architecture)[-1]} classes, but there are {num_classes}; "
            f"ask for {renamed!r}."
        )


def _suggestion(architecture: str) -> str:
    nearest = difflib.get_close_matches(architecture.lower(), _likely(architecture.lower()), n=1, cutoff=0.5)
    return f" (the nearest is {nearest[0]!r})" if nearest else ""


def _likely(architecture: str) -> list[str]:
    """Returns one name of each form, with the widths and decays that a misspelt name has."""
    widths = [str(width) for width in _widths(architecture) if width]
    decays = re.findall(_DECAY, architecture.partition("@")[2])
    suffix = "@" + ",".join(decays) if len(decays) in (1, len(widths)) else ""
    units, classes, *_ = [*widths, "10"] if widths else ["400", "10"]
    factor = f"@{stated}" if re.fullmatch(_FACTOR, stated := architecture.partition("@")[2]) else ""
    return [
        "cnn",
        "-".join(["cnn", *(widths if len(widths) == 3 else ["32", "64", "200"])]),
        "-".join(["mlp", *(widths or ["30"])]),
        f"fc{'-'.join(widths or ['10'])}{suffix if decays else ''}",
        f"ae{units}-{classes}",
        f"googlenet{factor}",
        f"googlenet-small{factor}",
    ]
