"""Fetches / with Python's ssl. Arguments: CA file, port, host, lowest and highest TLS version. Prints version and body."""
import socket
import ssl
import sys

ca, port, host, lowest, highest = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.minimum_version = ssl.TLSVersion[lowest]
context.maximum_version = ssl.TLSVersion[highest]
with context.wrap_socket(socket.create_connection(("127.0.0.1", int(port)), 20), server_hostname=host) as connection:
    connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    print(connection.version(), answer.split(b"\r\n\r\n", 1)[1].decode())
