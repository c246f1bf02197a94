#!/usr/bin/python3
"""A second verifier of evidence bundles, written from docs/evidence.md alone: verify.py PROTO_DIR BUNDLE...

PROTO_DIR holds what protoc --python_out made of proto/. Prints "ok" or the first fault for each bundle."""
import base64, csv, hashlib, io, json, re, struct, subprocess, sys, tarfile
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

sys.path.insert(0, sys.argv[1])
from google.protobuf import json_format                                             # noqa: E402
from google.protobuf.internal.decoder import _DecodeVarint                          # noqa: E402
from observer import observer_pb2                                                   # noqa: E402
from tycho.v1 import evidence_pb2                                                   # noqa: E402

NAMES = ["key.pem", "statement.jsonl", "checkpoints.jsonl", "policies.jsonl"]
GAP = ["cause", "from", "to", "lost", "first_seq", "last_seq", "node", "detail"]
H = lambda *parts: hashlib.sha256(b"".join(parts)).digest()                         # noqa: E731
be64 = lambda n: struct.pack(">Q", n)                                               # noqa: E731


class Fault(Exception):
    pass


def check(ok, what):
    if not ok:
        raise Fault(what)


def split(n):
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def tree(leaves):
    if len(leaves) < 2:
        return leaves[0] if leaves else H(b"")
    k = split(len(leaves))
    return H(b"\1", tree(leaves[:k]), tree(leaves[k:]))


def proven(leaves, lo, n, proof):
    """leaves: {place: leaf}; proof: list of hashes, used up from the front."""
    if not any(lo <= place < lo + n for place in leaves):
        check(proof, "the proof is too short")
        return proof.pop(0)
    if n == 1:
        return leaves[lo]
    k = split(n)
    left = proven({p: l for p, l in leaves.items() if p < lo + k}, lo, k, proof)
    return H(b"\1", left, proven({p: l for p, l in leaves.items() if p >= lo + k}, lo + k, n - k, proof))


def compact(value):
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for c in "<>&\u2028\u2029":
        text = text.replace(c, "\\u%04x" % ord(c))
    return text


def signed(line, key=None):
    s = json.loads(line)
    check(compact(s) + "\n" == line and list(s) == ["text", "signature", "key"], "not a signed text")
    check(key is None or s["key"] == key, "signed by another key")
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(s["key"])).verify(bytes.fromhex(s["signature"]), s["text"].encode())
    except InvalidSignature:
        raise Fault("a signature is wrong")
    return s["key"], json.loads(s["text"])


def ns(time):
    """RFC 3339 as text that sorts: all fractions have nine digits here."""
    return re.sub(r"Z$", "", time) if time else None


def lines(data):
    text = data.decode()
    check(not text or text.endswith("\n"), "a last line is cut off")
    return text.split("\n")[:-1]


def row(flow):
    src, dst, ip = flow.get("source", {}), flow.get("destination", {}), flow.get("IP", {})
    proto, l4 = next(iter(flow.get("l4", {}).items()), ("", {}))
    is_reply = flow.get("is_reply")
    return [str(v) for v in (
            flow.get("tycho", {}).get("seq", 0), flow.get("time", ""), flow.get("verdict", "VERDICT_UNKNOWN"),
            flow.get("drop_reason_desc", "DROP_REASON_UNKNOWN"), flow.get("traffic_direction", "TRAFFIC_DIRECTION_UNKNOWN"),
            "" if is_reply is None else str(is_reply).lower(),
            src.get("namespace", ""), src.get("pod_name", ""), ip.get("source", ""), l4.get("source_port", ""),
            dst.get("namespace", ""), dst.get("pod_name", ""), ip.get("destination", ""), l4.get("destination_port", ""),
            proto, flow.get("node_name", ""))]


def blocks(data):
    """Pieces joined: protobuf appends repeated fields, and sets proof and last with the last piece."""
    at, block = 0, None
    while at < len(data):
        size, at = _DecodeVarint(data, at)
        check(at + size <= len(data), "records.pb is cut off")
        piece = evidence_pb2.EvidenceBlock.FromString(data[at:at + size])
        at += size
        check(block is None or block.entry == piece.entry, "pieces of another block")
        block = block or evidence_pb2.EvidenceBlock()
        block.MergeFrom(piece)
        if block.last:
            yield block
            block = None
    check(block is None, "records.pb is cut off")


