package mooring.sdktests;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.microsoft.azure.sdk.iot.service.messaging.AcknowledgementType;
import com.microsoft.azure.sdk.iot.service.messaging.DeliveryAcknowledgement;
import com.microsoft.azure.sdk.iot.service.messaging.ErrorContext;
import com.microsoft.azure.sdk.iot.service.messaging.FeedbackBatch;
import com.microsoft.azure.sdk.iot.service.messaging.FeedbackRecord;
import com.microsoft.azure.sdk.iot.service.messaging.FileUploadNotification;
import com.microsoft.azure.sdk.iot.service.messaging.FileUploadNotificationProcessorClient;
import com.microsoft.azure.sdk.iot.service.messaging.FileUploadNotificationProcessorClientOptions;
import com.microsoft.azure.sdk.iot.service.messaging.IotHubServiceClientProtocol;
import com.microsoft.azure.sdk.iot.service.messaging.Message;
import com.microsoft.azure.sdk.iot.service.messaging.MessageFeedbackProcessorClient;
import com.microsoft.azure.sdk.iot.service.messaging.MessageFeedbackProcessorClientOptions;
import com.microsoft.azure.sdk.iot.service.messaging.MessagingClient;
import com.microsoft.azure.sdk.iot.service.messaging.MessagingClientOptions;
import com.microsoft.azure.sdk.iot.service.registry.Device;
import com.microsoft.azure.sdk.iot.service.registry.DeviceStatus;
import com.microsoft.azure.sdk.iot.service.registry.RegistryClient;
import java.util.Date;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import javax.net.ssl.SSLContext;

/** iot-service-client: sends commands and reads receipts over AMQP, manages identities over HTTPS. */
final class BackEnd {
  private final MessagingClient messaging;
  private final MessageFeedbackProcessorClient feedback;
  private final FileUploadNotificationProcessorClient fileNotifications;
  private final RegistryClient registry;

  BackEnd(SSLContext trust, JsonObject job) {
    String connectionString = job.get("connectionString").getAsString();
    IotHubServiceClientProtocol protocol = IotHubServiceClientProtocol.valueOf(job.get("transport").getAsString());
    messaging =
        new MessagingClient(
            connectionString,
            protocol,
            MessagingClientOptions.builder().sslContext(trust).errorProcessor(BackEnd::disconnected).build());
    feedback =
        new MessageFeedbackProcessorClient(
            connectionString,
            protocol,
            BackEnd::receipts,
            MessageFeedbackProcessorClientOptions.builder()
                .sslContext(trust)
                .errorProcessor(BackEnd::disconnected)
                .build());
    fileNotifications =
        new FileUploadNotificationProcessorClient(
            connectionString,
            protocol,
            BackEnd::fileNotification,
            FileUploadNotificationProcessorClientOptions.builder()
                .sslContext(trust)
                .errorProcessor(BackEnd::disconnected)
                .build());
    registry = new RegistryClient(connectionString);
  }

  Map<String, Link.Operation> operations() {
    return Map.of(
        "open", args -> {
          messaging.open();
          return "open";
        },
        "close", args -> {
          messaging.close();
          return "closed";
        },
        "send", args -> {
          messaging.send(args.get(0).getAsString(), message(args.get(1).getAsJsonObject()));
          return null;
        },
        "receiveReceipts", args -> {
          feedback.start();
          return null;
        },
        "receiveFileNotifications", args -> {
          fileNotifications.start();
          return null;
        },
        "addDevice", args -> shown(registry.addDevice(new Device(args.get(0).getAsString()))),
        "getDevice", args -> shown(registry.getDevice(args.get(0).getAsString())),
        "disableDevice", args -> {
          Device device = registry.getDevice(args.get(0).getAsString());
          device.setStatus(DeviceStatus.Disabled);
          return shown(registry.updateDevice(device));
        },
        "removeDevice", args -> {
          registry.removeDevice(args.get(0).getAsString());
          return null;
        },
        "countDevices", args -> registry.getStatistics().getTotalDeviceCount());
  }

  private static Message message(JsonObject wanted) {
    Message message =
        wanted.has("bodyBytes")
            ? new Message(new byte[wanted.get("bodyBytes").getAsInt()])
            : new Message(wanted.has("text") ? wanted.get("text").getAsString() : "");
    if (wanted.has("messageId")) message.setMessageId(wanted.get("messageId").getAsString());
    if (wanted.has("correlationId")) message.setCorrelationId(wanted.get("correlationId").getAsString());
    if (wanted.has("ack")) message.setDeliveryAcknowledgement(acknowledgement(wanted.get("ack").getAsString()));
    if (wanted.has("expiresInMs")) {
      message.setExpiryTimeUtc(new Date(System.currentTimeMillis() + wanted.get("expiresInMs").getAsLong()));
    }
    if (wanted.has("properties")) {
      Map<String, String> properties = new HashMap<>();
      wanted.getAsJsonObject("properties").entrySet().forEach(one -> properties.put(one.getKey(), one.getValue().getAsString()));
      message.setProperties(properties);
    }
    return message;
  }

  private static DeliveryAcknowledgement acknowledgement(String wish) {
    return switch (wish) {
      case "full" -> DeliveryAcknowledgement.Full;
      case "positive" -> DeliveryAcknowledgement.PositiveOnly;
      case "negative" -> DeliveryAcknowledgement.NegativeOnly;
      default -> DeliveryAcknowledgement.None;
    };
  }

  private static AcknowledgementType receipts(FeedbackBatch batch) {
    for (FeedbackRecord one : batch.getRecords()) {
      Map<String, Object> fields = new LinkedHashMap<>();
      fields.put("originalMessageId", one.getOriginalMessageId());
      fields.put("deviceId", one.getDeviceId());
      fields.put("deviceGenerationId", one.getDeviceGenerationId());
      fields.put("statusCode", statusCode(one));
      fields.put("description", one.getDescription());
      Link.report("receipt", fields);
    }
    return AcknowledgementType.COMPLETE;
  }

  private static AcknowledgementType fileNotification(FileUploadNotification told) {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("deviceId", told.getDeviceId());
    fields.put("blobName", told.getBlobName());
    fields.put("blobUri", String.valueOf(told.getBlobUri()));
    fields.put("blobSizeInBytes", told.getBlobSizeInBytes());
    Link.report("file notification", fields);
    return AcknowledgementType.COMPLETE;
  }

  /** The word of the wire, which the SDK has turned into a name of its own. */
  private static String statusCode(FeedbackRecord record) {
    String name = record.getStatusCode().name();
    return name.substring(0, 1).toUpperCase(Locale.ROOT) + name.substring(1);
  }

  private static void disconnected(ErrorContext context) {
    Throwable error = context.getIotHubException() == null ? context.getNetworkException() : context.getIotHubException();
    Link.report("disconnected", Map.of("error", Link.describe(error)));
  }

  private static Map<String, Object> shown(Device device) {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("deviceId", device.getDeviceId());
    fields.put("status", String.valueOf(device.getStatus()));
    fields.put("generationId", device.getGenerationId());
    fields.put("etag", device.getETag());
    fields.put("primaryKey", device.getPrimaryKey());
    return fields;
  }
}
