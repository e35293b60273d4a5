"""A generator over the strips of an image too large for the memory, with the result for the whole image.

Instance, group and layer norm take mean and variance over a whole feature map, which no strip of it knows. So the
network is cut in front of each norm. Piece after piece is computed strip by strip, each strip with as many rows of its
neighbours as the convolutions of the piece reach; the moments of all strips together are those of the whole map, and
the next piece normalizes by them. Maps as high as the image are not kept but computed again by the piece that reads
them: they are the largest, and the cheapest to compute.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from cyclegan.config.sections import GeneratorConfig
from cyclegan.networks.generators import build_generator
from cyclegan.networks.weights import named_weights


class _Piece(NamedTuple):
    """A part of the network, from maps that are kept to one tensor."""

    sources: list[keras.KerasTensor]
    target: keras.KerasTensor
    is_kept: bool
    norms: list[str]  # which read the target and need its moments
    num_units: int  # height of the lowest map in it; strips consist of whole units
    reach: int  # units of neighbours on either side that a strip needs
    needed: set[int]  # ids of the kept maps that later pieces read


def translate_tiled(
    generator: keras.Model,
    config: GeneratorConfig,
    image: np.ndarray,
    tile_size: int,
    *,
    check: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Translates one image in strips, equal to `generator(image)` but for rounding.

    Args:
        generator: from `build_generator`, in float32.
        config: its architecture.
        image: float32 [height, width, channels in] in [-1, 1], of a size that the generator takes.
        tile_size: rows of the image in a strip. Fewer take less memory and, because neighbouring rows are computed
            twice, more time.
        check: called before each strip; what it raises ends the work.

    Returns:
        float32 [height, width, channels out] in [-1, 1].
    """
    network, groups = _copy_with_given_statistics(generator, config, (image.shape[0], image.shape[1], image.shape[2]))
    pieces = _cut(network, set(groups))
    result = image[np.newaxis]
    maps = {id(network.input): result}
    for piece in pieces:
        kept = np.empty((1, *piece.target.shape[1:]), np.float32) if piece.is_kept else None
        moments = []
        for rows, values in _strips(piece, maps, tile_size, check):
            if kept is not None:
                kept[:, rows] = values
            if piece.norms:
                mean, variance = tf.nn.moments(values, axes=(0, 1, 2))
                moments.append((values.shape[1], mean.numpy(), variance.numpy()))
        for name in piece.norms:
            mean, variance = _merge(moments, groups[name])
            layer = network.get_layer(name)
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(variance)
        if kept is not None:
            result = maps[id(piece.target)] = kept
        maps = {key: value for key, value in maps.items() if key in piece.needed}
    return result[0]


def tiled_bytes(generator: keras.Model, config: GeneratorConfig, image_shape: tuple[int, int, int]) -> int:
    """Memory of the feature maps that `translate_tiled` keeps at once, in bytes, beside that of one strip."""
    network, groups = _copy_with_given_statistics(generator, config, image_shape)
    pieces = _cut(network, set(groups))
    peak, alive = 0, {id(network.input): _bytes(network.input)}
    for piece in pieces:
        if piece.is_kept:
            alive[id(piece.target)] = _bytes(piece.target)
        peak = max(peak, sum(alive.values()))
        alive = {key: size for key, size in alive.items() if key in piece.needed}
    return peak


def _bytes(tensor: keras.KerasTensor) -> int:
    return 4 * math.prod(tensor.shape[1:])


def _copy_with_given_statistics(
    generator: keras.Model, config: GeneratorConfig, image_shape: tuple[int, int, int]
) -> tuple[keras.Model, dict[str, int]]:
    """The same network for one size, and the number of groups of each norm that waits for its statistics."""
    channels = generator.input.shape[-1], generator.output.shape[-1]
    copy = build_generator(config, *channels, image_size=image_shape[:2], given_statistics=True)
    weights = named_weights(generator)
    for key, variable in named_weights(copy).items():
        if key in weights:
            variable.assign(weights[key])
    norms = [layer for layer in generator.layers if isinstance(layer, keras.layers.GroupNormalization)]
    return copy, {layer.name: layer.groups for layer in norms}


