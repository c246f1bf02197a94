"""The messages and methods of the project's .proto files for the distribution's gRPC: nothing here knows our C code.

Classes are made at run time from a descriptor set, because proto/grpc/health would, as a generated module, hide the grpc
package itself.
"""
import os
import tempfile

import grpc
from google.protobuf import (any_pb2, descriptor_pb2, descriptor_pool, field_mask_pb2, json_format,  # noqa: F401
                             message_factory, timestamp_pb2, wrappers_pb2)
from grpc.experimental import ChannelOptions
from grpc_tools import protoc

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FILES = ['tycho/v1/detail.proto', 'flow/flow.proto', 'relay/relay.proto', 'observer/observer.proto',
         'peer/peer.proto', 'tycho/v1/flows.proto', 'tycho/v1/history.proto', 'tycho/v1/evidence.proto',
         'grpc/health/v1/health.proto', 'grpc/reflection/v1/reflection.proto']
WELL_KNOWN = os.path.join(os.path.dirname(protoc.__file__), '_proto')


def _compile():
    with tempfile.TemporaryDirectory(prefix='tycho-api-') as folder:
        path = os.path.join(folder, 'set')
        argv = ['protoc', '-I', os.path.join(ROOT, 'proto'), '-I', '/usr/include', '-I', WELL_KNOWN,
                '--descriptor_set_out', path] + FILES
        if protoc.main(argv) != 0:
            raise RuntimeError('protoc failed')
        with open(path, 'rb') as f:
            return descriptor_pb2.FileDescriptorSet.FromString(f.read())


POOL = descriptor_pool.Default()
DESCRIPTORS = _compile()
for _file in DESCRIPTORS.file:
    POOL.AddSerializedFile(_file.SerializeToString())


def message(name):
    """The class of a message, given by its full name."""
    descriptor = POOL.FindMessageTypeByName(name)
    if hasattr(message_factory, 'GetMessageClass'):  # protobuf from 4.22 on
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(POOL).GetPrototype(descriptor)


Flow = message('flow.Flow')
LostEvent = message('flow.LostEvent')
GetFlowsRequest = message('observer.GetFlowsRequest')
GetFlowsResponse = message('observer.GetFlowsResponse')
HUBBLE_RING_BUFFER = POOL.FindEnumTypeByName('flow.LostEventSource').values_by_name['HUBBLE_RING_BUFFER'].number
ALL = 2 ** 64 - 1  # as a number of flows: everything there is, and then what comes

# Connections are not shared between channels, so that one client's trouble is its own; and little is read ahead.
_OPTIONS = [('grpc.use_local_subchannel_pool', 1), ('grpc.http2.bdp_probe', 0)]
# A stream is read by the thread that asks: six times as fast as through grpcio's own threads, but grpcio 1.51 keeps the
# connection of such a stream for ever when it is cancelled in the middle.
_FAST = [(ChannelOptions.SingleThreadedUnaryStream, 1)]


class Client:
    """One connection. client.GetFlows(number=1) for observer.Observer; call() for any method."""

    def __init__(self, address, credentials=None, options=(), fast=True):
        target = address.replace('unix://', 'unix:')
        options = _OPTIONS + (_FAST if fast else []) + list(options)
        self.channel = (grpc.secure_channel(target, credentials, options) if credentials
                        else grpc.insecure_channel(target, options))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.channel.close()

    def _stub(self, service, method, path=None):
        d = POOL.FindServiceByName(service).methods_by_name[method]
        kinds = {(False, False): 'unary_unary', (False, True): 'unary_stream', (True, True): 'stream_stream'}
        proto = descriptor_pb2.MethodDescriptorProto()
        d.CopyToProto(proto)
        make = getattr(self.channel, kinds[proto.client_streaming, proto.server_streaming])
        return d, make(path or '/%s/%s' % (service, method),
                       request_serializer=lambda m: m.SerializeToString(),
                       response_deserializer=message(d.output_type.full_name).FromString)

    def call(self, service, method, /, timeout=100, metadata=None, **fields):
        d, stub = self._stub(service, method)
        return stub(message(d.input_type.full_name)(**fields), timeout=timeout, metadata=metadata)

    def converse(self, service, method, requests, path=None, timeout=100):
        """A call in which both sides stream."""
        return self._stub(service, method, path)[1](requests, timeout=timeout)

    def raw(self, path, data, timeout=100, streams=False, metadata=None):
        """Any bytes to any path; bytes come back."""
        make = self.channel.unary_stream if streams else self.channel.unary_unary
        return make(path)(data, timeout=timeout, metadata=metadata)

    def __getattr__(self, method):
        return lambda **fields: self.call('observer.Observer', method, **fields)

    def flows(self, **fields):
        """What GetFlows yields until it ends, as flow.Flow messages; lost events are left out."""
        return [r.flow for r in self.GetFlows(**fields) if r.HasField('flow')]

    def reading(self, n, **fields):
        """The first n flows of a stream that is then cancelled."""
        stream = self.GetFlows(**fields)
        got = []
        if n:
            for r in stream:
                if r.HasField('flow'):
                    got.append(r.flow)
                if len(got) == n:
                    break
        stream.cancel()
        return got


def status_of(call):
    """Runs a call (a function) that must fail; returns (status name, text)."""
    try:
        result = call()
        if hasattr(result, '__iter__'):
            for _ in result:
                pass
    except grpc.RpcError as e:
        return e.code().name, e.details()
    raise AssertionError('the call succeeded')


def recorded(line):
    """A line of a recorded file as GetFlowsResponse, read by protobuf's own JSON reader."""
    return json_format.Parse(line, GetFlowsResponse(), ignore_unknown_fields=True)


def status_of_or_none(call):
    """The status' name, or None when the call succeeds."""
    try:
        call()
    except grpc.RpcError as e:
        return e.code().name
    return None
