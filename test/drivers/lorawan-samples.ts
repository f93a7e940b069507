/** Webhooks as the two servers send them. */

// Bodies with the members that the servers' documentation names (see `src/adapters/lorawan`), of devices that are made up.
export const theThingsStackUplink = {
  end_device_ids: {
    device_id: 'meter-7',
    application_ids: { application_id: 'water' },
    dev_eui: '70B3D57ED0061A2B',
    join_eui: '0000000000000000',
    dev_addr: '260B1234',
  },
  correlation_ids: ['gs:uplink:01HX'],
  received_at: '2026-11-29T10:00:00.123456789Z',
  uplink_message: {
    session_key_id: 'AYxQ8w==',
    f_port: 2,
    f_cnt: 41,
    frm_payload: 'AQIDBA==',
    decoded_payload: { litres: 12.5 },
    rx_metadata: [
      { gateway_ids: { gateway_id: 'roof' }, rssi: -97, channel_rssi: -97, snr: 7.5 },
      { gateway_ids: { gateway_id: 'yard' }, rssi: -61, channel_rssi: -61, snr: 9.8 },
    ],
    settings: { data_rate: { lora: { bandwidth: 125000, spreading_factor: 7 } }, frequency: '868100000' },
    received_at: '2026-11-29T09:59:59.900Z',
  },
};

export const chirpStackUplink = {
  deduplicationId: '3ac7e3c4-4401-4b8d-9386-a5c902f9202d',
  time: '2026-11-29T10:00:00.25+00:00',
  deviceInfo: {
    tenantId: '52f14cd4-c6f1-4fbd-8f87-4025e1d49242',
    tenantName: 'site',
    applicationId: '17c82e96-be03-4f38-aef3-f83d48582d97',
    applicationName: 'water',
    deviceName: 'meter 8',
    devEui: '0101010101010101',
  },
  devAddr: '00189440',
  dr: 1,
  fPort: 1,
  fCnt: 10,
  data: '/wA=',
  object: { litres: 3 },
  rxInfo: [{ gatewayId: '0016c001f153a14c', rssi: -48, snr: 9.2 }],
};
