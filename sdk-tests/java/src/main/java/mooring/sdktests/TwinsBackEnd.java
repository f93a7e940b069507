package mooring.sdktests;

import com.google.gson.Gson;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.reflect.TypeToken;
import com.microsoft.azure.sdk.iot.service.configurations.Configuration;
import com.microsoft.azure.sdk.iot.service.configurations.ConfigurationContent;
import com.microsoft.azure.sdk.iot.service.configurations.ConfigurationMetrics;
import com.microsoft.azure.sdk.iot.service.configurations.ConfigurationsClient;
import com.microsoft.azure.sdk.iot.service.exceptions.IotHubException;
import com.microsoft.azure.sdk.iot.service.methods.DirectMethodRequestOptions;
import com.microsoft.azure.sdk.iot.service.methods.DirectMethodResponse;
import com.microsoft.azure.sdk.iot.service.methods.DirectMethodsClient;
import com.microsoft.azure.sdk.iot.service.query.QueryClient;
import com.microsoft.azure.sdk.iot.service.query.QueryPageOptions;
import com.microsoft.azure.sdk.iot.service.query.RawQueryResponse;
import com.microsoft.azure.sdk.iot.service.query.TwinQueryResponse;
import com.microsoft.azure.sdk.iot.service.registry.RegistryClient;
import com.microsoft.azure.sdk.iot.service.registry.RegistryJob;
import com.microsoft.azure.sdk.iot.service.twin.Twin;
import com.microsoft.azure.sdk.iot.service.twin.TwinClient;
import com.microsoft.azure.sdk.iot.service.twin.TwinCollection;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** iot-service-client: twins and methods over REST. */
final class TwinsBackEnd {
  private static final Gson GSON = new Gson();
  private final TwinClient twins;
  private final DirectMethodsClient methods;
  private final RegistryClient registry;
  private final QueryClient queries;
  private final ConfigurationsClient configurations;

  TwinsBackEnd(JsonObject job) {
    String connectionString = job.get("connectionString").getAsString();
    twins = new TwinClient(connectionString);
    methods = new DirectMethodsClient(connectionString);
    registry = new RegistryClient(connectionString);
    queries = new QueryClient(connectionString);
    configurations = new ConfigurationsClient(connectionString);
  }

  private static Map<String, Object> shown(RegistryJob job) {
    Map<String, Object> all = new LinkedHashMap<>();
    all.put("jobId", job.getJobId());
    all.put("type", String.valueOf(job.getType()).toLowerCase());
    all.put("status", String.valueOf(job.getStatus()).toLowerCase());
    all.put("failureReason", job.getFailureReason());
    return all;
  }

  /** One verb of configurations, with what each takes. */
  private Object configuration(String verb, JsonArray args) throws Exception {
    switch (verb) {
      case "create":
        return shown(configurations.create(wantedConfiguration(args.get(1).getAsJsonObject())));
      case "get":
        return shown(configurations.get(args.get(1).getAsString()));
      case "list": {
        List<Object> all = new ArrayList<>();
        for (Configuration each : configurations.get(20)) all.add(shown(each));
        return all;
      }
      case "update": {
        JsonObject wanted = args.get(1).getAsJsonObject();
        Configuration current = configurations.get(wanted.get("id").getAsString());
        current.setPriority(wanted.get("priority").getAsInt());
        current.setEtag(wanted.get("etag").getAsString());
        return shown(configurations.replace(current));
      }
      case "delete":
        configurations.delete(args.get(1).getAsString());
        return Map.of();
      default:
        configurations.applyConfigurationContentOnDevice(args.get(1).getAsString(), content(args.get(2).getAsJsonObject()));
        return Map.of();
    }
  }

  private static Configuration wantedConfiguration(JsonObject wanted) {
    Configuration configuration = new Configuration(wanted.get("id").getAsString());
    configuration.setContent(content(wanted.getAsJsonObject("content")));
    configuration.setTargetCondition(wanted.get("targetCondition").getAsString());
    configuration.setPriority(wanted.get("priority").getAsInt());
    ConfigurationMetrics metrics = new ConfigurationMetrics();
    metrics.setQueries(GSON.fromJson(
        wanted.getAsJsonObject("metrics").get("queries"), new TypeToken<Map<String, String>>() {}.getType()));
    configuration.setMetrics(metrics);
    return configuration;
  }

  private static ConfigurationContent content(JsonObject wanted) {
    ConfigurationContent content = new ConfigurationContent();
    if (wanted.has("deviceContent")) {
      content.setDeviceContent(GSON.fromJson(
          wanted.get("deviceContent"), new TypeToken<Map<String, Object>>() {}.getType()));
    }
    if (wanted.has("modulesContent")) {
      content.setModulesContent(GSON.fromJson(
          wanted.get("modulesContent"), new TypeToken<Map<String, Map<String, Object>>>() {}.getType()));
    }
    return content;
  }

  private static Map<String, Object> shown(Configuration configuration) {
    Map<String, Object> all = new LinkedHashMap<>();
    all.put("id", configuration.getId());
    all.put("etag", configuration.getEtag());
    all.put("priority", configuration.getPriority());
    all.put("targetCondition", configuration.getTargetCondition());
    all.put("content", configuration.getContent());
    all.put("systemMetrics", configuration.getSystemMetrics());
    all.put("metrics", configuration.getMetrics());
    return all;
  }

