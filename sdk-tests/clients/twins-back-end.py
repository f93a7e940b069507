# azure-iot-hub: twins and methods over REST.
import json
import os
import sys

os.environ["REQUESTS_CA_BUNDLE"] = os.environ["NODE_EXTRA_CA_CERTS"]

from azure.iot.hub import IoTHubConfigurationManager, IoTHubJobManager, IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, Configuration, ConfigurationContent, JobProperties, QuerySpecification, Twin, TwinProperties
from azure.storage.blob import ContainerClient
from msrest.exceptions import HttpOperationError

from link import report, serve

job = json.loads(sys.stdin.readline())
jobs = IoTHubJobManager.from_connection_string(job["connectionString"])
configurations = IoTHubConfigurationManager.from_connection_string(job["connectionString"])
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


def query(text, page_size, kind):
    # Its rows are always twins: of a projection that is what the rows have beside the names of a twin.
    def row(twin):
        if kind == "twins":
            return dict(plain(twin), deviceId=twin.device_id, moduleId=twin.module_id)
        return dict(twin.additional_properties, **({"deviceId": twin.device_id} if twin.device_id else {}))

    pages, token = [], None
    while True:
        page = told(lambda: manager.query_iot_hub(QuerySpecification(query=text), token, page_size))
        pages.append([row(twin) for twin in page.items])
        assert page.type == ("Twin" if kind == "twins" else "Raw"), page.type
        token = page.continuation_token
        if not token:
            return pages


def registry_job(made):
    return {"jobId": made.job_id, "type": made.type, "status": made.status, "failureReason": made.failure_reason}


def export_registry(uri, excludes_keys):
    wish = JobProperties(type="export", output_blob_container_uri=uri, exclude_keys_in_export=excludes_keys)
    return registry_job(told(lambda: jobs.create_import_export_job(wish)))


def import_registry(source, target):
    wish = JobProperties(type="import", input_blob_container_uri=source, output_blob_container_uri=target)
    return registry_job(told(lambda: jobs.create_import_export_job(wish)))


def configuration(verb, *args):
    if verb == "create" or verb == "update":
        wish = Configuration.from_dict(args[0])
        if verb == "create":
            return told(lambda: configurations.create_configuration(wish)).serialize(keep_readonly=True)
        return told(lambda: configurations.update_configuration(wish, wish.etag)).serialize(keep_readonly=True)
    if verb == "get":
        return told(lambda: configurations.get_configuration(args[0])).serialize(keep_readonly=True)
    if verb == "list":
        return [each.serialize(keep_readonly=True) for each in told(lambda: configurations.get_configurations())]
    if verb == "delete":
        return told(lambda: configurations.delete_configuration(args[0]))
    content = ConfigurationContent.from_dict(args[1])
    return told(lambda: configurations.apply_configuration_on_edge_device(args[0], content))


def blob(uri, name):
    container = ContainerClient.from_container_url(uri)
    return container.download_blob(name).readall().decode()


serve(
    {
        "query": query,
        "get": get,
        "patch": patch,
        "replace": replace,
        "invoke": invoke,
        "configuration": configuration,
        "exportRegistry": export_registry,
        "importRegistry": import_registry,
        "registryJob": lambda job_id: registry_job(told(lambda: jobs.get_import_export_job(job_id))),
        "registryJobs": lambda: [registry_job(each) for each in told(jobs.get_import_export_jobs)],
        "cancelRegistryJob": lambda job_id: told(lambda: jobs.cancel_import_export_job(job_id)),
        "blob": blob,
    }
)
