#!/usr/bin/python3
"""A second verifier of evidence bundles, written from docs/evidence.md alone: verify.py PROTO_DIR BUNDLE...

PROTO_DIR holds what protoc --python_out made of proto/. Prints "ok" or the first fault for each bundle."""
import csv, io, json, struct, subprocess, sys, tarfile
from hashlib import sha256
from itertools import accumulate, islice
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
sys.path.insert(0, sys.argv[1])
from flow.flow_pb2 import Flow                                                       # noqa: E402
from google.protobuf.internal.decoder import _DecodeVarint                          # noqa: E402
from google.protobuf.json_format import MessageToDict, ParseDict                    # noqa: E402
from tycho.v1.evidence_pb2 import EvidenceProof                                     # noqa: E402

SMALL = ["key.pem", "statement.jsonl", "checkpoints.jsonl", "policies.jsonl"]
CHUNK = ["chain.jsonl", "proofs.pb", "flows.jsonl", "flows.csv"]
COLUMNS = ("seq time verdict drop_reason direction reply source_namespace source_pod source_ip source_port "
           "destination_namespace destination_pod destination_ip destination_port protocol node").split()
H = lambda *parts: sha256(b"".join(parts)).digest()                                 # noqa: E731

def check(ok, fault):
    if not ok:
        raise ValueError(fault)

def root(leaves, lo, n, proof=()):
    """leaves: {place: leaf}; proof: hashes of what has none, used up from the front."""
    here = {place: leaf for place, leaf in leaves.items() if lo <= place < lo + n}
    if not here:
        return proof.pop(0) if n else H()
    k = 1 << (n - 1).bit_length() - 1 if n > 1 else 0
    return H(b"\1", root(here, lo, k, proof), root(here, lo + k, n - k, proof)) if k else here[lo]

def tree(leaves):
    return root(dict(enumerate(leaves)), 0, len(leaves))

def compact(value):
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.translate({ord(c): "\\u%04x" % ord(c) for c in "<>&\u2028\u2029"})

def lines(data):
    check(data[-1:] in (b"", b"\n"), "a last line is cut off")
    return data.decode().split("\n")[:-1]

def signed(line, kind):
    s = json.loads(line)
    said, key = json.loads(s["text"]), Ed25519PublicKey.from_public_bytes(bytes.fromhex(s["key"]))
    key.verify(bytes.fromhex(s["signature"]), s["text"].encode())
    check(compact(s) == line and list(s) == ["text", "signature", "key"], "not a signed text")
    check(said["tycho"] == kind and said["key"] == H(bytes.fromhex(s["key"])).hex(), "not a " + kind)
    return key, said

def proofs(data):
    at = 0
    while at < len(data):
        size, at = _DecodeVarint(data, at)
        proof, at = EvidenceProof.FromString(data[at:at + size]), at + size
        check(at <= len(data), "a proof is cut off")
        yield proof

def split(flow):
    """The five parts of a flow."""
    apart = {"ethernet": 1, "IP": 1, "tunnel": 1, "source_names": 4, "destination_names": 4}
    apart.update({"l7": 4, "Summary": 4} if "dns" in flow.get("l7", {}) else {})
    parts = [{m: v for m, v in flow.items() if apart.get(m, 0) == p} for p in range(5)]
    for p, end in (2, "source"), (3, "destination"):
        if "labels" in flow.get(end, {}):
            parts[p], parts[0][end] = {end: {"labels": flow[end]["labels"]}}, {m: v for m, v in flow[end].items() if m != "labels"}
    return [ParseDict(part, Flow()).SerializeToString() for part in parts]

