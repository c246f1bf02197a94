"""Each value: that it arrives where it should, that nonsense is refused, and by which sentence."""
import json
import re

import pytest

from chart import IMAGE, Case, leaves, merged, nested, render, values

OBSERVER, RELAY, UI = 'DaemonSet/tycho-observer', 'Deployment/tycho-relay', 'Deployment/tycho-ui'
UI_ON = dict(hubble__ui__enabled=True, hubble__ui__login__existingSecret='login')  # to make a password takes time
METRICS = dict(hubble__metrics__enabled=['flow'])
METRICS_TLS = dict(METRICS, hubble__metrics__tls__enabled=True)
MONITOR = dict(METRICS, hubble__metrics__serviceMonitor__enabled=True)
FILE = dict(hubble__metrics__dynamic__enabled=True, hubble__metrics__dynamic__config__content=[{'name': 'flow'}])
DASHBOARDS = dict(hubble__metrics__dashboards__enabled=True)
RELAY_METRICS = dict(hubble__relay__prometheus__enabled=True)
RELAY_MONITOR = dict(RELAY_METRICS, hubble__relay__prometheus__serviceMonitor__enabled=True)
INGRESS = dict(UI_ON, hubble__ui__ingress__enabled=True, hubble__ui__ingress__hosts=['a.example'])
REDACT = dict(hubble__redact__enabled=True)
EXPORT = dict(hubble__export__static__enabled=True)
FLOWLOGS = dict(hubble__export__dynamic__enabled=True, hubble__export__dynamic__config__content=[{'name': 'a', 'filePath': '/var/log/tycho/a.log'}])
DROPS = dict(hubble__dropEventEmitter__enabled=True)
NFLOG = dict(observer__nflog__groups=[5])
CLICKHOUSE = dict(observer__clickhouse__url='https://ch.example/tycho')
ARCHIVE_ON = dict(CLICKHOUSE, archive__enabled=True)
ARCHIVE_BUDGET = dict(ARCHIVE_ON, archive__podDisruptionBudget__enabled=True)
ARCHIVE = 'Deployment/tycho-archive'
RULES = dict(prometheus__rules__enabled=True)
POLICIES = dict(UI_ON, networkPolicy__enabled=True)
MANAGER = dict(hubble__tls__auto__method='certmanager', hubble__tls__auto__certManagerIssuerRef={'name': 'x'})
RELAY_BUDGET = dict(hubble__relay__podDisruptionBudget__enabled=True)
UI_BUDGET = dict(UI_ON, hubble__ui__podDisruptionBudget__enabled=True)
CILIUM = dict(api_versions=['cilium.io/v2'])

