/* A device with the Paho C library: sends five messages. DEVICE_ID, DEVICE_TOKEN, HUB_HOST and HUB_PORT say who and where. */
#include <MQTTClient.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void must(const char *what, int code) {
  if (code == MQTTCLIENT_SUCCESS) return;
  fprintf(stderr, "%s: %d\n", what, code);
  exit(1);
}

int main(void) {
  const char *id = getenv("DEVICE_ID"), *host = getenv("HUB_HOST");
  char uri[300], user[600], topic[600], text[100];
  snprintf(uri, sizeof uri, "ssl://%s:%s", host, getenv("HUB_PORT"));
  snprintf(user, sizeof user, "%s/%s/?api-version=2021-04-12", host, id);
  snprintf(topic, sizeof topic, "devices/%s/messages/events/room=kitchen&$.ct=application%%2Fjson&$.ce=utf-8", id);

  MQTTClient client;
  must("create", MQTTClient_create(&client, uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL));
  MQTTClient_SSLOptions ssl = MQTTClient_SSLOptions_initializer;
  ssl.trustStore = "ca.pem";
  ssl.verify = 1;
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  options.MQTTVersion = MQTTVERSION_3_1_1;
  options.username = user;
  options.password = getenv("DEVICE_TOKEN");
  options.ssl = &ssl;
  must("connect", MQTTClient_connect(client, &options));
  for (int n = 1; n <= 5; n++) {
    snprintf(text, sizeof text, "{\"temperature\": %.1f, \"humidity\": %d}", 20 + n / 2.0, 50 + n);
    MQTTClient_deliveryToken token;
    must("publish", MQTTClient_publish(client, topic, (int)strlen(text), text, 1, 0, &token));
    must("acknowledge", MQTTClient_waitForCompletion(client, token, 20000)); /* The hub has it on disk. */
    printf("sent %d\n", n);
    sleep(1);
  }
  must("disconnect", MQTTClient_disconnect(client, 5000));
  MQTTClient_destroy(&client);
  return 0;
}
