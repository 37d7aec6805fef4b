"""What tells one state of a data set from another without reading its inputs."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict

from heatproof.audit.entry import Entry, Roles
from heatproof.audit.sources._places import digest_of, open_bytes


def fingerprint_of_file(place: str, roles: Roles) -> str:
    """Return the SHA-256 of a file's bytes and of what its columns are taken for."""
    with open_bytes(place) as file:
        return digest_of(file, json.dumps(asdict(roles), sort_keys=True).encode())


def fingerprint_of_entries(entries: Iterable[Entry], more: Iterable[object] = ()) -> str:
    """Return the SHA-256 of what is known of every entry but its location, and of whatever else is told."""
    digest = hashlib.sha256()
    for entry in entries:
        known = [entry.id, entry.label, entry.annotation is not None, entry.cluster, dict(entry.columns)]
        digest.update(json.dumps(known, sort_keys=True, default=str).encode() + b"\n")
    for one in more:
        digest.update(f"{one}\n".encode())
    return digest.hexdigest()
