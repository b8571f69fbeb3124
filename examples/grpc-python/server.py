"""A gRPC worker for proto/echo.proto, with the code that grpc_tools makes of it."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import echo_pb2
import echo_pb2_grpc
import grpc


class Echo(echo_pb2_grpc.EchoServicer):
    def Ping(self, request, context):
        who = dict(context.invocation_metadata()).get("x-auth-email", "nobody")
        return echo_pb2.PongResult(message=f"hello {who}")

    def Chat(self, requests, context):
        yield from requests


# A call takes a thread for as long as it lasts.
server = grpc.server(ThreadPoolExecutor(max_workers=32))
echo_pb2_grpc.add_EchoServicer_to_server(Echo(), server)
server.add_insecure_port(f"127.0.0.1:{os.environ['PORT']}")
# Before the port opens: whoever sees it open may end this.
signal.signal(signal.SIGTERM, lambda *_: server.stop(grace=0.5))
server.start()
server.wait_for_termination()
