/**
 * Every bound of the hub, in one place, with its unit in the name and its reason beside it. Those that an operator may
 * move are defaults of settings (`server/config.ts`); the others are fixed by a protocol or protect the process.
 * "Service" means the emulated service's documented quota (device reference section 5, service reference section 4).
 */

const KiB = 1024;
const MiB = 1024 * KiB;
const SECOND_MS = 1000;
const HOUR_MS = 3600 * SECOND_MS;

export const limits = {
  /** Service: body, system values, application names and values of one telemetry message. */
  telemetryBytesMax: 256 * KiB,
  /** Service: the same for a command (cloud-to-device message). */
  commandBytesMax: 64 * KiB,
  /** Service: commands that wait for one device. */
  commandQueueDepthMax: 50,
  /** Service: how long a device may take to settle a command. */
  commandLockMs: 60 * SECOND_MS,
  /** Service: abandons after which a command is given up. */
  commandDeliveryCountMax: 10,
  /** Service: time-to-live of a command that names none, and the longest that one may name. */
  commandTimeToLiveMsDefault: HOUR_MS,
  commandTimeToLiveMsMax: 48 * HOUR_MS,
  /** Commands that one connection may hold unsettled at a time. */
  commandsInflightMax: 50,
  /** Commands that a connection takes at a time: so many are in memory while its device does not read. */
  commandsTakeMax: 8,
  /** Time between two attempts to take commands when the store refuses. */
  commandsRetryMs: 5 * SECOND_MS,
  /** Calls that wait for the answer of one connected device: each keeps its request until then. */
  deviceCallsMax: 32,
  /** Claims to places of one batch: a store's transaction with so many takes some milliseconds. */
  placeClaimsMax: 256,
  /** Service: receipts in one feedback message, and how long the first of them waits for others. */
  receiptBatchMax: 64,
  receiptBatchMs: 15 * SECOND_MS,
  /** Service: how long a back end may take to settle a feedback message; how long receipts are kept. */
  receiptLockMs: 60 * SECOND_MS,
  receiptTimeToLiveMs: HOUR_MS,
  /** How long ended commands stay readable as dead letters and in trails. */
  deadLetterMs: 48 * HOUR_MS,
  /** Commands that one sweep settles: 20 ms of the store's thread, measured, so that it does not hold up the rest. */
  sweepCommandsMax: 200,
  /** Shortest and longest time between two sweeps: an expiry is told this much late at most, whatever the clock does. */
  sweepMsMin: 100,
  sweepMsMax: 30 * SECOND_MS,
  /** Steps of one command's trail: a device that connects and leaves every second would else write without end. */
  commandTrailEntriesMax: 64,
  /** Commands of one identity that share a message id, shown at once. */
  commandsFoundMax: 100,
  /** Application properties of one message; the service bounds them only by the message's size. */
  messagePropertiesMax: 100,
  /** Service: characters of a device or module id. */
  identityIdCharsMax: 128,
  /** Service: characters of a status reason. */
  statusReasonCharsMax: 128,
  /** Service: characters of a message id. */
  messageIdCharsMax: 128,
  /** Service: identities in one bulk request. */
  bulkIdentitiesMax: 100,
  /** Service: devices in one page of the list. */
  listPageMax: 1000,
  /** Service: modules of one device. */
  modulesPerDeviceMax: 50,
  /** Service: parents of an identity in a nested edge. */
  parentScopesMax: 1,
  /** Children of an edge device in one answer to its runtime, each with its modules: what the runtime asks for. */
  scopePageMax: 100,
  /** Service: levels of edge devices below each other. */
  edgeNestingMax: 5,
  /** Service: devices of one hub; ours is a setting. */
  devicesMax: 1_000_000,
  /** Decoded bytes of a symmetric key. */
  keyBytesMin: 16,
  keyBytesMax: 64,
  /** Keys that the hub makes itself. */
  keyBytesGenerated: 32,
  /** A SAS token is a few hundred bytes; anything far longer is an attack on the parser. */
  tokenCharsMax: 4 * KiB,
  /** Clock difference between a device and the hub that a token's end tolerates (device reference 1.5). */
  clockSkewMs: 300 * SECOND_MS,
  /** Largest body of a management request: one bulk request of 100 full identities fits. */
  requestBytesMax: 1 * MiB,
  /** All header lines of one HTTP request together; a device's message properties travel in them. */
  httpHeaderBytesMax: 16 * KiB,
  /** From the first byte of an HTTP request to its last: a slow sender does not hold a connection for longer. */
  httpRequestMs: 60 * SECOND_MS,
  /**
   * Values of one JSON body of the management API, and how deep they may be nested: counted on the bytes, because a fault of each
   * value costs a hundred times as much as its two bytes. A bulk request of 100 full identities has 4,000.
   */
  httpJsonValuesMax: 16_384,
  httpJsonDepthMax: 64,
  /** The same of a command whose body is JSON: 64 KiB of the shortest values. */
  httpCommandValuesMax: 40_000,
  /** The same of a batch of messages: 5,000 with ten properties each. */
  httpBatchValuesMax: 160_000,
  /** Characters that a refusal says about one fault of a body: a fault may name all that is wrong with it. */
  httpFaultCharsMax: 256,
  /** Header lines of one HTTP request: 100 properties and what clients, proxies and SDKs add. */
  httpHeadersMax: 256,
  /** Requests of one HTTP connection that wait for the one before them; no SDK sends a second one before its answer. */
  httpPipelinedMax: 32,
  /** Requests after which the runtime ends an HTTP connection; 0 = never: a connection keeps nothing of those before. */
  httpRequestsPerConnectionMax: 0,
  /** How often the runtime looks for HTTP requests that take too long; they may take this much longer. */
  httpCheckMs: 1 * SECOND_MS,
  /** Bytes that an HTTP connection reads ahead of its parser, and writes ahead of its peer. */
  httpSocketBytesMax: 64 * KiB,
  /** HTTP requests in hand whose caller is known: of all, of one device with its modules, and of the holders of one policy. */
  httpRequestsMax: 4096,
  httpRequestsPerDeviceMax: 32,
  httpRequestsPerPolicyMax: 256,
  /** Bytes of their bodies: of all devices or of all back ends, of one device, of the holders of one policy. */
  httpBodiesBytesMax: 64 * MiB,
  httpBodiesBytesPerDeviceMax: 4 * MiB,
  httpBodiesBytesPerPolicyMax: 32 * MiB,
  /** Messages of one batch by HTTP: each is a record of some hundred bytes, however short its body. */
  httpBatchMessagesMax: 5000,
  /** Bodies, properties and trails of the commands in one answer; a list that would be longer is cut and says so. */
  commandListBytesMax: 4 * MiB,
  /** Commands in a list of dead letters that names no other number. */
  commandListDefault: 100,
  /** Silence between two requests of one HTTP connection; longer than the pools of the SDKs keep theirs idle. */
  httpKeepAliveMs: 120 * SECOND_MS,
  /** Largest answer that our client of the management API reads: a page of 1000 devices is about 1 MiB. */
  apiAnswerBytesMax: 16 * MiB,

  /** Service: names and values of the desired or the reported properties of a twin, and of its tags. */
  twinSectionBytesMax: 32 * KiB,
  twinTagsBytesMax: 8 * KiB,
  /** Service: objects and arrays inside each other, below a section. */
  twinDepthMax: 10,
  /** Service: UTF-8 bytes of one name and of one text of a twin, and the largest integer (the least is one further from 0). */
  twinNameBytesMax: 1 * KiB,
  twinStringBytesMax: 4 * KiB,
  twinIntegerMax: 4_503_599_627_370_495,
  /** JSON text of one reported patch: a full section with room for quotes and escapes. */
  twinReportedBytesMax: 128 * KiB,
  /**
   * Values and names of one patch that are made into objects: a full section has 8,000 with the shortest names. A back end sends the
   * hub's metadata back, which has three for each.
   */
  twinValuesMax: 16 * KiB,
  twinRequestValuesMax: 96 * KiB,
  /** Characters of reported patches that are kept behind a twin's document before they are merged into it: half a page of the tables. */
  twinTailCharsMax: 2 * KiB,
  /** Changes of desired properties that a twin remembers, for devices that are told of them one after the other. */
  twinPatchesKept: 32,
  /** Changes of desired properties that are read at a time for one device. */
  twinPushesAtOnce: 4,
  /** Requests of one MQTT connection to its twin that wait for the store, before its socket is not read. */
  mqttTwinRequestsMax: 32,
  /** Events of twins that are written to the event log at a time, and the time until they are tried again when it fails. */
  twinEventsAtOnce: 256,
  twinEventsRetryMs: 1 * SECOND_MS,
  /** How far before the change itself an event is looked for that may be in the log already: the clock may have been set. */
  twinEventsSearchMs: 60 * SECOND_MS,
  /** Reported patches of one call of the store: some milliseconds of its thread. */
  twinReportsPerCall: 256,
  /** Characters of reported patches that wait for the store. */
  twinReportsCharsMax: 16 * MiB,
  /** Service: characters of a method's name, bytes of its payload and of the answer's. */
  methodNameCharsMax: 100,
  methodBytesMax: 128 * KiB,
  /** Values of a request that invokes a method, with its payload: 128 KiB of the shortest. */
  methodValuesMax: 100_000,
  /** Nesting of a device's answer: far deeper than anyone writes by hand. */
  methodDepthMax: 64,
  /** Service: how long a device may take to answer, and how long the hub waits for it to connect. */
  methodResponseMsDefault: 30 * SECOND_MS,
  methodResponseMsMin: 5 * SECOND_MS,
  methodResponseMsMax: 300 * SECOND_MS,
  methodConnectMsMax: 300 * SECOND_MS,
  /** How long before the end of these times the hub answers: a client that waits for exactly as long must have it by then. */
  methodAnswerEarlyMs: 300,
  /** Methods of one device that are under way, also while they wait for it to connect: less than `deviceCallsMax`. */
  methodsPerDeviceMax: 24,
  /** Methods of the hub that are under way, and the bytes of their payloads. */
  methodsMax: 10_000,
  methodsBytesMax: 64 * MiB,

  /** Partitions of an event hub, fixed when the data folder is made. */
  partitionsDefault: 4,
  partitionsMax: 32,
  /** Service: one day by default, seven at most; ours may be longer. */
  retentionMsDefault: 24 * HOUR_MS,
  /** A segment is what retention deletes at a time; also closed by age (retention / 24). */
  segmentBytesDefault: 128 * MiB,
  /** Bytes of records that wait for the disk before doors stop reading their sockets. */
  writerBytesMax: 16 * MiB,
  /** Bytes of one batch on disk; a batch is what one sync makes durable. */
  batchBytesMax: 8 * MiB,
  /**
   * The disk rests so long after a commit while fewer bytes wait, so that a trickle of messages does not cost a sync each
   * (`docs/performance.md`). More than the bound waits under load, where every commit carries many messages anyway.
   */
  commitRestMs: 1,
  commitRestBytesMax: 12 * KiB,
  /** Journal between two entries of the sparse index, which is what a reader that is behind takes from the disk at once. */
  journalExtentBytes: 256 * KiB,
  /** Shortest age at which a segment is closed; else every restart of a short retention would make many. */
  segmentAgeMsMin: 60 * SECOND_MS,
  /**
   * Sequence numbers by which a partition's ceiling goes up at a time, which costs a sync: at half a million events a second
   * every half minute. Below 2^32, which a gap of the journal can name.
   */
  sequenceStep: 2 ** 24,
  /** How long the start looks at the tables: after a stop that left them unfinished, and otherwise. */
  tablesLookUncleanMs: 60 * SECOND_MS,
  tablesLookMs: 2 * SECOND_MS,
  /**
   * Events age in the time that the hub has seen pass (`running-time.ts`). From such a step on the clock has jumped: more than
   * clocks drift, or are slewed, between two looks.
   */
  clockJumpMs: 10 * SECOND_MS,
  clockLookMs: 10 * SECOND_MS,
  /** For so long a clock has to go without a jump before it is believed how long the hub did not run: NTP is done by then. */
  clockFirmMs: HOUR_MS,
  /** What counts of the time between two runs at most, so that a clock that is wrong for good costs no more than this. */
  offTimeMsMax: 12 * HOUR_MS,
  /** Time between two writes of the running time: what a crash forgets of it. A card of a small board bears it. */
  runningTimeKeptMs: 10 * 60 * SECOND_MS,
  /** How long after a jump the health shows it. */
  clockJumpShownMs: HOUR_MS,
  /** Marks of age that are kept for an event log in one retention time, and in all. */
  ageMarksPerRetention: 48,
  ageMarksMax: 200,
  /** Room that the data folder keeps for a start on a full disk: tables and monitoring write less than this in a start. */
  diskReserveBytes: 4 * MiB,
  /** Time between two checks of retention. */
  retentionCheckMs: 60 * SECOND_MS,
  /** Time between two attempts to take records again after the disk has failed. */
  journalRetryMs: 1 * SECOND_MS,
  /** Bytes of the newest batches kept for readers that follow the end of the log. */
  tailCacheBytesMax: 16 * MiB,
  /** Bytes of extents kept for readers that are behind, shared by all of them. */
  extentCacheBytesMax: 32 * MiB,
  /** Least bytes of a piece of memory for events that is used again (`base/buffer-pool.ts`). */
  runMemoryBytesMin: 16 * KiB,
  /** Bytes of memory for events that nobody looks at and that waits to be used again, of one event hub. */
  runMemoryFreeBytesMax: 8 * MiB,
  /** The same of buffers for deliveries, on one thread. */
  deliveryBufferBytesMin: 4 * KiB,
  deliveryBuffersFreeBytesMax: 4 * MiB,
  /** Bytes of frames kept for other readers at the same place, on one thread. */
  deliveryPiecesBytesMax: 8 * MiB,
  /**
   * Time of a thread for readers of events: so many times what all else in it has taken meanwhile, between these bounds
   * (`protocols/amqp/delivery-turns.ts`).
   */
  deliveryShareMax: 0.5,
  deliveryTurnMsMin: 0.25,
  deliveryTurnMsMax: 10,
  /** Extents that one read looks into: a partition with little traffic is spread thin, and an answer must not take long. */
  extentsPerReadMax: 8,
  /** Extents read at the same time: commits need a thread of the four that do file work. */
  extentReadsMax: 2,
  /** Finished segments whose file is open, and whose index is in memory, for readers that are behind. */
  segmentsOpenMax: 16,
  /** Consumer groups of an event hub (service: 20). */
  consumerGroupsMax: 20,
  consumerGroupCharsMax: 50,
  /** Service: receivers without an epoch on one partition and consumer group. */
  receiversPerPartitionMax: 5,
  /** Bytes of events that one reader may have encoded and not yet taken by its socket. */
  readerBytesMax: 1 * MiB,

  /**
   * Work of one AMQP connection before the others have their turn; a small frame is one unit of it. The smallest ask for an answer
   * each: a chunk of the socket holds two thousand of them, and the runtime reads up to 32 chunks before it looks at the next socket.
   */
  amqpWorkPerTurn: 128,
  /** Links of one AMQP connection that are woken in one turn because a window or the socket has room again. */
  amqpWakesPerTurn: 64,

  /**
   * Connections on which nobody has proved yet who he is. A TLS handshake takes 2 to 3 ms, so those of honest devices
   * that all come back at once are through in half of `unprovedSlowMs`.
   */
  unprovedConnectionsMax: 2048,
  /** Age from which an unproved connection gives its place to a newer one. */
  unprovedSlowMs: 10 * SECOND_MS,
  /** Age from which one that has not sent a byte gives its place to a newer one. */
  unprovedSilentMs: 1 * SECOND_MS,
  /** Part of all connections that unproved ones may be: the rest is for those who have proved who they are. */
  unprovedShareMax: 0.75,
  /** Connections by AMQP and HTTP of one device with its modules, on one thread; of more, the oldest ends. SDKs have one or a few. */
  connectionsPerDeviceMax: 32,
  /** Part of all connections that holders of one policy's key may have. */
  connectionsPerPolicyShareMax: 0.5,
  /** Connections of the admin port: people, scrapers and followers of events on this machine. */
  adminConnectionsMax: 128,
  /** Connections that the system has made and that wait to be accepted. */
  listenBacklogMax: 511,
  /** TLS handshakes that begin in one turn of the loop: 10 ms with an ECDSA key. */
  tlsHandshakesPerTurn: 4,
  /**
   * Bytes of a TLS handshake beyond which it counts as large: a chain of five certificates and a session ticket have 10 KiB. What the
   * client sends right behind its handshake counts too, so large ones are not refused, but few are kept while nothing is proved.
   */
  tlsHandshakeBytesMax: 12 * KiB,
  /** Large ones on which nobody has proved yet who he is, of one port and thread: up to 1.1 MiB each, measured. */
  tlsLargeHandshakesMax: 32,
  /** How often handshakes under way are looked at for it. */
  tlsHandshakeCheckMs: 100,
  /** Renegotiations that a client of TLS 1.2 may ask for within ten minutes; no SDK does. */
  tlsRenegotiationsMax: 1,
  /** By how many an address has more of them than another before they give their places to those of the other. */
  unprovedUnfairMin: 16,
  /** File descriptors that connections leave to the event log, the tables and the runtime. */
  descriptorsReserved: 512,
  /** Connections where the system does not say how many files may be open. */
  connectionsUnknownMax: 8192,
  /** Time between two lines of the log about refused connections. */
  connectionWarningMs: 10 * SECOND_MS,
  /** Bytes of a WebSocket on which nobody has proved who he is: what MQTT and AMQP take before that, and frames. */
  websocketUnprovedBytesMax: 80 * KiB,

  /** Bytes of a TLS ClientHello that are kept until its handshake is done, to tell what a refused client offered. */
  clientHelloBytesMax: 2 * KiB,
  /** Time between two lines of the log about failed handshakes of one address and reason, and how many of such pairs are told apart. */
  handshakeWarningMs: 60 * SECOND_MS,
  handshakeFailuresToldMax: 256,
  /** Seconds from the accepted socket to a complete CONNECT, AMQP open or HTTP header. */
  handshakeMs: 30 * SECOND_MS,
  /** Largest MQTT packet: one telemetry message, its topic (64 KiB by the standard's length field) and headers. */
  mqttPacketBytesMax: 256 * KiB + 64 * KiB + 16,
  /** Least bytes of a buffer for what has come of an unfinished packet that is used again. */
  mqttKeptBufferBytesMin: 1 * KiB,
  /** Bytes and number of such buffers that wait to be used again, on one thread: a chunk of the socket for each of 256 connections. */
  mqttKeptBuffersFreeBytesMax: 16 * MiB,
  mqttKeptBuffersFreeMax: 256,
  /** Largest packet before the CONNECT has been accepted: user name, token, will. */
  mqttConnectBytesMax: 16 * KiB,
  /**
   * Packets of one connection that are worked off before the others have their turn. A chunk of the socket holds thirty thousand
   * of the smallest, and the runtime reads up to 32 chunks before it looks at the next socket.
   */
  mqttPacketsPerTurn: 512,
  /** QoS 1 messages of one connection that wait for the disk before its socket is not read. */
  mqttInflightMax: 1024,
  /** Service: subscriptions of one device connection. */
  mqttSubscriptionsMax: 5,
  /** Filters of one SUBSCRIBE or UNSUBSCRIBE; a device has at most seven different ones to name. */
  mqttFiltersPerPacketMax: 32,
  /** Device reference 2.1: the hub drops a connection after 1.5 times its keep alive, at most this. */
  mqttKeepAliveMsMax: 1767 * SECOND_MS,
  /** Characters of a CONNECT's user name: host, ids, version, model and the SDK's name are a few hundred. */
  mqttUserNameCharsMax: 4 * KiB,
  /** Pairs in the property bag of a topic: the application's properties, those of the system, and names given twice. */
  mqttBagPairsMax: 256,
  /** Characters of a twin request's id, which is echoed: SDKs use numbers and UUIDs. */
  mqttRequestIdCharsMax: 256,
  /** Bytes of a topic that a connection remembers for its fast path; a property bag is seldom longer. */
  mqttRememberedTopicBytesMax: 1 * KiB,
  /** How often keep alive, token expiry and handshakes are looked at; a connection ends at most this much late. */
  mqttPulseMs: 500,
  /**
   * Answers and commands that wait in the socket of a peer that does not read, before it is not read either. Far over
   * what commands alone may make wait, so that a peer which must write before it reads on is not held up by them.
   */
  mqttOutputBytesMax: 256 * KiB,
  /** How long a connection that the hub has ended may take to read its last bytes. */
  mqttLingerMs: 2 * SECOND_MS,

  /** Largest WebSocket message: a client may put all that it has to say at once into one, several packets or frames. */
  websocketMessageBytesMax: 1 * MiB,
  /** Fragments of one WebSocket message, each of which the library keeps by itself. SDKs send messages whole. */
  websocketFragmentsMax: 256,
  /** Chunks of the socket that one WebSocket frame may be spread over: the largest message in segments of 512 bytes. */
  websocketChunksMax: 2048,
  /** What a chunk that is kept costs beside its bytes; before somebody has proved who he is, it counts. */
  websocketChunkBytes: 128,
  /** How long the hub waits for the peer's answer to its WebSocket close. */
  websocketCloseMs: 2 * SECOND_MS,

  /** AMQP frame that the hub accepts and announces (device reference 3.1). */
  amqpFrameBytesMax: 64 * KiB,
  /** Frames before the connection is authenticated: a token and a few addresses. */
  amqpFrameBytesMaxUnauthenticated: 16 * KiB,
  /** All bytes of a connection before it is authenticated: header, open, a few attaches, a token. */
  amqpUnauthenticatedBytesMax: 64 * KiB,
  /** A gateway speaks for up to 1000 devices over one AMQP connection; some SDKs begin a session for each of them. */
  amqpSessionsMax: 1024,
  /** Links of one AMQP connection, of all its sessions together: up to six for each device behind a gateway. */
  amqpLinksMax: 8192,
  /**
   * Links of one device on an AMQP connection; the SDKs have up to six. Each that receives commands asks the store whenever one
   * may wait.
   */
  amqpLinksPerDeviceMax: 128,
  /** Devices for which one AMQP connection may put a token: one per device behind a gateway. */
  amqpTokensMax: 1024,
  /** Tokens of policies that one AMQP connection may put: one per event hub link. Each link asks all of them. */
  amqpPolicyTokensMax: 256,
  /** Device reference 3.3: what the hub announces for messages by AMQP; the SDKs fill batches up to it. */
  amqpMessageBytesMax: 1 * MiB,
  /** Bytes of messages that have begun and not ended, of all links of one AMQP connection together. */
  amqpPartialBytesMax: 16 * MiB,
  /** Bytes of one attach: names, addresses and filters of the SDKs have some hundred, and a link keeps them. */
  amqpAttachBytesMax: 8 * KiB,
  /**
   * What sessions and links of one AMQP connection may keep in memory: a link of the SDKs keeps 2 to 4 KiB. Before anybody has
   * proved who he is, that of one connection (a gateway of Java begins a session for each of 1,000 devices before its first token) and
   * of all of them together.
   */
  amqpKeptBytesMax: 40 * MiB,
  amqpUnprovedKeptBytesMax: 1280 * KiB,
  amqpUnprovedKeptBytesMaxInAll: 64 * MiB,
  /** Deliveries of one AMQP connection that its peer has not settled: each disposition may name any range of them. */
  amqpUnsettledMax: 4096,
  /** Telemetry messages of one AMQP link that are not durable yet. */
  amqpTelemetryInflightMax: 1024,
  /** Credit of an AMQP telemetry link whose device is held to a rate. */
  amqpThrottledCreditMax: 32,
  /** Messages of one AMQP batch: each is a record of some hundred bytes, however short its body. */
  amqpBatchMessagesMax: 5000,
  /** Commands that one back end's AMQP link may have sent and that are not stored yet. */
  amqpCommandsInflightMax: 256,
  /** Feedback messages that one back end may hold unsettled over one AMQP link. */
  amqpReceiptBatchesMax: 8,
  /**
   * Questions for receipts and for notifications of files that the links of one policy may have in hand: each is a call of the
   * tables, one connection can have thousands of such links, and all of them look when something has happened.
   */
  amqpTakesPerPolicyMax: 32,
  /** How often AMQP links that wait look for receipts whose time has come. */
  amqpPulseMs: 1 * SECOND_MS,
  /** The same when something has happened: what happens in this time is looked at once. */
  amqpHurryMs: 50,
  /** Refusals of one AMQP connection that the log has a line for: a link that is refused costs its peer some bytes. */
  amqpRefusalsLoggedMax: 16,
  /** Requests to a node of an AMQP connection whose answers wait for the peer's credit. */
  amqpAnswersMax: 64,
  /** Largest request to `$cbs` or `$management`: a token and a few names. */
  amqpRequestBytesMax: 16 * KiB,
  /** How long the hub waits for the peer's answer to its AMQP close before it cuts the stream. */
  amqpCloseMs: 5 * SECOND_MS,
  /**
   * What the values of one AMQP message may take in memory while it is read: a byte on the wire can become a hundred of it. A
   * body is one value, and a hundred properties of 2 KiB take half of it.
   */
  amqpMessageDecodedBytesMax: 1 * MiB,
  /** The same for a batch and all its messages: a full one, 5,000 messages with ten properties each, takes 7 MiB. */
  amqpBatchDecodedBytesMax: 12 * MiB,
  /** The same for the fields of a frame, and for a request to `$cbs` or `$management`: those of the SDKs take 2 to 8 KiB. */
  amqpFrameDecodedBytesMax: 32 * KiB,
  amqpRequestDecodedBytesMax: 64 * KiB,
  /** Nesting of AMQP described types, lists and maps. */
  amqpNestingMax: 16,
  /** Silence after which the hub ends an AMQP connection (device reference 3.1). */
  amqpIdleTimeoutMs: 240 * SECOND_MS,

  /** Devices whose rates a thread remembers; one that is forgotten begins with a full second's worth. */
  throttledDevicesMax: 200_000,
  /** Failures of one address or identity that are answered at once; each one after them waits twice as long. */
  failuresAtOnceMax: 5,
  refusalDelayMs: 100,
  refusalDelayMsMax: 5 * SECOND_MS,
  /** One failure is forgiven in this time. */
  failureForgivenMs: 10 * SECOND_MS,
  /** Addresses, and identities, whose failures are remembered. */
  failuresRememberedMax: 10_000,
  /** Refusals whose answers wait at the same time; those of further ones are given at once. */
  slowRefusalsMax: 1000,
  /**
   * Attempts of one address that are judged, or whose refusal has its time to wait, on one thread. With the longest delay an
   * address makes three guesses a second, whatever the number of its connections.
   */
  slowRefusalsPerAddressMax: 16,
  /** Devices that are named in the report of a roll-over of the hub's authority; all of them are counted. */
  unseenDevicesShownMax: 1000,
  /** Service: certificate authorities of one hub. */
  authoritiesMax: 25,
  authorityNameCharsMax: 64,
  /** DER bytes of one certificate that is read: an RSA one of 4096 bits with many names has 2 to 3 KiB. */
  certificateBytesMax: 16 * KiB,
  /** Intermediates between a device and its authority. */
  certificateIntermediatesMax: 5,
  /** Signatures that are checked for one chain, some 100 µs each: crafted chains must not buy more. */
  certificateSignaturesMax: 16,
  /** Intermediates that are remembered for resumed TLS sessions, over all authorities. */
  intermediatesKeptMax: 256,
  /** Identities that a thread keeps ready for authentication. */
  identityCacheMax: 200_000,
  /** Ids that a thread remembers not to exist, so that guessed ones do not reach the store again and again. */
  unknownIdentityCacheMax: 10_000,
  /** Characters of a device scope: an identity's id, a generation id and a scheme. */
  scopeCharsMax: 256,
  /** Identities without a connection whose last activity presence keeps in memory. */
  presenceMemoryMax: 200_000,
  /** Connections of one hub to PostgreSQL; measured, sixteen commit three times as often as one. */
  postgresConnectionsMax: 16,
  /** How often an operation is tried that PostgreSQL has taken back because two of them waited for each other. */
  postgresAttemptsMax: 5,
  postgresConnectMs: 10 * SECOND_MS,
  /** Table operations that wait for the store's thread before more are refused. */
  tableQueueMax: 10_000,
  /** Rows that the table operations of one commit touch, about: some milliseconds of the store's thread. */
  tableBatchRowsMax: 512,
  /** Durable MQTT sessions are kept this long after the device was last seen. */
  subscriptionIdleMs: 14 * 24 * HOUR_MS,
  /** Least share of `writerBytesMax` and `batchBytesMax` that a listener thread has: some of the largest messages. */
  threadWriterBytesMin: 1 * MiB,
  /** Batches of a listener thread on their way to the journal at the same time. */
  threadCommitsMax: 4,
  /** Bytes for which a listener thread sends a batch beside those on their way: less is not worth the hop. */
  threadCommitBytesMin: 256 * KiB,
  /** How late the main thread may hear how many connections a listener thread has. */
  threadCountsMs: 500,
  /** How long session tickets are sealed with the same keys, where listener threads share them. */
  ticketKeysMs: 24 * HOUR_MS,
  /** How late presence may hear that a connection of a listener thread is active. */
  presenceTouchMs: 1 * SECOND_MS,
  /** Listener threads: more than a machine for this program has cores. */
  threadsMax: 64,
  /** Time until a listener thread that has died is started again: doubled with each death in a row, up to the longest. */
  threadRestartMsMin: 100,
  threadRestartMsMax: 30 * SECOND_MS,
  /** A listener thread that has lived this long begins anew with the shortest time. */
  threadStableMs: 60 * SECOND_MS,
  /** How long a change of an identity waits for a listener thread that does not say that it has heard of it. */
  threadToldMsMax: 2 * SECOND_MS,
  /** One packet between nodes: as much as a call carries at most, a batch of events among it. */
  memberFrameBytesMax: 16 * MiB,
  /** What waits for a node that does not read, before its link is given up. */
  memberUnsentBytesMax: 64 * MiB,
  /** How long a listener thread may take to end by itself before it is ended. */
  threadEndMs: 2 * SECOND_MS,
  /** Calls of one listener thread that wait for the main thread. */
  threadCallsMax: 10_000,
  /** Devices whose last event number the monitor remembers; a device that it has forgotten goes on with a gap. */
  monitoringNumbersMax: 200_000,
  /** Alike failures of one source within this time are one event. */
  monitoringWindowMs: 10 * SECOND_MS,
  /** Devices that are told apart under one address while its failures are summed; an attack tries thousands. */
  monitoringSourcesPerAddressMax: 16,
  /** Addresses that are told apart at a time: with the line above, this bounds the table of sums. */
  monitoringAddressesMax: 4096,
  /** Monitoring events that wait while their log takes none; more are counted as missed. */
  monitoringPendingMax: 10_000,
  /** Slowed senders are told of once in this time, and as many are told apart on one listener thread. */
  monitoringSlowedMs: 1 * SECOND_MS,
  monitoringSlowedMax: 4096,
  /** Time between two attempts to write waiting monitoring events. */
  monitoringRetryMs: 1 * SECOND_MS,
  /** Traced messages that are on their way to the disk; further ones are not traced. */
  tracesPendingMax: 10_000,
  /** Bytes that are read at a time to find where traced messages were stored. */
  traceReadBytesMax: 256 * KiB,
  /** Devices that connect or are connected and whose connection a trace can name. */
  traceConnectionsMax: 200_000,
  /** Traced messages whose spans are not complete, or whose readers may still come. */
  spanTracesOpenMax: 10_000,
  /** Commands that have ended and whose trails are to be read for their spans, and how many are read at a time. */
  spanTrailsPendingMax: 10_000,
  spanTrailsReadMax: 16,
  /** Locks of commands, and batches of receipts, whose settlement can be told as a span. */
  spanLocksMax: 100_000,
  spanReceiptBatchesMax: 1000,
  /** Spans that wait for the collector, about 1 KiB each; further ones are dropped and counted. */
  spansPendingMax: 8192,
  /** Spans of one request, and how long the first of them waits for others. */
  spansPerRequestMax: 512,
  spansWaitMs: 1 * SECOND_MS,
  /** How long the collector may take to answer, how much of its answer is read, how often a batch is tried. */
  collectorAnswerMs: 10 * SECOND_MS,
  collectorAnswerBytesMax: 64 * KiB,
  collectorAttemptsMax: 5,
  /** Wait before a batch is tried again, doubled each time up to the longest; also the longest that a collector may ask for. */
  collectorRetryMsMin: 1 * SECOND_MS,
  collectorRetryMsMax: 30 * SECOND_MS,
  /** How long a stop waits for the collector to take what is left. */
  collectorStopMs: 3 * SECOND_MS,
  /** How often the hub looks at its own health where nobody asks, and how long whoever asks waits at most. */
  healthEveryMs: 30 * SECOND_MS,
  healthWaitMs: 1 * SECOND_MS,
  /** How long a check may be silent before that is what is wrong: longer than a busy disk takes. */
  healthSilenceMs: 5 * SECOND_MS,
  /** How long the result of a check that writes to the disk is good. */
  healthProbeKeptMs: 2 * SECOND_MS,
  /** What the tables write to see whether there is room again: as much as the largest command. */
  tablesRoomBytes: 128 * KiB,
  /** How exactly stalls of the loop are measured, and for how long the longest one is shown (and up to twice that). */
  stallResolutionMs: 10,
  stallWindowMs: 60 * SECOND_MS,
  /** How often the loop is looked at for the log, and the stall from which the log tells of it. */
  stallLookMs: 50,
  stallToldMs: 500,
  /** The stall from which health warns. */
  stallWarnMs: 5 * SECOND_MS,
  /** Bytes that a backup copies between two syncs: a longer one would make the event log's own wait. */
  backupStepBytes: 4 * MiB,
  /** How far behind its last numbers a restored event log goes on: events that were given numbers after the backup. */
  restoredSequenceStep: 2 ** 31,
  /** Share of the disk that should be free. */
  diskFreeShareMin: 0.05,
  /** Time before the end of a certificate from which it is told; one of ours is renewed long before. */
  certificateWarnMs: 14 * 24 * HOUR_MS,
  /** The same for the hub's own CA: devices must be told of its successor first. */
  authorityWarnMs: 90 * 24 * HOUR_MS,
  /** Devices or addresses that each kind of detection keeps counts of. */
  detectionSubjectsMax: 50_000,
  /** Characters of a text from outside (an id, a reason) in a monitoring event. */
  monitoringTextCharsMax: 256,
  /** Clients of `/events` on the admin port, and bytes that one may leave unread before it is dropped. */
  eventStreamClientsMax: 16,
  eventStreamBytesMax: 1 * MiB,
  /** How long a client of `/events` that was dropped may take to read why. */
  eventStreamLingerMs: 2 * SECOND_MS,
  /** How long a change of presence waits for others before it is written; a crash within it forgets the change. */
  presenceFlushMs: 20,
  /** Rows of one write of presence; with it, how long the tables' thread is held. */
  presenceBatchMax: 500,
  /** How exact the stored last activity of a connected device is; exact while the hub runs and when it disconnects. */
  presenceActivityMs: 60 * SECOND_MS,
  /** How long the stop signal waits for connections to drain, and how long an operator may make that. */
  drainMs: 10 * SECOND_MS,
  drainMsMax: 300 * SECOND_MS,

  /** Characters and segments of a file's name (service: 1,024 characters). */
  fileNameCharsMax: 1024,
  fileNameSegmentsMax: 64,
  /** Service: largest file that a device uploads by the SDKs' defaults is far smaller; ours is a setting, and so are the next. */
  fileBytesMax: 4 * 1024 * MiB,
  filesBytesMax: 64 * 1024 * MiB,
  fileBytesPerDeviceMax: 16 * 1024 * MiB,
  /** Files of one device: each is an entry of one folder. */
  filesPerDeviceMax: 10_000,
  /** Service: uploads that one device may have open, and how long a signed URL for one is good. */
  fileUploadsOpenMax: 10,
  fileUploadMs: HOUR_MS,
  /** Service: how long back ends may take to fetch and to settle a notification of an upload, and how often one comes back. */
  fileNotificationTtlMs: HOUR_MS,
  fileNotificationLockMs: 60 * SECOND_MS,
  fileNotificationDeliveryCountMax: 100,
  /** Service: blocks of one file, and bytes of a block list that names as many. */
  fileBlocksMax: 50_000,
  fileBlockListBytesMax: 8 * MiB,
  /** Bytes of block lists that are being read, of all devices together; one device has those of one list at most. */
  fileBlockListsBytesMax: 64 * MiB,
  /** Service: decoded bytes of a block's id. */
  fileBlockIdBytesMax: 64,
  /** Bytes of a file that are written at once, and after how many the disk is synced while more come. */
  fileWriteBytes: 512 * KiB,
  fileSyncBytes: 8 * MiB,
  /** Work on files that is with the disk at a time: the journal needs a thread of the runtime's four. */
  fileWorkAtOnceMax: 2,
  /** Share of the disk that files leave free: the event log needs it. */
  filesDiskReserveShare: 0.05,
  /** How long blocks are kept after their upload's time was over. */
  stagedBlocksKeptMs: HOUR_MS,
  /** Uploads and notifications that one sweep ends, and how often it comes. */
  sweepFilesMax: 500,
  sweepFilesMs: 30 * SECOND_MS,
  /** Bytes of a file that is refused that are read and dropped, so that the client reads the answer: a block of most libraries. */
  fileRefusedBytesMax: 8 * MiB,
  /** Longest time for which a device may be let fetch a file; the setting's default. */
  fileGrantMsMax: 30 * 24 * HOUR_MS,
  /** Files that one device may be let fetch at a time, and devices of one request to let them. */
  fileGrantsPerDeviceMax: 100,
  fileGrantsPerRequestMax: 1000,
  /** Rollouts of files that run at a time, devices of one, and devices of one of its waves. */
  rolloutsRunningMax: 20,
  rolloutDevicesMax: 10_000,
  rolloutWaveMax: 1000,
  /** How often rollouts are carried on. */
  rolloutStepMs: 1 * SECOND_MS,
  /** How long the receipt of a file is kept after its grant was over. */
  fileReceiptsKeptMs: 30 * 24 * HOUR_MS,
  /** Grants or files in one page of a list. */
  fileListPageMax: 1000,
  /** Silence of a client in the middle of a file, before the connection is ended. */
  fileSilenceMs: 60 * SECOND_MS,

  /** CLI: batches of receipts that a look at them holds under locks, 64 receipts each. */
  cliReceiptBatchesHeldMax: 100,
  /** CLI: how long the admin port may take to tell of the hub's health. */
  cliHealthMs: 10 * SECOND_MS,
  /** CLI: events that a live view has asked for and not shown yet, over all partitions. */
  cliEventsWaitingMax: 1024,
  /** CLI: devices that one `simulate` plays; each costs a TLS connection, about 90 KiB here (measured with 2,000). */
  cliSimulatedDevicesMax: 100_000,
  /** CLI: connections that `simulate` opens at the same time: a TLS handshake costs 2 to 3 ms of CPU. */
  cliConnectsAtOnceMax: 256,
} as const;
