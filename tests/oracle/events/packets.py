"""Packets and datapath messages, sound and otherwise, for against.py."""
import ipaddress
import struct

TCP, UDP, SCTP, ICMP, ICMP6, IGMP, VRRP = 6, 17, 132, 1, 58, 2, 112
PROTOCOLS = [TCP, TCP, TCP, UDP, UDP, ICMP, ICMP6, SCTP, VRRP, IGMP, 4, 41, 94, 47, 50, 51, 0, 43, 44, 60, 59, 135]
TYPES = [0x0800, 0x0800, 0x0800, 0x86dd, 0x86dd, 0x86dd, 0x8100, 0x88a8, 0x0806, 0x8863, 0x8847, 0x88cc, 0x6558, 0xffff,
         0x0027, 0x05ff, 0x0600, 0x880b, 0x888e, 0x88e5]
PORTS = [80, 443, 8080, 53, 30080, 8443, 514, 4789, 6081, 0, 1, 65535, 40000, 67, 123, 546, 1812, 2152, 3784, 4240, 5060, 6343,
         8472, 51871, 2123, 2222, 44818, 623, 666, 1000]


class Packets:
    def __init__(self, rng, world):
        self.rng = rng
        self.ips = {4: [], 6: []}
        texts = [ip for ep in world['endpoints'] for ip in ep['ips']] + [s['ip'] for s in world['services']]
        texts += [m['ip'] for m in world['k8s_metadata']] + [ip for c in world['cgroups'] for ip in c['ips']]
        texts += [ip for ep in world['endpoints'] for ip in ep.get('dns', ())]
        for text in texts:
            try:
                ip = ipaddress.ip_address(text)
            except ValueError:
                continue
            self.ips[ip.version].append(ip.packed)
        for prefix in world['ipcache']:
            net = ipaddress.ip_network(prefix['prefix'], strict=False)
            self.ips[net.version] += [net.network_address.packed, net.broadcast_address.packed]
        self.ips[4] += [bytes(4), b'\xff' * 4, b'\xe0\0\0\x12', b'\x7f\0\0\1', b'\x01\x02\x03\x04']
        self.ips[6] += [bytes(16), bytes(15) + b'\1', b'\xfe\x80' + bytes(13) + b'\5', bytes(10) + b'\xff\xff\x0a\0\0\x0c',
                        bytes(10) + b'\xff\xff' + bytes(4), bytes(12) + b'\x0a\0\0\x0c', b'\xff\2' + bytes(13) + b'\1',
                        b'\x20\1\x0d\xb8' + bytes(3) + b'\1' + bytes(3) + b'\1' + bytes(3) + b'\1']

    def chance(self, p):
        return self.rng.random() < p

    def bytes(self, n):
        return bytes(self.rng.getrandbits(8) for _ in range(n))

    def ip(self, version):
        if self.chance(0.9):
            return self.rng.choice(self.ips[version])
        return self.bytes(4 if version == 4 else 16)

    def port(self):
        return self.rng.choice(PORTS) if self.chance(0.85) else self.rng.getrandbits(16)

    # --- transport ---------------------------------------------------------------------------

    def options(self, kinds):
        """A list of options: types with lengths that fit, and some that do not."""
        out = b''
        for _ in range(self.rng.choice([0, 1, 2, 3])):
            kind = self.rng.choice(kinds) if self.chance(0.8) else self.rng.getrandbits(8)
            if kind < 2:
                out += bytes([kind])
            else:
                length = self.rng.choice([2, 3, 4, 8, 10])
                out += bytes([kind, length if self.chance(0.9) else self.rng.getrandbits(8)]) + self.bytes(length - 2)
        if self.chance(0.05):  # a type, and no room for its length
            out += b'\1' * (-(len(out) + 1) % 4) + bytes([self.rng.choice(kinds)])
        return (out + bytes(-len(out) % 4))[:40]

    def multipath(self):
        """An option of MPTCP, mostly of a length that its subtype has."""
        r = self.rng
        subtype, flags = r.randrange(10), r.getrandbits(8)
        lengths = {0: [4, 12, 20, 22, 24], 1: [12, 16, 24], 3: [8, 10, 16, 18, 20, 22, 28, 30], 4: [4, 5, 8], 5: [3, 4], 6: [12], 7: [12],
                   8: [4], 9: [3, 4, 8]}.get(subtype)
        if subtype == 2:
            length = 4 + (flags & 1) * (8 if flags & 2 else 4) + (10 + (4 if flags & 8 else 0) + r.choice([0, 2]) if flags & 4 else 0)
        else:
            length = r.choice(lengths)
        stated = length if self.chance(0.93) else max(1, length + r.choice([-2, -1, 1, 2]))
        option = bytes([30, stated, subtype << 4 | r.choice([0, 1, 1, 4, 6]), flags]) + self.bytes(length)
        return option[:length] if self.chance(0.95) else option[:3]

    def tcp(self, inner):
        options = self.options([0, 1, 2, 3, 4, 5, 8, 30]) if self.chance(0.3) else b''
        if self.chance(0.1):
            options = (options[:4] + self.multipath())[:40]
            options += b'\1' * (-len(options) % 4)
        words = 5 + len(options) // 4 if self.chance(0.95) else self.rng.getrandbits(4)
        flags = self.rng.choice([2, 0x12, 0x10, 0x18, 4, 1, 0x14, 0x11, self.rng.getrandbits(8)])
        ns = self.rng.choice([0, 0, 0, 1, self.rng.getrandbits(4)])
        return struct.pack('>HHIIBBHHH', self.port(), self.port(), self.rng.getrandbits(32), self.rng.getrandbits(32), words << 4 | ns,
                           flags, 1000, 0, 0) + options + inner

    def length(self, right):
        r = self.rng.random()
        return right if r < 0.93 else 0 if r < 0.95 else self.rng.choice([right - 1, right + 1, 7, 8, 19, 20, 65535]) % 65536

    def udp(self, inner, port=None):
        return struct.pack('>HHHH', self.port(), self.port() if port is None else port, self.length(8 + len(inner)), 0) + inner

    def transport(self, protocol, inner, depth):
        r = self.rng
        if protocol == TCP:
            return self.tcp(inner)
        if protocol == UDP:
            return self.udp(inner)
        if protocol == SCTP:
            return struct.pack('>HHII', self.port(), self.port(), 0, 0) + inner
        if protocol in (ICMP, ICMP6):
            known = [0, 3, 5, 8, 11, 12, 1, 2, 4, 128, 129, 133, 134, 135, 136, 137, 143]
            return bytes([r.choice(known) if self.chance(0.8) else r.getrandbits(8), r.choice([0, 0, 1, 3, 4, r.getrandbits(8)])]) + \
                self.bytes(2) + self.bytes(4) + inner
        if protocol == VRRP:
            count = r.choice([0, 1, 1, 2, 3])
            return bytes([r.choice([0x21, 0x31, 0x22, 0x11]), r.getrandbits(8), r.getrandbits(8), count, 0, 1, 0, 0]) + \
                self.bytes(4 * count) + bytes(8)
        if protocol == IGMP:
            return bytes([r.choice([0x11, 0x12, 0x16, 0x17, 0x22, r.getrandbits(8)]), r.getrandbits(8), 0, 0]) + self.ip(4) + inner
        if protocol in (4, 94) and depth:
            return self.ipv4(depth - 1)
        if protocol == 41 and depth:
            return self.ipv6(depth - 1)
        return self.bytes(r.choice([0, 4, 8, 20])) + inner

    # --- network -----------------------------------------------------------------------------

    def inner(self):
        return self.bytes(self.rng.choice([0, 0, 1, 4, 16, 40]))

    def ipv4(self, depth=2, protocol=None, payload=None):
        r = self.rng
        protocol = r.choice(PROTOCOLS) if protocol is None else protocol
        payload = self.transport(protocol, self.inner(), depth) if payload is None else payload
        options = self.options([0, 1, 7, 68, 131, 136, 148]) if self.chance(0.12) else b''
        words = 5 + len(options) // 4 if self.chance(0.97) else r.getrandbits(4)
        version = 4 if self.chance(0.98) else r.getrandbits(4)
        fragment = 0x4000 if self.chance(0.9) else r.choice([0, 0x2000, 0x2001, 1, 0x1fff, 0x8000, 0x4001, r.getrandbits(16)])
        return struct.pack('>BBHHHBBH4s4s', version << 4 | words, 0, self.length(20 + len(options) + len(payload)), r.getrandbits(16),
                           fragment, 64, protocol, 0, self.ip(4), self.ip(4)) + options + payload

    def extension(self, kind, then):
        """An extension header of IPv6: hop-by-hop and destination options, routing, fragment."""
        r = self.rng
        if kind == 44:
            return bytes([then, 0]) + struct.pack('>HI', r.choice([0, 1, 8, 0xfff8, 0xfff9]), r.getrandbits(32))
        if kind == 43:
            return bytes([then, 2, r.choice([0, 2, 4]), 1]) + bytes(4) + self.ip(6)
        options = b''
        while len(options) < 6:
            option = r.choice([0, 1, 1, 5, 0xc2, 0x26, 0x3e])
            size = r.choice([0, 1, 2, 4, 4])
            body = struct.pack('>I', r.choice([65536, 70000, 65535, 0, 100]))[:size] if option == 0xc2 else self.bytes(size)
            options += b'\0' if option == 0 else bytes([option, size if self.chance(0.95) else r.getrandbits(8)]) + body
        options += b'\0' * (-(len(options) + 2) % 8)
        words = (len(options) + 2) // 8 - 1
        return bytes([then, words if self.chance(0.95) else r.getrandbits(8)]) + options

    def ipv6(self, depth=2, protocol=None, payload=None):
        r = self.rng
        protocol = r.choice(PROTOCOLS) if protocol is None else protocol
        payload = self.transport(protocol, self.inner(), depth) if payload is None else payload
        for kind in r.choice([[]] * 8 + [[0], [0], [60], [43], [44], [0, 0], [60, 0], [44, 0]]):
            payload = self.extension(kind, protocol) + payload
            protocol = kind
        version = 6 if self.chance(0.98) else r.getrandbits(4)
        return struct.pack('>IHBB16s16s', version << 28 | r.getrandbits(20), self.length(len(payload)), protocol, 64, self.ip(6),
                           self.ip(6)) + payload

    def network(self, ethertype, depth=2):
        if ethertype in (0x0800, 0xffff):
            return self.ipv4(depth)
        if ethertype == 0x86dd:
            return self.ipv6(depth)
        if ethertype in (0x8100, 0x88a8) and depth:
            inner = self.rng.choice(TYPES)
            return struct.pack('>HH', self.rng.getrandbits(16), inner) + self.network(inner, depth - 1)
        if ethertype == 0x6558 and depth:
            return self.ethernet(depth - 1)
        return self.bytes(self.rng.choice([0, 4, 28, 46]))

    def ethernet(self, depth=2, payload=None, ethertype=None):
        ethertype = self.rng.choice(TYPES) if ethertype is None else ethertype
        return self.bytes(6) + self.bytes(6) + struct.pack('>H', ethertype) + \
            (self.network(ethertype, depth) if payload is None else payload)

    # --- tunnels -----------------------------------------------------------------------------

    def vxlan(self, depth=1):
        return bytes([8 if self.chance(0.9) else self.rng.getrandbits(8)]) + bytes(3) + self.bytes(3) + b'\0' + self.inside(depth)

    def inside(self, depth):
        if depth and self.chance(0.15):
            return self.outer(6558, depth - 1)
        return self.ethernet(1)

    def geneve(self, depth=1):
        r, options = self.rng, b''
        for _ in range(r.choice([0, 0, 1, 2])):
            words = r.choice([0, 1, 2])
            options += self.bytes(3) + bytes([words if self.chance(0.95) else r.getrandbits(8)]) + self.bytes(4 * words)
        words = len(options) // 4 if self.chance(0.95) else r.getrandbits(6)
        kind = r.choice([0x6558, 0x6558, 0x6558, 0x0800, 0x86dd, 0xffff, 0x0806, r.getrandbits(16)])
        return bytes([r.choice([0, 0, 0, 0x40]) | words, r.choice([0, 0x40, 0x80])]) + struct.pack('>H', kind) + self.bytes(3) + b'\0' + \
            options + (self.inside(depth) if kind == 0x6558 else self.network(kind, 1))

    def outer(self, kind, depth=1):
        """A frame that carries a tunnel: its kind is VXLAN, Geneve or (6558) either."""
        kind = self.rng.choice(['vxlan', 'geneve']) if kind == 6558 else kind
        inner, port = (self.vxlan(depth), 4789) if kind == 'vxlan' else (self.geneve(depth), 6081)
        udp = self.udp(inner, self.rng.choice([port, port, 8472, None]))
        if self.chance(0.7):
            return self.ethernet(payload=self.ipv4(1, UDP, udp), ethertype=0x0800)
        return self.ethernet(payload=self.ipv6(1, UDP, udp), ethertype=0x86dd)

    def damaged(self, packet):
        r = self.rng.random()
        if r < 0.73 or not packet:
            return packet
        if r < 0.75:
            return packet[:self.rng.choice([14, 20, 34, 40, 54])] + self.bytes(self.rng.randrange(64))
        if r < 0.88:
            return packet[:self.rng.randrange(len(packet) + 1)]
        out = bytearray(packet)
        for _ in range(self.rng.choice([1, 1, 2, 4])):
            out[self.rng.randrange(len(out))] = self.rng.choice([0, 1, 4, 6, 17, 0x45, 0x60, 255, self.rng.getrandbits(8)])
        return bytes(out)


