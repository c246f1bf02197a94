"""Worlds that the recorded one is not, for against.py: who has which address, identity, name and policy."""
import copy
import ipaddress

LABELS = ['k8s:app=web', 'k8s:app=db', 'k8s:io.kubernetes.pod.namespace=prod', 'k8s:io.cilium.k8s.policy.cluster=kind-1',
          'k8s:io.cilium.k8s.policy.cluster=kind-2', 'k8s:io.cilium.k8s.policy.cluster', 'container:image=x', 'reserved:host',
          'reserved:world', 'reserved:kube-apiserver', 'reserved:remote-node', 'cidr:10.0.0.0/8', 'cidr:10.1.2.3/32', 'cidr:0.0.0.0/0',
          'cidr:fd00--/64', 'cidr:fd00--c/128', 'cidr:--/0', 'cidrgroup:x/y', 'fqdn:one.one.one.one', 'k8s:a=b=c', 'k8s:a.b/c',
          'any:x', 'unspec:y=1', 'k8s:zz']
RESERVED = list(range(0, 11))


class Worlds:
    def __init__(self, rng, recorded):
        self.rng, self.recorded = rng, recorded

    def labels(self):
        """Of different keys, as an identity's are."""
        out, keys = [], set()
        for label in self.rng.sample(LABELS, self.rng.randrange(0, 9)):
            key = label.split(':', 1)[1].split('=')[0]
            if key not in keys:
                keys.add(key)
                out.append(label)
        return sorted(out)

    def identity(self, world):
        known = [i['id'] for i in world['identities']]
        return self.rng.choice(known * 3 + RESERVED + [11, 128, 31000, 1 << 16, 1 << 24, (1 << 24) + 9, 1 << 25, 2**32 - 1])

    def world(self):
        r = self.rng
        w = copy.deepcopy(self.recorded)
        # reserved ones are known to every agent, and an endpoint has labels
        w['identities'] = [i for i in w['identities'] if i['id'] in RESERVED or r.random() < 0.8]
        for i in w['identities']:
            if i['id'] not in RESERVED and r.random() < 0.3:
                i['labels'] = self.labels()
        for number in (r.choice([r.randrange(256, 60000), r.randrange(1 << 24, (1 << 24) + 99), r.randrange(1 << 25, (1 << 25) + 9)])
                       for _ in range(4)):
            if all(i['id'] != number for i in w['identities']):
                w['identities'].append({'id': number, 'labels': self.labels()})
        for ep in w['endpoints']:
            self.change_endpoint(w, ep)
        w['endpoints'] = [ep for ep in w['endpoints'] if r.random() < 0.85]
        self.change_addresses(w)
        w['services'] = [s for s in w['services'] if r.random() < 0.8]
        for s in w['services']:
            if r.random() < 0.3:
                s['port'] = r.choice([80, 443, 53, 8080, 1, 65535])
            if r.random() < 0.2:
                s['protocol'] = r.choice(['TCP', 'UDP'])
            if r.random() < 0.1:
                s['ip'] = r.choice(w['endpoints'])['ips'][0] if w['endpoints'] else s['ip']
        w['links'] = [link for link in w['links'] if r.random() < 0.8]
        w['cgroups'] = [c for c in w['cgroups'] if r.random() < 0.9]
        return w

    def change_endpoint(self, w, ep):
        r = self.rng
        if r.random() < 0.3:
            ep['identity'] = self.identity(w)
        if r.random() < 0.3:
            ep['labels'] = self.labels() or LABELS[:1]
        if r.random() < 0.1:
            ep['namespace'] = ep['pod_name'] = ''
        if r.random() < 0.2:
            ep['workload'] = ep['pod'] = None
        for p in ep.get('policies') or ():
            if r.random() < 0.2:
                p['identity'] = r.choice([0, self.identity(w)])
            if r.random() < 0.2:
                p['port'] = r.choice([0, 80, 443, 53, 8, 128])
                p['protocol'] = r.choice([6, 17, 132, 1, 58]) if p['port'] else p['protocol']
        seen, kept = set(), []
        for p in ep.get('policies') or ():  # one entry per key, as in a map
            key = (p['direction'], p['identity'], p['protocol'], p['port'])
            if key not in seen:
                seen.add(key)
                kept.append(p)
        ep['policies'] = kept

    def change_addresses(self, w):
        """Of an address, what is known of its pod stands where its identity does."""
        r = self.rng
        w['ipcache'] = [p for p in w['ipcache'] if r.random() < 0.85]
        for p in w['ipcache']:
            if r.random() < 0.3:
                p['identity'] = self.identity(w)
        for text in ('10.0.0.0/8', '0.0.0.0/0', '::/0', 'fd00::/64', '10.0.1.0/24', '198.51.100.7/32'):
            if r.random() < 0.15 and all(p['prefix'] != text for p in w['ipcache']):
                w['ipcache'].append({'prefix': text, 'identity': self.identity(w)})
        w['k8s_metadata'] = [m for m in w['k8s_metadata'] if r.random() < 0.8]
        single = {str(ipaddress.ip_network(p['prefix']).network_address) for p in w['ipcache']
                  if ipaddress.ip_network(p['prefix']).prefixlen in (32, 128)}
        nets = [ipaddress.ip_network(p['prefix']) for p in w['ipcache']]
        local = {ip for ep in w['endpoints'] for ip in ep['ips']}
        w['k8s_metadata'] = [m for m in w['k8s_metadata'] if m['ip'] in single or m['ip'] in local or
                             not any(ipaddress.ip_address(m['ip']) in net for net in nets)]
