package mooring.sdktests;

import com.azure.core.amqp.AmqpTransportType;
import com.azure.messaging.eventhubs.EventData;
import com.azure.messaging.eventhubs.EventHubClientBuilder;
import com.azure.messaging.eventhubs.EventHubConsumerAsyncClient;
import com.azure.messaging.eventhubs.EventProcessorClient;
import com.azure.messaging.eventhubs.EventProcessorClientBuilder;
import com.azure.messaging.eventhubs.EventHubProperties;
import com.azure.messaging.eventhubs.LoadBalancingStrategy;
import com.azure.messaging.eventhubs.models.EventPosition;
import com.google.gson.JsonObject;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.Base64;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;

/**
 * azure-messaging-eventhubs: reads every partition from its start, with receivers or with the EventProcessorClient, until it
 * has `count` events, then a little longer. Says what arrived as clients/events-read.py does.
 */
final class Events {
  private static final String GROUP = EventHubClientBuilder.DEFAULT_CONSUMER_GROUP_NAME;
  private final JsonObject job;
  private final AmqpTransportType transport;
  private final AtomicLong seen = new AtomicLong();

  Events(JsonObject job) {
    this.job = job;
    boolean isWebSocket = job.has("transport") && job.get("transport").getAsString().equals("WebSocket");
    transport = isWebSocket ? AmqpTransportType.AMQP_WEB_SOCKETS : AmqpTransportType.AMQP;
  }

  void run() throws InterruptedException {
    boolean isProcessor = job.has("mode") && job.get("mode").getAsString().equals("processor");
    if (isProcessor) process();
    else receive();
    long count = job.get("count").getAsLong();
    Link.report(seen.get() < count ? "too few" : "done", Map.of("count", seen.get()));
    // The SDK keeps threads that would hold the process.
    Runtime.getRuntime().halt(0);
  }

  private void receive() throws InterruptedException {
    EventHubConsumerAsyncClient client = new EventHubClientBuilder()
        .connectionString(job.get("connectionString").getAsString())
        .consumerGroup(GROUP)
        .transportType(transport)
        .buildAsyncConsumerClient();
    EventHubProperties hub = client.getEventHubProperties().block();
    Link.report("event hub", Map.of("name", hub.getName(), "partitionIds", hub.getPartitionIds().stream().toList()));
    for (String id : hub.getPartitionIds()) {
      long last = client.getPartitionProperties(id).block().getLastEnqueuedSequenceNumber();
      Link.report("partition", Map.of("partition", id, "last", last));
      client.receiveFromPartition(id, EventPosition.earliest())
          .subscribe(event -> show(id, event.getData()), Events::fail);
    }
    waitFor(job.get("count").getAsLong());
  }

  /** The second processor goes on from the checkpoints of the first, which stops behind `stopAfter` events. */
  private void process() throws InterruptedException {
    Checkpoints store = new Checkpoints();
    long stopAfter = job.has("stopAfter") ? job.get("stopAfter").getAsLong() : 0;
    if (stopAfter > 0) {
      runProcessor(store, stopAfter);
      Link.report("stopped", Map.of("count", seen.get()));
    }
    runProcessor(store, job.get("count").getAsLong());
  }

  private void runProcessor(Checkpoints store, long count) throws InterruptedException {
    EventProcessorClient processor = new EventProcessorClientBuilder()
        .connectionString(job.get("connectionString").getAsString())
        .consumerGroup(GROUP)
        .transportType(transport)
        .checkpointStore(store)
        .loadBalancingStrategy(LoadBalancingStrategy.GREEDY)
        .loadBalancingUpdateInterval(Duration.ofMillis(500))
        .initialPartitionEventPosition(id -> EventPosition.earliest())
        .processEvent(context -> {
          // What comes while it stops is left to the next one.
          if (seen.get() >= count) return;
          show(context.getPartitionContext().getPartitionId(), context.getEventData());
          context.updateCheckpoint();
        })
        .processError(context -> {
          // While it stops, its own schedulers refuse what is under way.
          if (seen.get() < count) fail(context.getThrowable());
        })
        .buildEventProcessorClient();
    processor.start();
    waitFor(count);
    processor.stop();
  }

  private void waitFor(long count) throws InterruptedException {
    Instant end = Instant.now().plusSeconds(120);
    while (seen.get() < count && Instant.now().isBefore(end)) Thread.sleep(20);
    Thread.sleep(500);
  }

  private void show(String partition, EventData event) {
    Map<String, Object> shown = new LinkedHashMap<>();
    Map<String, Object> system = new LinkedHashMap<>();
    event.getSystemProperties().forEach((name, value) -> system.put(name, plain(value)));
    Map<String, Object> properties = new LinkedHashMap<>();
    event.getProperties().forEach((name, value) -> properties.put(name, String.valueOf(value)));
    shown.put("partition", partition);
    shown.put("sequenceNumber", event.getSequenceNumber());
    shown.put("offset", event.getOffsetString());
    shown.put("enqueuedTime", event.getEnqueuedTime().toEpochMilli());
    shown.put("body", Base64.getEncoder().encodeToString(event.getBody()));
    shown.put("properties", properties);
    shown.put("system", system);
    shown.put("messageId", event.getMessageId());
    shown.put("correlationId", event.getCorrelationId());
    shown.put("contentType", event.getContentType());
    Link.report("event", shown);
    seen.incrementAndGet();
  }

  private static Object plain(Object value) {
    if (value instanceof Date time) return time.getTime();
    if (value instanceof Instant time) return time.toEpochMilli();
    if (value instanceof byte[] bytes) return new String(bytes, StandardCharsets.UTF_8);
    return value instanceof Number ? value : String.valueOf(value);
  }

  private static void fail(Throwable error) {
    Link.report("error", Map.of("error", Link.describe(error)));
  }
}
