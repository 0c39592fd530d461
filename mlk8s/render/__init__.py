"""Pure: a spec and the facts about a cluster become manifests, dicts in apply order. No I/O, no clock."""
