"""The cluster's zone: prebuilt answers by name and type. No I/O.

Owners (Services) put and remove their records; a name that several own, as the
reverse name of a Pod in two headless Services, has the records of all.
"""

import random
from collections.abc import Container, Mapping
from ipaddress import ip_address

from tiphys.dns.records import Records
from tiphys.wire import dns
from tiphys.wire.dns import Answer, Query

_EMPTY: dict[int, tuple[bytes, ...]] = {}
_VERSION = b"\x051.1.0"
_MAX_ALIASES = 8


class Zone:
    """Answers for one cluster domain and for the reverse names of its addresses."""

    def __init__(self, domain: str, ttl_seconds: int, source: random.Random) -> None:
        self._domain = domain
        self._ttl = ttl_seconds
        self._random = source
        self.apex = dns.encode_name(domain)
        self._svc = dns.encode_name(f"svc.{domain}")
        self._pod = dns.encode_name(f"pod.{domain}")
        self._owned: dict[str, Records] = {}
        self._owners: dict[bytes, dict[str, Mapping[int, list[bytes]]]] = {}
        #: Prebuilt records of every name that has an owner.
        self._answers: dict[bytes, dict[int, tuple[bytes, ...]]] = {}
        #: How many names stand below a name that need have no records itself.
        self._below: dict[bytes, int] = {}
        self._serial = 1
        self._authority: tuple[bytes, ...] = ()
        self._fixed: dict[bytes, dict[int, tuple[bytes, ...]]] = {}
        self._renew_soa()

    def _renew_soa(self) -> None:
        primary = dns.encode_name(f"ns.dns.{self._domain}")
        mailbox = dns.encode_name(f"hostmaster.{self._domain}")
        data = dns.soa_data(primary, mailbox, self._serial, self._ttl)
        self._authority = (dns.record(dns.SOA, self._ttl, data, self.apex),)
        self._fixed[self.apex] = {
            dns.SOA: (dns.record(dns.SOA, self._ttl, data),),
            dns.NS: (dns.record(dns.NS, self._ttl, primary),),
        }

    def serve_addresses(self, addresses: list[str]) -> None:
        """Where this server itself is found: ``ns.dns`` of the domain, and the schema's version."""
        made: dict[int, tuple[bytes, ...]] = {}
        for address in addresses:
            built = dns.address_record(address, self._ttl)
            kind = dns.AAAA if ":" in address else dns.A
            made[kind] = (*made.get(kind, ()), built)
        self._fixed[dns.encode_name(f"ns.dns.{self._domain}")] = made
        self._fixed[dns.encode_name(f"dns.{self._domain}")] = {}
        version = (dns.record(dns.TXT, self._ttl, _VERSION),)
        self._fixed[dns.encode_name(f"dns-version.{self._domain}")] = {dns.TXT: version}
        self._fixed[self._svc] = {}
        self._fixed[self._pod] = {}

    # Changes

    def put(self, owner: str, records: Records) -> None:
        """Replace what the owner has."""
        old = self._owned.get(owner, {})
        if old == records:
            return
        if records:
            self._owned[owner] = records
        else:
            self._owned.pop(owner, None)
        for name in {*old, *records}:
            if old.get(name) != records.get(name):
                self._set(name, owner, records.get(name))
        self._serial = self._serial % 0xFFFFFFFF + 1
        self._renew_soa()

    def remove(self, owner: str) -> None:
        self.put(owner, {})

    def _set(self, name: bytes, owner: str, records: Mapping[int, list[bytes]] | None) -> None:
        owners = self._owners.setdefault(name, {})
        if records is None:
            owners.pop(owner, None)
        else:
            owners[owner] = records
        if owners:
            if name not in self._answers:
                self._count_below(name, 1)
            self._answers[name] = self._built(owners)
        else:
            del self._owners[name]
            if self._answers.pop(name, None) is not None:
                self._count_below(name, -1)

    def _built(self, owners: Mapping[str, Mapping[int, list[bytes]]]) -> dict[int, tuple[bytes, ...]]:
        merged: dict[int, dict[bytes, None]] = {}
        for records in owners.values():
            for kind, data in records.items():
                merged.setdefault(kind, {}).update(dict.fromkeys(data))
        return {kind: tuple(dns.record(kind, self._ttl, each) for each in data) for kind, data in merged.items()}

    def _count_below(self, name: bytes, step: int) -> None:
        if not dns.is_within(name, self._svc):
            return
        parent = name[name[0] + 1 :]
        while len(parent) > len(self._svc):
            count = self._below.get(parent, 0) + step
            if count:
                self._below[parent] = count
            else:
                del self._below[parent]
            parent = parent[parent[0] + 1 :]

    # Questions

    def covers(self, name: bytes) -> bool:
        """Whether this zone answers for the name; of reverse names only those it has."""
        return dns.is_within(name, self.apex) or name in self._answers

    def find_alias(self, name: bytes) -> bytes | None:
        """Where the name of an ExternalName Service points."""
        found = self._answers.get(name, _EMPTY).get(dns.CNAME)
        return found[0][-_data_length(found[0]) :] if found else None

    def answer(self, query: Query, namespaces: Container[str]) -> Answer:
        """The answer to a query that the zone covers; for an alias the alias and what the zone knows behind it."""
        return self._answer(query.name, query.type, namespaces)

    def _answer(self, name: bytes, kind: int, namespaces: Container[str]) -> Answer:
        found = self._answers.get(name)
        if found is None:
            found = self._fixed.get(name)
        if found is None:
            return self._computed(name, kind, namespaces)
        if kind == dns.ANY:
            records = tuple(each for group in found.values() for each in group)
            return Answer(records=records) if records else self._no_data()
        records = found.get(kind, ())
        if records:
            return Answer(records=self._turned(records), additional=self._additional(kind, records))
        alias = found.get(dns.CNAME)
        if alias:
            return self._through_alias(alias, kind)
        return self._no_data()

    def _through_alias(self, alias: tuple[bytes, ...], kind: int) -> Answer:
        """The chain of aliases as far as it stays in the zone."""
        records = list(alias)
        target = alias[0][-_data_length(alias[0]) :]
        for _ in range(_MAX_ALIASES):
            found = self._answers.get(target, _EMPTY)
            records.extend(target + each[2:] for each in found.get(kind, ()))
            following = found.get(dns.CNAME)
            if kind in found or not following:
                break
            records.extend(target + each[2:] for each in following)
            target = following[0][-_data_length(following[0]) :]
        return Answer(records=tuple(records))

    def _turned(self, records: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """The records from a random one on, because clients take the first."""
        if len(records) < 2:
            return records
        start = int(self._random.random() * len(records))
        return records[start:] + records[:start]

    def _additional(self, kind: int, records: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Addresses of the targets of SRV records."""
        if kind != dns.SRV:
            return ()
        targets = dict.fromkeys(each[-_data_length(each) + 6 :] for each in records)
        return tuple(
            target + each[2:]
            for target in targets
            for wanted in (dns.A, dns.AAAA)
            for each in self._answers.get(target, _EMPTY).get(wanted, ())
        )

    def _no_data(self) -> Answer:
        return Answer(authority=self._authority)

    def _computed(self, name: bytes, kind: int, namespaces: Container[str]) -> Answer:
        """Names that need no records: Pods by address, namespaces, and names between others."""
        if name in self._below:
            return self._no_data()
        parts = [label.decode(errors="replace") for label in dns.labels(name)]
        depth = len(parts) - self._domain.count(".") - 1
        if depth == 2 and parts[1] in ("svc", "pod") and parts[0] in namespaces:
            return self._no_data()
        if depth == 3 and parts[2] == "pod" and parts[1] in namespaces:
            address = _pod_address(parts[0])
            if address:
                wanted = dns.AAAA if ":" in address else dns.A
                built = dns.address_record(address, self._ttl)
                return Answer(records=(built,)) if kind in (wanted, dns.ANY) else self._no_data()
        return Answer(dns.NXDOMAIN, authority=self._authority)


def _data_length(built: bytes) -> int:
    """Length of the data of a record whose owner is SAME_NAME."""
    return int.from_bytes(built[10:12], "big")


def _pod_address(label: str) -> str:
    """``10-244-0-5`` → ``10.244.0.5``; empty if the label is no address."""
    for text in (label.replace("-", "."), label.replace("-", ":")):
        try:
            return str(ip_address(text))
        except ValueError:
            continue
    return ""
