// A device with iot-device-client: sends five messages, and shows the commands that come meanwhile.
import com.microsoft.azure.sdk.iot.device.ClientOptions;
import com.microsoft.azure.sdk.iot.device.DeviceClient;
import com.microsoft.azure.sdk.iot.device.IotHubClientProtocol;
import com.microsoft.azure.sdk.iot.device.IotHubMessageResult;
import com.microsoft.azure.sdk.iot.device.Message;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

class Device {
  public static void main(String[] args) throws Exception {
    ClientOptions options = ClientOptions.builder().sslContext(trustOf(Path.of("ca.pem"))).build();
    DeviceClient client =
        new DeviceClient(System.getenv("DEVICE_CONNECTION_STRING"), IotHubClientProtocol.MQTT, options);
    client.setMessageCallback(
        (command, context) -> {
          System.out.println("command " + new String(command.getBytes(), StandardCharsets.UTF_8));
          return IotHubMessageResult.COMPLETE;
        },
        null);
    client.open(true);
    for (int n = 1; n <= 5; n++) {
      Message message = new Message("{\"temperature\": " + (20 + n / 2.0) + ", \"humidity\": " + (50 + n) + "}");
      message.setContentType("application/json");
      message.setContentEncoding("utf-8");
      message.setProperty("room", "kitchen");
      client.sendEvent(message); // Returns when the hub has it on disk.
      System.out.println("sent " + n);
      Thread.sleep(1000);
    }
    client.close();
  }

  /** Trust in the hub's own CA. */
  static SSLContext trustOf(Path file) throws Exception {
    KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
    store.load(null, null);
    try (InputStream pem = Files.newInputStream(file)) {
      int n = 0;
      for (Certificate one : CertificateFactory.getInstance("X.509").generateCertificates(pem)) {
        store.setCertificateEntry("hub-" + n++, one);
      }
    }
    TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(store);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, trust.getTrustManagers(), null);
    return context;
  }
}
