"""JSONPath templates as kubectl's ``-o jsonpath``."""
