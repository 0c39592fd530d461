"""What a container may do to its node and to others: the Pod Security Standard `restricted`, and a little more."""

from __future__ import annotations

from collections.abc import Iterator

from mlk8s.assess.lint.model import Keys, rule
from mlk8s.assess.lint.objects import Container, Pod, at, entries, mapping, number, strings, text

Found = Iterator[tuple[Keys, str]]
_CONTEXT = "securityContext"
_LEAST_UID = 10000


@rule(
    "run-as-non-root", "error", "container",
    "A container runs as a user that is not root, and says so.",
    fix="set securityContext.runAsNonRoot: true on the pod",
    peers="kube-linter run-as-non-root; Polaris runAsRootAllowed; kubesec RunAsNonRoot; Kyverno require-run-as-nonroot",
    standard="PSS restricted: running as non-root; CIS 5.2.7",
)  # fmt: skip
def _non_root(item: Container) -> Found:
    if item.effective("runAsUser") == 0:
        yield (_CONTEXT, "runAsUser"), "it runs as user 0, which is root"
    elif item.effective("runAsNonRoot") is not True:
        yield (_CONTEXT, "runAsNonRoot"), "it may run as root: runAsNonRoot is not true"


@rule(
    "run-as-user", "warning", "container",
    f"The user and group ids are fixed and at least {_LEAST_UID}, so that they are nobody's on the node.",
    fix="set securityContext.runAsUser and runAsGroup of the pod to a number such as 10001",
    peers="kube-score container-security-context-user-group-id; kubesec RunAsUser",
    standard="NSA/CISA: non-root containers",
)  # fmt: skip
def _user(item: Container) -> Found:
    for field in ("runAsUser", "runAsGroup"):
        value = item.effective(field)
        if value is None:
            yield (_CONTEXT, field), f"{field} is not set: the image decides"
        elif isinstance(value, int) and 0 < value < _LEAST_UID:
            yield (
                (_CONTEXT, field),
                f"{field} {value} may be somebody's on the node; expected at least {_LEAST_UID}",
            )


@rule(
    "privilege-escalation", "error", "container",
    "No process gains rights that its parent did not have.",
    fix="set securityContext.allowPrivilegeEscalation: false",
    peers="kube-linter privilege-escalation-container; Polaris privilegeEscalationAllowed; kubesec AllowPrivilegeEscalation",
    standard="PSS restricted: privilege escalation; CIS 5.2.6",
)  # fmt: skip
def _escalation(item: Container) -> Found:
    if item.security.get("allowPrivilegeEscalation") is not False:
        yield (_CONTEXT, "allowPrivilegeEscalation"), "a setuid program could make it root"


@rule(
    "privileged", "error", "container",
    "No container has the node's devices and all its rights.",
    fix="remove securityContext.privileged",
    peers="kube-linter privileged-container; kube-score container-security-context-privileged; Polaris runAsPrivileged; kubesec Privileged",
    standard="PSS baseline: privileged containers; CIS 5.2.2",
)  # fmt: skip
def _privileged(item: Container) -> Found:
    if item.security.get("privileged") is True:
        yield (_CONTEXT, "privileged"), "it is privileged: whoever breaks into it has the node"


@rule(
    "drop-capabilities", "error", "container",
    "Every Linux capability is dropped.",
    fix="set securityContext.capabilities.drop: [ALL]",
    peers="kube-linter drop-net-raw-capability; Polaris insecureCapabilities, linuxHardening; kubesec CapDropAll; Kyverno disallow-capabilities-strict",
    standard="PSS restricted: capabilities; CIS 5.2.10",
)  # fmt: skip
def _drop(item: Container) -> Found:
    dropped = strings(item.security, "capabilities", "drop")
    if not any(name.upper() == "ALL" for name in dropped):
        yield (_CONTEXT, "capabilities", "drop"), "not every capability is dropped"


@rule(
    "added-capabilities", "error", "container",
    "No capability is added but NET_BIND_SERVICE.",
    fix="remove the names from securityContext.capabilities.add",
    peers="Polaris dangerousCapabilities; kubesec CapSysAdmin; Kyverno disallow-capabilities",
    standard="PSS restricted: capabilities; CIS 5.2.9",
)  # fmt: skip
def _added(item: Container) -> Found:
    for i, name in enumerate(strings(item.security, "capabilities", "add")):
        if name != "NET_BIND_SERVICE":
            yield (_CONTEXT, "capabilities", "add", i), f"the capability {name} is added"


