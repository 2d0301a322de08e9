"""Resources of the batch/v1 group, one module each."""
