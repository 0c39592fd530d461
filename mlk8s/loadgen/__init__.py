"""The load generator: what runs inside Locust's process.

`user` and `locustfile` import Locust, which patches the interpreter, so nothing else ever imports those
two. The other modules are plain: histogram (latency with 1 % error), schedule (when each request is due),
guard (which hosts may get load at all), answer (is this a right V2 answer), recorder (a JSON line a second),
settings (the file that the parent process writes).
"""
