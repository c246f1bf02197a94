{{- /* The programs' options, as YAML lists. What each means is in tycho-observer(8), tycho-relay(8), tycho-ui(8). */ -}}

{{- define "tycho.observer.args" -}}
{{- $h := .Values.hubble }}
{{- $o := .Values.observer }}
- --listen=unix:///run/tycho/observer.sock
- --listen={{ $h.listenAddress }}
{{- if $h.tls.enabled }}
- --tls-cert-file=/etc/tycho/tls/server/tls.crt
- --tls-key-file=/etc/tycho/tls/server/tls.key
- --tls-client-ca-file=/etc/tycho/tls/server/ca.crt
- --access-file=/etc/tycho/access/observer
{{- end }}
{{- if or (not $h.tls.enabled) (and (include "tycho.metrics" .) (not $h.metrics.tls.enabled)) }}
- --insecure-listen
{{- end }}
- --node-name=$(NODE_NAME)
{{- with .Values.cluster.name }}
- --cluster={{ . }}
{{- end }}
{{- if .Values.kubernetes.enabled }}
- --kubernetes
{{- end }}
{{- with $h.dropEventEmitter }}
{{- if .enabled }}
- --drop-events
- --drop-events-interval={{ .interval }}
- --drop-events-reasons={{ join "," .reasons }}
- --drop-events-rate-limit={{ int .rateLimit }}
{{- if .extended }}
- --drop-events-extended
{{- end }}
{{- end }}
{{- end }}
{{- if include "tycho.policies" . }}
{{- $meaning := $o.policyMeaning }}
{{- if eq $meaning "auto" }}
{{- $meaning = ternary "cilium" "kubernetes" (eq (include "tycho.hasCilium" .) "yes") }}
{{- end }}
- --policy-meaning={{ $meaning }}
{{- end }}
{{- range $o.sources }}
- --source={{ . }}
{{- end }}
{{- if .Values.cilium.takeEvents }}
- --cilium-take-events
{{- end }}
{{- range $o.interfaces }}
- {{ printf "--interface=%s" . | quote }}
{{- end }}
{{- with $o.interval }}
- --interval={{ . }}
{{- end }}
{{- if $o.noise }}
- --noise
{{- end }}
{{- range $o.nflog.groups }}
- --nflog-group={{ int . }}
{{- end }}
{{- with $o.nflog.default }}
- --nflog-default={{ . }}
{{- end }}
{{- with $o.nflog.pattern }}
- {{ printf "--nflog-pattern=%s" . | quote }}
{{- end }}
{{- if $h.redact.enabled }}
- --redact-enabled
{{- if $h.redact.http.urlQuery }}
- --redact-http-urlquery
{{- end }}
- --redact-http-userinfo={{ $h.redact.http.userInfo }}
{{- range $h.redact.http.headers.allow }}
- {{ printf "--redact-http-headers-allow=%s" . | quote }}
{{- end }}
{{- range $h.redact.http.headers.deny }}
- {{ printf "--redact-http-headers-deny=%s" . | quote }}
{{- end }}
{{- if $h.redact.kafka.apiKey }}
- --redact-kafka-apikey
{{- end }}
{{- end }}
- --ring-capacity={{ int64 $h.eventBufferCapacity }}
- --state-dir=/var/lib/tycho
{{- if $o.store.enabled }}
- --retention={{ $o.store.retention }}
- --retention-size={{ ternary $o.store.retentionSize (int64 $o.store.retentionSize) (kindIs "string" $o.store.retentionSize) }}
- --retention-edges={{ $o.store.retentionEdges }}
- --seal-period={{ $o.store.sealPeriod }}
{{- else }}
- --store=off
{{- end }}
{{- if $o.evidence.existingSecret }}
- --evidence-key=/etc/tycho/evidence/evidence.key
{{- end }}
{{- range $o.evidence.checkpointTo }}
- {{ printf "--checkpoint-to=%s" . | quote }}
{{- end }}
{{- if $o.evidence.checkpointCASecret }}
- --checkpoint-ca-file=/etc/tycho/checkpoint-ca/ca.crt
{{- end }}
{{- with $o.clickhouse }}
{{- if .url }}
- {{ printf "--clickhouse=%s" .url | quote }}
- --clickhouse-period={{ .period }}
{{- if .user }}
- {{ printf "--clickhouse-user=%s" .user | quote }}
{{- end }}
{{- if .passwordSecret }}
- --clickhouse-password-file=/etc/tycho/clickhouse/password
{{- end }}
{{- if .caSecret }}
- --clickhouse-ca-file=/etc/tycho/clickhouse-ca/ca.crt
{{- end }}
{{- end }}
{{- end }}
{{- with $h.export.static }}
{{- if .enabled }}
- {{ printf "--export-file-path=%s" .filePath | quote }}
{{- range .allowList }}
- {{ printf "--export-allowlist=%s" . | quote }}
{{- end }}
{{- range .denyList }}
- {{ printf "--export-denylist=%s" . | quote }}
{{- end }}
{{- if .fieldMask }}
- --export-fieldmask={{ join "," .fieldMask }}
{{- end }}
{{- if .fieldAggregate }}
- --export-fieldaggregate={{ join "," .fieldAggregate }}
- --export-aggregation-interval={{ .aggregationInterval }}
{{- end }}
- --export-file-max-size-mb={{ int .fileMaxSizeMb }}
- --export-file-max-backups={{ int .fileMaxBackups }}
{{- if .fileCompress }}
- --export-file-compress
{{- end }}
{{- end }}
{{- end }}
{{- if $h.export.dynamic.enabled }}
- --flowlogs-config-path=/etc/tycho/flowlogs/flowlogs.yaml
{{- end }}
{{- if include "tycho.metrics" . }}
- --metrics-listen=:{{ int $h.metrics.port }}
{{- if or $h.metrics.enabled $h.metrics.dynamic.enabled }}
- --metrics-series={{ int $h.metrics.series }}
{{- end }}
{{- if $h.metrics.dynamic.enabled }}
- --metrics-config=/etc/tycho/metrics/metrics.yaml
{{- else if $h.metrics.enabled }}
- {{ printf "--metrics=%s" (join " " $h.metrics.enabled) | quote }}
{{- end }}
{{- if $h.metrics.tls.enabled }}
- --metrics-tls-cert-file=/etc/tycho/tls/metrics/tls.crt
- --metrics-tls-key-file=/etc/tycho/tls/metrics/tls.key
{{- if $h.metrics.tls.server.mtls.enabled }}
- --metrics-tls-client-ca-file=/etc/tycho/tls/metrics/ca.crt
{{- end }}
{{- end }}
{{- end }}
- --log-level={{ $o.logLevel }}
{{- range $o.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{- /* Where a relay listens, and for whom. */ -}}
{{- define "tycho.relay.listen.args" -}}
{{- $r := .Values.hubble.relay }}
- --listen={{ $r.listenHost }}:{{ int $r.listenPort }}
{{- if $r.tls.server.enabled }}
- --tls-cert-file=/etc/tycho/tls/server/tls.crt
- --tls-key-file=/etc/tycho/tls/server/tls.key
{{- if $r.tls.server.mtls }}
- --tls-client-ca-file=/etc/tycho/tls/server/ca.crt
{{- end }}
{{- end }}
{{- if $r.access }}
- --access-file=/etc/tycho/access/relay
{{- end }}
{{- if or (not $r.tls.server.enabled) $r.prometheus.enabled }}
- --insecure-listen
{{- end }}
{{- if $r.prometheus.enabled }}
- --metrics-listen=:{{ int $r.prometheus.port }}
{{- end }}
{{- end -}}

{{- define "tycho.relay.args" -}}
{{- $r := .Values.hubble.relay }}
{{- include "tycho.relay.listen.args" . }}
- --peer-dns={{ include "tycho.peerHost" . }}:{{ include "tycho.peerPort" . }}
{{- with $r.peerInterval }}
- --peer-dns-interval={{ . }}
{{- end }}
{{- if .Values.hubble.tls.enabled }}
- --peer-ca-file=/etc/tycho/tls/client/ca.crt
- --peer-cert-file=/etc/tycho/tls/client/tls.crt
- --peer-key-file=/etc/tycho/tls/client/tls.key
{{- end }}
{{- if not (kindIs "invalid" $r.sortBufferLenMax) }}
- --sort-buffer-len-max={{ int $r.sortBufferLenMax }}
{{- end }}
{{- with $r.sortBufferDrainTimeout }}
- --sort-buffer-drain-timeout={{ . }}
{{- end }}
- --log-level={{ $r.logLevel }}
{{- range $r.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "tycho.archive.args" -}}
{{- $a := .Values.archive }}
{{- include "tycho.relay.listen.args" . }}
- {{ printf "--clickhouse=%s" .Values.observer.clickhouse.url | quote }}
- --clickhouse-queries={{ int $a.queries }}
{{- if $a.user }}
- {{ printf "--clickhouse-user=%s" $a.user | quote }}
{{- end }}
{{- if $a.passwordSecret }}
- --clickhouse-password-file=/etc/tycho/clickhouse/password
{{- end }}
{{- if .Values.observer.clickhouse.caSecret }}
- --clickhouse-ca-file=/etc/tycho/clickhouse-ca/ca.crt
{{- end }}
- --log-level={{ $a.logLevel }}
{{- range $a.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "tycho.ui.args" -}}
{{- $u := .Values.hubble.ui }}
{{- $r := .Values.hubble.relay }}
- --listen=0.0.0.0:12000
{{- if $r.tls.server.enabled }}
- --server=tls://{{ include "tycho.relayHost" . }}:443
- --tls-ca-cert-files=/etc/tycho/tls/client/ca.crt
{{- if $r.tls.server.mtls }}
- --tls-client-cert-file=/etc/tycho/tls/client/tls.crt
- --tls-client-key-file=/etc/tycho/tls/client/tls.key
{{- end }}
{{- else }}
- --server={{ include "tycho.relayHost" . }}:80
{{- end }}
{{- if $u.tls.server.enabled }}
- --tls-server-cert-file=/etc/tycho/tls/server/tls.crt
- --tls-server-key-file=/etc/tycho/tls/server/tls.key
{{- else }}
- --insecure-listen
{{- end }}
{{- if $u.login.enabled }}
- --login-file=/etc/tycho/login/users
{{- else }}
- --no-auth
{{- end }}
{{- range uniq (concat (list (include "tycho.uiHost" .)) (default list $u.allowHosts) (default list $u.ingress.hosts)) }}
- --allow-host={{ . }}
{{- end }}
- --history={{ int $u.history }}
- --log-level={{ $u.logLevel }}
{{- range $u.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}
