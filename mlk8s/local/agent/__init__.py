"""One small process beside kubelet that gives the local node what Kubernetes leaves to add-ons.

`enforcer` (with `policy` and `selectors`): NetworkPolicy, enforced with nftables. `volumes`: a default
StorageClass. `balancer`: addresses for LoadBalancer Services. `capacity`: simulated GPUs. It speaks to
the API server with urllib3 and orjson only, as a user of its own with few rights.
"""
