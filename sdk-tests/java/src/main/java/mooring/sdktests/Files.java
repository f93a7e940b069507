package mooring.sdktests;

import com.azure.storage.blob.BlobClient;
import com.azure.storage.blob.BlobClientBuilder;
import com.azure.storage.blob.models.ParallelTransferOptions;
import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.microsoft.azure.sdk.iot.device.ClientOptions;
import com.microsoft.azure.sdk.iot.device.DeviceClient;
import com.microsoft.azure.sdk.iot.device.FileUploadCompletionNotification;
import com.microsoft.azure.sdk.iot.device.FileUploadSasUriRequest;
import com.microsoft.azure.sdk.iot.device.FileUploadSasUriResponse;
import com.microsoft.azure.sdk.iot.device.IotHubClientProtocol;
import com.microsoft.azure.storage.blob.BlobRequestOptions;
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
        "upload", args -> upload(args.get(0).getAsString(), args.get(1).getAsString(), blocks(args), args.get(2).getAsString()));
  }

  /** Of an upload in many blocks at once. */
  private record Blocks(int bytes, int atOnce) {}

  private static Blocks blocks(JsonArray args) {
    return args.size() < 5 ? null : new Blocks(args.get(3).getAsInt(), args.get(4).getAsInt());
  }

  private Object upload(String name, String file, Blocks blocks, String library) throws Exception {
    FileUploadSasUriResponse response = client.getFileUploadSasUri(new FileUploadSasUriRequest(name));
    boolean isDone = false;
    try {
      put(response.getBlobUri(), file, blocks, library);
      isDone = true;
    } finally {
      client.completeFileUpload(new FileUploadCompletionNotification(response.getCorrelationId(), isDone));
    }
    return null;
  }

  private static void put(URI uri, String file, Blocks blocks, String library) throws Exception {
    switch (library) {
      case "azure-storage" -> {
        CloudBlockBlob blob = new CloudBlockBlob(uri);
        BlobRequestOptions options = new BlobRequestOptions();
        if (blocks != null) {
          blob.setStreamWriteSizeInBytes(blocks.bytes());
          // The least that the library takes.
          options.setSingleBlobPutThresholdInBytes(1024 * 1024);
          options.setConcurrentRequestCount(blocks.atOnce());
        }
        blob.uploadFromFile(file, null, options, null);
      }
      case "azure-storage-blob" -> {
        BlobClient blob = new BlobClientBuilder().endpoint(uri.toString()).buildClient();
        ParallelTransferOptions options = new ParallelTransferOptions();
        if (blocks != null) {
          options.setBlockSizeLong((long) blocks.bytes()).setMaxSingleUploadSizeLong((long) blocks.bytes());
          options.setMaxConcurrency(blocks.atOnce());
        }
        blob.uploadFromFile(file, options, null, null, null, null, null);
      }
      default -> throw new IllegalArgumentException(library);
    }
  }
}