def check_block(block, body, flows):
    """Root of the items. Appends (seq, GetFlowsResponse) of each record to flows."""
    leaves, items, seqs, secrets = {}, [], [], list(block.secrets)
    check(len(secrets) == 4 and block.records, "a block is malformed")
    for record in block.records:
        commitments, shown, wire = [], b"", record.core
        for p, number in enumerate(record.parts, 1):
            part = block.parts[number - 1] if number else None
            check(part is None or part.part == p, "a part of another kind")
            content = part.content if part else b""
            if part is not None and part.commitment:
                check(not secrets[p - 1], "a secret of a withheld part")
                commitments.append(part.commitment)
                shown += bytes([p]) + struct.pack(">I", len(content)) + content
            else:
                check(len(secrets[p - 1]) == 32, "a secret is missing")
                commitments.append(H(b"\2", bytes([p]), secrets[p - 1], content))
            wire += content
        check(len(commitments) == 4 and all(len(c) == 32 for c in commitments), "a record without four parts")
        leaf = H(b"\0\0", be64(record.seq), record.core, *commitments)
        leaves[record.index] = leaf
        items.append(H(b"\4", leaf, H(shown)) if shown else leaf)
        seqs.append(record.seq)
        answer = observer_pb2.GetFlowsResponse()
        answer.flow.ParseFromString(wire)
        answer.node_name = answer.flow.node_name
        if answer.flow.HasField("time"):
            answer.time.CopyFrom(answer.flow.time)
        flows.append(answer)
    places = [r.index for r in block.records]
    check(sorted(set(places)) == places and sorted(set(seqs)) == seqs, "records are not in order")
    check(int(body["first_seq"]) <= seqs[0] and seqs[-1] <= int(body["last_seq"]) and places[-1] < body["count"], "records of another block")
    proof = [block.proof[i:i + 32] for i in range(0, len(block.proof), 32)]
    check(proven(leaves, 0, body["count"], proof).hex() == body["root"] and not proof, "records are not those of the chain")
    return tree(items)


def check_flows(flows, json_lines, csv_text):
    check(len(flows) == len(json_lines), "flows.jsonl has other lines than there are records")
    rows = list(csv.reader(io.StringIO(csv_text, newline=""), strict=True)) if csv_text is not None else None
    if rows is not None:
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(rows)
        check(out.getvalue() == csv_text and len(rows) == (len(flows) + 1 if flows else 0), "flows.csv has other rows")
        check(not rows or rows[0] == ("seq,time,verdict,drop_reason,direction,reply,source_namespace,source_pod,source_ip,source_port,"
                                      "destination_namespace,destination_pod,destination_ip,destination_port,protocol,node").split(","),
              "flows.csv has other columns")
    for i, (flow, line) in enumerate(zip(flows, json_lines)):
        said = json.loads(line)
        check(compact(said) == line, "a line is not as it was written")
        check(said == json_format.MessageToDict(flow, preserving_proto_field_name=True), "line %d does not say what its record says" % (i + 1))
        if rows is not None:
            check(rows[i + 1] == row(said["flow"]), "flows.csv, row %d" % (i + 1))


