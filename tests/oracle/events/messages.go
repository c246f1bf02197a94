package main

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	observer "github.com/cilium/cilium/pkg/hubble/observer/types"
	"github.com/cilium/cilium/pkg/monitor/api"
	"github.com/cilium/cilium/pkg/proxy/accesslog"
)

// lostEvent reads the JSON of a lost event.
func lostEvent(text string) (any, error) {
	var in struct {
		Source int    `json:"source"`
		Count  uint64 `json:"num_events_lost"`
		CPU    int    `json:"cpu"`
		First  time.Time
		Last   time.Time
	}
	err := json.Unmarshal([]byte(text), &in)
	return &observer.LostEvent{Source: in.Source, NumLostEvents: in.Count, CPU: in.CPU, First: in.First, Last: in.Last}, err
}

// urlParts are made a URL as the proxy's log reader makes one: it is parsed, or else its parts are taken for what they are.
type urlParts struct{ Scheme, Host, Path string }

func (p *urlParts) url() *url.URL {
	if p == nil {
		return nil
	}
	u, err := url.Parse(p.Scheme + "://" + p.Host + "/" + strings.TrimPrefix(p.Path, "/"))
	if err != nil {
		return &url.URL{Scheme: p.Scheme, Host: p.Host, Path: p.Path}
	}
	return u
}

// sentAs is how an agent writes a message for its listeners: the type, and a gob stream of its own.
func sentAs(typ byte, message any) ([]byte, error) {
	b := bytes.NewBuffer([]byte{typ})
	err := gob.NewEncoder(b).Encode(message)
	return b.Bytes(), err
}

func recordEvent(text string) (any, []byte, error) {
	var in struct {
		Record accesslog.LogRecord
		URL    *urlParts
	}
	if err := json.Unmarshal([]byte(text), &in); err != nil {
		return nil, nil, err
	}
	if in.Record.HTTP != nil {
		in.Record.HTTP.URL = in.URL.url()
	}
	sent, err := sentAs(api.MessageTypeAccessLog, in.Record)
	return &observer.AgentEvent{Type: api.MessageTypeAccessLog, Message: in.Record}, sent, err
}

// notification reads the JSON of what the agent tells; what is no kind of it stays as it is.
func notification(kind string, text []byte) (any, error) {
	read := func(to any) error { return json.Unmarshal(text, to) }
	var (
		start    api.TimeNotification
		policy   api.PolicyUpdateNotification
		regen    api.EndpointRegenNotification
		endpoint api.EndpointNotification
		ipcache  api.IPCacheNotification
	)
	switch kind {
	case "start":
		err := read(&start)
		return start, err
	case "policy":
		err := read(&policy)
		return policy, err
	case "regenerate":
		err := read(&regen)
		return regen, err
	case "endpoint":
		err := read(&endpoint)
		return endpoint, err
	case "ipcache":
		err := read(&ipcache)
		return ipcache, err
	}
	return json.RawMessage(text), nil
}

func notifyEvent(text string) (any, []byte, error) {
	var in struct {
		Type         api.AgentNotification
		Kind         string
		Notification json.RawMessage
	}
	if err := json.Unmarshal([]byte(text), &in); err != nil {
		return nil, nil, err
	}
	told, err := notification(in.Kind, in.Notification)
	if err != nil {
		return nil, nil, err
	}
	message := api.AgentNotifyMessage{Type: in.Type, Notification: told}
	written, err := message.ToJSON()
	if err != nil {
		return nil, nil, err
	}
	sent, err := sentAs(api.MessageTypeAgent, written)
	return &observer.AgentEvent{Type: api.MessageTypeAgent, Message: message}, sent, err
}

var kinds = map[api.AgentNotification]string{
	api.AgentNotifyStart:                     "start",
	api.AgentNotifyEndpointRegenerateSuccess: "regenerate",
	api.AgentNotifyEndpointRegenerateFail:    "regenerate",
	api.AgentNotifyPolicyUpdated:             "policy",
	api.AgentNotifyPolicyDeleted:             "policy",
	api.AgentNotifyEndpointCreated:           "endpoint",
	api.AgentNotifyEndpointDeleted:           "endpoint",
	api.AgentNotifyIPCacheUpserted:           "ipcache",
	api.AgentNotifyIPCacheDeleted:            "ipcache",
}

// agentEvent reads what an agent sent to its listeners back into what it was.
func agentEvent(data []byte) (any, error) {
	if len(data) == 0 {
		return &observer.PerfEvent{}, nil
	}
	from := gob.NewDecoder(bytes.NewReader(data[1:]))
	switch int(data[0]) {
	case api.MessageTypeAccessLog:
		var record accesslog.LogRecord
		err := from.Decode(&record)
		return &observer.AgentEvent{Type: api.MessageTypeAccessLog, Message: record}, err
	case api.MessageTypeAgent:
		var notify api.AgentNotify
		if err := from.Decode(&notify); err != nil {
			return nil, err
		}
		told, err := notification(kinds[notify.Type], []byte(notify.Text))
		if err != nil {
			told = json.RawMessage(notify.Text)
		}
		message := api.AgentNotifyMessage{Type: notify.Type, Notification: told}
		return &observer.AgentEvent{Type: api.MessageTypeAgent, Message: message}, nil
	}
	return &observer.PerfEvent{Data: data}, nil
}
