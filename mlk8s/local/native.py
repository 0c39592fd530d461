"""The native driver: a real one-node Kubernetes on this machine, in namespaces of its own."""
