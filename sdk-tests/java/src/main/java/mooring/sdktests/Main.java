package mooring.sdktests;

import com.google.gson.JsonObject;
import java.nio.file.Path;
import javax.net.ssl.SSLContext;

/** `Main devices`, `files`, `back-end`, `twins-back-end`, `jobs-back-end` or `events`; the CA's file comes in NODE_EXTRA_CA_CERTS, as for the other clients. */
public final class Main {
  public static void main(String[] args) throws Exception {
    Path caFile = Path.of(System.getenv("NODE_EXTRA_CA_CERTS"));
    SSLContext trust = Trust.of(caFile);
    // RegistryClient takes no context of its own, and the HTTP client of azure-storage-blob not even the default one.
    Trust.asDefaultStore(caFile);
    SSLContext.setDefault(trust);
    Link link = new Link();
    JsonObject job = link.job();
    switch (args[0]) {
      case "devices" -> link.serve(new Devices(trust, caFile).operations());
      case "files" -> link.serve(new Files(trust, job).operations());
      case "events" -> new Events(job).run();
      case "jobs-back-end" -> link.serve(new JobsBackEnd(job).operations());
      case "twins-back-end" -> link.serve(new TwinsBackEnd(job).operations());
      case "back-end" -> link.serve(new BackEnd(trust, job).operations());
      default -> throw new IllegalArgumentException(args[0]);
    }
  }

  private Main() {}
}
