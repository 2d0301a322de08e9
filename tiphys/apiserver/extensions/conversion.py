"""Versions that only a webhook can convert: asked before an object is needed, kept with its entry.

Everything that serves objects is synchronous once it has them. So whoever is
about to read entries awaits ``prepare`` first, which asks for all of them in
one review per stored version.
Source: Kubernetes docs, "Webhook conversion"; the webhook converter, by behaviour and messages.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

from tiphys.api import apiextensions_v1
from tiphys.apiserver.entries import Entry, View, tail_of, value_of
from tiphys.apiserver.webhooks.client import CallError, ClientConfig
from tiphys.machinery import codec, errors
from tiphys.machinery.custom import CustomObject
from tiphys.resources.rules import Resource

TIMEOUT_SECONDS: Final = 30.0
GROUP: Final = "apiextensions.k8s.io"
#: Reviews that we speak, the one we like best first.
REVIEWS: Final = ("v1", "v1beta1")


class Post(Protocol):
    """Asks a webhook; raises CallError."""

    async def __call__(self, config: ClientConfig, body: bytes, timeout_seconds: float) -> bytes: ...


class Webhook:
    """One definition's conversion webhook."""

    def __init__(
        self, conversion: apiextensions_v1.WebhookConversion, kind: str, post: Post, uid: Callable[[], str]
    ) -> None:
        assert conversion.clientConfig is not None
        self._client: Any = conversion.clientConfig
        self._kind = kind
        self._post = post
        self._uid = uid
        self._review = next(version for version in REVIEWS if version in conversion.conversionReviewVersions)

    async def convert(self, objects: Sequence[dict[str, Any]], wanted: str) -> list[dict[str, Any]]:
        """The objects in version ``wanted`` (with its group), in their order. Raises UnknownError (500)."""
        about = f"conversion webhook for {objects[0]['apiVersion']}, Kind={self._kind}"
        uid = self._uid()
        version = f"{GROUP}/{self._review}"
        request = {"uid": uid, "desiredAPIVersion": wanted, "objects": objects}
        question = codec.encode({"kind": "ConversionReview", "apiVersion": version, "request": request})
        try:
            answer = codec.decode_builtins(await self._post(self._client, question, TIMEOUT_SECONDS))
            converted = _converted(answer, uid, version)
        except (CallError, codec.DecodeError, _Refused) as problem:
            raise _failure(f"{about} failed: {problem}") from problem
        if len(converted) != len(objects):
            raise _failure(f"{about} returned {len(converted)} objects, expected {len(objects)}")
        return [
            _checked(old, new, wanted, index, about)
            for index, (old, new) in enumerate(zip(objects, converted, strict=True))
        ]


class _Refused(Exception):
    """The review does not say success; ``str()`` is what it says."""


def _failure(text: str) -> errors.StatusError:
    # An error of the server without a reason, as in Kubernetes.
    return errors.UnknownError(text, None, 500, "")


def _converted(answer: Any, uid: str, version: str) -> list[Any]:
    review = answer if isinstance(answer, dict) else {}
    if (review.get("apiVersion"), review.get("kind")) != (version, "ConversionReview"):
        found = f"{review.get('apiVersion') or ''}, Kind={review.get('kind') or ''}"
        raise _Refused(f"expected webhook response of {version}, Kind=ConversionReview, got {found}")
    response = review.get("response")
    if not isinstance(response, dict):
        raise _Refused("no response provided")
    if response.get("uid") != uid:
        raise _Refused(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    result = response.get("result")
    said = result if isinstance(result, dict) else {}
    if said.get("status") != "Success":
        raise _Refused(said.get("message") or "with no failure message")
    converted = response.get("convertedObjects") or []
    if not isinstance(converted, list):
        raise _Refused("convertedObjects is no list")
    return converted


def _checked(old: dict[str, Any], new: Any, wanted: str, index: int, about: str) -> dict[str, Any]:
    """A converted object with the metadata that it had, but for labels and annotations."""
    wrong = f"{about} returned invalid converted object at index {index}"
    if not isinstance(new, dict):
        raise _failure(f"{wrong}: invalid type")
    if new.get("apiVersion") != wanted:
        raise _failure(f"{wrong}: invalid groupVersion (expected {wanted}, received {new.get('apiVersion') or ''})")
    if new.get("kind") != old["kind"]:
        raise _failure(f"{wrong}: invalid kind (expected {old['kind']}, received {new.get('kind') or ''})")
    given = new.get("metadata")
    if not isinstance(given, dict):
        raise _failure(f"{about} returned invalid metadata of object at index {index}: invalid metadata")
    was = old["metadata"]
    for field in ("name", "namespace", "uid"):
        if given.get(field, "") != was.get(field, ""):
            raise _failure(f"{about} returned invalid metadata of object at index {index}: {field} must not change")
    metadata = {name: held for name, held in was.items() if name not in ("labels", "annotations")}
    metadata |= {name: given[name] for name in ("labels", "annotations") if given.get(name)}
    return {**new, "metadata": metadata}


class Conversion:
    """Conversion between what is stored and one served version. ``view`` finds what ``prepare`` has kept."""

    def __init__(self, webhook: Webhook, view: View, storage: Resource) -> None:
        self._webhook = webhook
        self._view = view
        self._row = view.row
        self._storage = storage
        self._cut = len(view.head) + len(b'"metadata":{')

    def missing(self, entries: Iterable[Entry | None]) -> list[Entry]:
        """Entries that are not there in this version yet."""
        head, view = self._view.head, self._view
        written = ((entry.origin or entry) for entry in entries if entry is not None and entry.head != head)
        return [entry for entry in written if view not in entry.memo]

    async def prepare(self, entries: Iterable[Entry | None]) -> None:
        """See to it that the view can show all of these. Raises UnknownError."""
        by_head: defaultdict[bytes, list[Entry]] = defaultdict(list)
        for entry in self.missing(entries):
            by_head[entry.head].append(entry)
        for same in by_head.values():
            objects = []
            for entry in same:
                stored: Any = entry.bare()
                stored.metadata.managedFields = entry.owners()
                entry.row.strategy.default(stored)
                objects.append(stored.plain())
            for entry, found in zip(same, await self._webhook.convert(objects, self._row.api_version), strict=True):
                obj = _typed(self._row, found)
                obj.metadata.resourceVersion = ""
                obj.metadata.managedFields = None
                entry.memo[self._view] = tail_of(codec.encode(obj), self._cut, entry.revision)

    async def encode(self, obj: CustomObject) -> bytes:
        """The bytes to store of an object of this version. Raises UnknownError."""
        obj.metadata.resourceVersion = ""
        if self._row.api_version == self._storage.api_version:
            return value_of(obj)
        found = await self._webhook.convert([obj.plain()], self._storage.api_version)
        return value_of(_typed(self._storage, found[0]))


def _typed(row: Resource, found: dict[str, Any]) -> Any:
    """What a webhook has made, as an object. Raises UnknownError."""
    try:
        return codec.convert(row.cls, found)
    except codec.DecodeError as problem:
        raise _failure(f"conversion webhook returned an object that is none: {problem}") from problem
