"""The only contact with the outside: the cluster, Prometheus, Locust, object storage, the clock."""
