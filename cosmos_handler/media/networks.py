"""Which IP addresses may be connected to: public ones, and private ones that the deployer has named."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
IpAddress = IPv4Address | IPv6Address


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


# Nothing is ever fetched here, whatever is allowed: this host by other names, link-local with the metadata services of
# EC2, ECS and Azure, the ones of EC2 in IPv6, and what is no single host.
_NEVER = _networks(
    "0.0.0.0/8",
    "169.254.0.0/16",
    "168.63.129.16/32",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "fe80::/10",
    "fd00:ec2::/32",
    "ff00::/8",
)

# Not the public internet: loopback, private, carrier-grade NAT, relays, documentation, benchmarks.
_SPECIAL_4 = _networks(
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
)

# Of IPv6 only the part that is handed out is public; in it lie Teredo and its like, documentation, and 6to4.
_GLOBAL_6 = IPv6Network("2000::/3")
_SPECIAL_6 = _networks("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")

# Where DNS in subnets without IPv4 puts the whole of IPv4; what lies in the last 32 bits decides.
_NAT64 = IPv6Network("64:ff9b::/96")


def may_connect(address: IpAddress, allowed: Iterable[Network]) -> bool:
    """Whether a connection to an address is within the rules. allowed: networks that are not public and yet meant."""
    if isinstance(address, IPv6Address):
        if address.scope_id is not None or address.ipv4_mapped is not None:
            return False
        if address in _NAT64:
            return may_connect(IPv4Address(int(address) & 0xFFFFFFFF), allowed)
    if any(address in network for network in _NEVER):
        return False
    return _is_public(address) or any(address in network for network in allowed)


def _is_public(address: IpAddress) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_4)
    return address in _GLOBAL_6 and not any(address in network for network in _SPECIAL_6)


def as_address(text: str) -> IpAddress | None:
    """The address that a text is in its plain form; None for all else, octal, hexadecimal and short forms included."""
    try:
        return ip_address(text)
    except ValueError:
        return None
