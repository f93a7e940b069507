// A device by go-coap, whose DTLS is pion's: sends a small message and one in blocks, reads its twin, and takes a command.
//
// Arguments: udp or dtls, host:port, the query that each request has ("" = none), and for DTLS the identity and the cipher suite; its key as
// hex on standard input. Prints what came, a line each.
package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	piondtls "github.com/pion/dtls/v3"
	"github.com/plgd-dev/go-coap/v3/dtls"
	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	"github.com/plgd-dev/go-coap/v3/udp"
	"github.com/plgd-dev/go-coap/v3/udp/client"
)

var suites = map[string]piondtls.CipherSuiteID{
	"ccm8": piondtls.TLS_PSK_WITH_AES_128_CCM_8,
	"ccm":  piondtls.TLS_PSK_WITH_AES_128_CCM,
	"gcm":  piondtls.TLS_PSK_WITH_AES_128_GCM_SHA256,
}

func must(err error) {
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
}

func open(args []string) *client.Conn {
	if args[0] == "udp" {
		conn, err := udp.Dial(args[1])
		must(err)
		return conn
	}
	text, err := io.ReadAll(os.Stdin)
	must(err)
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	must(err)
	conn, err := dtls.Dial(args[1], &piondtls.Config{
		PSK:             func([]byte) ([]byte, error) { return key, nil },
		PSKIdentityHint: []byte(args[3]),
		CipherSuites:    []piondtls.CipherSuiteID{suites[args[4]]},
	})
	must(err)
	return conn
}

func say(what string, answer *pool.Message) {
	body, _ := answer.ReadBody()
	fmt.Printf("%s %d.%02d %s\n", what, answer.Code()>>5, answer.Code()&31, body)
}

func main() {
	conn := open(os.Args[1:])
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	var query []message.Option
	for _, part := range strings.FieldsFunc(strings.TrimPrefix(os.Args[3], "?"), func(r rune) bool { return r == '&' }) {
		query = append(query, message.Option{ID: message.URIQuery, Value: []byte(part)})
	}
	post := func(what string, body []byte) {
		answer, err := conn.Post(ctx, "/telemetry", message.TextPlain, bytes.NewReader(body), query...)
		must(err)
		say(what, answer)
	}
	post("small", []byte("small"))
	post("large", bytes.Repeat([]byte("x"), 20000))
	twin, err := conn.Get(ctx, "/twin", query...)
	must(err)
	say("twin", twin)
	notes := make(chan struct{}, 16)
	what := "observes"
	_, err = conn.Observe(ctx, "/commands", func(note *pool.Message) {
		say(what, note)
		what = "command"
		notes <- struct{}{}
	}, query...)
	must(err)
	<-notes
	select {
	case <-notes:
	case <-ctx.Done():
		must(ctx.Err())
	}
	time.Sleep(200 * time.Millisecond)
	must(conn.Close())
}
