"""Small Kubernetes objects for one namespace: a pod that does nothing, a server, what leads to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]
IDLE = "import time; time.sleep(3600)"
# Answers 200 on every path, and with its METRICS environment on /metrics; the counter grows by 100 a second.
SERVER = """
import http.server, os, time
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args): pass
    def do_GET(self):
        self.send_response(int(os.environ.get("STATUS", "200")))
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        if self.path == "/metrics":
            name = os.environ.get("SERIES", "something_else_total")
            self.wfile.write(f"{name} {100 * time.time():f}\\n".encode())
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""
# What the kubelet is told by a registry that lacks an image, or refuses its credentials.
REGISTRY = """
import http.server, threading
def serve(port, status):
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args): pass
        def do_HEAD(self):
            self.send_response(status)
            if status == 401: self.send_header("WWW-Authenticate", 'Basic realm="registry"')
            self.end_headers()
        do_GET = do_HEAD
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
threading.Thread(target=serve, args=(5901, 404)).start()
serve(5902, 401)
"""
# An admission webhook that refuses every pod, and says why.
HOOK = """
import http.server, json, ssl
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args): pass
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        has = ", ".join(asked["request"]["object"]["metadata"].get("labels") or {})
        status = {"message": f"pods need a label team (they have {has})"}
        response = {"uid": asked["request"]["uid"], "allowed": False, "status": status}
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps({key: asked[key] for key in ("apiVersion", "kind")}
                                    | {"response": response}).encode())
server = http.server.ThreadingHTTPServer(("", 8443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/keys/tls.crt", "/keys/tls.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


@dataclass(frozen=True)
class Scene:
    """Where a fault happens: its namespace, an image with python3, and a node."""

    namespace: str
    image: str
    node: str

    def meta(self, name: str, **more: Any) -> Manifest:
        return {"name": name, "namespace": self.namespace, **more}

    def object(self, api_version: str, kind: str, name: str = "x", **body: Any) -> Manifest:
        return {"apiVersion": api_version, "kind": kind, "metadata": self.meta(name), **body}

    def container(self, program: str = IDLE, name: str = "main", **more: Any) -> Manifest:
        return {
            "name": name,
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-I", "-c", program],
            "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            **more,
        }

    def pod_spec(self, container: Manifest | None = None, **more: Any) -> Manifest:
        return {
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 10001,
                                "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container or self.container()],
            **more,
        }  # fmt: skip

    def pod(self, container: Manifest | None = None, *, name: str = "x", meta: Manifest | None = None,
            **more: Any) -> Manifest:  # fmt: skip
        spec = self.pod_spec(container, **more)
        metadata = self.meta(name, labels={"app": "x"}, **(meta or {}))
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}

    def deployment(self, container: Manifest | None = None, *, annotations: Manifest | None = None,
                   spec: Manifest | None = None, **more: Any) -> Manifest:  # fmt: skip
        template = {
            "metadata": {"labels": {"app": "x"}, "annotations": annotations or {}},
            "spec": self.pod_spec(container, **more),
        }
        body = {"replicas": 1, "selector": {"matchLabels": {"app": "x"}}, "template": template}
        return self.object("apps/v1", "Deployment", spec=body | (spec or {}))

    def job(self, program: str, *, limit: int = 0, **more: Any) -> Manifest:
        pod = self.pod_spec(self.container(program), restartPolicy="Never")
        body = {"backoffLimit": limit, "template": {"spec": pod}, **more}
        return self.object("batch/v1", "Job", spec=body)

    def cron(self, schedule: str, **more: Any) -> Manifest:
        body = {"schedule": schedule, "jobTemplate": {"spec": self.job(IDLE)["spec"]}, **more}
        return self.object("batch/v1", "CronJob", spec=body)

    def claim(self, *, mode: str = "ReadWriteOnce", **more: Any) -> Manifest:
        body = {"accessModes": [mode], "resources": {"requests": {"storage": "1Mi"}}, **more}
        return self.object("v1", "PersistentVolumeClaim", spec=body)

    def secret(self) -> Manifest:
        return self.object("v1", "Secret", "keys", stringData={"user": "a"})

    def service(self, **more: Any) -> Manifest:
        body = {"selector": {"app": "x"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}], **more}
        return self.object("v1", "Service", spec=body)

    def ingress(self, *, service: str = "x", port: int = 80, **more: Any) -> Manifest:
        backend = {"service": {"name": service, "port": {"number": port}}}
        path = {"path": f"/{self.namespace}", "pathType": "Prefix", "backend": backend}
        body = {"ingressClassName": "nginx", "rules": [{"http": {"paths": [path]}}], **more}
        return self.object("networking.k8s.io/v1", "Ingress", spec=body)

    def route(self, *, service: str = "x", gateway: str = "traefik") -> Manifest:
        path = {"path": {"type": "PathPrefix", "value": f"/{self.namespace}"}}
        rule = {"matches": [path], "backendRefs": [{"name": service, "port": 80}]}
        body = {"parentRefs": [{"namespace": "mlk8s-system", "name": gateway}], "rules": [rule]}
        return self.object("gateway.networking.k8s.io/v1", "HTTPRoute", spec=body)

    def served(self) -> list[Manifest]:
        """A Deployment and a Service that work."""
        ports = [{"name": "http", "containerPort": 8080}]
        return [self.deployment(self.container(SERVER, ports=ports)), self.service()]

    def hpa(self, metric: Manifest, *, target: str = "x", most: int = 3) -> Manifest:
        reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
        body = {"scaleTargetRef": reference, "minReplicas": 1, "maxReplicas": most, "metrics": [metric]}
        return self.object("autoscaling/v2", "HorizontalPodAutoscaler", spec=body)

    def scaled(self, metric: Manifest, *, series: str | None = None, scrape: bool = True, port: int = 8080,
               most: int = 3) -> list[Manifest]:  # fmt: skip
        """A server with metrics and an HPA that follows them."""
        env = [{"name": "SERIES", "value": series}] if series else []
        annotations = {"prometheus.io/scrape": "true", "prometheus.io/port": str(port)} if scrape else {}
        container = self.container(SERVER, env=env)
        return [self.deployment(container, annotations=annotations), self.hpa(metric, most=most)]
