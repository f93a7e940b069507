// The stock Go clients as judges: `events` (azeventhubs reads) or `device` (go-amqp is a device). The job is one line of
// JSON; what the SDK showed comes out as JSON lines, as clients/events-read.py and clients/devices.py say it.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"sync"
)

type object map[string]any

var out sync.Mutex

func report(kind string, fields object) {
	fields["kind"] = kind
	line, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	out.Lock()
	defer out.Unlock()
	fmt.Println(string(line))
}

func describe(err error) object {
	return object{"name": fmt.Sprintf("%T", err), "message": err.Error()}
}

func trust() *tls.Config {
	pem, err := os.ReadFile(os.Getenv("NODE_EXTRA_CA_CERTS"))
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: roots}
}

func main() {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		panic(err)
	}
	run := map[string]func(context.Context, []byte, *bufio.Reader) error{"events": readEvents, "device": serveDevices}[os.Args[1]]
	if err := run(context.Background(), line, in); err != nil {
		report("error", object{"error": describe(err)})
	}
}
