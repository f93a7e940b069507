# Apache Qpid Proton as a device without an SDK for devices: logs in by SASL PLAIN, or by CBS with tokens that it renews.
import base64
import hashlib
import hmac
import json
import os
import sys
import time
import urllib.parse
import uuid

from proton import Message, SSLDomain
from proton.utils import BlockingConnection

from link import describe_error, report

TIMEOUT_S = 30
job = json.loads(sys.stdin.readline())
resource = "{}/devices/{}".format(job["host"], job["deviceId"])


def token(seconds):
    name = urllib.parse.quote(resource, safe="")
    expiry = int(time.time()) + seconds
    text = "{}\n{}".format(name, expiry).encode("utf-8")
    digest = hmac.new(base64.b64decode(job["key"]), text, hashlib.sha256).digest()
    signature = urllib.parse.quote(base64.b64encode(digest), safe="")
    return "SharedAccessSignature sr={}&sig={}&se={}".format(name, signature, expiry)


def connect():
    domain = SSLDomain(SSLDomain.MODE_CLIENT)
    domain.set_trusted_ca_db(os.environ["NODE_EXTRA_CA_CERTS"])
    domain.set_peer_authentication(SSLDomain.VERIFY_PEER_NAME)
    login = {"allowed_mechs": "ANONYMOUS"}
    if job["login"] == "PLAIN":
        user = "{}@sas.{}".format(job["deviceId"], job["hubName"])
        login = {"allowed_mechs": "PLAIN", "user": user, "password": token(600)}
    url = "amqps://{}:5671".format(job["host"])
    return BlockingConnection(url, timeout=TIMEOUT_S, ssl_domain=domain, heartbeat=60, **login)


class Tokens:
    """Puts tokens at the node $cbs."""

    def __init__(self, connection):
        self.sender = connection.create_sender("$cbs")
        self.receiver = connection.create_receiver("$cbs", credit=10)

    def put(self, seconds):
        properties = {"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": resource}
        self.sender.send(Message(body=token(seconds), id=str(uuid.uuid4()), properties=properties))
        answer = self.receiver.receive(timeout=TIMEOUT_S)
        status = answer.properties["status-code"]
        if status != 200:
            raise RuntimeError("put-token was answered {}".format(status))


def run():
    connection = connect()
    tokens = Tokens(connection) if job["login"] == "CBS" else None
    life = job["tokenSeconds"]
    if tokens:
        tokens.put(life)
    renew_at = time.monotonic() + life / 2
    address = "/devices/{}/messages/".format(job["deviceId"])
    sender = connection.create_sender(address + "events")
    receiver = connection.create_receiver(address + "devicebound", credit=10)
    renewed = 0
    for n in range(job["messages"]):
        message = Message(body="message {}".format(n).encode("utf-8"), id=uuid.UUID(job["messageId"]), properties={"n": str(n)})
        message.inferred = True
        sender.send(message)
        time.sleep(job["pauseSeconds"])
        if tokens and time.monotonic() > renew_at:
            tokens.put(life)
            renewed += 1
            renew_at = time.monotonic() + life / 2
    report("sent", count=job["messages"], renewed=renewed)
    command = receiver.receive(timeout=TIMEOUT_S)
    receiver.accept()
    report("command", messageId=command.id, body=base64.b64encode(bytes(command.body)).decode("ascii"))
    connection.close()


try:
    run()
except Exception as error:
    report("error", error=describe_error(error))
