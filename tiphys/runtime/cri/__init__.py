"""CRI, the interface between kubelet and runtime: messages (``api_pb2``) and stubs (``api_pb2_grpc``).

``api.proto`` is the source; ``tools/generate_protos.py`` compiles it. ``images.proto`` adds one service of our own
on the same socket. The kubelet imports this package and nothing else of the runtime.
"""
