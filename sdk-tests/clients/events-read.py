# azure-eventhub over TLS: reads every partition from its start, or the given position, until it has `count` events, then a little longer.
import base64
import datetime
import json
import os
import sys
import threading
import time

from azure.eventhub import EventHubConsumerClient


def report(kind, **fields):
    sys.stdout.write(json.dumps({"kind": kind, **fields}) + "\n")
    sys.stdout.flush()


def text(value):
    return value.decode("utf-8") if isinstance(value, bytes) else value


def plain(mapping):
    return {text(k): (v if isinstance(v, (int, float, bool, type(None))) else str(text(v))) for k, v in (mapping or {}).items()}


job = json.loads(sys.stdin.readline())
client = EventHubConsumerClient.from_connection_string(
    job["connectionString"],
    consumer_group=job.get("consumerGroup", "$Default"),
    connection_verify=os.environ["NODE_EXTRA_CA_CERTS"],
)
hub = client.get_eventhub_properties()
report("event hub", name=hub["eventhub_name"], partitionIds=hub["partition_ids"])
seen = 0
lock = threading.Lock()
enough = threading.Event()


def on_event_batch(context, events):
    global seen
    with lock:
        for event in events:
            report(
                "event",
                partition=context.partition_id,
                sequenceNumber=event.sequence_number,
                offset=event.offset,
                enqueuedTime=round(event.enqueued_time.timestamp() * 1000),
                body=base64.b64encode(b"".join(event.body)).decode(),
                properties=plain(event.properties),
                system=plain(event.system_properties),
                messageId=text(event.message_id),
                correlationId=text(event.correlation_id),
                contentType=text(event.content_type),
            )
        seen += len(events)
        if seen >= job["count"]:
            enough.set()


def on_error(context, error):
    report("error", error={"name": type(error).__name__, "message": str(error)})


def position(wish):
    if "time" in wish:
        return datetime.datetime.fromtimestamp(wish["time"] / 1000, datetime.timezone.utc)
    return wish["sequenceNumber"] if "sequenceNumber" in wish else wish["offset"]


positions = {partition: position(wish) for partition, wish in job.get("positions", {}).items()}
starting = {partition: positions.get(partition, "-1") for partition in hub["partition_ids"]}

receiving = threading.Thread(
    target=lambda: client.receive_batch(
        on_event_batch, on_error=on_error, starting_position=starting, max_batch_size=300, max_wait_time=1
    ),
    daemon=True,
)
receiving.start()
in_time = enough.wait(job.get("timeoutMs", 120_000) / 1000)
time.sleep(0.5)
report("done" if in_time else "too few", count=seen)
os._exit(0)
