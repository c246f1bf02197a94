// Hubble's observer server over flows that are given to it: its ring, filters, masks, gRPC server and peer service are
// Cilium's; in the place of the parser of datapath events stands one that takes flows as they are.
//
// Standard input has one JSON object a line: an observer.ExportEvent (what "observe -o json" and the exporter write), or
//
//	{"sync": N}     "synced N" on standard output, once all lines before are in the ring
//	{"peer": {…}}   a node that the peer service tells of; see peerCommand
//
// The newest event of the ring is never shown by Hubble; who wants to see all of theirs writes one more.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	"github.com/cilium/cilium/pkg/crypto/certloader"
	v1 "github.com/cilium/cilium/pkg/hubble/api/v1"
	"github.com/cilium/cilium/pkg/hubble/container"
	"github.com/cilium/cilium/pkg/hubble/observer"
	"github.com/cilium/cilium/pkg/hubble/observer/namespace"
	"github.com/cilium/cilium/pkg/hubble/observer/observeroption"
	observerTypes "github.com/cilium/cilium/pkg/hubble/observer/types"
	parserErrors "github.com/cilium/cilium/pkg/hubble/parser/errors"
	"github.com/cilium/cilium/pkg/hubble/peer"
	"github.com/cilium/cilium/pkg/hubble/peer/serviceoption"
	"github.com/cilium/cilium/pkg/hubble/server"
	"github.com/cilium/cilium/pkg/hubble/server/serveroption"
	nodeTypes "github.com/cilium/cilium/pkg/node/types"
	"github.com/cilium/cilium/pkg/option"
)

// sync stands in the queue of events: whoever decodes it has decoded all that came before.
type sync struct{ number int }

// given passes on what it is given, in the place of a parser.
type given struct{}

func (given) Decode(m *observerTypes.MonitorEvent) (*v1.Event, error) {
	switch payload := m.Payload.(type) {
	case *v1.Event:
		return payload, nil
	case sync:
		fmt.Printf("synced %d\n", payload.number)
	}
	return nil, parserErrors.ErrEventSkipped
}

func eventOf(line []byte) (*v1.Event, error) {
	var e observerpb.ExportEvent
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(line, &e); err != nil {
		return nil, err
	}
	switch is := e.GetResponseTypes().(type) {
	case *observerpb.ExportEvent_Flow:
		return &v1.Event{Timestamp: is.Flow.GetTime(), Event: is.Flow}, nil
	case *observerpb.ExportEvent_LostEvents:
		return &v1.Event{Timestamp: e.GetTime(), Event: is.LostEvents}, nil
	case *observerpb.ExportEvent_AgentEvent:
		return &v1.Event{Timestamp: e.GetTime(), Event: is.AgentEvent}, nil
	case *observerpb.ExportEvent_DebugEvent:
		return &v1.Event{Timestamp: e.GetTime(), Event: is.DebugEvent}, nil
	}
	return nil, fmt.Errorf("neither flow nor event")
}

// read hands the lines on until they end.
func read(nodes *nodes, events chan<- *observerTypes.MonitorEvent) {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 1 {
			take(line, nodes, events)
		}
		if err != nil {
			return
		}
	}
}

func take(line []byte, nodes *nodes, events chan<- *observerTypes.MonitorEvent) {
	var command struct {
		Sync *int
		Peer *peerCommand
	}
	if json.Unmarshal(line, &command) == nil && command.Sync != nil {
		events <- &observerTypes.MonitorEvent{Payload: sync{*command.Sync}}
		return
	}
	if command.Peer != nil {
		if err := nodes.change(command.Peer); err != nil {
			fmt.Fprintln(os.Stderr, "peer:", err)
		}
		return
	}
	event, err := eventOf(line)
	if err != nil {
		fmt.Fprintf(os.Stderr, "line: %v: %s", err, line)
		return
	}
	events <- &observerTypes.MonitorEvent{Payload: event}
}

func main() {
	listen := flag.String("listen", "", "unix:///path or host:port")
	capacity := flag.Int("capacity", 4095, "flows of the ring, 2^k - 1")
	node := flag.String("node-name", "n0", "name of the node")
	cluster := flag.String("cluster", "", "name of its cluster")
	interval := flag.Duration("lost-interval", time.Second, "between two reports of a loss")
	ready := flag.Int("ready-fd", -1, "a line is written to this descriptor when serving")
	peerPort := flag.Int("peer-port", 0, "port of all peers")
	peerTLS := flag.Bool("peer-tls", false, "tell names for TLS with the peers")
	cert := flag.String("tls-cert-file", "", "certificate chain")
	key := flag.String("tls-key-file", "", "its private key")
	ca := flag.String("tls-client-ca-file", "", "demand client certificates signed by one of these (at commas)")
	verbose := flag.Bool("verbose", false, "log to standard error")
	flag.Parse()

	log := slog.New(slog.DiscardHandler)
	if *verbose {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	nodeTypes.SetName(*node)
	option.Config.ClusterName = *cluster

	ring, err := container.NewCapacity(*capacity)
	check(err)
	obs, err := observer.NewLocalServer(given{}, namespace.NewManager(), log, observeroption.WithMaxFlows(ring),
		observeroption.WithLostEventSendInterval(*interval))
	check(err)
	go obs.Start()

	peers := &nodes{}
	peerOptions := []serviceoption.Option{serviceoption.WithHubblePort(*peerPort)}
	if !*peerTLS {
		peerOptions = append(peerOptions, serviceoption.WithoutTLSInfo())
	}
	options := []serveroption.Option{
		serveroption.WithHealthService(),
		serveroption.WithObserverService(obs),
		serveroption.WithPeerService(peer.NewService(peers, peerOptions...)),
	}
	if path, isUnix := strings.CutPrefix(*listen, "unix://"); isUnix {
		options = append(options, listenUnix(path))
	} else {
		options = append(options, serveroption.WithTCPListener(*listen))
	}
	if *cert != "" {
		var cas []string
		if *ca != "" {
			cas = strings.Split(*ca, ",")
		}
		config, err := certloader.NewWatchedServerConfig(log, cas, *cert, *key)
		check(err)
		options = append(options, serveroption.WithServerTLS(config))
	} else {
		options = append(options, serveroption.WithInsecure())
	}
	srv, err := server.NewServer(log, options...)
	check(err)
	if *ready >= 0 {
		fmt.Fprintf(os.NewFile(uintptr(*ready), "ready"), "ready %s\n", *listen)
	}
	go read(peers, obs.GetEventsChannel())
	check(srv.Serve())
}

// listenUnix is serveroption.WithUnixSocketListener without the group that only an agent's machine has.
func listenUnix(path string) serveroption.Option {
	return func(o *serveroption.Options) (err error) {
		o.Listener, err = net.Listen("unix", path)
		return err
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
