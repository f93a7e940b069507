package main

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/Azure/go-amqp"
)

type deviceJob struct {
	Host     string
	DeviceID string
	Key      string
	// Each message is sent under this id, an AMQP uuid, with the text `message {n}`.
	MessageID [16]byte
	Messages  int
}

// serveDevices is a device without an SDK for devices: AMQP 1.0 by the library that Go's Azure SDKs stand on, with a token by
// CBS. It sends its messages, then takes one command and accepts it.
func serveDevices(ctx context.Context, line []byte, _ *bufio.Reader) error {
	job := deviceJob{}
	if err := json.Unmarshal(line, &job); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	options := &amqp.ConnOptions{SASLType: amqp.SASLTypeAnonymous(), TLSConfig: trust(), HostName: job.Host}
	connection, err := amqp.Dial(ctx, "amqps://"+job.Host+":5671", options)
	if err != nil {
		return err
	}
	defer connection.Close()
	session, err := connection.NewSession(ctx, nil)
	if err != nil {
		return err
	}
	resource := job.Host + "/devices/" + job.DeviceID
	if err := putToken(ctx, session, resource, job.Key); err != nil {
		return err
	}
	// It insists on these modes: the library refuses a link that is answered with others.
	address := "/devices/" + job.DeviceID + "/messages/"
	sender, err := session.NewSender(ctx, address+"events", &amqp.SenderOptions{
		SettlementMode:              amqp.SenderSettleModeUnsettled.Ptr(),
		RequestedReceiverSettleMode: amqp.ReceiverSettleModeFirst.Ptr(),
	})
	if err != nil {
		return err
	}
	receiver, err := session.NewReceiver(ctx, address+"devicebound", &amqp.ReceiverOptions{
		SettlementMode:            amqp.ReceiverSettleModeFirst.Ptr(),
		RequestedSenderSettleMode: amqp.SenderSettleModeUnsettled.Ptr(),
	})
	if err != nil {
		return err
	}
	for n := range job.Messages {
		message := amqp.NewMessage([]byte(fmt.Sprint("message ", n)))
		message.Properties = &amqp.MessageProperties{MessageID: amqp.UUID(job.MessageID)}
		message.ApplicationProperties = map[string]any{"n": fmt.Sprint(n)}
		if err := sender.Send(ctx, message, nil); err != nil {
			return err
		}
	}
	report("sent", object{"count": job.Messages})
	command, err := receiver.Receive(ctx, nil)
	if err != nil {
		return err
	}
	if err := receiver.AcceptMessage(ctx, command); err != nil {
		return err
	}
	report("command", object{
		"messageId": textOf(command.Properties.MessageID),
		"body":      base64.StdEncoding.EncodeToString(command.GetData()),
	})
	return nil
}

// putToken shows the node $cbs a token that the device's own key signs.
func putToken(ctx context.Context, session *amqp.Session, resource, key string) error {
	secret, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		return err
	}
	name, expiry := url.QueryEscape(resource), time.Now().Add(time.Hour).Unix()
	digest := hmac.New(sha256.New, secret)
	fmt.Fprintf(digest, "%s\n%d", name, expiry)
	signature := url.QueryEscape(base64.StdEncoding.EncodeToString(digest.Sum(nil)))
	token := fmt.Sprintf("SharedAccessSignature sr=%s&sig=%s&se=%d", name, signature, expiry)
	requests, err := session.NewSender(ctx, "$cbs", nil)
	if err != nil {
		return err
	}
	answers, err := session.NewReceiver(ctx, "$cbs", nil)
	if err != nil {
		return err
	}
	message := &amqp.Message{Value: token, Properties: &amqp.MessageProperties{MessageID: "token"}}
	message.ApplicationProperties = map[string]any{
		"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": resource,
	}
	if err := requests.Send(ctx, message, nil); err != nil {
		return err
	}
	answer, err := answers.Receive(ctx, nil)
	if err != nil {
		return err
	}
	if status := answer.ApplicationProperties["status-code"]; status != int32(200) {
		return fmt.Errorf("put-token was answered %v", status)
	}
	return nil
}
