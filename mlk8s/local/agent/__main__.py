"""Run the node agent: python -m mlk8s.local.agent --pki DIR --server URL --node NAME ..."""

from __future__ import annotations

import argparse
import logging
import threading
from pathlib import Path

from mlk8s.local.agent import capacity
from mlk8s.local.agent.api import Api
from mlk8s.local.agent.balancer import Balancer
from mlk8s.local.agent.enforcer import Enforcer
from mlk8s.local.agent.volumes import Provisioner


def main() -> None:
    parser = argparse.ArgumentParser(prog="mlk8s.local.agent")
    parser.add_argument("--pki", type=Path, required=True, help="certificate directory of the cluster")
    parser.add_argument("--server", required=True, help="https://HOST:PORT of the API server")
    parser.add_argument("--node", required=True, help="name of the node")
    parser.add_argument("--volumes", type=Path, required=True, help="directory of the persistent volumes")
    parser.add_argument("--gpus", type=int, default=0, help="simulated GPUs to advertise")
    parser.add_argument("--balancer", required=True, help="CIDR of the LoadBalancer Services' addresses")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    api = Api(options.server, options.pki, "agent")
    threading.Thread(
        target=capacity.keep, args=(api, options.node, options.gpus), name="capacity", daemon=True
    ).start()
    Enforcer(api).start()
    Provisioner(api, options.node, options.volumes).start()
    Balancer(api, options.balancer).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
