"""The model server that runs in the pods: Open Inference Protocol v2 over ONNX Runtime, one process a pod.

`python3 -m mlk8s.server.fetch` (init container) brings the model, `python3 -m mlk8s.server` serves it. Both
are configured by the environment alone and need neither kubernetes nor pydantic.
"""
