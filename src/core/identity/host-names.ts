/** The names under which clients address this hub: public name, aliases, loopback forms (device reference 1.3). */
export interface HostNames {
  /** The first is the one shown to users. */
  readonly all: readonly string[];
  /** Compares without regard to case and ignores a port, because some SDKs sign `host:port`. */
  accepts(host: string): boolean;
  /** The text before the first dot of any accepted name, or the hub's name: SASL PLAIN users end in it. */
  acceptsHubName(name: string): boolean;
}

export function hostNames(hubName: string, names: readonly string[]): HostNames {
  const accepted = new Set(names.map((name) => name.toLowerCase()));
  const hubNames = new Set([hubName, ...names.map((name) => name.split('.')[0])].map((name) => name.toLowerCase()));
  return {
    all: names,
    accepts: (host) => accepted.has(withoutPort(host.toLowerCase())),
    acceptsHubName: (name) => hubNames.has(name.toLowerCase()) || accepted.has(name.toLowerCase()),
  };
}

function withoutPort(host: string): string {
  if (host.startsWith('[')) return host.slice(1, host.indexOf(']'));
  const colon = host.lastIndexOf(':');
  const onlyColon = colon !== -1 && host.indexOf(':') === colon;
  return onlyColon ? host.slice(0, colon) : host;
}
