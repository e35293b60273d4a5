"""The command `cyclegan version`, which shows what a bug report should contain."""

import importlib.metadata
import os
import platform

import click

import cyclegan
from cyclegan.runtime.startup import import_tensorflow

_LIBRARIES = ("tensorflow", "keras", "tensorflow-datasets", "tensorboard", "numpy")


@click.command()
def command() -> None:
    """Show versions and devices for bug reports."""
    _show("cyclegan", cyclegan.__version__)
    _show("python", platform.python_version())
    for library in _LIBRARIES:
        _show(library, importlib.metadata.version(library))
    _show("platform", platform.platform())
    _show("CPUs", str(os.cpu_count()))

    # TensorFlow comes last, so that the lines above are shown even if it does not start.
    import_tensorflow()
    import tensorflow as tf

    for device in tf.config.list_physical_devices():
        details = tf.config.experimental.get_device_details(device)
        _show(
            "device",
            " ".join([device.name.removeprefix("/physical_device:"), details.get("device_name", "")]),
        )


def _show(name: str, value: str) -> None:
    click.echo(f"{name:<20}{value.strip()}")
