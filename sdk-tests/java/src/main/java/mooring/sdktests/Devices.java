package mooring.sdktests;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.microsoft.azure.sdk.iot.device.ClientOptions;
import com.microsoft.azure.sdk.iot.device.DeviceClient;
import com.microsoft.azure.sdk.iot.device.InternalClient;
import com.microsoft.azure.sdk.iot.device.IotHubClientProtocol;
import com.microsoft.azure.sdk.iot.device.IotHubMessageResult;
import com.microsoft.azure.sdk.iot.device.Message;
import com.microsoft.azure.sdk.iot.device.MessageProperty;
import com.microsoft.azure.sdk.iot.device.ModuleClient;
import com.microsoft.azure.sdk.iot.device.transport.IotHubConnectionStatus;
import com.microsoft.azure.sdk.iot.device.transport.NoRetry;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import javax.net.ssl.SSLContext;

/** iot-device-client over any of its protocols: many devices in one process, as clients/devices.mjs. */
final class Devices {
  /** How often the HTTPS transport asks for commands. */
  private static final int POLL_MS = 1000;

  private final Map<String, DeviceClient> clients = new ConcurrentHashMap<>();
  /** Those of `clients`, and modules. */
  private final Map<String, InternalClient> all = new ConcurrentHashMap<>();
  private final SSLContext trust;

  private final Path caFile;

  Devices(SSLContext trust, Path caFile) {
    this.trust = trust;
    this.caFile = caFile;
  }

  Map<String, Link.Operation> operations() {
    Map<String, Link.Operation> operations = new LinkedHashMap<>(new Twins(all::get).operations());
    operations.putAll(new Modules(name -> (ModuleClient) all.get(name), Devices::message).operations());
    operations.putAll(new Multiplexing(trust, (device, job) -> (DeviceClient) make(device, job)).operations());
    operations.putAll(Map.of(
        "open", args -> open(args.get(0).getAsString(), args.get(1).getAsJsonObject()),
        "close", args -> close(args.get(0).getAsString()),
        "send", args -> send(args.get(0).getAsString(), args.get(1).getAsJsonObject()),
        "receive", args -> receive(args.get(0).getAsString(), args.get(1).getAsJsonArray()),
        "burst", this::burst));
    return operations;
  }

  private Object open(String device, JsonObject job) throws Exception {
    make(device, job).open(false);
    return null;
  }

  private InternalClient make(String device, JsonObject job) throws Exception {
    IotHubClientProtocol protocol = IotHubClientProtocol.valueOf(job.get("transport").getAsString());
    ClientOptions.ClientOptionsBuilder options = ClientOptions.builder().sslContext(context(job));
    if (protocol == IotHubClientProtocol.HTTPS) options.receiveInterval(POLL_MS);
    if (job.has("tokenSeconds")) options.sasTokenExpiryTime(job.get("tokenSeconds").getAsLong());
    String connectionString = job.get("connectionString").getAsString();
    boolean isModule = job.has("isModule") && job.get("isModule").getAsBoolean();
    InternalClient client =
        isModule
            ? new ModuleClient(connectionString, protocol, options.build())
            : new DeviceClient(connectionString, protocol, options.build());
    if (job.has("noRetry")) client.setRetryPolicy(new NoRetry());
    AtomicInteger connects = new AtomicInteger();
    client.setConnectionStatusChangeCallback(
        change -> {
          Map<String, Object> fields = new LinkedHashMap<>();
          fields.put("device", device);
          Throwable cause = change.getCause();
          fields.put("error", cause == null ? null : Link.describe(cause));
          if (change.getNewStatus() == IotHubConnectionStatus.CONNECTED) {
            Link.report("connected", fields);
            // No callback tells of a new token; over MQTT it comes with a new connection.
            if (connects.incrementAndGet() > 1 && job.has("tokenSeconds")) Link.report("token renewed", fields);
          } else {
            fields.put("reason", change.getNewStatusReason().name());
            Link.report("disconnected", fields);
          }
        },
        null);
    all.put(device, client);
    if (client instanceof DeviceClient own) clients.put(device, own);
    if (job.has("outcomes")) receive(device, job.getAsJsonArray("outcomes"));
    return client;
  }

