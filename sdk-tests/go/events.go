package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/coder/websocket"
)

type readJob struct {
	ConnectionString string
	Count            int64
	Transport        string
	Mode             string
	TimeoutMs        int64
	// Of a processor: it stops there, and a second one goes on from the checkpoints of the first.
	StopAfter int64
}

func clientOptions(job readJob) *azeventhubs.ConsumerClientOptions {
	options := &azeventhubs.ConsumerClientOptions{TLSConfig: trust()}
	if job.Transport != "WebSocket" {
		return options
	}
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: trust()}}
	// As the example of the SDK's documentation does it, sub-protocol included.
	options.NewWebSocketConn = func(ctx context.Context, args azeventhubs.WebSocketConnParams) (net.Conn, error) {
		dial := &websocket.DialOptions{Subprotocols: []string{"amqp"}, HTTPClient: web}
		connection, _, err := websocket.Dial(ctx, args.Host, dial)
		if err != nil {
			return nil, err
		}
		return websocket.NetConn(context.Background(), connection, websocket.MessageBinary), nil
	}
	return options
}

func readEvents(ctx context.Context, line []byte, _ *bufio.Reader) error {
	job := readJob{TimeoutMs: 120_000}
	if err := json.Unmarshal(line, &job); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(job.TimeoutMs)*time.Millisecond)
	defer cancel()
	// The connection string names the event hub.
	client, err := azeventhubs.NewConsumerClientFromConnectionString(job.ConnectionString, "", azeventhubs.DefaultConsumerGroup, clientOptions(job))
	if err != nil {
		return err
	}
	hub, err := client.GetEventHubProperties(ctx, nil)
	if err != nil {
		return err
	}
	report("event hub", object{"name": hub.Name, "partitionIds": hub.PartitionIDs})
	for _, id := range hub.PartitionIDs {
		one, err := client.GetPartitionProperties(ctx, id, nil)
		if err != nil {
			return err
		}
		report("partition", object{"partition": id, "last": one.LastEnqueuedSequenceNumber})
	}
	var seen atomic.Int64
	if job.Mode == "processor" {
		store := newMemoryStore()
		if job.StopAfter > 0 {
			if err := process(ctx, client, store, &seen, job.StopAfter, job.StopAfter); err != nil {
				return err
			}
			report("stopped", object{"count": seen.Load()})
		}
		if err := process(ctx, client, store, &seen, job.Count, math.MaxInt64); err != nil {
			return err
		}
	} else if err := receive(ctx, client, hub.PartitionIDs, &seen, job.Count); err != nil {
		return err
	}
	kind := "done"
	if seen.Load() < job.Count {
		kind = "too few"
	}
	report(kind, object{"count": seen.Load()})
	return nil
}

// receive reads every partition from its start, until it has `count` events and half a second more.
func receive(ctx context.Context, client *azeventhubs.ConsumerClient, ids []string, seen *atomic.Int64, count int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, id := range ids {
		start := azeventhubs.StartPosition{Earliest: to.Ptr(true)}
		partition, err := client.NewPartitionClient(id, &azeventhubs.PartitionClientOptions{StartPosition: start})
		if err != nil {
			return err
		}
		go pump(ctx, id, partition.ReceiveEvents, func(events []*azeventhubs.ReceivedEventData) error { return nil }, seen, math.MaxInt64)
	}
	waitFor(ctx, seen, count)
	return nil
}

// process does the same with a Processor that leaves a checkpoint behind every batch; it takes no new one from `limit` events on.
func process(ctx context.Context, client *azeventhubs.ConsumerClient, store azeventhubs.CheckpointStore, seen *atomic.Int64, count, limit int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	processor, err := azeventhubs.NewProcessor(client, store, &azeventhubs.ProcessorOptions{
		LoadBalancingStrategy: azeventhubs.ProcessorStrategyGreedy,
		UpdateInterval:        200 * time.Millisecond,
		StartPositions:        azeventhubs.StartPositions{Default: azeventhubs.StartPosition{Earliest: to.Ptr(true)}},
	})
	if err != nil {
		return err
	}
	var pumps atomic.Int64
	go func() {
		for {
			partition := processor.NextPartitionClient(ctx)
			if partition == nil {
				return
			}
			pumps.Add(1)
			go func() {
				defer pumps.Add(-1)
				defer partition.Close(context.Background())
				pump(ctx, partition.PartitionID(), partition.ReceiveEvents, func(events []*azeventhubs.ReceivedEventData) error {
					return partition.UpdateCheckpoint(context.Background(), events[len(events)-1], nil)
				}, seen, limit)
			}()
		}
	}()
	ended := make(chan error, 1)
	go func() { ended <- processor.Run(ctx) }()
	waitFor(ctx, seen, count)
	cancel()
	err = <-ended
	for pumps.Load() > 0 {
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

func waitFor(ctx context.Context, seen *atomic.Int64, count int64) {
	for seen.Load() < count && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(500 * time.Millisecond)
}

type receiving func(ctx context.Context, count int, options *azeventhubs.ReceiveEventsOptions) ([]*azeventhubs.ReceivedEventData, error)

func pump(ctx context.Context, id string, receive receiving, taken func([]*azeventhubs.ReceivedEventData) error, seen *atomic.Int64, limit int64) {
	for ctx.Err() == nil && seen.Load() < limit {
		batch, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		events, err := receive(batch, 20, nil)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			report("error", object{"error": describe(err)})
			return
		}
		for _, event := range events {
			show(id, event)
		}
		if len(events) > 0 {
			if err := taken(events); err != nil {
				report("error", object{"error": describe(err)})
				return
			}
		}
		seen.Add(int64(len(events)))
	}
}

func show(id string, event *azeventhubs.ReceivedEventData) {
	system := object{}
	for name, value := range event.SystemProperties {
		if at, isTime := value.(time.Time); isTime {
			value = at.UnixMilli()
		}
		system[name] = value
	}
	own := event.RawAMQPMessage.Properties
	if own != nil && own.UserID != nil {
		system["user-id"] = string(own.UserID)
	}
	if own != nil && own.ContentEncoding != nil {
		system["content-encoding"] = *own.ContentEncoding
	}
	properties := object{}
	for name, value := range event.Properties {
		properties[name] = value
	}
	var messageID, correlationID any
	if own != nil {
		messageID, correlationID = textOf(own.MessageID), textOf(own.CorrelationID)
	}
	report("event", object{
		"partition":      id,
		"sequenceNumber": event.SequenceNumber,
		"offset":         event.Offset,
		"enqueuedTime":   event.EnqueuedTime.UnixMilli(),
		"body":           base64.StdEncoding.EncodeToString(event.Body),
		"properties":     properties,
		"system":         system,
		"messageId":      messageID,
		"correlationId":  correlationID,
		"contentType":    event.ContentType,
	})
}

// textOf shows an id of a message: text as it stands, a UUID in its canonical form.
func textOf(id any) any {
	if uuid, isUUID := id.(interface{ String() string }); isUUID {
		return strings.ToLower(uuid.String())
	}
	return id
}
