# azure-iot-device over MQTT with azure-storage-blob: one device that uploads files, as the SDK's sample does.
import json
import logging
import os
import sys

from azure.iot.device import IoTHubDeviceClient
from azure.storage.blob import BlobClient

from link import serve

logging.disable(logging.CRITICAL)
CA_FILE = os.environ["NODE_EXTRA_CA_CERTS"]
with open(CA_FILE, encoding="ascii") as pem:
    CA = pem.read()
job = json.loads(sys.stdin.readline())
client = IoTHubDeviceClient.create_from_connection_string(job["connectionString"], server_verification_cert=CA)


def upload(name, file, blob_options, at_once=4):
    ticket = client.get_storage_info_for_blob(name)
    url = "https://{hostName}/{containerName}/{blobName}{sasToken}".format(**ticket)
    try:
        with open(file, "rb") as content:
            with BlobClient.from_blob_url(url, connection_verify=CA_FILE, **blob_options) as blob:
                blob.upload_blob(content, max_concurrency=at_once)
    except Exception as error:
        client.notify_blob_upload_status(ticket["correlationId"], False, 500, str(error))
        raise
    client.notify_blob_upload_status(ticket["correlationId"], True, 200, "done")


serve({"open": client.connect, "upload": upload})
