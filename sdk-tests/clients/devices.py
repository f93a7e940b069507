# azure-iot-device over MQTT and MQTT over WebSockets: many devices in one process, as clients/devices.mjs.
import base64
import logging
import os
import threading
import time

from azure.iot.device import IoTHubDeviceClient, IoTHubModuleClient, Message, MethodResponse, X509

from link import describe_error, report, serve

logging.disable(logging.CRITICAL)
with open(os.environ["NODE_EXTRA_CA_CERTS"], encoding="ascii") as file:
    CA = file.read()
clients = {}


def message(wanted):
    made = Message(wanted["text"])
    made.custom_properties = dict(wanted.get("properties", {}))
    made.message_id = wanted.get("messageId")
    made.correlation_id = wanted.get("correlationId")
    made.content_type = wanted.get("contentType")
    made.content_encoding = wanted.get("contentEncoding")
    return made


def open_device(device, job):
    options = {"websockets": job["transport"] == "MqttWs", "server_verification_cert": CA}
    if "tokenSeconds" in job:
        # The SDK renews two minutes before the end, whatever the life.
        options["sastoken_ttl"] = job["tokenSeconds"] + 120
    kind = IoTHubModuleClient if job.get("isModule") else IoTHubDeviceClient
    options.update(connection_retry=not job.get("noRetry", False), connection_retry_interval=1)
    if "certificate" in job:
        client = with_certificate(kind, job, options)
    else:
        client = kind.create_from_connection_string(job["connectionString"], **options)
    connects = 0

    def on_state():
        nonlocal connects
        if client.connected:
            connects += 1
            # No callback tells of a new token; over MQTT it comes with a new connection.
            report("connected", device=device)
            if connects > 1 and "tokenSeconds" in job:
                report("token renewed", device=device)
        else:
            report("disconnected", device=device, error=None)

    client.on_connection_state_change = on_state
    client.on_background_exception = lambda error: report("client error", device=device, error=describe_error(error))
    clients[device] = client
    if "outcomes" in job:
        receive(device, job["outcomes"])
    client.connect()


def with_certificate(kind, job, options):
    # The SDK takes no connection string here.
    parts = dict(part.split("=", 1) for part in job["connectionString"].split(";"))
    names = {"hostname": parts["HostName"], "device_id": parts["DeviceId"]}
    if "ModuleId" in parts:
        names["module_id"] = parts["ModuleId"]
    files = X509(job["certificate"]["certFile"], job["certificate"]["keyFile"])
    return kind.create_from_x509_certificate(files, **names, **options)


def receive(device, outcomes):
    # MQTT has one outcome, and the SDK gives it before the application sees the command.
    if any(outcome != "complete" for outcome in outcomes):
        raise ValueError("the SDK completes every command")

    def on_message(command):
        data = command.data if isinstance(command.data, bytes) else str(command.data).encode("utf-8")
        facts = {
            "device": device,
            "outcome": "complete",
            "at": round(time.time() * 1000),
            "messageId": command.message_id,
            "correlationId": command.correlation_id,
            "body": base64.b64encode(data).decode("ascii"),
            "properties": command.custom_properties,
        }
        report("command", **facts)
        report("settled", **facts)

    clients[device].on_message_received = on_message


def watch_twin(device):
    clients[device].on_twin_desired_properties_patch_received = lambda patch: report("desired", device=device, patch=patch)


def answer_methods(device, answers):
    def on_method(request):
        report("method", device=device, name=request.name, payload=request.payload)
        how = answers.get(request.name, 404)
        if how != "silent":
            status = 200 if how == "echo" else how
            clients[device].send_method_response(MethodResponse.create_from_method_request(request, status, request.payload))

    clients[device].on_method_request_received = on_method


def listen_inputs(device):
    clients[device].on_message_received = lambda message: report("input", device=device, name=message.input_name)


def burst(devices, first, count, window):
    failures = []

    def lane(device, numbers):
        try:
            for n in numbers:
                properties = {"device": device, "n": str(n)}
                clients[device].send_message(message({"text": "{} {}".format(device, n), "properties": properties}))
        except Exception as error:
            failures.append(error)

    lanes = [
        threading.Thread(target=lane, args=(device, range(first + at, first + count, window)))
        for device in devices
        for at in range(window)
    ]
    for one in lanes:
        one.start()
    for one in lanes:
        one.join()
    if failures:
        raise failures[0]


serve(
    {
        "open": open_device,
        "close": lambda device: clients[device].shutdown(),
        "send": lambda device, wanted: clients[device].send_message(message(wanted)),
        "sendOutput": lambda device, output, wanted: clients[device].send_message_to_output(message(wanted), output),
        "listenInputs": listen_inputs,
        "receive": receive,
        "getTwin": lambda device: clients[device].get_twin(),
        "report": lambda device, patch: clients[device].patch_twin_reported_properties(patch),
        "watchTwin": watch_twin,
        "answerMethods": answer_methods,
        "burst": burst,
    }
)
