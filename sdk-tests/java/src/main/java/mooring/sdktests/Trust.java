package mooring.sdktests;

import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Trust in the hub's own CA, and in no other. */
final class Trust {
  static SSLContext of(Path caFile) throws Exception {
    TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(storeOf(caFile));
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, trust.getTrustManagers(), null);
    return context;
  }

  /** For libraries that take no context: they read the file that the JVM's own property names. */
  static void asDefaultStore(Path caFile) throws Exception {
    Path file = Files.createTempFile("mooring-trust", ".p12");
    file.toFile().deleteOnExit();
    char[] password = "of certificates alone".toCharArray();
    try (OutputStream out = Files.newOutputStream(file)) {
      storeOf(caFile).store(out, password);
    }
    System.setProperty("javax.net.ssl.trustStore", file.toString());
    System.setProperty("javax.net.ssl.trustStorePassword", new String(password));
  }

  private static KeyStore storeOf(Path caFile) throws Exception {
    KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
    store.load(null, null);
    try (InputStream pem = Files.newInputStream(caFile)) {
      int n = 0;
      for (Certificate one : CertificateFactory.getInstance("X.509").generateCertificates(pem)) {
        store.setCertificateEntry("hub-" + n++, one);
      }
    }
    return store;
  }

  private Trust() {}
}
