/**
 * Programs that let a device send its first messages, with the commands around them. The page shows them, and the tests run them as
 * shown. The programs themselves are the files of `examples/devices`. Runs in browsers and in Node.
 */

/** Where the hub is, and who the device is. */
export interface DeviceFacts {
  readonly hostName: string;
  readonly ports: Readonly<Record<'mqtts' | 'amqps' | 'https', number | null>>;
  readonly deviceId: string;
  /** Base64: the primary key. */
  readonly key: string;
  /** A finished token of the device, for programs that cannot make one. */
  readonly token: string;
}

export interface Snippet {
  readonly id: string;
  readonly title: string;
  /** What it stands on. */
  readonly library: string;
  /** Files of `examples/devices` that lie beside `ca.pem`. */
  readonly files: readonly string[];
  /** Once, in the folder of these files; absent = nothing is to be installed. */
  readonly install?: string;
  /** Lines for a shell (POSIX), in that folder. */
  readonly run: string;
  /** Why it will not work with this hub as it is. */
  readonly obstacle?: string;
}

/** A text as one word of a POSIX shell: ids may hold `'` and `$`. */
export const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

export const deviceConnectionString = (hostName: string, deviceId: string, key: string): string =>
  `HostName=${hostName};DeviceId=${deviceId};SharedAccessKey=${key}`;

/** In the order in which they are offered. */
export function snippetsOf(facts: DeviceFacts): readonly Snippet[] {
  const { hostName, ports, deviceId, key, token } = facts;
  const host = hostName.includes(':') ? `[${hostName}]` : hostName;
  const login = quoted(deviceConnectionString(hostName, deviceId, key));
  const id = encodeURIComponent(deviceId);
  // SDKs know no other port for MQTT.
  const sdkObstacle =
    ports.mqtts === 8883
      ? {}
      : { obstacle: `This SDK reaches port 8883 only, and this hub serves MQTT at ${ports.mqtts ?? 'no port'}.` };
  const noMqtt = ports.mqtts === null ? { obstacle: 'This hub serves no MQTT: see the setting mqttsPort.' } : {};
  const noHttps = ports.https === null ? { obstacle: 'This hub serves no HTTPS: see the setting httpsPort.' } : {};
  return [
    {
      id: 'node',
      title: 'Node.js',
      library: 'azure-iot-device',
      files: ['device.mjs'],
      install: 'npm install azure-iot-device azure-iot-device-mqtt',
      run: `export NODE_EXTRA_CA_CERTS=ca.pem\nexport DEVICE_CONNECTION_STRING=${login}\nnode device.mjs`,
      ...sdkObstacle,
    },
    {
      id: 'python',
      title: 'Python',
      library: 'azure-iot-device',
      files: ['device.py'],
      install: 'pip install azure-iot-device',
      run: `export DEVICE_CONNECTION_STRING=${login}\npython3 device.py`,
      ...sdkObstacle,
    },
    {
      id: 'java',
      title: 'Java',
      library: 'iot-device-client',
      files: ['Device.java', 'pom.xml'],
      install: 'mvn dependency:copy-dependencies -DoutputDirectory=lib',
      run: [
        ...(hostName.includes('.') ? [] : ['# This SDK refuses a host name without a dot.']),
        `export DEVICE_CONNECTION_STRING=${quoted(deviceConnectionString(dotted(hostName), deviceId, key))}`,
        "java -cp 'lib/*' Device.java",
      ].join('\n'),
      ...sdkObstacle,
    },
    {
      id: 'c',
      title: 'C',
      library: 'Eclipse Paho',
      files: ['device.c'],
      install: 'cc device.c -lpaho-mqtt3cs -o device   # Debian: apt install gcc libpaho-mqtt-dev',
      run: [
        `export HUB_HOST=${quoted(hostName)} HUB_PORT=${ports.mqtts}`,
        `export DEVICE_ID=${quoted(deviceId)}`,
        `export DEVICE_TOKEN=${quoted(token)}`,
        './device',
      ].join('\n'),
      ...noMqtt,
    },
    {
      id: 'mosquitto',
      title: 'mosquitto_pub',
      library: 'any MQTT client',
      files: [],
      install: 'apt install mosquitto-clients   # or as your system has it',
      run: [
        `mosquitto_pub --cafile ca.pem -h ${quoted(hostName)} -p ${ports.mqtts} -q 1 \\`,
        `  -i ${quoted(deviceId)} -u ${quoted(`${hostName}/${deviceId}/?api-version=2021-04-12`)} \\`,
        `  -P ${quoted(token)} \\`,
        `  -t ${quoted(`devices/${deviceId}/messages/events/room=kitchen&$.ct=application%2Fjson&$.ce=utf-8`)} \\`,
        `  -m '{"temperature": 21.5, "humidity": 51}'`,
      ].join('\n'),
      ...noMqtt,
    },
    {
      id: 'curl',
      title: 'curl',
      library: 'any HTTP client',
      files: [],
      run: [
        `curl --fail-with-body --globoff --cacert ca.pem ${quoted(`https://${host}:${ports.https}/devices/${id}/messages/events`)} \\`,
        `  -H ${quoted(`Authorization: ${token}`)} \\`,
        `  -H 'iothub-contenttype: application/json' -H 'iothub-contentencoding: utf-8' \\`,
        `  -H 'iothub-app-room: kitchen' -H 'content-type: application/octet-stream' \\`,
        `  -d '{"temperature": 21.5, "humidity": 51}'`,
      ].join('\n'),
      ...noHttps,
    },
  ];
}

/** The certificate of a hub that is called `localhost` names this address as well. */
const dotted = (hostName: string): string => (hostName === 'localhost' ? '127.0.0.1' : hostName);
