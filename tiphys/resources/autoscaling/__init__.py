"""Resources of the autoscaling group, one module each."""