# value: (changed to, an object, what then stands in it and did not before, other values). '- …': what then stands there no more;
# None: the object is gone.
CHANGES = {
    'nameOverride': ('other', 'DaemonSet/tycho-other-observer', 'tycho-other-observer', {}),
    'fullnameOverride': ('watch', 'DaemonSet/watch-observer', 'watch-observer', {}),
    'imagePullSecrets': ([{'name': 'pull'}], RELAY, '"imagePullSecrets":[{"name":"pull"}]', {}),
    'commonLabels': ({'team': 'net'}, OBSERVER, '"team":"net"', {}),
    'image.repository': ('elsewhere/tycho', RELAY, '"elsewhere/tycho:0.1.0"', {}),
    'image.tag': ('9', OBSERVER, '"registry.example/tycho:9"', {}),
    'image.digest': ('sha256:' + 'a' * 64, OBSERVER, '"registry.example/tycho@sha256:aaaa', {}),
    'image.pullPolicy': ('Always', OBSERVER, '"imagePullPolicy":"Always"', {}),
    'cluster.name': ('east', OBSERVER, '"--cluster=east"', {}),
    'rbac.create': (False, 'ClusterRole/tycho-observer', None, {}),
    'kubernetes.enabled': (False, 'ClusterRoleBinding/tycho-observer', None, {}),
    'cilium.sockets': (True, OBSERVER, '"mountPath":"/var/run/cilium"', {}),
    'cilium.socketsPath': ('/run/c', OBSERVER, '"path":"/run/c"', dict(cilium__sockets=True)),
    'cilium.takeEvents': None,  # test_events_are_taken_from_cilium_only_by_name
    'tls.ca.cert': None,  # test_an_authority_of_ones_own_signs
    'tls.ca.key': None,
    'tls.ca.certValidityDuration': None,  # test_days_are_those_of_the_certificates
    'observer.sources': (['bpf'], OBSERVER, '"--source=bpf"', {}),
    'observer.interfaces': (['eth*'], OBSERVER, '"--interface=eth*"', {}),
    'observer.interval': ('2s', OBSERVER, '"--interval=2s"', {}),
    'observer.noise': (True, OBSERVER, '"--noise"', {}),
    'observer.nodeIsContainer': (True, OBSERVER, '"mountPath":"/run/netns","mountPropagation":"HostToContainer"', {}),
    'observer.policyMeaning': ('cilium', OBSERVER, '"--policy-meaning=cilium"', {}),
    'observer.access': ('anyone shop', 'ConfigMap/tycho-observer', '"anyone shop', {}),
    'observer.logLevel': ('debug', OBSERVER, '"--log-level=debug"', {}),
    'observer.extraArgs': (['--stall-timeout=9s'], OBSERVER, '"--stall-timeout=9s"', {}),
    'observer.extraEnv': ([{'name': 'A', 'value': 'b'}], OBSERVER, '{"name":"A","value":"b"}', {}),
    'observer.extraVolumes': ([{'name': 'v', 'emptyDir': {}}], OBSERVER, '{"emptyDir":{},"name":"v"}', {}),
    'observer.extraVolumeMounts': ([{'name': 'v', 'mountPath': '/v'}], OBSERVER, '"mountPath":"/v"', {}),
    'observer.nflog.groups': ([5], OBSERVER, '"--nflog-group=5"', {}),
    'observer.nflog.default': ('deny', OBSERVER, '"--nflog-default=deny"', NFLOG),
    'observer.nflog.pattern': ('^(?<policy>.*)$', OBSERVER, '"--nflog-pattern=^(?<policy>.*)$"', NFLOG),
    'observer.store.enabled': (False, OBSERVER, '"--store=off"', {}),
    'observer.store.retention': ('0', OBSERVER, '"--retention=0"', {}),
    'observer.store.retentionSize': ('500M', OBSERVER, '"--retention-size=500M"', {}),
    'observer.store.retentionEdges': ('90d', OBSERVER, '"--retention-edges=90d"', {}),
    'observer.store.sealPeriod': ('5s', OBSERVER, '"--seal-period=5s"', {}),
    'observer.state.type': ('emptyDir', OBSERVER, '{"emptyDir":{"sizeLimit":"12Gi"},"name":"state"}', {}),
    'observer.state.path': ('/data/tycho', OBSERVER, '"path":"/data/tycho"', {}),
    'observer.state.sizeLimit': ('1Gi', OBSERVER, '"sizeLimit":"1Gi"', dict(observer__state__type='emptyDir')),
    'observer.evidence.existingSecret': ('key', OBSERVER, '"--evidence-key=/etc/tycho/evidence/evidence.key"', {}),
    'observer.evidence.checkpointTo': (['https://a.example'], OBSERVER, '"--checkpoint-to=https://a.example"', {}),
    'observer.evidence.checkpointCASecret': ('ca', OBSERVER, '"--checkpoint-ca-file=/etc/tycho/checkpoint-ca/ca.crt"',
                                               dict(observer__evidence__checkpointTo=['https://a.example'])),
    'observer.clickhouse.url': ('https://ch.example/tycho', OBSERVER, '"--clickhouse=https://ch.example/tycho"', {}),
    'observer.clickhouse.user': ('tycho', OBSERVER, '"--clickhouse-user=tycho"', CLICKHOUSE),
    'observer.clickhouse.passwordSecret': ('ch', OBSERVER, '"--clickhouse-password-file=/etc/tycho/clickhouse/password"', CLICKHOUSE),
    'observer.clickhouse.caSecret': ('ca', OBSERVER, '"--clickhouse-ca-file=/etc/tycho/clickhouse-ca/ca.crt"', CLICKHOUSE),
    'observer.clickhouse.period': ('1m', OBSERVER, '"--clickhouse-period=1m"', CLICKHOUSE),
    'observer.resources': ({'limits': {'memory': '1Gi'}}, OBSERVER, '"limits":{"memory":"1Gi"}', {}),
    'observer.priorityClassName': ('mine', OBSERVER, '"priorityClassName":"mine"', {}),
    'observer.tolerations': ([], OBSERVER, '- "tolerations"', {}),
    'observer.nodeSelector': ({'a': 'b'}, OBSERVER, '"a":"b"', {}),
    'observer.affinity': ({'nodeAffinity': {}}, OBSERVER, '"affinity":{"nodeAffinity":{}}', {}),
    'observer.updateStrategy': ({'type': 'OnDelete', 'rollingUpdate': None}, OBSERVER, '"updateStrategy":{"type":"OnDelete"}', {}),
    'observer.terminationGracePeriodSeconds': (7, OBSERVER, '"terminationGracePeriodSeconds":7', {}),
    'observer.podAnnotations': ({'a': 'b'}, OBSERVER, '"annotations":{"a":"b"}', {}),
    'observer.podLabels': ({'a': 'b'}, OBSERVER, '"a":"b"', {}),
    'observer.seccompProfile': ({'type': 'Unconfined'}, OBSERVER, '"seccompProfile":{"type":"Unconfined"}', {}),
    'observer.seLinuxOptions': ({'type': 'spc_t'}, OBSERVER, '"seLinuxOptions":{"type":"spc_t"}', {}),
    'observer.serviceAccount.create': (False, 'ServiceAccount/tycho-observer', None, {}),
    'observer.serviceAccount.name': ('me', OBSERVER, '"serviceAccountName":"me"', {}),
    'observer.serviceAccount.annotations': ({'a': 'b'}, 'ServiceAccount/tycho-observer', '"annotations":{"a":"b"}', {}),
    'hubble.listenAddress': (':4999', RELAY, '.cluster.local:4999"', {}),
    'hubble.eventBufferCapacity': (4095, OBSERVER, '"--ring-capacity=4095"', {}),
    'hubble.peerService.clusterDomain': ('my.domain', RELAY, '"--peer-dns=tycho-peer.obs.svc.my.domain:4244"', {}),
    'hubble.tls.enabled': (False, OBSERVER, '"--insecure-listen"', {}),
    'hubble.tls.auto.enabled': (False, 'Secret/tycho-ca', None, dict(
        hubble__tls__server__existingSecret='a', hubble__relay__tls__client__existingSecret='b', hubble__relay__tls__server__existingSecret='c')),
    'hubble.tls.auto.method': ('certmanager', 'Certificate/tycho-server-certs', '"secretName":"tycho-server-certs"', dict(
        hubble__tls__auto__certManagerIssuerRef={'name': 'x'})),
    'hubble.tls.auto.certValidityDuration': (30, 'Certificate/tycho-server-certs', '"duration":"720h0m0s"', MANAGER),
    'hubble.tls.auto.certManagerIssuerRef': ({'kind': 'Issuer'}, 'Certificate/tycho-server-certs', '"kind":"Issuer"', MANAGER),
    'hubble.tls.server.existingSecret': ('mine', OBSERVER, '"secretName":"mine"', {}),
    'hubble.tls.server.extraDnsNames': (['n.example'], 'Certificate/tycho-server-certs', '"n.example"', MANAGER),
    'hubble.tls.server.extraIpAddresses': (['10.1.1.1'], 'Certificate/tycho-server-certs', '"ipAddresses":["10.1.1.1"]', MANAGER),
    'hubble.tls.client.existingSecret': ('mine', 'Secret/tycho-client-certs', None, {}),
    'hubble.redact.enabled': (True, OBSERVER, '"--redact-enabled"', {}),
    'hubble.redact.http.urlQuery': (True, OBSERVER, '"--redact-http-urlquery"', REDACT),
    'hubble.redact.http.userInfo': (False, OBSERVER, '"--redact-http-userinfo=false"', REDACT),
    'hubble.redact.http.headers.allow': (['x-a'], OBSERVER, '"--redact-http-headers-allow=x-a"', REDACT),
    'hubble.redact.http.headers.deny': (['x-a'], OBSERVER, '"--redact-http-headers-deny=x-a"', REDACT),
    'hubble.redact.kafka.apiKey': (False, OBSERVER, '- "--redact-kafka-apikey"', REDACT),
    'hubble.dropEventEmitter.enabled': (True, 'ClusterRole/tycho-observer', '{"apiGroups":[""],"resources":["events"],"verbs":["create","patch"]}', {}),
    'hubble.dropEventEmitter.interval': ('5m', OBSERVER, '"--drop-events-interval=5m"', DROPS),
    'hubble.dropEventEmitter.reasons': (['policy_deny', 'vlan_filtered'], OBSERVER, '"--drop-events-reasons=policy_deny,vlan_filtered"', DROPS),
    'hubble.dropEventEmitter.rateLimit': (0, OBSERVER, '"--drop-events-rate-limit=0"', DROPS),
    'hubble.dropEventEmitter.extended': (True, OBSERVER, '"--drop-events-extended"', DROPS),
    'hubble.export.path': ('/srv/flows', OBSERVER, '"mountPath":"/srv/flows"', EXPORT),
    'hubble.export.static.enabled': (True, OBSERVER, '"--export-file-path=/var/log/tycho/flows.log"', {}),
    'hubble.export.static.filePath': ('stdout', OBSERVER, '"--export-file-path=stdout"', EXPORT),
    'hubble.export.static.fieldMask': (['time', 'source.pod_name'], OBSERVER, '"--export-fieldmask=time,source.pod_name"', EXPORT),
    'hubble.export.static.fieldAggregate': (['verdict', 'time'], OBSERVER, '"--export-fieldaggregate=verdict,time"',
                                            dict(EXPORT, hubble__export__static__fieldAggregate=['verdict'],
                                                 hubble__export__static__aggregationInterval='30s')),
    'hubble.export.static.aggregationInterval': ('1m30s', OBSERVER, '"--export-aggregation-interval=1m30s"',
                                                 dict(EXPORT, hubble__export__static__fieldAggregate=['verdict'],
                                                      hubble__export__static__aggregationInterval='30s')),
    'hubble.export.static.allowList': (['{"verdict":["DROPPED"]}'], OBSERVER, r'"--export-allowlist={\"verdict\":[\"DROPPED\"]}"', EXPORT),
    'hubble.export.static.denyList': (['{"verdict":["DROPPED"]}'], OBSERVER, r'"--export-denylist={\"verdict\":[\"DROPPED\"]}"', EXPORT),
    'hubble.export.static.fileMaxSizeMb': (20, OBSERVER, '"--export-file-max-size-mb=20"', EXPORT),
    'hubble.export.static.fileMaxBackups': (7, OBSERVER, '"--export-file-max-backups=7"', EXPORT),
    'hubble.export.static.fileCompress': (True, OBSERVER, '"--export-file-compress"', EXPORT),
    'hubble.export.dynamic.enabled': (True, OBSERVER, '"--flowlogs-config-path=/etc/tycho/flowlogs/flowlogs.yaml"', {}),
    'hubble.export.dynamic.config.configMapName': ('mine', OBSERVER, '"name":"mine"', FLOWLOGS),
    'hubble.export.dynamic.config.createConfigMap': (False, 'ConfigMap/tycho-flowlogs', None, FLOWLOGS),
    'hubble.export.dynamic.config.content': ([{'name': 'b', 'filePath': 'stdout'}], 'ConfigMap/tycho-flowlogs', 'name: b', FLOWLOGS),
    'hubble.metrics.enabled': (['drop:labelsContext=source_namespace', 'flow'], OBSERVER,
                               '"--metrics=drop:labelsContext=source_namespace flow"', {}),
    'hubble.metrics.port': (9975, OBSERVER, '"--metrics-listen=:9975"', METRICS),
    'hubble.metrics.series': (500, OBSERVER, '"--metrics-series=500"', METRICS),
    'hubble.metrics.serviceAnnotations': ({'a': 'b'}, 'Service/tycho-metrics', '"annotations":{"a":"b"}', METRICS),
    'hubble.metrics.dynamic.enabled': (True, OBSERVER, '"--metrics-config=/etc/tycho/metrics/metrics.yaml"', {}),
    'hubble.metrics.dynamic.config.configMapName': ('mine', OBSERVER, '"name":"mine"', FILE),
    'hubble.metrics.dynamic.config.createConfigMap': (False, 'ConfigMap/tycho-metrics', None, FILE),
    'hubble.metrics.dynamic.config.content': ([{'name': 'drop'}], 'ConfigMap/tycho-metrics', 'name: drop', FILE),
    'hubble.metrics.tls.enabled': (True, OBSERVER, '"--metrics-tls-cert-file=/etc/tycho/tls/metrics/tls.crt"', METRICS),
    'hubble.metrics.tls.server.existingSecret': ('mine', OBSERVER, '"secretName":"mine"', METRICS_TLS),
    'hubble.metrics.tls.server.extraDnsNames': (['n.example'], 'Certificate/tycho-metrics-server-certs', '"n.example"', dict(METRICS_TLS, **MANAGER)),
    'hubble.metrics.tls.server.mtls.enabled': (True, OBSERVER, '"--metrics-tls-client-ca-file=/etc/tycho/tls/metrics/ca.crt"', METRICS_TLS),
    'hubble.metrics.serviceMonitor.enabled': (True, 'ServiceMonitor/tycho-observer', '"port":"metrics"', METRICS),
    'hubble.metrics.serviceMonitor.labels': ({'a': 'b'}, 'ServiceMonitor/tycho-observer', '"a":"b"', MONITOR),
    'hubble.metrics.serviceMonitor.annotations': ({'a': 'b'}, 'ServiceMonitor/tycho-observer', '"annotations":{"a":"b"}', MONITOR),
    'hubble.metrics.serviceMonitor.interval': ('7s', 'ServiceMonitor/tycho-observer', '"interval":"7s"', MONITOR),
    'hubble.metrics.serviceMonitor.relabelings': ([{'action': 'labeldrop', 'regex': 'x'}], 'ServiceMonitor/tycho-observer',
                                                  '"relabelings":[{"action":"labeldrop","regex":"x"}]', MONITOR),
    'hubble.metrics.serviceMonitor.metricRelabelings': ([{'action': 'labeldrop', 'regex': 'x'}], 'ServiceMonitor/tycho-observer',
                                                        '"metricRelabelings":[{"action":"labeldrop","regex":"x"}]', MONITOR),
    'hubble.metrics.dashboards.enabled': (True, 'ConfigMap/tycho-overview-dashboard', '"grafana_dashboard":"1"', {}),
    'hubble.metrics.dashboards.namespace': ('grafana', 'ConfigMap/tycho-dns-dashboard', '"namespace":"grafana"', DASHBOARDS),
    'hubble.metrics.dashboards.label': ('board', 'ConfigMap/tycho-dns-dashboard', '"board":"1"', DASHBOARDS),
    'hubble.metrics.dashboards.labelValue': ('yes', 'ConfigMap/tycho-dns-dashboard', '"grafana_dashboard":"yes"', DASHBOARDS),
    'hubble.relay.enabled': (False, RELAY, None, {}),
    'archive.enabled': (True, 'Service/tycho-archive', '"port":443', CLICKHOUSE),
    'archive.replicas': (3, ARCHIVE, '"replicas":3', ARCHIVE_ON),
    'archive.user': ('reader', ARCHIVE, '"--clickhouse-user=reader"', ARCHIVE_ON),
    'archive.passwordSecret': ('ch', ARCHIVE, '"--clickhouse-password-file=/etc/tycho/clickhouse/password"', ARCHIVE_ON),
    'archive.queries': (5, ARCHIVE, '"--clickhouse-queries=5"', ARCHIVE_ON),
    'archive.logLevel': ('warn', ARCHIVE, '"--log-level=warn"', ARCHIVE_ON),
    'archive.extraArgs': (['--node-name=x'], ARCHIVE, '"--node-name=x"', ARCHIVE_ON),
    'archive.extraEnv': ([{'name': 'A', 'value': 'b'}], ARCHIVE, '"env":[{"name":"A","value":"b"}]', ARCHIVE_ON),
    'archive.extraVolumes': ([{'name': 'v', 'emptyDir': {}}], ARCHIVE, '{"emptyDir":{},"name":"v"}', ARCHIVE_ON),
    'archive.extraVolumeMounts': ([{'name': 'v', 'mountPath': '/v'}], ARCHIVE, '"mountPath":"/v"', ARCHIVE_ON),
    'archive.priorityClassName': ('mine', ARCHIVE, '"priorityClassName":"mine"', ARCHIVE_ON),
    'archive.topologySpreadConstraints': ([{'maxSkew': 1}], ARCHIVE, '"topologySpreadConstraints":[{"maxSkew":1}]', ARCHIVE_ON),
    'archive.updateStrategy': ({'type': 'Recreate', 'rollingUpdate': None}, ARCHIVE, '"strategy":{"type":"Recreate"}', ARCHIVE_ON),
    'archive.podAnnotations': ({'a': 'b'}, ARCHIVE, '"annotations":{"a":"b"}', ARCHIVE_ON),
    'archive.podLabels': ({'a': 'b'}, ARCHIVE, '"a":"b"', ARCHIVE_ON),
    'archive.service.type': ('LoadBalancer', 'Service/tycho-archive', '"type":"LoadBalancer"', ARCHIVE_ON),
    'archive.service.nodePort': (31000, 'Service/tycho-archive', '"nodePort":31000', dict(ARCHIVE_ON, archive__service__type='NodePort')),
    'archive.service.annotations': ({'a': 'b'}, 'Service/tycho-archive', '"annotations":{"a":"b"}', ARCHIVE_ON),
    'archive.podDisruptionBudget.enabled': (True, 'PodDisruptionBudget/tycho-archive', '"maxUnavailable":1', ARCHIVE_ON),
    'archive.podDisruptionBudget.maxUnavailable': ('50%', 'PodDisruptionBudget/tycho-archive', '"maxUnavailable":"50%"', ARCHIVE_BUDGET),
    'archive.podDisruptionBudget.minAvailable': (2, 'PodDisruptionBudget/tycho-archive', '"minAvailable":2', dict(
        ARCHIVE_BUDGET, archive__podDisruptionBudget__maxUnavailable=None)),
    'archive.resources': ({'limits': {'memory': '1Gi'}}, ARCHIVE, '"limits":{"memory":"1Gi"}', ARCHIVE_ON),
    'archive.tolerations': ([{'operator': 'Exists'}], ARCHIVE, '"tolerations":[{"operator":"Exists"}]', ARCHIVE_ON),
    'archive.nodeSelector': ({'a': 'b'}, ARCHIVE, '"a":"b"', ARCHIVE_ON),
    'archive.affinity': ({'podAffinity': {}}, ARCHIVE, '"affinity":{"podAffinity":{}}', ARCHIVE_ON),
    'hubble.relay.replicas': (3, RELAY, '"replicas":3', {}),
    'hubble.relay.listenHost': ('127.0.0.1', RELAY, '"--listen=127.0.0.1:4245"', {}),
    'hubble.relay.listenPort': (4999, RELAY, '"--listen=:4999"', {}),
    'hubble.relay.sortBufferLenMax': (7, RELAY, '"--sort-buffer-len-max=7"', {}),
    'hubble.relay.sortBufferDrainTimeout': ('2s', RELAY, '"--sort-buffer-drain-timeout=2s"', {}),
    'hubble.relay.peerInterval': ('5s', RELAY, '"--peer-dns-interval=5s"', {}),
    'hubble.relay.access': ('anyone shop', 'ConfigMap/tycho-relay', '"cert tycho-ui.obs.svc *\\nanyone shop', UI_ON),
    'hubble.relay.accessTokensSecret': ('tokens', RELAY, '"mountPath":"/etc/tycho/tokens"', {}),
    'hubble.relay.logLevel': ('warn', RELAY, '"--log-level=warn"', {}),
    'hubble.relay.extraArgs': (['--forward-authorization'], RELAY, '"--forward-authorization"', {}),
    'hubble.relay.extraEnv': ([{'name': 'A', 'value': 'b'}], RELAY, '"env":[{"name":"A","value":"b"}]', {}),
    'hubble.relay.extraVolumes': ([{'name': 'v', 'emptyDir': {}}], RELAY, '{"emptyDir":{},"name":"v"}', {}),
    'hubble.relay.extraVolumeMounts': ([{'name': 'v', 'mountPath': '/v'}], RELAY, '"mountPath":"/v"', {}),
    'hubble.relay.resources': ({'limits': {'memory': '1Gi'}}, RELAY, '"limits":{"memory":"1Gi"}', {}),
    'hubble.relay.priorityClassName': ('mine', RELAY, '"priorityClassName":"mine"', {}),
    'hubble.relay.tolerations': ([{'operator': 'Exists'}], RELAY, '"tolerations":[{"operator":"Exists"}]', {}),
    'hubble.relay.nodeSelector': ({'a': 'b'}, RELAY, '"a":"b"', {}),
    'hubble.relay.affinity': ({'podAffinity': {}}, RELAY, '"affinity":{"podAffinity":{}}', {}),
    'hubble.relay.topologySpreadConstraints': ([{'maxSkew': 1}], RELAY, '"topologySpreadConstraints":[{"maxSkew":1}]', {}),
    'hubble.relay.updateStrategy': ({'type': 'Recreate', 'rollingUpdate': None}, RELAY, '"strategy":{"type":"Recreate"}', {}),
    'hubble.relay.terminationGracePeriodSeconds': (7, RELAY, '"terminationGracePeriodSeconds":7', {}),
    'hubble.relay.podAnnotations': ({'a': 'b'}, RELAY, '"annotations":{"a":"b"}', {}),
    'hubble.relay.podLabels': ({'a': 'b'}, RELAY, '"a":"b"', {}),
    'hubble.relay.service.type': ('LoadBalancer', 'Service/tycho-relay', '"type":"LoadBalancer"', {}),
    'hubble.relay.service.nodePort': (31000, 'Service/tycho-relay', '"nodePort":31000', dict(hubble__relay__service__type='NodePort')),
    'hubble.relay.service.annotations': ({'a': 'b'}, 'Service/tycho-relay', '"annotations":{"a":"b"}', {}),
    'hubble.relay.podDisruptionBudget.enabled': (True, 'PodDisruptionBudget/tycho-relay', '"maxUnavailable":1', {}),
    'hubble.relay.podDisruptionBudget.maxUnavailable': ('50%', 'PodDisruptionBudget/tycho-relay', '"maxUnavailable":"50%"', RELAY_BUDGET),
    'hubble.relay.podDisruptionBudget.minAvailable': (2, 'PodDisruptionBudget/tycho-relay', '"minAvailable":2', dict(
        RELAY_BUDGET, hubble__relay__podDisruptionBudget__maxUnavailable=None)),
    'hubble.relay.tls.client.existingSecret': ('mine', RELAY, '"secretName":"mine"', {}),
    'hubble.relay.tls.server.enabled': (False, RELAY, '"--insecure-listen"', dict(hubble__relay__tls__server__mtls=False)),
    'hubble.relay.tls.server.mtls': (False, RELAY, '- "--tls-client-ca-file=', {}),
    'hubble.relay.tls.server.existingSecret': ('mine', RELAY, '"secretName":"mine"', {}),
    'hubble.relay.tls.server.extraDnsNames': (['n.example'], 'Certificate/tycho-relay-server-certs', '"n.example"', MANAGER),
    'hubble.relay.tls.server.extraIpAddresses': (['10.1.1.1'], 'Certificate/tycho-relay-server-certs', '"10.1.1.1"', MANAGER),
    'hubble.relay.prometheus.enabled': (True, RELAY, '"--metrics-listen=:9966"', {}),
    'hubble.relay.prometheus.port': (9999, 'Service/tycho-relay-metrics', '"port":9999', RELAY_METRICS),
    'hubble.relay.prometheus.serviceMonitor.enabled': (True, 'ServiceMonitor/tycho-relay', '"port":"metrics"', RELAY_METRICS),
    'hubble.relay.prometheus.serviceMonitor.labels': ({'a': 'b'}, 'ServiceMonitor/tycho-relay', '"a":"b"', RELAY_MONITOR),
    'hubble.relay.prometheus.serviceMonitor.annotations': ({'a': 'b'}, 'ServiceMonitor/tycho-relay', '"annotations":{"a":"b"}', RELAY_MONITOR),
    'hubble.relay.prometheus.serviceMonitor.interval': ('7s', 'ServiceMonitor/tycho-relay', '"interval":"7s"', RELAY_MONITOR),
    'hubble.ui.enabled': (True, UI, '"command":["tycho-ui"]', {}),
    'hubble.ui.replicas': (2, UI, '"replicas":2', UI_ON),
    'hubble.ui.history': (5, UI, '"--history=5"', UI_ON),
    'hubble.ui.allowHosts': (['b.example'], UI, '"--allow-host=b.example"', UI_ON),
    'hubble.ui.logLevel': ('warn', UI, '"--log-level=warn"', UI_ON),
    'hubble.ui.extraArgs': (['--tls-server-name=x'], UI, '"--tls-server-name=x"', UI_ON),
    'hubble.ui.extraEnv': ([{'name': 'A', 'value': 'b'}], UI, '"env":[{"name":"A","value":"b"}]', UI_ON),
    'hubble.ui.resources': ({'limits': {'memory': '1Gi'}}, UI, '"limits":{"memory":"1Gi"}', UI_ON),
    'hubble.ui.priorityClassName': ('mine', UI, '"priorityClassName":"mine"', UI_ON),
    'hubble.ui.tolerations': ([{'operator': 'Exists'}], UI, '"tolerations":[{"operator":"Exists"}]', UI_ON),
    'hubble.ui.nodeSelector': ({'a': 'b'}, UI, '"a":"b"', UI_ON),
    'hubble.ui.affinity': ({'podAffinity': {}}, UI, '"affinity":{"podAffinity":{}}', UI_ON),
    'hubble.ui.topologySpreadConstraints': ([{'maxSkew': 1}], UI, '"topologySpreadConstraints":[{"maxSkew":1}]', UI_ON),
    'hubble.ui.updateStrategy': ({'type': 'Recreate', 'rollingUpdate': None}, UI, '"strategy":{"type":"Recreate"}', UI_ON),
    'hubble.ui.podAnnotations': ({'a': 'b'}, UI, '"annotations":{"a":"b"', UI_ON),
    'hubble.ui.podLabels': ({'a': 'b'}, UI, '"a":"b"', UI_ON),
    'hubble.ui.login.enabled': (False, UI, '"--no-auth"', UI_ON),
    'hubble.ui.login.existingSecret': ('mine', UI, '"secretName":"mine"', UI_ON),
    'hubble.ui.login.user': None,  # test_life.py logs in
    'hubble.ui.service.type': ('LoadBalancer', 'Service/tycho-ui', '"type":"LoadBalancer"', UI_ON),
    'hubble.ui.service.nodePort': (31000, 'Service/tycho-ui', '"nodePort":31000', dict(UI_ON, hubble__ui__service__type='NodePort')),
    'hubble.ui.service.annotations': ({'a': 'b'}, 'Service/tycho-ui', '"annotations":{"a":"b"}', UI_ON),
    'hubble.ui.ingress.enabled': (True, 'Ingress/tycho-ui', '"host":"a.example"', dict(UI_ON, hubble__ui__ingress__hosts=['a.example'])),
    'hubble.ui.ingress.className': ('nginx', 'Ingress/tycho-ui', '"ingressClassName":"nginx"', INGRESS),
    'hubble.ui.ingress.annotations': ({'a': 'b'}, 'Ingress/tycho-ui', '"annotations":{"a":"b"}', INGRESS),
    'hubble.ui.ingress.hosts': (['b.example'], UI, '"--allow-host=b.example"', INGRESS),
    'hubble.ui.ingress.tls': ([{'secretName': 'front'}], 'Ingress/tycho-ui', '"tls":[{"secretName":"front"}]', INGRESS),
    'hubble.ui.podDisruptionBudget.enabled': (True, 'PodDisruptionBudget/tycho-ui', '"maxUnavailable":1', UI_ON),
    'hubble.ui.podDisruptionBudget.maxUnavailable': (2, 'PodDisruptionBudget/tycho-ui', '"maxUnavailable":2', UI_BUDGET),
    'hubble.ui.podDisruptionBudget.minAvailable': ('50%', 'PodDisruptionBudget/tycho-ui', '"minAvailable":"50%"', dict(
        UI_BUDGET, hubble__ui__podDisruptionBudget__maxUnavailable=None)),
    'hubble.ui.tls.server.enabled': (False, UI, '"--insecure-listen"', UI_ON),
    'hubble.ui.tls.server.existingSecret': ('mine', UI, '"secretName":"mine"', UI_ON),
    'hubble.ui.tls.server.extraDnsNames': (['n.example'], 'Certificate/tycho-ui-server-certs', '"n.example"', dict(UI_ON, **MANAGER)),
    'hubble.ui.tls.client.existingSecret': ('mine', UI, '"secretName":"mine"', UI_ON),
    'prometheus.enabled': (True, OBSERVER, '"--metrics-listen=:9965"', {}),
    'prometheus.rules.enabled': (True, 'PrometheusRule/tycho', '"alert":"TychoObserverDown"', {}),
    'prometheus.rules.labels': ({'a': 'b'}, 'PrometheusRule/tycho', '"a":"b"', RULES),
    'networkPolicy.enabled': (True, 'NetworkPolicy/tycho-relay', '"policyTypes":["Ingress"]', {}),
    'networkPolicy.relayFrom': ([{'podSelector': {}}], 'NetworkPolicy/tycho-relay', '{"podSelector":{}}', POLICIES),
    'networkPolicy.uiFrom': ([{'podSelector': {}}], 'NetworkPolicy/tycho-ui', '{"podSelector":{}}', POLICIES),
    'networkPolicy.metricsFrom': ([{'podSelector': {}}], 'NetworkPolicy/tycho-relay', '"port":"metrics"', dict(POLICIES, **RELAY_METRICS)),
}
TESTED = sorted(path for path, change in CHANGES.items() if change)


