"""What runs on every node as the log collector: it ships each pod's lines to object storage.

`python3 -m mlk8s.collector` follows the kubelet's files below /var/log/pods and writes them as compressed
JSON lines (`mlk8s.storage.log_lines`). The files themselves are the buffer: at most one chunk is in memory.

What may be lost: lines that the kubelet removed before the collector saw their file (a container that lives
shorter than the 0.25 s between two looks, and is removed at once), and what was rotated away while storage
did not answer. A file that is removed while it is followed stays open until it is shipped.

What may be stored twice: after a crash, the lines since the last checkpoint. They are written to the same
keys, and `search` tells each place of each file once.
"""
