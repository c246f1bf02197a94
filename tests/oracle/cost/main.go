// cost says what Cilium's own code takes for what our benchmarks measure of ours, with the same input: files that those
// benchmarks write (tests/bench/bench_dump.h).
//
//	cost events FILE     decode an event, name it, write it to the ring     (bench_cilium dump)
//	cost filter FILE     the filters of bench_filter                        (bench_filter dump)
//	cost metrics FILE    the metrics of bench_metrics                       (bench_metrics dump)
//	cost export FILE     the exporter, as bench_export sets it up           (bench_export dump)
//
// Output as of our benchmarks (tests/bench/bench.h): lines of "figure", what, measured, unit, and two empty columns. Times
// are the best of many rounds on one thread; the collector of garbage may use the other CPUs. What the events' parser asks of an
// agent (endpoints, identities, addresses, services) is answered from plain maps without a lock, which favours Cilium.
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	v1 "github.com/cilium/cilium/pkg/hubble/api/v1"
	"github.com/cilium/cilium/pkg/hubble/container"
	"github.com/cilium/cilium/pkg/hubble/exporter"
	"github.com/cilium/cilium/pkg/hubble/filters"
	"github.com/cilium/cilium/pkg/hubble/metrics"
	"github.com/cilium/cilium/pkg/hubble/metrics/api"
	observer "github.com/cilium/cilium/pkg/hubble/observer/types"
	"github.com/cilium/cilium/pkg/hubble/parser"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const rounds = 60

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "cost:", err)
		os.Exit(1)
	}
}

// records are those of a file of bench_dump.h.
func records(path string) [][]byte {
	all, err := os.ReadFile(path)
	check(err)
	var ret [][]byte
	for len(all) >= 4 {
		n := 4 + int(binary.NativeEndian.Uint32(all))
		if n > len(all) {
			break
		}
		ret = append(ret, all[4:n])
		all = all[n:]
	}
	if len(all) > 0 || len(ret) == 0 {
		check(fmt.Errorf("%s: no whole records", path))
	}
	return ret
}

func flows(path string) []*v1.Event {
	var ret []*v1.Event
	for _, bytes := range records(path) {
		flow := &flowpb.Flow{}
		check(proto.Unmarshal(bytes, flow))
		ret = append(ret, &v1.Event{Timestamp: flow.GetTime(), Event: flow})
	}
	return ret
}

func figure(what string, measured float64, unit string) {
	fmt.Printf("figure\t%s\t%.6g\t%s\t-\t-\n", what, measured, unit)
}

// best is the least time of one of n, in nanoseconds, that a round of all took.
func best(n int, round func()) float64 {
	least := 0.0
	for i := 0; i < rounds; i++ {
		start := time.Now()
		round()
		ns := float64(time.Since(start).Nanoseconds()) / float64(n)
		if i == 0 || ns < least {
			least = ns
		}
	}
	return least
}

// allocations of one of n: how many, and of how many bytes.
func allocations(n int, round func()) (count, bytes float64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	round()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n), float64(after.TotalAlloc-before.TotalAlloc) / float64(n)
}

func measureEvents(log *slog.Logger, path string) {
	w := newWorld()
	p, err := parser.New(log, w, w, w, w, w, w, w)
	check(err)
	ring := container.NewRing(container.Capacity65535)
	events := records(path)
	now := time.Now()
	round := func() {
		for _, data := range events {
			ev, err := p.Decode(&observer.MonitorEvent{
				Timestamp: now,
				NodeName:  "n1",
				Payload:   &observer.PerfEvent{Data: data, CPU: 1},
			})
			check(err)
			ring.Write(ev)
		}
	}
	for i := 0; i*len(events) < 2*65535; i++ {
		round()
	}
	figure("an event: decode, name, append", best(len(events), round), "ns")
	count, bytes := allocations(len(events), round)
	figure("allocations an event", count, "")
	figure("of", bytes, "bytes")
}

