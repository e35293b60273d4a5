"""The machine: devices, memory, files, and the start of TensorFlow."""
