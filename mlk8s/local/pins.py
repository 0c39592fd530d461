"""The versions that the local cluster is made of, in one place."""

from __future__ import annotations

VERSIONS = {
    "coredns": "1.14.6",
    "etcd": "3.6.13",
    "gateway-api": "1.6.3",
    "go": "1.27.3",
    "kubectl": "1.37.1",
    "kubernetes": "1.35.4",
    "prometheus": "3.16.0",
    "prometheus-adapter": "0.12.0",
    "seaweedfs": "4.48",
    "traefik": "3.7.15",
}
"""Version of each part; Gateway API is the one that this Traefik is built with."""
