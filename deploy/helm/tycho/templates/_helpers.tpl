{{- /* Names. A release called after the chart is not named twice. */ -}}
{{- define "tycho.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* Labels of an object: (list $ "observer"). */ -}}
{{- define "tycho.labels" -}}
{{- $root := index . 0 -}}
{{ include "tycho.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Labels that never change, for selectors. */ -}}
{{- define "tycho.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "tycho.image" -}}
{{- $repository := required "image.repository: say where the image is; 'make image' makes it, none is published" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "tycho.observer.serviceAccount" -}}
{{- default (ternary (printf "%s-observer" (include "tycho.fullname" .)) "default" .Values.observer.serviceAccount.create) .Values.observer.serviceAccount.name -}}
{{- end -}}

{{- /* "yes" or "". */ -}}
{{- define "tycho.hasCilium" -}}
{{- if .Capabilities.APIVersions.Has "cilium.io/v2" }}yes{{ end -}}
{{- end -}}
{{- define "tycho.ciliumSockets" -}}
{{- if eq (toString .Values.cilium.sockets) "auto" -}}
{{- include "tycho.hasCilium" . -}}
{{- else if .Values.cilium.sockets -}}
yes
{{- end -}}
{{- end -}}
{{- define "tycho.metrics" -}}
{{- if or .Values.hubble.metrics.enabled .Values.hubble.metrics.dynamic.enabled .Values.prometheus.enabled }}yes{{ end -}}
{{- end -}}
{{- /* Where the observers know policies from: Kubernetes, or files that somebody mounted. */ -}}
{{- define "tycho.policies" -}}
{{- if or .Values.kubernetes.enabled (contains "--policies" (join " " .Values.observer.extraArgs)) }}yes{{ end -}}
{{- end -}}
{{- define "tycho.exportConfigMap" -}}
{{- default (printf "%s-flowlogs" (include "tycho.fullname" .)) .Values.hubble.export.dynamic.config.configMapName -}}
{{- end -}}

{{- define "tycho.metricsConfigMap" -}}
{{- default (printf "%s-metrics" (include "tycho.fullname" .)) .Values.hubble.metrics.dynamic.config.configMapName -}}
{{- end -}}

{{- /* Names in certificates. The relay asks the name service for the headless service's addresses, and expects its name. */ -}}
{{- define "tycho.peerHost" -}}
{{- printf "%s-peer.%s.svc.%s" (include "tycho.fullname" .) .Release.Namespace .Values.hubble.peerService.clusterDomain -}}
{{- end -}}
{{- /* What an observer tells of itself (peer.Peer/Notify), and Hubble Relay expects: the node's name is the star. */ -}}
{{- define "tycho.nodeHosts" -}}
{{- printf "*.%s.hubble-grpc.cilium.io" (default "default" .Values.cluster.name | replace "." "-") -}}
{{- end -}}
{{- define "tycho.peerPort" -}}
{{- regexFind "[0-9]+$" .Values.hubble.listenAddress -}}
{{- end -}}
{{- define "tycho.relayHost" -}}
{{- printf "%s-relay.%s.svc" (include "tycho.fullname" .) .Release.Namespace -}}
{{- end -}}
{{- define "tycho.archiveHost" -}}
{{- printf "%s-archive.%s.svc" (include "tycho.fullname" .) .Release.Namespace -}}
{{- end -}}
{{- define "tycho.uiHost" -}}
{{- printf "%s-ui.%s.svc" (include "tycho.fullname" .) .Release.Namespace -}}
{{- end -}}
{{- define "tycho.metricsHost" -}}
{{- printf "%s-metrics.%s.svc" (include "tycho.fullname" .) .Release.Namespace -}}
{{- end -}}

{{- /*
Certificates that are needed, as YAML: a list of {name, secret, own, dns, ips, client, server}. "own" is true where
somebody made the secret already. docs/install-kubernetes.md has them as a table.
*/ -}}
{{- define "tycho.certificates" -}}
{{- $full := include "tycho.fullname" . -}}
{{- $h := .Values.hubble -}}
{{- $list := list -}}
{{- if $h.tls.enabled -}}
{{- $list = append $list (dict "name" "server" "own" $h.tls.server.existingSecret "server" true "dns" (concat (list (include "tycho.peerHost" .) (include "tycho.nodeHosts" .)) (default list $h.tls.server.extraDnsNames)) "ips" (default list $h.tls.server.extraIpAddresses)) -}}
{{- if $h.relay.enabled -}}
{{- $list = append $list (dict "name" "relay-client" "own" $h.relay.tls.client.existingSecret "client" true "dns" (list (include "tycho.relayHost" .)) "ips" list) -}}
{{- end -}}
{{- end -}}
{{- if and $h.relay.enabled $h.relay.tls.server.enabled -}}
{{- $names := list (include "tycho.relayHost" .) (printf "%s.%s" (include "tycho.relayHost" .) $h.peerService.clusterDomain) -}}
{{- if .Values.archive.enabled -}}
{{- $names = concat $names (list (include "tycho.archiveHost" .) (printf "%s.%s" (include "tycho.archiveHost" .) $h.peerService.clusterDomain)) -}}
{{- end -}}
{{- $list = append $list (dict "name" "relay-server" "own" $h.relay.tls.server.existingSecret "server" true "dns" (concat $names (default list $h.relay.tls.server.extraDnsNames)) "ips" (default list $h.relay.tls.server.extraIpAddresses)) -}}
{{- if $h.relay.tls.server.mtls -}}
{{- $list = append $list (dict "name" "client" "own" $h.tls.client.existingSecret "client" true "dns" (list (printf "%s-client.%s.svc" $full .Release.Namespace)) "ips" list) -}}
{{- end -}}
{{- if $h.ui.enabled -}}
{{- $list = append $list (dict "name" "ui-client" "own" $h.ui.tls.client.existingSecret "client" true "dns" (list (include "tycho.uiHost" .)) "ips" list) -}}
{{- end -}}
{{- end -}}
{{- if and $h.ui.enabled $h.ui.tls.server.enabled -}}
{{- $names := concat (list (include "tycho.uiHost" .) "localhost") (default list $h.ui.allowHosts) (default list $h.ui.ingress.hosts) (default list $h.ui.tls.server.extraDnsNames) -}}
{{- $list = append $list (dict "name" "ui-server" "own" $h.ui.tls.server.existingSecret "server" true "dns" (uniq $names) "ips" list) -}}
{{- end -}}
{{- if and (include "tycho.metrics" .) $h.metrics.tls.enabled -}}
{{- $list = append $list (dict "name" "metrics-server" "own" $h.metrics.tls.server.existingSecret "server" true "client" $h.metrics.tls.server.mtls.enabled "dns" (concat (list (include "tycho.metricsHost" .)) (default list $h.metrics.tls.server.extraDnsNames)) "ips" list) -}}
{{- end -}}
{{- $out := list -}}
{{- range $list -}}
{{- $out = append $out (set . "secret" (default (printf "%s-%s-certs" $full .name) .own)) -}}
{{- end -}}
{{- toYaml $out -}}
{{- end -}}

{{- /* The secret of one of them: (list $ "server"). */ -}}
{{- define "tycho.secretOf" -}}
{{- $name := index . 1 -}}
{{- range include "tycho.certificates" (index . 0) | fromYamlArray -}}
{{- if eq .name $name -}}{{ .secret }}{{- end -}}
{{- end -}}
{{- end -}}

{{- /* What may not be said together, and what schema alone cannot tell. Called by validate.yaml. */ -}}
{{- define "tycho.check" -}}
{{- $h := .Values.hubble -}}
{{- if and $h.ui.enabled (not $h.relay.enabled) -}}
{{- fail "hubble.ui.enabled needs hubble.relay.enabled" -}}
{{- end -}}
{{- if and .Values.archive.enabled (not $h.relay.enabled) -}}
{{- fail "archive.enabled needs hubble.relay.enabled" -}}
{{- end -}}
{{- if and $h.metrics.enabled $h.metrics.dynamic.enabled -}}
{{- fail "hubble.metrics.enabled and hubble.metrics.dynamic.enabled exclude each other" -}}
{{- end -}}
{{- if and $h.relay.enabled $h.relay.tls.server.mtls (not $h.relay.tls.server.enabled) -}}
{{- fail "hubble.relay.tls.server.mtls needs hubble.relay.tls.server.enabled" -}}
{{- end -}}
{{- if and $h.ui.enabled $h.ui.ingress.enabled (not $h.ui.tls.server.enabled) -}}
{{- fail "hubble.ui.ingress.enabled needs hubble.ui.tls.server.enabled: behind HTTPS the page must be HTTPS, too" -}}
{{- end -}}
{{- if and $h.ui.enabled $h.ui.ingress.enabled (not $h.ui.ingress.hosts) -}}
{{- fail "hubble.ui.ingress.hosts: say by which names" -}}
{{- end -}}
{{- if and $h.redact.http.headers.allow $h.redact.http.headers.deny -}}
{{- fail "hubble.redact.http.headers: allow and deny exclude each other" -}}
{{- end -}}
{{- if and (or .Values.observer.nflog.default .Values.observer.nflog.pattern) (not .Values.observer.nflog.groups) -}}
{{- fail "observer.nflog.default and observer.nflog.pattern need observer.nflog.groups" -}}
{{- end -}}
{{- if and .Values.observer.evidence.checkpointCASecret (not .Values.observer.evidence.checkpointTo) -}}
{{- fail "observer.evidence.checkpointCASecret needs observer.evidence.checkpointTo" -}}
{{- end -}}
{{- if and (not .Values.observer.store.enabled) (or .Values.observer.evidence.existingSecret .Values.observer.evidence.checkpointTo) -}}
{{- fail "observer.evidence.existingSecret and observer.evidence.checkpointTo need observer.store.enabled" -}}
{{- end -}}
{{- with .Values.observer.clickhouse -}}
{{- if and (not .url) (or .user .passwordSecret .caSecret) -}}
{{- fail "observer.clickhouse.user, passwordSecret and caSecret need observer.clickhouse.url" -}}
{{- end -}}
{{- if and .caSecret (hasPrefix "http:" .url) -}}
{{- fail "observer.clickhouse.caSecret needs an https observer.clickhouse.url" -}}
{{- end -}}
{{- if and $.Values.archive.enabled (not .url) -}}
{{- fail "archive.enabled needs observer.clickhouse.url" -}}
{{- end -}}
{{- if and .url (not $.Values.observer.store.enabled) -}}
{{- fail "observer.clickhouse.url needs observer.store.enabled" -}}
{{- end -}}
{{- end -}}
{{- if and (ne .Values.observer.policyMeaning "auto") (not (include "tycho.policies" .)) -}}
{{- fail "observer.policyMeaning needs kubernetes.enabled" -}}
{{- end -}}
{{- if and $h.dropEventEmitter.enabled (not .Values.kubernetes.enabled) -}}
{{- fail "hubble.dropEventEmitter.enabled needs kubernetes.enabled" -}}
{{- end -}}
{{- with $h.export.static -}}
{{- if ne (empty .fieldAggregate) (empty .aggregationInterval) -}}
{{- fail "hubble.export.static.fieldAggregate and aggregationInterval are needed together" -}}
{{- end -}}
{{- end -}}
{{- $ofBpf := or .Values.observer.interfaces .Values.observer.interval .Values.observer.noise -}}
{{- if and $ofBpf .Values.observer.sources (not (has "bpf" .Values.observer.sources)) -}}
{{- fail "observer.interfaces, observer.interval and observer.noise need the source bpf, now that observer.sources is given" -}}
{{- end -}}
{{- $mayReadCilium := or (has "cilium-monitor" .Values.observer.sources) (has "cilium-perf" .Values.observer.sources) (not (or .Values.observer.sources $ofBpf)) (contains "--cilium-monitor" (join " " .Values.observer.extraArgs)) -}}
{{- if and $h.redact.enabled (not $mayReadCilium) -}}
{{- fail "hubble.redact.enabled needs the source cilium-monitor or cilium-perf: it is their records that are redacted" -}}
{{- end -}}
{{- if ne (has "cilium-perf" .Values.observer.sources) .Values.cilium.takeEvents -}}
{{- fail "the source cilium-perf and cilium.takeEvents go together: Cilium's Hubble falls silent" -}}
{{- end -}}
{{- if and (has "nflog" .Values.observer.sources) (not .Values.observer.nflog.groups) -}}
{{- fail "the source nflog needs observer.nflog.groups" -}}
{{- end -}}
{{- if and .Values.observer.sources .Values.observer.nflog.groups (not (has "nflog" .Values.observer.sources)) -}}
{{- fail "observer.nflog.groups needs the source nflog, now that observer.sources is given" -}}
{{- end -}}
{{- if and (or (has "hubble" .Values.observer.sources) (has "cilium-monitor" .Values.observer.sources)) (not (include "tycho.ciliumSockets" .)) -}}
{{- fail "the sources hubble and cilium-monitor need cilium.sockets" -}}
{{- end -}}
{{- if not (empty .Values.tls.ca.cert | eq (empty .Values.tls.ca.key)) -}}
{{- fail "tls.ca.cert and tls.ca.key are needed together" -}}
{{- end -}}
{{- range $name, $budget := dict "hubble.relay" $h.relay.podDisruptionBudget "hubble.ui" $h.ui.podDisruptionBudget "archive" .Values.archive.podDisruptionBudget -}}
{{- if and $budget.enabled (not (kindIs "invalid" $budget.minAvailable)) (not (kindIs "invalid" $budget.maxUnavailable)) -}}
{{- fail (printf "%s.podDisruptionBudget: minAvailable needs maxUnavailable: null" $name) -}}
{{- end -}}
{{- end -}}
{{- $certificates := include "tycho.certificates" . | fromYamlArray -}}
{{- if not $h.tls.auto.enabled -}}
{{- range $certificates -}}
{{- if not (or .own (eq .name "client")) -}}
{{- fail (printf "hubble.tls.auto.enabled is false: the certificate '%s' needs its existingSecret" .name) -}}
{{- end -}}
{{- end -}}
{{- else if and (eq $h.tls.auto.method "certmanager") (not $h.tls.auto.certManagerIssuerRef.name) -}}
{{- fail "hubble.tls.auto.method certmanager needs hubble.tls.auto.certManagerIssuerRef.name" -}}
{{- end -}}
{{- end -}}
