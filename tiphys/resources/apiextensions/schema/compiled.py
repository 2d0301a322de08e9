"""One version's schema with everything that serving needs of it, made once."""

from collections.abc import Sequence

import msgspec

from tiphys.machinery.custom import CustomObject
from tiphys.machinery.fields import FieldError
from tiphys.resources.apiextensions.schema import checking, defaulting, lists, nodes, paths, problems, pruning

#: What a version without a schema has: everything is kept and nothing refused.
OPEN = {"type": "object", paths.PRESERVE: True}


class Schema:
    """See the module. ``props`` is the ``openAPIV3Schema`` as plain data."""

    def __init__(self, props: paths.Schema | None) -> None:
        self.props = props if props is not None else OPEN
        self.node = nodes.of_object(props)
        self._clean = pruning.clean(self.props, root=True)
        self._default = defaulting.default(self.props, root=True)
        self._check = checking.check_of(self.props, root=True)
        about_metadata = paths.properties(self.props).get("metadata")
        #: Restrictions of names, which are rare.
        self._metadata = about_metadata if about_metadata and about_metadata.get("properties") else None
        self._lists = lists.walker(self.props)

    def is_clean(self, obj: CustomObject) -> bool:
        """Whether there is nothing to prune."""
        return self._clean is None or self._clean(obj)

    def prune(self, obj: CustomObject) -> list[str]:
        """Drop unknown fields; sentences about them, by path."""
        if self._clean is None or self._clean(obj):
            return []
        dropped: list[str] = []
        pruning.prune(self.props, obj, "", dropped, root=True)
        return [f'unknown field "{path}"' for path in sorted(dropped)]

    def default(self, obj: CustomObject) -> None:
        """Fill in what is left out."""
        if self._default is not None:
            self._default(obj)

    def problems(self, obj: CustomObject, old: CustomObject | None = None) -> Sequence[FieldError]:
        """All that is wrong with the values of ``obj``, but for what was so in ``old``."""
        found: list[FieldError] = []
        if self._check is not None and not self._check(obj):
            before = old if old is not None else problems.MISSING
            found += problems.problems(self.props, obj, "", before, root=True)
        if self._metadata is not None:
            plain = msgspec.to_builtins(obj.metadata, enc_hook=str)
            found += problems.problems(self._metadata, plain, "metadata")
        if self._lists is not None:
            twice = lists.problems(self._lists, obj)
            if twice and old is not None:
                known = {str(each) for each in lists.problems(self._lists, old)}
                twice = [each for each in twice if str(each) not in known]
            found += twice
        return found
