package mooring.sdktests;

import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.Collection;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Trust in the hub's own CA, and in no other; a device's own certificate. */
final class Trust {
  static SSLContext of(Path caFile) throws Exception {
    return contextOf(caFile, null);
  }

  /** The same for a device that shows a certificate: its own and those above it in one file, the key (EC, PKCS #8) in another. */
  static SSLContext withCertificate(Path caFile, Path certFile, Path keyFile) throws Exception {
    String pem = Files.readString(keyFile).replaceAll("-----[A-Z ]+-----|\\s", "");
    PrivateKey key =
        KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(pem)));
    KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
    store.load(null, null);
    char[] password = "in memory alone".toCharArray();
    store.setKeyEntry("device", key, password, certificatesOf(certFile).toArray(Certificate[]::new));
    KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
    keys.init(store, password);
    return contextOf(caFile, keys.getKeyManagers());
  }

  private static SSLContext contextOf(Path caFile, KeyManager[] keys) throws Exception {
    TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(storeOf(caFile));
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(keys, trust.getTrustManagers(), null);
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
    int n = 0;
    for (Certificate one : certificatesOf(caFile)) store.setCertificateEntry("hub-" + n++, one);
    return store;
  }

  private static Collection<? extends Certificate> certificatesOf(Path file) throws Exception {
    try (InputStream pem = Files.newInputStream(file)) {
      return CertificateFactory.getInstance("X.509").generateCertificates(pem);
    }
  }

  private Trust() {}
}
