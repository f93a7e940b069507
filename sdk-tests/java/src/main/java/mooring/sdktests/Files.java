package mooring.sdktests;

import com.azure.storage.blob.BlobClientBuilder;
import com.google.gson.JsonObject;
import com.microsoft.azure.sdk.iot.device.ClientOptions;
import com.microsoft.azure.sdk.iot.device.DeviceClient;
import com.microsoft.azure.sdk.iot.device.FileUploadCompletionNotification;
import com.microsoft.azure.sdk.iot.device.FileUploadSasUriRequest;
import com.microsoft.azure.sdk.iot.device.FileUploadSasUriResponse;
import com.microsoft.azure.sdk.iot.device.IotHubClientProtocol;
import com.microsoft.azure.storage.blob.CloudBlockBlob;
import java.net.URI;
import java.util.Map;
import javax.net.ssl.SSLContext;

/** iot-device-client: one device uploads files by one of the two storage libraries. */
final class Files {
  private final DeviceClient client;

  Files(SSLContext trust, JsonObject job) throws Exception {
    ClientOptions options = ClientOptions.builder().sslContext(trust).build();
    IotHubClientProtocol protocol = IotHubClientProtocol.valueOf(job.get("transport").getAsString());
    client = new DeviceClient(job.get("connectionString").getAsString(), protocol, options);
  }

  Map<String, Link.Operation> operations() {
    return Map.of(
        "open", args -> {
          client.open(false);
          return null;
        },
        "upload", args -> upload(args.get(0).getAsString(), args.get(1).getAsString(), args.get(2).getAsString()));
  }

  private Object upload(String name, String file, String library) throws Exception {
    FileUploadSasUriResponse response = client.getFileUploadSasUri(new FileUploadSasUriRequest(name));
    boolean isDone = false;
    try {
      put(response.getBlobUri(), file, library);
      isDone = true;
    } finally {
      client.completeFileUpload(new FileUploadCompletionNotification(response.getCorrelationId(), isDone));
    }
    return null;
  }

  private static void put(URI uri, String file, String library) throws Exception {
    switch (library) {
      case "azure-storage" -> new CloudBlockBlob(uri).uploadFromFile(file);
      case "azure-storage-blob" -> new BlobClientBuilder().endpoint(uri.toString()).buildClient().uploadFromFile(file);
      default -> throw new IllegalArgumentException(library);
    }
  }
}