def text_of(case, where):
    assert case.error is None, case.error
    kind, name = where.split('/')
    if not case.has(kind, name):
        return ''
    return json.dumps(case.get(kind, name), separators=(',', ':'), sort_keys=True)


@pytest.fixture(scope='module')
def changed():
    pairs, before = {}, {}  # many begin alike
    for path in TESTED:
        value, _, _, others = CHANGES[path]
        base = before.setdefault(json.dumps(others), Case(values(**others)))
        pairs[path] = base, Case(merged(base.input['values'], nested(path, value)))
    render([*before.values(), *(after for _, after in pairs.values())])
    return pairs


def test_every_value_is_tested():
    assert set(CHANGES) == {path for path, _, _ in leaves()}


@pytest.mark.parametrize('path', TESTED)
def test_a_value_arrives(changed, path):
    value, where, text, others = CHANGES[path]
    before, after = (text_of(case, where) for case in changed[path])
    if text is None:
        assert before and not after
    elif text.startswith('- '):
        assert text[2:] in before and text[2:] not in after
    else:
        assert text in after and text not in before


def test_events_are_taken_from_cilium_only_by_name():
    taken, = render([Case(values(observer__sources=['cilium-perf'], cilium__takeEvents=True))])
    text = text_of(taken, OBSERVER)
    assert '"--cilium-take-events"' in text and '{"mountPath":"/sys/fs/bpf","name":"bpffs"}' in text


