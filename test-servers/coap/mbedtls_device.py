"""A device by Mbed TLS: a handshake with a pre-shared key, and a confirmable POST of CoAP (RFC 7252) in it.

Arguments: host, port, identity, cipher suite; the key as hex on standard input. Prints the suite and the code of the answer.
"""

import socket
import sys

from mbedtls import tls

host, port, identity, suite = sys.argv[1:5]
key = bytes.fromhex(sys.stdin.read().strip())

configuration = tls.DTLSConfiguration(
    ciphers=[suite],
    pre_shared_key=(identity, key),
    validate_certificates=False,
)
client = tls.ClientContext(configuration).wrap_socket(
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM), server_hostname=None
)
client.settimeout(20)
client.connect((host, int(port)))
while True:
    try:
        client.do_handshake()
        break
    except (tls.WantReadError, tls.WantWriteError):
        pass
print(client.cipher(), flush=True)
# Confirmable, token of one byte, POST, message id 7; Uri-Path: telemetry; the payload.
client.send(b"\x41\x02\x00\x07\x01" + b"\xb9telemetry" + b"\xffsmall")
answer = client.recv(1500)
print(f"{answer[1] >> 5}.{answer[1] & 31:02}", flush=True)
client.close()
