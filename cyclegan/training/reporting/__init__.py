"""What a training shows: lines and a progress bar, TensorBoard, pictures."""
