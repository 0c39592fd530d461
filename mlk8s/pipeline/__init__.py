"""What runs in a feature job's pod: the user's function, and the one commit of what it returns.

`python3 -m mlk8s.pipeline` is configured by the environment alone (see `mlk8s.pipeline.config`).

Exit codes, which the Job's podFailurePolicy knows:

    0    published, or published before with the same content
    1    a retry may help: object storage refused or did not answer
    64   no retry helps: the function raised, its result or the settings are wrong, or the version exists with
         other content
    143  SIGTERM before the commit; nothing is visible
"""
