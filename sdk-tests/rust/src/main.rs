//! azure_messaging_eventhubs: reads every partition from its start, with receivers or with the EventProcessor, until it has
//! `count` events, then a little longer. Says what arrived as clients/events-read.py does. One line of JSON is the job.
use azure_core_amqp::message::{AmqpMessageId, AmqpMessageProperties};
use azure_core_amqp::{AmqpSimpleValue, AmqpValue};
use azure_messaging_eventhubs::models::{AmqpTransport, ReceivedEventData, StartPositions};
use azure_messaging_eventhubs::processor::PartitionClient;
use azure_messaging_eventhubs::{
    ConsumerClient, EventProcessor, InMemoryCheckpointStore, OpenReceiverOptions, ProcessorStrategy,
    StartLocation, StartPosition,
};
use base64::Engine;
use futures::StreamExt;
use serde_json::{json, Map, Value};
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn report(event: Value) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{event}").and_then(|()| out.flush()).ok();
}

fn millis(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_millis() as i64)
}

fn property(value: &AmqpSimpleValue) -> Value {
    match value {
        AmqpSimpleValue::String(text) => json!(text),
        other => json!(format!("{other:?}")),
    }
}

fn annotation(value: &AmqpValue) -> Value {
    match value {
        AmqpValue::String(text) => json!(text),
        AmqpValue::TimeStamp(time) => json!(time.0.map(millis)),
        AmqpValue::Long(number) => json!(number),
        other => json!(format!("{other:?}")),
    }
}

fn id(id: &Option<AmqpMessageId>) -> Value {
    match id {
        None => Value::Null,
        Some(AmqpMessageId::String(text)) => json!(text),
        Some(AmqpMessageId::Uuid(uuid)) => json!(uuid.to_string()),
        Some(other) => json!(format!("{other:?}")),
    }
}

fn show(partition: &str, event: &ReceivedEventData) {
    let data = event.event_data();
    let raw = event.raw_amqp_message();
    let none = AmqpMessageProperties::default();
    let own = raw.properties.as_ref().unwrap_or(&none);
    let mut system: Map<String, Value> = event
        .system_properties()
        .iter()
        .map(|(name, value)| (name.clone(), annotation(value)))
        .collect();
    if let Some(user) = &own.user_id {
        system.insert("user-id".into(), json!(String::from_utf8_lossy(user)));
    }
    if let Some(encoding) = &own.content_encoding {
        system.insert("content-encoding".into(), json!(encoding.0));
    }
    let properties: Map<String, Value> = data
        .properties()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), property(value)))
        .collect();
    report(json!({
        "kind": "event",
        "partition": partition,
        "sequenceNumber": event.sequence_number(),
        "offset": event.offset(),
        "enqueuedTime": event.enqueued_time().map(millis),
        "body": base64::engine::general_purpose::STANDARD.encode(data.body().unwrap_or_default()),
        "properties": properties,
        "system": system,
        "messageId": id(&own.message_id),
        "correlationId": id(&own.correlation_id),
        "contentType": own.content_type.as_ref().map(|text| text.0.clone()),
    }));
}

async fn open(job: &Value) -> Result<ConsumerClient, Failure> {
    let mut builder = ConsumerClient::builder();
    if job["transport"] == "WebSocket" {
        builder = builder.with_transport(AmqpTransport::WebSocket);
    }
    let text = job["connectionString"].as_str().ok_or("no connection string")?;
    Ok(builder.open_with_connection_string(text, None).await?)
}

