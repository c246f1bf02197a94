// events answers what Cilium's event parser makes of monitor messages, in a world that a file describes.
//
//	events WORLD.json < questions > answers
//
// A question is a line of tab-separated columns: id, kind, payload, cpu, node, options, as in the recorded events
// (golden/events/README.md). Three kinds are not among those: a "record" is an L7 record and a "notify" an agent's
// notification as JSON, which the parser is given as the agent would give it; a "stream" is a list of payloads for the monitor socket. An answer is a line: id, outcome (flow, skip,
// error, or crash), JSON or why not, and for these kinds what the agent would send to its listeners.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observer "github.com/cilium/cilium/pkg/hubble/observer/types"
	"github.com/cilium/cilium/pkg/hubble/parser"
	parserErrors "github.com/cilium/cilium/pkg/hubble/parser/errors"
	"github.com/cilium/cilium/pkg/hubble/parser/options"
)

const columns = 6

type question struct {
	kind, payload, node string
	cpu                 int
}

// parserOptions is the options column.
type parserOptions struct {
	PolicyCorrelation *bool `json:"policy_correlation"`
	SkipUnknownCgroup *bool `json:"skip_unknown_cgroup_ids"`
	Redact            *struct {
		URLQuery bool     `json:"http_urlquery"`
		UserInfo bool     `json:"http_userinfo"`
		APIKey   bool     `json:"kafka_apikey"`
		Allow    []string `json:"headers_allow"`
		Deny     []string `json:"headers_deny"`
	} `json:"redact"`
}

func newParser(w *world, text string) (*parser.Parser, error) {
	var o parserOptions
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return nil, err
	}
	var opts []options.Option
	if o.PolicyCorrelation != nil {
		opts = append(opts, options.WithNetworkPolicyCorrelation(*o.PolicyCorrelation))
	}
	if o.SkipUnknownCgroup != nil {
		opts = append(opts, options.WithSkipUnknownCGroupIDs(*o.SkipUnknownCgroup))
	}
	if r := o.Redact; r != nil {
		opts = append(opts, options.WithRedact(r.URLQuery, r.UserInfo, r.APIKey, r.Allow, r.Deny))
	}
	return parser.New(slog.New(slog.NewTextHandler(io.Discard, nil)), w, w, w, w, w, w, w, opts...)
}

// event is what the parser is given, and for records and notifications what listeners are sent.
func event(q question) (payload any, sent []byte, err error) {
	switch q.kind {
	case "lost":
		payload, err = lostEvent(q.payload)
	case "record":
		payload, sent, err = recordEvent(q.payload)
	case "notify":
		payload, sent, err = notifyEvent(q.payload)
	default:
		var data []byte
		if data, err = hex.DecodeString(q.payload); err != nil {
			return
		}
		switch {
		case q.kind == "l7" || q.kind == "agent":
			payload, err = agentEvent(data)
		default:
			payload = &observer.PerfEvent{Data: slices.Clip(data), CPU: q.cpu}
		}
	}
	return
}

// dropped are members that are no function of the question.
var dropped = []string{"uuid", "time", "emitter", "node_labels"}

func jsonOf(ev any) (string, error) {
	message, ok := ev.(proto.Message)
	if !ok {
		return "", errors.New("no message")
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(message)
	if err != nil {
		return "", err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return "", err
	}
	if _, ok := ev.(*flowpb.Flow); ok {
		for _, name := range dropped {
			delete(members, name)
		}
	}
	text, err = json.Marshal(members)
	return string(text), err
}

func answer(p *parser.Parser, q question) (outcome, text string, sent []byte) {
	defer func() {
		if r := recover(); r != nil {
			outcome, text = "crash", fmt.Sprint(r)
		}
	}()
	if q.kind == "stream" {
		var err error
		if text, sent, err = stream(q.payload); err != nil {
			return "error", err.Error(), sent
		}
		return "flow", text, sent
	}
	payload, sent, err := event(q)
	if err != nil {
		return "error", err.Error(), sent
	}
	ev, err := p.Decode(&observer.MonitorEvent{NodeName: q.node, Payload: payload})
	switch {
	case errors.Is(err, parserErrors.ErrEventSkipped):
		return "skip", err.Error(), sent
	case err != nil:
		return "error", err.Error(), sent
	}
	text, err = jsonOf(ev.Event)
	if err != nil {
		return "unprintable", err.Error(), sent
	}
	return "flow", text, sent
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "events:", err)
	os.Exit(2)
}

func main() {
	if len(os.Args) != 2 {
		fail(errors.New("usage: events WORLD.json < questions"))
	}
	w, err := readWorld(os.Args[1])
	if err != nil {
		fail(err)
	}
	parsers := map[string]*parser.Parser{} // what an L7 line leaves behind is for lines of the same options
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for in.Scan() {
		c := strings.Split(in.Text(), "\t")
		if len(c) != columns {
			fail(fmt.Errorf("%d columns: %q", len(c), in.Text()))
		}
		cpu, err := strconv.Atoi(c[3])
		if err != nil {
			fail(err)
		}
		// The datapath's events are independent of each other, but the reference may read what an earlier packet left.
		if parsers[c[5]] == nil || !strings.Contains(" l7 agent record notify lost stream ", " "+c[1]+" ") {
			if parsers[c[5]], err = newParser(w, c[5]); err != nil {
				fail(err)
			}
		}
		outcome, text, sent := answer(parsers[c[5]], question{c[1], c[2], c[4], cpu})
		text = strings.NewReplacer("\t", " ", "\n", " ", "\r", " ").Replace(text)
		fmt.Fprintf(out, "%s\t%s\t%s\t%x\n", c[0], outcome, text, sent)
	}
	if err := in.Err(); err != nil {
		fail(err)
	}
}
