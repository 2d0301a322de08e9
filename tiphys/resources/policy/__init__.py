"""Resources of the policy/v1 group, one module each."""