  private SSLContext context(JsonObject job) throws Exception {
    if (!job.has("certificate")) return trust;
    JsonObject certificate = job.getAsJsonObject("certificate");
    return Trust.withCertificate(
        caFile, Path.of(certificate.get("certFile").getAsString()), Path.of(certificate.get("keyFile").getAsString()));
  }

  private Object close(String device) {
    all.get(device).close();
    return null;
  }

  private Object send(String device, JsonObject wanted) throws Exception {
    all.get(device).sendEvent(message(wanted));
    return null;
  }

  /** Answers the n-th delivery by the n-th outcome, all further ones by the last. */
  private Object receive(String device, JsonArray outcomes) {
    AtomicInteger deliveries = new AtomicInteger();
    clients
        .get(device)
        .setMessageCallback(
            (command, context) -> {
              int at = Math.min(deliveries.getAndIncrement(), outcomes.size() - 1);
              String outcome = outcomes.get(at).getAsString();
              Map<String, Object> facts = shown(device, outcome, command);
              Link.report("command", facts);
              Link.report("settled", facts);
              return IotHubMessageResult.valueOf(outcome.toUpperCase());
            },
            null);
    return null;
  }

  /** Sends messages first, first + 1, ... of each device, `window` under way at a time for each. */
  private Object burst(JsonArray args) throws Exception {
    int first = args.get(1).getAsInt();
    int count = args.get(2).getAsInt();
    int window = args.get(3).getAsInt();
    List<Thread> lanes = new ArrayList<>();
    AtomicReference<Throwable> failure = new AtomicReference<>();
    for (JsonElement device : args.get(0).getAsJsonArray()) {
      Thread lane = new Thread(() -> sendMany(device.getAsString(), first, count, window, failure));
      lane.start();
      lanes.add(lane);
    }
    for (Thread lane : lanes) lane.join();
    if (failure.get() != null) throw new Exception(failure.get());
    return null;
  }

  private void sendMany(String device, int first, int count, int window, AtomicReference<Throwable> failure) {
    Semaphore free = new Semaphore(window);
    CountDownLatch sent = new CountDownLatch(count);
    try {
      for (int n = first; n < first + count; n++) {
        free.acquire();
        Message message = new Message(device + " " + n);
        message.setProperty("device", device);
        message.setProperty("n", Integer.toString(n));
        clients
            .get(device)
            .sendEventAsync(
                message,
                (done, error, context) -> {
                  if (error != null) failure.compareAndSet(null, error);
                  free.release();
                  sent.countDown();
                },
                null);
      }
      sent.await();
    } catch (Throwable error) {
      failure.compareAndSet(null, error);
    }
  }

  private static Message message(JsonObject wanted) {
    Message message = new Message(wanted.get("text").getAsString());
    if (wanted.has("properties")) {
      wanted
          .getAsJsonObject("properties")
          .entrySet()
          .forEach(one -> message.setProperty(one.getKey(), one.getValue().getAsString()));
    }
    if (wanted.has("messageId")) message.setMessageId(wanted.get("messageId").getAsString());
    if (wanted.has("correlationId")) message.setCorrelationId(wanted.get("correlationId").getAsString());
    if (wanted.has("contentType")) message.setContentType(wanted.get("contentType").getAsString());
    if (wanted.has("contentEncoding")) message.setContentEncoding(wanted.get("contentEncoding").getAsString());
    return message;
  }

  private static Map<String, Object> shown(String device, String outcome, Message command) {
    Map<String, Object> facts = new LinkedHashMap<>();
    facts.put("device", device);
    facts.put("outcome", outcome);
    facts.put("at", System.currentTimeMillis());
    facts.put("messageId", command.getMessageId());
    facts.put("correlationId", command.getCorrelationId());
    facts.put("body", Base64.getEncoder().encodeToString(command.getBytes()));
    Map<String, String> properties = new LinkedHashMap<>();
    for (MessageProperty one : command.getProperties()) properties.put(one.getName(), one.getValue());
    facts.put("properties", properties);
    return facts;
  }
}
