// Command egress is a small egress worker for machines without LiveKit's own image. It is test
// equipment: see ../README.md.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/livekit/protocol/logger"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"google.golang.org/protobuf/proto"
)

// version is told in the log.
const version = "greenroom-egress 1"

func main() {
	path := flag.String("config", "egress.yaml", "configuration file")
	// The worker starts itself again for each egress, so that one that crashes takes no other
	// with it.
	handling := flag.Bool("handler", false, "be the handler of one egress (internal)")
	flag.Parse()

	c, err := readConfig(*path)
	if err != nil {
		fmt.Fprintln(os.Stderr, "egress:", err)
		os.Exit(2)
	}
	logger.InitFromConfig(&c.Logging, "egress")
	// What the SDK says about each packet of signalling is of no use here.
	quiet := c.Logging.Level
	if quiet == "info" {
		quiet = "warn"
	}
	sdk, err := logger.NewZapLogger(&logger.Config{JSON: c.Logging.JSON, Level: quiet})
	if err == nil {
		lksdk.SetLogger(sdk)
	}
	if *handling {
		err = runHandler(c)
	} else {
		err = runWorker(c)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "egress:", err)
		os.Exit(1)
	}
}

func clone[M proto.Message](m M) M {
	return proto.Clone(m).(M)
}
