"""``TYPE[,TYPE] [NAME...]`` and ``TYPE/NAME...`` on the command line."""

from dataclasses import dataclass

from tiphys.cli.discovery import Discovery, Kind
from tiphys.cli.errors import UserError


@dataclass(frozen=True, slots=True)
class Chosen:
    """Objects of one resource: those named, or all that selectors leave if none is."""

    kind: Kind
    names: tuple[str, ...] = ()


def parse(words: tuple[str, ...], discovery: Discovery) -> list[Chosen]:
    """What the words mean, in their order. Raises UserError."""
    if any("/" in word for word in words):
        return _pairs(words, discovery)
    kinds = [kind for word in words[0].split(",") if word for kind in discovery.find_all(word)]
    return [Chosen(kind, words[1:]) for kind in dict.fromkeys(kinds)]


def _pairs(words: tuple[str, ...], discovery: Discovery) -> list[Chosen]:
    found: list[Chosen] = []
    for word in words:
        kind_word, slash, name = word.partition("/")
        if not slash:
            raise UserError(
                "there is no need to specify a resource type as a separate argument when passing arguments in "
                f"resource/name form (e.g. 'tiphys get resource/<resource_name>'); \"{word}\" is not of that form"
            )
        if not kind_word or not name or "/" in name:
            raise UserError(f'arguments in resource/name form must have a single resource and name: "{word}"')
        kind = discovery.find(kind_word)
        if found and found[-1].kind == kind:
            found[-1] = Chosen(kind, (*found[-1].names, name))
        else:
            found.append(Chosen(kind, (name,)))
    return found
