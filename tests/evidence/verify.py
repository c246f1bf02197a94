#!/usr/bin/python3
"""A second verifier of evidence bundles, written from docs/evidence.md alone: verify.py PROTO_DIR BUNDLE...

PROTO_DIR holds what protoc --python_out made of proto/. Prints "ok" or the first fault for each bundle."""
import base64, csv, hashlib, io, json, struct, subprocess, sys, tarfile
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

sys.path.insert(0, sys.argv[1])
from google.protobuf import json_format                                             # noqa: E402
from google.protobuf.internal.decoder import _DecodeVarint                          # noqa: E402
from observer import observer_pb2                                                   # noqa: E402
from tycho.v1 import evidence_pb2                                                   # noqa: E402

SMALL = ["key.pem", "statement.jsonl", "checkpoints.jsonl", "policies.jsonl"]
COLUMNS = ("seq time verdict drop_reason direction reply source_namespace source_pod source_ip source_port "
           "destination_namespace destination_pod destination_ip destination_port protocol node").split()
H = lambda *parts: hashlib.sha256(b"".join(parts)).digest()                         # noqa: E731
be64 = lambda n: struct.pack(">Q", n)                                               # noqa: E731


def check(ok, fault):
    if not ok:
        raise ValueError(fault)


def root(leaves, lo, n, proof):
    """leaves: {place: leaf}; proof: hashes of what has none, used up from the front."""
    if not leaves:
        return proof.pop(0)
    if n == 1:
        return leaves[lo]
    k = 1 << (n - 1).bit_length() - 1
    left = root({p: h for p, h in leaves.items() if p < lo + k}, lo, k, proof)
    return H(b"\1", left, root({p: h for p, h in leaves.items() if p >= lo + k}, lo + k, n - k, proof))


def tree(leaves):
    return root(dict(enumerate(leaves)), 0, len(leaves), []) if leaves else H()


def compact(value):
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.translate({ord(c): "\\u%04x" % ord(c) for c in "<>&\u2028\u2029"})


def lines(data):
    check(data[-1:] in (b"", b"\n"), "a last line is cut off")
    return data.decode().split("\n")[:-1]


def signed(line, kind):
    s = json.loads(line)
    check(compact(s) == line and list(s) == ["text", "signature", "key"], "not a signed text")
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(s["key"])).verify(bytes.fromhex(s["signature"]), s["text"].encode())
    said = json.loads(s["text"])
    check(said["tycho"] == kind and said["key"] == H(bytes.fromhex(s["key"])).hex(), "not a " + kind)
    return s["key"], said


def pieces(data, at=0):
    while at < len(data):
        size, at = _DecodeVarint(data, at)
        check(at + size <= len(data), "records.pb is cut off")
        yield evidence_pb2.EvidenceBlock.FromString(data[at:at + size])
        at += size


def check_block(block, body, flows):
    """Root of the items; appends what each record says to flows."""
    leaves, items = {}, []
    check(body.get("kind") == "block" and len(block.secrets) == 4 and block.records, "a block is malformed")
    for record in block.records:
        commitments, shown, wire = [], b"", record.core
        for p, (number, secret) in enumerate(zip(record.parts, block.secrets, strict=True), 1):
            part = block.parts[number - 1] if number else evidence_pb2.EvidencePart(part=p)
            check(part.part == p and len(secret) == (0 if part.commitment else 32), "a part of another kind")
            if part.commitment:
                shown += bytes([p]) + struct.pack(">I", len(part.content)) + part.content
            commitments.append(part.commitment or H(b"\2", bytes([p]), secret, part.content))
            wire += part.content
        leaf = leaves[record.index] = H(b"\0\0", be64(record.seq), record.core, *commitments)
        items.append(H(b"\4", leaf, H(shown)) if shown else leaf)
        answer = observer_pb2.GetFlowsResponse()
        answer.flow.ParseFromString(wire)
        answer.node_name = answer.flow.node_name
        if answer.flow.HasField("time"):
            answer.time.CopyFrom(answer.flow.time)
        flows.append(json_format.MessageToDict(answer, preserving_proto_field_name=True))
    for order, first, last in (([r.index for r in block.records], 0, body["count"] - 1),
                               ([r.seq for r in block.records], int(body["first_seq"]), int(body["last_seq"]))):
        check(sorted(set(order)) == order and first <= order[0] and order[-1] <= last, "records are not in order")
    proof = [block.proof[i:i + 32] for i in range(0, len(block.proof), 32)]
    check(root(leaves, 0, body["count"], proof).hex() == body["root"] and not proof, "records are not those of the chain")
    return tree(items)


def row(flow):
    src, dst, ip = flow.get("source", {}), flow.get("destination", {}), flow.get("IP", {})
    protocol, l4 = next(iter(flow.get("l4", {}).items()), ("", {}))
    return [str(v) for v in (
        flow.get("tycho", {}).get("seq", 0), flow.get("time", ""), flow.get("verdict", "VERDICT_UNKNOWN"),
        flow.get("drop_reason_desc", "DROP_REASON_UNKNOWN"), flow.get("traffic_direction", "TRAFFIC_DIRECTION_UNKNOWN"),
        str(flow.get("is_reply", "")).lower(),
        src.get("namespace", ""), src.get("pod_name", ""), ip.get("source", ""), l4.get("source_port", ""),
        dst.get("namespace", ""), dst.get("pod_name", ""), ip.get("destination", ""), l4.get("destination_port", ""),
        protocol, flow.get("node_name", ""))]


