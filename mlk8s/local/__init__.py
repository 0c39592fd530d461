"""The embedded cluster: parts (what, which version, where from), build, node, network, platform."""