def test_cilium_is_noticed():
    with_cilium, without, off = render([Case(values(), **CILIUM), Case(values()), Case(values(cilium__sockets=False), **CILIUM)])
    assert '"mountPath":"/var/run/cilium","name":"cilium","readOnly":true' in text_of(with_cilium, OBSERVER)
    assert '"--policy-meaning=cilium"' in text_of(with_cilium, OBSERVER)
    assert 'cilium' not in text_of(without, OBSERVER) and '"--policy-meaning=kubernetes"' in text_of(without, OBSERVER)
    assert '/var/run/cilium' not in text_of(off, OBSERVER)
    assert 'hubble.listenAddress=:4254' in with_cilium.notes and 'hubble.listenAddress' not in without.notes


def test_a_release_called_otherwise_has_its_own_names():
    a, = render([Case(values(hubble__ui__enabled=True), name='east', namespace='monitoring')])
    assert '--peer-dns=east-tycho-peer.monitoring.svc.cluster.local:4244' in text_of(a, 'Deployment/east-tycho-relay')
    assert not [o for o in a.objects if not o['metadata']['name'].startswith('east-tycho')]


def test_an_archive_is_scraped_as_every_relay():
    with_, without = render([Case(values(**ARCHIVE_ON, **RELAY_MONITOR, **POLICIES, networkPolicy__metricsFrom=[{'podSelector': {}}])),
                             Case(values(**RELAY_MONITOR))])
    monitor = with_.get('ServiceMonitor', 'tycho-archive')['spec']
    assert monitor['jobLabel'] == 'tycho/job' and monitor['selector']['matchLabels']['tycho/job'] == 'tycho-relay'
    service = with_.get('Service', 'tycho-archive-metrics')
    assert service['metadata']['labels']['tycho/job'] == 'tycho-relay' and [p['port'] for p in service['spec']['ports']] == [9966]
    assert '--metrics-listen=:9966' in with_.container('archive')['args']
    policy = with_.get('NetworkPolicy', 'tycho-archive')['spec']
    assert [[p['port'] for p in rule['ports']] for rule in policy['ingress']] == [['metrics']]
    assert not [o for o in without.objects if 'archive' in o['metadata']['name']]


