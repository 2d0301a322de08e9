"""``$(NAME)`` in commands, arguments, variables and subPathExpr.

Source: Kubernetes docs, "Define Dependent Environment Variables": ``$$`` stands for one ``$``, and a reference
to a name that is not known stays as it is.
"""

from collections.abc import Callable, Mapping


def expand(text: str, variables: Mapping[str, str], unknown: Callable[[str], None] | None = None) -> str:
    """``text`` with all references replaced; ``unknown`` hears of each name that is not in ``variables``."""
    if "$" not in text:
        return text
    parts: list[str] = []
    position = 0
    while True:
        dollar = text.find("$", position)
        if dollar < 0 or dollar + 1 >= len(text):
            parts.append(text[position:])
            return "".join(parts)
        parts.append(text[position:dollar])
        following = text[dollar + 1]
        if following == "$":
            parts.append("$")
            position = dollar + 2
            continue
        end = text.find(")", dollar) if following == "(" else -1
        if end < 0:
            # Not a reference: the dollar stands for itself.
            parts.append("$(" if following == "(" else "$" + following)
            position = dollar + 2
            continue
        name = text[dollar + 2 : end]
        if name in variables:
            parts.append(variables[name])
        else:
            parts.append(text[dollar : end + 1])
            if unknown is not None:
                unknown(name)
        position = end + 1
