package mooring.sdktests;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.microsoft.azure.sdk.iot.device.InternalClient;
import com.microsoft.azure.sdk.iot.device.IotHubStatusCode;
import com.microsoft.azure.sdk.iot.device.exceptions.IotHubClientException;
import com.microsoft.azure.sdk.iot.device.twin.DirectMethodResponse;
import com.microsoft.azure.sdk.iot.device.twin.Twin;
import com.microsoft.azure.sdk.iot.device.twin.TwinCollection;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Function;

/** What devices and modules of iot-device-client do with their twins and methods. */
final class Twins {
  private static final Gson GSON = new GsonBuilder().serializeNulls().create();
  private static final int ANSWER_MS = 3000;
  /** For two minutes: a hub of three nodes is away for one while a busy machine starts them. */
  private static final int TRIES = 40;
  private final Function<String, InternalClient> clients;

  Twins(Function<String, InternalClient> clients) {
    this.clients = clients;
  }

  Map<String, Link.Operation> operations() {
    return Map.of(
        "getTwin", args -> getTwin(args.get(0).getAsString()),
        "report", args -> report(args.get(0).getAsString(), args.get(1).getAsJsonObject()),
        "watchTwin", args -> watch(args.get(0).getAsString()),
        "answerMethods", args -> answer(args.get(0).getAsString(), args.get(1).getAsJsonObject()));
  }

  private interface Work<T> {
    T run() throws Exception;
  }

  /** The SDK loses an answer that is there before it has noted its own request: asked again, as an application must. */
  private static <T> T untilAnswered(Work<T> work) throws Exception {
    for (int tries = 1; ; tries++) {
      try {
        return work.run();
      } catch (IotHubClientException error) {
        boolean isLost = error.getStatusCode() == IotHubStatusCode.DEVICE_OPERATION_TIMED_OUT;
        if (!isLost || tries == TRIES) throw error;
        Link.report("answer lost", Map.of("tries", tries));
      }
    }
  }

  private Object getTwin(String device) throws Exception {
    Twin twin = untilAnswered(() -> clients.apply(device).getTwin(ANSWER_MS));
    return Map.of("desired", shown(twin.getDesiredProperties()), "reported", shown(twin.getReportedProperties()));
  }

  private Object report(String device, JsonObject patch) throws Exception {
    TwinCollection changed = new TwinCollection();
    patch.entrySet().forEach(one -> changed.put(one.getKey(), GSON.fromJson(one.getValue(), Object.class)));
    untilAnswered(() -> clients.apply(device).updateReportedProperties(changed, ANSWER_MS));
    return null;
  }

  private Object watch(String device) throws Exception {
    clients
        .apply(device)
        .subscribeToDesiredProperties(
            (twin, context) ->
                Link.report("desired", Map.of("device", device, "patch", shown(twin.getDesiredProperties()))),
            null);
    return null;
  }

  /** The SDK keeps the version beside the values; `$version` shows it as the other clients do. */
  private static Map<String, Object> shown(TwinCollection section) {
    Map<String, Object> all = new LinkedHashMap<>(section);
    all.put("$version", section.getVersion());
    return all;
  }

  private Object answer(String device, JsonObject answers) throws Exception {
    clients
        .apply(device)
        .subscribeToMethods(
            (name, payload, context) -> {
              JsonElement came = payload == null ? null : payload.getPayloadAsJsonElement();
              Map<String, Object> facts = new LinkedHashMap<>();
              facts.put("device", device);
              facts.put("name", name);
              facts.put("payload", came);
              Link.report("method", facts);
              JsonElement how = answers.get(name);
              if (how == null) return new DirectMethodResponse(404, null);
              boolean isSilent = how.getAsString().equals("silent");
              if (isSilent) sleep();
              int status = isSilent || how.getAsString().equals("echo") ? 200 : how.getAsInt();
              return new DirectMethodResponse(status, came == null ? JsonNull.INSTANCE : came);
            },
            null);
    return null;
  }

  /** Longer than any method of the tests waits for its answer; the SDK must give one. */
  private static void sleep() {
    try {
      Thread.sleep(120_000);
    } catch (InterruptedException stop) {
      Thread.currentThread().interrupt();
    }
  }
}