def test_numbers_may_be_said_as_numbers():
    """`--set` and YAML make numbers of digits; a large one is not written with an exponent."""
    a, = render([Case(values(observer__store__retention=0, observer__store__retentionSize=10_000_000_000))])
    assert {'--retention=0', '--retention-size=10000000000'} <= set(a.container('observer')['args'])


EVERY_ROOM = dict(
    UI_ON, **ARCHIVE_BUDGET, **NFLOG, **REDACT, **METRICS_TLS, **RULES, hubble__metrics__serviceMonitor__enabled=True, hubble__relay__prometheus__enabled=True,
    hubble__relay__prometheus__serviceMonitor__enabled=True, networkPolicy__enabled=True, hubble__relay__podDisruptionBudget__enabled=True,
    hubble__ui__podDisruptionBudget__enabled=True)
SAID_ABOVE = {'observer.nflog.groups', 'observer.clickhouse.url', 'hubble.metrics.enabled', 'hubble.ui.login.existingSecret', 'image.repository'}
MAY_BE_LEFT_OUT = re.compile(r'cluster\.name|.*\.(resources|priorityClassName|tolerations|nodeSelector|updateStrategy|relabelings|maxUnavailable)')


def test_a_value_that_is_taken_away_is_empty_or_refused_by_its_name():
    """As by `key:` with nothing behind it. None of them quietly turns something off that is on."""
    cases = {path: Case(merged(values(**EVERY_ROOM), nested(path, None))) for path, _, _ in leaves() if path not in SAID_ABOVE}
    base = Case(values(**EVERY_ROOM))
    render([base, *cases.values()])

    def of(case):
        return [dict(o, data=sorted(o['data'])) if o['kind'] == 'Secret' else o for o in case.objects]
    expected = of(base)
    for path, default, _ in leaves():
        case = cases.get(path)
        if case is None or MAY_BE_LEFT_OUT.fullmatch(path) and case.error is None:
            continue
        if default in ('""', '[]', '{}', 'null') and path != 'hubble.tls.auto.certManagerIssuerRef':
            assert case.error is None and of(case) == expected, (path, case.error)
        else:
            assert case.error and case.error.endswith('%s is required' % path.rpartition('.')[2]), (path, case.error)


