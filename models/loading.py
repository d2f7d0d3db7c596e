"""Loading of trained nets: `.keras` files, without running any code in them, and SavedModel folders."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import tensorflow as tf
from etils import epath

from models import preflight
from models.classifier import Classifier
from models.errors import InputError

Shape = tuple[int, int, int]

UNIT = (0.0, 1.0)  # the range of images, unless a net takes another
_LUMA = (0.299, 0.587, 0.114)
_HDF5 = (".h5", ".hdf5")  # Keras's former format
_CODE = ("Lambda", "__lambda__", "TFSMLayer")
_NAME_KEYS = ("name", "keras_history", "input_layers", "output_layers")
# What differs between saves, versions and moments of training, and says nothing about what a net computes.
_INCIDENTAL_KEYS = (
    "build_config",
    "build_input_shape",
    "compile_config",
    "keras_version",
    "module",
    "registered_name",
    "shared_object_id",
    "trainable",
)


class _Net(NamedTuple):
    predict: Callable[[tf.Tensor], tf.Tensor]
    batch_shape: tuple[int | None, ...]
    digest: str


def load(
    path: epath.PathLike,
    *,
    name: str | None = None,
    from_logits: bool = False,
    signature: str = "serving_default",
    input_range: Sequence[float] = UNIT,
    input_mean: Sequence[float] = (),
    input_std: Sequence[float] = (),
    resize: bool = False,
    expected_shape: Shape | None = None,
) -> Classifier:
    """Loads a net and runs the preflight checks on it.

    Args:
      path: a `.keras` file or a SavedModel folder, local or in a bucket.
      name: what to call it; the file's name without its ending if not given.
      from_logits: whether the net gives logits; they are then put through softmax.
      signature: of a SavedModel, from one float input `[B, H, W, C]` to one output `[B, K]`.
      input_range: what black and white are to the net.
      input_mean, input_std: what is subtracted from images in [0, 1], and what they are divided by then: one number, or
        one for each of the net's channels; both or neither, and not with an `input_range`.
      resize: whether images are brought to the net's own height, width and channels: bilinear, grey repeated for each
        colour, colour as its luma (ITU-R 601).
      expected_shape: `(H, W, C)` of the seed images; settles what the net leaves open.

    Returns:
      The classifier.

    Raises:
      InputError: the path is missing, unreadable or holds code, or the net does not fit or fails a check.
    """
    path = epath.Path(path)
    name = name or path.stem
    net = _with_range(_read(path, name, signature, expected_shape), *input_range)
    if input_mean:
        net = _normalizing(net, name, input_mean, input_std, expected_shape)
    if resize and expected_shape:
        net = _resizing(net, name, expected_shape)
    input_shape = _input_shape(name, net.batch_shape, expected_shape)
    kernels = preflight.fastest_kernels(name, net.predict, input_shape)
    answers = preflight.ask(name, net.predict, input_shape, kernels)
    first = answers[0]
    if first.ndim != 2 or first.shape[1] < 2:
        raise InputError(
            f"Net {name!r} answers {len(first)} images with shape {first.shape}, not ({len(first)}, K) for K >= 2 "
            "classes; give a net with one output value for each class."
        )
    if from_logits:
        preflight.check_logits(name, first)
        net, answers = _with_softmax(net), tf.nn.softmax(answers).numpy()
    classifier = Classifier(name, net.predict, input_shape, first.shape[1], net.digest, os.fspath(path), kernels)
    preflight.check_answers(classifier, answers)
    return classifier


def digest(model: tf.keras.Model) -> str:
    """Returns the SHA-256, in hexadecimal, of a model's architecture and weights.

    It survives saving and loading, and leaves out names, so that two nets built and trained alike have the same.
    """
    architecture = json.dumps(_canonical(json.loads(model.to_json()), {}), sort_keys=True)
    total = hashlib.sha256(architecture.encode())
    for weight in model.weights:
        values = weight.numpy()
        total.update(f"{values.shape} {values.dtype} ".encode())
        total.update(values.tobytes())
    return total.hexdigest()


def _canonical(node: Any, names: dict[str, str]) -> Any:
    """Strips a model's JSON of what is incidental, and numbers layer names by first appearance."""
    if isinstance(node, list):
        return [_canonical(item, names) for item in node]
    if not isinstance(node, dict):
        return node
    if str(node.get("class_name", "")).endswith("DTypePolicy"):  # its name is its meaning, such as "float16"
        return node["config"]
    return {
        key: _renamed(node[key], names) if key in _NAME_KEYS else _canonical(node[key], names)
        for key in sorted(node)
        if key not in _INCIDENTAL_KEYS
    }