@rule(
    "seccomp-profile", "error", "container",
    "System calls are filtered, by the runtime's profile or one of the node's.",
    fix="set securityContext.seccompProfile.type: RuntimeDefault on the pod",
    peers="kube-score container-seccomp-profile; Polaris linuxHardening; kubesec SeccompAny; Kyverno restrict-seccomp-strict",
    standard="PSS restricted: seccomp; CIS 5.7.2",
)  # fmt: skip
def _seccomp(item: Container) -> Found:
    kind = at(item.effective("seccompProfile"), "type")
    if kind not in ("RuntimeDefault", "Localhost"):
        found = f"is {kind}" if kind else "is not set"
        yield (_CONTEXT, "seccompProfile"), f"the seccomp profile {found}"


@rule(
    "read-only-root", "warning", "container",
    "The image is read-only; what is written goes to volumes.",
    fix="set securityContext.readOnlyRootFilesystem: true and mount an emptyDir with a sizeLimit where it writes",
    peers="kube-linter no-read-only-root-fs; kube-score container-security-context-readonlyrootfilesystem; Polaris notReadOnlyRootFilesystem; kubesec ReadOnlyRootFilesystem",
    standard="NSA/CISA: immutable container file systems",
)  # fmt: skip
def _read_only(item: Container) -> Found:
    if item.security.get("readOnlyRootFilesystem") is not True:
        yield (_CONTEXT, "readOnlyRootFilesystem"), "it can change its own programs"


@rule(
    "proc-mount", "error", "container",
    "/proc is mounted as usual, its sensitive parts masked.",
    fix="remove securityContext.procMount",
    peers="kube-linter unsafe-proc-mount; Polaris procMount; Kyverno disallow-proc-mount",
    standard="PSS baseline: /proc mount type",
)  # fmt: skip
def _proc(item: Container) -> Found:
    if item.security.get("procMount") not in (None, "Default"):
        yield (_CONTEXT, "procMount"), f"procMount is {item.security['procMount']}"


@rule(
    "host-ports", "error", "container",
    "No container takes a port of its node.",
    fix="remove hostPort; publish it with a Service",
    peers="Polaris hostPortSet; Kyverno disallow-host-ports",
    standard="PSS baseline: host ports; CIS 5.2.13",
)  # fmt: skip
def _host_ports(item: Container) -> Found:
    for i, port in item.ports():
        if number(port, "hostPort"):
            yield ("ports", i, "hostPort"), f"it takes port {port['hostPort']} of the node"


@rule(
    "host-probes", "error", "container",
    "Probes and lifecycle hooks call the pod itself and no other host.",
    fix="remove `host` from the probe or hook",
    peers="Kyverno restrict-host-probes",
    standard="PSS baseline: host probes and lifecycle hooks",
)  # fmt: skip
def _host_probes(item: Container) -> Found:
    places = [
        ("livenessProbe",),
        ("readinessProbe",),
        ("startupProbe",),
        ("lifecycle", "postStart"),
        ("lifecycle", "preStop"),
    ]
    for keys in places:
        for action in ("httpGet", "tcpSocket"):
            host = text(item.body, *keys, action, "host")
            if host:
                yield (*keys, action, "host"), f"the node is made to call {host}"


@rule(
    "privileged-ports", "warning", "container",
    "A container listens above port 1023: below, it may need a capability. The Service can have any port.",
    fix="let the process listen on a port such as 8080, and map it with the Service's targetPort",
    peers="kube-linter privileged-ports, ssh-port",
)  # fmt: skip
def _low_ports(item: Container) -> Found:
    if item.effective("runAsUser") == 0:
        return
    for i, port in item.ports():
        value = number(port, "containerPort")
        if value is not None and 0 < value < 1024:
            yield ("ports", i, "containerPort"), f"it listens on the privileged port {value}"


@rule(
    "host-namespaces", "error", "pod",
    "A pod does not share the node's network, processes or interprocess communication.",
    fix="remove hostNetwork, hostPID and hostIPC",
    peers="kube-linter host-network, host-pid, host-ipc; Polaris hostNetworkSet, hostPIDSet, hostIPCSet; kubesec HostNetwork, HostPID, HostIPC; Kyverno disallow-host-namespaces",
    standard="PSS baseline: host namespaces; CIS 5.2.3 to 5.2.5",
)  # fmt: skip
def _host_namespaces(pod: Pod) -> Found:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.spec.get(field) is True:
            yield (field,), f"{field} is true: the pod sees what is the node's"


