// A device by Eclipse Californium: sends a small message and one in blocks, reads its twin, and takes a command.
import java.net.InetSocketAddress;
import java.util.HexFormat;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.eclipse.californium.core.CoapClient;
import org.eclipse.californium.core.CoapHandler;
import org.eclipse.californium.core.CoapResponse;
import org.eclipse.californium.core.coap.MediaTypeRegistry;
import org.eclipse.californium.core.config.CoapConfig;
import org.eclipse.californium.core.network.CoapEndpoint;
import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.californium.scandium.DTLSConnector;
import org.eclipse.californium.scandium.config.DtlsConfig;
import org.eclipse.californium.scandium.config.DtlsConnectorConfig;
import org.eclipse.californium.scandium.dtls.pskstore.AdvancedSinglePskStore;

public class Device {
  /** Arguments: the URI without a path, the query that each request has ('' = none), and for coaps the identity. The key comes by standard input, as hex. */
  public static void main(String[] args) throws Exception {
    CoapConfig.register();
    DtlsConfig.register();
    Configuration config = Configuration.createStandardWithoutFile();
    CoapEndpoint.Builder builder = new CoapEndpoint.Builder().setConfiguration(config);
    if (args.length > 2) {
      String key = new String(System.in.readAllBytes()).trim();
      DtlsConnectorConfig.Builder dtls = DtlsConnectorConfig.builder(config)
          .setAddress(new InetSocketAddress("127.0.0.1", 0))
          .setAdvancedPskStore(new AdvancedSinglePskStore(args[2], HexFormat.of().parseHex(key)));
      builder.setConnector(new DTLSConnector(dtls.build()));
    } else {
      builder.setInetSocketAddress(new InetSocketAddress("127.0.0.1", 0));
    }
    CoapEndpoint endpoint = builder.build();
    String query = args[1];
    say("small", client(endpoint, args[0] + "/telemetry" + query).post("small", MediaTypeRegistry.TEXT_PLAIN));
    say("large", client(endpoint, args[0] + "/telemetry" + query).post("x".repeat(20000), MediaTypeRegistry.TEXT_PLAIN));
    say("twin", client(endpoint, args[0] + "/twin" + query).get());
    CountDownLatch taken = new CountDownLatch(1);
    client(endpoint, args[0] + "/commands" + query).observe(new CoapHandler() {
      public void onLoad(CoapResponse response) {
        say(response.getResponseText().isEmpty() ? "observes" : "command", response);
        if (!response.getResponseText().isEmpty()) taken.countDown();
      }
      public void onError() {
        System.out.println("error");
      }
    });
    taken.await(20, TimeUnit.SECONDS);
    // Its acknowledgement is on its way.
    Thread.sleep(200);
    System.exit(0);
  }

  private static CoapClient client(CoapEndpoint endpoint, String uri) {
    return new CoapClient(uri).setEndpoint(endpoint).setTimeout(15000L);
  }

  private static void say(String what, CoapResponse response) {
    System.out.println(what + " " + (response == null ? "none" : response.getCode() + " " + response.getResponseText()));
  }
}
