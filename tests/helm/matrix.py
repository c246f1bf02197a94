"""The ways to install Tycho that are tested as a whole."""
from chart import Case, values

EVERYTHING = dict(
    hubble__ui__enabled=True, hubble__ui__ingress__enabled=True, hubble__ui__ingress__hosts=['tycho.example'],
    hubble__ui__ingress__tls=[{'secretName': 'front', 'hosts': ['tycho.example']}], hubble__ui__podDisruptionBudget__enabled=True,
    hubble__relay__podDisruptionBudget__enabled=True, hubble__relay__prometheus__enabled=True,
    hubble__relay__prometheus__serviceMonitor__enabled=True, hubble__relay__access='cert *.shop.example shop\n',
    hubble__relay__accessTokensSecret='tokens', hubble__redact__enabled=True,
    hubble__export__static__enabled=True, hubble__export__static__fieldMask=['time', 'verdict'],
    hubble__export__static__allowList=['{"verdict":["DROPPED"]}'], hubble__export__static__fileCompress=True,
    hubble__export__dynamic__enabled=True, hubble__export__dynamic__config__content=[
        {'name': 'groups', 'filePath': '/var/log/tycho/groups.log', 'fieldAggregate': ['verdict'], 'aggregationInterval': '30s'}],
    hubble__dropEventEmitter__enabled=True, hubble__dropEventEmitter__extended=True,
    hubble__metrics__enabled=['drop:labelsContext=source_namespace,destination_namespace', 'flow'],
    hubble__metrics__tls__enabled=True, hubble__metrics__tls__server__mtls__enabled=True, hubble__metrics__serviceMonitor__enabled=True,
    hubble__metrics__dashboards__enabled=True, prometheus__enabled=True, prometheus__rules__enabled=True, networkPolicy__enabled=True,
    networkPolicy__relayFrom=[{'namespaceSelector': {}}], networkPolicy__uiFrom=[{'podSelector': {}}],
    networkPolicy__metricsFrom=[{'ipBlock': {'cidr': '10.0.0.0/8'}}],
    observer__sources=['bpf', 'nflog', 'cilium-monitor'], cilium__sockets=True, observer__nflog__groups=[5], observer__nflog__default='deny',
    observer__nflog__pattern='^(?<verdict>[a-z]+):(?<direction>[a-z]+):(?<policy>.*)$', observer__noise=True,
    observer__nodeIsContainer=True, observer__interfaces=['eth*', '!eth1'], observer__interval='1s',
    observer__evidence__existingSecret='evidence', observer__evidence__checkpointTo=['https://log.example/'],
    observer__clickhouse__url='https://ch.example/tycho', observer__clickhouse__user='tycho', observer__clickhouse__passwordSecret='ch',
    observer__clickhouse__caSecret='ch-ca', archive__enabled=True, archive__user='reader', archive__passwordSecret='reader',
    archive__podDisruptionBudget__enabled=True,
    observer__evidence__checkpointCASecret='log-ca', imagePullSecrets=[{'name': 'pull'}], commonLabels={'team': 'net'})
OWN = dict(
    hubble__tls__auto__enabled=False, hubble__tls__server__existingSecret='a', hubble__relay__tls__client__existingSecret='b',
    hubble__relay__tls__server__existingSecret='c', hubble__ui__enabled=True, hubble__ui__tls__server__existingSecret='d',
    hubble__ui__tls__client__existingSecret='e', hubble__ui__login__existingSecret='f', hubble__metrics__enabled=['flow'],
    hubble__metrics__tls__enabled=True, hubble__metrics__tls__server__existingSecret='g')
PLAIN = dict(
    hubble__tls__enabled=False, hubble__relay__tls__server__enabled=False, hubble__relay__tls__server__mtls=False,
    hubble__ui__enabled=True, hubble__ui__tls__server__enabled=False, hubble__ui__login__enabled=False, prometheus__enabled=True,
    hubble__relay__prometheus__enabled=True)

CASES = {
    'default': Case(values()),
    'everything': Case(values(**EVERYTHING), revision=2),
    'certmanager': Case(values(**dict(EVERYTHING, hubble__tls__auto__method='certmanager', hubble__tls__auto__certManagerIssuerRef={
        'name': 'ca', 'kind': 'ClusterIssuer', 'group': 'cert-manager.io'}, hubble__tls__server__extraIpAddresses=['10.0.0.1']))),
    'own secrets': Case(values(**OWN)),
    'plain text': Case(values(**PLAIN)),
    'beside cilium': Case(values(hubble__listenAddress=':4254', hubble__metrics__port=9975, hubble__metrics__enabled=['drop']),
                          api_versions=['cilium.io/v2']),
    'in place of its hubble': Case(values(observer__sources=['cilium-perf'], cilium__takeEvents=True), api_versions=['cilium.io/v2']),
    'history of a hubble': Case(values(observer__sources=['hubble']), api_versions=['cilium.io/v2']),
    'observers alone': Case(values(hubble__relay__enabled=False, kubernetes__enabled=False, rbac__create=False,
                                   observer__serviceAccount__create=False, observer__store__enabled=False,
                                   observer__state__type='emptyDir')),
    'metrics from a file': Case(values(hubble__metrics__dynamic__enabled=True, hubble__metrics__dynamic__config__content=[
        {'name': 'flow', 'includeFilters': [{'source_pod': ['prod/']}]}])),
    'clients without certificates': Case(values(hubble__relay__tls__server__mtls=False, hubble__ui__enabled=True,
                                                hubble__relay__service__type='NodePort', hubble__ui__service__type='NodePort')),
}
