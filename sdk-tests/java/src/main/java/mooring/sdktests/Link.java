package mooring.sdktests;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/** How a Java client talks with its test: JSON lines, as clients/link.mjs does. See support/client.ts. */
final class Link {
  /** One operation that the test may call; what it returns goes back as the answer's value. */
  interface Operation {
    Object call(JsonArray args) throws Exception;
  }

  private static final Gson GSON = new GsonBuilder().serializeNulls().create();
  private static final PrintStream OUT = new PrintStream(System.out, false, StandardCharsets.UTF_8);
  private final BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));

  /** The first line: what the test wants. */
  JsonObject job() throws IOException {
    return JsonParser.parseString(in.readLine()).getAsJsonObject();
  }

  static void report(String kind, Map<String, ?> fields) {
    Map<String, Object> event = new LinkedHashMap<>();
    event.put("kind", kind);
    event.putAll(fields);
    synchronized (OUT) {
      OUT.print(GSON.toJson(event) + "\n");
      OUT.flush();
    }
  }

  static Map<String, Object> describe(Throwable error) {
    Map<String, Object> shown = new LinkedHashMap<>();
    shown.put("name", error.getClass().getSimpleName());
    Throwable cause = error.getCause();
    shown.put("message", cause == null ? "" + error.getMessage() : error.getMessage() + ": " + cause.getMessage());
    return shown;
  }

  /** Answers each order {op, args, id} on a thread of its own, until the input ends. */
  void serve(Map<String, Operation> operations) throws IOException {
    report("ready", Map.of());
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      JsonObject order = JsonParser.parseString(line).getAsJsonObject();
      new Thread(() -> answer(order, operations)).start();
    }
    OUT.flush();
    // The SDKs keep threads that would hold the process.
    Runtime.getRuntime().halt(0);
  }

  private static void answer(JsonObject order, Map<String, Operation> operations) {
    Map<String, Object> result = new LinkedHashMap<>();
    try {
      result.put("value", operations.get(order.get("op").getAsString()).call(order.getAsJsonArray("args")));
    } catch (Throwable error) {
      result.put("error", describe(error));
    }
    report("answer " + order.get("id").getAsInt(), result);
  }
}
