"""OCI registries: references, credentials, and the distribution protocol."""
