// The reference's side of the metrics oracle: Hubble's own handlers, configured, fed and scraped as questions say.
//
// A question is a list of messages, each "VERB LENGTH\n", that many bytes, "\n":
//
//	list  metrics as --hubble-metrics has them      flows  JSON lines as observe -o json prints them
//	file  the dynamic file's content, or its next   gone   namespace, NUL, pod: its endpoint was deleted
//	page  text or openmetrics                       end    the question is over; the next begins anew
//
// and its answer another, in the same form: said (warnings and errors, one a message), refused (no metrics can be had:
// why), unread (lines that are no flows, their number), page, end. ours.c says the same of Tycho.
package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/encoding/protojson"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"github.com/cilium/cilium/pkg/hubble/metrics"
	"github.com/cilium/cilium/pkg/hubble/metrics/api"
	"github.com/cilium/cilium/pkg/k8s/types"
)

// question is what one question has built so far.
type question struct {
	log      *said
	registry *prometheus.Registry
	static   []api.NamedHandler
	file     *watched
	folder   string
}

func newQuestion(folder string) *question {
	return &question{log: newSaid(), registry: prometheus.NewPedanticRegistry(), folder: folder}
}

// guarded turns a panic, which would end the server, into a text.
func guarded(do func()) (crash string) {
	defer func() {
		if p := recover(); p != nil {
			crash = "panic: " + strings.SplitN(fmt.Sprint(p), "\n", 2)[0]
		}
	}()
	do()
	return ""
}

func (q *question) list(text string) (refused string) {
	crash := guarded(func() {
		config := api.ParseStaticMetricsConfig(strings.Fields(text))
		handlers, err := metrics.InitMetricHandlers(slog.New(q.log), q.registry, config)
		if err != nil {
			refused = err.Error()
			return
		}
		q.static = *handlers
	})
	return refused + crash
}

func (q *question) load(text []byte) (refused string) {
	path := filepath.Join(q.folder, "metrics.yaml")
	next := path + ".next"
	if err := os.WriteFile(next, text, 0o600); err != nil {
		panic(err)
	}
	if err := os.Rename(next, path); err != nil {
		panic(err)
	}
	if q.file == nil {
		q.file = &watched{log: q.log}
		return guarded(func() { q.file.start(q.registry, path) })
	}
	return q.file.again()
}

func (q *question) handlers() []api.NamedHandler {
	if q.file != nil && q.file.processor != nil {
		return q.file.processor.Metrics
	}
	return q.static
}

// count hands one flow to all handlers, as either flow processor does.
func (q *question) count(flow *flowpb.Flow) {
	if q.file != nil {
		if q.file.processor != nil {
			_, _ = q.file.processor.OnDecodedFlow(context.Background(), flow)
		}
		return
	}
	_, _ = metrics.NewStaticFlowProcessor(slog.New(q.log), q.static).OnDecodedFlow(context.Background(), flow)
}

func (q *question) flows(lines []byte) (unread int) {
	for _, line := range bytes.Split(lines, []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		response := &observerpb.GetFlowsResponse{}
		read := protojson.UnmarshalOptions{DiscardUnknown: true}
		if err := read.Unmarshal(line, response); err != nil {
			unread++
			continue
		}
		if flow := response.GetFlow(); flow != nil {
			if crash := guarded(func() { q.count(flow) }); crash != "" {
				q.log.add(crash)
			}
		}
	}
	return unread
}

func (q *question) gone(pod string) {
	endpoint := &types.CiliumEndpoint{}
	namespace, name, _ := strings.Cut(pod, "\x00")
	endpoint.SetNamespace(namespace)
	endpoint.SetName(name)
	api.ProcessCiliumEndpointDeletion(endpoint, q.handlers())
}

func (q *question) page(format string) string {
	request := httptest.NewRequest("GET", "/metrics", nil)
	if format == "openmetrics" {
		request.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	}
	answer := httptest.NewRecorder()
	metrics.ServerHandler(q.registry, format == "openmetrics").ServeHTTP(answer, request)
	return answer.Body.String()
}

func (q *question) end() {
	if q.file != nil {
		q.file.stop()
	}
}

// --- messages ------------------------------------------------------------------------------------------------------

type wire struct {
	in  *bufio.Reader
	out *bufio.Writer
}

func (w *wire) read() (verb string, payload []byte) {
	line, err := w.in.ReadString('\n')
	if err == io.EOF && line == "" {
		return "", nil
	}
	verb, number, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	length, wrong := strconv.Atoi(number)
	if err != nil || wrong != nil {
		panic(fmt.Sprintf("not a message: %q", line))
	}
	payload = make([]byte, length+1)
	if _, err := io.ReadFull(w.in, payload); err != nil {
		panic(err)
	}
	return verb, payload[:length]
}

func (w *wire) write(verb, payload string) {
	fmt.Fprintf(w.out, "%s %d\n%s\n", verb, len(payload), payload)
}

func (w *wire) answer(q *question, verb string, payload []byte) {
	switch verb {
	case "list":
		if refused := q.list(string(payload)); refused != "" {
			w.write("refused", refused)
		}
	case "file":
		if refused := q.load(payload); refused != "" {
			w.write("refused", refused)
		}
	case "flows":
		if n := q.flows(payload); n > 0 {
			w.write("unread", strconv.Itoa(n))
		}
	case "gone":
		q.gone(string(payload))
	case "page":
		w.write("page", q.page(string(payload)))
	default:
		panic("no such verb: " + verb)
	}
	for _, sentence := range q.log.take() {
		w.write("said", sentence)
	}
}

func main() {
	w := &wire{in: bufio.NewReader(os.Stdin), out: bufio.NewWriter(os.Stdout)}
	folder, err := os.MkdirTemp("", "oracle-metrics")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	q := newQuestion(folder)
	for {
		verb, payload := w.read()
		if verb == "" {
			return
		}
		if verb != "end" {
			w.answer(q, verb, payload)
			continue
		}
		q.end()
		w.write("end", "")
		w.out.Flush()
		q = newQuestion(folder)
	}
}
