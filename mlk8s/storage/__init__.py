"""Object storage: immutable versions of models and data sets.

Needs obstore only, so that it also runs in the pods. A version is its files and one `manifest.json`,
which is written last with `If-None-Match: *`: readers see the whole version or none of it, and of two
publishers exactly one wins.
"""
