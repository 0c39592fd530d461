"""The cluster's own network namespace and its one link to the machine.

On the machine: a veth, a route to the pods by it, `unreachable` routes that catch the same addresses when the
veth is gone (no packet for a pod or a Service may take the machine's default route), and one nftables table
that leads 127.0.0.1:PORT to the cluster and lets the cluster open nothing towards the machine. Inside: no
default route unless `egress`, and a table that lets pods answer the machine but not call it. Everything is
declared anew by each `up`, so that a half-made or damaged network is repaired.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from mlk8s.errors import LocalClusterError
from mlk8s.local.registry import Cluster
from mlk8s.local.shell import run

UPLINK = "uplink"
"""The node's end of the veth."""

WEB_NODE_PORT = 30080
S3_NODE_PORT = 30333
TLS_NODE_PORT = 30443
# A metric above any that a route for real use has: the guard decides only when nothing else does.
GUARD_METRIC = 42_000_000


def _json(arguments: Sequence[str]) -> list[dict[str, Any]]:
    text = run(["ip", "-json", *arguments], check=False).stdout.strip()
    parsed: list[dict[str, Any]] = json.loads(text) if text else []
    return parsed


def occupied(cluster: Cluster) -> str | None:
    """Say which route of the machine overlaps the cluster's networks, None where none does.

    The default route does not count, nor does a wider one that the cluster's would only be carved out of.
    """
    routes = _json(["route", "show", "table", "all"])
    links = {link.get("ifname") for link in _json(["link", "show"])}
    if cluster.link in links:
        return f"the network link {cluster.link} exists already"
    return overlapping_route(cluster.networks, routes)


def overlapping_route(
    networks: Sequence[ipaddress.IPv4Network], routes: Sequence[Mapping[str, Any]]
) -> str | None:
    """The first route, in words, that shares addresses with one of the networks; pure.

    Args:
        networks: the ranges wanted.
        routes: as printed by `ip -json route show table all`.
    """
    for route in routes:
        destination = str(route.get("dst", "default"))
        if destination == "default" or ":" in destination:
            continue
        try:
            network = ipaddress.IPv4Network(destination, strict=False)
        except ValueError:
            continue
        for wanted in networks:
            if network.prefixlen > 8 and network.overlaps(wanted):
                device = f" dev {route['dev']}" if "dev" in route else ""
                kind = f"{route['type']} " if "type" in route else ""
                return f"the route {kind}{destination}{device} overlaps {wanted}"
    return None


def check_ports(ports: Sequence[int]) -> None:
    """Refuse ports of 127.0.0.1 that a program already listens on.

    Raises:
        LocalClusterError: the first port that is in use, or outside 1 to 65535.
    """
    for port in ports:
        if not 1 <= port <= 65535:
            raise LocalClusterError(f"{port} is not a port", expected="a number from 1 to 65533 for --port")
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise LocalClusterError(
                    f"port {port} of 127.0.0.1 is in use by another program ({error.strerror})",
                    expected="three free ports from PORT on: for the Ingress, for S3 and for HTTPS",
                    next_step=f"choose another with --port, or stop what 'ss -ltnp sport = :{port}' shows",
                ) from error


def machine_ruleset(cluster: Cluster) -> str:
    """The machine's table of one cluster, as `nft -f` reads it; pure.

    The empty `table` before `delete table` makes the whole text one atomic replacement.
    """
    web, s3, tls = cluster.ports
    outward = (
        f'iifname "{cluster.link}" accept'
        if cluster.egress
        else f'iifname "{cluster.link}" ct state established,related accept; iifname "{cluster.link}" drop'
    )
    masquerade = (
        f'ip saddr {{ {cluster.pod_network}, {cluster.node_network} }} oifname != "{cluster.link}" masquerade'
        if cluster.egress
        else ""
    )
    return f"""table ip {cluster.table} {{}}
delete table ip {cluster.table}
table ip {cluster.table} {{
  chain output {{
    type nat hook output priority -100; policy accept;
    ip daddr 127.0.0.1 tcp dport {web} dnat to {cluster.node_address}:{WEB_NODE_PORT}
    ip daddr 127.0.0.1 tcp dport {s3} dnat to {cluster.node_address}:{S3_NODE_PORT}
    ip daddr 127.0.0.1 tcp dport {tls} dnat to {cluster.node_address}:{TLS_NODE_PORT}
  }}
  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
    oifname "{cluster.link}" ip saddr 127.0.0.0/8 snat to {cluster.machine_address}
    {masquerade}
  }}
  chain input {{
    type filter hook input priority 0; policy accept;
    iifname "{cluster.link}" ct state established,related accept
    iifname "{cluster.link}" drop
  }}
  chain forward {{
    type filter hook forward priority 0; policy accept;
    oifname "{cluster.link}" ct state established,related accept
    oifname "{cluster.link}" drop
    {outward}
  }}
}}
"""


