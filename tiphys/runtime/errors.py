"""What the runtime refuses, each with the gRPC status that kubelets look at."""

import grpc


class RuntimeFault(Exception):
    """Base; the text is for users."""

    code = grpc.StatusCode.UNKNOWN


class NotFound(RuntimeFault):
    code = grpc.StatusCode.NOT_FOUND


class InvalidArgument(RuntimeFault):
    code = grpc.StatusCode.INVALID_ARGUMENT


class FailedPrecondition(RuntimeFault):
    code = grpc.StatusCode.FAILED_PRECONDITION


class Unavailable(RuntimeFault):
    code = grpc.StatusCode.UNAVAILABLE


class DeadlineExceeded(RuntimeFault):
    code = grpc.StatusCode.DEADLINE_EXCEEDED


class ResourceExhausted(RuntimeFault):
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
