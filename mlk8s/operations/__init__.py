"""The only loops and waits: deploy, canary, job, load test, doctor."""