class Messages:
    """The datapath's messages: what stands before the packet, and the packet that it says."""

    def __init__(self, rng, world):
        self.rng, self.packets = rng, Packets(rng, world)
        self.ids = [ep['id'] for ep in world['endpoints']] * 3 + [0, 0, 1, 65535, 7777]
        self.identities = [i['id'] for i in world['identities']] + [p['identity'] for p in world['ipcache']]
        self.identities += [ep['identity'] for ep in world['endpoints']] * 2 + [0] * 12 + [11, 99, 255, 1 << 24, 1 << 25, 3 << 24, 2**32 - 1]
        self.links = [link['index'] for link in world['links']] + [0, 0, 77, 2**31, 2**32 - 1]
        self.cgroups = [c['id'] for c in world['cgroups']] * 2 + [0, 1, 4242]
        self.own = {ep['id']: [ipaddress.ip_address(ip).packed for ip in ep['ips']] for ep in world['endpoints']}
        self.policies = [(ep['id'], p) for ep in world['endpoints'] for p in ep.get('policies') or ()]

    def identity(self):
        return self.rng.choice(self.identities) if self.rng.random() < 0.97 else self.rng.getrandbits(32)

    def end(self, head, packet):
        """With what the kernel appends; sometimes cut."""
        message = head + packet
        if self.rng.random() < 0.2:
            message += self.packets.bytes(self.rng.randrange(8))
        if self.rng.random() < 0.03:
            message = message[:self.rng.randrange(len(message) + 1)]
        return message

    def head(self, kind, subtype, length, version):
        r = self.rng
        return struct.pack('<BBHIIHBB', kind, subtype, r.choice(self.ids), r.getrandbits(32), length, length & 0xffff, version,
                           0 if r.random() < 0.95 else r.getrandbits(8))

    def flagged(self):
        """Flags of drops and traces, and a packet that has what they say, mostly."""
        r, p = self.rng, self.packets
        kind = r.random()
        if kind < 0.55:
            flags, packet = r.choice([0, 0, 0, 1]), p.ethernet()
        elif kind < 0.75:
            flags, packet = (2, p.ipv4()) if r.random() < 0.5 else (3, p.ipv6())
        else:
            flags, packet = (4, p.outer('vxlan')) if r.random() < 0.5 else (8, p.outer('geneve'))
            if r.random() < 0.1:
                flags |= r.choice([1, 2, 4, 8])
        if r.random() < 0.02:
            flags = r.choice([0, 1, 2, 3, 16, 32, 64, 128])
        if r.random() < 0.02:
            packet = b''
        return flags, p.damaged(packet)

    def version(self, known):
        return self.rng.choice(known) if self.rng.random() < 0.97 else self.rng.getrandbits(8)

    def drop(self):
        r = self.rng
        flags, packet = self.flagged()
        version = self.version([0, 1, 2, 3, 3, 3])
        reason = r.choice([0, 1, 2, 3, 130, 133, 181, 194, 201, 205, 206, r.getrandbits(8)])
        message = self.head(1, reason, len(packet), version) + struct.pack(
            '<IIIHBbI', self.identity(), self.identity(), r.getrandbits(16), r.getrandbits(16),
            r.choice(list(range(0, 9)) + list(range(100, 118)) + [r.getrandbits(8)]), r.choice([0, 0, 1, -1, -128, 127]), r.choice(self.links))
        if version >= 2:
            message += bytes([flags, 0, 0, 0])
        if version >= 3:
            message += struct.pack('<Q', r.choice([0, 0, 1, 2**63, 2**64 - 1, r.getrandbits(64)]))
        return self.end(message, packet)

    def trace(self):
        r = self.rng
        flags, packet = self.flagged()
        version = self.version([0, 1, 2, 2, 2])
        point = r.randrange(15) if r.random() < 0.95 else r.getrandbits(8)
        reason = r.choice([0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8, 9, 126, 127]) | r.choice([0, 0, 0, 0x80])
        message = self.head(4, point, len(packet), version) + struct.pack(
            '<IIHBBI', self.identity(), self.identity(), r.choice(self.ids), reason, flags, r.choice(self.links))
        if version >= 1:
            original = bytes(16)
            if r.random() < 0.35:
                original = self.packets.ip(6) if flags & 1 else self.packets.ip(4) + (bytes(12) if r.random() < 0.8 else self.packets.bytes(12))
                if r.random() < 0.3 and flags & 2 and len(packet) >= 40:
                    original = packet[8:24] if flags & 1 else packet[12:16] + bytes(12)
                elif r.random() < 0.3 and not flags & 2 and len(packet) >= 34:
                    original = packet[22:38] if flags & 1 else packet[26:30] + bytes(12)
            message += original.ljust(16, b'\0')[:16]
        if version >= 2:
            message += struct.pack('<Q', r.choice([0, 0, 0, 1, 2**64 - 1, r.getrandbits(64)]))
        return self.end(message, packet)

    def policy_verdict(self):
        r, p = self.rng, self.packets
        verdict = r.choice([0, 0, 0, 1, 15001, 2**31 - 1, -1, -133, -133, -181, -181, -256, -2**31])
        match, ingress = r.randrange(8) if r.random() < 0.2 else r.choice([1, 2, 3, 4, 5, 6]), r.choice([1, 1, 2, 2, 0, 3])
        l3, v6 = r.random() < 0.3, r.random() < 0.5
        packet = (p.ipv6() if v6 else p.ipv4()) if l3 else p.ethernet()
        endpoint, remote = r.choice(self.ids), self.identity()
        if self.policies and r.random() < 0.6:  # one that a policy is about
            endpoint, policy = r.choice(self.policies)
            remote = policy['identity'] or self.identity()
            ingress = 1 if policy['direction'] == 'ingress' else 2
            packet, v6 = self.about(endpoint, policy, ingress, l3)
        flags = ingress | (4 if v6 else 0) | match << 3 | (64 if r.random() < 0.15 else 0) | (128 if l3 else 0)
        packet = p.damaged(packet)
        message = struct.pack('<BBHIIHBB', 5, r.choice([0, 0, 0, 1, 255]), endpoint, r.getrandbits(32), len(packet), len(packet) & 0xffff,
                              r.choice([1, 1, 1, 0, 2, 3, 255]), 0 if r.random() < 0.95 else r.getrandbits(8))
        message += struct.pack('<IiHBBB3sII', remote, verdict, r.getrandbits(16), r.choice([6, 17, 0]), flags,
                               r.choice([0, 0, 1, 2, 3, r.getrandbits(8)]), bytes(3), r.getrandbits(32), 0)
        return self.end(message, packet)

    def about(self, endpoint, policy, ingress, l3):
        """A packet whose local side is that endpoint and whose other side, protocol and port are the policy's, mostly."""
        r, p = self.rng, self.packets
        ip = r.choice(self.own[endpoint])
        version = 4 if len(ip) == 4 else 6
        protocol = policy['protocol'] or r.choice([TCP, UDP, SCTP, ICMP, ICMP6])
        port = policy['port'] if policy['port'] and r.random() < 0.9 else p.port()
        if protocol in (ICMP, ICMP6):
            payload = bytes([port & 0xff, 0]) + bytes(6)
        else:
            payload = bytearray(p.transport(protocol, b'', 0))
            payload[2:4] = struct.pack('>H', port)
        packet = bytearray(p.ipv4(0, protocol, bytes(payload)) if version == 4 else p.ipv6(0, protocol, bytes(payload)))
        at = (16 if ingress == 1 else 12) if version == 4 else (24 if ingress == 1 else 8)
        packet[at:at + len(ip)] = ip
        packet = bytes(packet)
        return (packet if l3 else p.ethernet(payload=packet, ethertype=0x0800 if version == 4 else 0x86dd)), version == 6

    def capture(self):
        r, p = self.rng, self.packets
        packet = p.damaged(p.ethernet())
        point = r.randrange(16) if r.random() < 0.95 else r.getrandbits(8)
        return self.end(self.head(3, point, len(packet), 0) + struct.pack(
            '<II', r.choice(self.links + [0x5c1f, 0x50000000, r.getrandbits(32)]), r.getrandbits(32)), packet)

    def debug(self):
        r = self.rng

        def argument():
            return r.choice([0, 1, 2, 3, 4, 5, 133, 181, 6, 17, 111, 97, 131, 132, 133, 134, 255, 256, 65535, 65536, 2**31, 2**32 - 1,
                             r.getrandbits(8), r.getrandbits(16), r.getrandbits(32), r.getrandbits(32)])
        subtype = r.randrange(70) if r.random() < 0.95 else r.getrandbits(8)
        return self.end(struct.pack('<BBHIIII', 2, subtype, r.choice(self.ids), argument(), argument(), argument(), argument()), b'')

    def sock(self):
        r = self.rng
        v6 = r.random() < 0.4
        ip = self.packets.ip(6) if v6 else self.packets.ip(4) + (bytes(12) if r.random() < 0.9 else self.packets.bytes(12))
        flags = int(v6) | (0 if r.random() < 0.95 else r.getrandbits(8) & 0xfe)
        return self.end(struct.pack('<BBBBHHQQ16s', 7, r.choice([0, 1, 2, 3, 4, 5, r.getrandbits(8)]), r.choice([0, 1, 2, 3, r.getrandbits(8)]),
                                    flags, self.packets.port(), 0, r.getrandbits(64), r.choice(self.cgroups), ip), b'')
