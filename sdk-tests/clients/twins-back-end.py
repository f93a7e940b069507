# azure-iot-hub: twins and methods over REST.
import json
import os
import sys

os.environ["REQUESTS_CA_BUNDLE"] = os.environ["NODE_EXTRA_CA_CERTS"]

from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, Twin, TwinProperties
from msrest.exceptions import HttpOperationError

from link import report, serve

job = json.loads(sys.stdin.readline())
manager = IoTHubRegistryManager.from_connection_string(job["connectionString"])


def told(work):
    try:
        return work()
    except HttpOperationError as error:
        # The code of the hub is in the body only.
        raise RuntimeError("{} {}".format(error.response.status_code, error.response.text)) from None


def plain(twin):
    properties = {"desired": twin.properties.desired, "reported": twin.properties.reported}
    return {"etag": twin.etag, "version": twin.version, "tags": twin.tags, "properties": properties}


def wanted(patch):
    desired = patch.get("properties", {}).get("desired")
    return Twin(tags=patch.get("tags"), properties=desired and TwinProperties(desired=desired))


def get(device, module):
    return plain(told(lambda: manager.get_module_twin(device, module) if module else manager.get_twin(device)))


def patch(device, module, change, etag):
    twin = wanted(change)
    if module:
        return plain(told(lambda: manager.update_module_twin(device, module, twin, etag)))
    return plain(told(lambda: manager.update_twin(device, twin, etag)))


def replace(device, module, change, etag):
    twin = wanted(change)
    if module:
        return plain(told(lambda: manager.replace_module_twin(device, module, twin, etag)))
    return plain(told(lambda: manager.replace_twin(device, twin, etag)))


def invoke(device, module, request):
    method = CloudToDeviceMethod(
        method_name=request["methodName"],
        payload=request.get("payload"),
        response_timeout_in_seconds=request.get("responseTimeoutInSeconds"),
        connect_timeout_in_seconds=request.get("connectTimeoutInSeconds"),
    )
    if module:
        result = told(lambda: manager.invoke_device_module_method(device, module, method))
    else:
        result = told(lambda: manager.invoke_device_method(device, method))
    return {"status": result.status, "payload": result.payload}


serve({"get": get, "patch": patch, "replace": replace, "invoke": invoke})
