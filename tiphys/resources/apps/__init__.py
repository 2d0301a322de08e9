"""Resources of the apps/v1 group, one module each."""