def check_block(proof, body, said):
    """Root of the items of a block, whose lines say this."""
    places, seqs, n = [*accumulate(proof.places)], [*accumulate(proof.seqs)], len(said)
    check(body["kind"] == "block" and len(proof.secrets) == 4 and n == len(places) == len(seqs) > 0, "a block is malformed")
    check(all(proof.places) and all(proof.seqs[1:]) and places[-1] <= body["count"] and
          int(body["first_seq"]) <= seqs[0] and seqs[-1] <= int(body["last_seq"]), "records are not in order")
    wholes, leaves, items, withheld = {w.record: w.parts for w in proof.wholes}, {}, [], iter(proof.withheld)
    check([w.record for w in proof.wholes] == sorted(wholes) and all(w < n for w in wholes), "a whole record is of nobody")
    for i, (place, seq, line) in enumerate(zip(places, seqs, said)):
        core, *parts = wholes.get(i) or split(line["flow"])
        flow = MessageToDict(Flow.FromString(core + b"".join(parts)), preserving_proto_field_name=True)
        check(line == {"flow": flow, **{m: flow[m] for m in ("node_name", "time") if m in flow}}, "a line does not say its record")
        commitments, shown = [], b""
        for p, (part, secret) in enumerate(zip(parts, proof.secrets, strict=True), 1):
            commitments.append(H(b"\2", bytes([p]), secret, part) if secret else [None, *proof.commitments][next(withheld)])
            shown += b"" if secret else struct.pack(">BI", p, len(part)) + part
        leaf = leaves[place - 1] = H(struct.pack(">BBQ", 0, 0, seq), core, *commitments)
        items.append(H(b"\4", leaf, H(shown)) if shown else leaf)
    check(proof.marks == b"".join(leaf[:2] for leaf in leaves.values()) and not [*withheld], "a flow was changed")
    hashes = [proof.proof[i:i + 32] for i in range(0, len(proof.proof), 32)]
    check(root(leaves, 0, body["count"], hashes).hex() == body["root"] and not hashes, "records are not those of the chain")
    return tree(items)

def row(flow):
    protocol, l4 = next(iter(flow.get("l4", {}).items()), ("", {}))
    src, dst, ip = (flow.get(m, {}) for m in ("source", "destination", "IP"))
    cells = [flow.get("tycho", {}).get("seq", 0), flow.get("time"), flow.get("verdict", "VERDICT_UNKNOWN"),
            flow.get("drop_reason_desc", "DROP_REASON_UNKNOWN"), flow.get("traffic_direction", "TRAFFIC_DIRECTION_UNKNOWN"),
            json.dumps(flow["is_reply"]) if "is_reply" in flow else "", src.get("namespace"), src.get("pod_name"), ip.get("source"), l4.get("source_port"),
            dst.get("namespace"), dst.get("pod_name"), ip.get("destination"), l4.get("destination_port"),
            protocol, flow.get("node_name")]
    return ["'" + c if isinstance(c, str) and c[:1] in set("=+-@\t\r") else c for c in cells]

def check_table(table, said):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([COLUMNS] * bool(said) + [row(s["flow"]) for s in said])
    check(table in (None, out.getvalue().encode()), "flows.csv does not say what its records say")

