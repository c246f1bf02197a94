// The reference's side of the oracle of drops as events of Kubernetes: Hubble's own emitter, configured by its flags.
//
// A question is a line of REASONS, EXTENDED (true or false) and a flow as JSON, with tabs between them; its answer is
// "NAMESPACE/POD", a tab and the message of the event, or "-" where there is none, or "panic: …". ours.c beside it
// says the same of Tycho.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"unsafe"

	"github.com/cilium/hive/cell"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/encoding/protojson"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"github.com/cilium/cilium/pkg/endpoint"
	"github.com/cilium/cilium/pkg/endpointmanager"
	"github.com/cilium/cilium/pkg/hive"
	"github.com/cilium/cilium/pkg/hubble/dropeventemitter"
	"github.com/cilium/cilium/pkg/k8s/client"
	slimv1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/api/core/v1"
	"github.com/cilium/cilium/pkg/k8s/watchers"
)

// clientset has nothing but the place where events would go.
type clientset struct{ client.Clientset }

func (clientset) CoreV1() corev1.CoreV1Interface { return fake.NewClientset().CoreV1() }

// nobody is a node without endpoints.
type nobody struct {
	endpointmanager.EndpointsLookup
}

func (nobody) LookupCiliumID(uint16) *endpoint.Endpoint { return nil }

// recorder keeps the last event, before anything is held back.
type recorder struct {
	record.EventRecorder
	last string
}

func (r *recorder) Event(object runtime.Object, kind, reason, message string) {
	pod := object.(*slimv1.Pod)
	r.last = pod.Namespace + "/" + pod.Name + "\t" + message
	if kind != "Warning" || reason != "PacketDrop" {
		r.last += "\t" + kind + " " + reason
	}
}

type emitter struct {
	flows    dropeventemitter.FlowProcessor
	recorder *recorder
}

// newEmitter has the emitter made as the agent does, from its flags; then what it records with, and the pods that it
// would look uids up among, are replaced: both are private.
func newEmitter(reasons, extended string) *emitter {
	e := &emitter{recorder: &recorder{}}
	h := hive.New(
		dropeventemitter.Cell,
		cell.Provide(
			func() client.Clientset { return clientset{} },
			func() *watchers.K8sWatcher { return nil },
			func() endpointmanager.EndpointsLookup { return nobody{} },
		),
		cell.Invoke(func(flows dropeventemitter.FlowProcessor) { e.flows = flows }),
	)
	flags := pflag.NewFlagSet("", pflag.PanicOnError)
	h.RegisterFlags(flags)
	for name, value := range map[string]string{
		"hubble-drop-events":            "true",
		"hubble-drop-events-reasons":    reasons,
		"hubble-drop-events-extended":   extended,
		"hubble-drop-events-rate-limit": "0",
	} {
		if err := flags.Set(name, value); err != nil {
			panic(err)
		}
	}
	if err := h.Populate(slog.New(slog.NewTextHandler(io.Discard, nil))); err != nil {
		panic(err)
	}
	private := reflect.ValueOf(e.flows).Elem()
	*(*record.EventRecorder)(unsafe.Pointer(private.FieldByName("recorder").UnsafeAddr())) = e.recorder
	*(*watchers.CacheAccessK8SWatcher)(unsafe.Pointer(private.FieldByName("k8sWatcher").UnsafeAddr())) = nil
	return e
}

func (e *emitter) answer(flow *flowpb.Flow) (answer string) {
	defer func() {
		if p := recover(); p != nil {
			answer = "panic: " + fmt.Sprint(p)
		}
	}()
	e.recorder.last = ""
	if err := e.flows.ProcessFlow(context.Background(), flow); err != nil {
		return "error: " + err.Error()
	}
	if e.recorder.last == "" {
		return "-"
	}
	return e.recorder.last
}

func main() {
	in, out := bufio.NewReaderSize(os.Stdin, 1<<20), bufio.NewWriter(os.Stdout)
	defer out.Flush()
	emitters := map[string]*emitter{}
	for {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			return
		}
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3)
		options := parts[0] + "\t" + parts[1]
		if emitters[options] == nil {
			emitters[options] = newEmitter(parts[0], parts[1])
		}
		flow := &flowpb.Flow{}
		if err := protojson.Unmarshal([]byte(parts[2]), flow); err != nil {
			fmt.Fprintf(out, "unread: %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
			continue
		}
		answer := emitters[options].answer(flow)
		fmt.Fprintln(out, strings.ReplaceAll(strings.ReplaceAll(answer, "\\", "\\\\"), "\n", "\\n"))
	}
}
