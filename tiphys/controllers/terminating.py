"""The refusal that a namespace on its way out gives to whoever creates something in it."""

from tiphys.machinery import errors


def is_namespace_terminating(error: BaseException) -> bool:
    """Whether nothing can be created there any more, and nothing needs to be."""
    if not isinstance(error, errors.StatusError) or error.details is None:
        return False
    return any(cause.reason == "NamespaceTerminating" for cause in error.details.causes or ())
