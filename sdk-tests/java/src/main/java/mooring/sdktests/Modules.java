package mooring.sdktests;

import com.google.gson.JsonObject;
import com.microsoft.azure.sdk.iot.device.IotHubMessageResult;
import com.microsoft.azure.sdk.iot.device.Message;
import com.microsoft.azure.sdk.iot.device.ModuleClient;
import java.util.Map;
import java.util.function.Function;

/** What modules of iot-device-client do beside what they share with devices. */
final class Modules {
  private final Function<String, ModuleClient> clients;
  private final Function<JsonObject, Message> messages;

  /**
   * @param clients by the names that the test gives
   * @param messages makes the SDK's message of what the test wants
   */
  Modules(Function<String, ModuleClient> clients, Function<JsonObject, Message> messages) {
    this.clients = clients;
    this.messages = messages;
  }

  Map<String, Link.Operation> operations() {
    return Map.of(
        "sendOutput", args -> {
          Message message = messages.apply(args.get(2).getAsJsonObject());
          clients.apply(args.get(0).getAsString()).sendEvent(message, args.get(1).getAsString());
          return null;
        },
        "listenInputs", args -> listen(args.get(0).getAsString()));
  }

  private Object listen(String device) {
    clients
        .apply(device)
        .setMessageCallback(
            (message, context) -> {
              Link.report("input", Map.of("device", device, "name", String.valueOf(message.getInputName())));
              return IotHubMessageResult.COMPLETE;
            },
            null);
    return null;
  }
}