def _renamed(node: Any, names: dict[str, str]) -> Any:
    if isinstance(node, str):
        return names.setdefault(node, str(len(names)))
    if isinstance(node, list):
        return [_renamed(item, names) for item in node]
    return node


def _read(path: epath.Path, name: str, signature: str, expected_shape: Shape | None) -> _Net:
    if not path.exists():
        raise InputError(f"Net {name!r}: there is nothing at {path}; train the net or correct its path.")
    if path.suffix == ".keras":
        return _read_keras(path, name, expected_shape)
    if path.is_dir():
        return _read_saved_model(path, name, signature)
    raise InputError(f"Net {name!r}: {path} is neither a .keras file nor a SavedModel folder; {_conversion(path)}.")


def _conversion(path: epath.Path) -> str:
    """Says how a file of another kind becomes one that can be loaded."""
    if path.suffix not in _HDF5:
        return "save it as one of them"
    old, new = os.fspath(path), os.fspath(path.with_suffix(".keras"))
    if path.name.endswith(".weights.h5"):  # weights alone, which say nothing of the layers
        return f"build its model, call model.load_weights({old!r}), and save the model as a .keras file"
    line = f"import tensorflow as tf; tf.keras.models.load_model({old!r}, compile=False).save({new!r})"
    return f'convert it with: python -c "{line}"'


def _read_keras(path: epath.Path, name: str, expected_shape: Shape | None) -> _Net:
    _refuse_code(path, name)
    try:
        model = tf.keras.models.load_model(os.fspath(path), compile=False, safe_mode=True)
    except TypeError as error:  # what Keras raises on a description that it does not understand
        raise InputError(
            f"Net {name!r} ({path}) has parts that Keras {tf.keras.__version__} cannot rebuild, such as a function of "
            "its author's; rebuild it from Keras's own layers or export it as a SavedModel."
        ) from error
    except Exception as error:  # a damaged or hostile file can fail in any way
        raise _unreadable(path, name, preflight.reason(error)) from error
    inputs, outputs = getattr(model, "inputs", None) or [], getattr(model, "outputs", None) or []
    if not inputs:
        raise InputError(
            f"Net {name!r} ({path}) was saved before it knew its input; begin it with a layer "
            f"Input({expected_shape or '(H, W, C)'}) and save it again."
        )
    if len(inputs) != 1 or len(outputs) != 1:
        raise InputError(
            f"Net {name!r} ({path}) has {len(inputs)} inputs and {len(outputs)} outputs; "
            "save a model with one declared input and one output."
        )
    _require_float(name, tf.as_dtype(inputs[0].dtype))

    def predict(images: tf.Tensor) -> tf.Tensor:
        return tf.cast(model(images, training=False), tf.float32)

    return _Net(predict, tuple(inputs[0].shape), digest(model))


def _refuse_code(path: epath.Path, name: str) -> None:
    """Reads the description in a `.keras` file as plain data, before anything is made of it."""
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            described = dict(json.loads(archive.read("config.json")))
        described.pop("compile_config", None)  # only for training, and not loaded
        parts = list(_objects(described))
    except Exception as error:  # a damaged or hostile file can fail in any way
        raise _unreadable(path, name, preflight.reason(error)) from error
    for part in parts:
        if part["class_name"] in _CODE:
            raise InputError(
                f"Net {name!r} ({path}) holds a {part['class_name'].strip('_')}, which runs code from the file when "
                "loaded; rebuild it from Keras's own layers or export it as a SavedModel."
            )
        if ">" in (part.get("registered_name") or "") or not _is_own(part.get("module")):
            raise InputError(
                f"Net {name!r} ({path}) holds {part['class_name']!r}, which is not one of Keras's own classes; "
                "export it as a SavedModel, which needs no Python code."
            )


