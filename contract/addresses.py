"""Which IP addresses may be connected to for somebody else, and which never."""

import ipaddress
from collections.abc import Iterable

NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Not public, whatever Python's tables say: metadata and wire services of clouds,
# site-local and documentation networks.
NEVER = tuple(
    map(
        ipaddress.ip_network,
        ("168.63.129.16/32", "192.0.0.0/24", "fec0::/10", "3fff::/20"),
    )
)
UNIQUE_LOCAL = ipaddress.ip_network("fc00::/7")
AWS_METADATA = ipaddress.ip_address("fd00:ec2::254")


def is_public(address: str) -> bool:
    """Whether an IP address is on the public internet; an IPv4 address inside an IPv6
    one is unwrapped.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and (ip in NAT64 or int(ip) < 2**32):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
    return (
        ip.is_global
        and not ip.is_multicast
        and not ip.is_reserved
        and not any(ip in net for net in NEVER if net.version == ip.version)
    )


def is_internal(address: str) -> bool:
    """Whether an IP address is in a private network, and no metadata service or address
    of this host.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    never = (
        ip.is_link_local
        or ip.is_loopback
        or ip.is_multicast
        or ip.is_reserved
        or ip.is_unspecified
    )
    inner = (
        isinstance(ip, ipaddress.IPv6Address)
        and not ip.is_global
        and ip not in UNIQUE_LOCAL
    )
    return ip.is_private and not never and not inner and ip != AWS_METADATA


def is_in(
    address: str, networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]
) -> bool:
    """Whether an address is in one of these networks; an IPv4 address as IPv6 has it counts as the former."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return any(ip in one for one in networks if one.version == ip.version)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself: `localhost`, or an address of it."""
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")