def _cut(network: keras.Model, norms: set[str]) -> list[_Piece]:
    """The pieces in the order of their computation, the last one ending with the output.

    Pieces end where a norm needs moments, and where a map has several readers: that is kept, or every piece behind a
    chain of residual blocks would reach back to its start.
    """
    height = network.input.shape[1]
    readers = Counter(id(tensor) for operation in network.operations for tensor in _inputs(operation))
    maker = {id(operation.output): operation for operation in network.operations}
    kept = {id(network.input)}
    targets: dict[int, tuple[keras.KerasTensor, list[str]]] = {}
    for operation in network.operations:
        if operation.name in norms:
            targets.setdefault(id(operation.input), (operation.input, []))[1].append(operation.name)
        output = operation.output
        if readers[id(output)] > 1 and output is not network.input and output.shape[1] < height:
            targets.setdefault(id(output), (output, []))
    targets[id(network.output)] = (network.output, [])

    pieces = []
    for target, waiting in targets.values():
        sources, inside, ahead = {}, {}, [target]
        while ahead:
            tensor = ahead.pop()
            if id(tensor) in kept:
                sources[id(tensor)] = tensor
            elif id(tensor) not in inside:
                inside[id(tensor)] = maker[id(tensor)]
                ahead += _inputs(maker[id(tensor)])
        heights = [tensor.shape[1] for tensor in [target, *sources.values()]]
        num_units = min([*heights, *(operation.output.shape[1] for operation in inside.values())])
        is_kept = target is network.output or target.shape[1] < height
        reach = sum((_reach(operation, num_units) for operation in inside.values()), Fraction())
        pieces.append(_Piece(list(sources.values()), target, is_kept, waiting, num_units, math.ceil(reach), set()))
        if is_kept:
            kept.add(id(target))
    for piece, later in zip(pieces[-2::-1], pieces[:0:-1], strict=True):
        piece.needed.update(later.needed, map(id, later.sources))
    return pieces


def _inputs(operation: keras.Operation) -> list[keras.KerasTensor]:
    if isinstance(operation, keras.layers.InputLayer):
        return []
    inputs = operation.input
    return list(inputs) if isinstance(inputs, list | tuple) else [inputs]


def _reach(operation: keras.Operation, num_units: int) -> Fraction:
    """How far beyond its own place an operation reads, or what it puts at the border spreads, at most, in units."""
    rows = max(tensor.shape[1] for tensor in _inputs(operation))
    if hasattr(operation, "kernel_size"):
        reach = operation.kernel_size[0] // 2 + 1
    else:  # paddings, poolings and resizes change the height
        reach = 2 if rows != operation.output.shape[1] else 0
    return Fraction(reach * num_units, rows)


def _strips(
    piece: _Piece, maps: dict[int, np.ndarray], tile_size: int, check: Callable[[], None]
) -> Iterator[tuple[slice, np.ndarray]]:
    """The target of a piece, strip by strip: its rows and their values [1, rows, width, channels]."""
    model = keras.Model(piece.sources, piece.target)

    specs = [tf.TensorSpec([1, None, *source.shape[2:]], tf.float32) for source in piece.sources]
    compute = tf.function(lambda *sources: model(list(sources), training=False)).get_concrete_function(*specs)

    image_rows = max(source.shape[1] for source in [*piece.sources, piece.target])
    units = max(1, tile_size * piece.num_units // image_rows)
    for start in range(0, piece.num_units, units):
        check()
        end = min(start + units, piece.num_units)
        first, last = max(0, start - piece.reach), min(end + piece.reach, piece.num_units)
        inputs = []
        for source in piece.sources:
            scale = source.shape[1] // piece.num_units
            inputs.append(tf.constant(maps[id(source)][:, first * scale : last * scale]))
        scale = piece.target.shape[1] // piece.num_units
        values = compute(*inputs)[:, (start - first) * scale : (end - first) * scale]
        yield slice(start * scale, end * scale), values.numpy()


def _merge(moments: list[tuple[int, np.ndarray, np.ndarray]], num_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance [channels] of a whole map, from (rows, mean, variance) of its strips.

    The variance of parts together is the mean of their variances plus the variance of their means (Chan et al. 1979);
    so for strips and then, as all have the same size, for the channels of a group.
    """
    rows, means, variances = (np.array(values, np.float64) for values in zip(*moments, strict=True))
    share = (rows / rows.sum())[:, np.newaxis]
    mean = (share * means).sum(0)
    variance = (share * (variances + (means - mean) ** 2)).sum(0)
    groups = mean.reshape(num_groups, -1)
    group_mean = groups.mean(1, keepdims=True)
    group_variance = (variance.reshape(num_groups, -1) + (groups - group_mean) ** 2).mean(1, keepdims=True)
    repeats = groups.shape[1]
    return group_mean.repeat(repeats), group_variance.repeat(repeats)