def node_ruleset(cluster: Cluster) -> str:
    """The guard inside the node: what may leave by the uplink; pure."""
    refuse = "reject with icmp type admin-prohibited"  # said at once: nobody waits for a timeout
    new = "" if cluster.egress else f'oifname "{UPLINK}" ct state new {refuse}'
    # Even with a way out, the machine itself and its 127.0.0.1 stay closed.
    return f"""table ip mlk8s-guard {{}}
delete table ip mlk8s-guard
table ip mlk8s-guard {{
  chain forward {{
    type filter hook forward priority -10; policy accept;
    oifname "{UPLINK}" ip daddr {cluster.machine_address} ct state new {refuse}
    {new}
  }}
  chain output {{
    type filter hook output priority -10; policy accept;
    oifname "{UPLINK}" ip daddr {cluster.machine_address} ct state new {refuse}
    {new}
  }}
}}
"""


def _sysctl(link: str, key: str, value: str) -> str:
    return f"echo {value} > /proc/sys/net/{key.format(link=link)}"


def connect(cluster: Cluster, holder: int, inside: Sequence[str]) -> None:
    """Make or repair the link, the routes and the tables of a cluster.

    Args:
        cluster: its entry in the registry.
        holder: process id, on the machine, of the process that holds the namespaces.
        inside: the command prefix that enters them.

    Raises:
        LocalClusterError: the kernel refuses; its words are in the message.
    """
    guard(cluster)
    link, names = cluster.link, {entry["ifname"] for entry in _json(["link", "show"])}
    peer = run([*inside, "ip", "link", "show", UPLINK], check=False).returncode == 0
    if link in names and not peer:
        run(["ip", "link", "delete", link])  # its peer went with the last holder
        names.discard(link)
    if link not in names:
        run(["ip", "link", "add", link, "type", "veth", "peer", "name", UPLINK, "netns", str(holder)])
    node_prefix = cluster.node_network.prefixlen
    run(["sh", "-c", _sysctl(link, "ipv6/conf/{link}/disable_ipv6", "1") + " 2>/dev/null || true"])
    run(["ip", "address", "replace", f"{cluster.machine_address}/{node_prefix}", "dev", link])
    run(["ip", "link", "set", link, "up"])
    run(["sh", "-c", _sysctl(link, "ipv4/conf/{link}/route_localnet", "1")])
    run([*inside, "sh", "-e", "-c", _node_script(cluster)])
    run([*inside, "nft", "-f", "-"], stdin=node_ruleset(cluster))
    run(["ip", "route", "replace", str(cluster.pod_network), "via", cluster.node_address, "dev", link])
    run(["nft", "-f", "-"], stdin=machine_ruleset(cluster))


def _node_script(cluster: Cluster) -> str:
    default = (
        f"ip route replace default via {cluster.machine_address} dev {UPLINK}"
        if cluster.egress
        else "ip route delete default 2>/dev/null || true"
    )
    # icmp_ratelimit 0: each pod that tries an address that is not there is told so at once.
    # A connection of the node itself to a Service needs a route before it is redirected. What is no Service
    # stays on the veth, where nobody answers for it, and pod addresses that no pod has are unreachable.
    return f"""
for f in all default; do echo 1 > /proc/sys/net/ipv6/conf/$f/disable_ipv6 2>/dev/null || true; done
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 0 > /proc/sys/net/ipv4/icmp_ratelimit
ip link set lo up
ip address replace {cluster.node_address}/{cluster.node_network.prefixlen} dev {UPLINK}
ip link set {UPLINK} up
ip route replace {cluster.service_network} dev {UPLINK} src {cluster.node_address}
ip route replace unreachable {cluster.pod_network} metric {GUARD_METRIC}
{default}
"""


def guard(cluster: Cluster) -> None:
    """Make the cluster's addresses unreachable, for as long as nothing better leads to them."""
    for network in cluster.networks:
        run(["ip", "route", "replace", "unreachable", str(network), "metric", str(GUARD_METRIC)])


def disconnect(cluster: Cluster) -> None:
    """Remove the link, the routes and the table from the machine; nothing happens for what is not there."""
    run(["ip", "link", "delete", cluster.link], check=False)
    for network in cluster.networks:
        run(["ip", "route", "delete", "unreachable", str(network), "metric", str(GUARD_METRIC)], check=False)
    run(["nft", "delete", "table", "ip", cluster.table], check=False)
