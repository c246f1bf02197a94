package main

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cilium/cilium/pkg/hubble/metrics"
	"github.com/cilium/cilium/pkg/hubble/metrics/api"
)

// said is a log that keeps warnings and errors. The reference logs each look at the file before it looks: from the second
// on they wait there for leave, so that nothing happens unasked, and who gives leave knows when the look is over.
type said struct {
	mutex     sync.Mutex
	sentences []string
	looks     int
	begins    chan struct{} // a look is about to
	leave     chan struct{}
}

func newSaid() *said {
	return &said{begins: make(chan struct{}), leave: make(chan struct{})}
}

func (s *said) Enabled(context.Context, slog.Level) bool { return true }
func (s *said) WithAttrs([]slog.Attr) slog.Handler       { return s }
func (s *said) WithGroup(string) slog.Handler            { return s }

func (s *said) Handle(_ context.Context, record slog.Record) error {
	if record.Message == "Attempting reload" {
		s.looks++ // one look at a time
		if s.looks > 1 {
			s.begins <- struct{}{}
			<-s.leave
		}
	}
	if record.Level < slog.LevelWarn {
		return nil
	}
	sentence := record.Message
	record.Attrs(func(a slog.Attr) bool {
		sentence += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		return true
	})
	s.add(sentence)
	return nil
}

func (s *said) add(sentence string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.sentences = append(s.sentences, strings.ReplaceAll(sentence, "\n", "; "))
}

func (s *said) take() []string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	sentences := s.sentences
	s.sentences = nil
	return sentences
}

// watched is the reference's processor of the dynamic file. It looks at the file every ten seconds, on a goroutine of
// its own where a panic would end this program: the clock and the callback are its private members, and are reached
// all the same.
type watched struct {
	log       *said
	processor *metrics.DynamicFlowProcessor
	ticker    *time.Ticker
	callback  *func(ctx context.Context, hash uint64, config api.Config)
	waits     bool // the next look, for leave
	crash     string
}

func private(of reflect.Value, name string) unsafe.Pointer {
	return unsafe.Pointer(of.FieldByName(name).UnsafeAddr())
}

func (w *watched) start(registry *prometheus.Registry, path string) {
	w.processor = metrics.NewDynamicFlowProcessor(registry, slog.New(w.log), path)
	watcher := reflect.ValueOf(w.processor).Elem().FieldByName("watcher").Elem()
	w.ticker = *(**time.Ticker)(private(watcher, "ticker"))
	w.callback = (*func(ctx context.Context, hash uint64, config api.Config))(private(watcher, "callback"))
	apply := *w.callback
	*w.callback = func(ctx context.Context, hash uint64, config api.Config) {
		w.crash += guarded(func() { apply(ctx, hash, config) })
	}
}

// again has the file looked at once more. A text: the reference crashed.
func (w *watched) again() string {
	if w.processor == nil {
		return "panic: before"
	}
	if !w.waits {
		w.ticker.Reset(time.Microsecond)
		<-w.log.begins
		w.waits = true
	}
	w.log.leave <- struct{}{}
	<-w.log.begins // the next: this one is over
	return w.crash
}

func (w *watched) stop() {
	if w.processor != nil {
		_ = w.processor.Stop()
	}
}
