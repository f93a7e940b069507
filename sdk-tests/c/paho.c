/*
 * A device by the Paho C library, known by its certificate: sends one message, prints one command, ends.
 *
 *     paho URI CLIENT-ID USER-NAME CA-FILE CERTIFICATE-FILE KEY-FILE TEXT
 */
#include <MQTTClient.h>
#include <stdio.h>

#define WAIT_MS 20000L

static int failed(const char *what, int code) {
  fprintf(stderr, "%s: %d %s\n", what, code, MQTTClient_strerror(code) == NULL ? "" : MQTTClient_strerror(code));
  return 1;
}

int main(int count, char **args) {
  if (count != 8) return failed("arguments", count);
  const char *uri = args[1], *id = args[2];
  MQTTClient client;
  int code = MQTTClient_create(&client, uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL);
  if (code != MQTTCLIENT_SUCCESS) return failed("create", code);

  MQTTClient_SSLOptions ssl = MQTTClient_SSLOptions_initializer;
  ssl.trustStore = args[4];
  ssl.keyStore = args[5];
  ssl.privateKey = args[6];
  ssl.verify = 1;
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  options.MQTTVersion = MQTTVERSION_3_1_1;
  options.username = args[3];
  options.ssl = &ssl;
  if ((code = MQTTClient_connect(client, &options)) != MQTTCLIENT_SUCCESS) return failed("connect", code);

  char topic[512];
  snprintf(topic, sizeof topic, "devices/%s/messages/devicebound/#", id);
  if ((code = MQTTClient_subscribe(client, topic, 1)) != MQTTCLIENT_SUCCESS) return failed("subscribe", code);

  snprintf(topic, sizeof topic, "devices/%s/messages/events/from=paho", id);
  MQTTClient_message message = MQTTClient_message_initializer;
  message.payload = args[7];
  for (message.payloadlen = 0; args[7][message.payloadlen] != 0;) message.payloadlen++;
  message.qos = 1;
  MQTTClient_deliveryToken token;
  if ((code = MQTTClient_publishMessage(client, topic, &message, &token)) != MQTTCLIENT_SUCCESS) return failed("publish", code);

  MQTTClient_message *command = NULL;
  char *command_topic = NULL;
  int topic_bytes;
  code = MQTTClient_receive(client, &command_topic, &topic_bytes, &command, WAIT_MS);
  if (code != MQTTCLIENT_SUCCESS || command == NULL) return failed("receive", code);
  printf("%.*s\n", command->payloadlen, (const char *)command->payload);
  MQTTClient_freeMessage(&command);
  MQTTClient_free(command_topic);

  if ((code = MQTTClient_waitForCompletion(client, token, WAIT_MS)) != MQTTCLIENT_SUCCESS) return failed("acknowledge", code);
  if ((code = MQTTClient_disconnect(client, (int)WAIT_MS)) != MQTTCLIENT_SUCCESS) return failed("disconnect", code);
  MQTTClient_destroy(&client);
  return 0;
}
