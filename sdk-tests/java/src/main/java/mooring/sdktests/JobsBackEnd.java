package mooring.sdktests;

import com.google.gson.Gson;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.microsoft.azure.sdk.iot.service.exceptions.IotHubException;
import com.microsoft.azure.sdk.iot.service.jobs.DirectMethodsJobOptions;
import com.microsoft.azure.sdk.iot.service.jobs.JobStatistics;
import com.microsoft.azure.sdk.iot.service.jobs.ScheduledJob;
import com.microsoft.azure.sdk.iot.service.jobs.ScheduledJobStatus;
import com.microsoft.azure.sdk.iot.service.jobs.ScheduledJobType;
import com.microsoft.azure.sdk.iot.service.jobs.ScheduledJobsClient;
import com.microsoft.azure.sdk.iot.service.query.JobQueryResponse;
import com.microsoft.azure.sdk.iot.service.query.QueryPageOptions;
import com.microsoft.azure.sdk.iot.service.twin.Twin;
import com.microsoft.azure.sdk.iot.service.twin.TwinCollection;
import java.util.ArrayList;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** iot-service-client: jobs over REST. */
final class JobsBackEnd {
  private static final Gson GSON = new Gson();
  private final ScheduledJobsClient jobs;

  JobsBackEnd(JsonObject job) {
    jobs = new ScheduledJobsClient(job.get("connectionString").getAsString());
  }

  Map<String, Link.Operation> operations() {
    return Map.of(
        "twins", args -> told(() -> shown(jobs.scheduleUpdateTwin(
            args.get(0).getAsString(),
            args.get(1).getAsString(),
            wanted(args.get(2).getAsJsonObject()),
            time(args.get(3)),
            args.get(4).getAsLong()))),
        "methods", args -> told(() -> shown(methods(
            args.get(0).getAsString(),
            args.get(1).getAsString(),
            args.get(2).getAsJsonObject(),
            time(args.get(3)),
            args.get(4).getAsInt()))),
        "get", args -> told(() -> shown(jobs.get(args.get(0).getAsString()))),
        "cancel", args -> told(() -> shown(jobs.cancel(args.get(0).getAsString()))),
        "list", args -> told(() -> {
          QueryPageOptions options = QueryPageOptions.builder().pageSize(args.get(2).getAsInt()).build();
          return rows(options, jobs.query(
              ScheduledJobType.valueOf(args.get(0).getAsString()),
              ScheduledJobStatus.valueOf(args.get(1).getAsString()),
              options));
        }),
        "records", args -> told(() -> {
          QueryPageOptions options = QueryPageOptions.builder().pageSize(args.get(1).getAsInt()).build();
          return rows(options, jobs.query(args.get(0).getAsString(), options));
        }));
  }

  /** All of them in one page: the client turns pages by itself. */
  private static Object rows(QueryPageOptions options, JobQueryResponse answer) throws Exception {
    List<Object> rows = new ArrayList<>();
    while (answer.hasNext()) {
      // The size of pages is forgotten behind the first one.
      rows.add(shown(answer.next(QueryPageOptions.builder()
          .pageSize(options.getPageSize()).continuationToken(answer.getContinuationToken()).build())));
    }
    return List.of(rows);
  }

  private ScheduledJob methods(String id, String condition, JsonObject method, Date start, int seconds) throws Exception {
    DirectMethodsJobOptions options = DirectMethodsJobOptions.builder()
        .payload(GSON.fromJson(method.get("payload"), Object.class))
        .methodResponseTimeoutSeconds(method.get("responseTimeoutInSeconds").getAsInt())
        .methodConnectTimeoutSeconds(0)
        .maxExecutionTimeSeconds(seconds)
        .build();
    return jobs.scheduleDirectMethod(id, condition, method.get("methodName").getAsString(), start, options);
  }

  private static Date time(JsonElement time) {
    return time.isJsonNull() ? new Date() : new Date(time.getAsLong());
  }

  private static Twin wanted(JsonObject change) {
    Twin twin = new Twin();
    twin.setETag("*");
    if (change.has("tags")) fill(twin.getTags(), change.getAsJsonObject("tags"));
    if (change.has("properties")) {
      fill(twin.getDesiredProperties(), change.getAsJsonObject("properties").getAsJsonObject("desired"));
    }
    return twin;
  }

  private static void fill(TwinCollection section, JsonObject values) {
    values.entrySet().forEach(one -> section.put(one.getKey(), GSON.fromJson(one.getValue(), Object.class)));
  }

  /** Of a job, and of the record of a device: the SDK has one class for both. */
  private static Map<String, Object> shown(ScheduledJob job) {
    Map<String, Object> all = new LinkedHashMap<>();
    all.put("jobId", job.getJobId());
    all.put("deviceId", job.getDeviceId());
    all.put("type", String.valueOf(job.getJobType()));
    all.put("status", String.valueOf(job.getJobStatus()));
    all.put("queryCondition", job.getQueryCondition());
    JobStatistics of = job.getJobStatistics();
    if (of != null) {
      all.put("statistics", Map.of(
          "devices", of.getDeviceCount(), "succeeded", of.getSucceededCount(), "failed", of.getFailedCount()));
    }
    return all;
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
}