def _objects(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if isinstance(node.get("class_name"), str):
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from _objects(item)


def _is_own(module: str | None) -> bool:
    return module is None or module == "builtins" or module.split(".")[0] == "keras"


def _unreadable(path: epath.Path, name: str, why: str) -> InputError:
    return InputError(
        f"Net {name!r}: {path} cannot be read as a .keras file and may be damaged ({why}); "
        "delete it and train or copy it again."
    )


def _read_saved_model(path: epath.Path, name: str, signature: str) -> _Net:
    try:
        module = tf.saved_model.load(os.fspath(path))
    except Exception as error:  # a damaged folder can fail in any way
        raise InputError(
            f"Net {name!r}: {path} cannot be read as a SavedModel ({preflight.reason(error)}); export the net again."
        ) from error
    function, spec = _function(module, path, name, signature)
    ((argument, image_spec),) = spec.items()

    def predict(images: tf.Tensor, module: Any = module) -> tf.Tensor:  # the module keeps the variables alive
        (answers,) = function(**{argument: tf.cast(images, image_spec.dtype)}).values()
        return _as_many(tf.cast(answers, tf.float32), images)

    return _Net(predict, _spec_shape(image_spec), _saved_model_digest(path, signature))


def _as_many(answers: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """Tells the graph that there are as many answers as images, which operations of other frameworks leave open."""
    if answers.shape.rank and answers.shape[0] is None:
        answers.set_shape([images.shape[0], *answers.shape[1:]])
    return answers


def _function(module: Any, path: epath.Path, name: str, signature: str) -> tuple[Any, dict[str, tf.TensorSpec]]:
    signatures = getattr(module, "signatures", {})
    if signature not in signatures:
        raise InputError(
            f"Net {name!r}: the SavedModel {path} has no signature {signature!r} but these: "
            f"{', '.join(sorted(signatures)) or 'none'}; set signature to one of them or export the net with one."
        )
    function = signatures[signature]
    inputs, outputs = function.structured_input_signature[1], function.structured_outputs
    if len(inputs) != 1 or len(outputs) != 1:
        raise InputError(
            f"Net {name!r}: signature {signature!r} of {path} has {len(inputs)} inputs ({', '.join(sorted(inputs))}) "
            f"and {len(outputs)} outputs ({', '.join(sorted(outputs))}); name or export one with one of each."
        )
    _require_float(name, next(iter(inputs.values())).dtype)
    return function, inputs


def _spec_shape(spec: tf.TensorSpec) -> tuple[int | None, ...]:
    return (None,) * 4 if spec.shape.rank is None else tuple(spec.shape.as_list())


def _saved_model_digest(path: epath.Path, signature: str) -> str:
    total = hashlib.sha256(signature.encode())
    variables = path / "variables"
    files = sorted(variables.iterdir()) if variables.exists() else []
    for file in [path / "saved_model.pb", *files]:
        content = file.read_bytes()
        total.update(f" {file.name} {len(content)} ".encode())
        total.update(content)
    return total.hexdigest()


def _with_softmax(net: _Net) -> _Net:
    def predict(images: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(net.predict(images))

    return _Net(predict, net.batch_shape, _derived("softmax", net))


def _with_range(net: _Net, low: float, high: float) -> _Net:
    """Shows a net images in [low, high] in place of [0, 1]."""
    if (low, high) == UNIT:
        return net

    def predict(images: tf.Tensor) -> tf.Tensor:
        return net.predict(images * (high - low) + low)

    return _Net(predict, net.batch_shape, _derived(f"range {low:g} {high:g}", net))


def _normalizing(net: _Net, name: str, mean: Sequence[float], std: Sequence[float], images_shape: Shape | None) -> _Net:
    """Shows a net images from which a mean was subtracted, divided by a standard deviation, channel by channel."""
    channels = net.batch_shape[-1] or (images_shape or (0, 0, 1))[2]
    for key, values in (("input_mean", mean), ("input_std", std)):
        if len(values) not in (1, channels):
            raise InputError(
                f"Net {name!r} takes images of {channels} channels, and {key} has {len(values)} numbers; give one, or "
                "one for each channel."
            )

    def predict(images: tf.Tensor) -> tf.Tensor:
        return net.predict((images - tf.constant(mean, tf.float32)) / tf.constant(std, tf.float32))

    told = " ".join(f"{value:.9g}" for value in (*mean, *std))
    return _Net(predict, net.batch_shape, _derived(f"normalize {len(mean)} {told}", net))


def _resizing(net: _Net, name: str, images_shape: Shape) -> _Net:
    """Shows a net images of another shape than its own."""
    if len(net.batch_shape) != 4:  # `load` tells
        return net
    own = _as_shape(
        wanted if size is None else size for size, wanted in zip(net.batch_shape[1:], images_shape, strict=True)
    )
    if own == images_shape:
        return net
    if {own[2], images_shape[2]} - {1, 3} and own[2] != images_shape[2]:
        raise InputError(
            f"Net {name!r} takes images of {own[2]} channels and the seed images have {images_shape[2]}; only grey and "
            "colour are made of each other."
        )

    def predict(images: tf.Tensor) -> tf.Tensor:
        if own[:2] != images_shape[:2]:
            images = tf.image.resize(images, own[:2], tf.image.ResizeMethod.BILINEAR)
        if own[2] > images_shape[2]:
            images = tf.repeat(images, own[2], axis=-1)
        elif own[2] < images_shape[2]:
            images = tf.reduce_sum(images * tf.constant(_LUMA), axis=-1, keepdims=True)
        return net.predict(images)

    shapes = " to ".join("x".join(map(str, shape)) for shape in (images_shape, own))
    return _Net(predict, (net.batch_shape[0], *images_shape), _derived(f"resize {shapes}", net))


def _derived(what: str, net: _Net) -> str:
    """Returns the digest of a net with something before or after it."""
    return hashlib.sha256(f"{what} {net.digest}".encode()).hexdigest()


def _require_float(name: str, dtype: tf.DType) -> None:
    if not dtype.is_floating:
        raise InputError(
            f"Net {name!r} takes {dtype.name} images; give a net that takes floating-point images in [0, 1]."
        )


def _input_shape(name: str, batch_shape: tuple[int | None, ...], expected_shape: Shape | None) -> Shape:
    if len(batch_shape) == 4 and batch_shape[0] is not None:
        raise InputError(
            f"Net {name!r} takes batches of exactly {batch_shape[0]}, as a model does that was not told its input; "
            f"begin it with a layer Input({batch_shape[1:]}), without a batch size, and save it again (a SavedModel: "
            f"with a signature for {(None, *batch_shape[1:])})."
        )
    if len(batch_shape) != 4:
        raise InputError(
            f"Net {name!r} takes input of shape {batch_shape}, not (None, H, W, C); "
            "give a net that takes any number of images."
        )
    declared = batch_shape[1:]
    if expected_shape is None:
        if None in declared:
            raise InputError(f"Net {name!r} leaves its input shape {declared} open; give the shape of the seed images.")
        return _as_shape(declared)
    settled = [size if size is not None else wanted for size, wanted in zip(declared, expected_shape, strict=True)]
    preflight.require_shape(name, _as_shape(settled), expected_shape)
    return _as_shape(settled)


def _as_shape(sizes: Any) -> Shape:
    height, width, channels = (int(size) for size in sizes)
    return height, width, channels
