/**
 * Rules of devices that are sold in millions. What they publish and where they listen is their makers' documentation:
 * tasmota.github.io/docs/MQTT, shelly-api-docs.shelly.cloud, zigbee2mqtt.io/guide/usage/mqtt_topics_and_messages, esphome.io/components/mqtt.
 */
import type { z } from '../../gateway/index.ts';
import { type Dialect, inboundRule, outboundRule } from './rules.ts';

export const presetNames = ['tasmota', 'shelly', 'zigbee2mqtt', 'esphome'] as const;
export type PresetName = (typeof presetNames)[number];

interface Rules {
  readonly inbound: readonly z.input<typeof inboundRule>[];
  readonly outbound: readonly z.input<typeof outboundRule>[];
}

/** @param base what stands before the topics; undefined = the maker's default. Devices of two generations speak two dialects */
export function preset(name: PresetName, base: string | undefined): Dialect[] {
  return dialects[name].map((dialect) => {
    const { inbound, outbound } = rules[dialect](base);
    return {
      name: dialect,
      inbound: inbound.map((rule) => inboundRule.parse(rule)),
      outbound: outbound.map((rule) => outboundRule.parse(rule)),
    };
  });
}

const dialects = {
  tasmota: ['tasmota'],
  shelly: ['shelly', 'shelly-rpc'],
  zigbee2mqtt: ['zigbee2mqtt'],
  esphome: ['esphome'],
} as const;

type DialectName = (typeof dialects)[PresetName][number];

const rules: Readonly<Record<DialectName, (base: string | undefined) => Rules>> = {
  /** FullTopic `%prefix%/%topic%/`, the default. `base` stands before both. */
  tasmota: (base): Rules => {
    const at = base === undefined ? '' : `${base}/`;
    return {
      inbound: [
        { topic: `${at}tasmota/discovery/#`, to: 'nothing' },
        { topic: `${at}cmnd/#`, to: 'nothing' },
        { topic: `${at}tele/{device}/LWT`, to: 'presence', online: ['Online'] },
        { topic: `${at}tele/{device}/{kind}`, to: 'telemetry', properties: { kind: '{kind}' } },
        { topic: `${at}stat/{device}/RESULT`, to: 'answer', otherwise: 'telemetry', properties: { kind: 'RESULT' } },
        {
          topic: `${at}stat/{device}/{kind}`,
          to: 'answer',
          otherwise: 'telemetry',
          properties: { kind: '{kind}' },
          wrap: '{kind}',
        },
      ],
      outbound: [
        { from: 'command', topic: `${at}cmnd/{device}/{command}`, defaults: { command: 'POWER' } },
        { from: 'method', topic: `${at}cmnd/{device}/{name}`, answered: true },
      ],
    };
  },
  /** The first generation; its topics have no base. */
  shelly: (): Rules => ({
    inbound: [
      { topic: 'shellies/announce', to: 'nothing' },
      { topic: 'shellies/command', to: 'nothing' },
      { topic: 'shellies/{device}/online', to: 'presence', online: ['true'] },
      { topic: 'shellies/{device}/{channel...}/command', to: 'nothing' },
      {
        topic: 'shellies/{device}/{channel...}',
        to: 'telemetry',
        wrap: '{channel}',
        properties: { channel: '{channel}' },
      },
    ],
    outbound: [{ from: 'command', topic: 'shellies/{device}/{channel}/command', defaults: { channel: 'relay/0' } }],
  }),
  /** The second generation and later ones: `base` stands before the device's name in its topic prefix. */
  'shelly-rpc': (base): Rules => {
    const at = base === undefined ? '' : `${base}/`;
    return {
      inbound: [
        { topic: `${at}{device}/online`, to: 'presence', online: ['true'] },
        { topic: `${at}{device}/events/rpc`, to: 'telemetry', properties: { kind: 'rpc' } },
        {
          topic: `${at}{device}/status/{channel}`,
          to: 'telemetry',
          properties: { kind: 'status', channel: '{channel}' },
        },
        { topic: 'mooring/{device}/rpc', to: 'answer', id: 'id', result: 'result', error: 'error' },
        { topic: `${at}{device}/rpc`, to: 'nothing' },
        { topic: `${at}{device}/command/#`, to: 'nothing' },
      ],
      outbound: [
        { from: 'command', topic: `${at}{device}/command/{channel}`, defaults: { channel: 'switch:0' } },
        {
          from: 'method',
          topic: `${at}{device}/rpc`,
          body: { id: '{id}', src: 'mooring/{device}', method: '{name}', params: '{payload}' },
          answered: true,
        },
      ],
    };
  },
  /** `base` is its `base_topic`. A friendly name may hold `/`. */
  zigbee2mqtt: (base = 'zigbee2mqtt'): Rules => ({
    inbound: [
      { topic: `${base}/bridge/state`, to: 'presence', of: 'all', online: ['online'] },
      { topic: `${base}/bridge/#`, to: 'nothing' },
      { topic: `${base}/{device...}/availability`, to: 'presence', online: ['online'] },
      { topic: `${base}/{device...}/set`, to: 'nothing' },
      { topic: `${base}/{device...}/get`, to: 'nothing' },
      { topic: `${base}/{device...}`, to: 'telemetry' },
    ],
    outbound: [
      { from: 'command', topic: `${base}/{device}/set` },
      { from: 'method', topic: `${base}/{device}/{name}` },
      { from: 'desired', topic: `${base}/{device}/set` },
    ],
  }),
  /** `base` stands before the device's name in its `topic_prefix`. */
  esphome: (base): Rules => {
    const at = base === undefined ? '' : `${base}/`;
    return {
      inbound: [
        { topic: 'homeassistant/#', to: 'nothing' },
        { topic: 'esphome/discover/#', to: 'nothing' },
        { topic: `${at}{device}/status`, to: 'presence', online: ['online'] },
        { topic: `${at}{device}/debug`, to: 'nothing' },
        {
          topic: `${at}{device}/{component}/{entity}/state`,
          to: 'telemetry',
          wrap: '{entity}',
          properties: { component: '{component}', entity: '{entity}' },
        },
      ],
      outbound: [{ from: 'command', topic: `${at}{device}/{component}/{entity}/command` }],
    };
  },
};