  /** All rows in one page: the client turns pages by itself. */
  private Object query(String text, int pageSize, String kind) throws Exception {
    QueryPageOptions options = QueryPageOptions.builder().pageSize(pageSize).build();
    List<Object> rows = new ArrayList<>();
    if (kind.equals("twins")) {
      TwinQueryResponse answer = queries.queryTwins(text, options);
      while (answer.hasNext()) {
        Twin twin = answer.next(turned(options, answer.getContinuationToken()));
        Map<String, Object> row = shown(twin);
        row.put("deviceId", twin.getDeviceId());
        row.put("moduleId", twin.getModuleId());
        rows.add(row);
      }
    } else {
      RawQueryResponse answer = queries.queryRaw(text, options);
      while (answer.hasNext()) {
        rows.add(GSON.fromJson(answer.next(turned(options, answer.getContinuationToken())), JsonObject.class));
      }
    }
    return List.of(rows);
  }

  /** The size of pages is forgotten behind the first one. */
  private static QueryPageOptions turned(QueryPageOptions options, String token) {
    return QueryPageOptions.builder().pageSize(options.getPageSize()).continuationToken(token).build();
  }

  Map<String, Link.Operation> operations() {
    return Map.of(
        "get", args -> told(() -> shown(module(args.get(1)) == null
            ? twins.get(args.get(0).getAsString())
            : twins.get(args.get(0).getAsString(), module(args.get(1))))),
        "patch", args -> told(() -> shown(twins.patch(
            wanted(args.get(0).getAsString(), module(args.get(1)), args.get(2).getAsJsonObject()),
            args.get(3).getAsString()))),
        "replace", args -> told(() -> shown(twins.replace(
            wanted(args.get(0).getAsString(), module(args.get(1)), args.get(2).getAsJsonObject()),
            args.get(3).getAsString()))),
        "query", args -> told(() ->
            query(args.get(0).getAsString(), args.get(1).getAsInt(), args.get(2).getAsString())),
        "configuration", args -> told(() -> configuration(args.get(0).getAsString(), args)),
        "exportRegistry", args -> told(() -> shown(
            registry.exportDevices(args.get(0).getAsString(), args.get(1).getAsBoolean()))),
        "importRegistry", args -> told(() -> shown(
            registry.importDevices(args.get(0).getAsString(), args.get(1).getAsString()))),
        "registryJob", args -> told(() -> shown(registry.getJob(args.get(0).getAsString()))),
        "invoke", args -> told(() -> invoke(args.get(0).getAsString(), module(args.get(1)), args.get(2).getAsJsonObject())));
  }

  private interface Work {
    Object run() throws Exception;
  }

  /** With the hub's own code, which the SDK's message may lack. */
  private static Object told(Work work) throws Exception {
    try {
      return work.run();
    } catch (IotHubException error) {
      throw new Exception(error.getClass().getSimpleName() + " " + error.getErrorCode() + " " + error.getMessage());
    }
  }

  private static String module(JsonElement id) {
    return id.isJsonNull() ? null : id.getAsString();
  }

  private static Twin wanted(String device, String module, JsonObject change) {
    Twin twin = module == null ? new Twin(device) : new Twin(device, module);
    if (change.has("tags")) fill(twin.getTags(), change.getAsJsonObject("tags"));
    if (change.has("properties")) {
      fill(twin.getDesiredProperties(), change.getAsJsonObject("properties").getAsJsonObject("desired"));
    }
    return twin;
  }

  private static void fill(TwinCollection section, JsonObject values) {
    values.entrySet().forEach(one -> section.put(one.getKey(), GSON.fromJson(one.getValue(), Object.class)));
  }

  private static Map<String, Object> shown(Twin twin) {
    Map<String, Object> properties = new LinkedHashMap<>();
    properties.put("desired", shown(twin.getDesiredProperties()));
    properties.put("reported", shown(twin.getReportedProperties()));
    Map<String, Object> all = new LinkedHashMap<>();
    all.put("etag", twin.getETag());
    all.put("version", twin.getVersion());
    all.put("tags", twin.getTags());
    all.put("properties", properties);
    return all;
  }

  private static Map<String, Object> shown(TwinCollection section) {
    Map<String, Object> all = new LinkedHashMap<>(section);
    all.put("$version", section.getVersion());
    return all;
  }

  private Object invoke(String device, String module, JsonObject request) throws Exception {
    DirectMethodRequestOptions.DirectMethodRequestOptionsBuilder options = DirectMethodRequestOptions.builder();
    if (request.has("payload")) options.payload(request.get("payload"));
    if (request.has("responseTimeoutInSeconds")) {
      options.methodResponseTimeoutSeconds(request.get("responseTimeoutInSeconds").getAsInt());
    }
    // The SDK's own default is 200 seconds, behind its own time for an answer.
    boolean waits = request.has("connectTimeoutInSeconds");
    options.methodConnectTimeoutSeconds(waits ? request.get("connectTimeoutInSeconds").getAsInt() : 0);
    String name = request.get("methodName").getAsString();
    DirectMethodResponse answer =
        module == null
            ? methods.invoke(device, name, options.build())
            : methods.invoke(device, module, name, options.build());
    Map<String, Object> shown = new LinkedHashMap<>();
    shown.put("status", answer.getStatus());
    shown.put("payload", answer.getPayloadAsJsonElement());
    return shown;
  }
}
