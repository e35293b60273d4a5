"""The machine underneath: devices, memory, files, and how TensorFlow starts."""
