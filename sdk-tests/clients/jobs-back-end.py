# azure-iot-hub: jobs over REST, by IoTHubJobManager and IoTHubRegistryManager.
import datetime
import json
import os
import sys

os.environ["REQUESTS_CA_BUNDLE"] = os.environ["NODE_EXTRA_CA_CERTS"]

from azure.iot.hub import IoTHubJobManager, IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, JobRequest, QuerySpecification, Twin, TwinProperties
from msrest.exceptions import HttpOperationError

from link import serve

job = json.loads(sys.stdin.readline())
jobs = IoTHubJobManager.from_connection_string(job["connectionString"])
registry = IoTHubRegistryManager.from_connection_string(job["connectionString"])


def told(work):
    try:
        return work()
    except HttpOperationError as error:
        # The code of the hub is in the body only.
        raise RuntimeError("{} {}".format(error.response.status_code, error.response.text)) from None


def shown(answer):
    of = answer.device_job_statistics
    return {
        "jobId": answer.job_id,
        "type": answer.type,
        "status": answer.status,
        "queryCondition": answer.query_condition,
        "statistics": {"devices": of.device_count, "succeeded": of.succeeded_count, "failed": of.failed_count},
    }


def schedule(job_id, condition, time, seconds, **work):
    start = None if time is None else datetime.datetime.fromtimestamp(time / 1000, datetime.timezone.utc)
    request = JobRequest(
        job_id=job_id,
        query_condition=condition,
        start_time=start,
        max_execution_time_in_seconds=seconds,
        **work,
    )
    return shown(told(lambda: jobs.create_scheduled_job(job_id, request)))


def twins(job_id, condition, patch, time, seconds):
    desired = patch.get("properties", {}).get("desired")
    twin = Twin(etag="*", tags=patch.get("tags"), properties=desired and TwinProperties(desired=desired))
    return schedule(job_id, condition, time, seconds, type="scheduleUpdateTwin", update_twin=twin)


def methods(job_id, condition, method, time, seconds):
    call = CloudToDeviceMethod(
        method_name=method["methodName"],
        payload=method.get("payload"),
        response_timeout_in_seconds=method["responseTimeoutInSeconds"],
        connect_timeout_in_seconds=0,
    )
    return schedule(job_id, condition, time, seconds, type="scheduleDeviceMethod", cloud_to_device_method=call)


def records(text, page_size):
    # Its rows are always twins: what a record has beside the names of a twin is in `additional_properties`.
    pages, token = [], None
    while True:
        page = told(lambda: registry.query_iot_hub(QuerySpecification(query=text), token, page_size))
        assert page.type == "DeviceJob", page.type
        pages.append([dict(row.additional_properties, deviceId=row.device_id, status=row.status) for row in page.items])
        token = page.continuation_token
        if not token:
            return pages


serve(
    {
        "twins": twins,
        "methods": methods,
        "get": lambda job_id: shown(told(lambda: jobs.get_scheduled_job(job_id))),
        "cancel": lambda job_id: shown(told(lambda: jobs.cancel_scheduled_job(job_id))),
        "records": records,
    }
)
