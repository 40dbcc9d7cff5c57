"""The way of 2019: a thread for each connection, one recv, one sendall, the request into memcached."""

import socket
import socketserver
import sys

SLOTS = 101


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        request = self.request.recv(65536)
        self.request.sendall(b"HTTP/1.1 200 Ok\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        self.server.keep(request)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, port, memcached):
        super().__init__(("127.0.0.1", port), Handler)
        self.memcached = socket.create_connection(("127.0.0.1", memcached))
        self.slot = 0

    def keep(self, request):
        self.slot = (self.slot + 1) % SLOTS
        self.memcached.sendall(b"set slot:%d 0 0 %d noreply\r\n%b\r\n" % (self.slot, len(request), request))


Server(int(sys.argv[1]), int(sys.argv[2])).serve_forever()