async fn receive(client: Arc<ConsumerClient>, partition: String, seen: Arc<AtomicU64>) -> Result<(), Failure> {
    let options = OpenReceiverOptions {
        start_position: Some(StartPosition { location: StartLocation::Earliest, ..Default::default() }),
        ..Default::default()
    };
    let receiver = client.open_receiver_on_partition(partition.clone(), Some(options)).await?;
    let mut events = receiver.stream_events();
    while let Some(event) = events.next().await {
        show(&partition, &event?);
        seen.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}

/// Runs an EventProcessor that leaves a checkpoint behind every event, until `count` have been seen.
async fn run_processor(
    client: ConsumerClient,
    store: Arc<InMemoryCheckpointStore>,
    count: u64,
    seen: &Arc<AtomicU64>,
) -> Result<(), Failure> {
    let start = StartPositions {
        default: StartPosition { location: StartLocation::Earliest, ..Default::default() },
        ..Default::default()
    };
    let processor = EventProcessor::builder()
        .with_load_balancing_strategy(ProcessorStrategy::Greedy)
        .with_update_interval(azure_core::time::Duration::milliseconds(200))
        .with_partition_expiration_duration(azure_core::time::Duration::seconds(2))
        .with_start_positions(start)
        .build(client, store)
        .await?;
    let running = processor.clone();
    let run = tokio::task::spawn_local(async move { running.run().await });
    let stopping = Arc::new(AtomicBool::new(false));
    let mut pumps = tokio::task::JoinSet::new();
    while seen.load(Ordering::SeqCst) < count {
        let next = tokio::time::timeout(Duration::from_millis(20), processor.next_partition_client()).await;
        if let Ok(client) = next {
            pumps.spawn_local(process(client?, seen.clone(), stopping.clone()));
        }
    }
    stopping.store(true, Ordering::SeqCst);
    while let Some(ended) = pumps.join_next().await {
        ended??;
    }
    processor.shutdown().await?;
    Ok(run.await??)
}

/// An event that was shown has its checkpoint, so that the next processor shows none of them again.
async fn process(client: Arc<PartitionClient>, seen: Arc<AtomicU64>, stopping: Arc<AtomicBool>) -> Result<(), Failure> {
    let partition = client.get_partition_id().to_string();
    let mut events = client.stream_events();
    while !stopping.load(Ordering::SeqCst) {
        let Ok(next) = tokio::time::timeout(Duration::from_millis(20), events.next()).await else { continue };
        let Some(event) = next else { break };
        let event = event?;
        show(&partition, &event);
        client.update_checkpoint(&event).await?;
        seen.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}

fn watch<Work: std::future::Future<Output = Result<(), Failure>> + 'static>(work: Work) {
    tokio::task::spawn_local(async move {
        if let Err(error) = work.await {
            report(json!({"kind": "error", "error": {"name": "EventHubsError", "message": format!("{error:?}")}}));
        }
    });
}

async fn run(job: Value) -> Result<(), Failure> {
    let count = job["count"].as_u64().unwrap_or(0);
    let seen = Arc::new(AtomicU64::new(0));
    let client = open(&job).await?;
    let properties = client.get_eventhub_properties().await?;
    report(json!({"kind": "event hub", "name": properties.name, "partitionIds": properties.partition_ids}));
    for partition in &properties.partition_ids {
        let one = client.get_partition_properties(partition).await?;
        report(json!({"kind": "partition", "partition": partition, "last": one.last_enqueued_sequence_number}));
    }
    let timeout = Duration::from_millis(job["timeoutMs"].as_u64().unwrap_or(120_000));
    if job["mode"] == "processor" {
        // The second one goes on from the checkpoints of the first.
        let store = Arc::new(InMemoryCheckpointStore::new());
        let stop_after = job["stopAfter"].as_u64().unwrap_or(count);
        tokio::time::timeout(timeout, run_processor(client, store.clone(), stop_after, &seen)).await??;
        report(json!({"kind": "stopped", "count": seen.load(Ordering::SeqCst)}));
        // Each of them, as it stopped, still owns its partitions in the store: another one waits until they are unowned.
        tokio::time::timeout(timeout, run_processor(open(&job).await?, store, count, &seen)).await??;
    } else {
        let client = Arc::new(client);
        for partition in properties.partition_ids {
            watch(receive(client.clone(), partition, seen.clone()));
        }
    }
    let deadline = tokio::time::Instant::now() + timeout;
    while seen.load(Ordering::SeqCst) < count && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let kind = if seen.load(Ordering::SeqCst) < count { "too few" } else { "done" };
    report(json!({"kind": kind, "count": seen.load(Ordering::SeqCst)}));
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut line = String::new();
    let job = std::io::stdin().read_line(&mut line).ok().and_then(|_| serde_json::from_str(&line).ok());
    // The streams of the EventProcessor stay on their thread.
    let reading = tokio::task::LocalSet::new();
    if let Err(error) = reading.run_until(run(job.unwrap_or_default())).await {
        report(json!({"kind": "error", "error": {"name": "EventHubsError", "message": format!("{error:?}")}}));
    }
    // The SDK's tasks would hold the process.
    std::process::exit(0);
}