def check_node(node, scope, files):
    small = {name: files["%s/%s" % (node["dir"], name)] for name in NAMES}
    key, said = signed(small["statement.jsonl"].decode())
    pem = base64.b64encode(bytes.fromhex("302a300506032b6570032100" + key)).decode()
    check(small["key.pem"].decode() == "-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n" % pem, "key.pem")
    check(said["tycho"] == "statement" and said == node["statement"] and said["node"] == node["name"], "manifest: statement")
    check(said["key"] == H(bytes.fromhex(key)).hex() and said["flows"] == node["flows"], "manifest: node")
    check(all(said.get(m) == scope.get(m) for m in "since until words allow deny redact nonce".split()), "manifest: scope")
    loss = {}
    for gap in said["gaps"]:
        of = loss.setdefault(gap["cause"], {"gaps": 0, "lost": 0})
        of["gaps"] += 1
        of["lost"] = min(of["lost"] + int(gap["lost"]), 2**64 - 1)
    check({c: {k: str(v) for k, v in of.items()} for c, of in loss.items()} == node["loss"], "manifest: loss")
    reaches = "since" in said and "oldest" in said and ns(said["oldest"]) <= ns(said["since"])
    check(node["complete"] == (reaches and not said["gaps"]), "manifest: complete")
    for name in ("checkpoints", "policies"):
        data = small[name + ".jsonl"]
        check(len(lines(data)) == int(said[name]) and H(data).hex() == said[name + "_sha256"], name + ".jsonl")
    points = [signed(line + "\n", key)[1] for line in lines(small["checkpoints.jsonl"])]
    entries = [int(p["entry"]) for p in points]
    check(sorted(entries) == entries and all(p["tycho"] == "checkpoint" for p in points), "checkpoints are not in order")

    number, head, roots, count, gaps, heads = int(said["first_entry"]) - 1, None, [], 0, [], {}
    for chunk in node["chunks"]:
        check(head is None or head.hex() == chunk["before"], "the chain is broken between chunks")
        check(int(chunk["first_entry"]) == number + 1, "a chunk begins elsewhere")
        heads[number] = head = bytes.fromhex(chunk["before"])
        bodies = {}
        for body in lines(files[chunk["dir"] + "/chain.jsonl"]):
            number += 1
            heads[number] = head = H(b"\3", be64(number), head, body.encode())
            bodies[number] = json.loads(body)
            if bodies[number]["kind"] == "gap":
                gaps.append(bodies[number])
        flows = []
        for block in blocks(files[chunk["dir"] + "/records.pb"]):
            body = bodies.pop(block.entry, {})
            check(body.get("kind") == "block", "a block that is none of the chunk's")
            roots.append(check_block(block, body, flows))
        count += len(flows)
        table = files.get(chunk["dir"] + "/flows.csv")
        check_flows(flows, lines(files[chunk["dir"] + "/flows.jsonl"]), None if table is None else table.decode())
    check(number == int(said["last_entry"]) if node["chunks"] else said["last_entry"] == "0", "the chain's tail is cut off")
    check(not node["chunks"] or head.hex() == said["head"], "the chain does not lead to the head")
    check(all(int(p["entry"]) not in heads or heads[int(p["entry"])].hex() == p["head"] for p in points), "a checkpoint has another head")
    check(count == int(said["flows"]) and len(roots) == int(said["blocks"]), "flows were removed or added")
    check(tree(roots).hex() == said["root"], "the flows are not those that were stated")
    for gap in gaps:
        touches = ("since" not in said or ns(gap["to"]) >= ns(said["since"])) and ("until" not in said or ns(gap["from"]) <= ns(said["until"]))
        check(not touches or {m: gap[m] for m in GAP} in said["gaps"], "a gap is hidden")


def verify(data):
    check(data[-40:-32].hex() == "5e2a4d1820000000" and H(data[:-40]) == data[-32:], "the sum at the end")
    unpacked = subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    check(unpacked.returncode == 0, "no zstd data")
    archive = tarfile.open(fileobj=io.BytesIO(unpacked.stdout))
    files = {m.name: archive.extractfile(m).read() for m in archive.getmembers()}
    order = [m.name for m in archive.getmembers()]
    check(order[0] == "manifest.json" and len(order) == len(files), "manifest.json is not the first file")
    manifest = json.loads(files["manifest.json"])
    check(manifest["tycho"] == "evidence" and manifest["format"] == 1, "another format")
    check([f["name"] for f in manifest["files"]] == order[1:], "the manifest lists other files")
    for f in manifest["files"]:
        check(int(f["bytes"]) == len(files[f["name"]]) and f["sha256"] == H(files[f["name"]]).hex(), f["name"])
    dirs = [n["dir"] for n in manifest["nodes"]]
    chunks = [c["dir"] for n in manifest["nodes"] for c in n["chunks"]]
    want = [d + "/" + n for d in dirs for n in NAMES]
    for c in chunks:
        want += [c + "/" + n for n in ("chain.jsonl", "records.pb", "flows.jsonl", "flows.csv") if n != "flows.csv" or c + "/" + n in files]
    check(order[1:] == want + ["report.html"], "files are not where they belong")
    for node in manifest["nodes"]:
        check_node(node, manifest["scope"], files)


for path in sys.argv[2:]:
    try:
        verify(open(path, "rb").read())
        print("ok", path, sep="\t")
    except Exception as e:  # whatever a lie makes the parsers say, it is a no
        print("bad", path, repr(e), sep="\t")
