"""Reads what wandb keeps of an offline run, without wandb's own reader (it is written in Go)."""

import json
import struct

from wandb.proto.wandb_internal_pb2 import Record

_BLOCK = 32_768
_FULL, _FIRST, _MIDDLE, _LAST = range(1, 5)


def read_records(path):
    """Every record: a log as LevelDB's, blocks of records that may be cut, behind 7 bytes."""
    data, place, parts = path.read_bytes(), 7, []
    assert data[:4] == b":W&B"
    while place < len(data):
        left = _BLOCK - place % _BLOCK
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        parts.append(data[place + 7 : place + 7 + length])
        place += 7 + length
        if kind in (_FULL, _LAST):
            yield Record.FromString(b"".join(parts))
            parts = []
        else:
            assert kind in (_FIRST, _MIDDLE)


class OfflineRun:
    """One file: `run` as its record has it, `config`, `rows` as logged, `metrics` defined."""

    def __init__(self, path):
        self.rows, self.metrics, self.config = [], {}, {}
        for record in read_records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                self.run = record.run
                self.config |= {
                    x.key or x.nested_key[0]: json.loads(x.value_json)
                    for x in record.run.config.update
                }
            elif kind == "history":
                row = {x.key or "/".join(x.nested_key): x.value_json for x in record.history.item}
                row = {key: json.loads(text) for key, text in row.items()}
                self.rows.append({x: y for x, y in row.items() if not x.startswith("_")})
            elif kind == "metric":
                self.metrics[record.metric.name or record.metric.glob_name] = record.metric


def read_offline(directory):
    """{seed: [runs, oldest first]} of a run directory."""
    found = {}
    for path in sorted(directory.glob("wandb/offline-run-*/*.wandb")):
        found.setdefault(int(path.stem.rpartition("-")[2]), []).append(OfflineRun(path))
    return found
