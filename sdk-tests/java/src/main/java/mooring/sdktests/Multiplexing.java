package mooring.sdktests;

import com.google.gson.JsonObject;
import com.microsoft.azure.sdk.iot.device.DeviceClient;
import com.microsoft.azure.sdk.iot.device.IotHubClientProtocol;
import com.microsoft.azure.sdk.iot.device.MultiplexingClient;
import com.microsoft.azure.sdk.iot.device.MultiplexingClientOptions;
import com.microsoft.azure.sdk.iot.device.transport.IotHubConnectionStatus;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import javax.net.ssl.SSLContext;

/** MultiplexingClient: several devices of iot-device-client on one connection. */
final class Multiplexing {
  /** Makes a device's client of its job, not opened yet. */
  interface Maker {
    DeviceClient make(String device, JsonObject job) throws Exception;
  }

  private final Map<String, MultiplexingClient> connections = new ConcurrentHashMap<>();
  private final Map<String, DeviceClient> devices = new ConcurrentHashMap<>();
  private final SSLContext trust;
  private final Maker maker;

  Multiplexing(SSLContext trust, Maker maker) {
    this.trust = trust;
    this.maker = maker;
  }

  Map<String, Link.Operation> operations() {
    return Map.of(
        "openTogether", args -> open(args.get(0).getAsString(), args.get(1).getAsString(), args.get(2).getAsJsonObject()),
        "join", args -> join(args.get(0).getAsString(), args.get(1).getAsString(), args.get(2).getAsJsonObject()),
        "leave", args -> {
          connections.get(args.get(0).getAsString()).unregisterDeviceClient(devices.get(args.get(1).getAsString()));
          return null;
        },
        "closeTogether", args -> {
          connections.get(args.get(0).getAsString()).close();
          return null;
        });
  }

  /** The protocol is the connection's name. */
  private Object open(String protocol, String host, JsonObject jobs) throws Exception {
    MultiplexingClient connection =
        new MultiplexingClient(
            host,
            IotHubClientProtocol.valueOf(protocol),
            MultiplexingClientOptions.builder().sslContext(trust).build());
    connection.setConnectionStatusChangeCallback(
        change -> {
          Map<String, Object> fields = new LinkedHashMap<>();
          fields.put("connection", protocol);
          fields.put("reason", change.getNewStatusReason().name());
          boolean isConnected = change.getNewStatus() == IotHubConnectionStatus.CONNECTED;
          Link.report(isConnected ? "connection made" : "connection lost", fields);
        },
        null);
    connections.put(protocol, connection);
    for (String device : jobs.keySet()) devices.put(device, maker.make(device, jobs.getAsJsonObject(device)));
    connection.registerDeviceClients(jobs.keySet().stream().map(devices::get).toList());
    connection.open(false);
    return null;
  }

  private Object join(String protocol, String device, JsonObject job) throws Exception {
    devices.put(device, maker.make(device, job));
    connections.get(protocol).registerDeviceClient(devices.get(device));
    return null;
  }
}
