"""Reads what TensorBoard would be shown, without TensorBoard."""

import struct

from tensorboardX.proto.event_pb2 import Event


def read_events(path):
    data = path.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])  # then 4 bytes of checksum, and 4 behind
        yield Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]


def read_scalars(folder):
    """{tag: {step: value}} of every scalar of a seed."""
    found = {}
    for path in folder.iterdir():
        for event in read_events(path):
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found