def check_lines(flows, text, table):
    said = [json.loads(line) for line in lines(text)]
    check(said == flows and all(compact(s) == line for s, line in zip(said, lines(text))), "flows.jsonl does not say what its records say")
    if table is not None:
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([COLUMNS] * bool(flows) + [row(s["flow"]) for s in said])
        check(out.getvalue().encode() == table, "flows.csv does not say what its records say")


def check_node(node, scope, files):
    small = {name: files[node["dir"] + "/" + name] for name in SMALL}
    statement, = lines(small["statement.jsonl"])
    key, said = signed(statement, "statement")
    pem = base64.b64encode(bytes.fromhex("302a300506032b6570032100" + key)).decode()
    check(small["key.pem"].decode() == "-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n" % pem, "key.pem")
    check(said == node["statement"] and said["node"] == node["name"], "manifest: statement")
    check(all(said.get(m) == scope.get(m) for m in "since until words allow deny redact nonce".split()), "manifest: scope")
    for name in "checkpoints", "policies":
        data = small[name + ".jsonl"]
        check(len(lines(data)) == int(said[name]) and H(data).hex() == said[name + "_sha256"], name + ".jsonl")
    points = [signed(line, "checkpoint") for line in lines(small["checkpoints.jsonl"])]
    entries = [int(p["entry"]) for _, p in points]
    check(sorted(entries) == entries and all(k == key for k, _ in points), "checkpoints are not in order, or of another key")

    number, head, heads, roots, count, gaps = int(said["first_entry"]) - 1, None, {}, [], 0, []
    for chunk in node["chunks"]:
        check(head in (None, bytes.fromhex(chunk["before"])) and int(chunk["first_entry"]) == number + 1, "the chain is broken")
        heads[number] = head = bytes.fromhex(chunk["before"])
        bodies, flows, block = {}, [], evidence_pb2.EvidenceBlock()
        for line in lines(files[chunk["dir"] + "/chain.jsonl"]):
            number += 1
            heads[number] = head = H(b"\3", be64(number), head, line.encode())
            bodies[number] = json.loads(line)
        gaps += [{k: v for k, v in b.items() if k != "kind"} for b in bodies.values() if b["kind"] == "gap"]
        for piece in pieces(files[chunk["dir"] + "/records.pb"]):
            check(block.entry in (0, piece.entry), "pieces of another block")
            block.MergeFrom(piece)
            if piece.last:
                roots.append(check_block(block, bodies.pop(block.entry), flows))
                block = evidence_pb2.EvidenceBlock()
        check(not block.entry, "records.pb is cut off")
        check_lines(flows, files[chunk["dir"] + "/flows.jsonl"], files.get(chunk["dir"] + "/flows.csv"))
        count += len(flows)
    check(not node["chunks"] or (number, head.hex()) == (int(said["last_entry"]), said["head"]), "the chain does not lead to the head")
    check(node["chunks"] or said["last_entry"] == "0", "the chain is missing")
    check(all(heads.get(int(p["entry"]), bytes.fromhex(p["head"])).hex() == p["head"] for _, p in points), "a checkpoint has another head")
    check((count, len(roots), tree(roots).hex()) == (int(said["flows"]), int(said["blocks"]), said["root"]), "not the flows that were stated")
    since, until = (said.get(m, other).rstrip("Z") for m, other in (("since", ""), ("until", "~")))
    check(all(g in said["gaps"] for g in gaps if g["to"].rstrip("Z") >= since and g["from"].rstrip("Z") <= until), "a gap is hidden")


def verify(data):
    archive = tarfile.open(fileobj=io.BytesIO(subprocess.run(["zstd", "-dcq"], input=data, capture_output=True, check=True).stdout))
    order = [m.name for m in archive.getmembers()]
    files = {name: archive.extractfile(name).read() for name in order}
    manifest = json.loads(files["manifest.json"])
    check(manifest["tycho"] == "evidence" and manifest["format"] == 1, "another format")
    at = len(data) - 40 - sum(int(f["bytes"]) for f in manifest["frames"])
    check(data[-40:] == bytes.fromhex("5e2a4d1820000000") + H(data[:at]), "the sum at the end")
    for f in manifest["frames"]:
        check(H(data[at:at + int(f["bytes"])]).hex() == f["sha256"], "a frame's sum")
        at += int(f["bytes"])
    want = ["manifest.json"] + [n["dir"] + "/" + s for n in manifest["nodes"] for s in SMALL]
    for chunk in (c["dir"] + "/" for n in manifest["nodes"] for c in n["chunks"]):
        want += [chunk + f for f in ("chain.jsonl", "records.pb", "flows.jsonl", "flows.csv") if f != "flows.csv" or chunk + f in files]
    check(order == want + ["report.html"], "files are not where they belong")
    sums = [dict({"sha256": H(files[n]).hex()} if n.count("/") < 3 else {}, name=n, bytes=str(len(files[n]))) for n in order[1:]]
    check(manifest["files"] == sums, "manifest: files")
    for node in manifest["nodes"]:
        check_node(node, manifest["scope"], files)


for path in sys.argv[2:]:
    try:
        verify(open(path, "rb").read())
        print("ok", path, sep="\t")
    except Exception as e:  # whatever a lie makes the parsers say, it is a no
        print("bad", path, repr(e), sep="\t")
