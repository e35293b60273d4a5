"""Training: the state of a run, the step that advances it, the loop around the step, and the files that it keeps."""