REFUSED = {  # a value, and what the sentence names
    'hubbel': ({}, 'hubbel'),
    'hubble.relay.enable': (True, 'enable'),
    'hubble.relay.enabled': ('yes', 'hubble.relay.enabled'),
    'hubble.eventBufferCapacity': (4096, 'hubble.eventBufferCapacity'),
    'hubble.listenAddress': ('4244', 'hubble.listenAddress'),
    'hubble.tls.auto.method': ('cronJob', 'hubble.tls.auto.method'),
    'hubble.metrics.enabled': ('drop,flow', 'hubble.metrics.enabled'),
    'hubble.metrics.port': (70000, 'hubble.metrics.port'),
    'hubble.metrics.series': (10, 'hubble.metrics.series'),
    'hubble.metrics.serviceMonitor.interval': ('', 'hubble.metrics.serviceMonitor.interval'),
    'hubble.metrics.dashboards.label': ('', 'hubble.metrics.dashboards.label'),
    'hubble.redact': (None, 'redact is required'),
    'hubble.relay.sortBufferLenMax': (0, 'hubble.relay.sortBufferLenMax'),
    'hubble.relay.sortBufferDrainTimeout': ('1 s', 'hubble.relay.sortBufferDrainTimeout'),
    'hubble.ui.history': (0, 'hubble.ui.history'),
    'hubble.ui.login.user': ('a:b', 'hubble.ui.login.user'),
    'observer.store.retention': ('a week', 'observer.store.retention'),
    'observer.store.retentionEdges': ('0', 'observer.store.retentionEdges'),
    'observer.store.retentionSize': ('10GB', 'observer.store.retentionSize'),
    'observer.store.sealPeriod': ('', 'observer.store.sealPeriod'),
    'observer.sources': (['pcap'], 'observer.sources'),
    'observer.nflog.groups': ([70000], 'observer.nflog.groups'),
    'observer.state.path': ('var/lib', 'observer.state.path'),
    'observer.extraArgs': (['stall-timeout=1s'], 'observer.extraArgs'),
    'observer.evidence.checkpointTo': (['file:/tmp/x'], 'observer.evidence.checkpointTo'),
    'hubble.dropEventEmitter.interval': ('5 m', 'hubble.dropEventEmitter.interval'),
    'hubble.export.path': ('log', 'hubble.export.path'),
    'hubble.export.static.filePath': ('', 'hubble.export.static.filePath'),
    'hubble.export.static.aggregationInterval': ('30', 'hubble.export.static.aggregationInterval'),
    'hubble.export.static.allowList': ('{}', 'hubble.export.static.allowList'),
    'hubble.export.static.fileMaxBackups': (0, 'hubble.export.static.fileMaxBackups'),
    'hubble.export.dynamic.config.content': ([{'name': 'a'}], 'filePath'),
    'hubble.dropEventEmitter.reasons': ([], 'hubble.dropEventEmitter.reasons'),
    'hubble.dropEventEmitter.rateLimit': (-1, 'hubble.dropEventEmitter.rateLimit'),
    'observer.clickhouse.url': ('https://me:secret@ch.example/', 'observer.clickhouse.url'),
    'observer.clickhouse.period': ('', 'observer.clickhouse.period'),
    'archive.queries': (0, 'archive.queries'),
    'image.digest': ('sha256:1', 'image.digest'),
    'image.pullPolicy': ('Sometimes', 'image.pullPolicy'),
    'cilium.sockets': ('maybe', 'cilium.sockets'),
}
TOGETHER = {  # what each of these may be, but not all at once
    "image.repository: say where the image is": ({}, {}),
    'hubble.ui.enabled needs hubble.relay.enabled': (IMAGE, dict(hubble__ui__enabled=True, hubble__relay__enabled=False)),
    'hubble.metrics.enabled and hubble.metrics.dynamic.enabled exclude each other': (IMAGE, dict(FILE, **METRICS)),
    'hubble.relay.tls.server.mtls needs': (IMAGE, dict(hubble__relay__tls__server__enabled=False)),
    'hubble.ui.ingress.enabled needs hubble.ui.tls.server.enabled': (IMAGE, dict(INGRESS, hubble__ui__tls__server__enabled=False)),
    'hubble.ui.ingress.hosts: say by which names': (IMAGE, dict(UI_ON, hubble__ui__ingress__enabled=True)),
    'allow and deny exclude each other': (IMAGE, dict(hubble__redact__http__headers__allow=['a'], hubble__redact__http__headers__deny=['b'])),
    'observer.nflog.pattern need observer.nflog.groups': (IMAGE, dict(observer__nflog__default='deny')),
    'checkpointCASecret needs observer.evidence.checkpointTo': (IMAGE, dict(observer__evidence__checkpointCASecret='ca')),
    'observer.evidence.checkpointTo need observer.store.enabled': (IMAGE, dict(observer__store__enabled=False, observer__evidence__existingSecret='key')),
    'passwordSecret and caSecret need observer.clickhouse.url': (IMAGE, dict(observer__clickhouse__user='tycho')),
    'caSecret needs an https observer.clickhouse.url': (IMAGE, dict(observer__clickhouse__url='http://ch', observer__clickhouse__caSecret='ca')),
    'archive.enabled needs observer.clickhouse.url': (IMAGE, dict(archive__enabled=True)),
    'archive.enabled needs hubble.relay.enabled': (IMAGE, dict(hubble__relay__enabled=False, **ARCHIVE_ON)),
    'observer.clickhouse.url needs observer.store.enabled': (IMAGE, dict(observer__store__enabled=False, **CLICKHOUSE)),
    'policyMeaning needs kubernetes.enabled': (IMAGE, dict(kubernetes__enabled=False, observer__policyMeaning='cilium')),
    'hubble.export.static.fieldAggregate and aggregationInterval are needed together':
        (IMAGE, dict(EXPORT, hubble__export__static__fieldAggregate=['verdict'])),
    'hubble.dropEventEmitter.enabled needs kubernetes.enabled': (IMAGE, dict(DROPS, kubernetes__enabled=False)),
    'observer.noise need the source bpf': (IMAGE, dict(observer__sources=['nflog'], observer__noise=True, **NFLOG)),
    'hubble.redact.enabled needs the source cilium-monitor': (IMAGE, dict(REDACT, observer__sources=['bpf'])),
    'hubble.redact.enabled needs the source cilium-monitor or': (IMAGE, dict(REDACT, observer__interval='2s')),
    'cilium-perf and cilium.takeEvents go together': (IMAGE, dict(observer__sources=['cilium-perf'])),
    'the source nflog needs observer.nflog.groups': (IMAGE, dict(observer__sources=['nflog'])),
    'observer.nflog.groups needs the source nflog': (IMAGE, dict(observer__sources=['bpf'], **NFLOG)),
    'need cilium.sockets': (IMAGE, dict(observer__sources=['cilium-monitor'])),
    'tls.ca.cert and tls.ca.key are needed together': (IMAGE, dict(tls__ca__cert='YQ==')),
    'archive.podDisruptionBudget: minAvailable needs maxUnavailable: null': (IMAGE, dict(ARCHIVE_BUDGET, archive__podDisruptionBudget__minAvailable=1)),
    'hubble.relay.podDisruptionBudget: minAvailable needs maxUnavailable: null': (IMAGE, dict(RELAY_BUDGET, hubble__relay__podDisruptionBudget__minAvailable=1)),
    "the certificate 'server' needs its existingSecret": (IMAGE, dict(hubble__tls__auto__enabled=False)),
    'needs hubble.tls.auto.certManagerIssuerRef.name': (IMAGE, dict(hubble__tls__auto__method='certmanager')),
}


def test_what_the_schema_does_not_know_is_refused_by_its_name():
    cases = {path: Case(merged(IMAGE, nested(path, value))) for path, (value, _) in REFUSED.items()}
    render(cases.values())
    for path, (_, names) in REFUSED.items():
        assert cases[path].error and 'schema' in cases[path].error and names in cases[path].error, (path, cases[path].error)


def test_what_does_not_go_together_is_refused_by_a_sentence():
    cases = {sentence: Case(merged(base, values(**said)) if base else {}) for sentence, (base, said) in TOGETHER.items()}
    render(cases.values())
    for sentence, case in cases.items():
        assert case.error and sentence in case.error, (sentence, case.error)