@rule(
    "host-path", "error", "pod",
    "No folder of the node is mounted.",
    fix="use a PersistentVolumeClaim, a ConfigMap or an emptyDir",
    peers="kube-linter sensitive-host-mounts, writable-host-mount; Polaris hostPathSet; Kyverno disallow-host-path",
    standard="PSS baseline: hostPath volumes; CIS 5.2.12",
)  # fmt: skip
def _host_path(pod: Pod) -> Found:
    for i, volume in pod.volumes():
        path = text(volume, "hostPath", "path")
        if path and not path.endswith(".sock"):
            yield (
                ("volumes", i, "hostPath"),
                f"the node's folder {path} is mounted: the pod can read or change it",
            )


@rule(
    "runtime-socket", "error", "pod",
    "The container runtime's socket is not mounted: it is the key to the node.",
    fix="remove the volume; build images with a builder that needs no daemon",
    peers="kube-linter docker-sock; Polaris hostPathSet; kubesec VolumeClaimDockerSock",
    standard="PSS baseline: hostPath volumes",
)  # fmt: skip
def _socket(pod: Pod) -> Found:
    for i, volume in pod.volumes():
        path = text(volume, "hostPath", "path")
        if path.endswith(".sock"):
            yield ("volumes", i, "hostPath"), f"the socket {path} of the node is mounted"


_VOLUMES = {
    "name", "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected",
    "secret", "image", "hostPath",
}  # fmt: skip


@rule(
    "volume-types", "error", "pod",
    "Volumes are of the kinds that know no node and no server: configMap, csi, downwardAPI, emptyDir, ephemeral, "
    "image, persistentVolumeClaim, projected, secret. (hostPath has rules of its own.)",
    fix="use a PersistentVolumeClaim",
    peers="Kyverno restrict-volume-types",
    standard="PSS restricted: volume types",
)  # fmt: skip
def _volume_types(pod: Pod) -> Found:
    for i, volume in pod.volumes():
        for kind in volume:
            if kind not in _VOLUMES:
                yield ("volumes", i, kind), f"a volume of the kind {kind} is mounted"


_SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}  # fmt: skip


@rule(
    "unsafe-sysctls", "error", "pod",
    "Only kernel settings that are a pod's own are changed.",
    fix="remove the setting from securityContext.sysctls",
    peers="kube-linter unsafe-sysctls; Kyverno restrict-sysctls",
    standard="PSS baseline: sysctls",
)  # fmt: skip
def _sysctls(pod: Pod) -> Found:
    for i, item in entries(pod.security, "sysctls"):
        if text(item, "name") not in _SAFE_SYSCTLS:
            yield (_CONTEXT, "sysctls", i), f"the kernel setting {text(item, 'name')} is not a pod's own"


@rule(
    "linux-security-modules", "error", "pod",
    "SELinux and AppArmor stay on, under the runtime's types and profiles.",
    fix="remove seLinuxOptions.user and .role, and any Unconfined profile",
    peers="Polaris linuxHardening; kubesec ApparmorAny; Kyverno disallow-selinux, restrict-apparmor-profiles",
    standard="PSS baseline: SELinux, AppArmor",
)  # fmt: skip
def _modules(pod: Pod) -> Found:
    places = [((), pod.security), *((item.keys, item.security) for item in pod.containers)]
    for keys, security in places:
        options = mapping(security, "seLinuxOptions")
        if options.get("user") or options.get("role") or not _selinux_type(text(options, "type")):
            yield (*keys, _CONTEXT, "seLinuxOptions"), "SELinux options are changed beyond the allowed types"
        if text(security, "appArmorProfile", "type") == "Unconfined":
            yield (*keys, _CONTEXT, "appArmorProfile"), "AppArmor is switched off"
    for key, value in pod.annotations.items():
        if key.startswith("container.apparmor.security.beta.kubernetes.io/") and value == "unconfined":
            yield (), f"AppArmor is switched off for container {key.rpartition('/')[2]} by an annotation"


def _selinux_type(value: str) -> bool:
    return value in ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")


@rule(
    "host-process", "error", "pod",
    "No Windows container runs as a process of its node.",
    fix="remove windowsOptions.hostProcess",
    peers="Polaris hostProcess; Kyverno disallow-host-process",
    standard="PSS baseline: HostProcess",
)  # fmt: skip
def _host_process(pod: Pod) -> Found:
    places = [((), pod.security), *((item.keys, item.security) for item in pod.containers)]
    for keys, security in places:
        if at(security, "windowsOptions", "hostProcess") is True:
            yield (*keys, _CONTEXT, "windowsOptions", "hostProcess"), "it runs on the node itself"
