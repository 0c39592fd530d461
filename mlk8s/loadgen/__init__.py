"""The load generator: an engine that sends, and what runs inside Locust's process, which orchestrates it.

`locustfile` and `feed` belong to Locust, which patches the interpreter, so nothing else ever imports
`locustfile`. `__main__` is the engine's process: arrivals (when each request is due), engine (sends them),
connection (HTTP), answer (is this a right V2 answer), recorder (a JSON line a second), histogram (latency
with 1 % error), samples, bound (when a test stops itself), timer. Both have tail (reads files that grow),
guard (which hosts may get load at all) and settings (the file that the parent process writes).
"""
