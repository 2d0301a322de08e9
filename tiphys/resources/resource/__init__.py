"""Resources of the resource.k8s.io group: devices that Pods may claim. One module each, and what they share."""
