# A device with azure-iot-device: sends five messages, and shows the commands that come meanwhile.
import json
import os
import time

from azure.iot.device import IoTHubDeviceClient, Message

with open("ca.pem", encoding="ascii") as file:
    ca = file.read()
client = IoTHubDeviceClient.create_from_connection_string(
    os.environ["DEVICE_CONNECTION_STRING"], server_verification_cert=ca
)
client.on_message_received = lambda command: print("command", command.data.decode(), flush=True)
client.connect()
for n in range(1, 6):
    message = Message(json.dumps({"temperature": 20 + n / 2, "humidity": 50 + n}))
    message.content_type = "application/json"
    message.content_encoding = "utf-8"
    message.custom_properties["room"] = "kitchen"
    client.send_message(message)  # Returns when the hub has it on disk.
    print("sent", n, flush=True)
    time.sleep(1)
client.shutdown()
