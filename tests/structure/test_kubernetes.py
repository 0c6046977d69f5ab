"""The Kubernetes manifests against the program: variables are settings, probes are routes, times fit, names and labels meet."""

import base64
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.edge.ops import ops_handlers
from gateway.running import LEDGER_DRAIN_SECONDS
from gateway.server.supervisor import KILL_AFTER_DRAIN
from gateway.settings import load
from tests.structure.test_repository import secret_settings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
FILES = sorted(FOLDER.glob("*.yaml"))
DOCUMENTS = [document for file in FILES for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SECRETS = {
    "database-url": "postgresql://u:p@h/d",
    "redis-url": "redis+cluster://a:6379,b:6379",
    "secret": "s" * 64,
    "admin-token": "t" * 64,
    "pepper": "p" * 64,
    "previous-pepper": "q" * 64,
    "credentials-key": base64.b64encode(bytes(32)).decode(),
    "openai-api-key": "sk-x",
}
"""What the comment of kustomization.yaml has people put into the secret."""


def only(kind: str, name: str = "promptgate") -> dict[str, Any]:
    """The one document of a kind and name."""
    (found,) = [d for d in DOCUMENTS if d["kind"] == kind and d.get("metadata", {}).get("name") == name]
    return found


GATEWAY, JOB = only("StatefulSet"), only("Job", "promptgate-migrate")
PODS = [GATEWAY["spec"]["template"], JOB["spec"]["template"]]
(GATE,), (MIGRATE,) = (pod["spec"]["containers"] for pod in PODS)
LABELS = {pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod["metadata"]["labels"] for pod in PODS}


def environment(container: dict[str, Any]) -> dict[str, str]:
    """What a container's program sees, with the image's own variables."""
    image = dict(re.findall(r"(PROMPTGATE_\w+)=(\S+)", DOCKERFILE))
    maps = [only("ConfigMap", source["configMapRef"]["name"])["data"] for source in container.get("envFrom", [])]
    given = {name: value for data in maps for name, value in data.items()}
    for variable in container["env"]:
        reference = variable["valueFrom"]["secretKeyRef"]
        assert reference["name"] == "promptgate"
        given[variable["name"]] = SECRETS[reference["key"]]
    return {**image, **given}


def seconds_before_the_end() -> float:
    command = GATE["lifecycle"]["preStop"]["exec"]["command"]
    assert command[0] == "sleep"
    return float(command[1])


def test_every_file_is_applied_and_has_a_kind_and_a_name() -> None:
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
    assert sorted(kustomization["resources"]) == [file.name for file in FILES if file.name != "kustomization.yaml"]
    names = [(d["kind"], d["metadata"]["name"]) for d in DOCUMENTS if d["kind"] != "Kustomization"]
    assert len(set(names)) == len(names)
    (image,) = kustomization["images"]
    assert {image["name"]} == {GATE["image"], MIGRATE["image"]}
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version is not None
    assert image["newTag"] == version[1]


@pytest.mark.parametrize("container", [GATE, MIGRATE], ids=["gateway", "migrate"])
def test_every_variable_is_a_setting_with_a_good_value(container: dict[str, Any]) -> None:
    given = environment(container)
    settings = load(ROOT / "config", given)
    assert settings.database.url == SECRETS["database-url"]
    assert settings.storage.directory == "/data"


def test_the_gateway_gets_every_secret_and_each_is_told_of() -> None:
    assert {variable["valueFrom"]["secretKeyRef"]["key"] for variable in GATE["env"]} == set(SECRETS)
    told = (FOLDER / "kustomization.yaml").read_text(encoding="utf-8")
    wanted = [v["valueFrom"]["secretKeyRef"] for v in GATE["env"]]
    assert [ref["key"] for ref in wanted if not ref.get("optional") and f"--from-literal={ref['key']}=" not in told] == []
    given = {variable["name"] for variable in GATE["env"]}
    assert [name for name in secret_settings() if name not in given] == []
    plain = only("ConfigMap")["data"]
    assert [name for name in plain if re.search("SECRET|TOKEN|KEY|PEPPER|URL", name)] == []


def test_probes_ask_routes_that_exist_on_the_port_that_is_listened_on() -> None:
    settings = load(ROOT / "config", environment(GATE))
    assert settings.server.host == "0.0.0.0"
    (port,) = GATE["ports"]
    assert port["containerPort"] == settings.server.port
    assert f"\nEXPOSE {settings.server.port}\n" in DOCKERFILE

    async def readiness() -> Any: ...

    routes = {path for handler in ops_handlers(readiness, lambda: (b"", b"")) for path in handler.paths}
    probes = {kind: GATE[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert {kind: probe["path"] for kind, probe in probes.items()} == {
        "startup": "/healthz",
        "liveness": "/healthz",
        "readiness": "/readyz",
    }
    annotations = PODS[0]["metadata"]["annotations"]
    assert {*(probe["path"] for probe in probes.values()), annotations["prometheus.io/path"]} <= routes
    assert annotations["prometheus.io/port"] == str(settings.server.port)
    assert {probe["port"] for probe in probes.values()} == {port["name"]}


def test_there_is_time_to_drain() -> None:
    settings = load(ROOT / "config", environment(GATE))
    needed = seconds_before_the_end() + settings.server.drain_seconds + max(LEDGER_DRAIN_SECONDS, KILL_AFTER_DRAIN)
    assert PODS[0]["spec"]["terminationGracePeriodSeconds"] >= needed + LEDGER_DRAIN_SECONDS


def test_the_spool_has_room_on_a_disk_that_stays() -> None:
    settings = load(ROOT / "config", environment(GATE))
    (claim,) = GATEWAY["spec"]["volumeClaimTemplates"]
    mounts = {mount["name"]: mount["mountPath"] for mount in GATE["volumeMounts"]}
    assert mounts[claim["metadata"]["name"]] == settings.storage.directory
    assert settings.ledger.directory.startswith(settings.storage.directory)
    room = claim["spec"]["resources"]["requests"]["storage"]
    assert int(room.removesuffix("Gi")) << 30 > settings.server.workers * settings.ledger.max_bytes
    assert GATE["resources"]["requests"]["cpu"] == str(settings.server.workers)


@pytest.mark.parametrize("pod", PODS, ids=["gateway", "migrate"])
def test_pods_have_no_rights_they_do_not_need(pod: dict[str, Any]) -> None:
    spec = pod["spec"]
    user = re.search(r"--uid (\d+)", DOCKERFILE)
    assert user is not None
    assert (spec["securityContext"]["runAsNonRoot"], spec["securityContext"]["runAsUser"]) == (True, int(user[1]))
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} == set(container["resources"]["requests"])


def test_services_budget_scaler_and_policy_mean_these_pods() -> None:
    wanted = LABELS["gateway"]
    assert GATEWAY["spec"]["selector"]["matchLabels"] == wanted
    assert only("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == wanted
    for name in ("promptgate", GATEWAY["spec"]["serviceName"]):
        service = only("Service", name)["spec"]
        assert service["selector"] == wanted
        assert service["ports"][0]["targetPort"] == GATE["ports"][0]["name"]
    target = only("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["apiVersion"], target["kind"], target["name"]) == (
        GATEWAY["apiVersion"],
        GATEWAY["kind"],
        GATEWAY["metadata"]["name"],
    )
    assert "replicas" not in GATEWAY["spec"], "it would undo the autoscaler's work at every apply"
    policy = only("NetworkPolicy")["spec"]
    for labels in LABELS.values():
        assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert [port["port"] for rule in policy["ingress"] for port in rule["ports"]] == [GATE["ports"][0]["containerPort"]]


def test_the_programs_verbs_are_the_arguments() -> None:
    usage = (ROOT / "gateway" / "__main__.py").read_text(encoding="utf-8").split('"""')[1]
    for container in (GATE, MIGRATE):
        (verb,) = container["args"]
        assert f"    {verb} " in usage
