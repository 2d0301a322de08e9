"""Which provider writes a resource and which may read it."""

from collections.abc import Mapping, Sequence

from tiphys.apiserver.encryption.providers import KeyUnavailable, Provider, TransformError

NO_MATCH = "no matching prefix found"


class Chain:
    """The first provider writes; a value is read by the first one whose prefix it has and who can."""

    def __init__(self, providers: Sequence[Provider]) -> None:
        self._providers = providers

    @property
    def tag(self) -> bytes:
        """What values written now begin with."""
        return self._providers[0].tag

    def seal(self, data: bytes, path: bytes) -> bytes:
        return self._providers[0].seal(data, path)

    async def open(self, data: bytes, path: bytes) -> tuple[bytes, bytes]:
        """The value and its tag. Raises TransformError."""
        problems: list[str] = []
        for provider in self._providers:
            if data.startswith(provider.prefix):
                try:
                    return await provider.open(data, path)
                except KeyUnavailable:
                    raise
                except TransformError as problem:
                    problems.append(str(problem))
        raise TransformError(problems[-1] if len(problems) == 1 else "; ".join(problems) or NO_MATCH)


class Chains:
    """The chain of each resource: its own, else its group's, else that of all."""

    def __init__(self, chains: Mapping[tuple[str, str], Chain]) -> None:
        self._chains = chains

    def of(self, group: str, resource: str) -> Chain | None:
        """None: the resource is kept as it is."""
        for name in ((group, resource), (group, "*"), ("*", "*")):
            if name in self._chains:
                return self._chains[name]
        return None
