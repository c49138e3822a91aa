#!/usr/bin/env python3
"""Makes the files of a mailbox from a bucket, with nothing but docs/formats.md ("The bucket"): no server, no key, no password.

    restore.py BUCKET ARCHIVE OUT

BUCKET is a folder with what is below the bucket's prefix, ARCHIVE is <serverId>/<mailbox>/t<timeline>, OUT a folder to be made.
It restores all there is. It checks every hash and every link between objects, but no signatures, and it knows nothing of gaps
and snapshots: `sealpost bucket fetch` does. Spools are zstd: Python 3.14 has it, otherwise the program `zstd` is needed.
"""

import hashlib
import json
import re
import struct
import subprocess
import sys
from pathlib import Path

MAGIC = b"SPAR1\n"
FRAME_HEADER = 24


class Damaged(Exception):
    """An object that cannot be used."""


def number(text):
    return int(text, 10)


class Base:
    """<epoch>-<frame>.<commit>.base, by its name."""

    def __init__(self, path):
        self.path = path
        self.epoch, self.frame, self.commit = map(number, re.fullmatch(r"(\d+)-(\d+)\.(\d+)\.base", path.name).groups())


class Segment:
    """wal/<epoch>/<first>-<last>.<commit>.seg, by its name."""

    def __init__(self, path):
        self.path = path
        self.epoch = number(path.parent.name)
        self.first, self.last, self.commit = map(number, re.fullmatch(r"(\d+)-(\d+)\.(\d+)\.seg", path.name).groups())


def opened(path):
    """The header of a base or segment, its hash, and the payload as pages or frames."""
    data = path.read_bytes()
    if data[:6] != MAGIC:
        raise Damaged(f"{path}: is not an object of an archive")
    (length,) = struct.unpack_from("<I", data, 6)
    header = data[10 : 10 + length]
    (signature,) = struct.unpack_from("<H", data, 10 + length)
    payload = data[12 + length + signature :]
    said = json.loads(header)
    if len(payload) != said["payload"]["size"] or hashlib.sha256(payload).hexdigest() != said["payload"]["sha256"]:
        raise Damaged(f"{path}: its content is not what its header says")
    if said["codec"] == "zstd":
        payload = unpacked(payload)
    return said, hashlib.sha256(MAGIC + header).hexdigest(), payload


def unpacked(payload):
    try:
        from compression import zstd
    except ImportError:
        return subprocess.run(["zstd", "-dc"], input=payload, stdout=subprocess.PIPE, check=True).stdout
    return zstd.decompress(payload)


def plan(bases, segments):
    """The last base, and the segments from frame 1 of its epoch to the end."""
    whole = [base.commit for base in bases if base.frame == 0] + [segment.commit for segment in segments]
    commit = max(whole)
    base = [base for base in bases if base.commit <= commit][-1]
    if (base.commit, base.frame) == (commit, 0):
        return base, []
    reaches = [s for s in segments if (s.epoch, s.last) >= (base.epoch, base.frame) and s.commit >= commit]
    chain = [reaches[0]]
    while (chain[0].epoch, chain[0].first) != (base.epoch, 1):
        at = chain[0]
        if at.first > 1:
            before = [s for s in segments if (s.epoch, s.last) == (at.epoch, at.first - 1)][:1]
        else:
            before = sorted((s for s in segments if s.epoch == at.epoch - 1), key=lambda s: s.last)[-1:]
        if not before:
            raise Damaged(f"{at.path}: what should be before it is missing")
        chain = before + chain
    return base, chain


def restored(folder):
    """A database, from its folder in the timeline."""
    bases = sorted(map(Base, folder.glob("base/*.base")), key=lambda b: (b.epoch, b.frame, b.commit))
    segments = sorted(map(Segment, folder.glob("wal/*/*.seg")), key=lambda s: (s.epoch, s.first, s.last))
    base, chain = plan(bases, segments)
    said, before, payload = opened(base.path)
    size = said["pageSize"]
    database = bytearray(payload)
    linked = "previous" not in said
    for segment in chain:
        said, digest, payload = opened(segment.path)
        if linked and said["previous"] != before:
            raise Damaged(f"{segment.path}: does not follow the object before it")
        before, linked = digest, True
        for at in range(0, len(payload), FRAME_HEADER + size):
            page, pages = struct.unpack_from(">II", payload, at)
            end = page * size
            database.extend(bytes(max(0, end - len(database))))
            database[end - size : end] = payload[at + FRAME_HEADER : at + FRAME_HEADER + size]
            length = pages * size
        # The last frame of a segment ends a commit, and says how many pages the database has then.
        database = database[:length] + bytes(max(0, length - len(database)))
    return bytes(database)


def main(bucket, archive, out):
    server, mailbox, timeline = archive.split("/")
    (root,) = Path(bucket).glob(f"*.*.{server}")
    timeline = root / mailbox / f"t{int(timeline[1:]):04}"
    out = Path(out)
    out.mkdir()
    for name in ("mailbox", "spool"):
        # Without one: nobody ever logged in, or no mail ever waited.
        if (timeline / name).is_dir():
            (out / f"{name}.sqlite").write_bytes(restored(timeline / name))
    (out / "keys.json").write_bytes(keys(root / mailbox / "keys", timeline / "manifest"))


def keys(folder, manifests):
    """The newest version of the keyset that the newest manifest names; of any, where it names none."""
    manifest = json.loads(json.loads(sorted(manifests.glob("*.json"))[-1].read_bytes())["body"])
    keyset = manifest.get("keyset")
    versions = [path.read_bytes() for path in folder.rglob("*.json")]
    ours = [text for text in versions if keyset in (None, json.loads(text)["keysetId"])]
    return max(ours, key=lambda text: json.loads(text)["version"])


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except Damaged as damage:
        sys.exit(f"restore.py: {damage}")