func measureFilters(log *slog.Logger, path string) {
	all := flows(path)
	for _, f := range []struct {
		name   string
		filter *flowpb.FlowFilter
	}{
		{"port and protocol", &flowpb.FlowFilter{DestinationPort: []string{"53"}, Protocol: []string{"udp"}}},
		{"five ports", &flowpb.FlowFilter{DestinationPort: []string{"53", "80", "443", "8080", "9090"}}},
		{"verdict", &flowpb.FlowFilter{Verdict: []flowpb.Verdict{flowpb.Verdict_DROPPED}}},
		{"label selector", &flowpb.FlowFilter{SourceLabel: []string{"app in (app-1,app-2)"}}},
		{"prefix", &flowpb.FlowFilter{SourceIp: []string{"10.0.0.0/28"}}},
	} {
		built, err := filters.BuildFilterList(context.Background(), []*flowpb.FlowFilter{f.filter}, filters.DefaultFilters(log))
		check(err)
		found := 0
		round := func() {
			found = 0
			for _, ev := range all {
				if filters.Apply(built, nil, ev) {
					found++
				}
			}
		}
		ns := best(len(all), round)
		figure(fmt.Sprintf("%s, %d of %d found", f.name, found, len(all)), ns, "ns")
	}
}

func measureMetrics(log *slog.Logger, path string) {
	all := flows(path)
	for _, c := range []struct {
		name    string
		enabled []string
	}{
		{"a flow, six metrics", []string{"dns", "drop", "tcp", "flow", "port-distribution", "icmp"}},
		{"a flow, six metrics by namespace and workload", []string{
			"dns:labelsContext=source_namespace,destination_namespace",
			"drop:labelsContext=source_namespace,destination_namespace",
			"tcp:labelsContext=source_namespace,destination_namespace",
			"flow:sourceContext=workload-name|reserved-identity;destinationContext=workload-name|reserved-identity",
			"port-distribution", "icmp",
		}},
	} {
		registry := prometheus.NewPedanticRegistry()
		handlers, err := metrics.InitMetricHandlers(log, registry, api.ParseStaticMetricsConfig(c.enabled))
		check(err)
		processor := metrics.NewStaticFlowProcessor(log, *handlers)
		figure(c.name, best(len(all), func() {
			for _, ev := range all {
				_, err := processor.OnDecodedFlow(context.Background(), ev.Event.(*flowpb.Flow))
				check(err)
			}
		}), "ns")
	}
}

func measureExport(log *slog.Logger, path string) {
	all := flows(path)
	if all[0].Timestamp == nil {
		all[0].Timestamp = timestamppb.Now()
	}
	for _, c := range []struct {
		name    string
		options []exporter.Option
	}{
		{"flows written whole", nil},
		{"masked to six fields", []exporter.Option{exporter.WithFieldMask([]string{
			"time", "verdict", "source.pod_name", "destination.pod_name", "l4", "node_name"})}},
		{"filtered away (drops wanted)", []exporter.Option{exporter.WithAllowList(log, []*flowpb.FlowFilter{
			{Verdict: []flowpb.Verdict{flowpb.Verdict_DROPPED}}})}},
		{"counted by namespaces", []exporter.Option{
			exporter.WithFieldAggregate([]string{"source.namespace", "destination.namespace"}),
			exporter.WithAggregationInterval(time.Hour)}},
	} {
		file, err := os.CreateTemp("", "cost-export-")
		check(err)
		options := append([]exporter.Option{exporter.WithNewWriterFunc(func() (io.WriteCloser, error) { return file, nil })}, c.options...)
		x, err := exporter.NewExporter(log, options...)
		check(err)
		figure(c.name, best(len(all), func() {
			check(file.Truncate(0))
			_, err := file.Seek(0, io.SeekStart)
			check(err)
			for _, ev := range all {
				check(x.Export(context.Background(), ev))
			}
		}), "ns a flow")
		check(x.Stop())
		check(os.Remove(file.Name()))
	}
}

// address is that of endpoint i, as bench_cilium makes them.
func address(i uint32, six bool) netip.Addr {
	four := [4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}
	if !six {
		return netip.AddrFrom4(four)
	}
	long := [16]byte{0: 0xfd}
	copy(long[12:], four[:])
	return netip.AddrFrom16(long)
}

func main() {
	parts := map[string]func(*slog.Logger, string){
		"events": measureEvents, "filter": measureFilters, "metrics": measureMetrics, "export": measureExport,
	}
	if len(os.Args) != 3 || parts[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: cost events|filter|metrics|export FILE")
		os.Exit(2)
	}
	parts[os.Args[1]](slog.New(slog.DiscardHandler), os.Args[2])
}
