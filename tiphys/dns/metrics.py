"""Metrics of the name server, named as CoreDNS' where it has them."""

from prometheus_client import Counter, Gauge

REQUESTS = Counter("coredns_dns_requests_total", "Queries received", ["proto"])
RESPONSES = Counter("coredns_dns_responses_total", "Answers sent", ["rcode"])
FORWARDED = Counter("coredns_forward_requests_total", "Queries sent on to other name servers")
CACHE_HITS = Counter("coredns_cache_hits_total", "Answers of other name servers given from memory")
MALFORMED = Counter("tiphys_dns_malformed_total", "Datagrams and messages that are no query")
SERVICES = Gauge("tiphys_dns_services", "Services with names")

#: One lookup of a label costs more than the rest of counting.
RESPONSES_BY_CODE = {
    code: RESPONSES.labels(name)
    for code, name in enumerate(("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"))
}
REQUESTS_UDP, REQUESTS_TCP = REQUESTS.labels("udp"), REQUESTS.labels("tcp")
