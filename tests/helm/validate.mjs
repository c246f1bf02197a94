// validate.mjs NODE_MODULES <objects >findings
//
// Objects: a JSON array of Kubernetes objects. Findings: an array of arrays of sentences, empty where all is well.
//
// The validators are compiled from Kubernetes' own OpenAPI description, and from the CRDs of the Prometheus operator and of
// cert-manager. These descriptions do not forbid members they do not know, which the API server refuses
// (fieldValidation: Strict): a member that no validator has looked at is one it does not know.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const packages = process.argv[2];
const core = (name) => `kubernetes-models/_schemas/IoK8sApi${name}.js`;
const schemas = {
	"v1/ConfigMap": core("CoreV1ConfigMap"),
	"v1/Secret": core("CoreV1Secret"),
	"v1/Service": core("CoreV1Service"),
	"v1/ServiceAccount": core("CoreV1ServiceAccount"),
	"apps/v1/DaemonSet": core("AppsV1DaemonSet"),
	"apps/v1/Deployment": core("AppsV1Deployment"),
	"networking.k8s.io/v1/Ingress": core("NetworkingV1Ingress"),
	"networking.k8s.io/v1/NetworkPolicy": core("NetworkingV1NetworkPolicy"),
	"policy/v1/PodDisruptionBudget": core("PolicyV1PodDisruptionBudget"),
	"rbac.authorization.k8s.io/v1/ClusterRole": core("RbacV1ClusterRole"),
	"rbac.authorization.k8s.io/v1/ClusterRoleBinding": core("RbacV1ClusterRoleBinding"),
	"monitoring.coreos.com/v1/ServiceMonitor":
		"@kubernetes-models/prometheus-operator/_schemas/ComGithubPrometheusOperatorPrometheusOperatorPkgApisMonitoringV1ServiceMonitor.js",
	"monitoring.coreos.com/v1/PrometheusRule":
		"@kubernetes-models/prometheus-operator/_schemas/ComGithubPrometheusOperatorPrometheusOperatorPkgApisMonitoringV1PrometheusRule.js",
	"cert-manager.io/v1/Certificate":
		"@kubernetes-models/cert-manager/_schemas/ComGithubCertManagerCertManagerPkgApisCertmanagerV1Certificate.js",
};

// value, seen through a glass that notes which members are asked for.
function watched(value, path, unread) {
	if (typeof value !== "object" || value === null) return value;
	const inner = Array.isArray(value) ? [] : {};
	for (const key of Object.keys(value)) {
		const at = Array.isArray(value) ? `${path}[${key}]` : `${path}.${key}`;
		inner[key] = watched(value[key], at, unread);
		if (!Array.isArray(value)) unread.add(at);
	}
	return new Proxy(inner, {
		get(target, key) {
			if (typeof key === "string") unread.delete(`${path}.${key}`);
			return target[key];
		},
	});
}

const validators = new Map();
async function validatorOf(type) {
	if (!validators.has(type)) {
		const { validate } = await import(pathToFileURL(`${packages}/${schemas[type]}`).href);
		validators.set(type, validate);
	}
	return validators.get(type);
}

async function findings(object) {
	const type = `${object.apiVersion}/${object.kind}`;
	const name = `${object.kind} ${object.metadata?.name}`;
	if (!(type in schemas)) return [`${name}: no schema of ${type}`];
	const validate = await validatorOf(type);
	const unread = new Set();
	validate(watched(object, "", unread));
	const errors = validate.errors ?? [];
	// Below an unknown member everything is unknown: the member is enough.
	const unknown = [...unread].filter((at) => ![...unread].some((other) => at !== other && (at.startsWith(other + ".") || at.startsWith(other + "["))));
	return [
		...errors.map((e) => `${name}: ${e.instancePath} ${e.message ?? e.keyword} ${JSON.stringify(e.params)}`),
		...unknown.map((at) => `${name}: unknown member ${at}`),
	];
}

const objects = JSON.parse(readFileSync(0, "utf8"));
const all = [];
for (const object of objects) all.push(await findings(object));
process.stdout.write(JSON.stringify(all));