def check_node(node, scope, files):
    pem, statement, checkpoints, policies = (files[node["dir"] + "/" + name] for name in SMALL)
    (key, said), = (signed(line, "statement") for line in lines(statement))
    check(pem == key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "key.pem")
    check(said == node["statement"] and said["node"] == node["name"], "manifest: statement")
    check(all(said.get(m) == scope.get(m) for m in "since until words allow deny redact nonce".split()), "manifest: scope")
    for name, data in ("checkpoints", checkpoints), ("policies", policies):
        check((str(len(lines(data))), H(data).hex()) == (said[name], said[name + "_sha256"]), name + ".jsonl")
    points = [signed(line, "checkpoint")[1] for line in lines(checkpoints)]
    entries = [int(p["entry"]) for p in points]
    check(sorted(entries) == entries and all(p["key"] == said["key"] for p in points), "checkpoints are not in order, or of another key")

    number, heads, roots, count, gaps = int(said["first_entry"]) - 1, {}, [], 0, []
    for chunk in node["chunks"]:
        before, bodies = bytes.fromhex(chunk["before"]), {}
        chain, proven, text, table = (files.get(chunk["dir"] + "/" + name) for name in CHUNK)
        check(heads.setdefault(number, before) == before and int(chunk["first_entry"]) == number + 1, "the chain is broken")
        for number, line in enumerate(lines(chain), number + 1):
            heads[number] = H(struct.pack(">BQ", 3, number), heads[number - 1], line.encode())
            bodies[number] = json.loads(line)
        gaps += [{m: v for m, v in b.items() if m != "kind"} for b in bodies.values() if b["kind"] == "gap"]
        flows = [json.loads(line) for line in lines(text)]
        check([compact(s) for s in flows] == lines(text), "flows.jsonl is written in another way")
        rest = iter(flows)
        roots += [check_block(p, bodies.pop(p.entry), [*islice(rest, len(p.places))]) for p in proofs(proven)]
        check(not [*rest], "a flow was added")
        check_table(table, flows)
        count += len(flows)
    check((str(number), heads[number].hex()) == (said["last_entry"], said["head"]) if heads else said["last_entry"] == "0",
          "the chain does not lead to the head")
    check(all(heads.get(int(p["entry"]), bytes.fromhex(p["head"])).hex() == p["head"] for p in points), "a checkpoint has another head")
    check((str(count), str(len(roots)), tree(roots).hex()) == (said["flows"], said["blocks"], said["root"]), "not the flows that were stated")
    since, until = (said.get(m, other).rstrip("Z") for m, other in (("since", ""), ("until", "~")))
    check(all(g in said["gaps"] for g in gaps if g["to"].rstrip("Z") >= since and g["from"].rstrip("Z") <= until), "a gap is hidden")

def verify(path):
    with open(path, "rb") as f:
        data = f.read()
    tar = subprocess.run(["zstd", "-dcq"], input=data, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        names, files = archive.getnames(), {m.name: archive.extractfile(m).read() for m in archive}
    manifest = json.loads(files["manifest.json"])
    check(manifest["tycho"] == "evidence" and manifest["format"] == 4, "another format")
    total = H(*(H(data[:-40][at:at + 16384]) for at in range(0, len(data) - 40, 16384)))
    check(data[-40:] == bytes.fromhex("5e2a4d1820000000") + total, "the sum at the end")
    listed = subprocess.run(["zstd", "-lv", path], capture_output=True, check=True, text=True).stdout
    frames = 2 + sum(len(n["chunks"]) for n in manifest["nodes"])
    check("# Zstandard Frames: %d\n# Skippable Frames: 1\n" % frames in listed, "frames that do not belong there")
    dirs, numbers = [n["dir"] for n in manifest["nodes"]], [int(n["dir"].partition("/")[2]) for n in manifest["nodes"]]
    check(numbers and 0 < numbers[0] and sorted({*numbers}) == numbers and dirs == ["nodes/%d" % n for n in numbers] and
          len({n["name"] for n in manifest["nodes"]}) == len(numbers), "nodes: none, twice, or not in folders of their own")
    want = [d + "/" + name for d in dirs for name in SMALL]
    want += [c["dir"] + "/" + name for n in manifest["nodes"] for c in n["chunks"] for name in CHUNK]
    want = [name for name in want + ["report.html"] if name in files or not name.endswith("/flows.csv")]
    check(names == ["manifest.json", *want], "files are not where they belong, or twice")
    sums = [{"name": n, "bytes": str(len(files[n])), **({"sha256": H(files[n]).hex()} if n.count("/") < 3 else {})} for n in want]
    check(manifest["files"] == sums, "manifest: files")
    for node in manifest["nodes"]:
        check_node(node, manifest["scope"], files)

for path in sys.argv[2:]:
    try:
        verify(path)
        print("ok", path, sep="\t")
    except Exception as e:  # whatever a lie makes the parsers say, it is a no
        print("bad", path, repr(e), sep="\t")
