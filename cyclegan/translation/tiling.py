"""Translation in strips, for images that are too large for the memory. The result is the same as in one piece.

Instance, group and layer norm need the mean and variance of a whole feature map, which cannot be computed from a single
strip. So the network is cut into pieces that end in front of each norm. A piece is computed strip by strip, each strip
with as many neighbouring rows as the convolutions of the piece reach. The moments of all strips give the moments of the
whole map, with which the next piece normalizes. Maps that are as high as the image are not kept. The piece that reads
them computes them again, because they take the most memory and the least time.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from cyclegan.config.networks import GeneratorConfig
from cyclegan.networks.generators import build_generator
from cyclegan.networks.weights import named_weights


class _Piece(NamedTuple):
    """A part of the network, from maps that are kept to one tensor."""

    sources: list[keras.KerasTensor]
    target: keras.KerasTensor
    is_kept: bool
    norms: list[str]  # the norms that read the target and need its moments
    num_units: int  # the height of the lowest map in the piece; strips consist of whole units
    reach: int  # the number of neighbouring units that a strip needs on either side
    needed: set[int]  # the ids of the kept maps that later pieces read


def translate_tiled(
    generator: keras.Model,
    config: GeneratorConfig,
    image: np.ndarray,
    tile_size: int,
    *,
    check: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Translates one image in strips. The result is equal to `generator(image)` except for rounding.

    Args:
        generator: a network from `build_generator`, in float32.
        config: the architecture of the generator.
        image: float32 [height, width, channels in] in [-1, 1], of a size that the generator takes.
        tile_size: the number of rows of the image in a strip. Fewer rows take less memory, but more time, because
            neighbouring rows are computed twice.
        check: called before each strip; an exception that it raises ends the work.

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
    translated: np.ndarray = result[0]
    return translated


def tiled_bytes(generator: keras.Model, config: GeneratorConfig, image_shape: tuple[int, int, int]) -> int:
    """Peak memory in bytes of the feature maps that `translate_tiled` keeps, without the memory of one strip."""
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
    num_values: int = math.prod(tensor.shape[1:])
    return 4 * num_values


def _copy_with_given_statistics(
    generator: keras.Model, config: GeneratorConfig, image_shape: tuple[int, int, int]
) -> tuple[keras.Model, dict[str, int]]:
    """The same network for one image size, and the number of groups of each norm that needs statistics."""
    channels = generator.input.shape[-1], generator.output.shape[-1]
    copy = build_generator(config, *channels, image_size=image_shape[:2], given_statistics=True)
    weights = named_weights(generator)
    for key, variable in named_weights(copy).items():
        if key in weights:
            variable.assign(weights[key])
    norms = [layer for layer in generator.layers if isinstance(layer, keras.layers.GroupNormalization)]
    return copy, {layer.name: layer.groups for layer in norms}


def _cut(network: keras.Model, norms: set[str]) -> list[_Piece]:
    """Cuts the network into pieces, in the order of their computation. The last piece ends with the output.

    A piece ends in front of a norm that needs moments, and at a map that several operations read. Such a map is kept.
    Otherwise each piece after a chain of residual blocks would reach back to the start of the chain.
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
    """The largest distance, in units, over which an output of an operation depends on its input or on its padding."""
    rows = max(tensor.shape[1] for tensor in _inputs(operation))
    if size := getattr(operation, "kernel_size", None) or getattr(operation, "pool_size", None):
        reach = size[0] // 2 + 1
    else:  # paddings, poolings and resizes change the height
        reach = 2 if rows != operation.output.shape[1] else 0
    return Fraction(reach * num_units, rows)


def _strips(
    piece: _Piece, maps: dict[int, np.ndarray], tile_size: int, check: Callable[[], None]
) -> Iterator[tuple[slice, np.ndarray]]:
    """Computes the target of a piece strip by strip: the rows and their values [1, rows, width, channels]."""
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

    The variance of a whole is the mean of the variances of its parts plus the variance of their means (Chan et al.
    1979). The parts are first the strips, weighted by their rows, and then the channels of a group.
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
