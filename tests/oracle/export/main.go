// The reference's side of the export oracle: what Hubble's exporters, made from a flowLogs file, write of events.
//
// A question is a line of JSON, and so is its answer; ours.c says the same of Tycho.
//
//	{"config": "flowLogs: …", "events": ["line as the exporter writes it", …]}     "{dir}" in it: a folder of its own
//	{"files": {"name in the folder": ["line", …]}}                                or {"refused": "why"}
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	v1 "github.com/cilium/cilium/pkg/hubble/api/v1"
	"github.com/cilium/cilium/pkg/hubble/exporter"
	nodeTypes "github.com/cilium/cilium/pkg/node/types"
)

type question struct {
	Config string
	Events []string
}

type answer struct {
	Refused string              `json:"refused,omitempty"`
	Files   map[string][]string `json:"files,omitempty"`
}

func eventOf(line string) (*v1.Event, error) {
	var e observerpb.ExportEvent
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(line), &e); err != nil {
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

// create makes the exporters of a file; none, if one of them cannot be.
func create(config string) (made []exporter.FlowLogExporter, err error) {
	log := slog.New(slog.DiscardHandler)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	specs, err := exporter.NewExporterConfigParser(log).Parse(strings.NewReader(config))
	if err != nil {
		return nil, err
	}
	factory := exporter.NewExporterFactory(log)
	for _, spec := range specs {
		x, err := factory.Create(spec)
		if err != nil {
			return nil, err
		}
		made = append(made, x)
	}
	return made, nil
}

func answerOf(q question) (ret answer, err error) {
	folder, err := os.MkdirTemp("", "oracle-export-")
	if err != nil {
		return ret, err
	}
	defer os.RemoveAll(folder)
	made, err := create(strings.ReplaceAll(q.Config, "{dir}", folder))
	if err != nil {
		return answer{Refused: err.Error()}, nil
	}
	for _, line := range q.Events {
		event, err := eventOf(line)
		if err != nil {
			continue
		}
		for _, x := range made {
			if err := x.Export(context.Background(), event); err != nil {
				return ret, err
			}
		}
	}
	for _, x := range made {
		if err := x.Stop(); err != nil {
			return ret, err
		}
	}
	ret.Files = map[string][]string{}
	names, err := os.ReadDir(folder)
	if err != nil {
		return ret, err
	}
	for _, name := range names {
		bytes, err := os.ReadFile(filepath.Join(folder, name.Name()))
		if err != nil {
			return ret, err
		}
		if len(bytes) > 0 {
			ret.Files[name.Name()] = strings.Split(strings.TrimSuffix(string(bytes), "\n"), "\n")
		}
	}
	return ret, nil
}

func main() {
	nodeTypes.SetName("n1")
	in, out := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		line, end := in.ReadBytes('\n')
		if len(line) > 1 {
			var q question
			err := json.Unmarshal(line, &q)
			var a answer
			if err == nil {
				a, err = answerOf(q)
			}
			if err == nil {
				err = out.Encode(a)
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
		if end != nil {
			return
		}
	}
}
